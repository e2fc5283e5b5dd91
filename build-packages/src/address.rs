//! How the master is reached: `ssh://user@host:port`, or the path of a configuration on this machine.

use std::path::PathBuf;

use common::config::{Config, ConfigError};

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

impl Master {
    /// Reads the keys about it; none where `master` is not set.
    ///
    /// # Errors
    /// It is neither an address nor an absolute path.
    pub fn configured(config: &Config) -> Result<Option<Self>, ConfigError> {
        let Some(value) = config.text("master") else {
            return Ok(None);
        };
        if value.starts_with('/') {
            return Ok(Some(Self::Local(PathBuf::from(value))));
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
        let command = config.text("ssh_command").unwrap_or("ssh");
        Ok(Some(Self::Ssh(Ssh {
            destination: destination.to_owned(),
            port: port.to_owned(),
            identity: config.path("master_identity")?,
            command: command.split_ascii_whitespace().map(str::to_owned).collect(),
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(value: &str) -> Result<Option<Master>, ConfigError> {
        Master::configured(&Config::from_text(&format!("master='{value}'\n")).unwrap())
    }

    #[test]
    fn the_master_is_an_ssh_address_or_a_local_configuration() {
        assert_eq!(master("/m.conf").unwrap(), Some(Master::Local("/m.conf".into())));
        let Some(Master::Ssh(ssh)) = master("ssh://slave@buildmaster.example:2222").unwrap() else {
            unreachable!("it is an ssh address");
        };
        assert_eq!(
            (ssh.destination.as_str(), ssh.port.as_str()),
            ("slave@buildmaster.example", "2222")
        );
        assert_eq!(master("").unwrap(), None);
        for bad in ["ssh://-oProxyCommand=x", "ssh://a b:22", "ssh://a:b", "host", "ssh://"] {
            assert!(master(bad).is_err(), "{bad}");
        }
    }
}
