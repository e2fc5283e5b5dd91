//! What each transaction did, so that it can be taken back: `.transactions/N` in `repo_dir`.
//!
//! ```text
//! time 1800000000                      when, Unix time
//! repository core 41                   its generation before; `-` when it had none
//! state<TAB>ORDER<TAB>WAS<TAB>IS       where an order stood and stands, see [`super::transition`]
//! ```
//!
//! Written before the flip; while the states are still to be changed it is called `N.begun`. A run that was killed in
//! between has its states changed by the next one. Kept for as long as the generations are.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::transition::{Standing, Transition};
use super::{Repositories, RepositoryError};
use crate::atomic::{self, Batch, FileError};
use crate::names::Repository;

/// One transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number, that of its generations.
    pub number: u64,
    /// Unix time.
    pub time: u64,
    /// The repositories that it changed, with their generations before.
    pub before: BTreeMap<Repository, Option<u64>>,
    /// What it means for package states.
    pub transitions: Vec<Transition>,
}

impl Record {
    fn render(&self) -> String {
        let mut text = format!("time {}\n", self.time);
        for (repository, before) in &self.before {
            let before = before.map_or_else(|| "-".to_owned(), |number| number.to_string());
            text.push_str(&format!("repository {repository} {before}\n"));
        }
        for Transition { order, before, after } in &self.transitions {
            text.push_str(&format!("state\t{order}\t{before}\t{after}\n"));
        }
        text
    }

    /// Lines that cannot be understood are passed over.
    fn parse(number: u64, text: &str) -> Self {
        let mut record = Self {
            number,
            time: 0,
            before: BTreeMap::new(),
            transitions: Vec::new(),
        };
        for line in text.lines() {
            if let Some(time) = line.strip_prefix("time ") {
                record.time = time.parse().unwrap_or(0);
            } else if let Some((repository, before)) = line
                .strip_prefix("repository ")
                .and_then(|rest| rest.split_once(' '))
                .and_then(|(repository, before)| Some((repository.parse().ok()?, before.parse().ok())))
            {
                record.before.insert(repository, before);
            } else if let ["state", order, before, after] = line.split('\t').collect::<Vec<_>>()[..]
                && let (Ok(order), Some(before), Some(after)) =
                    (order.parse(), Standing::parse(before), Standing::parse(after))
            {
                record.transitions.push(Transition { order, before, after });
            }
        }
        record
    }
}

impl Repositories {
    fn record_path(&self, number: u64, end: &str) -> PathBuf {
        self.root.join(".transactions").join(format!("{number}{end}"))
    }

    /// Writes the record of a transaction; it lasts when the batch is synced.
    pub(super) fn write_record(&self, record: &Record, batch: &mut Batch) -> Result<(), FileError> {
        let end = if record.transitions.is_empty() { "" } else { BEGUN };
        let path = self.record_path(record.number, end);
        atomic::create_directory(&self.root.join(".transactions"))?;
        let mut file = fs::File::create(&path).map_err(FileError::at("make", &path))?;
        std::io::Write::write_all(&mut file, record.render().as_bytes()).map_err(FileError::at("write", &path))?;
        batch.file(&path);
        Ok(())
    }

    /// The transactions that are remembered, the oldest one first. With the package-database lock held it is certain that
    /// all of them have been published.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn transactions(&self) -> Result<Vec<Record>, FileError> {
        let mut records = Vec::new();
        for (number, end) in self.records()? {
            if let Some(text) = atomic::read_text(&self.record_path(number, end))? {
                records.push(Record::parse(number, &text));
            }
        }
        Ok(records)
    }

    /// The transactions whose package states are still to be changed. Call it after a commit, with its lock held.
    ///
    /// # Errors
    /// A record cannot be read.
    pub fn unsettled(&self) -> Result<Vec<Record>, FileError> {
        let begun: Vec<u64> = self
            .records()?
            .into_iter()
            .filter_map(|(number, end)| (end == BEGUN).then_some(number))
            .collect();
        let mut records = self.transactions()?;
        records.retain(|record| begun.contains(&record.number));
        Ok(records)
    }

    /// Notes that the package states of a transaction are as they have to be.
    ///
    /// # Errors
    /// Its record cannot be renamed.
    pub fn settle(&self, number: u64) -> Result<(), FileError> {
        let begun = self.record_path(number, BEGUN);
        if begun.exists() {
            atomic::rename(&begun, &self.record_path(number, ""))?;
        }
        Ok(())
    }

    /// Numbers and ends of all records, sorted.
    fn records(&self) -> Result<BTreeMap<u64, &'static str>, FileError> {
        let path = self.root.join(".transactions");
        let mut records = BTreeMap::new();
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(records),
            Err(error) => return Err(FileError::at("read", path)(error)),
        };
        for entry in entries {
            let name = entry.map_err(FileError::at("read", &path))?.file_name();
            let Some(name) = name.to_str() else { continue };
            let (number, end) = name.strip_suffix(BEGUN).map_or((name, ""), |number| (number, BEGUN));
            if let Ok(number) = number.parse() {
                records.insert(number, end);
            }
        }
        Ok(records)
    }

    /// Removes the records of transactions that were not published, and of those before the kept ones.
    pub(super) fn forget_records(&self, is_forgotten: impl Fn(u64) -> bool) -> Result<(), RepositoryError> {
        for (number, end) in self.records()? {
            if is_forgotten(number) {
                atomic::remove(&self.record_path(number, end))?;
            }
        }
        Ok(())
    }
}

/// The end of a record's name while states are still to be changed.
const BEGUN: &str = ".begun";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;

    #[test]
    fn a_record_is_read_as_it_was_written_and_slips_are_passed_over() {
        let zeros = "0".repeat(40);
        let record = Record {
            number: 7,
            time: 5,
            before: BTreeMap::from([("core".parse().unwrap(), Some(3)), ("extra".parse().unwrap(), None)]),
            transitions: vec![
                Transition {
                    order: format!("a.b {zeros} {zeros} core").parse().unwrap(),
                    before: Standing::Listed,
                    after: Standing::In(State::Done, vec!["a-1-1-any.pkg.tar.zst".to_owned(), "b".to_owned()]),
                },
                Transition {
                    order: format!("a.b {zeros} {zeros} extra").parse().unwrap(),
                    before: Standing::In(State::Tested, Vec::new()),
                    after: Standing::Finished,
                },
            ],
        };
        let text = record.render();
        assert_eq!(Record::parse(7, &text), record);
        assert_eq!(Record::parse(7, &format!("what\nstate\tx\n{text}repository ")), record);
    }
}
