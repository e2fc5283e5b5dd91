//! The process inside the user namespace: root there, an unprivileged account outside, and the init of its own process
//! namespace. Everything that touches a chroot happens here.
//!
//! It ends when it is told to (a signal), and when the process outside is gone (the end of its standard input); in both
//! cases it first ends its children and removes its copy.

use std::io::{BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use common::build_command::Outcome;
use common::cli::{CommonArgs, Messages};
use common::interrupt::Interrupt;
use nix::unistd::getuid;

use crate::copy::WorkingCopy;
use crate::layout::Layout;
use crate::request::{Place, Request, Task};
use crate::session::Session;
use crate::{build, clean, command, list, outcome, payload};

/// Runs the part inside. The exit code is that of an [`Outcome`], shifted.
pub(crate) fn main(stdin: &mut dyn Read, answer: &mut dyn Write) -> ExitCode {
    let mut input = BufReader::new(stdin);
    let request = match Request::receive(&mut input) {
        Ok(request) => request,
        Err(error) => {
            messages(0, false).error(format_args!("{error:#}"));
            return outcome::code_inside(Outcome::Machine).into();
        }
    };
    let messages = messages(request.verbose, request.quiet);
    let interrupt = match Interrupt::on_signals() {
        Ok(interrupt) => interrupt,
        Err(error) => {
            messages.error(format_args!("cannot handle signals: {error}"));
            return outcome::code_inside(Outcome::Machine).into();
        }
    };
    let outcome = match run(&request, &mut input, &interrupt, messages, answer) {
        Ok(()) => Outcome::Built,
        Err(_) if interrupt.is_raised() => Outcome::Interrupted,
        Err(error) => {
            let outcome = outcome::of(&error);
            match (&request.task, outcome) {
                // What ran was no package.
                (Task::Run(..), Outcome::Failed(_)) => messages.error(error.root_cause()),
                _ => messages.error(format_args!("{error:#}")),
            }
            outcome
        }
    };
    outcome::code_inside(outcome).into()
}

fn messages(verbose: u8, quiet: bool) -> Messages {
    let options = CommonArgs {
        config: None,
        verbose,
        quiet,
    };
    Messages::new("archbuild", &options)
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
    let copy = match &request.task {
        Task::List(form) => return list::list(&layout, *form, answer),
        Task::Clean(task) => return clean::clean(&layout, task, interrupt, messages),
        Task::Run(_, task) => match &task.place {
            Place::Fresh => WorkingCopy::reserve(&layout)?,
            Place::Kept(name) => WorkingCopy::reopen(&layout, name.as_deref())?,
        },
        _ => WorkingCopy::reserve(&layout)?,
    };
    payload::receive(&mut *input, copy.directory()).context("cannot take in the files of the request")?;
    if let Task::TakeIn(_) = request.task {
        let session = Session::new(&layout, copy, request, interrupt, messages)?;
        return session.replace_root(|root| payload::receive_root(input, root));
    }
    end_with_caller(interrupt)?;
    let mut session = Session::new(&layout, copy, request, interrupt, messages)?;
    match &request.task {
        Task::Update(_) => {
            if !session.update_root()? {
                messages.note("the root is up to date");
            }
            Ok(())
        }
        Task::Build(_, task) => build::run(&mut session, request, task, answer),
        Task::Run(_, task) => command::run(&mut session, task),
        _ => session.ensure_root().map(drop),
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
