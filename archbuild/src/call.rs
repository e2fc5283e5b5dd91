//! One call of the tool outside: from the command line and the configuration to a task for the process inside.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use common::build_command::{Outcome, Record};
use common::cli::Messages;
use common::clock::Now;
use common::config::Environment;
use common::interrupt::Interrupt;
use common::names::FileName;
use thiserror::Error;

use crate::cli::{Action, BindArgs, BinfmtArgs, BuildCommand, CleanArgs, Cli, CreateArgs, RunArgs, ShellArgs};
use crate::emulation;
use crate::outside::Outside;
use crate::payload::Payload;
use crate::request::{Bind, BuildTask, CleanTask, Extent, Form, Parts, Place, RunTask, Task, User};
use crate::settings::Settings;
use crate::terminal;

/// What the tool was called with.
pub(crate) struct Call<'a> {
    /// The command line.
    pub(crate) cli: &'a Cli,
    /// The environment.
    pub(crate) environment: &'a Environment,
    /// The working directory.
    pub(crate) directory: PathBuf,
    /// This program.
    pub(crate) program: PathBuf,
    /// Raised when somebody ends us.
    pub(crate) interrupt: Interrupt,
}

/// A call that makes no sense.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// There is nothing to build.
    #[error("there is no PKGBUILD in {}", .0.display())]
    Pkgbuild(PathBuf),
    /// The destination is no directory.
    #[error("PKGDEST: {} is not a directory", .0.display())]
    Destination(PathBuf),
    /// A package to install is not there.
    #[error("there is no package file {}", .0.display())]
    Package(PathBuf),
    /// What is taken in is no root.
    #[error("there is no usr/bin/pacman in {}", .0.display())]
    Root(PathBuf),
    /// There is nobody to talk to.
    #[error("a shell needs a terminal: give a command after --")]
    Terminal,
    /// A place to show is none.
    #[error("--bind {0}: it has to be FROM or FROM:TO, an absolute path that is there and one that is wanted")]
    Bind(String),
}

impl Call<'_> {
    /// Does what is asked for.
    pub(crate) fn carry_out(self, stdout: &mut dyn Write) -> Result<Outcome> {
        let messages = Messages::new("archbuild", &self.cli.common);
        let config = common::cli::load_config(&self.cli.common, self.environment, &messages)?;
        let settings = Settings::new(config, &self.cli.chroot, self.environment, &self.directory)?;
        let outside = Outside {
            program: self.program.clone(),
            settings: &settings,
            common: &self.cli.common,
            messages,
            interrupt: self.interrupt.clone(),
        };
        let keyring = Payload {
            keyring: settings.keyring.clone(),
            ..Payload::default()
        };
        match &self.cli.action {
            Action::Create(CreateArgs { from: Some(root) }) => self.take_in(root, &outside, keyring),
            Action::Create(_) => outside.run(Task::Create(settings.parts(&[])?), &keyring),
            Action::Update => outside.run(Task::Update(settings.parts(&[])?), &keyring),
            Action::Run(args) => {
                let parts = with_binds(settings.parts(&[])?, &args.binds)?;
                outside.run(Task::Run(parts, run_task(args)), &keyring)
            }
            Action::Shell(args) => shell(args, &outside, &keyring),
            Action::List(args) => {
                let form = if args.json { Form::Json } else { Form::Lines };
                outside.run(Task::List(form), &Payload::default())
            }
            Action::Clean(args) => outside.clean(clean_task(args)),
            Action::Build(args) => self.build(args, &settings, &outside, stdout),
            Action::Binfmt(args) => binfmt(args, &settings, messages, stdout),
            Action::Inside => Ok(Outcome::Machine),
        }
    }

    /// Makes a root of one that was made by other means.
    fn take_in(&self, root: &Path, outside: &Outside, keyring: Payload) -> Result<Outcome> {
        let root = self.directory.join(root);
        if std::fs::symlink_metadata(root.join("usr/bin/pacman")).is_err() {
            return Err(Refusal::Root(root).into());
        }
        let parts = outside.settings.parts(&[])?;
        let root = Some(root);
        outside.run(Task::TakeIn(parts), &Payload { root, ..keyring })
    }

    fn build(
        &self,
        args: &BuildCommand,
        settings: &Settings,
        outside: &Outside,
        stdout: &mut dyn Write,
    ) -> Result<Outcome> {
        let directory = match &args.local {
            Some(local) => self.directory.join(local),
            None => self.directory.clone(),
        };
        let destination = self.environment.get("PKGDEST").filter(|text| !text.is_empty());
        let destination = destination.map_or_else(|| directory.clone(), |path| self.directory.join(path));
        let payload = self.payload(args, &directory, settings)?;
        if !destination.is_dir() {
            return Err(Refusal::Destination(destination).into());
        }
        let parts = with_binds(settings.parts(&args.build.repositories)?, &args.binds)?;
        let task = build_task(args, settings, &directory)?;
        let (outcome, names, record) = outside.build((parts, task), &payload, &destination)?;
        if args.build.json {
            let record = record.unwrap_or_else(|| bare_record(outcome, settings));
            serde_json::to_writer(&mut *stdout, &record).context("cannot write the answer")?;
            writeln!(stdout).context("cannot write the answer")?;
        } else {
            print(&names, stdout)?;
        }
        stdout.flush().context("cannot write the answer")?;
        Ok(outcome)
    }

    fn payload(&self, args: &BuildCommand, directory: &Path, settings: &Settings) -> Result<Payload, Refusal> {
        if !directory.join("PKGBUILD").is_file() {
            return Err(Refusal::Pkgbuild(directory.to_owned()));
        }
        let install = args.build.install.iter().map(|path| self.directory.join(path));
        let install: Vec<PathBuf> = install.collect();
        if let Some(missing) = install.iter().find(|path| !path.is_file()) {
            return Err(Refusal::Package(missing.clone()));
        }
        Ok(Payload {
            start: Some(directory.to_owned()),
            keyring: settings.keyring.clone(),
            install,
            root: None,
        })
    }
}

