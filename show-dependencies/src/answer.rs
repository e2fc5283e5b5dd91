//! What is printed: a record a line, or all of them as a JSON array.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::io::{self, Write};

use serde::Serialize;

/// In which form records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A line each.
    Lines,
    /// An array of objects.
    Json,
}

/// Records, and the nodes that they are about, for a picture.
pub(crate) struct Answer {
    form: Form,
    text: String,
    /// What a picture shows.
    pub(crate) nodes: BTreeSet<u32>,
}

impl Answer {
    pub(crate) fn new(form: Form) -> Self {
        Self {
            form,
            text: String::new(),
            nodes: BTreeSet::new(),
        }
    }

    /// Adds a record: its line or its fields.
    pub(crate) fn add(&mut self, record: &(impl Display + Serialize)) -> anyhow::Result<()> {
        match self.form {
            Form::Lines => writeln!(self.text, "{record}")?,
            Form::Json => {
                self.text.push(if self.text.is_empty() { '[' } else { ',' });
                self.text.push_str(&serde_json::to_string(record)?);
            }
        }
        Ok(())
    }

    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.text.as_bytes())?;
        match self.form {
            Form::Lines => {}
            Form::Json if self.text.is_empty() => out.write_all(b"[]\n")?,
            Form::Json => out.write_all(b"]\n")?,
        }
        out.flush()
    }
}
