//! The lines of large texts, found fast: lists of a whole distribution are read for every request.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::Path;

use crate::atomic::FileError;

/// Bytes of a file that are in memory at a time.
const PART: usize = 64 << 10;

/// Calls `visit` with each line of a file without its end, until it returns `None`, which is then the result; so it is of
/// a file that is not UTF-8. One that does not exist has no lines.
///
/// # Errors
/// The file exists and cannot be read.
pub fn visit(path: &Path, mut visit: impl FnMut(&str) -> Option<()>) -> Result<Option<()>, FileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(())),
        Err(error) => return Err(FileError::at("read", path)(error)),
    };
    let mut reader = BufReader::with_capacity(PART, file);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let got = reader.read_until(b'\n', &mut bytes);
        if got.map_err(FileError::at("read", path))? == 0 {
            return Ok(Some(()));
        }
        let visited = std::str::from_utf8(&bytes).ok().and_then(|text| {
            let line = text.strip_suffix('\n').unwrap_or(text);
            visit(line.strip_suffix('\r').unwrap_or(line))
        });
        if visited.is_none() {
            return Ok(None);
        }
    }
}

/// The lines of a text without their ends, as [`str::lines`] gives them.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = match memchr::memchr(b'\n', rest.as_bytes()) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, ""),
        };
        rest = after;
        Some(line.strip_suffix('\r').unwrap_or(line))
    })
}

/// The lines that begin so, of sorted ones.
pub(crate) fn beginning_with<'t>(sorted: &'t str, prefix: &str) -> &'t str {
    // Of each range the line around its middle is looked at.
    let first = |is_before: &dyn Fn(&[u8]) -> bool| {
        let text = sorted.as_bytes();
        let (mut begin, mut end) = (0, text.len());
        while begin < end {
            let middle = begin + (end - begin) / 2;
            let line = memchr::memrchr(b'\n', &text[begin..middle]).map_or(begin, |newline| begin + newline + 1);
            let next = memchr::memchr(b'\n', &text[line..end]).map_or(end, |newline| line + newline + 1);
            if is_before(&text[line..next]) {
                begin = next;
            } else {
                end = line;
            }
        }
        begin
    };
    let prefix = prefix.as_bytes();
    let begin = first(&|line| line < prefix);
    let end = first(&|line| line < prefix || line.starts_with(prefix));
    &sorted[begin..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn they_are_those_of_the_standard_library(text in "[a\r\nä ]{0,20}") {
            // A last line without a newline keeps its carriage return there.
            let text = text.trim_end_matches('\r');
            assert!(lines(text).eq(text.lines()), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_lines_of_one_package_are_found_as_by_looking_at_all(
            mut lines in proptest::collection::btree_set("[ab+-]{1,4}", 0..12),
            prefix in "[ab]{1,2}-",
        ) {
            lines.retain(|line| !line.is_empty());
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let expected: Vec<&String> = lines.iter().filter(|line| line.starts_with(&prefix)).collect();
            let found: Vec<&str> = beginning_with(&text, &prefix).lines().collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_file_is_visited_line_by_line_until_somebody_has_enough() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        crate::atomic::write(&path, "a\r\nä\n\nlast".as_bytes()).unwrap();
        let mut seen = Vec::new();
        let mut push = |line: &str| {
            seen.push(line.to_owned());
            (line != "stop").then_some(())
        };
        assert_eq!(visit(&path, &mut push).unwrap(), Some(()));
        assert_eq!(visit(&directory.path().join("absent"), &mut push).unwrap(), Some(()));
        crate::atomic::write(&path, b"stop\nno more\n").unwrap();
        assert_eq!(visit(&path, &mut push).unwrap(), None);
        crate::atomic::write(&path, b"\xff\n").unwrap();
        assert_eq!(visit(&path, &mut push).unwrap(), None);
        assert_eq!(seen, ["a", "ä", "", "last", "stop"]);
    }
}
