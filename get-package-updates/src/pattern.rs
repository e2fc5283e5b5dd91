//! Patterns in lists of packages: `*`, `?` and `[…]` as in fnmatch(3).

/// Whether a name matches the whole pattern.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to go on when the last `*` has to take one character more.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => set(&pattern[p..], name[n]),
            Some(byte) if *byte == name[n] => Some(1),
            _ => None,
        };
        match (step, retry) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((after, from))) => {
                (p, n) = (after, from + 1);
                retry = Some((after, from + 1));
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The length of a set at the beginning of the pattern when the character is in it; `[` without an end is itself.
fn set(pattern: &[u8], byte: u8) -> Option<usize> {
    let is_negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let start = if is_negated { 2 } else { 1 };
    let Some(length) = pattern
        .get(start + 1..)
        .and_then(|rest| rest.iter().position(|c| *c == b']'))
    else {
        return (byte == b'[').then_some(1);
    };
    let end = start + 1 + length;
    let mut members = &pattern[start..end];
    let mut is_member = false;
    while let Some(first) = members.first() {
        if let [low, b'-', high, rest @ ..] = members {
            is_member |= (*low..=*high).contains(&byte);
            members = rest;
        } else {
            is_member |= *first == byte;
            members = &members[1..];
        }
    }
    (is_member != is_negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_fnmatch() {
        for (pattern, name) in [
            ("a", "a"),
            ("lib32-*", "lib32-glibc"),
            ("*", ""),
            ("*-git", "a-git-git"),
            ("a?c", "abc"),
            ("[a-c]x", "bx"),
            ("[!a]x", "bx"),
            ("[]x]", "]"),
            ("a*b*c", "aXbYbZc"),
            ("libsigc++", "libsigc++"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("a", "ab"),
            ("?", ""),
            ("[a-c]", "d"),
            ("[!a]", "a"),
            ("*x", "y"),
            ("a[", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
