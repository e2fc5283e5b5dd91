//! The configuration: where it is found, what beats what, and typed access to its keys.
//!
//! An option beats an environment variable `PORTSMITH_<KEY IN CAPITALS>`, which beats the file. Each tool reads the
//! keys that it needs into a structure of its own, so that what is missing is said before anything is done.

mod error;
mod keys;
mod places;
pub mod syntax;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::names::{Arch, Repository};
pub use error::ConfigError;
use keys::is_known;
pub use places::Personal;

/// The environment of a process, as a value.
pub type Environment = BTreeMap<String, String>;

/// The keys and values in force.
#[derive(Debug, Clone, Default)]
pub struct Config {
    values: BTreeMap<String, String>,
    file: Option<PathBuf>,
}

impl Config {
    /// Reads the configuration: `option` (`--config`), else `$PORTSMITH_CONFIG`, else
    /// `$XDG_CONFIG_HOME/portsmith/portsmith.conf`, else `/etc/portsmith/portsmith.conf`. Only a file that was named
    /// has to exist.
    ///
    /// # Errors
    /// The file cannot be read or a line of it cannot be parsed.
    pub fn load(option: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let named = option
            .map(Path::to_owned)
            .or_else(|| environment.get("PORTSMITH_CONFIG").map(PathBuf::from));
        let candidates = match named {
            Some(path) => vec![path],
            None => default_files(environment),
        };
        let is_named = candidates.len() == 1 && option.is_some() || environment.contains_key("PORTSMITH_CONFIG");
        let mut config = Self::default();
        for path in candidates {
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    config.values = syntax::parse(&text).map_err(|source| ConfigError::Syntax {
                        path: path.clone(),
                        source,
                    })?;
                    config.file = Some(path);
                    break;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_named => {}
                Err(source) => return Err(ConfigError::Read { path, source }),
            }
        }
        for (variable, value) in environment {
            if let Some(key) = variable.strip_prefix("PORTSMITH_") {
                let key = key.to_ascii_lowercase();
                if is_known(&key) {
                    config.values.insert(key, value.clone());
                }
            }
        }
        Ok(config)
    }

    /// A configuration out of text alone, for tests and tools that make one.
    ///
    /// # Errors
    /// A line that cannot be parsed.
    pub fn from_text(text: &str) -> Result<Self, syntax::SyntaxError> {
        Ok(Self {
            values: syntax::parse(text)?,
            file: None,
        })
    }

    /// Sets a key, as an option on the command line does.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.values.insert(key.to_owned(), value.into());
    }

    /// Sets a key to a path, as an option does that may be relative to the caller's directory `below`. Without one the key
    /// stays as it is.
    pub fn set_path(&mut self, key: &str, option: Option<&Path>, below: &Path) {
        if let Some(path) = option {
            self.set(key, below.join(path).display().to_string());
        }
    }

    /// The file that was read.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Keys in the file that no tool knows, for a warning.
    pub fn unknown_keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str).filter(|key| !is_known(key))
    }

    /// The value of a key; an empty one counts as not set.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.values
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The value of a key that has to be set.
    ///
    /// # Errors
    /// [`ConfigError::Missing`].
    pub fn required(&self, key: &str) -> Result<&str, ConfigError> {
        self.text(key).ok_or_else(|| ConfigError::Missing {
            key: key.to_owned(),
            origin: self.file.as_ref().map_or_else(
                || "no configuration file was found".to_owned(),
                |path| format!("looked in {}", path.display()),
            ),
        })
    }

    /// The blank-separated words of a key; none when it is not set.
    pub fn words(&self, key: &str) -> impl Iterator<Item = &str> {
        self.text(key).unwrap_or_default().split_ascii_whitespace()
    }

    /// A value of a type that is read from text.
    ///
    /// # Errors
    /// The value is not of that type.
    pub fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, key: &str) -> Result<Option<T>, ConfigError> {
        self.text(key).map(|value| parse_value(key, value)).transpose()
    }

    /// The words of a key, each read as a type.
    ///
    /// # Errors
    /// A word is not of that type.
    pub fn parsed_words<T: FromStr<Err: std::fmt::Display>>(&self, key: &str) -> Result<Vec<T>, ConfigError> {
        self.words(key).map(|word| parse_value(key, word)).collect()
    }

    /// A whole number, or the default.
    ///
    /// # Errors
    /// The value is no whole number.
    pub fn number(&self, key: &str, default: u64) -> Result<u64, ConfigError> {
        Ok(self.parsed(key)?.unwrap_or(default))
    }

    /// An absolute path.
    ///
    /// # Errors
    /// The path is relative.
    pub fn path(&self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        self.text(key).map(|value| absolute(key, value)).transpose()
    }

    /// An absolute path that has to be set.
    ///
    /// # Errors
    /// The key is not set or the path is relative.
    pub fn required_path(&self, key: &str) -> Result<PathBuf, ConfigError> {
        absolute(key, self.required(key)?)
    }

    /// The content of the text file that a key names; none when it is not set.
    ///
    /// # Errors
    /// The path is relative, or there is no such file.
    pub fn file_text(&self, key: &str) -> Result<Option<String>, ConfigError> {
        let Some(path) = self.path(key)? else {
            return Ok(None);
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(source) => Err(ConfigError::Read { path, source }),
        }
    }

    /// `yes` or `no`, or the default.
    ///
    /// # Errors
    /// The value is neither.
    pub fn switch(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        match self.text(key) {
            None => Ok(default),
            Some("yes") => Ok(true),
            Some("no") => Ok(false),
            Some(value) => Err(wrong(key, value, "it has to be yes or no")),
        }
    }

    /// The target architecture (`arch`, default: the machine's).
    ///
    /// # Errors
    /// The value is no architecture's name.
    pub fn arch(&self) -> Result<Arch, ConfigError> {
        match self.parsed("arch")? {
            Some(arch) => Ok(arch),
            None => parse_value("arch", std::env::consts::ARCH),
        }
    }

    /// The key of a family for one repository: `staging_for__build_support` for `build-support`.
    #[must_use]
    pub fn key_for(family: &str, repository: &Repository) -> String {
        let name: String = repository
            .as_str()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        format!("{family}{name}")
    }

    /// An error for a value that parses but cannot be used.
    #[must_use]
    pub fn refuse(&self, key: &str, reason: &str) -> ConfigError {
        wrong(key, self.text(key).unwrap_or_default(), reason)
    }
}

