//! `ping-from-builder PHASE [LOG_BYTES [PKGBASE]]`: a builder's sign of life, with the size of its log.
//!
//! 0 go on (also when the master is in trouble: a heartbeat must never end a build), 2 abort, the order is no longer
//! the builder's. It renews the lease of that order, without PKGBASE every one of the builder, as long as the order is on
//! the build list.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use common::build_list::BuildList;
use common::cli::{self, CommonArgs, Messages};
use common::clock::Now;
use common::config::Config;
use common::exit::Failure;
use common::lease::Lease;
use common::lock::Patience;
use common::names::{Builder, PkgBase};
use common::work_dir::{Scope, WorkDir};

/// Tell the build master that a builder is alive
#[derive(Debug, Parser)]
#[command(
    name = "ping-from-builder",
    version,
    after_long_help = "Example:\n  PORTSMITH_BUILDER=eurobuild3 ping-from-builder check 20480 zlib"
)]
pub struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    /// What the builder does: one word, like fetching or building
    #[arg(value_parser = phase)]
    phase: String,
    /// Size of the log so far
    #[arg(value_name = "LOG BYTES", default_value_t = 0)]
    log_bytes: u64,
    /// The order that it is about; without it all orders of the builder
    pkgbase: Option<PkgBase>,
}

fn phase(text: &str) -> Result<String, String> {
    let is_good = !text.is_empty() && text.len() <= 32 && text.bytes().all(|c| c.is_ascii_lowercase() || c == b'-');
    if is_good {
        Ok(text.to_owned())
    } else {
        Err("a phase is one word of lower-case letters".to_owned())
    }
}

/// What the master says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Go on.
    GoOn,
    /// The order is no longer the builder's.
    Abort,
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("ping-from-builder", &cli.common);
    let environment = cli::environment();
    let builder = match cli::builder(&environment) {
        Ok(builder) => builder,
        Err(error) => {
            messages.error(error);
            return Failure::Usage.into();
        }
    };
    let outcome = cli::load_config(&cli.common, &environment, &messages)
        .map_err(anyhow::Error::from)
        .and_then(|config| run(&config, &builder, &cli.sign(), &messages));
    match outcome {
        Ok(Outcome::GoOn) => ExitCode::SUCCESS,
        Ok(Outcome::Abort) => {
            let what = cli.pkgbase.as_ref().map_or("no order", PkgBase::as_str);
            messages.note(format_args!(
                "{builder}: {what} is not its order on the build list any more"
            ));
            ExitCode::from(2)
        }
        Err(error) => {
            messages.error(common::cli::sentence(error.chain()));
            ExitCode::SUCCESS
        }
    }
}

/// A sign of life.
#[derive(Debug, Clone)]
pub struct Sign<'a> {
    /// What the builder does, one word.
    pub phase: &'a str,
    /// Bytes of the log so far.
    pub log_bytes: u64,
    /// The order that it is about; `None`: all of the builder's.
    pub pkgbase: Option<&'a PkgBase>,
}

impl Cli {
    fn sign(&self) -> Sign<'_> {
        Sign {
            phase: &self.phase,
            log_bytes: self.log_bytes,
            pkgbase: self.pkgbase.as_ref(),
        }
    }
}

/// Renews the leases of a builder.
///
/// # Errors
/// The master is in trouble; the builder goes on.
pub fn run(config: &Config, builder: &Builder, sign: &Sign<'_>, messages: &Messages) -> anyhow::Result<Outcome> {
    let now = Now::read();
    let work_dir = WorkDir::open(config)?;
    let _locks = work_dir.lock(Scope::BuildList, Patience::configured(config)?)?;
    let (list, _) = BuildList::read(&work_dir.build_list())?;
    let leases = work_dir.leases();
    let file = leases.read(builder)?;
    for complaint in file.complaints {
        messages.error(complaint);
    }
    let mut held = file.leases;
    held.retain(|lease| list.orders().any(|order| *order == lease.assignment.order));
    let is_meant = |lease: &Lease| {
        let pkgbase = &lease.assignment.order.pkgbase;
        sign.pkgbase.is_none_or(|meant| meant == pkgbase)
    };
    if !held.iter().any(is_meant) {
        return Ok(Outcome::Abort);
    }
    for lease in held.iter_mut().filter(|lease| is_meant(lease)) {
        sign.phase.clone_into(&mut lease.phase);
        lease.log_bytes = sign.log_bytes;
        lease.seen = now.clone();
    }
    leases
        .write(builder, &held)
        .with_context(|| format!("cannot renew the lease of {builder}"))?;
    Ok(Outcome::GoOn)
}
