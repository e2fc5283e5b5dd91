//! The options that every build command of the project has.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::limits::LimitArgs;
use super::phase::Phase;
use crate::config::Config;
use crate::names::Repository;

/// Options of `build`, to be flattened into the tool's own.
#[derive(Debug, Clone, Args)]
pub struct BuildArgs {
    /// Begin clean: bring the root up to date first, and fetch all sources again
    #[arg(short, long)]
    pub clean: bool,
    /// Leave out check() and its dependencies
    #[arg(long)]
    pub nocheck: bool,
    /// Install this package file before building
    #[arg(short = 'I', long = "install", value_name = "PACKAGE")]
    pub install: Vec<PathBuf>,
    /// Use this repository, too, before all others, the first one first; its packages need no signature
    #[arg(short, long = "repo", value_name = "NAME=URL", value_parser = parse_repository)]
    pub repositories: Vec<(Repository, String)>,
    /// Let the build reach the network up to this phase
    #[arg(long, value_enum, default_value_t, value_name = "PHASE")]
    pub network: NetworkUntil,
    /// Keep what was built in, for a look inside
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub keep: Keep,
    /// Print one line of JSON with outcome, phases, times and products
    #[arg(long)]
    pub json: bool,
    /// What it may use.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Arguments for makepkg
    #[arg(last = true, value_name = "MAKEPKG ARGUMENT")]
    pub makepkg: Vec<OsString>,
}

/// Options that say what a target consists of, to be flattened into the tool's own.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// Install packages from the repositories in this file (key pacman_conf)
    #[arg(long, value_name = "FILE", global = true)]
    pub pacman_conf: Option<PathBuf>,
    /// Build with this makepkg.conf instead of the one that is installed (key makepkg_conf)
    #[arg(long, value_name = "FILE", global = true)]
    pub makepkg_conf: Option<PathBuf>,
}

impl TargetArgs {
    /// Lets the options beat the keys; paths are relative to `directory`.
    pub fn overrule(&self, config: &mut Config, directory: &Path) {
        config.set_path("pacman_conf", self.pacman_conf.as_deref(), directory);
        config.set_path("makepkg_conf", self.makepkg_conf.as_deref(), directory);
    }
}

/// When the working copy or machine stays after a build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum Keep {
    /// It is always removed.
    #[default]
    Never,
    /// It stays when the package could not be built.
    Failure,
    /// It always stays.
    Always,
}

impl Keep {
    /// Whether it stays after a build that went well or not.
    #[must_use]
    pub const fn applies(self, is_built: bool) -> bool {
        match self {
            Self::Never => false,
            Self::Failure => !is_built,
            Self::Always => true,
        }
    }
}

/// The last phase that reaches the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum NetworkUntil {
    /// Sources are fetched.
    Fetch,
    /// prepare(), which may fetch what build() needs.
    #[default]
    Prepare,
    /// build(), check() and package(), too.
    Build,
}

impl NetworkUntil {
    /// Whether a phase reaches it.
    #[must_use]
    pub const fn reaches(self, phase: Phase) -> bool {
        match phase {
            Phase::Setup | Phase::Dependencies | Phase::Sources => true,
            Phase::Prepare => !matches!(self, Self::Fetch),
            Phase::Build | Phase::Check | Phase::Package => matches!(self, Self::Build),
            Phase::Delivery => false,
        }
    }
}

/// `NAME=URL`.
fn parse_repository(text: &str) -> Result<(Repository, String), String> {
    let (name, url) = text.split_once('=').ok_or("it has to be NAME=URL")?;
    let name = name.parse::<Repository>().map_err(|error| error.to_string())?;
    if url.is_empty() || url.chars().any(|c| c.is_control()) {
        return Err("the URL is empty or has control characters".to_owned());
    }
    Ok((name, url.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Tool {
        #[command(flatten)]
        build: BuildArgs,
    }

    #[test]
    fn options_are_read_and_what_follows_the_dashes_is_for_makepkg() {
        let line = "build -c --keep failure --network fetch -r a=file:///a --memory-limit 5 -- --nocheck -x";
        let tool = Tool::try_parse_from(line.split(' ')).unwrap();
        assert!(tool.build.clean && !tool.build.nocheck);
        assert_eq!(tool.build.keep, Keep::Failure);
        assert_eq!(tool.build.network, NetworkUntil::Fetch);
        assert_eq!(tool.build.limits.memory_limit, Some(5));
        assert_eq!(tool.build.makepkg, ["--nocheck", "-x"]);
        for line in ["build -r x", "build -r a/b=x", "build --keep sometimes"] {
            assert!(Tool::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }

    #[test]
    fn network_ends_with_the_phase_that_was_named() {
        let reached = |until: NetworkUntil| Phase::ALL.into_iter().filter(|phase| until.reaches(*phase)).max();
        assert_eq!(reached(NetworkUntil::Fetch), Some(Phase::Sources));
        assert_eq!(reached(NetworkUntil::Prepare), Some(Phase::Prepare));
        assert_eq!(reached(NetworkUntil::Build), Some(Phase::Package));
    }
}
