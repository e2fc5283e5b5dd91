//! The lines of FILE: which packages, and for a block why.

use common::build_list::Order;
use common::names::{FileName, PkgBase};
use common::state::parse_order_id;
use common::version::PackageFileName;

/// Length of a SHA-512 in hexadecimal digits.
const SHA512: usize = 128;

/// What a line names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// An order as in the names of states.
    Order(Order),
    /// A package file, perhaps with the checksum of the one that is meant.
    File { name: FileName, sha512: Option<String> },
    /// The order of a pkgbase, whatever its commits.
    Base(PkgBase),
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// As it was written.
    pub(crate) line: String,
    pub(crate) subject: Subject,
    /// The rest of the line.
    pub(crate) reason: String,
}

/// Reads the lines; empty ones and those that begin with `#` are passed over. What names no package is an error with the
/// number of its line.
pub(crate) fn parse(text: &str) -> Vec<Result<Request, String>> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(index, line)| read(line).map_err(|error| format!("line {}: {error}", index + 1)))
        .collect()
}

fn read(line: &str) -> Result<Request, String> {
    let (first, rest) = split(line);
    let is_checksum = first.len() == SHA512 && first.bytes().all(|c| c.is_ascii_hexdigit());
    let (subject, reason) = if is_checksum {
        let (name, rest) = split(rest);
        let sha512 = Some(first.to_ascii_lowercase());
        let file = file(name)?.ok_or_else(|| format!("{name:?} is not the file name of a package"))?;
        (Subject::File { name: file, sha512 }, rest)
    } else if let Ok(order) = parse_order_id(first) {
        (Subject::Order(order), rest)
    } else if let Some(name) = file(first)? {
        (Subject::File { name, sha512: None }, rest)
    } else {
        let base = first.parse().map_err(|error| format!("{error}"))?;
        (Subject::Base(base), rest)
    };
    Ok(Request {
        line: line.to_owned(),
        subject,
        reason: reason.to_owned(),
    })
}

/// The first word of a line and what follows it; sha512sum(1) marks files with `*`.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (first, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (first, rest.trim_start().trim_start_matches('*'))
}

fn file(name: &str) -> Result<Option<FileName>, String> {
    if name.parse::<PackageFileName>().is_err() {
        return Ok(None);
    }
    name.parse().map(Some).map_err(|error| format!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Result<Request, String> {
        parse(line).remove(0)
    }

    #[test]
    fn orders_files_and_pkgbases_are_told_apart() {
        let (r, m) = ("1".repeat(40), "2".repeat(40));
        let request = one(&format!("lua5.1.{r}.{m}.core  wait for FS#1 or foo")).unwrap();
        let Subject::Order(order) = request.subject else {
            panic!()
        };
        assert_eq!((order.pkgbase.as_str(), order.repository.as_str()), ("lua5.1", "core"));
        assert_eq!(request.reason, "wait for FS#1 or foo");
        let name: FileName = "a-1-1.0-any.pkg.tar.zst".parse().unwrap();
        let file = |sha512| Subject::File {
            name: name.clone(),
            sha512,
        };
        assert_eq!(one("a-1-1.0-any.pkg.tar.zst").unwrap().subject, file(None));
        let sum = "AB".repeat(64);
        let marked = one(&format!("{sum} *a-1-1.0-any.pkg.tar.zst")).unwrap().subject;
        assert_eq!(marked, file(Some(sum.to_ascii_lowercase())));
        assert_eq!(
            one("lua5.1 broken").unwrap().subject,
            Subject::Base("lua5.1".parse().unwrap())
        );
    }

    #[test]
    fn what_names_no_package_is_an_error_with_its_line() {
        let requests = parse("# comment\n\na\n../b why\n");
        assert!(requests[0].is_ok() && requests.len() == 2);
        assert!(requests[1].as_ref().unwrap_err().starts_with("line 4: "));
        assert!(one(&format!("{} a", "0".repeat(128))).is_err(), "a checksum of no file");
    }
}
