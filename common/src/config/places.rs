//! Where the files of one person are: the XDG Base Directory Specification. A path that is not absolute counts as not set.

use std::path::PathBuf;

use super::Environment;

/// A kind of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personal {
    /// What can be made again.
    Cache,
    /// What is configured.
    Configuration,
    /// What a program remembers.
    State,
}

impl Personal {
    /// The directory of ours for such files; none where not even HOME is set.
    #[must_use]
    pub fn directory(self, environment: &Environment) -> Option<PathBuf> {
        let (variable, below_home) = match self {
            Self::Cache => ("XDG_CACHE_HOME", ".cache"),
            Self::Configuration => ("XDG_CONFIG_HOME", ".config"),
            Self::State => ("XDG_STATE_HOME", ".local/state"),
        };
        let absolute = |name| {
            let path = environment.get(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        let directory = absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))?;
        Some(directory.join("portsmith"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_beats_the_home_directory_when_it_is_absolute() {
        let of = |pairs: &[(&str, &str)]| {
            let environment = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Personal::Cache.directory(&environment.collect())
        };
        let home = ("HOME", "/home/a");
        assert_eq!(
            of(&[home, ("XDG_CACHE_HOME", "/c")]).unwrap(),
            PathBuf::from("/c/portsmith")
        );
        for environment in [&[home][..], &[home, ("XDG_CACHE_HOME", "c")]] {
            assert_eq!(of(environment).unwrap(), PathBuf::from("/home/a/.cache/portsmith"));
        }
        assert_eq!(of(&[("HOME", "")]), None);
    }
}
