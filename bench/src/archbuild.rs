//! archbuild: what a working copy, installed dependencies and a clean build cost, against `cp -a`, makepkg and pacman.
//!
//! Needs the test mirror (`PORTSMITH_TEST_MIRROR`, which `scripts/bench` makes); the emulated build needs the foreign one
//! (`PORTSMITH_TEST_FOREIGN_MIRROR`), qemu and the sources of the demo port (`PORTSMITH_TEST_SOURCES`).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use common::account::{self, Account};
use common::atomic;
use common::build_command::{Phase, Record};
use common::config::Config;
use common::interrupt::Interrupt;
use common::process::Command;

use crate::figures::{Run, Series};
use crate::measure::{Measured, Program};

/// A package whose functions do nothing, with dependencies that are in no root.
const TRIVIAL: &str = "pkgname=trivial\npkgver=1\npkgrel=1\narch=(any)\nmakedepends=(flex bison)\npackage() { :; }\n";
/// A peer slower than this runs once.
const SLOW: Duration = Duration::from_secs(10);
/// The demo's program that is built emulated, and its PKGBUILD below the tree.
const DEMO: &str = "ed";
const DEMO_PKGBUILD: &str = "tests/port/packages/ed/repos/core-x86_64/PKGBUILD";

/// Where things are built.
struct Yard {
    directory: PathBuf,
    mirror: PathBuf,
    account: Option<Account>,
}

/// Measures everything.
pub(crate) fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    let Some(mirror) = std::env::var_os("PORTSMITH_TEST_MIRROR").map(PathBuf::from) else {
        run.figures.leave_out("the test mirror (PORTSMITH_TEST_MIRROR)");
        return Ok(());
    };
    let yard = Yard::make(&run.directory, mirror)?;
    run.messages.note("making roots");
    yard.race_pacman(run)?;
    run.messages.note("copying the root");
    let copying = yard.time_of_cp(run.rounds.min(3))?;
    run.messages.note("building");
    yard.race_makepkg(copying, run)?;
    run.messages.note("building for another architecture");
    yard.emulate(run)?;
    yard.archbuild(std::env::consts::ARCH, &["clean", "--all"])?.run()?;
    Ok(())
}

impl Yard {
    fn make(directory: &Path, mirror: PathBuf) -> anyhow::Result<Self> {
        let account = account::to_drop_to(&Config::default())?;
        atomic::create_directory(directory)?;
        let yard = Self {
            directory: directory.to_owned(),
            mirror,
            account,
        };
        yard.package("trivial", TRIVIAL)?;
        Ok(yard)
    }

    /// A directory that the account owns, with a PKGBUILD.
    fn package(&self, name: &str, pkgbuild: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.join(name);
        atomic::create_directory(&path)?;
        atomic::write(&path.join("PKGBUILD"), pkgbuild.as_bytes())?;
        // Temporary directories are closed to others.
        for open in [&self.directory, self.directory.parent().unwrap_or(&self.directory)] {
            Command::new("chmod").arg("a+rx").arg(open).run()?;
        }
        if let Some(account) = &self.account {
            let owner = format!("{}:{}", account.uid, account.gid);
            // It makes and removes directories there.
            Command::new("chown").arg(&owner).arg(&self.directory).run()?;
            Command::new("chown").args(["-R", &owner]).arg(&path).run()?;
        }
        Ok(path)
    }

    fn archbuild(&self, arch: &str, arguments: &[&str]) -> anyhow::Result<Program> {
        let foreign = std::env::var_os("PORTSMITH_TEST_FOREIGN_MIRROR").map(PathBuf::from);
        let mirror = match foreign {
            Some(foreign) if arch != std::env::consts::ARCH => foreign,
            _ => self.mirror.clone(),
        };
        let program = Program::of_project("archbuild")?
            .args(["--arch", arch, "-q"])
            .args(arguments)
            .env("PORTSMITH_CONFIG", "/dev/null")
            .env("PORTSMITH_PACMAN_CONF", mirror.join("host.conf"))
            .env("PORTSMITH_MAKEPKG_CONF", mirror.join("makepkg.conf"))
            .env("PORTSMITH_KEYRING", &self.directory)
            .env("PORTSMITH_CHROOT_DIR", self.directory.join("chroots"));
        Ok(match std::env::var_os("PORTSMITH_TEST_SOURCES") {
            Some(sources) => program.env("PORTSMITH_SRCDEST", sources),
            None => program,
        })
    }

