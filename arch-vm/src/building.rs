//! `arch-vm build`: the contract of every build command around the phases in a guest (`build`): what is asked for, what is
//! delivered, the record, the machine that stays.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use archbuild::payload::Payload;
use common::build_command::{Limits, Outcome, Phase, Record};
use common::clock::Now;
use common::names::{FileName, PkgBase};

use crate::build::{Build, BuildTask, FETCH, FETCH_REMAINS};
use crate::call::Call;
use crate::cli::VmBuildArgs;
use crate::hardware::shell_word;
use crate::log::Log;
use crate::relay::MIRROR;
use crate::session::{Opener, Session};
use crate::watch::{peak_memory, processor_time};
use crate::{Refusal, failure_of, outcome_of};

/// One build, and what came of it so far.
struct Building<'a> {
    call: &'a Call<'a>,
    args: &'a VmBuildArgs,
    task: BuildTask,
    packages_to: PathBuf,
    logs_to: PathBuf,
    log: Log,
    pkgbase: Option<PkgBase>,
    packages: Vec<FileName>,
    kept: Option<String>,
    usage: Usage,
}

/// What the machine used.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    /// Most memory of qemu in bytes.
    memory: Option<u64>,
    /// Its processor time.
    processor: Option<Duration>,
}

/// Builds the package in the working directory.
pub(crate) fn build(call: &Call<'_>, args: &VmBuildArgs, stdout: &mut dyn Write) -> Result<Outcome> {
    let packages_to = destination(call, "PKGDEST")?;
    let mut building = Building {
        task: task(call, args)?,
        logs_to: destination(call, "LOGDEST")?,
        packages_to,
        call,
        args,
        log: Log::begin(),
        pkgbase: None,
        packages: Vec::new(),
        kept: None,
        usage: Usage::default(),
    };
    let started = Now::read().unix;
    let (outcome, message) = match building.run() {
        Ok(()) => (Outcome::Built, None),
        Err(error) if failure_of(&error).is_some() => return Err(error),
        Err(error) => {
            let outcome = if call.interrupt.is_raised() {
                Outcome::Interrupted
            } else {
                outcome_of(&error)
            };
            let message = common::cli::sentence(error.chain());
            call.messages.error(&message);
            (outcome, Some(message))
        }
    };
    building.answer(outcome, message, started, stdout)?;
    Ok(outcome)
}

