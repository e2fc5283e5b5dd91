//! The phases of a build: dependencies, sources (with network), build with check and package (without).
//!
//! PKGBUILDs are hostile, also to read: every phase that evaluates one runs in the sandbox as the build user, watched by
//! the [`Meter`].

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use common::build_command::{Enforcement, LimitKind, NetworkUntil, Outcome, Phase, Record};
use common::metadata::{EVALUATION_BEGIN, EVALUATION_END, EVALUATION_SCRIPT};
use common::names::{FileName, PkgBase};
use common::process::{Cause, Command, Output};

use crate::cgroup::Group;
use crate::databases::Databases;
use crate::products::{self, Delivery};
use crate::progress::{Progress, milliseconds};
use crate::request::{BuildTask, Request, User};
use crate::sandbox::{Network, Sandbox, Sources, give_to_builder};
use crate::session::{DebugPackages, Session};
use crate::sources::SourceCache;
use crate::srcinfo::SrcInfo;
use crate::usage::{self, Meter};
use crate::{dependencies, outcome, processes, reproduce};

/// makepkg's exit codes that say what went wrong (its `util/error.sh`). Its configuration, its arguments and the programs
/// that it needs are no fault of the package.
const MAKEPKG_NOT_OF_THE_PACKAGE: [i32; 3] = [2, 3, 15];
const MAKEPKG_FUNCTION_FAILED: i32 = 4;
const MAKEPKG_DEPENDENCIES: i32 = 8;
const MAKEPKG_PKGBUILD_ERROR: i32 = 12;

/// Where keys for `validpgpkeys` lie beside a PKGBUILD.
const PGP_KEYS: &str = "keys/pgp";

/// One build.
pub(crate) struct Build<'s, 'a> {
    /// Its run.
    pub(crate) session: &'s mut Session<'a>,
    /// What is asked for.
    pub(crate) task: &'s BuildTask,
    /// Where it happens.
    pub(crate) sandbox: Sandbox,
    arch: &'s str,
    progress: Progress,
    meter: Arc<Mutex<Meter>>,
}

/// Builds the package in the run's directory and sends its files and the record.
pub(crate) fn run(session: &mut Session, request: &Request, task: &BuildTask, answer: &mut dyn Write) -> Result<()> {
    let began = common::clock::Now::read().unix;
    usage::set_kernel_limits(&task.limits).context("cannot set the limits of the kernel")?;
    let progress = Progress::since(session.copy.since());
    let group = task.group.as_ref();
    let meter = Meter::new(&task.limits, &progress, session.copy.directory(), group);
    let meter = Arc::new(Mutex::new(meter));
    let mut delivery = Delivery::new(answer);
    let mut record = Record {
        outcome: Outcome::Built,
        pkgbase: None,
        arch: request.arch.clone(),
        packages: Vec::new(),
        started: began,
        milliseconds: 0,
        phases: Vec::new(),
        peak_memory: None,
        cpu_milliseconds: None,
        limits: Some(group.map_or(Enforcement::Sampled, Group::enforcement)),
        message: None,
        kept: None,
    };
    if let Some(deadline) = task
        .limits
        .wall_time
        .and_then(|time| session.copy.since().checked_add(time))
    {
        session.end_pacman_at(deadline);
    }
    let mut sandbox = Sandbox::new(session, &task.environment)?;
    sandbox.group = group.cloned();
    let mut build = Build {
        session,
        task,
        sandbox,
        arch: request.arch.as_str(),
        progress: progress.clone(),
        meter: Arc::clone(&meter),
    };
    let built = build.carry_out(&mut record).and_then(|names| {
        progress.enter(Phase::Delivery);
        delivery.packages(build.sandbox.packages(), &names)?;
        record.packages = names;
        Ok(())
    });
    let is_late = task.limits.wall_time.is_some_and(|limit| progress.elapsed() >= limit);
    // Whatever was under way was ended for that.
    let built = match built {
        Err(_) if is_late => Err(limit(LimitKind::WallTime)),
        built => built,
    };
    if let Err(error) = &built {
        record.outcome = if session.interrupt.is_raised() {
            Outcome::Interrupted
        } else {
            outcome::of(error)
        };
        record.message = Some(common::cli::one_line(&format!("{error:#}")));
        record.packages.clear();
    }
    record.kept = session.copy.keep(task.keep, &record)?;
    record.milliseconds = milliseconds(progress.elapsed());
    record.phases = progress.times();
    record.peak_memory = Some(lock(&meter).peak_memory());
    record.cpu_milliseconds = Some(milliseconds(processes::ended_cpu()));
    delivery.finish(&record)?;
    built
}

