//! What is copied, decided before anything is changed.

use common::names::Repository;
use common::repository::{Class, Entry, Repositories, RepositoryError};
use thiserror::Error;

use crate::cli::Cli;

/// A request that cannot be done.
#[derive(Debug, Error)]
pub(crate) enum PlanError {
    /// The target is no standalone repository.
    #[error("{0} is no standalone repository: what goes through staging and testing is moved by db-update")]
    Target(Repository),
    /// The source is not configured.
    #[error("the repository {0} is in none of the configured classes")]
    Source(Repository),
    /// Nobody has the package.
    #[error("no repository has {0}")]
    Package(String),
    /// The target has a newer version.
    #[error("{to} has {name} {version}, which is newer than {copied}")]
    Downgrade {
        /// The target.
        to: Repository,
        /// The package.
        name: String,
        /// What it has.
        version: String,
        /// What was to be copied.
        copied: String,
    },
    /// A database cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// One package to copy.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) from: Repository,
    pub(crate) entry: Entry,
}

/// Finds every package that is asked for. What the target has already is left out.
pub(crate) fn decide(repositories: &Repositories, cli: &Cli) -> Result<Vec<Copy>, PlanError> {
    let classes = repositories.classes();
    if classes.class_of(&cli.to) != Some(Class::Standalone) {
        return Err(PlanError::Target(cli.to.clone()));
    }
    let sources: Vec<&Repository> = match &cli.from {
        Some(from) if classes.class_of(from).is_none() => return Err(PlanError::Source(from.clone())),
        Some(from) => vec![from],
        // The most stable ones come first.
        None => classes
            .all()
            .map(|(name, _)| name)
            .filter(|name| **name != cli.to)
            .collect(),
    };
    let contents = repositories.contents(sources.iter().copied())?;
    let present = repositories.packages(&cli.to)?;
    let mut copies = Vec::new();
    for package in &cli.packages {
        let is_meant = |entry: &&Entry| entry.name.as_str() == package || entry.file_name.as_str() == package;
        let find = |from: &&Repository| Some(((*from).clone(), contents.get(*from)?.iter().find(is_meant)?));
        let (from, entry) = sources
            .iter()
            .find_map(find)
            .ok_or_else(|| PlanError::Package(package.clone()))?;
        match present.iter().find(|other| other.name == entry.name) {
            Some(other) if other.file_name == entry.file_name => continue,
            Some(other) if other.version > entry.version => {
                return Err(PlanError::Downgrade {
                    to: cli.to.clone(),
                    name: entry.name.to_string(),
                    version: other.version.to_string(),
                    copied: entry.version.to_string(),
                });
            }
            _ => copies.push(Copy {
                from,
                entry: entry.clone(),
            }),
        }
    }
    Ok(copies)
}
