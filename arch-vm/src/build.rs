//! The phases of a build in a guest: dependencies, sources (with network), build with check and package (without).
//!
//! The guest is thrown away afterwards, and its user may do anything in it: what it says is a log, what it hands out is
//! looked at as the work of a stranger (`delivery`).

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use archbuild::QUICK_LINT;
use archbuild::payload::Payload;
use archbuild::srcinfo::SrcInfo;
use common::build_command::{LimitKind, NetworkUntil, Outcome, Phase};
use common::cli::Messages;
use common::metadata::{EVALUATION_BEGIN, EVALUATION_END, EVALUATION_SCRIPT};
use common::names::PkgBase;
use common::process::{Cause, Input, Output};

use crate::delivery::{self, Delivery};
use crate::guest::{User, network_variables};
use crate::hardware::Acceleration;
use crate::log::Log;
use crate::session::Session;

const PREPARE: &str = include_str!("../guest/prepare");
/// Reads the PKGBUILD: the directory is the guest's, and the script cannot be told of one.
const READ: &str = "cd /startdir && exec bash --noprofile --norc -c \"$1\" evaluate \"$2\" \"$3\"";
/// makepkg's exit codes that say what went wrong (its `util/error.sh`).
const MAKEPKG_FUNCTION_FAILED: i32 = 4;
const MAKEPKG_DEPENDENCIES: i32 = 8;
const MAKEPKG_PKGBUILD_ERROR: i32 = 12;
/// Where makepkg finds and leaves things. The places are those of Arch's own build tools.
const PLACES: &[(&str, &str)] = &[
    ("BUILDDIR", "/build"),
    ("PKGDEST", "/pkgdest"),
    ("SRCDEST", "/srcdest"),
    ("SRCPKGDEST", "/pkgdest"),
    ("LOGDEST", "/logdest"),
    ("USER", "user"),
    ("LOGNAME", "user"),
];
/// How long packages and logs may take to arrive.
pub(crate) const FETCH: Duration = Duration::from_secs(600);
/// The same for what is left of a build that failed: the guest may do nothing any more.
pub(crate) const FETCH_REMAINS: Duration = Duration::from_secs(30);
/// A file system with less KiB than this is full.
const FULL_KIB: u64 = 1024;

/// What is to be built, and how.
#[derive(Debug)]
pub(crate) struct BuildTask {
    /// pacman.conf(5) of the guest.
    pub(crate) pacman_conf: String,
    /// makepkg.conf(5), where it is not the guest's own.
    pub(crate) makepkg_conf: Option<String>,
    /// The files.
    pub(crate) payload: Payload,
    /// The target.
    pub(crate) arch: String,
    /// Whether check() runs.
    pub(crate) check: bool,
    /// Arguments for makepkg.
    pub(crate) makepkg: Vec<OsString>,
    /// A directory with sources that are there already.
    pub(crate) srcdest: Option<PathBuf>,
    /// Variables that the build sees.
    pub(crate) variables: Vec<(String, String)>,
    /// The last phase that reaches the network.
    pub(crate) network: NetworkUntil,
    /// Processes and threads that it may have.
    pub(crate) processes: Option<u64>,
}

/// One build.
pub(crate) struct Build<'a> {
    /// The machine.
    pub(crate) session: &'a mut Session,
    /// What is to be done.
    pub(crate) task: &'a BuildTask,
    /// What was done so far.
    pub(crate) log: &'a mut Log,
    /// Messages to the caller.
    pub(crate) messages: Messages,
    /// What is built, once that is known.
    pub(crate) pkgbase: &'a mut Option<PkgBase>,
}

