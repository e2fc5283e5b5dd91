//! The configuration of one call: what was typed, over the environment, over the file, checked and absolute.

use std::path::{Path, PathBuf};

use anyhow::Result;
use common::account::{self, Account};
use common::build_command::{LimitArgs, Limits, Variables, Workplace, variables_of_builds, variables_to_network};
use common::config::{Config, ConfigError, Environment};
use common::names::{Arch, Repository};

use crate::cli::ChrootArgs;
use crate::emulation::Runner;
use crate::pacman_conf::PacmanConf;
use crate::request::Parts;

/// Where chroots are.
const WORKPLACE: Workplace = Workplace {
    key: "chroot_dir",
    of_system: "/var/lib/portsmith/chroots",
    of_person: "",
};
/// Where the files of a target are, `ARCH/pacman.conf` and the like, when no key names them.
const TARGETS: &[&str] = &["/etc/portsmith", "/usr/share/portsmith"];
/// The keyring that pacman of the host uses.
const PACMAN_KEYRING: &str = "/etc/pacman.d/gnupg";
/// The time that goes into files.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Where chroots are and who owns them.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The target.
    pub(crate) arch: Arch,
    /// The directory of all chroots.
    pub(crate) chroot_dir: PathBuf,
    /// The account that root drops to; none when the caller is not root.
    pub(crate) account: Option<Account>,
    /// A directory with sources that are there already; never written.
    pub(crate) srcdest: Option<PathBuf>,
    /// The gpg home directory with the keys of packagers.
    pub(crate) keyring: Option<PathBuf>,
    /// Variables that the build sees.
    pub(crate) variables: Variables,
    proxies: Variables,
    config: Config,
}

impl Settings {
    /// Reads the keys that every sub-command needs.
    pub(crate) fn new(mut config: Config, args: &ChrootArgs, environment: &Environment, cwd: &Path) -> Result<Self> {
        if let Some(arch) = &args.arch {
            config.set("arch", arch.as_str());
        }
        config.set_path("chroot_dir", args.chroot_dir.as_deref(), cwd);
        args.target.overrule(&mut config, cwd);
        if config.text("arch").is_none()
            && let Some(arch) = target_of(&config)?
        {
            config.set("arch", arch);
        }
        let arch = config.arch()?;
        for (key, name) in [("pacman_conf", "pacman.conf"), ("makepkg_conf", "makepkg.conf")] {
            if config.text(key).is_none()
                && let Some(path) = file_of(&arch, name)
            {
                config.set(key, path.display().to_string());
            }
        }
        let account = account::to_drop_to(&config)?;
        let keyring = config.path("keyring")?.or_else(|| file_of(&arch, "keyring"));
        // That of the host has the keys of another port, where the target is another one.
        let is_of_host = arch.as_str() == std::env::consts::ARCH;
        Ok(Self {
            arch,
            srcdest: config.path("srcdest")?,
            keyring: keyring
                .or_else(|| Some(PACMAN_KEYRING.into()).filter(|path: &PathBuf| is_of_host && path.is_dir())),
            chroot_dir: WORKPLACE.find(&config, account.as_ref(), environment)?,
            account,
            variables: variables_of_builds(&config, environment),
            proxies: variables_to_network(environment),
            config,
        })
    }

    /// Reads what chroots are made from.
    pub(crate) fn parts(&self, more_repositories: &[(Repository, String)]) -> Result<Parts> {
        let base = PacmanConf::read(&self.config.required_path("pacman_conf")?)?;
        let mut conf = base.clone();
        for (name, url) in more_repositories.iter().rev() {
            conf.prepend(name.as_str(), url);
        }
        Ok(Parts {
            repositories: base.repositories().map(str::to_owned).collect(),
            root_conf: base.for_host(self.arch.as_str()),
            copy_conf: conf.for_host(self.arch.as_str()),
            chroot_conf: conf.for_chroot(self.arch.as_str()),
            server_directories: conf.local_directories(),
            makepkg_conf: self.config.file_text("makepkg_conf")?,
            proxies: self.proxies.clone(),
            binds: Vec::new(),
        })
    }

    /// How programs of the target run on this machine.
    pub(crate) fn runner(&self) -> Result<Runner> {
        Runner::find(self.arch.as_str(), self.emulator()?)
    }

    /// The operator's choice of an interpreter.
    pub(crate) fn emulator(&self) -> Result<Option<PathBuf>, ConfigError> {
        self.config.path("emulator")
    }

    /// Whether check() runs in emulated builds.
    pub(crate) fn checks_when_emulated(&self) -> Result<bool, ConfigError> {
        self.config.switch("emulated_check", true)
    }

    /// What a build may use.
    pub(crate) fn limits(&self, args: &LimitArgs) -> Result<Limits, ConfigError> {
        Limits::read(args, &self.config)
    }

    /// Variables for building what lies in a directory. The time that goes into files is that of its commit when the
    /// caller says nothing, else `otherwise`, where it has to be a fixed one.
    pub(crate) fn variables_for(&self, directory: &Path, otherwise: Option<u64>) -> Variables {
        let mut variables = self.variables.clone();
        if !variables.iter().any(|(name, _)| name == SOURCE_DATE_EPOCH)
            && let Some(time) = common::git::time_of_work_tree(directory).or(otherwise)
        {
            variables.push((SOURCE_DATE_EPOCH.to_owned(), time.to_string()));
        }
        variables
    }
}

/// The target that makepkg.conf or pacman.conf names, when one of them is configured and does.
fn target_of(config: &Config) -> Result<Option<String>> {
    if let Some(path) = config.path("makepkg_conf")?
        && let Ok(text) = std::fs::read_to_string(path)
        && let Some(arch) = text.lines().rev().find_map(|line| line.trim().strip_prefix("CARCH="))
    {
        return Ok(Some(arch.trim_matches(['"', '\'']).to_owned()));
    }
    match config.path("pacman_conf")? {
        Some(path) if path.is_file() => Ok(PacmanConf::read(&path)?.architecture().map(str::to_owned)),
        _ => Ok(None),
    }
}

/// A file or directory of a target.
fn file_of(arch: &Arch, name: &str) -> Option<PathBuf> {
    let paths = TARGETS
        .iter()
        .map(|place| Path::new(place).join(arch.as_str()).join(name));
    let mut found = paths.into_iter().filter(|path| path.exists());
    found.next()
}
