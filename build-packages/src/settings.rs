//! What a builder is configured to do, read and checked before anything is done.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::config::{Config, ConfigError, Environment, Personal};
use common::names::{Builder, PkgBase};

use crate::address::Master;
use crate::room::Room;
use crate::straw::{DEFAULT_LADDER, Remedy, Straw};

/// Variables of the caller that ssh, gpg and the build command get.
const PASSED_ON: &[&str] = &[
    "HOME",
    "USER",
    "LOGNAME",
    "GNUPGHOME",
    "SSH_AUTH_SOCK",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "TMPDIR",
    "PACKAGER",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "all_proxy",
    "no_proxy",
];

/// Build commands of this project, which keep more than the contract: they have `--json`.
const OWN_COMMANDS: [&str; 2] = ["archbuild", "arch-vm"];

/// The master that a builder works for.
#[derive(Debug, Clone)]
pub struct Employer {
    /// How it is reached.
    pub master: Master,
    /// The builder's name, which the master knows from its ssh key; used for messages and for a local master.
    pub builder: Builder,
    /// Between two signs of life.
    pub heartbeat: Duration,
    /// How long an upload may get no byte further before the connection counts as dead.
    pub upload_stall: Duration,
}

/// How packages are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signing {
    /// With this key of gpg's.
    Key(String),
    /// Not at all.
    Unsigned,
}

/// How many builds at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// At most.
    pub number: usize,
    /// Bytes of memory that have to be free before a second one begins; 0: whatever is free.
    pub memory: u64,
    /// Percent of all processors' time that has to be idle before a second one begins; 0: however busy they are.
    pub idle_percent: u64,
}

/// The checked configuration of a builder.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The master; none for local builds without one.
    pub employer: Option<Employer>,
    /// Where builds, logs and the outbox lie.
    pub work_dir: PathBuf,
    /// The words of `build_command`.
    pub build_command: Vec<String>,
    /// Words that a remedy adds to them.
    pub options: BTreeMap<Remedy, Vec<String>>,
    /// The words of `mirror_update_command`; none without one.
    pub mirror_update_command: Vec<String>,
    /// The retry ladder.
    pub straws: Vec<Straw>,
    /// How packages are signed.
    pub signing: Signing,
    /// Base address of sources by checksum.
    pub source_by_hash_mirror: Option<String>,
    /// Address of source archives, `$git`, `$pkgbase` and `$version` to be replaced.
    pub source_archive_mirror: Option<String>,
    /// The first pause before something is tried again.
    pub pause: Duration,
    /// How many builds at one time.
    pub slots: Slots,
    /// What has to be free before an order is asked for.
    pub room: Room,
    /// What is built with nothing beside it.
    pub alone: BTreeSet<PkgBase>,
    /// Environment of children.
    pub environment: Environment,
}

impl Settings {
    /// Reads the configuration of a builder that works for a master.
    ///
    /// # Errors
    /// A key is missing or wrong.
    pub fn read(config: &Config, environment: &Environment) -> Result<Self, ConfigError> {
        config.required_path("work_dir")?;
        Self::read_returning(config, environment)
    }

    /// Reads the configuration of a local build whose result is returned to a master.
    ///
    /// # Errors
    /// A key is missing or wrong.
    pub fn read_returning(config: &Config, environment: &Environment) -> Result<Self, ConfigError> {
        config.required("master")?;
        config.required("builder_name")?;
        if config.switch("require_signatures", true)? {
            config.required("package_key")?;
        }
        Self::read_local(config, environment)
    }

    /// Reads the configuration of a builder without a master: much less has to be set.
    ///
    /// # Errors
    /// A key is wrong, or `work_dir` is not set and there is no home directory.
    pub fn read_local(config: &Config, environment: &Environment) -> Result<Self, ConfigError> {
        let work_dir = match config.path("work_dir")? {
            Some(path) => path,
            None => match Personal::State.directory(environment) {
                Some(path) => path,
                None => config.required_path("work_dir")?,
            },
        };
        let build_command = words(config.text("build_command").unwrap_or("archbuild build"));
        let slots = Slots {
            number: usize::try_from(config.number("slots", 1)?.clamp(1, 24)).unwrap_or(1),
            memory: config.number("slot_memory_mib", 2048)?.saturating_mul(1 << 20),
            idle_percent: config.number("slot_idle_percent", 25)?,
        };
        Ok(Self {
            employer: employer(config)?,
            work_dir,
            options: options(config, &build_command),
            build_command,
            mirror_update_command: words(config.text("mirror_update_command").unwrap_or_default()),
            straws: straws(config)?,
            signing: config
                .text("package_key")
                .map_or(Signing::Unsigned, |key| Signing::Key(key.to_owned())),
            source_by_hash_mirror: config.text("source_by_hash_mirror").map(str::to_owned),
            source_archive_mirror: config.text("source_archive_mirror").map(str::to_owned),
            pause: Duration::from_secs(config.number("retry_pause_seconds", 15)?.max(1)),
            slots,
            room: room(config, environment)?,
            alone: config.parsed_words("build_alone")?.into_iter().collect(),
            environment: children_environment(config, environment),
        })
    }

    /// Whether the build command prints a record with `--json`.
    #[must_use]
    pub fn has_record(&self) -> bool {
        program(&self.build_command).is_some_and(|name| OWN_COMMANDS.contains(&name))
    }

