//! Orders that no change asks for: packages that somebody wants to have built, at the commits that were processed last.
//!
//! Everything else is as in a run without new commits (`--no-pull`): blocks, deletions, order, graph and journal come
//! out of the same computation, so the list is as consistent as after any run. What is on the list, excluded or unknown
//! is left as it is.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use common::build_list::Order;
use common::cli::Messages;
use common::clock::Now;
use common::config::Config;
use common::lock::Patience;
use common::metadata::{Infos, Metadata};
use common::names::PkgBase;
use common::work_dir::{Hindrance, Scope, WorkDir};

use crate::changes::Why;
use crate::gather::{Gathered, processed_heads};
use crate::schedule::{Present, Wish, schedule};
use crate::{ATTEMPTS, commit};

/// What is to happen with the orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// They are only named.
    Look,
    /// They come onto the list, after waiting so long for the locks.
    Put(Patience),
}

/// How a request ended.
#[derive(Debug)]
pub enum Requested {
    /// These orders are on the list, or would be, each with its reason.
    Orders(Vec<(Order, String)>),
    /// The locks are held, or the master is insane: nothing was changed.
    Hindered(Hindrance),
}

/// Puts packages on the build list. `choose` names them with their reasons, among all packages there are.
///
/// # Errors
/// `choose` fails, nothing has been processed yet, the sources cannot be read, or a file cannot be read or written.
pub fn request(
    config: &Config,
    messages: &Messages,
    action: Action,
    choose: &dyn Fn(&Infos) -> anyhow::Result<BTreeMap<PkgBase, String>>,
) -> anyhow::Result<Requested> {
    let work_dir = WorkDir::open(config)?;
    let metadata = Metadata::open(config, &work_dir)?;
    for _ in 0..ATTEMPTS {
        let heads = processed_heads(&work_dir, metadata.sources())?;
        for repository in metadata.sources().repositories() {
            ensure!(
                heads.of(repository.name()).is_some(),
                "nothing of {} has been processed yet: run get-package-updates",
                repository.name()
            );
        }
        let gathered = Gathered::read(&metadata, config, (heads.clone(), heads), messages)?;
        let wish = Wish {
            requested: choose(&gathered.infos)?,
            ..Wish::default()
        };
        if wish.requested.is_empty() {
            return Ok(Requested::Orders(Vec::new()));
        }
        let _locks = match action {
            Action::Look => None,
            Action::Put(patience) => match work_dir.lock(Scope::BuildList, patience) {
                Ok(locks) => Some(locks),
                Err(refused) => return Ok(Requested::Hindered(refused.hindrance()?)),
            },
        };
        if processed_heads(&work_dir, metadata.sources())? != gathered.old_heads {
            messages.note("another run was faster; beginning again");
            continue;
        }
        let present = Present::read(&work_dir, messages)?;
        let next = schedule(metadata.sources(), &gathered, &present, &wish);
        if action != Action::Look {
            commit::commit(&work_dir, &present, &next, &Now::read()).context("cannot put the orders on the list")?;
        }
        let requested = next.scheduled.into_iter().filter_map(|(order, why)| match why {
            Why::Requested(reason) => Some((order, reason)),
            _ => None,
        });
        return Ok(Requested::Orders(requested.collect()));
    }
    anyhow::bail!("other runs were faster each time")
}
