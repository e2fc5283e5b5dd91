//! What can be wrong with the sources: with all of them, with one git repository, or with one package.

use thiserror::Error;

use crate::atomic::FileError;
use crate::build_list::Order;
use crate::config::ConfigError;
use crate::git::GitError;
use crate::names::{PkgBase, Repository, Revision};

/// Sources that cannot be had.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The configuration of the git repositories is missing or wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A git repository cannot be fetched or read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The git repository of one package cannot be fetched or read.
    #[error("the sources of {pkgbase} cannot be had: {source}")]
    Package {
        /// The package.
        pkgbase: PkgBase,
        /// The cause.
        #[source]
        source: Box<GitError>,
    },
    /// No clone has the commit: it has to be fetched, or it is gone upstream.
    #[error("no git repository has the commit {revision} of the order for {pkgbase}")]
    UnknownRevision {
        /// The package.
        pkgbase: String,
        /// The commit.
        revision: Revision,
    },
    /// A git repository has no commit that is so old.
    #[error("git repository {0} has no commit before that date")]
    TooEarly(Repository),
    /// Neither upstream nor the customization has a PKGBUILD at these commits.
    #[error("there is no PKGBUILD for the order {0}")]
    NoPkgbuild(Box<Order>),
    /// The content is not what a package's directory may hold.
    #[error("the sources of {pkgbase} are refused: {path:?} {reason}")]
    Refused {
        /// The package.
        pkgbase: String,
        /// The path in its directory.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A directory of the caller's cannot be used.
    #[error("{0}")]
    Directory(String),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}
