//! Running a command for a person: in a copy that is thrown away, or in one that was kept.

use std::fs::File;
use std::os::fd::AsFd;

use anyhow::{Context, Result, anyhow};
use common::build_command::Outcome;
use common::process::{Input, Output};

use crate::request::{Place, RunTask};
use crate::sandbox::{Network, Sandbox, Sources};
use crate::session::{DebugPackages, Session};

/// Runs it to its end.
pub(crate) fn run(session: &mut Session, task: &RunTask) -> Result<()> {
    let mut sandbox = Sandbox::new(session, &[])?;
    sandbox.show(session.parts.server_directories.iter().cloned());
    if task.place == Place::Fresh {
        session.mount_copy(&sandbox)?;
        match session.refresh() {
            Err(error) if task.packages.is_empty() && !session.interrupt.is_raised() => {
                session
                    .messages
                    .error(format_args!("warning: the databases are not the newest: {error:#}"));
            }
            refreshed => drop(refreshed?),
        }
        if !task.packages.is_empty() {
            let names: Vec<String> = task.packages.iter().map(ToString::to_string).collect();
            let installed = session.pacman.install(&session.copy.root(), &names);
            installed.context(Outcome::Dependencies)?;
        }
        session.configure(DebugPackages::LeftOut)?;
    }
    let network = if task.network { Network::Host } else { Network::None };
    let mut argv = task.command.clone();
    if task.is_interactive {
        // The terminal becomes that of the new session, so that job control works.
        argv.splice(0..0, ["setsid", "--ctty", "--wait"].map(Into::into));
    }
    let mut command = sandbox
        .command(task.user, network, Sources::ReadOnly, &argv)
        .output(Output::Inherit);
    if task.is_interactive {
        let terminal = std::io::stderr().as_fd().try_clone_to_owned()?;
        command = command.input(Input::File(File::from(terminal)));
    }
    let ended = command.wait().map_err(|error| anyhow!("{}", error.cause))?;
    if !ended.status.success() {
        let code = ended.status.code().unwrap_or(1);
        let name = task.command.first().map(|name| name.to_string_lossy().into_owned());
        let failed = Err(anyhow!("{}: exit code {code}", name.unwrap_or_default()));
        return failed.context(Outcome::Failed(None));
    }
    Ok(())
}