fn lock(meter: &Mutex<Meter>) -> std::sync::MutexGuard<'_, Meter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Build<'_, '_> {
    /// Builds; the record learns the package base. Returns the names of the packages.
    fn carry_out(&mut self, record: &mut Record) -> Result<Vec<FileName>> {
        if self.task.clean {
            self.session.update_root()?;
        }
        self.session.mount_copy(&self.sandbox)?;
        let (info, databases) = self.prepare_copy(record)?;
        self.add_known_sources(&info)?;
        let _cache = self.make_sources_ready(&info.pkgbase)?;
        self.make_packages()?;
        let is_asked_for = |name: &str| self.task.debug || info.pkgnames.contains(name);
        let names = products::find(self.sandbox.packages(), &is_asked_for)?;
        if names.is_empty() {
            return Err(anyhow!("makepkg made no package")).context(Outcome::Failed(Some(Phase::Package)));
        }
        if self.task.reproducible {
            reproduce::build_again(self, &databases, &info, &names)?;
        }
        Ok(names)
    }

    /// Reads the PKGBUILD, brings the copy up to date and installs what the package needs.
    fn prepare_copy(&mut self, record: &mut Record) -> Result<(SrcInfo, Databases)> {
        self.progress.announce(Phase::Dependencies, self.session.messages);
        // Neither needs the other, and both take their time.
        let (info, databases) = std::thread::scope(|scope| {
            let refreshing = scope.spawn(|| self.session.refresh());
            (self.read_pkgbuild(), refreshing.join())
        });
        let info = info?;
        record.pkgbase = Some(info.pkgbase.clone());
        let databases = databases.map_err(|_| anyhow!("reading the databases ended in panic"))??;
        self.install(&databases, &info)?;
        Ok((info, databases))
    }

    /// Installs the dependencies into the mounted copy and configures it.
    pub(crate) fn install(&mut self, databases: &Databases, info: &SrcInfo) -> Result<()> {
        let wanted = info.wanted(self.task.check);
        let files = self.files_to_install()?;
        if files.is_empty() {
            dependencies::install(self.session, databases, &wanted)?;
        } else {
            // What came with the request is part of this copy alone.
            let (pacman, root) = (&self.session.pacman, self.session.copy.root());
            let installed = pacman.install_files(&root, &files).and_then(|()| {
                let missing = pacman.missing(&root, &wanted)?;
                pacman.install(&root, &missing)
            });
            installed.context(Outcome::Dependencies)?;
        }
        self.session.configure(if self.task.debug {
            DebugPackages::Made
        } else {
            DebugPackages::LeftOut
        })
    }

    fn files_to_install(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.session.copy.part(crate::payload::INSTALL)?)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    /// What the PKGBUILD says, as libmakepkg of the chroot reads it.
    fn read_pkgbuild(&self) -> Result<SrcInfo> {
        let script = [
            "bash",
            "--noprofile",
            "--norc",
            "-c",
            EVALUATION_SCRIPT,
            "evaluate",
            EVALUATION_BEGIN,
            EVALUATION_END,
        ];
        let variables = [
            format!("CARCH={}", self.arch),
            format!("CHOST={}-pc-linux-gnu", self.arch),
        ];
        let argv = ["env"]
            .into_iter()
            .chain(variables.iter().map(String::as_str))
            .chain(script);
        let command = self
            .sandbox
            .command(User::Builder, Network::None, Sources::ReadOnly, argv)
            .output(Output::Capture);
        let finished = self.watch(command).run().map_err(|error| match error.cause {
            Cause::Stopped(_) | Cause::Interrupted => self.explain("reading the PKGBUILD", error.cause),
            cause => match lock(&self.meter).check_now() {
                Some(kind) => limit(kind),
                None => anyhow!("the PKGBUILD cannot be read: {cause}").context(Outcome::Failed(None)),
            },
        })?;
        let text = String::from_utf8_lossy(&finished.stdout);
        SrcInfo::parse(&text, self.arch).context(Outcome::Failed(None))
    }

    /// Puts sources that the caller has already beside the PKGBUILD, where makepkg looks first.
    fn add_known_sources(&self, info: &SrcInfo) -> Result<()> {
        let Some(directory) = &self.task.srcdest else {
            return Ok(());
        };
        for name in &info.sources {
            let (from, to) = (directory.join(name), self.sandbox.start().join(name));
            if from.is_file() && std::fs::symlink_metadata(&to).is_err() {
                std::fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
                give_to_builder(&to)?;
            }
        }
        Ok(())
    }

    /// Fetches, verifies, extracts and prepares sources. The cache is ours until it is dropped.
    fn make_sources_ready(&mut self, pkgbase: &PkgBase) -> Result<Option<SourceCache>> {
        self.enter(Phase::Sources)?;
        let cache = match SourceCache::borrow(&self.session.layout.sources(), pkgbase) {
            Ok(cache) => cache,
            Err(error) => {
                self.session.messages.error(format_args!("warning: {error:#}"));
                None
            }
        };
        if let Some(cache) = &cache {
            if self.task.clean {
                cache.forget()?;
            }
            cache.directory().clone_into(&mut self.sandbox.sources);
        }
        self.import_keys()?;
        let fetched = match self.task.network {
            // Extracting is part of preparing.
            NetworkUntil::Fetch => self.fetch(&["--verifysource"]),
            NetworkUntil::Prepare | NetworkUntil::Build => self.fetch(&["--nobuild"]),
        };
        if let (Some(cache), Err(error)) = (&cache, &fetched)
            && outcome::of(error) == Outcome::Sources
        {
            cache.forget()?;
        }
        fetched?;
        if self.task.network == NetworkUntil::Fetch {
            self.prepare()?;
        }
        Ok(cache)
    }

    fn fetch(&self, options: &[&str]) -> Result<()> {
        let command = self.makepkg(Network::Host, Sources::Writable, options);
        let code = self.run_phase(&format!("makepkg {}", options[0]), command)?;
        self.judge(code, Outcome::Sources)
    }

    /// Extracts and prepares what was fetched, without network.
    pub(crate) fn prepare(&self) -> Result<()> {
        let command = self.makepkg(Network::None, Sources::Writable, &["--nobuild"]);
        let code = self.run_phase("makepkg --nobuild", command)?;
        self.judge(code, Outcome::Sources)
    }

    /// What makepkg's exit code means; what it does not say is `otherwise`.
    fn judge(&self, code: i32, otherwise: Outcome) -> Result<()> {
        let outcome = match code {
            0 => return Ok(()),
            MAKEPKG_FUNCTION_FAILED => Outcome::Failed(Some(self.progress.phase())),
            MAKEPKG_PKGBUILD_ERROR => Outcome::Failed(None),
            MAKEPKG_DEPENDENCIES => Outcome::Dependencies,
            code if MAKEPKG_NOT_OF_THE_PACKAGE.contains(&code) => Outcome::Machine,
            _ => otherwise,
        };
        Err(anyhow!("makepkg: exit code {code}")).context(outcome)
    }

    /// Lets gpg know the keys that lie beside the PKGBUILD. Which of them counts, `validpgpkeys` says.
    fn import_keys(&self) -> Result<()> {
        let Ok(entries) = std::fs::read_dir(self.sandbox.start().join(PGP_KEYS)) else {
            return Ok(());
        };
        let mut argv: Vec<OsString> = ["gpg", "--batch", "--quiet", "--import", "--"].map(Into::into).to_vec();
        for entry in entries {
            argv.push(PathBuf::from(PGP_KEYS).join(entry?.file_name()).into());
        }
        let command = self
            .sandbox
            .command(User::Builder, Network::None, Sources::ReadOnly, argv);
        if let Err(error) = crate::pacman::run("gpg --import", command) {
            self.session.messages.error(format_args!("warning: {error:#}"));
        }
        Ok(())
    }

    /// build(), check() and package(), as a rule without network.
    pub(crate) fn make_packages(&self) -> Result<()> {
        let network = match self.task.network {
            NetworkUntil::Fetch | NetworkUntil::Prepare => Network::None,
            NetworkUntil::Build => Network::Host,
        };
        let command = self.makepkg(network, Sources::ReadOnly, &["--noextract", "--holdver"]);
        let code = self.run_phase("makepkg", command)?;
        self.judge(code, Outcome::Failed(Some(self.progress.phase())))
    }

    fn makepkg(&self, network: Network, sources: Sources, options: &[&str]) -> Command {
        let mut argv: Vec<OsString> = vec!["makepkg".into()];
        argv.extend(options.iter().map(Into::into));
        argv.extend(["--noconfirm", "--noprogressbar", "--nosign", "--nocolor"].map(Into::into));
        argv.extend(self.task.makepkg.iter().cloned());
        let command = self.sandbox.command(User::Builder, network, sources, argv);
        command.output(self.progress.pass_output())
    }

    /// Goes on to a phase, unless a limit is reached.
    fn enter(&self, phase: Phase) -> Result<()> {
        self.progress.enter(phase);
        match lock(&self.meter).check_now() {
            Some(kind) => Err(limit(kind)),
            None => Ok(()),
        }
    }

    fn watch(&self, command: Command) -> Command {
        let meter = Arc::clone(&self.meter);
        command.check(move || lock(&meter).check().map(|kind| kind.as_str().to_owned()))
    }

    /// Runs one phase. Its exit code is for the caller to judge.
    fn run_phase(&self, name: &str, command: Command) -> Result<i32> {
        let ended = self.watch(command).wait();
        processes::wait_for_orphans();
        match ended {
            // bwrap turns a signal into a code.
            Ok(finished) => match finished.status.code() {
                Some(0) => Ok(0),
                code => match lock(&self.meter).check_now() {
                    Some(kind) => Err(limit(kind)),
                    None => Ok(code.unwrap_or(1)),
                },
            },
            Err(error) => Err(self.explain(name, error.cause)),
        }
    }

    fn explain(&self, name: &str, cause: Cause) -> anyhow::Error {
        match cause {
            Cause::Stopped(_) => lock(&self.meter)
                .check()
                .map_or_else(|| anyhow!("{name}: stopped"), limit),
            Cause::Interrupted => anyhow!("{name}: interrupted").context(Outcome::Interrupted),
            cause => anyhow!("{name}: {cause}"),
        }
    }
}

fn limit(kind: LimitKind) -> anyhow::Error {
    anyhow::Error::msg(Outcome::Limit(Some(kind)))
}
