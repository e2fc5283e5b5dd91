//! The unprivileged account that root drops to before anything from outside is run.
//!
//! Invariant: no process of a build or of an evaluated PKGBUILD ever has kernel uid 0, whoever starts the tool.

use std::path::PathBuf;

use nix::unistd::{User, geteuid};
use thiserror::Error;

use crate::config::Config;

/// Name of the account where `build_account` is not configured.
const DEFAULT_ACCOUNT: &str = "portsmith";

/// An account of this machine that is not root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its user id, never 0.
    pub uid: u32,
    /// Its primary group id.
    pub gid: u32,
    /// Its home directory.
    pub home: PathBuf,
}

/// An account that cannot be used.
#[derive(Debug, Error)]
pub enum AccountError {
    /// There is none of that name.
    #[error(
        "root cannot drop its rights: there is no account {0} (scripts/setup makes it, build_account names another)"
    )]
    Missing(String),
    /// It is root.
    #[error("root cannot drop its rights: the account {0} has user id 0")]
    IsRoot(String),
    /// The account database cannot be read.
    #[error("cannot look up the account {name}: {source}")]
    LookUp {
        /// The account.
        name: String,
        /// The cause.
        #[source]
        source: nix::Error,
    },
}

/// The account to drop to, `build_account`: none when the caller is not root already.
///
/// # Errors
/// The caller is root, and there is no such account or it is root itself.
pub fn to_drop_to(config: &Config) -> Result<Option<Account>, AccountError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let name = config.text("build_account").unwrap_or(DEFAULT_ACCOUNT);
    let user = User::from_name(name)
        .map_err(|source| AccountError::LookUp {
            name: name.to_owned(),
            source,
        })?
        .ok_or_else(|| AccountError::Missing(name.to_owned()))?;
    if user.uid.is_root() {
        return Err(AccountError::IsRoot(name.to_owned()));
    }
    Ok(Some(Account {
        name: user.name,
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        home: user.dir,
    }))
}
