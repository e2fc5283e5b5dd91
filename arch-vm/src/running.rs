//! `arch-vm run`: one command in a machine that is thrown away.

use std::io::Write;

use anyhow::{Context, Result, anyhow};
use common::build_command::Outcome;
use common::process::Output;
use serde_json::json;

use crate::call::Call;
use crate::cli::RunArgs;
use crate::guest::{User, network_variables};

/// Runs it to its end.
pub(crate) fn run(call: &Call<'_>, args: &RunArgs, stdout: &mut dyn Write) -> Result<Outcome> {
    let conf = call.settings.pacman_conf()?;
    let mut session = call.opener(&args.machine, &conf)?.open()?;
    let variables = if args.network {
        network_variables()
    } else {
        session.machine.cut_network()?;
        Vec::new()
    };
    let command = session.guest.command(User::Root, &variables, &args.command);
    let ended = command.output(if args.json { Output::ToStderr } else { Output::Inherit });
    let ended = ended.wait().map_err(|error| anyhow!("{}", error.cause));
    let ended = ended.context(session.ended(None).unwrap_or(Outcome::Machine))?;
    let code = ended.status.code().unwrap_or(1);
    if args.json {
        let milliseconds = |time: std::time::Duration| time.as_secs_f64() * 1000.0;
        let line = json!({
            "code": code,
            "overlay_milliseconds": milliseconds(session.times.overlay),
            "ready_milliseconds": milliseconds(session.times.ready),
        });
        writeln!(stdout, "{line}").context("cannot write the answer")?;
    }
    Ok(if code == 0 {
        Outcome::Built
    } else {
        Outcome::Failed(None)
    })
}
