//! What a build command takes over from its caller: the directory that it works in, and variables.

use std::path::PathBuf;

use crate::account::Account;
use crate::config::{Config, ConfigError, Environment, Personal};

/// Variables that a build sees: who packs, and the time that goes into files.
const OF_BUILDS: &[&str] = &["PACKAGER", "SOURCE_DATE_EPOCH"];
/// Variables that lead to the network. curl wants them in small letters.
const TO_NETWORK: &[&str] = &["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"];

/// Names and values.
pub type Variables = Vec<(String, String)>;

/// Where a build command keeps its chroots or machines.
#[derive(Debug, Clone, Copy)]
pub struct Workplace {
    /// The key that says it.
    pub key: &'static str,
    /// Where root keeps them when it is not set.
    pub of_system: &'static str,
    /// Where others do, below the cache directory of theirs; empty: there.
    pub of_person: &'static str,
}

impl Workplace {
    /// The directory.
    ///
    /// # Errors
    /// Nothing says where it is, or the options of mounts and of qemu cannot name it: its path has a separator of theirs.
    pub fn find(
        self,
        config: &Config,
        account: Option<&Account>,
        environment: &Environment,
    ) -> Result<PathBuf, ConfigError> {
        let found = match config.path(self.key)? {
            Some(path) => path,
            None if account.is_some() => self.of_system.into(),
            None => Personal::Cache
                .directory(environment)
                .map(|cache| cache.join(self.of_person).components().collect())
                .ok_or_else(|| config.refuse(self.key, "HOME is not set"))?,
        };
        if found.to_str().is_none_or(|text| text.contains([':', ',', '\\', '\n'])) {
            return Err(config.refuse(self.key, "the path must be UTF-8 and have none of : , \\ in it"));
        }
        Ok(found)
    }
}

/// The variables of the caller with these names, as far as they are set.
#[must_use]
pub fn passed(names: &[&str], environment: &Environment) -> Variables {
    let set = names.iter().filter_map(|name| environment.get_key_value(*name));
    set.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Those that a build sees.
#[must_use]
pub fn variables_of_builds(config: &Config, environment: &Environment) -> Variables {
    let mut variables = passed(OF_BUILDS, environment);
    variables.extend(config.text("pkgext").map(|ext| ("PKGEXT".to_owned(), ext.to_owned())));
    variables
}

/// Those that lead to the network.
#[must_use]
pub fn variables_to_network(environment: &Environment) -> Variables {
    passed(TO_NETWORK, environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHROOTS: Workplace = Workplace {
        key: "chroot_dir",
        of_system: "/var/lib/portsmith/chroots",
        of_person: "chroots",
    };

    fn environment() -> Environment {
        let pairs = [
            ("HOME", "/home/a"),
            ("PACKAGER", "A <a@b.c>"),
            ("http_proxy", "http://p"),
        ];
        pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    #[test]
    fn a_key_beats_the_place_of_the_system_and_that_the_home_directory() {
        let account = Account {
            name: "portsmith".to_owned(),
            uid: 1,
            gid: 1,
            home: "/".into(),
        };
        let mut config = Config::default();
        let find = |config: &Config, account| CHROOTS.find(config, account, &environment());
        let path = find(&config, None).unwrap();
        assert_eq!(path, PathBuf::from("/home/a/.cache/portsmith/chroots"));
        assert_eq!(find(&config, Some(&account)).unwrap(), PathBuf::from(CHROOTS.of_system));
        config.set("chroot_dir", "/c");
        assert_eq!(find(&config, Some(&account)).unwrap(), PathBuf::from("/c"));
        for path in ["/a:b", "/a,b", "/a\\b", "/a\nb", "relative"] {
            config.set("chroot_dir", path);
            assert!(find(&config, None).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_build_sees_who_packs_and_how_and_nothing_of_the_network() {
        let mut config = Config::default();
        config.set("pkgext", ".pkg.tar.xz");
        let names = |variables: Variables| variables.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(
            names(variables_of_builds(&config, &environment())),
            ["PACKAGER", "PKGEXT"]
        );
        assert_eq!(names(variables_to_network(&environment())), ["http_proxy"]);
    }
}