impl Building<'_> {
    fn run(&mut self) -> Result<()> {
        let call = self.call;
        let conf = call
            .settings
            .pacman_conf_with(&self.args.build.repositories, &self.args.more_repositories)?;
        let opener = Opener {
            limits: Limits::read(&self.args.build.limits, call.settings.config())?,
            keep: self.args.build.keep,
            ..call.opener(&self.args.machine, &conf)?
        };
        if self.args.build.clean && opener.machine.image.is_none() {
            let old = crate::base::current(&call.place);
            call.installer().make(old.map(|base| base.name()).as_deref())?;
        }
        let mut session = opener.open()?;
        let built = self.build_in(&mut session);
        let pid = session.machine.pid();
        self.usage.memory = peak_memory(pid);
        self.usage.processor = Some(processor_time(pid)).filter(|time| !time.is_zero());
        if self.args.build.keep.applies(built.is_ok()) && session.ended(None) != Some(Outcome::Machine) {
            self.keep(session)?;
        }
        built
    }

    /// Builds in a machine, and takes what there is afterwards.
    fn build_in(&mut self, session: &mut Session) -> Result<()> {
        let mut build = Build {
            session,
            task: &self.task,
            log: &mut self.log,
            messages: self.call.messages,
            pkgbase: &mut self.pkgbase,
        };
        let built = build.run();
        if built.is_ok() {
            build.log.enter(Phase::Delivery);
        } else {
            build.session.allow_fetching(self.call.interrupt);
        }
        let fetched = match &built {
            // There is nothing to ask any more.
            Err(error) if matches!(outcome_of(error), Outcome::Machine | Outcome::Interrupted) => None,
            Err(_) if !build.session.is_answering() => None,
            Err(_) => Some(build.fetch(&self.packages_to, &self.logs_to, FETCH_REMAINS)),
            Ok(_) => Some(build.fetch(&self.packages_to, &self.logs_to, FETCH)),
        };
        let mut delivery = match (built.is_ok(), fetched) {
            (_, None) => return built.map(drop),
            (true, Some(fetched)) => fetched?,
            (false, Some(Err(error))) => {
                self.call
                    .messages
                    .detail(format_args!("the logs could not be fetched: {error:#}"));
                return built.map(drop);
            }
            (false, Some(Ok(delivery))) => delivery,
        };
        delivery.publish_logs(&self.logs_to)?;
        let info = built?;
        self.packages = delivery.publish_packages(&self.packages_to, &|name| info.pkgnames.contains(name))?;
        if self.packages.is_empty() {
            return Err(anyhow!("makepkg made no package").context(Outcome::Failed(Some(Phase::Package))));
        }
        Ok(())
    }

    /// Leaves the machine running, and says how to enter and how to end it.
    fn keep(&mut self, session: Session) -> Result<()> {
        let record = session.keep()?;
        let program = shell_word(&self.call.program.display().to_string());
        let place = shell_word(&self.call.settings.vm_dir.display().to_string());
        let id = &record.id;
        let script = self.call.directory.join(format!("cleanup.{id}"));
        let text = format!(
            "#!/bin/sh\n# Ends the virtual machine {id}.\n{program} --vm-dir {place} stop {id} && rm -f -- \"$0\"\n"
        );
        common::atomic::write(&script, text.as_bytes())?;
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755))?;
        self.call.messages.error(format_args!("the machine {id} stays"));
        self.call.messages.hint(format_args!(
            "{program} --vm-dir {place} ssh {id} enters it, ./cleanup.{id} ends it"
        ));
        self.kept = Some(record.id);
        Ok(())
    }

    fn answer(self, outcome: Outcome, message: Option<String>, started: u64, stdout: &mut dyn Write) -> Result<()> {
        if self.args.build.json {
            let phases = self.log.times();
            let record = Record {
                outcome,
                pkgbase: self.pkgbase,
                arch: self.call.settings.arch.clone(),
                packages: self.packages,
                started,
                milliseconds: phases.iter().map(|phase| phase.milliseconds).sum(),
                phases,
                peak_memory: self.usage.memory,
                cpu_milliseconds: self.usage.processor.and_then(|time| time.as_millis().try_into().ok()),
                limits: None,
                message,
                kept: self.kept,
            };
            writeln!(stdout, "{}", serde_json::to_string(&record)?).context("cannot write the answer")?;
        } else {
            for name in &self.packages {
                writeln!(stdout, "{name}").context("cannot write the answer")?;
            }
        }
        stdout.flush().context("cannot write the answer")
    }
}

/// The directory that a variable of the caller names, else the working directory.
fn destination(call: &Call<'_>, variable: &'static str) -> Result<PathBuf, Refusal> {
    let named = call.environment.get(variable).filter(|path| !path.is_empty());
    let path = named.map_or_else(|| call.directory.clone(), |path| call.directory.join(path));
    if path.is_dir() {
        Ok(path)
    } else {
        Err(Refusal::Destination(variable, path))
    }
}

fn task(call: &Call<'_>, args: &VmBuildArgs) -> Result<BuildTask> {
    let settings = call.settings;
    if !call.directory.join("PKGBUILD").is_file() {
        return Err(Refusal::Pkgbuild(call.directory.clone()).into());
    }
    let install: Vec<PathBuf> = args
        .build
        .install
        .iter()
        .map(|path| call.directory.join(path))
        .collect();
    if let Some(missing) = install.iter().find(|path| !path.is_file()) {
        return Err(Refusal::File(missing.clone()).into());
    }
    let mut makepkg = args.build.makepkg.clone();
    let is_unchecked = args.build.nocheck || makepkg.iter().any(|argument| argument == "--nocheck");
    if args.build.nocheck {
        makepkg.push("--nocheck".into());
    }
    let conf = settings.pacman_conf_with(&args.build.repositories, &args.more_repositories)?;
    Ok(BuildTask {
        pacman_conf: conf.for_guest(settings.arch.as_str(), &format!("http://{MIRROR}")),
        makepkg_conf: settings.config().file_text("makepkg_conf")?,
        payload: Payload {
            start: Some(call.directory.clone()),
            keyring: settings.keyring.clone(),
            install,
            root: None,
        },
        arch: settings.arch.to_string(),
        check: !is_unchecked,
        makepkg,
        srcdest: settings.config().path("srcdest")?.filter(|_| !args.build.clean),
        variables: settings.variables.clone(),
        network: args.build.network,
        processes: Limits::read(&args.build.limits, settings.config())?.processes,
    })
}
