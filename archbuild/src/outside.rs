//! The process outside: starts the one inside the user namespace as the unprivileged account, feeds it the request and
//! takes the packages.
//!
//! Invariant: this process, which may be root, neither reads nor writes below `chroot_dir/ARCH`. Everything crosses
//! in two pipes. The one to the inside stays open as long as this process lives: its end tells the inside to stop.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use anyhow::{Context, Result, bail};
use common::build_command::{Enforcement, Limits, Outcome, Record};
use common::cli::{CommonArgs, Messages};
use common::exit::is_closed_pipe;
use common::interrupt::Interrupt;
use common::names::FileName;
use common::process::{Cause, Command, Input, Output};

use crate::cgroup::{self, Delegation, Left, RunGroups};
use crate::emulation::Runner;
use crate::outcome;
use crate::payload::{self, Payload};
use crate::products;
use crate::request::{BuildTask, CleanTask, Extent, Parts, Request, Task};
use crate::settings::Settings;
use crate::terminal::Terminal;

/// This process and what it was told.
pub(crate) struct Outside<'a> {
    /// The program to start inside: this one.
    pub(crate) program: PathBuf,
    /// Configuration.
    pub(crate) settings: &'a Settings,
    /// Options of every tool.
    pub(crate) common: &'a CommonArgs,
    /// Messages to the caller.
    pub(crate) messages: Messages,
    /// Raised when somebody ends us.
    pub(crate) interrupt: Interrupt,
}

/// Where standard output of the process inside goes.
enum Answer<'a> {
    /// Packages, into this directory.
    Packages(&'a Path),
    /// To our own.
    Inherit,
    /// To a terminal of its own, standard error, too.
    Terminal,
}

/// As [`End`], without an outcome when the inside gave no answer.
type MaybeEnd = (Option<Outcome>, Vec<FileName>, Option<Record>);

/// How a run ended, the packages that were put into place, and what the inside says about a build.
pub(crate) type End = (Outcome, Vec<FileName>, Option<Record>);