    fn build(&self, arch: &str, package: &str) -> anyhow::Result<(Measured, Record)> {
        let directory = self.directory.join(package);
        let local = directory.to_str().context("the directory is not UTF-8")?;
        let options = ["build", "--json", "--ignorearch", "--nocheck", "--local", local];
        let measured = self.archbuild(arch, &options)?.run()?;
        let record = Record::read(measured.stdout.as_bytes()).context("archbuild printed no record")?;
        Ok((measured, record))
    }

    /// A program as the account that builds, root of a user namespace.
    fn as_root_of_namespace(&self, program: &str) -> anyhow::Result<Program> {
        let identity = self.account.as_ref().map(|account| (account.uid, account.gid));
        let program = match identity {
            None => Program::of_system("unshare").context("unshare is missing")?,
            Some((uid, gid)) => Program::of_system("setpriv")
                .context("setpriv is missing")?
                .args([format!("--reuid={uid}"), format!("--regid={gid}")])
                .args(["--clear-groups", "unshare"]),
        }
        .args(["--map-auto", "--map-root-user", program]);
        Ok(program)
    }

    /// `pacman -r` of the same packages from the same mirror, with an empty cache, and `archbuild create`.
    fn race_pacman(&self, run: &mut Run<'_>) -> anyhow::Result<()> {
        let (mut ours, mut theirs) = (Series::default(), Series::default());
        let conf = self.directory.join("pacman.conf");
        let section = fs::read_to_string(self.mirror.join("host.conf")).context("the mirror has no host.conf")?;
        let arch = std::env::consts::ARCH;
        atomic::write(&conf, format!("[options]\nArchitecture = {arch}\n{section}").as_bytes())?;
        for round in 0..run.rounds.min(5) {
            self.archbuild(arch, &["clean", "--all"])?.run()?;
            ours.push(self.archbuild(arch, &["create"])?.run()?.time);
            let root = self.package(&format!("peer-{round}"), "")?;
            for part in ["var/lib/pacman", "cache"] {
                fs::create_dir_all(root.join(part))?;
            }
            self.package(&format!("peer-{round}"), "")?;
            let place = |name: &str| root.join(name).into_os_string();
            let pacman = self
                .as_root_of_namespace("pacman")?
                .args(["--noconfirm", "--noprogressbar", "--config"])
                .args([&conf])
                .args(["--root".into(), place(""), "--dbpath".into(), place("var/lib/pacman")])
                .args(["--cachedir".into(), place("cache"), "--logfile".into(), place("log")])
                .args(["--hookdir".into(), place("hooks"), "--gpgdir".into(), place("gnupg")])
                .args(["-Sy", "base", "base-devel"]);
            theirs.push(pacman.run()?.time);
            self.as_root_of_namespace("rm")?.args(["-rf"]).args([&root]).run()?;
        }
        run.figures.milliseconds("create", ours.median())?;
        run.figures.ratio("create_vs_pacman", theirs.median(), ours.median())?;
        Ok(())
    }

    fn time_of_cp(&self, rounds: usize) -> anyhow::Result<Duration> {
        let root = self
            .directory
            .join("chroots")
            .join(std::env::consts::ARCH)
            .join("root/.");
        let mut times = Series::default();
        for _ in 0..rounds {
            let copy = self.package("cp", "")?;
            let copied = self
                .as_root_of_namespace("cp")?
                .args(["-a"])
                .args([&root])
                .args([&copy])
                .run()?;
            self.as_root_of_namespace("rm")?.args(["-rf"]).args([&copy]).run()?;
            times.push(copied.time);
            if copied.time > SLOW {
                break;
            }
        }
        Ok(times.median())
    }

