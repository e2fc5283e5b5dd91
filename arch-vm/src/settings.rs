//! The configuration of one call: what was typed, over the environment, over the file, checked and absolute.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use archbuild::pacman_conf::PacmanConf;
use common::account::{self, Account};
use common::build_command::{Variables, Workplace, passed, variables_of_builds, variables_to_network};
use common::config::{Config, Environment};
use common::names::{Arch, PkgName, Repository};

use crate::cli::{MachineArgs, PlaceArgs, Start};
use crate::partition::DiskLayout;

/// Where images and machines are.
const WORKPLACE: Workplace = Workplace {
    key: "vm_dir",
    of_system: "/var/lib/portsmith/vm",
    of_person: "vm",
};
/// The keyring that pacman of the host uses.
const PACMAN_KEYRING: &str = "/etc/pacman.d/gnupg";
/// What a guest needs besides base and base-devel, in Arch's words.
const PACKAGES: &str = "openssh sudo linux iproute2";
/// One file system, sparse.
const LAYOUT: &str = "/:32G";
/// A base image older than so many seconds is made anew before the next build.
const BASE_SECONDS: u64 = 86_400;
/// Where nothing is configured: MiB of memory, MiB that a machine may write, seconds until it has to be ready.
const MEMORY_MIB: u64 = 1024;
const OVERLAY_MIB: u64 = 8192;
const BOOT_SECONDS: u64 = 300;

/// Where things are and what they are made from.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The target.
    pub(crate) arch: Arch,
    /// The directory of images and machines.
    pub(crate) vm_dir: PathBuf,
    /// The account that root drops to; none when the caller is not root.
    pub(crate) account: Option<Account>,
    /// The gpg home directory with the keys of packagers.
    pub(crate) keyring: Option<PathBuf>,
    /// Variables that a build sees.
    pub(crate) variables: Variables,
    /// Variables of the caller that archbuild reads, too.
    pub(crate) for_archbuild: Variables,
    /// The proxy that leads the host to the network, as `host:port`.
    pub(crate) upstream_proxy: Option<String>,
    /// Packages of a guest besides base and base-devel.
    pub(crate) packages: Vec<PkgName>,
    /// The disk of a base image.
    pub(crate) layout: DiskLayout,
    /// How old a base image may become.
    pub(crate) base_age: Duration,
    /// The home directory of the caller.
    pub(crate) home: Option<PathBuf>,
    config: Config,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MachineSettings {
    /// Processors.
    pub(crate) cpus: u64,
    /// MiB of memory.
    pub(crate) memory: u64,
    /// Where its overlay lies, when that is not the machine's own directory.
    pub(crate) overlay_dir: Option<PathBuf>,
    /// Bytes that it may write.
    pub(crate) overlay_limit: u64,
    /// MiB of each further disk.
    pub(crate) extra_disks: Vec<u64>,
    /// How long it may take to be ready.
    pub(crate) boot_limit: Duration,
    /// How it begins.
    pub(crate) start: Start,
    /// An image that is used instead of the base.
    pub(crate) image: Option<PathBuf>,
    /// The ssh key for that.
    pub(crate) identity: Option<PathBuf>,
}

