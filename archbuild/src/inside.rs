//! The process inside the user namespace: root there, an unprivileged account outside, and the init of its own process
//! namespace. Everything that touches a chroot happens here.
//!
//! It ends when it is told to (a signal), and when the process outside is gone (the end of its standard input); in both
//! cases it first ends its children and removes its copy.

use std::io::{BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use common::cli::{CommonArgs, Messages};
use common::interrupt::Interrupt;
use common::process::Output;
use nix::unistd::getuid;

use crate::copy::{self, WorkingCopy};
use crate::layout::{Layout, remove_tree};
use crate::outcome::Class;
use crate::request::{Extent, Request, RunTask, Task};
use crate::roots;
use crate::sandbox::{Network, Sandbox, Sources, User};
use crate::session::Session;
use crate::{build, payload};

/// Runs the part inside. The exit code is a [`Class`], shifted.
pub(crate) fn main(stdin: &mut dyn Read, answer: &mut dyn Write) -> ExitCode {
    let mut input = BufReader::new(stdin);
    let request = match Request::receive(&mut input) {
        Ok(request) => request,
        Err(error) => {
            let nothing = CommonArgs {
                config: None,
                verbose: 0,
                quiet: false,
            };
            Messages::new("archbuild", &nothing).error(format_args!("{error:#}"));
            return Class::Chroot.code_inside().into();
        }
    };
    let options = CommonArgs {
        config: None,
        verbose: request.verbose,
        quiet: request.quiet,
    };
    let messages = Messages::new("archbuild", &options);
    let interrupt = match Interrupt::on_signals() {
        Ok(interrupt) => interrupt,
        Err(error) => {
            messages.error(format_args!("cannot handle signals: {error}"));
            return Class::Chroot.code_inside().into();
        }
    };
    let class = match run(&request, &mut input, &interrupt, messages, answer) {
        Ok(()) => Class::Done,
        Err(_) if interrupt.is_raised() => Class::Interrupted,
        Err(error) => {
            messages.error(format_args!("{error:#}"));
            Class::of(&error)
        }
    };
    class.code_inside().into()
}

fn run(
    request: &Request,
    input: &mut impl Read,
    interrupt: &Interrupt,
    messages: Messages,
    answer: &mut dyn Write,
) -> Result<()> {
    if !is_root_of_a_namespace()? {
        bail!("archbuild inside is not root of a user namespace (this sub-command is not for people)");
    }
    let layout = Layout::open(&request.directory)?;
    if let Task::Clean(extent) = request.task {
        return clean(&layout, extent, interrupt, messages);
    }
    let parts = request
        .task
        .parts()
        .context("the request does not say what the chroot is made from")?;
    let copy = WorkingCopy::reserve(&layout)?;
    payload::receive(input, copy.directory()).context("cannot take in the files of the request")?;
    end_with_caller(interrupt)?;
    let mut session = Session::new(&layout, copy, parts, interrupt, messages)?;
    match &request.task {
        Task::Create(_) => session.ensure_root().map(drop),
        Task::Update(_) => {
            if !session.update_root()? {
                messages.note("the root is up to date");
            }
            Ok(())
        }
        Task::Build(_, task) => build::run(&mut session, task, request.arch.as_str(), answer),
        Task::Run(_, task) => run_command(&mut session, task),
        Task::Clean(_) => Ok(()),
    }
}

/// Root here, and not root outside: nothing of a build may have kernel uid 0.
fn is_root_of_a_namespace() -> Result<bool> {
    let map = std::fs::read_to_string("/proc/self/uid_map").context("cannot read /proc/self/uid_map")?;
    Ok(getuid().is_root() && !maps_root_to_root(&map))
}

/// uid_map lines: first id inside, first id outside, how many.
fn maps_root_to_root(map: &str) -> bool {
    map.lines().any(|line| {
        let mut numbers = line.split_ascii_whitespace();
        numbers.next().is_none_or(|inside| inside == "0") && numbers.next().is_none_or(|outside| outside == "0")
    })
}

/// Raises the interrupt when the process outside is gone.
fn end_with_caller(interrupt: &Interrupt) -> Result<()> {
    let mut input = std::fs::File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let interrupt = interrupt.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while !matches!(input.read(&mut buffer), Ok(0) | Err(_)) {}
        interrupt.raise();
    });
    Ok(())
}

fn run_command(session: &mut Session, task: &RunTask) -> Result<()> {
    let sandbox = Sandbox::new(session, &[])?;
    session.mount_copy(&sandbox)?;
    session.configure()?;
    let network = if task.network { Network::Host } else { Network::None };
    let command = sandbox
        .command(User::Root, network, Sources::ReadOnly, &task.command)
        .output(Output::Inherit);
    let ended = command.wait().map_err(|error| anyhow!("{}", error.cause))?;
    if !ended.status.success() {
        let code = ended.status.code().unwrap_or(1);
        let name = task.command.first().map(|name| name.to_string_lossy().into_owned());
        return Err(anyhow!("{}: exit code {code}", name.unwrap_or_default())).context(Class::Failed);
    }
    Ok(())
}

fn clean(layout: &Layout, extent: Extent, interrupt: &Interrupt, messages: Messages) -> Result<()> {
    copy::sweep(layout)?;
    if extent == Extent::Copies {
        return Ok(());
    }
    // A root in the making is swept by the one who makes it.
    let right = roots::lock(layout, interrupt, || {
        messages.note("waiting for another archbuild that makes the root");
    })?;
    if extent == Extent::Everything {
        common::atomic::remove(&layout.root_link())?;
        remove_tree(&layout.cache())?;
        remove_tree(&layout.sources())?;
    }
    roots::sweep(layout, &right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_of_the_machine_is_told_apart_from_root_of_a_namespace() {
        assert!(maps_root_to_root("         0          0 4294967295\n"));
        assert!(!maps_root_to_root(
            "         0        999          1\n         1     100000      65536\n"
        ));
    }
}
