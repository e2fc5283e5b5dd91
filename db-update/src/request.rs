//! From the command line and the configuration to a [`Request`]: orders are named by their order id or by their pkgbase.

use std::collections::BTreeSet;

use common::build_list::{BuildList, Order};
use common::config::Config;
use common::names::Repository;
use common::repository::Classes;
use common::state::{State, States, order_id};

use crate::cli::Cli;
use crate::situation::{Neighbours, Pace, Request};

/// What was asked for cannot be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// An argument names nothing.
    #[error("{0}")]
    BadInput(String),
    /// A key of the configuration is wrong.
    #[error(transparent)]
    Config(#[from] common::config::ConfigError),
    /// Lists or states cannot be read.
    #[error(transparent)]
    File(#[from] common::atomic::FileError),
}

/// Reads what was asked for.
///
/// # Errors
/// An order or a repository that is named is not there, a key is wrong, or a file cannot be read.
pub(crate) fn read(
    cli: &Cli,
    config: &Config,
    classes: &Classes,
    (list, states): (&BuildList, &States),
) -> Result<Request, RequestError> {
    let pending: BTreeSet<Order> = list.orders().cloned().collect();
    let with = |state| -> Result<BTreeSet<Order>, RequestError> { Ok(states.with(state)?.into_iter().collect()) };
    let (done, testing, tested) = (with(State::Done)?, with(State::Testing)?, with(State::Tested)?);
    let before_testing: BTreeSet<Order> = pending.union(&done).cloned().collect();
    let published: BTreeSet<Order> = done.into_iter().chain(testing).chain(tested).collect();
    let before_stable: BTreeSet<Order> = pending.union(&published).cloned().collect();
    let mut repositories = BTreeSet::new();
    for name in &cli.repo {
        let unknown = || RequestError::BadInput(format!("--repo {name}: there is no such repository"));
        let repository: Repository = name.parse().map_err(|_| unknown())?;
        if classes.class_of(&repository).is_none() {
            return Err(unknown());
        }
        repositories.insert(repository);
    }
    Ok(Request {
        unstage: orders("--unstage", &cli.unstage, &before_testing)?,
        stabilize: orders("--stabilize", &cli.stabilize, &before_stable)?,
        force: orders("--force", &cli.force, &published)?,
        repositories,
        pace: if cli.progressive { Pace::Progressive } else { Pace::Full },
        neighbours: if config.switch("neighbours_hold", true)? {
            Neighbours::Hold
        } else {
            Neighbours::LetGo
        },
    })
}

fn orders(option: &str, words: &[String], known: &BTreeSet<Order>) -> Result<BTreeSet<Order>, RequestError> {
    let mut found = BTreeSet::new();
    for word in words {
        let named = known
            .iter()
            .filter(|order| order_id(order) == *word || order.pkgbase.as_str() == word);
        let count = found.len();
        found.extend(named.cloned());
        if found.len() == count && !known.iter().any(|order| order.pkgbase.as_str() == word) {
            return Err(RequestError::BadInput(format!(
                "{option} {word}: there is no such order where it would have to be"
            )));
        }
    }
    Ok(found)
}