impl Outside<'_> {
    /// Does a task that returns no packages.
    pub(crate) fn run(&self, task: Task, payload: &Payload) -> Result<Outcome> {
        Ok(self.carry_out(task, payload, &Answer::Inherit)?.0)
    }

    /// Does a task in front of a person, who has a terminal for it.
    pub(crate) fn run_in_terminal(&self, task: Task, payload: &Payload) -> Result<Outcome> {
        Ok(self.carry_out(task, payload, &Answer::Terminal)?.0)
    }

    /// Removes what nobody uses.
    pub(crate) fn clean(&self, task: CleanTask) -> Result<Outcome> {
        // First what runs, then what it held.
        let swept = match Delegation::find(Path::new("/")) {
            Ok(delegation) => cgroup::sweep(&delegation, Left::All),
            Err(_) => Ok(()),
        };
        let outcome = self.run(Task::Clean(task), &Payload::default())?;
        swept.map(|()| outcome)
    }

    /// Builds in a control group, where that is possible, and puts the packages into `destination` when all went well.
    pub(crate) fn build(
        &self,
        (parts, mut task): (Parts, BuildTask),
        payload: &Payload,
        destination: &Path,
    ) -> Result<End> {
        let groups = self.make_groups(&task.limits);
        task.group = groups.as_ref().map(|groups| groups.build().clone());
        let end = self.carry_out(Task::Build(parts, task), payload, &Answer::Packages(destination));
        if let Some(Err(error)) = groups.map(RunGroups::remove) {
            self.messages.error(format_args!("warning: {error:#}"));
        }
        end
    }

    /// The control groups of a build; without them its processes are watched by samples alone.
    fn make_groups(&self, limits: &Limits) -> Option<RunGroups> {
        let made = Delegation::find(Path::new("/")).map_err(anyhow::Error::from);
        let made = made.and_then(|delegation| {
            cgroup::sweep(&delegation, Left::Empty)?;
            RunGroups::make(&delegation, limits, self.settings.account.as_ref())
        });
        let (enforcement, why) = match &made {
            Err(error) => (Enforcement::Sampled, format!("{error:#}")),
            Ok(groups) => {
                let (group, place) = (groups.build(), groups.build().directory().display());
                match group.enforcement() {
                    Enforcement::Cgroup => (Enforcement::Cgroup, place.to_string()),
                    Enforcement::Sampled => (
                        Enforcement::Sampled,
                        format!("{place} has not both controllers, memory and pids"),
                    ),
                }
            }
        };
        self.messages
            .detail(format_args!("limits: {}: {why}", enforcement.as_str()));
        made.ok()
    }

    fn carry_out(&self, task: Task, payload: &Payload, answer: &Answer) -> Result<End> {
        self.make_chroot_dir()?;
        let result = self.start_inside(task, payload, answer);
        if matches!(&result, Ok((None, ..))) && !self.interrupt.is_raised() {
            self.check_program()?;
        }
        let is_orderly = matches!(&result, Ok((Some(outcome), ..)) if *outcome != Outcome::Interrupted);
        if !is_orderly {
            // It may have been killed, and have left a copy.
            let cleaning = Self {
                program: self.program.clone(),
                interrupt: Interrupt::new(),
                ..*self
            };
            let clean = cleaning.start_inside(Task::Clean(remains()), &Payload::default(), &Answer::Inherit);
            if let Err(error) = clean {
                self.messages.error(format_args!(
                    "a working copy may be left, `archbuild clean` removes it: {error:#}"
                ));
            }
        }
        match result {
            Ok((Some(outcome), names, record)) => Ok((outcome, names, record)),
            _ if self.interrupt.is_raised() => Ok((Outcome::Interrupted, Vec::new(), None)),
            Err(error) => Err(error),
            Ok((None, ..)) => {
                self.messages.hint(
                    "archbuild needs unshare of util-linux 2.38, newuidmap, ranges in /etc/subuid and /etc/subgid, and in a \
                     container a /proc of which nothing is masked",
                );
                bail!("the process in the user namespace ended without an answer")
            }
        }
    }

    /// One process inside, from its start to its end.
    fn start_inside(&self, task: Task, payload: &Payload, answer: &Answer) -> Result<MaybeEnd> {
        let (input, to_inside) = io::pipe()?;
        let (from_inside, output) = io::pipe()?;
        let mut terminal = None;
        let child = self
            .command()
            .input(Input::File(File::from(OwnedFd::from(input))))
            .output(match answer {
                Answer::Packages(_) => Output::Stdout(File::from(OwnedFd::from(output))),
                Answer::Inherit => Output::Inherit,
                Answer::Terminal => {
                    let (ours, far) = Terminal::open()?;
                    terminal = Some(ours);
                    Output::Both(far)
                }
            })
            .interrupt(&self.interrupt)
            // unshare that is refused a namespace leaves a helper, which would hold our pipes for ever.
            .end_survivors()
            .spawn()?;
        let request = Request {
            verbose: self.common.verbose,
            quiet: self.common.quiet,
            arch: self.settings.arch.clone(),
            directory: self.settings.chroot_dir.join(self.settings.arch.as_str()),
            // Nothing of the target runs without a chroot.
            runner: match task.parts() {
                Some(_) => self.settings.runner()?,
                None => Runner::Native,
            },
            task,
        };
        std::thread::scope(|scope| {
            // Dropped when the child has ended: until then the pipe stays open.
            let (end, ended) = mpsc::channel::<()>();
            let feeder = scope.spawn(move || {
                let mut pipe = to_inside;
                let sent = request.send(&mut pipe).and_then(|()| payload.send(&mut pipe));
                let sent = sent.and_then(|()| match &payload.root {
                    Some(root) => payload::send_root(root, File::from(OwnedFd::from(pipe.try_clone()?))),
                    None => Ok(()),
                });
                if sent.is_ok() {
                    ended.recv().ok();
                }
                sent
            });
            let receiver = match answer {
                Answer::Packages(directory) => Some(scope.spawn(|| products::receive(from_inside, directory))),
                Answer::Inherit | Answer::Terminal => None,
            };
            let finished = child.wait();
            drop(terminal);
            drop(end);
            let sent = feeder.join();
            let products = receiver.map(|thread| thread.join());
            let outcome = match finished {
                Ok(finished) => outcome::from_inside(finished.status.code()),
                Err(Cause::Interrupted) => Some(Outcome::Interrupted),
                Err(error) => return Err(error).context("waiting for the process in the user namespace"),
            };
            if let Ok(Err(error)) = sent
                && outcome.is_none_or(|outcome| outcome == Outcome::Machine)
                && !is_closed_pipe(error.chain())
            {
                return Err(error);
            }
            let (Answer::Packages(directory), Some(Ok(received))) = (answer, products) else {
                return Ok((outcome, Vec::new(), None));
            };
            match (outcome, received) {
                // Whatever the inside says: it could not deliver because we could not take.
                (Some(Outcome::Built | Outcome::Machine), Err(error)) => Err(error),
                (_, Err(_)) => Ok((outcome, Vec::new(), None)),
                (_, Ok(mut products)) => {
                    let record = products.record.take();
                    let outcome = record
                        .as_ref()
                        .map(|record| record.outcome)
                        .filter(|said| Some(said.code()) == outcome.map(Outcome::code))
                        .or(outcome);
                    let names = match outcome {
                        Some(Outcome::Built) => products.publish(directory)?,
                        _ => Vec::new(),
                    };
                    Ok((outcome, names, record))
                }
            }
        })
    }

    /// `unshare … archbuild inside`. The init of the new PID namespace is the process inside: with it ends every
    /// process of the build.
    fn command(&self) -> Command {
        let unshare = [
            "unshare",
            "--map-auto",
            "--map-root-user",
            "--mount",
            "--pid",
            "--mount-proc",
            "--fork",
            "--kill-child",
        ];
        let mut argv: Vec<&str> = Vec::new();
        if is_32_bit_x86(self.settings.arch.as_str()) {
            argv.extend(["setarch", "i686"]);
        }
        argv.extend(unshare);
        Command::new(argv[0])
            .args(&argv[1..])
            .arg(&self.program)
            .arg("inside")
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .directory("/")
            .account(self.settings.account.as_ref())
    }

    /// Why nothing started: the account has to be able to run this program.
    fn check_program(&self) -> Result<()> {
        let Some(account) = &self.settings.account else {
            return Ok(());
        };
        let tried = Command::new(&self.program)
            .arg("--version")
            .directory("/")
            .account(Some(account))
            .run();
        if tried.is_err() {
            bail!(
                "the account {} cannot run {}: install archbuild where everybody can",
                account.name,
                self.program.display()
            );
        }
        Ok(())
    }

    /// Root makes the directory for the account; somebody else's is not taken.
    fn make_chroot_dir(&self) -> Result<()> {
        let path = &self.settings.chroot_dir;
        let making = || format!("cannot make the directory {}", path.display());
        if !path.exists() {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).with_context(making)?;
            }
            self.make_whole(path).with_context(making)?;
        }
        if let Some(account) = &self.settings.account {
            let owner = fs::metadata(path)?.uid();
            if owner != account.uid {
                bail!(
                    "{} belongs to another user: when root builds it has to be {}'s",
                    path.display(),
                    account.name
                );
            }
        }
        Ok(())
    }

    /// Makes a directory that has its owner when it appears; two that make it at one time do not disturb each other.
    fn make_whole(&self, path: &Path) -> io::Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}", std::process::id()));
        let new = PathBuf::from(name);
        fs::DirBuilder::new().mode(0o755).create(&new)?;
        let owned = match &self.settings.account {
            Some(account) => chown(&new, Some(account.uid), Some(account.gid)),
            None => Ok(()),
        };
        let made = owned.and_then(|()| fs::rename(&new, path));
        if made.is_err() {
            fs::remove_dir(&new)?;
        }
        if path.is_dir() { Ok(()) } else { made }
    }
}

/// What a killed run may have left.
const fn remains() -> CleanTask {
    CleanTask {
        extent: Extent::Copies,
        copies: Vec::new(),
        packages: Vec::new(),
    }
}

/// Programs of this target see a 32-bit machine.
fn is_32_bit_x86(arch: &str) -> bool {
    cfg!(target_arch = "x86_64") && matches!(arch, "i386" | "i486" | "i586" | "i686" | "pentium4")
}
