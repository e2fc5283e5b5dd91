//! The assignment: what `get-assignment` prints and a builder reads.
//!
//! Exactly one line `pkgbase revision mod_revision repository sub_pkgrel`; with `--files` the expected package file
//! names follow, one a line. Four fields are read as sub_pkgrel 0, as the original builders do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::build_list::{Order, OrderError};
use crate::names::FileName;

/// An order with the sub-release that its packages get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The order.
    #[serde(flatten)]
    pub order: Order,
    /// What is put behind pkgrel.
    pub sub_pkgrel: u32,
}

/// A line that is no assignment.
#[derive(Debug, Error)]
pub enum AssignmentError {
    /// The first four fields are no order.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The fifth field is no whole number.
    #[error("sub_pkgrel {0:?} is no whole number")]
    SubPkgrel(String),
    /// A line after the first is no file name, or there is no line at all.
    #[error("the answer is no assignment: {0}")]
    Answer(String),
}

impl FromStr for Assignment {
    type Err = AssignmentError;

    fn from_str(line: &str) -> Result<Self, AssignmentError> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (order, sub) = match fields.len() {
            5 => (fields[..4].join(" "), fields[4]),
            _ => (line.to_owned(), "0"),
        };
        Ok(Self {
            order: order.parse()?,
            sub_pkgrel: sub
                .parse()
                .map_err(|_| AssignmentError::SubPkgrel(sub.chars().take(40).collect()))?,
        })
    }
}

impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.order, self.sub_pkgrel)
    }
}

/// The whole answer of `get-assignment --files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The first line.
    pub assignment: Assignment,
    /// The expected package files; empty when the master does not say.
    pub files: Vec<FileName>,
}

impl FromStr for Answer {
    type Err = AssignmentError;

    fn from_str(text: &str) -> Result<Self, AssignmentError> {
        let mut lines = text.lines();
        let first = lines
            .next()
            .ok_or_else(|| AssignmentError::Answer("it is empty".to_owned()))?;
        Ok(Self {
            assignment: first.parse()?,
            files: lines
                .map(str::parse)
                .collect::<Result<_, _>>()
                .map_err(|error: crate::names::NameError| AssignmentError::Answer(error.to_string()))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_and_five_fields_are_read_and_five_are_written() {
        let order = format!("a {} {} core", "1".repeat(40), "2".repeat(40));
        assert_eq!(order.parse::<Assignment>().unwrap().to_string(), format!("{order} 0"));
        assert_eq!(format!("{order} 7").parse::<Assignment>().unwrap().sub_pkgrel, 7);
        assert!(format!("{order} x").parse::<Assignment>().is_err());
        assert!(format!("{order} 7 8").parse::<Assignment>().is_err());
    }

    #[test]
    fn file_names_follow_a_line_each() {
        let order = format!("a {} {} core 0", "1".repeat(40), "2".repeat(40));
        let answer: Answer = format!("{order}\na-1-1.0-any.pkg.tar.zst\n").parse().unwrap();
        assert_eq!(answer.files.len(), 1);
        assert!(format!("{order}\n../x\n").parse::<Answer>().is_err());
        assert!("".parse::<Answer>().is_err());
    }
}
