//! What is printed: a record a line, or all of them as JSON.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

/// Records, and the nodes that they are about, for a picture.
pub(crate) struct Answer {
    lines: Vec<String>,
    json: Vec<serde_json::Value>,
    /// What a picture shows.
    pub(crate) nodes: BTreeSet<u32>,
}

impl Answer {
    pub(crate) fn new() -> Self {
        Self {
            lines: Vec::new(),
            json: Vec::new(),
            nodes: BTreeSet::new(),
        }
    }

    /// Adds a record: its line and its fields.
    pub(crate) fn add(&mut self, record: &(impl Display + Serialize)) -> serde_json::Result<()> {
        self.lines.push(record.to_string());
        self.json.push(serde_json::to_value(record)?);
        Ok(())
    }

    pub(crate) fn write(&self, is_json: bool, out: &mut dyn Write) -> io::Result<()> {
        if is_json {
            serde_json::to_writer(&mut *out, &self.json)?;
            writeln!(out)?;
        } else {
            for line in &self.lines {
                writeln!(out, "{line}")?;
            }
        }
        out.flush()
    }
}
