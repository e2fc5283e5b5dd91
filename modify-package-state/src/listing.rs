//! What `--list` prints: `ORDER STATE DETAIL` a line, the order as FILE takes it.

use std::io::{self, Write};

use common::atomic::FileError;
use common::build_list::Order;
use common::state::{State, States, order_id};
use serde::Serialize;

/// The states that people decide about.
const SHOWN: [State; 4] = [State::Blocked, State::Done, State::Testing, State::Tested];

/// One line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    pkgbase: &'a str,
    revision: &'a str,
    mod_revision: &'a str,
    repository: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
}

/// All facts that people decide about, with their lines, sorted by order.
pub(crate) fn gather(states: &States) -> Result<Vec<(Order, State, Vec<String>)>, FileError> {
    let mut found = Vec::new();
    for (order, known) in states.list()? {
        for state in known.into_iter().filter(|state| SHOWN.contains(state)) {
            // Another tool may have changed it since the directory was read.
            if let Some(lines) = states.read(&order, state)? {
                found.push((order.clone(), state, lines));
            }
        }
    }
    Ok(found)
}

/// Prints them.
pub(crate) fn print(facts: &[(Order, State, Vec<String>)], format: Format, stdout: &mut dyn Write) -> io::Result<()> {
    for (order, state, lines) in facts {
        match format {
            Format::Text => writeln!(stdout, "{} {state} {}", order_id(order), lines.join(" "))?,
            Format::Json => {
                let is_blocked = *state == State::Blocked;
                let line = Line {
                    pkgbase: order.pkgbase.as_str(),
                    revision: order.revision.as_str(),
                    mod_revision: order.mod_revision.as_str(),
                    repository: order.repository.as_str(),
                    state: state.as_str(),
                    reason: is_blocked.then(|| lines.join(" ")),
                    files: if is_blocked { Vec::new() } else { lines.clone() },
                };
                serde_json::to_writer(&mut *stdout, &line)?;
                writeln!(stdout)?;
            }
        }
    }
    stdout.flush()
}

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}
