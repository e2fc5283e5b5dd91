//! `--check` and `--repair`: databases, files, pool and states agree, and signatures are valid.
//!
//! What needs the locks is looked at with them; checksums and signatures of package files are read afterwards, since
//! published files never change (`--repair` reads the checksums before). Of the states nothing is repaired here: a run completes what a killed one left, and what
//! else does not fit only a person can decide.

use std::io::Write;

use common::agreement;
use common::lock::Patience;
use common::repository::Problem;
use common::signature::Keyring;

use crate::{Master, Outcome};

impl Master<'_> {
    /// `--check`, with the locks held: a line for everything that is not as it should be.
    pub(crate) fn check(&self) -> anyhow::Result<Vec<String>> {
        let mut lines: Vec<String> = self.repositories.check()?.iter().map(Problem::to_string).collect();
        for record in self.repositories.unsettled()? {
            lines.push(format!(
                "the states of transaction {} were not completed",
                record.number
            ));
        }
        let disagreements = agreement::disagreements(&self.work_dir.states(), &self.repositories)?;
        lines.extend(disagreements.iter().map(ToString::to_string));
        Ok(lines)
    }

    /// `--check`, without locks: what the files themselves say.
    pub(crate) fn check_files(&self) -> anyhow::Result<Vec<String>> {
        let mut lines: Vec<String> = self
            .repositories
            .check_files()?
            .iter()
            .map(Problem::to_string)
            .collect();
        if !self.config.switch("require_signatures", true)? {
            return Ok(lines);
        }
        let keyring = Keyring::from_config(self.config)?;
        for (repository, _) in self.repositories.classes().all() {
            for entry in self.repositories.packages(repository).unwrap_or_default() {
                let Some(file) = self.repositories.published(&entry.file_name) else {
                    continue;
                };
                let signature = file.with_file_name(format!("{}.sig", entry.file_name));
                if !signature.is_file() {
                    lines.push(format!("{repository}: {} has no signature", entry.file_name));
                } else if let Err(error) = keyring.verify(&file, &signature) {
                    lines.push(format!("{repository}: {error}"));
                }
            }
        }
        Ok(lines)
    }

    /// `--repair`, with the locks held; what hinders it, if so.
    pub(crate) fn repair(&self, patience: Patience) -> anyhow::Result<Option<Outcome>> {
        if let Some(outcome) = self.complete(patience)? {
            return Ok(Some(outcome));
        }
        let mut problems = self.repositories.check()?;
        problems.extend(self.repositories.check_files()?);
        if !problems.is_empty() {
            self.warn(&self.repositories.repair(&problems, self.now, patience)?.warnings);
        }
        Ok(None)
    }
}

/// Prints what was found.
pub(crate) fn report(lines: &[String], stdout: &mut dyn Write) -> anyhow::Result<Outcome> {
    for line in lines {
        writeln!(stdout, "{line}")?;
    }
    stdout.flush()?;
    Ok(match lines.len() {
        0 => Outcome::Done,
        1 => Outcome::BadInput("1 thing is not as it should be".to_owned()),
        count => Outcome::BadInput(format!("{count} things are not as they should be")),
    })
}