impl Build<'_> {
    /// Builds. The packages are then in the guest.
    pub(crate) fn run(&mut self) -> Result<SrcInfo> {
        self.log.enter(Phase::Dependencies);
        self.prepare()?;
        let info = self.install_dependencies()?;
        self.log.enter(Phase::Sources);
        self.send_known_sources(&info)?;
        self.import_keys()?;
        if self.task.network == NetworkUntil::Fetch {
            self.get_sources(&["--verifysource"])?;
            self.session.machine.cut_network()?;
        }
        self.get_sources(&["--nobuild"])?;
        if self.task.network == NetworkUntil::Prepare {
            self.session.machine.cut_network()?;
        }
        self.make_packages()?;
        Ok(info)
    }

    /// Fetches what there is: packages, and logs.
    pub(crate) fn fetch(&mut self, packages: &Path, logs: &Path, patience: Duration) -> Result<Delivery> {
        let (reader, writer) = io::pipe()?;
        let command = self
            .session
            .guest
            .command(User::Builder, &[], ["tar", "-c", "-C", "/", "pkgdest", "logdest"])
            .output(Output::Stdout(OwnedFd::from(writer).into()))
            .timeout(patience);
        let child = command.spawn()?;
        let (received, ended) = std::thread::scope(|scope| {
            let receiver = scope.spawn(|| delivery::receive(reader, packages, logs));
            let ended = child.wait();
            if ended.is_err() {
                self.session.guest.hang_up();
            }
            (receiver.join(), ended)
        });
        let ended = ended.map_err(|cause| anyhow!("fetching the packages: {cause}"))?;
        let received = received.map_err(|_| anyhow!("the packages could not be read"))??;
        anyhow::ensure!(ended.status.success(), "fetching the packages: {}", ended.status);
        Ok(received)
    }

    /// Sends the files, the configuration, and brings the guest up to date.
    fn prepare(&mut self) -> Result<()> {
        let conf = self.task.makepkg_conf.as_deref().unwrap_or_default();
        let quick_lint = match self.session.acceleration {
            Acceleration::Kvm => "",
            Acceleration::Tcg => QUICK_LINT,
        };
        let argv = [
            "bash",
            "-c",
            PREPARE,
            "prepare",
            &self.task.pacman_conf,
            conf,
            quick_lint,
        ];
        self.send(&self.task.payload, &argv)
            .map_err(|error| self.trouble("sending the files", &error, Outcome::Machine))?;
        self.pacman(&["-Syu"])?;
        let files: Vec<String> = self
            .task
            .payload
            .install
            .iter()
            .filter_map(|path| Some(format!("/install/{}", path.file_name()?.to_str()?)))
            .collect();
        if !files.is_empty() {
            let argv: Vec<&str> = ["-U"].into_iter().chain(files.iter().map(String::as_str)).collect();
            self.pacman(&argv)?;
        }
        Ok(())
    }

    /// Runs a command as root of the guest that reads files as a tar stream.
    fn send(&self, payload: &Payload, argv: &[&str]) -> Result<()> {
        let (reader, mut writer) = io::pipe()?;
        let command = self
            .session
            .guest
            .command(User::Root, &[], argv)
            .input(Input::File(OwnedFd::from(reader).into()));
        std::thread::scope(|scope| {
            let sender = scope.spawn(move || payload.send(&mut writer));
            let received = self.session.guest.run("the guest takes them in", command);
            let sent = sender.join();
            received?;
            match sent {
                Ok(sent) => sent,
                Err(_) => Err(anyhow!("the files could not be read")),
            }
        })
    }

    fn pacman(&mut self, argv: &[&str]) -> Result<()> {
        let fixed = ["pacman", "--noconfirm", "--noprogressbar", "--color", "never"];
        let words = fixed.iter().chain(argv);
        let command = self.session.guest.command(User::Root, &network_variables(), words);
        let code = self.run_logged("pacman", command, None)?;
        if code == 0 {
            Ok(())
        } else {
            Err(self.failed(
                &format!("pacman {}: exit code {code}", argv.join(" ")),
                Outcome::Dependencies,
            ))
        }
    }

    /// Reads the PKGBUILD and installs what it needs.
    fn install_dependencies(&mut self) -> Result<SrcInfo> {
        let info = self.read_pkgbuild()?;
        *self.pkgbase = Some(info.pkgbase.clone());
        let wanted = info.wanted(self.task.check);
        let argv = ["pacman", "-T", "--"]
            .into_iter()
            .chain(wanted.iter().map(String::as_str));
        let command = self.session.guest.command(User::Root, &[], argv);
        let missing = command.output(Output::Capture).wait();
        let missing = missing.map_err(|error| self.trouble("pacman -T", &anyhow!(error), Outcome::Machine))?;
        let missing = missing.text();
        let missing: Vec<&str> = missing.lines().collect();
        if !missing.is_empty() {
            self.messages.detail(format_args!("installing {}", missing.join(" ")));
            let argv: Vec<&str> = ["-S", "--asdeps", "--needed", "--"]
                .into_iter()
                .chain(missing)
                .collect();
            self.pacman(&argv)?;
        }
        Ok(info)
    }

    /// What the PKGBUILD says, as libmakepkg of the guest reads it.
    fn read_pkgbuild(&self) -> Result<SrcInfo> {
        let arch = &self.task.arch;
        let variables = [("CARCH", arch.clone()), ("CHOST", format!("{arch}-pc-linux-gnu"))];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        let argv = ["bash", "--noprofile", "--norc", "-c", READ, "read"];
        let script = [EVALUATION_SCRIPT, EVALUATION_BEGIN, EVALUATION_END];
        let words = argv.iter().chain(&script);
        let command = self.session.guest.command(User::Builder, &variables, words);
        let read = command.output(Output::Capture).run().map_err(|error| {
            // Reading it runs code of the package.
            let ended = self.session.wait_for_end(Some(Phase::Dependencies));
            anyhow!("the PKGBUILD cannot be read: {}", error.cause).context(ended.unwrap_or(Outcome::Failed(None)))
        })?;
        SrcInfo::parse(&String::from_utf8_lossy(&read.stdout), arch).context(Outcome::Failed(None))
    }

    /// Sends sources that the caller has already to where makepkg looks for them.
    fn send_known_sources(&self, info: &SrcInfo) -> Result<()> {
        let Some(directory) = &self.task.srcdest else {
            return Ok(());
        };
        let found = info.sources.iter().map(|name| directory.join(name));
        let payload = Payload {
            install: found.filter(|path| path.is_file()).collect(),
            ..Payload::default()
        };
        if payload.install.is_empty() {
            return Ok(());
        }
        let argv = ["tar", "-x", "-C", "/srcdest", "--strip-components=1", "--owner=user"];
        self.send(&payload, &argv)
            .map_err(|error| self.trouble("sending sources", &error, Outcome::Machine))
    }

    /// Lets gpg know the keys that lie beside the PKGBUILD. Which of them counts, `validpgpkeys` says.
    fn import_keys(&self) -> Result<()> {
        let Some(directory) = self.task.payload.start.as_ref().map(|start| start.join("keys/pgp")) else {
            return Ok(());
        };
        if !directory.is_dir() {
            return Ok(());
        }
        let script = "gpg --batch --quiet --import -- /startdir/keys/pgp/*";
        let command = self.session.guest.command(User::Builder, &[], ["bash", "-c", script]);
        if let Err(error) = self.session.guest.run("gpg --import", command) {
            self.messages.error(format_args!("warning: {error:#}"));
        }
        Ok(())
    }

    /// Fetches, verifies, extracts and prepares sources.
    fn get_sources(&mut self, options: &[&str]) -> Result<()> {
        let command = self.makepkg(options);
        let code = self.run_logged("makepkg", command, Some(Phase::Sources))?;
        let outcome = match code {
            0 => return Ok(()),
            MAKEPKG_FUNCTION_FAILED => Outcome::Failed(Some(self.log.phase())),
            MAKEPKG_PKGBUILD_ERROR => Outcome::Failed(None),
            MAKEPKG_DEPENDENCIES => Outcome::Dependencies,
            _ => Outcome::Sources,
        };
        Err(self.failed(&format!("makepkg {}: exit code {code}", options.join(" ")), outcome))
    }

    /// build(), check() and package().
    fn make_packages(&mut self) -> Result<()> {
        let command = self.makepkg(&["--noextract", "--holdver"]);
        let code = self.run_logged("makepkg", command, Some(Phase::Build))?;
        let outcome = match code {
            0 => return Ok(()),
            MAKEPKG_DEPENDENCIES => Outcome::Dependencies,
            _ => Outcome::Failed(Some(self.log.phase())),
        };
        Err(self.failed(&format!("makepkg: exit code {code}"), outcome))
    }

    fn makepkg(&self, options: &[&str]) -> common::process::Command {
        let mut variables: Vec<(String, String)> = PLACES
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        variables.extend(self.task.variables.iter().cloned());
        variables.extend(network_variables());
        // The directory is the guest's; makepkg has no option for it.
        // A guest with little memory allows less than what is asked for.
        let limit = "cd /startdir && { ulimit -u \"$1\" || :; } 2>/dev/null; shift";
        let script = format!("{limit}; exec makepkg \"$@\" 2>&1 </dev/null");
        let most = self.task.processes.map(|number| number.to_string());
        let most = most.as_deref().unwrap_or("unlimited");
        let mut argv: Vec<OsString> = ["bash", "-c", &script, "makepkg", most].map(Into::into).to_vec();
        argv.extend(options.iter().map(Into::into));
        argv.extend(["--noconfirm", "--noprogressbar", "--nosign", "--nocolor"].map(Into::into));
        argv.extend(self.task.makepkg.iter().cloned());
        self.session.guest.command(User::Builder, &variables, argv)
    }

    /// Runs a command whose output is the log. Its exit code is for the caller to judge.
    fn run_logged(&mut self, name: &str, command: common::process::Command, running: Option<Phase>) -> Result<i32> {
        let (reader, writer) = io::pipe()?;
        let child = command.output(Output::Stdout(OwnedFd::from(writer).into())).spawn()?;
        let progress = std::sync::Arc::clone(&self.session.progress);
        // Waiting is what ends the child, for a limit or a signal: output must not be waited for before it.
        let log = &mut *self.log;
        let ended = std::thread::scope(|scope| {
            scope.spawn(|| log.copy(reader, &progress));
            child.wait()
        });
        match ended {
            Ok(finished) if finished.status.code() != Some(255) => Ok(finished.status.code().unwrap_or(1)),
            // ssh itself; the machine may have gone, which the watch hears of in a moment.
            Ok(_) => Err(self.lost(name, running)),
            Err(Cause::Interrupted) => Err(self.lost(name, running)),
            Err(cause) => Err(anyhow!("{name}: {cause}").context(Outcome::Machine)),
        }
    }

    /// The way into the machine is gone, because of its end or of a limit.
    fn lost(&self, name: &str, running: Option<Phase>) -> anyhow::Error {
        let running = running.map(|_| self.log.phase());
        let outcome = self.session.wait_for_end(running).unwrap_or(Outcome::Machine);
        anyhow!("{name}: {outcome}").context(outcome)
    }

    /// A step failed: because of the end of the machine, or as the caller thinks.
    fn trouble(&self, what: &str, error: &anyhow::Error, otherwise: Outcome) -> anyhow::Error {
        let outcome = self.session.ended(None).unwrap_or(otherwise);
        anyhow!("{what}: {error:#}").context(outcome)
    }

    /// The package failed; perhaps because the guest's disk is full.
    fn failed(&self, text: &str, outcome: Outcome) -> anyhow::Error {
        if let Some(ended) = self.session.ended(None) {
            return anyhow!(text.to_owned()).context(ended);
        }
        if self.is_disk_full() {
            let text = format!("{text}; the guest's disk is full");
            return anyhow!(text).context(Outcome::Limit(Some(LimitKind::Disk)));
        }
        anyhow!(text.to_owned()).context(outcome)
    }

    fn is_disk_full(&self) -> bool {
        let argv = ["df", "--output=avail", "-k", "/", "/build"];
        let command = self.session.guest.command(User::Root, &[], argv);
        let Ok(said) = self.session.guest.run("df", command) else {
            return false;
        };
        let said = said.text();
        let free = said.lines().filter_map(|line| line.trim().parse::<u64>().ok()).min();
        free.is_some_and(|kib| kib < FULL_KIB)
    }
}
