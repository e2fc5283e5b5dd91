//! The order of versions, which is that of vercmp(8).
//!
//! Our own, since libalpm takes its 48 libraries along: to load them costs a tool that is called over ssh more than its
//! work does. The tests hold it against pacman's program.

use std::cmp::Ordering;

/// Compares two full versions as pacman does. A missing pkgrel matches every pkgrel. What stands behind a NUL does not
/// count: pacman would not see it.
#[must_use]
pub fn vercmp(a: &str, b: &str) -> Ordering {
    let (a, b) = (Parts::of(a), Parts::of(b));
    let by_pkgrel = || match (a.pkgrel, b.pkgrel) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    };
    compare(a.epoch, b.epoch)
        .then_with(|| compare(a.pkgver, b.pkgver))
        .then_with(by_pkgrel)
}

/// `[epoch:]pkgver[-pkgrel]`.
struct Parts<'a> {
    epoch: &'a [u8],
    pkgver: &'a [u8],
    pkgrel: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let text = text.split('\0').next().unwrap_or_default().as_bytes();
        let (epoch, rest) = match split_run(text, u8::is_ascii_digit) {
            (epoch, [b':', rest @ ..]) => (epoch, rest),
            _ => (&b""[..], text),
        };
        let (pkgver, pkgrel) = match rest.iter().rposition(|c| *c == b'-') {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        // No epoch is the epoch 0.
        let epoch = if epoch.is_empty() { b"0" } else { epoch };
        Self { epoch, pkgver, pkgrel }
    }
}

/// Compares one part: runs of digits as numbers, runs of letters as text, a number above letters, more separators in
/// between above fewer. What is longer is newer, unless it goes on with a letter, as `1.0rc` does.
fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() && !b.is_empty() {
        let is_separator = |c: &u8| !c.is_ascii_alphanumeric();
        let (gap_a, gap_b);
        (gap_a, a) = split_run(a, is_separator);
        (gap_b, b) = split_run(b, is_separator);
        let Some(first) = a.first().filter(|_| !b.is_empty()) else {
            break;
        };
        let is_number = first.is_ascii_digit();
        let belongs = if is_number {
            u8::is_ascii_digit
        } else {
            u8::is_ascii_alphabetic
        };
        let (run_a, run_b);
        (run_a, a) = split_run(a, belongs);
        (run_b, b) = split_run(b, belongs);
        let by_run = match is_number {
            true if run_b.is_empty() => Ordering::Greater,
            false if run_b.is_empty() => Ordering::Less,
            true => compare_numbers(run_a, run_b),
            false => run_a.cmp(run_b),
        };
        let so_far = gap_a.len().cmp(&gap_b.len()).then(by_run);
        if so_far.is_ne() {
            return so_far;
        }
    }
    match (a.first(), b.first()) {
        (None, None) => Ordering::Equal,
        (Some(c), _) if c.is_ascii_alphabetic() => Ordering::Less,
        (None, Some(c)) if !c.is_ascii_alphabetic() => Ordering::Less,
        _ => Ordering::Greater,
    }
}

/// Compares digits as numbers of any length.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let (_, a) = split_run(a, |c| *c == b'0');
    let (_, b) = split_run(b, |c| *c == b'0');
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// What `text` begins with, and the rest.
fn split_run(text: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|c| belongs(c)).count())
}
