//! `.PKGINFO` and `.BUILDINFO`: `key = value` lines.

use std::collections::BTreeMap;

/// Keys that say one thing only: said twice, two readers could take different values.
const SINGLE: [&str; 9] = [
    "pkgname",
    "pkgbase",
    "pkgver",
    "pkgdesc",
    "url",
    "builddate",
    "packager",
    "size",
    "arch",
];

/// `key = value` lines as in `.PKGINFO` and `.BUILDINFO`; a key may stand in several lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    values: BTreeMap<String, Vec<String>>,
}

impl Info {
    /// Reads the text as repo-add does: comments left out, blanks at the ends stripped, runs of blanks made one.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some((key, value)) = line.split_once('=') {
                let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
                values.entry(key.trim().to_owned()).or_default().push(value);
            }
        }
        Self { values }
    }

    /// The values of a key, in the order of the lines.
    #[must_use]
    pub fn all(&self, key: &str) -> &[String] {
        self.values.get(key).map_or(&[], Vec::as_slice)
    }

    /// The last value of a key, if it is not empty.
    #[must_use]
    pub fn last(&self, key: &str) -> Option<&str> {
        self.all(key)
            .last()
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// A key that is there several times and may be there only once.
    #[must_use]
    pub fn doubled_key(&self) -> Option<&'static str> {
        SINGLE.into_iter().find(|key| self.all(key).len() > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_as_repo_add_reads_it() {
        let info = Info::parse(
            "# made by makepkg\npkgname = a\npkgdesc =  two   words \ndepend = b>=1\ndepend = c=2\nurl =\n",
        );
        assert_eq!(info.last("pkgdesc"), Some("two words"));
        assert_eq!(info.all("depend"), ["b>=1", "c=2"]);
        assert_eq!(info.last("url"), None);
        assert_eq!(info.last("packager"), None);
    }
}