impl Settings {
    /// Reads the keys that every sub-command needs.
    pub(crate) fn new(
        mut config: Config,
        args: &PlaceArgs,
        arch: Option<&Arch>,
        environment: &Environment,
        cwd: &Path,
    ) -> Result<Self> {
        if let Some(arch) = arch {
            config.set("arch", arch.as_str());
        }
        config.set_path("vm_dir", args.vm_dir.as_deref(), cwd);
        args.target.overrule(&mut config, cwd);
        let account = account::to_drop_to(&config)?;
        let layout = config.text("vm_layout").unwrap_or(LAYOUT).parse::<DiskLayout>();
        let layout = layout.map_err(|error| config.refuse("vm_layout", &error.to_string()))?;
        let words = config.text("vm_packages").unwrap_or(PACKAGES).split_ascii_whitespace();
        let packages = words.map(str::parse::<PkgName>).collect::<Result<_, _>>();
        let packages = packages.map_err(|error| config.refuse("vm_packages", &error.to_string()))?;
        let keyring = config.path("keyring")?;
        Ok(Self {
            arch: config.arch()?,
            keyring: keyring.or_else(|| Some(PACMAN_KEYRING.into()).filter(|path: &PathBuf| path.is_dir())),
            vm_dir: WORKPLACE.find(&config, account.as_ref(), environment)?,
            account,
            variables: variables_of_builds(&config, environment),
            for_archbuild: for_archbuild(environment),
            upstream_proxy: upstream_proxy(environment),
            packages,
            layout,
            base_age: Duration::from_secs(config.number("vm_base_seconds", BASE_SECONDS)?),
            home: environment
                .get("HOME")
                .map(PathBuf::from)
                .filter(|path| path.is_absolute()),
            config,
        })
    }

    /// The repositories of every base image.
    pub(crate) fn pacman_conf(&self) -> Result<PacmanConf> {
        Ok(PacmanConf::read(&self.pacman_conf_path()?)?)
    }

    /// Where they are written down.
    pub(crate) fn pacman_conf_path(&self) -> Result<PathBuf> {
        Ok(self.config.required_path("pacman_conf")?)
    }

    /// The repositories, and before them those that were named: NAME=URL, and names alone, which lie on the servers of
    /// the first repository.
    pub(crate) fn pacman_conf_with(&self, urls: &[(Repository, String)], names: &[Repository]) -> Result<PacmanConf> {
        let mut conf = self.pacman_conf()?;
        for name in names.iter().rev() {
            if !conf.prepend_sibling(name.as_str()) {
                let reason = format!("no server in it has $repo in its URL: where is {name}? Use --repo {name}=URL");
                return Err(self.config.refuse("pacman_conf", &reason).into());
            }
        }
        for (name, url) in urls.iter().rev() {
            conf.prepend(name.as_str(), url);
        }
        Ok(conf)
    }

    /// The configuration itself.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// A machine as options and keys want it.
    pub(crate) fn machine(&self, args: &MachineArgs, cwd: &Path) -> Result<MachineSettings> {
        let number = |option: Option<u64>, key, default| match option {
            Some(value) => Ok(value),
            None => self.config.number(key, default),
        };
        let path = |option: &Option<PathBuf>, key| match option {
            Some(path) => Ok(Some(cwd.join(path))),
            None => self.config.path(key),
        };
        let processors = std::thread::available_parallelism().map_or(1, |number| number.get() as u64);
        Ok(MachineSettings {
            cpus: number(args.cpus, "vm_cpus", processors)?,
            memory: number(args.memory, "vm_memory_mib", MEMORY_MIB)?,
            overlay_dir: path(&args.overlay_dir, "vm_overlay_dir")?,
            overlay_limit: number(args.overlay, "vm_overlay_mib", OVERLAY_MIB)?.saturating_mul(1 << 20),
            extra_disks: args.extra_disks.clone(),
            boot_limit: Duration::from_secs(number(args.boot_limit, "vm_boot_seconds", BOOT_SECONDS)?),
            start: args.start,
            image: path(&args.image, "vm_image")?,
            identity: path(&args.identity, "vm_identity")?,
        })
    }
}

fn for_archbuild(environment: &Environment) -> Variables {
    let mut variables = passed(&["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"], environment);
    variables.extend(variables_to_network(environment));
    let own = environment.iter().filter(|(name, _)| name.starts_with("PORTSMITH_"));
    variables.extend(own.map(|(name, value)| (name.clone(), value.clone())));
    variables
}

/// `host:port` out of `http://host:port/`.
fn upstream_proxy(environment: &Environment) -> Option<String> {
    let url = ["https_proxy", "http_proxy", "all_proxy"]
        .into_iter()
        .find_map(|name| environment.get(name))?;
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let authority = rest.split('/').next().unwrap_or(rest);
    (!authority.is_empty() && !authority.contains('@')).then(|| authority.to_owned())
}
