//! Classes of repositories (stable, testing, staging, standalone) and where the packages of an order go.

use std::collections::BTreeMap;

use crate::config::{Config, ConfigError};
use crate::names::Repository;

/// How far the packages of a repository have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// For every user.
    Stable,
    /// For testers.
    Testing,
    /// Just built.
    Staging,
    /// Beside the others: `build-support`.
    Standalone,
}

impl Class {
    /// Every class, the most stable one first; a transaction flips in this order.
    pub const ALL: [Self; 4] = [Self::Stable, Self::Testing, Self::Staging, Self::Standalone];

    const fn key(self) -> &'static str {
        match self {
            Self::Stable => "stable_package_repositories",
            Self::Testing => "testing_package_repositories",
            Self::Staging => "staging_package_repositories",
            Self::Standalone => "standalone_package_repositories",
        }
    }

    const fn default_members(self) -> &'static str {
        match self {
            Self::Stable => "core extra community",
            Self::Testing => "testing community-testing",
            Self::Staging => "staging community-staging",
            Self::Standalone => "build-support",
        }
    }

    /// The family of keys that name a destination, and the default one for orders of `community` and of the others.
    const fn destinations(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Stable | Self::Standalone => ("stable_for__", "community", ""),
            Self::Testing => ("testing_for__", "community-testing", "testing"),
            Self::Staging => ("staging_for__", "community-staging", "staging"),
        }
    }
}

/// The configured repositories with their classes.
#[derive(Debug, Clone)]
pub struct Classes {
    members: BTreeMap<Class, Vec<Repository>>,
    config: Config,
}

impl Classes {
    /// Reads the `*_package_repositories` keys.
    ///
    /// # Errors
    /// A name is none of a repository, or stands in two classes.
    pub fn from_config(config: &Config) -> Result<Self, ConfigError> {
        let mut members: BTreeMap<Class, Vec<Repository>> = BTreeMap::new();
        for class in Class::ALL {
            let mut defaulted = config.clone();
            if config.text(class.key()).is_none() {
                defaulted.set(class.key(), class.default_members());
            }
            for repository in defaulted.parsed_words::<Repository>(class.key())? {
                if members.values().any(|known| known.contains(&repository)) {
                    return Err(defaulted.refuse(class.key(), &format!("{repository} is named twice")));
                }
                members.entry(class).or_default().push(repository);
            }
        }
        let classes = Self {
            members,
            config: config.clone(),
        };
        let names: Vec<&Repository> = classes.all().map(|(name, _)| name).collect();
        for class in [Class::Staging, Class::Testing, Class::Stable] {
            for name in &names {
                classes.destination(name, class)?;
            }
        }
        Ok(classes)
    }

    /// All repositories, the most stable ones first, else in configured order.
    pub fn all(&self) -> impl Iterator<Item = (&Repository, Class)> {
        self.members
            .iter()
            .flat_map(|(class, names)| names.iter().map(move |name| (name, *class)))
    }

    /// The repositories of one class.
    pub fn of(&self, class: Class) -> impl Iterator<Item = &Repository> {
        self.members.get(&class).into_iter().flatten()
    }

    /// The class of a repository; none when it is not configured.
    #[must_use]
    pub fn class_of(&self, repository: &Repository) -> Option<Class> {
        self.all().find(|(name, _)| *name == repository).map(|(_, class)| class)
    }

    /// Where packages of an order of `upstream` lie in a class: the key `staging_for__REPO` (`testing_for__`,
    /// `stable_for__`), else as archlinux32 does. A standalone repository is its own
    /// destination.
    ///
    /// # Errors
    /// The key names a repository that is not of this class, or the class has none.
    pub fn destination(&self, upstream: &Repository, class: Class) -> Result<Repository, ConfigError> {
        if self.class_of(upstream) == Some(Class::Standalone) {
            return Ok(upstream.clone());
        }
        let (family, for_community, for_others) = class.destinations();
        let key = Config::key_for(family, upstream);
        if let Some(named) = self.config.parsed::<Repository>(&key)? {
            return if self.of(class).any(|name| *name == named) {
                Ok(named)
            } else {
                Err(self.config.refuse(&key, &format!("it is not in {}", class.key())))
            };
        }
        let is_community = matches!(upstream.as_str(), "community" | "multilib");
        let usual = if is_community { for_community } else { for_others };
        let has = |wanted: &str| self.of(class).find(|name| name.as_str() == wanted);
        let own = if class == Class::Stable {
            has(upstream.as_str())
        } else {
            None
        };
        own.or_else(|| has(usual))
            .or_else(|| self.of(class).next())
            .cloned()
            .ok_or_else(|| self.config.refuse(class.key(), "the class has no repository"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(text: &str, upstream: &str, class: Class) -> Result<String, ConfigError> {
        Classes::from_config(&Config::from_text(text).unwrap())?
            .destination(&upstream.parse().unwrap(), class)
            .map(|name| name.to_string())
    }

    #[test]
    fn orders_go_where_archlinux32_puts_them() {
        for (upstream, staging, testing, stable) in [
            ("core", "staging", "testing", "core"),
            ("extra", "staging", "testing", "extra"),
            ("community", "community-staging", "community-testing", "community"),
            ("multilib", "community-staging", "community-testing", "community"),
            ("build-support", "build-support", "build-support", "build-support"),
        ] {
            assert_eq!(destination("", upstream, Class::Staging).unwrap(), staging);
            assert_eq!(destination("", upstream, Class::Testing).unwrap(), testing);
            assert_eq!(destination("", upstream, Class::Stable).unwrap(), stable);
        }
    }

    #[test]
    fn keys_name_other_destinations_of_the_right_class() {
        let text = "staging_package_repositories='staging new'\nstaging_for__core=new\n";
        assert_eq!(destination(text, "core", Class::Staging).unwrap(), "new");
        assert_eq!(destination(text, "community", Class::Staging).unwrap(), "staging");
        assert!(destination("staging_for__core=extra\n", "core", Class::Staging).is_err());
        assert!(destination("testing_package_repositories=core\n", "core", Class::Staging).is_err());
    }
}
