//! An order: one package from given commits, as a line of the build list says it.
//!
//! `pkgbase revision mod_revision repository`; without mod_revision there is no customization.

pub mod fields;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::names::{NameError, PkgBase, Repository, Revision};

/// One line of the build list: what to build, from which commits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Order {
    /// The package.
    pub pkgbase: PkgBase,
    /// Commit of the packaging repository.
    pub revision: Revision,
    /// Commit of the customization repository; forty zeros without one.
    pub mod_revision: Revision,
    /// Upstream's repository, never the binary destination.
    pub repository: Repository,
}

/// A line that is no order.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OrderError {
    /// It has not three or four fields.
    #[error("expected `pkgbase revision mod_revision repository`, found {0} fields")]
    Fields(usize),
    /// A field breaks the rule of its kind.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl FromStr for Order {
    type Err = OrderError;

    fn from_str(line: &str) -> Result<Self, OrderError> {
        Reader::default().order(line)
    }
}

/// Reads one order after another. Most orders of a list name the same commits and repositories, so a text that has been
/// checked is not checked again.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// What follows the pkgbase in a line, and what it says.
    rests: Vec<(String, Rest)>,
    revisions: Vec<Revision>,
    repositories: Vec<Repository>,
}

/// Revision, mod_revision and repository of an order.
type Rest = (Revision, Revision, Repository);

impl Reader {
    /// So many different ones are remembered.
    const KNOWN: usize = 16;

    pub(crate) fn order(&mut self, line: &str) -> Result<Order, OrderError> {
        let line = line.trim_ascii();
        let end = line.bytes().position(|byte| byte.is_ascii_whitespace());
        let (pkgbase, rest) = line.split_at(end.unwrap_or(line.len()));
        let pkgbase = pkgbase.parse();
        let (revision, mod_revision, repository) = match self.rests.iter().find(|(text, _)| text == rest) {
            Some((_, known)) => known.clone(),
            None => {
                let fields = self.rest(rest)?;
                self.rests.truncate(Self::KNOWN - 1);
                self.rests.insert(0, (rest.to_owned(), fields.clone()));
                fields
            }
        };
        Ok(Order {
            pkgbase: pkgbase?,
            revision,
            mod_revision,
            repository,
        })
    }

    fn rest(&mut self, text: &str) -> Result<Rest, OrderError> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let (revision, mod_revision, repository) = match fields[..] {
            [revision, mod_revision, repository] => (revision, self.known_revision(mod_revision)?, repository),
            [revision, repository] => (revision, Revision::none(), repository),
            _ => return Err(OrderError::Fields(fields.len() + 1)),
        };
        Ok((
            self.known_revision(revision)?,
            mod_revision,
            self.known_repository(repository)?,
        ))
    }

    pub(crate) fn known_revision(&mut self, text: &str) -> Result<Revision, NameError> {
        known(&mut self.revisions, text)
    }

    pub(crate) fn known_repository(&mut self, text: &str) -> Result<Repository, NameError> {
        known(&mut self.repositories, text)
    }
}

/// The name of this text: a copy of one that is remembered, else a new one.
fn known<T: FromStr<Err = NameError> + AsRef<str> + Clone>(known: &mut Vec<T>, text: &str) -> Result<T, NameError> {
    if let Some(name) = known.iter().find(|name| (*name).as_ref() == text) {
        return Ok(name.clone());
    }
    let name: T = text.parse()?;
    known.truncate(Reader::KNOWN - 1);
    known.insert(0, name.clone());
    Ok(name)
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {}",
            self.pkgbase, self.revision, self.mod_revision, self.repository
        )
    }
}
