//! What a builder is configured to do, read and checked before anything is done.

use std::path::PathBuf;
use std::time::Duration;

use common::config::{Config, ConfigError, Environment};
use common::names::Builder;

use crate::straw::{DEFAULT_LADDER, Straw};

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

/// How the master is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Master {
    /// `ssh://user@host:port`.
    Ssh(Ssh),
    /// The configuration file of a master on this machine.
    Local(PathBuf),
}

/// Where ssh goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// `user@host`.
    pub destination: String,
    /// The port, as ssh takes it.
    pub port: String,
    /// The private key.
    pub identity: Option<PathBuf>,
    /// The program and its first arguments.
    pub command: Vec<String>,
}

/// How packages are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signing {
    /// With this key of gpg's.
    Key(String),
    /// Not at all.
    Unsigned,
}

/// The checked configuration of a builder.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name, which the master knows from its ssh key; used for messages and for a local master.
    pub builder: Builder,
    /// How the master is reached.
    pub master: Master,
    /// Where builds, logs and the outbox lie.
    pub work_dir: PathBuf,
    /// The words of `build_command`.
    pub build_command: Vec<String>,
    /// The retry ladder.
    pub straws: Vec<Straw>,
    /// How packages are signed.
    pub signing: Signing,
    /// Base address of sources by checksum.
    pub source_by_hash_mirror: Option<String>,
    /// Base address of source archives.
    pub source_archive_mirror: Option<String>,
    /// The first pause before something is tried again.
    pub pause: Duration,
    /// Environment of children.
    pub environment: Environment,
}

impl Settings {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A key is missing or wrong.
    pub fn read(config: &Config, environment: &Environment) -> Result<Self, ConfigError> {
        let builder: Builder = match config.parsed("builder_name")? {
            Some(builder) => builder,
            None => return Err(missing(config, "builder_name")),
        };
        let mut straws: Vec<Straw> = config.parsed_words("straws")?;
        if straws.is_empty() {
            straws = config.parsed_words("straws_that_might_repair_failing_builds")?;
        }
        if straws.is_empty() {
            straws = DEFAULT_LADDER.split(' ').filter_map(|word| word.parse().ok()).collect();
        }
        let signing = if config.switch("require_signatures", true)? {
            Signing::Key(config.required("package_key")?.to_owned())
        } else {
            config
                .text("package_key")
                .map_or(Signing::Unsigned, |key| Signing::Key(key.to_owned()))
        };
        Ok(Self {
            builder,
            master: master(config)?,
            work_dir: config.required_path("work_dir")?,
            build_command: words(config.text("build_command").unwrap_or("archbuild build")),
            straws,
            signing,
            source_by_hash_mirror: config.text("source_by_hash_mirror").map(str::to_owned),
            source_archive_mirror: config.text("source_archive_mirror").map(str::to_owned),
            pause: Duration::from_secs(config.number("retry_pause_seconds", 15)?.max(1)),
            environment: children_environment(config, environment),
        })
    }
}

fn missing(config: &Config, key: &str) -> ConfigError {
    match config.required(key) {
        Err(error) => error,
        Ok(_) => config.refuse(key, "it is empty"),
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

fn master(config: &Config) -> Result<Master, ConfigError> {
    let value = config.required("master")?;
    if value.starts_with('/') {
        return Ok(Master::Local(PathBuf::from(value)));
    }
    let refuse = || {
        config.refuse(
            "master",
            "it has to be ssh://user@host:port or the path of the master's configuration",
        )
    };
    let rest = value.strip_prefix("ssh://").ok_or_else(refuse)?;
    let rest = rest.trim_end_matches('/');
    // Numeric IPv6 addresses stand in brackets, so the last colon outside of them begins the port.
    let (destination, port) = match rest.rsplit_once(':') {
        Some((destination, port)) if !port.contains(']') => (destination, port),
        _ => (rest, "22"),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@._-[]:".contains(c);
    let is_good = !destination.is_empty() && !destination.starts_with('-') && destination.chars().all(is_plain);
    if !is_good || port.parse::<u16>().is_err() {
        return Err(refuse());
    }
    Ok(Master::Ssh(Ssh {
        destination: destination.to_owned(),
        port: port.to_owned(),
        identity: config.path("master_identity")?,
        command: words(config.text("ssh_command").unwrap_or("ssh")),
    }))
}

/// What children see: some variables of the caller, the configuration keys it set, and where the configuration is.
fn children_environment(config: &Config, environment: &Environment) -> Environment {
    let mut passed: Environment = environment
        .iter()
        .filter(|(key, _)| PASSED_ON.contains(&key.as_str()) || key.starts_with("PORTSMITH_"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if let Some(file) = config.file() {
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
    fn the_master_is_an_ssh_address_or_a_local_configuration() {
        assert_eq!(settings("").unwrap().master, Master::Local("/m.conf".into()));
        let master = settings("master=ssh://slave@buildmaster.example:2222").unwrap().master;
        let Master::Ssh(ssh) = master else {
            unreachable!("it is an ssh address");
        };
        assert_eq!(
            (ssh.destination.as_str(), ssh.port.as_str()),
            ("slave@buildmaster.example", "2222")
        );
        for bad in ["ssh://-oProxyCommand=x", "ssh://a b:22", "ssh://a:b", "host", "ssh://"] {
            assert!(settings(&format!("master='{bad}'")).is_err(), "{bad}");
        }
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
    fn an_unknown_straw_is_refused_at_the_start() {
        assert!(settings("straws=': :hope:'").is_err());
        assert_eq!(settings("straws=': :clean_chroot:'").unwrap().straws.len(), 2);
    }
}
