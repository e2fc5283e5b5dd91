//! pacman of the host, working on a root or a working copy.
//!
//! It runs as root of the namespace in a box of its own, which shows it the host's programs (read only), the root, the
//! caches and the directories of local repositories, and nothing else: install scripts come out of packages that
//! somebody built, and must not find the caller's files. Downloads go into a cache of this run, and from there under
//! their final names into the common one, so that any number of runs can share it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use common::interrupt::Interrupt;
use common::process::{Cause, Command, Finished, Output};

use crate::copy::WorkingCopy;
use crate::layout::Layout;
use crate::layout::SYNC;
use crate::payload;
use crate::request::Parts;

/// pacman -T and -Qu: something is missing, nothing is out of date.
const NOTHING_OR_MISSING: &[i32] = &[1, 127];
/// Directories of the host's programs. Some are links.
const HOST_PROGRAMS: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// pacman for one run.
#[derive(Debug)]
pub(crate) struct Pacman {
    arguments: Vec<PathBuf>,
    configuration: String,
    databases: &'static str,
    run_directory: PathBuf,
    common_cache: PathBuf,
    own_cache: PathBuf,
    interrupt: Interrupt,
    deadline: Option<Instant>,
}

/// What a pacman works on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// A new root.
    Root(&'a Parts),
    /// A working copy.
    Copy(&'a Parts),
}

/// Whether packages downloaded by other runs are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CommonCache {
    Used,
    Avoided,
}

