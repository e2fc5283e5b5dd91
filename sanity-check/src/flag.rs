//! `build-master-sanity` as this tool writes it: `sanity-check: CHECK: COMPLAINT`. What begins otherwise a person wrote, and
//! it is left alone.

use std::path::Path;

use common::atomic::{self, FileError};
use common::sanity;

use crate::cli::Check;
use crate::examination::Complaint;

/// What the flag begins with when it is ours.
const MARK: &str = "sanity-check: ";

/// Writes or removes the flag after these checks.
pub(crate) fn raise_or_lower(path: &Path, checks: &[Check], complaints: &[Complaint]) -> Result<(), FileError> {
    let present = sanity::complaint(path)?;
    let is_a_persons = present.as_ref().is_some_and(|text| !text.starts_with(MARK));
    match complaints {
        _ if is_a_persons => Ok(()),
        [] => match present {
            // Another check complained, which has not been made again.
            Some(text) if !checks.iter().any(|check| is_of(&text, *check)) => Ok(()),
            _ => atomic::remove(path),
        },
        [first, rest @ ..] => {
            let more = match rest.len() {
                0 => String::new(),
                count => format!(" (and {count} more)"),
            };
            let text = format!("{MARK}{}: {}{more}\n", first.check.as_str(), first.complaint);
            atomic::write(path, text.as_bytes())
        }
    }
}

fn is_of(text: &str, check: Check) -> bool {
    text.strip_prefix(MARK)
        .and_then(|rest| rest.strip_prefix(check.as_str()))
        .is_some_and(|rest| rest.starts_with(": "))
}
