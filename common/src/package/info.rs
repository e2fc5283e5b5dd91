//! `.PKGINFO` and `.BUILDINFO`: `key = value` lines.

use std::ops::Range;

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
    /// Keys and values one behind the other: there are hundreds in a large package's.
    text: String,
    /// Where each line's key and value are in it.
    lines: Vec<(Range<usize>, Range<usize>)>,
}

impl Info {
    /// Reads the text as repo-add does: comments left out, blanks at the ends stripped, runs of blanks made one.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut info = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some((key, value)) = line.split_once('=') {
                let key = info.push(key.split_whitespace());
                let value = info.push(value.split_whitespace());
                info.lines.push((key, value));
            }
        }
        info
    }

    /// Appends words to the text.
    fn push<'a>(&mut self, words: impl Iterator<Item = &'a str>) -> Range<usize> {
        let begin = self.text.len();
        for word in words {
            if self.text.len() > begin {
                self.text.push(' ');
            }
            self.text.push_str(word);
        }
        begin..self.text.len()
    }

    /// The values of a key, in the order of the lines.
    pub fn all(&self, key: &str) -> impl DoubleEndedIterator<Item = &str> {
        let lines = self.lines.iter().filter(move |(its, _)| self.text[its.clone()] == *key);
        lines.map(|(_, value)| &self.text[value.clone()])
    }

    /// The last value of a key, if it is not empty.
    #[must_use]
    pub fn last(&self, key: &str) -> Option<&str> {
        self.all(key).next_back().filter(|value| !value.is_empty())
    }

    /// A key that is there several times and may be there only once.
    #[must_use]
    pub fn doubled_key(&self) -> Option<&'static str> {
        SINGLE.into_iter().find(|key| self.all(key).count() > 1)
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
        assert!(info.all("depend").eq(["b>=1", "c=2"]));
        assert_eq!(info.last("url"), None);
        assert_eq!(info.last("packager"), None);
    }
}
