//! What the proxy is told: options, over the configuration, over defaults.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use common::atomic;
use common::config::{Config, Environment, Personal};

use super::mirrors::Mirror;
use crate::cli::ProxyArgs;

/// Loopback only, where nothing else is said.
const LISTEN: &str = "127.0.0.1:8118";
/// pacman's own list of mirrors.
const MIRRORLIST: &str = "/etc/pacman.d/mirrorlist";
/// Packages that nobody wanted for so long are removed.
const MAX_AGE_DAYS: u64 = 90;
/// When the cache grows beyond this, what was not wanted for longest is removed.
const MAX_GIB: u64 = 20;
/// A mirror that sends nothing for so long is left for the next one.
const STALL_SECONDS: u64 = 30;

/// How the proxy works.
#[derive(Debug)]
pub(crate) struct ProxySettings {
    /// Where it listens.
    pub(super) listen: SocketAddr,
    /// Where packages are kept.
    pub(super) cache: PathBuf,
    /// Whom it asks, the best first.
    pub(super) mirrors: Vec<Mirror>,
    /// How long a package may stay that nobody wants.
    pub(super) max_age: Duration,
    /// How many bytes of packages there may be.
    pub(super) max_bytes: u64,
    /// How long a mirror may send nothing.
    pub(super) stall: Duration,
}

impl ProxySettings {
    pub(super) fn new(args: &ProxyArgs, config: &Config, environment: &Environment) -> Result<Self> {
        let listen = match args.listen {
            Some(listen) => listen,
            None => config.text("proxy_listen").unwrap_or(LISTEN).parse().map_err(|_| {
                config.refuse(
                    "proxy_listen",
                    "it has to be an address and a port, like 127.0.0.1:8118",
                )
            })?,
        };
        let cache = match (&args.cache_dir, config.path("proxy_cache_dir")?) {
            (Some(directory), _) => std::path::absolute(directory).context("the working directory cannot be found")?,
            (None, Some(directory)) => directory,
            (None, None) => default_cache(environment)
                .ok_or_else(|| config.refuse("proxy_cache_dir", "it is not set, and neither is HOME"))?,
        };
        Ok(Self {
            listen,
            cache,
            mirrors: mirrors(args, config)?,
            max_age: Duration::from_secs(
                config
                    .number("proxy_max_age_days", MAX_AGE_DAYS)?
                    .saturating_mul(86_400),
            ),
            max_bytes: config.number("proxy_max_gib", MAX_GIB)?.saturating_mul(1 << 30),
            stall: Duration::from_secs(config.number("proxy_stall_seconds", STALL_SECONDS)?.max(1)),
        })
    }
}

fn default_cache(environment: &Environment) -> Option<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Some(PathBuf::from("/var/cache/portsmith/proxy"));
    }
    Some(Personal::Cache.directory(environment)?.join("proxy"))
}

/// Those of the options, else of `proxy_mirrors`, else the servers of pacman's list.
fn mirrors(args: &ProxyArgs, config: &Config) -> Result<Vec<Mirror>> {
    if !args.mirrors.is_empty() {
        return Ok(args.mirrors.clone());
    }
    let mut mirrors: Vec<Mirror> = config.parsed_words("proxy_mirrors")?;
    if mirrors.is_empty() {
        let list = atomic::read_text(Path::new(MIRRORLIST))?.unwrap_or_default();
        mirrors = servers(&list).filter_map(|server| server.parse().ok()).collect();
    }
    if mirrors.is_empty() {
        return Err(config
            .refuse(
                "proxy_mirrors",
                &format!("it is not set, and {MIRRORLIST} has no Server"),
            )
            .into());
    }
    Ok(mirrors)
}

fn servers(list: &str) -> impl Iterator<Item = &str> {
    list.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "Server").then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_of_a_mirrorlist_are_found_and_comments_are_none() {
        let list = "# all\n#Server = http://a/$repo\nServer = http://b/$repo/os/$arch\n Server=http://c/$repo\n";
        assert_eq!(
            servers(list).collect::<Vec<_>>(),
            ["http://b/$repo/os/$arch", "http://c/$repo"]
        );
    }
}
