//! The bug tracker's list: which packages in testing have an open bug.
//!
//! CSV with a header; the second column is the category, the fifth the summary, which names packages as `[pkgbase]`.
//! When the list is configured and cannot be read, nobody knows, and nothing is approved by age.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use crate::atomic::{self, FileError};
use crate::config::Config;
use crate::process::{Command, ProcessError};

/// The category that concerns packages in testing.
const CATEGORY: &str = "Packages: Testing";

/// The bug list cannot be had.
#[derive(Debug, Error)]
pub enum BugListError {
    /// The file cannot be read.
    #[error("the bug list: {0}")]
    File(#[from] FileError),
    /// The file is not there.
    #[error("there is no bug list {0}")]
    Missing(String),
    /// The list cannot be fetched.
    #[error("the bug list cannot be fetched: {0}")]
    Fetch(#[from] ProcessError),
    /// It is none: an error page is no list without bugs.
    #[error("the bug list {0} cannot be understood: it has no header")]
    Header(String),
}

/// Names in brackets of all open bugs of the category; empty when no list is configured. Fetching may take 90 seconds:
/// not for where locks are held.
///
/// # Errors
/// The list cannot be read or fetched, or is none: nobody knows then which packages have bugs.
pub fn reported(config: &Config) -> Result<BTreeSet<String>, BugListError> {
    let Some(place) = config.text("bug_list_url") else {
        return Ok(BTreeSet::new());
    };
    parse(&fetch(place)?).ok_or_else(|| BugListError::Header(place.to_owned()))
}

fn fetch(place: &str) -> Result<String, BugListError> {
    let path = Path::new(place.strip_prefix("file://").unwrap_or(place));
    if path.is_absolute() {
        return atomic::read_text(path)?.ok_or_else(|| BugListError::Missing(place.to_owned()));
    }
    let finished = Command::new("curl")
        .args([
            "--fail",
            "--silent",
            "--show-error",
            "--location",
            "--max-time",
            "60",
            "--",
        ])
        .arg(place)
        .timeout(Duration::from_secs(90))
        .run()?;
    Ok(String::from_utf8_lossy(&finished.stdout).into_owned())
}

/// The names in a list; `None` without a header.
fn parse(text: &str) -> Option<BTreeSet<String>> {
    let mut rows = rows(text).into_iter();
    rows.next().filter(|header| header.len() >= 5)?;
    let mut names = BTreeSet::new();
    for row in rows {
        if let [_, category, _, _, summary, ..] = &row[..]
            && category == CATEGORY
        {
            for part in summary.split('[').skip(1) {
                if let Some((inside, _)) = part.split_once(']') {
                    names.extend(
                        inside
                            .split([' ', ',', ';'])
                            .filter(|n| !n.is_empty())
                            .map(str::to_owned),
                    );
                }
            }
        }
    }
    Some(names)
}

/// Rows of CSV: fields in quotes may hold commas and newlines, a doubled quote is one.
fn rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut field = String::new();
    let mut is_quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut field)),
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            '\r' if !is_quoted => {}
            _ => field.push(character),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bugs_of_packages_in_testing_are_found() {
        let list = "ID,Category,Task Type,Severity,Summary,Status\n\
            1,\"Packages: Testing\",Bug,High,\"[a] and [b, c] say \"\"no\"\"\",New\n\
            2,Packages: Stable,Bug,High,[d] fails,New\n\
            3,Packages: Testing,Bug,High,\"two\nlines [e]\",New";
        assert_eq!(
            parse(list).unwrap().into_iter().collect::<Vec<_>>(),
            ["a", "b", "c", "e"]
        );
    }

    #[test]
    fn a_page_that_is_no_list_is_an_error_and_not_a_list_without_bugs() {
        assert!(parse("").is_none());
        assert!(parse("<html>moved</html>\n").is_none());
        assert!(parse("id,category,type,severity,summary\n").unwrap().is_empty());
    }
}
