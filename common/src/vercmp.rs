//! Comparing versions as pacman does, vercmp(8).
//!
//! The algorithm of libalpm's `alpm_pkg_vercmp` (lib/libalpm/version.c), written again: a program that is linked with
//! libalpm loads forty libraries at its start, which takes longer than handing out an order. The tests compare it with
//! libalpm itself.

use std::cmp::Ordering;

/// Compares two full versions. A missing pkgrel matches every pkgrel.
#[must_use]
pub fn vercmp(one: &str, other: &str) -> Ordering {
    if one == other {
        return Ordering::Equal;
    }
    let (one, other) = (Parts::of(one), Parts::of(other));
    compare(one.epoch, other.epoch)
        .then_with(|| compare(one.pkgver, other.pkgver))
        .then_with(|| match (one.pkgrel, other.pkgrel) {
            (Some(one), Some(other)) => compare(one, other),
            _ => Ordering::Equal,
        })
}

/// `[epoch:]pkgver[-pkgrel]`.
struct Parts<'a> {
    epoch: &'a [u8],
    pkgver: &'a [u8],
    pkgrel: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let text = text.as_bytes();
        let digits = segment(text, u8::is_ascii_digit);
        let (epoch, rest) = match text.get(digits) {
            Some(b':') if digits == 0 => (&b"0"[..], &text[1..]),
            Some(b':') => (&text[..digits], &text[digits + 1..]),
            _ => (&b"0"[..], text),
        };
        match rest.iter().rposition(|byte| *byte == b'-') {
            Some(at) => Self {
                epoch,
                pkgver: &rest[..at],
                pkgrel: Some(&rest[at + 1..]),
            },
            None => Self {
                epoch,
                pkgver: rest,
                pkgrel: None,
            },
        }
    }
}

/// Segment by segment: a segment has only digits or only letters; what is neither separates.
fn compare(mut one: &[u8], mut other: &[u8]) -> Ordering {
    if one == other {
        return Ordering::Equal;
    }
    while !one.is_empty() && !other.is_empty() {
        let separators = [one, other].map(|text| segment(text, |byte| !byte.is_ascii_alphanumeric()));
        one = &one[separators[0]..];
        other = &other[separators[1]..];
        if one.is_empty() || other.is_empty() {
            break;
        }
        if separators[0] != separators[1] {
            return separators[0].cmp(&separators[1]);
        }
        let is_number = one[0].is_ascii_digit();
        let is_alike: fn(&u8) -> bool = if is_number {
            u8::is_ascii_digit
        } else {
            u8::is_ascii_alphabetic
        };
        let (first, second) = (segment(one, is_alike), segment(other, is_alike));
        if second == 0 {
            // A number is newer than letters.
            return if is_number { Ordering::Greater } else { Ordering::Less };
        }
        let order = if is_number {
            let [first, second] = [&one[..first], &other[..second]].map(without_zeros);
            first.len().cmp(&second.len()).then_with(|| first.cmp(second))
        } else {
            one[..first].cmp(&other[..second])
        };
        if order.is_ne() {
            return order;
        }
        one = &one[first..];
        other = &other[second..];
    }
    match (one.first(), other.first()) {
        (None, None) => Ordering::Equal,
        // Letters that are left over make it older (1.0rc than 1.0), anything else newer.
        (Some(byte), _) if byte.is_ascii_alphabetic() => Ordering::Less,
        (None, Some(byte)) if !byte.is_ascii_alphabetic() => Ordering::Less,
        _ => Ordering::Greater,
    }
}

/// How many of the first bytes are alike.
fn segment(text: &[u8], is_alike: impl Fn(&u8) -> bool) -> usize {
    text.iter().take_while(|byte| is_alike(byte)).count()
}

fn without_zeros(number: &[u8]) -> &[u8] {
    &number[segment(number, |byte| *byte == b'0')..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alpm;

    #[test]
    fn pacmans_own_examples_come_out_as_with_libalpm() {
        // test/util/vercmptest.sh of pacman, and what this port makes of them.
        let versions = [
            "1.5.0", "1.5.1", "1.5", "1.5b", "1.5.b", "1.5.0-1", "1.5.0-2", "1.5.1-1", "1.5-1", "1.5-2", "1.0a",
            "1.0alpha", "1.0b", "1.0beta", "1.0rc", "1.0rc-2", "1.0", "1.0.a", "1.0.1", "2.0", "2_0", "2__0", "2.0.1",
            "2.0a", "2.0.a", "1.0.", "1.0. ", "1.0.1.", "0:1.0-1", "1:1.0-1", "1:1.0", "01:1", ":1", "1.001", "1.1",
            "1..1", "1-1", "1-1.0", "1-1.10", "1-1.9", "", "-", "-1", "a", "1a1", "1.a", "r12.abc", "r9.abd", "1+git2",
            "1.0~rc",
        ];
        for one in versions {
            for other in versions {
                assert_eq!(vercmp(one, other), alpm::vercmp(one, other), "{one:?} and {other:?}");
            }
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 20_000, ..Default::default() })]
        #[test]
        fn any_two_texts_come_out_as_with_libalpm(one in "[019ab._:+-]{0,8}", other in "[019ab._:+-]{0,8}") {
            proptest::prop_assert_eq!(vercmp(&one, &other), alpm::vercmp(&one, &other));
        }
    }
}
