//! The lists in the customization repository: `blacklist`, `build-manually` and `update-once`.
//!
//! One pattern a line; everything from the first `#` on is a comment.

use common::config::Config;
use common::names::{Arch, PkgBase};
use common::source::{Heads, SourceError, Sources};

use crate::pattern::matches;

/// What is never built unless `always_blacklisted` says otherwise: the 32-bit libraries of a 64-bit system.
const ALWAYS_BLACKLISTED: &str = "lib32-*";

/// Patterns of package names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Patterns(Vec<String>);

impl Patterns {
    fn parse(text: &str) -> Self {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        Self(lines.flat_map(str::split_whitespace).map(str::to_owned).collect())
    }

    /// The first pattern that a package matches.
    pub(crate) fn matching(&self, pkgbase: &PkgBase) -> Option<&str> {
        self.0
            .iter()
            .map(String::as_str)
            .find(|pattern| matches(pattern, pkgbase.as_str()))
    }
}

/// All lists at one commit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists {
    /// Never to be built.
    pub(crate) blacklist: Patterns,
    /// Blocked whenever they come onto the build list.
    pub(crate) build_manually: Patterns,
    /// To be built once, blocked or not, although nothing changed: what was not in the list when it was processed last.
    pub(crate) update_once: Patterns,
}

impl Lists {
    /// The lists at the new heads.
    pub(crate) fn read(sources: &Sources, config: &Config, old: &Heads, new: &Heads) -> Result<Self, SourceError> {
        let read = |heads: &Heads, name: &str| -> Result<Patterns, SourceError> {
            Ok(Patterns::parse(&sources.list_file(heads, name)?.unwrap_or_default()))
        };
        let mut blacklist = read(new, "blacklist")?;
        blacklist.0.extend(always_blacklisted(config, sources.arch()));
        let before = read(old, "update-once")?;
        let mut update_once = read(new, "update-once")?;
        update_once.0.retain(|pattern| !before.0.contains(pattern));
        Ok(Self {
            blacklist,
            build_manually: read(new, "build-manually")?,
            update_once,
        })
    }
}

fn always_blacklisted(config: &Config, arch: &Arch) -> Vec<String> {
    match config.text("always_blacklisted") {
        Some(_) => config.words("always_blacklisted").map(str::to_owned).collect(),
        None if arch.as_str() == "x86_64" => Vec::new(),
        None => vec![ALWAYS_BLACKLISTED.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_no_patterns() {
        let patterns = Patterns::parse("cuda # <a href=\"x#y\">64-bit only</a>\n\n# dmd\nlib32-* \r\n");
        assert_eq!(patterns, Patterns(vec!["cuda".to_owned(), "lib32-*".to_owned()]));
        assert_eq!(patterns.matching(&"lib32-zlib".parse().unwrap()), Some("lib32-*"));
        assert_eq!(patterns.matching(&"dmd".parse().unwrap()), None);
    }
}
