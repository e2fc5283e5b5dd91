//! The metadata of all packages of one look at the sources in one file, `metadata/bundle`: reading it takes
//! milliseconds, where git's objects of a whole distribution take a second.
//!
//! For each package a line `content-id bytes`, then so many bytes of its `.SRCINFO` and a newline. A cache: a file that
//! is not whole counts as far as it can be read.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use crate::atomic::{self, FileError};
use crate::source::ContentId;

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    text: String,
    places: HashMap<ContentId, Range<usize>>,
}

impl Bundle {
    /// Reads the file; one that does not exist is empty.
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        let text = atomic::read_text(path)?.unwrap_or_default();
        let mut places = HashMap::new();
        let mut begin = 0;
        while let Some((id, place)) = record(&text, begin) {
            begin = place.end + 1;
            places.insert(id, place);
        }
        Ok(Self { text, places })
    }

    /// Whether it has nothing, as before the first look.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The `.SRCINFO` of a content.
    pub(super) fn get(&self, id: &ContentId) -> Option<&str> {
        let place = self.places.get(id)?;
        Some(&self.text[place.clone()])
    }

    /// Replaces the file.
    pub(super) fn write<'a>(
        path: &Path,
        infos: impl IntoIterator<Item = (&'a ContentId, &'a str)>,
    ) -> Result<(), FileError> {
        let records = infos
            .into_iter()
            .map(|(id, text)| format!("{id} {}\n{text}\n", text.len()));
        atomic::write(path, records.collect::<String>().as_bytes())
    }
}

/// The record that begins here: the id, and where its text is.
fn record(text: &str, begin: usize) -> Option<(ContentId, Range<usize>)> {
    let (head, _) = text.get(begin..)?.split_once('\n')?;
    let (id, length) = head.split_once(' ')?;
    let first = begin + head.len() + 1;
    let place = first..first.checked_add(length.parse().ok()?)?;
    let is_whole = text.is_char_boundary(place.end) && text.as_bytes().get(place.end) == Some(&b'\n');
    is_whole.then_some((id.parse().ok()?, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_was_cut_off_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bundle");
        let (one, two) = (ContentId::for_test("one"), ContentId::for_test("two"));
        Bundle::write(&path, [(&one, "pkgbase = ä\n"), (&two, "")]).unwrap();
        let bundle = Bundle::read(&path).unwrap();
        assert_eq!((bundle.get(&one), bundle.get(&two)), (Some("pkgbase = ä\n"), Some("")));
        let text = atomic::read_text(&path).unwrap().unwrap();
        for length in 0..text.len() - 1 {
            if text.is_char_boundary(length) {
                atomic::write(&path, &text.as_bytes()[..length]).unwrap();
                let cut = Bundle::read(&path).unwrap();
                assert!(cut.get(&two).is_none(), "{length}");
                assert!(cut.get(&one).is_none_or(|text| text == "pkgbase = ä\n"), "{length}");
            }
        }
    }
}