impl Pacman {
    /// Prepares the box, with a configuration and the keyring of this run.
    pub(crate) fn new(
        layout: &Layout,
        copy: &WorkingCopy,
        purpose: Purpose<'_>,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let (name, databases, text, parts) = match purpose {
            Purpose::Root(parts) => ("root.conf", "root.databases", &parts.root_conf, parts),
            Purpose::Copy(parts) => ("copy.conf", "copy.databases", &parts.copy_conf, parts),
        };
        let conf = copy.directory().join(name);
        common::atomic::write_unsynced(&conf, text.as_bytes())?;
        let (keyring, install) = (copy.part(payload::KEYRING)?, copy.part(payload::INSTALL)?);
        complete_keyring(&keyring)?;
        let own_cache = copy.part("cache")?;
        let mut arguments = ["--clearenv", "--ro-bind", "/usr", "/usr"].map(PathBuf::from).to_vec();
        for name in HOST_PROGRAMS {
            let path = Path::new("/").join(name);
            match fs::read_link(&path) {
                Ok(target) => arguments.extend(["--symlink".into(), target, path]),
                Err(_) if path.is_dir() => arguments.extend(["--ro-bind".into(), path.clone(), path]),
                Err(_) => {}
            }
        }
        // Before the repositories, which may lie in /tmp.
        arguments.extend(["--dev", "/dev", "--proc", "/proc", "--perms", "1777", "--tmpfs", "/tmp"].map(PathBuf::from));
        for (name, value) in &parts.proxies {
            arguments.extend(["--setenv", name, value].map(PathBuf::from));
        }
        let mut read = vec![(PathBuf::from("/etc"), PathBuf::from("/etc"))];
        read.extend(parts.server_directories.iter().map(|path| (path.clone(), path.clone())));
        // Often a link to a file that a daemon keeps below /run.
        if let Ok(file) = fs::canonicalize("/etc/resolv.conf")
            && !file.starts_with("/etc")
        {
            read.push((file.clone(), file));
        }
        read.push((layout.cache(), "/packages".into()));
        read.push((conf, "/pacman.conf".into()));
        read.push((install, "/install".into()));
        for (from, to) in read {
            // A repository that is missing is for pacman to name.
            arguments.extend(["--ro-bind-try".into(), from, to]);
        }
        for (from, to) in [(own_cache.clone(), "/cache"), (keyring, "/gnupg")] {
            arguments.extend(["--bind".into(), from, to.into()]);
        }
        Ok(Self {
            arguments,
            configuration: text.clone(),
            databases,
            run_directory: copy.directory().to_owned(),
            common_cache: layout.cache(),
            own_cache,
            interrupt: interrupt.clone(),
            deadline: None,
        })
    }

    /// Ends whatever runs then: a mirror or a scriptlet of a package may keep it waiting for ever.
    pub(crate) const fn end_at(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// The text of its pacman.conf.
    pub(crate) fn configuration(&self) -> &str {
        &self.configuration
    }

    /// The name below the run's directory under which it looks for databases.
    pub(crate) const fn databases(&self) -> &'static str {
        self.databases
    }

    fn command(&self, root: &Path, cache: CommonCache) -> Command {
        let mut command =
            Command::new("bwrap")
                .args(&self.arguments)
                .args(["--bind".as_ref(), root.as_os_str(), "/chroot".as_ref()]);
        if root.starts_with(&self.run_directory) {
            // A working copy: the databases of this run, over those of the root.
            let databases = self.run_directory.join(self.databases);
            command = command
                .arg("--bind")
                .arg(databases)
                .arg(Path::new("/chroot").join(SYNC));
        }
        let mut command = command
            .args(["--dev", "/chroot/dev", "--proc", "/chroot/proc"])
            .args(["--perms", "1777", "--tmpfs", "/chroot/tmp", "--chdir", "/"])
            .args(["--unshare-pid", "--unshare-ipc", "--die-with-parent", "--new-session"])
            .args(["--setenv", "LANG", "C.UTF-8", "--setenv", "PATH"])
            .arg("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["pacman", "--noconfirm", "--color", "never"])
            .args([
                "--root",
                "/chroot",
                "--dbpath",
                "/chroot/var/lib/pacman",
                "--config",
                "/pacman.conf",
            ])
            .args([
                "--hookdir",
                "/chroot/etc/pacman.d/hooks",
                "--logfile",
                "/chroot/var/log/pacman.log",
            ])
            .args(["--gpgdir", "/gnupg", "--cachedir", "/cache"])
            .interrupt(&self.interrupt)
            .output(Output::ToStderr);
        if cache == CommonCache::Used {
            command = command.args(["--cachedir", "/packages"]);
        }
        match self.deadline {
            Some(deadline) => command.timeout(deadline.saturating_duration_since(Instant::now())),
            None => command,
        }
    }

    /// Reads the newest databases.
    pub(crate) fn refresh(&self, root: &Path) -> Result<()> {
        run(
            "pacman -Sy",
            self.command(root, CommonCache::Used).args(["-Sy", "--noprogressbar"]),
        )
    }

    /// Installs the packages of a new root.
    pub(crate) fn install_root(&self, root: &Path, packages: &[&str]) -> Result<()> {
        let packages: Vec<String> = packages.iter().map(|name| (*name).to_owned()).collect();
        self.change(root, &["-S", "--needed"], &packages)
    }

    /// Brings what is installed up to date, and installs dependencies, which may be given with versions.
    pub(crate) fn install(&self, root: &Path, wanted: &[String]) -> Result<()> {
        self.change(root, &["-Su", "--needed", "--asdeps"], wanted)
    }

    /// What [`Pacman::install`] would install: `REPOSITORY NAME-VERSION` a line.
    pub(crate) fn resolve(&self, root: &Path, wanted: &[String]) -> Result<Vec<String>> {
        let command = self
            .command(root, CommonCache::Used)
            .args(["-Su", "--needed", "--print-format", "%r %n-%v", "--"])
            .args(wanted);
        let mut lines = query("pacman -Sup", command)?;
        lines.retain(|line| line.split(' ').count() == 2);
        lines.sort();
        Ok(lines)
    }

    /// Installs the package files that came with the request.
    pub(crate) fn install_files(&self, root: &Path, names: &[String]) -> Result<()> {
        let paths: Vec<String> = names.iter().map(|name| format!("/install/{name}")).collect();
        self.change(root, &["-U", "--asdeps"], &paths)
    }

    /// A transaction. A package in the common cache may have been replaced by another of the same name since: what
    /// fails with that cache is tried once more without.
    fn change(&self, root: &Path, options: &[&str], targets: &[String]) -> Result<()> {
        let name = format!("pacman {}", options[0]);
        let attempt = |cache| {
            let command = self
                .command(root, cache)
                .args(options)
                .args(["--noprogressbar", "--"])
                .args(targets);
            run(&name, command)
        };
        let mut changed = attempt(CommonCache::Used);
        if changed.is_err() && !self.interrupt.is_raised() && !is_empty(&self.common_cache) {
            changed = attempt(CommonCache::Avoided);
        }
        self.keep_downloads()?;
        changed
    }

    /// The dependencies that nothing installed satisfies.
    pub(crate) fn missing(&self, root: &Path, dependencies: &[String]) -> Result<Vec<String>> {
        let command = self
            .command(root, CommonCache::Used)
            .arg("-T")
            .arg("--")
            .args(dependencies);
        query("pacman -T", command)
    }

    /// The installed packages for which there is a newer version.
    pub(crate) fn outdated(&self, root: &Path) -> Result<Vec<String>> {
        let mut lines = query("pacman -Qu", self.command(root, CommonCache::Used).arg("-Qu"))?;
        lines.retain(|line| !line.ends_with("[ignored]"));
        Ok(lines)
    }

    /// Moves complete downloads into the common cache. A file of the same name there is replaced: ours was verified
    /// just now.
    fn keep_downloads(&self) -> Result<()> {
        for entry in fs::read_dir(&self.own_cache)? {
            let entry = entry?;
            let name = entry.file_name();
            let text = name.to_string_lossy();
            if text.contains(".pkg.tar") && !text.ends_with(".part") && entry.file_type()?.is_file() {
                fs::rename(entry.path(), self.common_cache.join(&name)).context("cannot keep a downloaded package")?;
            }
        }
        Ok(())
    }
}

/// pacman looks for `pubring.gpg` before it asks gpg, which has kept keys in `pubring.kbx` for years.
fn complete_keyring(home: &Path) -> Result<()> {
    if home.join("pubring.kbx").exists() && !home.join("pubring.gpg").exists() {
        common::atomic::write_unsynced(&home.join("pubring.gpg"), b"")?;
    }
    Ok(())
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none())
}

/// Runs a command that has a long argument vector under a short name.
pub(crate) fn run(name: &str, command: Command) -> Result<()> {
    command.run().map_err(|error| anyhow!("{name}: {}", error.cause))?;
    Ok(())
}

fn query(name: &str, command: Command) -> Result<Vec<String>> {
    let finished: Finished = command
        .output(Output::Capture)
        .wait()
        .map_err(|error| anyhow!("{name}: {}", error.cause))?;
    match finished.status.code() {
        Some(0) => {}
        Some(code) if NOTHING_OR_MISSING.contains(&code) && finished.stderr.is_empty() => {}
        code => {
            let cause = match code {
                Some(code) => Cause::Code {
                    code,
                    tail: String::from_utf8_lossy(&finished.stderr).trim().replace('\n', " / "),
                },
                None => Cause::Interrupted,
            };
            bail!("{name}: {cause}");
        }
    }
    Ok(finished.text().lines().map(str::to_owned).collect())
}
