//! The bug tracker's list: which packages in testing have an open bug.
//!
//! CSV with a header; the second column is the category, the fifth the summary, which names packages as `[pkgbase]`.
//! When the list is configured and cannot be read, nobody knows, and nothing is approved by age.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use common::config::Config;
use common::process::Command;

/// The category that concerns packages in testing.
const CATEGORY: &str = "Packages: Testing";

/// Names in brackets of all open bugs of the category; empty when no list is configured.
pub(crate) fn reported(config: &Config) -> anyhow::Result<BTreeSet<String>> {
    let Some(place) = config.text("bug_list_url") else {
        return Ok(BTreeSet::new());
    };
    let text = fetch(place).with_context(|| format!("the bug list {place} cannot be read"))?;
    parse(&text).with_context(|| format!("the bug list {place} cannot be understood"))
}

fn fetch(place: &str) -> anyhow::Result<String> {
    let path = place.strip_prefix("file://").unwrap_or(place);
    if Path::new(path).is_absolute() {
        return Ok(std::fs::read_to_string(path)?);
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

fn parse(text: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut rows = rows(text).into_iter();
    // An error page is no list without bugs.
    anyhow::ensure!(rows.next().is_some_and(|header| header.len() >= 5), "it has no header");
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
    Ok(names)
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
        assert!(parse("").is_err());
        assert!(parse("<html>moved</html>\n").is_err());
        assert!(parse("id,category,type,severity,summary\n").unwrap().is_empty());
    }
}
