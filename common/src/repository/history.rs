//! What each transaction did, so that it can be taken back: `.transactions/N` in `repo_dir`.
//!
//! ```text
//! time 1800000000                      when, Unix time
//! repository core 41                   its generation before; `-` when it had none
//! state<TAB>ORDER<TAB>FACT<TAB>FACT    what an order's state was and is; FACT is `STATE FILE…` or `-`
//! ```
//!
//! Written before the flip; while the states are still to be changed it is called `N.begun`. A run that was killed in
//! between has its states changed by the next one. Kept for as long as the generations are.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::{Repositories, RepositoryError};
use crate::atomic::{self, Batch, FileError};
use crate::build_list::Order;
use crate::names::Repository;
use crate::state::{State, States};

/// The states that say where an order's packages are.
const OF_PACKAGES: [State; 3] = [State::Done, State::Testing, State::Tested];

/// One state of an order with the files of its packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// `done`, `testing` or `tested`.
    pub state: State,
    /// The names of its package files.
    pub files: Vec<String>,
}

/// What a transaction means for an order. Without a fact before it was on the build list; without one afterwards its
/// packages are in a stable or a standalone repository, or a newer order has taken their place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The order.
    pub order: Order,
    /// Its state before.
    pub before: Option<Fact>,
    /// Its state afterwards.
    pub after: Option<Fact>,
}

impl Transition {
    /// The same backwards.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            order: self.order,
            before: self.after,
            after: self.before,
        }
    }

    /// Changes the state files; doing it twice is doing it once. The build-list lock is held.
    ///
    /// # Errors
    /// A file cannot be written or removed.
    pub fn apply(&self, states: &States) -> Result<(), FileError> {
        if let Some(fact) = &self.after {
            states.write(&self.order, fact.state, &fact.files)?;
        }
        for state in OF_PACKAGES {
            if self.after.as_ref().is_none_or(|fact| fact.state != state) {
                states.remove(&self.order, state)?;
            }
        }
        Ok(())
    }
}

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
        let fact = |fact: &Option<Fact>| match fact {
            Some(fact) => format!("{} {}", fact.state, fact.files.join(" ")),
            None => "-".to_owned(),
        };
        for Transition { order, before, after } in &self.transitions {
            text.push_str(&format!("state\t{order}\t{}\t{}\n", fact(before), fact(after)));
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
                && let Ok(order) = order.parse()
            {
                record.transitions.push(Transition {
                    order,
                    before: parse_fact(before),
                    after: parse_fact(after),
                });
            }
        }
        record
    }
}

fn parse_fact(text: &str) -> Option<Fact> {
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    let state = words.next()?;
    let state = OF_PACKAGES.into_iter().find(|known| known.as_str() == state)?;
    Some(Fact {
        state,
        files: words.map(str::to_owned).collect(),
    })
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

    #[test]
    fn a_record_is_read_as_it_was_written_and_slips_are_passed_over() {
        let fact = |state, files: &[&str]| {
            Some(Fact {
                state,
                files: files.iter().map(|file| (*file).to_owned()).collect(),
            })
        };
        let zeros = "0".repeat(40);
        let record = Record {
            number: 7,
            time: 5,
            before: BTreeMap::from([("core".parse().unwrap(), Some(3)), ("extra".parse().unwrap(), None)]),
            transitions: vec![Transition {
                order: format!("a.b {zeros} {zeros} core").parse().unwrap(),
                before: fact(State::Done, &["a-1-1-any.pkg.tar.zst", "b-1-1-any.pkg.tar.zst"]),
                after: None,
            }],
        };
        let text = record.render();
        assert_eq!(Record::parse(7, &text), record);
        assert_eq!(Record::parse(7, &format!("what\nstate\tx\n{text}repository ")), record);
    }
}