/// Goes back into a kept working copy.
fn shell(args: &ShellArgs, outside: &Outside, keyring: &Payload) -> Result<Outcome> {
    let parts = with_binds(outside.settings.parts(&[])?, &args.binds)?;
    let task = shell_task(args);
    match (task.is_interactive, terminal::is_there()) {
        (true, false) => Err(Refusal::Terminal.into()),
        (true, true) => outside.run_in_terminal(Task::Run(parts, task), keyring),
        (false, _) => outside.run(Task::Run(parts, task), keyring),
    }
}

/// Registers the interpreter with the kernel, or prints how.
fn binfmt(args: &BinfmtArgs, settings: &Settings, messages: Messages, stdout: &mut dyn Write) -> Result<Outcome> {
    let (arch, interpreter) = (settings.arch.as_str(), settings.emulator()?);
    if args.dry_run {
        if let Some(line) = emulation::registration(arch, interpreter)? {
            writeln!(stdout, "{line}").context("cannot write the answer")?;
        }
    } else {
        let is_new = emulation::register_on_host(arch, interpreter)?;
        messages.note(if is_new { "registered" } else { "nothing to do" });
    }
    Ok(Outcome::Built)
}

fn print(names: &[FileName], stdout: &mut dyn Write) -> Result<()> {
    for name in names {
        writeln!(stdout, "{name}").context("cannot write the answer")?;
    }
    Ok(())
}

/// What is known when the inside could not say anything.
fn bare_record(outcome: Outcome, settings: &Settings) -> Record {
    Record {
        outcome,
        pkgbase: None,
        arch: settings.arch.clone(),
        packages: Vec::new(),
        started: Now::read().unix,
        milliseconds: 0,
        phases: Vec::new(),
        peak_memory: None,
        cpu_milliseconds: None,
        limits: None,
        message: Some(outcome.to_string()),
        kept: None,
    }
}

fn build_task(args: &BuildCommand, settings: &Settings, directory: &Path) -> Result<BuildTask> {
    let mut makepkg = args.build.makepkg.clone();
    let is_asked_for = |argument: &OsString| argument == "--nocheck";
    let leave_out = args.build.nocheck || (settings.runner()?.is_emulated() && !settings.checks_when_emulated()?);
    if leave_out && !makepkg.iter().any(is_asked_for) {
        makepkg.push("--nocheck".into());
    }
    if args.ignorearch {
        makepkg.push("--ignorearch".into());
    }
    Ok(BuildTask {
        clean: args.build.clean,
        check: !makepkg.iter().any(is_asked_for),
        debug: args.debug,
        reproducible: args.reproducible,
        makepkg,
        srcdest: settings.srcdest.clone(),
        environment: settings.variables_for(directory, args.reproducible.then(|| Now::read().unix)),
        limits: settings.limits(&args.build.limits)?,
        network: args.build.network,
        keep: args.build.keep,
        group: None,
    })
}

fn run_task(args: &RunArgs) -> RunTask {
    RunTask {
        place: Place::Fresh,
        user: User::Root,
        network: args.network,
        is_interactive: false,
        packages: args.packages.clone(),
        command: args.command.clone(),
    }
}

fn shell_task(args: &ShellArgs) -> RunTask {
    let is_interactive = args.command.is_empty();
    RunTask {
        place: Place::Kept(args.copy.clone()),
        user: if args.root { User::Root } else { User::Builder },
        network: args.network,
        is_interactive,
        packages: Vec::new(),
        command: if is_interactive {
            vec!["/bin/bash".into()]
        } else {
            args.command.clone()
        },
    }
}

fn clean_task(args: &CleanArgs) -> CleanTask {
    CleanTask {
        extent: match (args.all, args.kept) {
            (true, _) => Extent::Everything,
            (false, true) => Extent::Kept,
            (false, false) => Extent::Remains,
        },
        copies: args.copies.clone(),
        packages: args.packages.clone(),
    }
}

fn with_binds(mut parts: Parts, args: &BindArgs) -> Result<Parts, Refusal> {
    let all = args.bind.iter().map(|text| (text, false));
    for (text, is_writable) in all.chain(args.bind_rw.iter().map(|text| (text, true))) {
        let (from, to) = match text.as_bytes().iter().position(|byte| *byte == b':') {
            Some(colon) => text.as_bytes().split_at(colon),
            None => (text.as_bytes(), text.as_bytes()),
        };
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let (from, to) = (path(from), path(to.strip_prefix(b":").unwrap_or(to)));
        if !from.is_absolute() || !to.is_absolute() || !from.exists() {
            return Err(Refusal::Bind(text.to_string_lossy().into_owned()));
        }
        parts.binds.push(Bind { from, to, is_writable });
    }
    Ok(parts)
}
