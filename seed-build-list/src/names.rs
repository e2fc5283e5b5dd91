//! Names from standard input: a package or pkgbase a line, and behind it what is kept as the reason.

use std::io::Read;

use anyhow::Context;
use common::names::PkgName;
use thiserror::Error;

/// A line that begins with no name.
#[derive(Debug, Error)]
#[error("line {line}: {source}")]
pub(crate) struct BadLine {
    line: usize,
    #[source]
    source: common::names::NameError,
}

/// Reads all lines; empty ones are passed over.
pub(crate) fn read(input: &mut dyn Read, reason: &str) -> anyhow::Result<Vec<(PkgName, String)>> {
    let mut text = String::new();
    input
        .read_to_string(&mut text)
        .context("cannot read the names from standard input")?;
    let mut names = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let (name, own) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if name.is_empty() {
            continue;
        }
        let name = name.parse().map_err(|source| BadLine {
            line: index + 1,
            source,
        })?;
        let own = own.trim();
        names.push((name, if own.is_empty() { reason } else { own }.to_owned()));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_name_is_its_reason() {
        let mut text = "a\n\n  b\tneeds libssl.so=3-64  \n".as_bytes();
        let names = read(&mut text, "openssl 3").unwrap();
        let words: Vec<String> = names.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
        assert_eq!(words, ["a: openssl 3", "b: needs libssl.so=3-64"]);
    }

    #[test]
    fn a_line_without_a_name_is_refused_with_its_number() {
        let error = read(&mut "a\n../b\n".as_bytes(), "").unwrap_err().to_string();
        assert!(error.starts_with("line 2: "), "{error}");
    }
}