    /// Whether this builder has what the straw takes: mirrors, and options of the build command.
    #[must_use]
    pub fn has_means_for(&self, straw: &Straw) -> bool {
        straw.remedies().all(|remedy| match remedy {
            Remedy::CleanChroot | Remedy::WithoutCheck => true,
            Remedy::MirroredSourceByHash => self.source_by_hash_mirror.is_some(),
            Remedy::MirroredSource => self.source_archive_mirror.is_some(),
            Remedy::WithBuildSupport | Remedy::WithDevFuse => self.options.contains_key(&remedy),
        })
    }
}

fn employer(config: &Config) -> Result<Option<Employer>, ConfigError> {
    let (Some(master), Some(builder)) = (Master::configured(config)?, config.parsed("builder_name")?) else {
        return Ok(None);
    };
    let seconds = |key, default| Ok::<_, ConfigError>(Duration::from_secs(config.number(key, default)?.max(1)));
    Ok(Some(Employer {
        master,
        builder,
        heartbeat: seconds("heartbeat_seconds", 60)?,
        upload_stall: seconds("upload_stall_seconds", 300)?,
    }))
}

/// Of the places of build commands those that are configured, else the one where both keep what they make.
fn room(config: &Config, environment: &Environment) -> Result<Room, ConfigError> {
    let mut directories = Vec::new();
    for key in ["chroot_dir", "vm_dir", "vm_overlay_dir"] {
        directories.extend(config.path(key)?);
    }
    if directories.is_empty() {
        directories.extend(match nix::unistd::geteuid().is_root() {
            true => Some(PathBuf::from("/var/lib/portsmith")),
            false => Personal::Cache.directory(environment),
        });
    }
    directories.extend(config.path("work_dir")?);
    Ok(Room {
        directories,
        mib: config.number("free_disk_mib", 512)?,
    })
}

fn straws(config: &Config) -> Result<Vec<Straw>, ConfigError> {
    for key in ["straws", "straws_that_might_repair_failing_builds"] {
        let straws: Vec<Straw> = config.parsed_words(key)?;
        if !straws.is_empty() {
            return Ok(straws);
        }
    }
    Ok(words(DEFAULT_LADDER)
        .iter()
        .filter_map(|word| word.parse().ok())
        .collect())
}

/// `build_options__REMEDY`. Where the build-support repository is nobody knows but the operator.
fn options(config: &Config, build_command: &[String]) -> BTreeMap<Remedy, Vec<String>> {
    let of_fuse = (program(build_command) == Some("archbuild")).then_some("--bind-rw /dev/fuse");
    let support = config.text("build_options__with_build_support");
    let fuse = config.text("build_options__with_dev_fuse").or(of_fuse);
    [(Remedy::WithBuildSupport, support), (Remedy::WithDevFuse, fuse)]
        .into_iter()
        .filter_map(|(remedy, text)| Some((remedy, words(text?))))
        .collect()
}

/// The build command's name without its directory.
fn program(build_command: &[String]) -> Option<&str> {
    Path::new(build_command.first()?).file_name()?.to_str()
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// What children see: some variables of the caller, the configuration keys it set, and where the configuration is.
fn children_environment(config: &Config, environment: &Environment) -> Environment {
    let mut passed: Environment = environment
        .iter()
        .filter(|(key, _)| PASSED_ON.contains(&key.as_str()) || key.starts_with("PORTSMITH_"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if let Some(file) = config.file() {
        // Children run in other directories.
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        passed.insert("PORTSMITH_CONFIG".to_owned(), file.display().to_string());
    }
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings, ConfigError> {
        let basics = "builder_name=b\nwork_dir=/w\npackage_key=K\nmaster=/m.conf\n";
        Settings::read(
            &Config::from_text(&format!("{basics}{text}")).unwrap(),
            &Environment::new(),
        )
    }

    #[test]
    fn a_builder_without_a_key_is_refused_unless_signatures_are_not_required() {
        assert!(settings("package_key=").is_err());
        assert_eq!(
            settings("package_key=\nrequire_signatures=no").unwrap().signing,
            Signing::Unsigned
        );
    }

    #[test]
    fn a_local_build_needs_no_configuration_but_a_home() {
        let environment = Environment::from([("HOME".to_owned(), "/home/u".to_owned())]);
        let local = Settings::read_local(&Config::default(), &environment).unwrap();
        assert_eq!(local.work_dir, Path::new("/home/u/.local/state/portsmith"));
        assert!(local.employer.is_none() && local.has_record());
        assert!(Settings::read_local(&Config::default(), &Environment::new()).is_err());
    }

    #[test]
    fn an_unknown_straw_is_refused_at_the_start() {
        assert!(settings("straws=': :hope:'").is_err());
        assert_eq!(settings("straws=': :clean_chroot:'").unwrap().straws.len(), 2);
    }

    #[test]
    fn a_straw_without_means_is_told_apart() {
        let has = |text: &str, straw: &str| settings(text).unwrap().has_means_for(&straw.parse().unwrap());
        assert!(has("", ":with_/dev/fuse:") && has("", ":clean_chroot:without_check:"));
        assert!(!has("", ":mirrored_source:") && !has("", ":with_build_support:"));
        assert!(has("source_archive_mirror=file:///x", ":mirrored_source:clean_chroot:"));
        let foreign = "build_command=extra-x86_64-build\n";
        assert!(!has(foreign, ":with_/dev/fuse:") && !has(foreign, ":with_build_support:"));
        let options = format!("{foreign}build_options__with_build_support=--repo");
        assert!(has(&options, ":with_build_support:"));
    }
}
