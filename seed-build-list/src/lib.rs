//! The `seed-build-list` command as a library.
//!
//! Finds out which pkgbases are wished for; putting them on the list, with everything that belongs to it, is the work of
//! `get_package_updates::request`, under the locks and in the same way as for orders that changes bring. The reason of
//! each order is kept in the journal.

mod cli;
mod mirror;
mod names;
mod wish;

use std::cell::Cell;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;

use anyhow::Context;
use common::build_list::Order;
use common::cli::Messages;
use common::config::Config;
use common::ending::Change;
use common::exit::{Failure, of_listing};
use common::lock::Patience;
use get_package_updates::request::{Action, Requested, request};
use serde::Serialize;

pub use crate::cli::Cli;
use crate::names::BadLine;
use crate::wish::{UnknownNames, Wish};

const TOOL: &str = "seed-build-list";
/// The reason of orders for which none was given.
const NO_REASON: &str = "seed-build-list";

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new(TOOL, &cli.common);
    let environment = common::cli::environment();
    // A person who types the command without names waits for help, not for end of file.
    let mut nothing = io::empty();
    let stdin: &mut dyn Read = if io::stdin().is_terminal() { &mut nothing } else { stdin };
    let result = common::cli::load_config(&cli.common, &environment, &messages)
        .map_err(anyhow::Error::from)
        .and_then(|config| run(&config, &cli, &messages, (stdin, stdout)));
    match result {
        Ok(change) => change.report(&messages),
        Err(error) => {
            messages.error(common::cli::sentence(error.chain()));
            if error.is::<UnknownNames>() {
                messages.hint("nothing was changed; leave names out with --ignore, or run get-package-updates first");
            }
            exit_code(&error)
        }
    }
}

/// Does one run.
///
/// # Errors
/// A name is unknown or none, the configuration is wrong, a mirror cannot be read, or a file cannot be read or written.
pub fn run(
    config: &Config,
    cli: &Cli,
    messages: &Messages,
    (input, out): (&mut dyn Read, &mut dyn Write),
) -> anyhow::Result<Change> {
    let wish = wish(config, cli, messages, input)?;
    if wish.is_empty() {
        return Ok(Change::Done);
    }
    let action = if cli.no_action {
        Action::Look
    } else {
        Action::Put(Patience::configured(config)?)
    };
    let wished = Cell::new(0);
    let choose = |infos: &_| {
        let pkgbases = wish.resolve(infos)?;
        wished.set(pkgbases.len());
        Ok(pkgbases)
    };
    match request(config, messages, action, &choose)? {
        Requested::Hindered(hindrance) => Ok(Change::Hindered(hindrance)),
        Requested::Orders(orders) => {
            messages.note(format_args!(
                "{} orders are new, {} packages are on the list already or not built here",
                orders.len(),
                wished.get() - orders.len()
            ));
            // The orders are on the list, whoever reads of it.
            of_listing(write(&orders, cli.json, out)).context("cannot print the new orders")?;
            Ok(Change::Done)
        }
    }
}

fn wish(config: &Config, cli: &Cli, messages: &Messages, input: &mut dyn Read) -> anyhow::Result<Wish> {
    let given = cli.reason.as_deref();
    let mut wish = Wish {
        ignored: cli.ignore.clone(),
        ..Wish::default()
    };
    if cli.package.is_empty() && cli.mirror.is_empty() {
        wish.names = names::read(input, given.unwrap_or(NO_REASON))?;
    }
    for pattern in &cli.package {
        let reason = given.map_or_else(|| format!("{NO_REASON} -p {pattern}"), str::to_owned);
        wish.patterns.push((pattern.clone(), reason));
    }
    for url in &cli.mirror {
        let newer = mirror::newer(config, url, messages)?;
        let reasoned = |(name, found)| (name, given.map_or(found, str::to_owned));
        wish.names.extend(newer.into_iter().map(reasoned));
    }
    Ok(wish)
}

#[derive(Serialize)]
struct Reasoned<'a> {
    #[serde(flatten)]
    order: &'a Order,
    reason: &'a str,
}

fn write(orders: &[(Order, String)], is_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if is_json {
        let orders: Vec<_> = orders
            .iter()
            .map(|(order, reason)| Reasoned { order, reason })
            .collect();
        serde_json::to_writer(&mut *out, &orders)?;
        writeln!(out)?;
    } else {
        for (order, _) in orders {
            writeln!(out, "{order}")?;
        }
    }
    out.flush()
}

/// The one table from errors to exit codes.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    if common::exit::is_of_configuration(error.chain()) {
        Failure::Config.into()
    } else if error.is::<UnknownNames>() {
        ExitCode::from(2)
    } else if error.is::<BadLine>() {
        Failure::Data.into()
    } else {
        Failure::Io.into()
    }
}