    /// Builds the trivial package with archbuild, and with makepkg alone on this machine.
    fn race_makepkg(&self, copying: Duration, run: &mut Run<'_>) -> anyhow::Result<()> {
        let (mut ours, mut theirs) = (Series::default(), Series::default());
        let (mut copy, mut install) = (Series::default(), Series::default());
        let arch = std::env::consts::ARCH;
        let first = self.build(arch, "trivial")?.1;
        for _ in 0..run.rounds {
            let (measured, record) = self.build(arch, "trivial")?;
            ours.push(measured.time);
            copy.push(phase(&record, Phase::Setup)?);
            install.push(phase(&record, Phase::Dependencies)?);
            theirs.push(self.makepkg()?);
        }
        // The record has whole milliseconds.
        let copy = copy.median().max(Duration::from_millis(1));
        run.figures.milliseconds("copy", copy)?;
        run.figures.ratio("cp_ratio", copying, copy)?;
        run.figures
            .milliseconds("first_install", phase(&first, Phase::Dependencies)?)?;
        run.figures.milliseconds("cached_install", install.median())?;
        run.figures.milliseconds("build", ours.median())?;
        run.figures.milliseconds("makepkg", theirs.median())?;
        run.figures
            .milliseconds("overhead", ours.median().saturating_sub(theirs.median()))?;
        Ok(())
    }

    fn makepkg(&self) -> anyhow::Result<Duration> {
        let directory = self.directory.join("trivial");
        let begin = std::time::Instant::now();
        Command::new("makepkg")
            .args(["--nodeps", "--force", "--cleanbuild", "--config"])
            .arg(self.mirror.join("makepkg.conf"))
            .env("HOME", &directory)
            .env("PKGDEST", &directory)
            .directory(&directory)
            .account(self.account.as_ref())
            .interrupt(&Interrupt::new())
            .run()?;
        Ok(begin.elapsed())
    }

    /// The same program of the demo natively and emulated.
    fn emulate(&self, run: &mut Run<'_>) -> anyhow::Result<()> {
        let wanted = ["PORTSMITH_TEST_FOREIGN_MIRROR", "PORTSMITH_TEST_SOURCES"];
        let is_here = wanted.iter().all(|name| std::env::var_os(name).is_some());
        if !is_here || Program::of_system("qemu-aarch64-static").is_none() || std::env::consts::ARCH == "aarch64" {
            run.figures.leave_out("qemu-aarch64-static with a foreign test mirror");
            return Ok(());
        }
        self.package(DEMO, &demo_pkgbuild()?)?;
        let native = self.build(std::env::consts::ARCH, DEMO)?.1;
        self.archbuild("aarch64", &["create"])?.run()?;
        let emulated = self.build("aarch64", DEMO)?.1;
        ensure!(emulated.arch.as_str() == "aarch64", "the emulated build was none");
        let time = |record: &Record| Duration::from_millis(record.milliseconds);
        run.figures.milliseconds("native_build", time(&native))?;
        run.figures.milliseconds("emulated_build", time(&emulated))?;
        run.figures.ratio("emulated_slowdown", time(&emulated), time(&native))?;
        Ok(())
    }
}

fn phase(record: &Record, phase: Phase) -> anyhow::Result<Duration> {
    let found = record.phases.iter().find(|time| time.phase == phase);
    let found = found.with_context(|| format!("the build had no phase {phase}"))?;
    Ok(Duration::from_millis(found.milliseconds))
}

/// The PKGBUILD with what was fetched for it.
fn demo_pkgbuild() -> anyhow::Result<String> {
    let sources = PathBuf::from(std::env::var_os("PORTSMITH_TEST_SOURCES").unwrap_or_default());
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(tree.join(DEMO_PKGBUILD)).context("the demo port is missing")?;
    let index = fs::read_to_string(sources.join("index")).context("the sources have no index")?;
    let line = index.lines().find(|line| line.starts_with(&format!("{DEMO} ")));
    let words: Vec<&str> = line.unwrap_or_default().split(' ').collect();
    ensure!(words.len() == 4, "the index has no line for {DEMO}");
    let replaced = text.replace("@pkgver@", words[1]).replace("@source@", words[2]);
    Ok(replaced.replace("@sha256@", words[3]))
}
