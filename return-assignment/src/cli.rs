//! The command line.

use std::str::FromStr;

use clap::Parser;
use common::build_list::Order;
use common::cli::CommonArgs;
use common::names::{PkgBase, Repository, Revision};

/// Take packages or logs back from a builder
#[derive(Debug, Clone, Parser)]
#[command(
    name = "return-assignment",
    version,
    after_long_help = "Reads a tar archive on standard input: packages with their signatures, or with ERROR the logs \
        of all attempts.\n\nExample:\n  \
        return-assignment zlib 0123…abcd 4567…cdef core 0 <packages.tar\n\nExit codes: 0 accepted, 1 retry later, 2 \
        outdated or not yours, 3 a signature is missing or not trusted, 4 not the expected packages"
)]
pub struct Cli {
    /// Options of every tool.
    #[command(flatten)]
    pub common: CommonArgs,
    /// Package base of the order
    pub pkgbase: PkgBase,
    /// Commit of the packaging repository
    pub revision: Revision,
    /// Commit of the customization repository
    pub mod_revision: Revision,
    /// Upstream's repository
    pub repository: Repository,
    /// Sub-release that the packages have, or ERROR
    #[arg(value_name = "SUB_PKGREL|ERROR")]
    pub result: BuildResult,
}

impl Cli {
    /// The order that comes back.
    #[must_use]
    pub fn order(&self) -> Order {
        Order {
            pkgbase: self.pkgbase.clone(),
            revision: self.revision.clone(),
            mod_revision: self.mod_revision.clone(),
            repository: self.repository.clone(),
        }
    }
}

/// How the build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildResult {
    /// There are packages, with this sub-release.
    Built(u32),
    /// Every attempt failed.
    Failed,
}

impl FromStr for BuildResult {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ERROR" => Ok(Self::Failed),
            _ if text.bytes().all(|c| c.is_ascii_digit()) => {
                let number = text.parse().map_err(|error| format!("{error}"))?;
                Ok(Self::Built(number))
            }
            _ => Err("it has to be a whole number or ERROR".to_owned()),
        }
    }
}
