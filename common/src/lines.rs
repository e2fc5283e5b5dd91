//! The lines of large texts, found fast: lists of a whole distribution are read for every request.

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
}
