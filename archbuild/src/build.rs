//! The phases of a build: dependencies, sources (with network), build with check and package (without).
//!
//! PKGBUILDs are hostile, also to read: every phase that evaluates one runs in the sandbox as the build user.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use common::names::PkgBase;
use common::process::{Cause, Command, Output};

use crate::outcome::Class;
use crate::products;
use crate::request::BuildTask;
use crate::sandbox::{Network, Sandbox, Sources, User, give_to_builder};
use crate::session::Session;
use crate::sources::SourceCache;
use crate::srcinfo::SrcInfo;

/// makepkg's exit codes that say what went wrong (its `util/error.sh`).
const MAKEPKG_FUNCTION_FAILED: i32 = 4;
const MAKEPKG_DEPENDENCIES: i32 = 8;
const MAKEPKG_PKGBUILD_ERROR: i32 = 12;

/// Where keys for `validpgpkeys` lie beside a PKGBUILD.
const PGP_KEYS: &str = "keys/pgp";

/// One build.
struct Build<'s, 'a> {
    session: &'s mut Session<'a>,
    task: &'s BuildTask,
    sandbox: Sandbox,
    deadline: Option<Instant>,
}

/// Builds the package in the run's directory and sends its files.
pub(crate) fn run(session: &mut Session, task: &BuildTask, arch: &str, answer: &mut dyn Write) -> Result<()> {
    let sandbox = Sandbox::new(session, &task.environment)?;
    if task.clean {
        session.update_root()?;
    }
    session.mount_copy(&sandbox)?;
    let mut build = Build {
        deadline: task.time_limit.map(|limit| Instant::now() + Duration::from_secs(limit)),
        session,
        task,
        sandbox,
    };
    let info = build.prepare_copy(arch)?;
    build.add_known_sources(&info)?;
    let _cache = build.make_sources_ready(&info.pkgbase)?;
    build.make_packages()?;
    let names = products::send(build.sandbox.packages(), &info.pkgnames, answer)?;
    if names.is_empty() {
        return Err(anyhow!("makepkg made no package")).context(Class::Failed);
    }
    Ok(())
}

impl Build<'_, '_> {
    /// Brings the copy up to date, reads the PKGBUILD and installs what it needs.
    fn prepare_copy(&mut self, arch: &str) -> Result<SrcInfo> {
        let (pacman, root) = (&self.session.pacman, self.session.copy.root());
        pacman.refresh(&root)?;
        if !pacman.outdated(&root)?.is_empty() {
            pacman.upgrade(&root).context(Class::Dependencies)?;
        }
        self.session.configure()?;
        let files = self.files_to_install()?;
        if !files.is_empty() {
            pacman.install_files(&root, &files).context(Class::Dependencies)?;
        }
        let info = self.read_pkgbuild(arch)?;
        let missing = pacman.missing(&root, &info.wanted(self.task.check))?;
        if !missing.is_empty() {
            self.session
                .messages
                .detail(format_args!("installing {}", missing.join(" ")));
            pacman.install(&root, &missing).context(Class::Dependencies)?;
        }
        Ok(info)
    }

    fn files_to_install(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.session.copy.part(crate::payload::INSTALL)?)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    fn read_pkgbuild(&self, arch: &str) -> Result<SrcInfo> {
        let command = self
            .makepkg(Network::None, Sources::ReadOnly, &["--printsrcinfo"])
            .output(Output::Capture);
        let read = command.run().map_err(|error| match error.cause {
            Cause::Timeout { .. } => anyhow!("the PKGBUILD is still being read").context(Class::Limit),
            cause => anyhow!("the PKGBUILD cannot be read: {cause}").context(Class::Failed),
        })?;
        SrcInfo::parse(&String::from_utf8_lossy(&read.stdout), arch).context(Class::Failed)
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
        let ended = self.phase(
            "makepkg --nobuild",
            self.makepkg(Network::Host, Sources::Writable, &["--nobuild"]),
        )?;
        let class = match ended {
            0 => return Ok(cache),
            MAKEPKG_FUNCTION_FAILED | MAKEPKG_PKGBUILD_ERROR => Class::Failed,
            MAKEPKG_DEPENDENCIES => Class::Dependencies,
            _ => Class::Sources,
        };
        if let (Some(cache), Class::Sources) = (&cache, class) {
            cache.forget()?;
        }
        Err(anyhow!("makepkg --nobuild: exit code {ended}")).context(class)
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

    /// build(), check() and package(), without network.
    fn make_packages(&self) -> Result<()> {
        let options = ["--noextract", "--holdver"];
        let ended = self.phase("makepkg", self.makepkg(Network::None, Sources::ReadOnly, &options))?;
        match ended {
            0 => Ok(()),
            MAKEPKG_DEPENDENCIES => Err(anyhow!("makepkg: exit code {ended}")).context(Class::Dependencies),
            _ => Err(anyhow!("makepkg: exit code {ended}")).context(Class::Failed),
        }
    }

    fn makepkg(&self, network: Network, sources: Sources, options: &[&str]) -> Command {
        let mut argv: Vec<OsString> = vec!["makepkg".into()];
        argv.extend(options.iter().map(Into::into));
        argv.extend(["--noconfirm", "--noprogressbar", "--nosign", "--nocolor"].map(Into::into));
        argv.extend(self.task.makepkg.iter().cloned());
        let command = self.sandbox.command(User::Builder, network, sources, argv);
        match self.deadline {
            Some(deadline) => command.timeout(deadline.saturating_duration_since(Instant::now())),
            None => command,
        }
    }

    /// Runs one phase. Its exit code is for the caller to judge.
    fn phase(&self, name: &str, command: Command) -> Result<i32> {
        self.session.messages.detail(name);
        match command.wait() {
            // bwrap turns a signal into a code.
            Ok(finished) => Ok(finished.status.code().unwrap_or(1)),
            Err(error) => match error.cause {
                Cause::Timeout { .. } => Err(anyhow!("{name}: {}", error.cause)).context(Class::Limit),
                Cause::Interrupted => bail!(Class::Interrupted),
                cause => bail!("{name}: {cause}"),
            },
        }
    }
}
