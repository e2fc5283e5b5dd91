//! Making upstream's PKGBUILD the port's: the customization appended, the target architecture, the sub-release.
//!
//! The text is changed before bash sees it, so that values which are made of `pkgrel` and `arch` follow. What the
//! customization's text says comes after upstream's and wins. `pkgver()` is unset: the version was fixed when the
//! order was made. A fraction of upstream's pkgrel goes (`1.1` becomes `1`): makepkg allows one fraction, and it is ours.

use super::SubRelease;
use crate::names::Arch;

/// Puts the parts of a PKGBUILD together and makes them the port's.
pub(super) fn mangle(parts: &[Vec<u8>], sub: SubRelease, arch: &Arch) -> Vec<u8> {
    let mut text = Vec::new();
    for part in parts {
        text.extend_from_slice(part);
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
    }
    let mut out = Vec::with_capacity(text.len() + 256);
    let mut has_literal_pkgrel = false;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if matches!(line.trim_ascii(), b"$Id$" | b"# $Id$" | b"#$Id$") {
            continue;
        }
        match literal_pkgrel(line) {
            Some((whole, end)) => {
                has_literal_pkgrel = true;
                out.extend_from_slice(&line[..whole]);
                out.extend_from_slice(sub.to_string().as_bytes());
                out.extend_from_slice(&line[end..]);
            }
            None => out.extend_from_slice(line),
        }
    }
    let mut out = with_arch(&out, arch);
    if !has_literal_pkgrel {
        out.extend_from_slice(format!("pkgrel=\"${{pkgrel%%.*}}\"{sub}\n").as_bytes());
    }
    out.extend_from_slice(b"unset -f pkgver\n");
    out
}

/// Where the whole number in `pkgrel=1`, `pkgrel='1.2' # why` and the like ends, and where its fraction does.
fn literal_pkgrel(line: &[u8]) -> Option<(usize, usize)> {
    let start = assignment(line, b"pkgrel=")?;
    let quote = line.get(start).copied().filter(|byte| matches!(byte, b'"' | b'\''));
    let number = start + usize::from(quote.is_some());
    let digits = |from: usize| line[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = number + digits(number);
    let end = match line.get(whole) {
        Some(b'.') => whole + 1 + digits(whole + 1),
        _ => whole,
    };
    let mut rest = line[end..].iter().copied();
    let closes = quote.is_none_or(|quote| rest.next() == Some(quote));
    let ends = rest
        .next()
        .is_none_or(|byte| byte.is_ascii_whitespace() || byte == b';');
    (whole > number && closes && ends).then_some((whole, end))
}

/// Where the value begins after a word `name=` of the line that is neither in a comment nor part of another word.
fn assignment(line: &[u8], name: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = find(&line[at..], name) {
        let start = at + found;
        let before = &line[..start];
        let is_comment = before.trim_ascii_start().first() == Some(&b'#') || find(before, b" #").is_some();
        let is_word = before
            .last()
            .is_none_or(|byte| byte.is_ascii_whitespace() || matches!(byte, b';' | b'{' | b'(' | b'&' | b'|'));
        if is_word && !is_comment {
            return Some(start + name.len());
        }
        at = start + name.len();
    }
    None
}

/// Inserts the architecture into every `arch=(…)` that has neither it nor `any`.
fn with_arch(text: &[u8], arch: &Arch) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(rest.len(), |at| at + 1);
        let line = &rest[..end];
        match assignment(line, b"arch=(") {
            Some(value) if !mentions(&rest[value..], arch) => {
                out.extend_from_slice(&line[..value]);
                out.extend_from_slice(format!("'{arch}' ").as_bytes());
                out.extend_from_slice(&line[value..]);
            }
            _ => out.extend_from_slice(line),
        }
        rest = &rest[end..];
    }
    out
}

/// Whether an array, up to its `)`, has the architecture or `any` among its words.
fn mentions(array: &[u8], arch: &Arch) -> bool {
    let end = array.iter().position(|byte| *byte == b')').unwrap_or(array.len());
    array[..end]
        .split(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\''))
        .any(|word| word == b"any" || word == arch.as_str().as_bytes())
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mangled(parts: &[&str], sub: SubRelease) -> String {
        let parts: Vec<Vec<u8>> = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
        String::from_utf8(mangle(&parts, sub, &"i686".parse().unwrap())).unwrap()
    }

    #[test]
    fn pkgrel_gets_the_sub_release_wherever_it_is_written() {
        for (line, expected) in [
            ("pkgrel=1", "pkgrel=1.2"),
            ("pkgrel='3' # why", "pkgrel='3.2' # why"),
            ("pkgver=1; pkgrel=\"4\"", "pkgver=1; pkgrel=\"4.2\""),
            ("  pkgrel=10;", "  pkgrel=10.2;"),
            ("pkgrel='1.7'", "pkgrel='1.2'"),
        ] {
            let text = mangled(&[line], SubRelease::Number(2));
            assert_eq!(text, format!("{expected}\nunset -f pkgver\n"));
        }
    }

    #[test]
    fn a_pkgrel_that_is_computed_gets_it_at_the_end() {
        let text = mangled(&["pkgrel=$_rel\n# pkgrel=1\n_pkgrel=1\n"], SubRelease::Number(0));
        assert!(
            text.ends_with("_pkgrel=1\npkgrel=\"${pkgrel%%.*}\".0\nunset -f pkgver\n"),
            "{text}"
        );
        let text = mangled(&["pkgrel=$_rel\n"], SubRelease::None);
        assert_eq!(text, "pkgrel=$_rel\npkgrel=\"${pkgrel%%.*}\"\nunset -f pkgver\n");
    }

    #[test]
    fn the_target_architecture_is_inserted_unless_it_is_there() {
        for (line, expected) in [
            ("arch=('x86_64')", "arch=('i686' 'x86_64')"),
            ("arch=(x86_64 i686)", "arch=(x86_64 i686)"),
            ("arch=(\"any\")", "arch=(\"any\")"),
            ("arch=(\n  x86_64\n)", "arch=('i686' \n  x86_64\n)"),
            ("package_a() { arch=(x86_64)", "package_a() { arch=('i686' x86_64)"),
            ("_arch=(x86_64)", "_arch=(x86_64)"),
            ("# arch=(x86_64)", "# arch=(x86_64)"),
        ] {
            let text = mangled(&["pkgrel=1\n", line], SubRelease::None);
            assert_eq!(text, format!("pkgrel=1\n{expected}\nunset -f pkgver\n"));
        }
    }

    #[test]
    fn the_customization_comes_after_upstream_and_id_lines_go() {
        let text = mangled(&["# $Id$\n$Id$\npkgrel=1", "pkgrel=2"], SubRelease::Number(1));
        assert_eq!(text, "pkgrel=1.1\npkgrel=2.1\nunset -f pkgver\n");
    }
}