fn default_files(environment: &Environment) -> Vec<PathBuf> {
    let personal = Personal::Configuration.directory(environment).into_iter();
    let directories = personal.chain([PathBuf::from("/etc/portsmith")]);
    directories.map(|directory| directory.join("portsmith.conf")).collect()
}

fn wrong(key: &str, value: &str, reason: &str) -> ConfigError {
    ConfigError::Value {
        key: key.to_owned(),
        value: value.to_owned(),
        reason: reason.to_owned(),
    }
}

fn parse_value<T: FromStr<Err: std::fmt::Display>>(key: &str, value: &str) -> Result<T, ConfigError> {
    value
        .parse()
        .map_err(|error: T::Err| wrong(key, value, &error.to_string()))
}

fn absolute(key: &str, value: &str) -> Result<PathBuf, ConfigError> {
    let path = PathBuf::from(value);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(wrong(key, value, "it has to be an absolute path"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_environment_beats_the_file_and_the_option_both() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("portsmith.conf");
        crate::atomic::write(&path, b"work_dir=/file\nlease_seconds=5\nwhat=ever\n").unwrap();
        let environment = environment(&[("PORTSMITH_WORK_DIR", "/environment"), ("PORTSMITH_BUILDER", "b")]);
        let mut config = Config::load(Some(&path), &environment).unwrap();
        assert_eq!(config.required_path("work_dir").unwrap(), Path::new("/environment"));
        config.set("work_dir", "/option");
        assert_eq!(config.required_path("work_dir").unwrap(), Path::new("/option"));
        assert_eq!(config.number("lease_seconds", 3600).unwrap(), 5);
        assert_eq!(config.unknown_keys().collect::<Vec<_>>(), ["what"]);
    }

    #[test]
    fn a_missing_key_is_named_with_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("portsmith.conf");
        crate::atomic::write(&path, b"").unwrap();
        let config = Config::load(None, &environment(&[("PORTSMITH_CONFIG", path.to_str().unwrap())])).unwrap();
        let message = config.required("work_dir").unwrap_err().to_string();
        assert!(
            message.contains("work_dir") && message.contains("portsmith.conf"),
            "{message}"
        );
    }

    #[test]
    fn a_named_file_has_to_exist_and_a_default_one_does_not() {
        assert!(Config::load(Some(Path::new("/nonexistent")), &Environment::new()).is_err());
        assert!(Config::load(None, &environment(&[("HOME", "/nonexistent")])).is_ok());
    }

    #[test]
    fn repository_names_become_shell_variables() {
        let repository = "build-support".parse().unwrap();
        assert_eq!(
            Config::key_for("staging_for__", &repository),
            "staging_for__build_support"
        );
    }
}
