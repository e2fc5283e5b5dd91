//! `--check` and `--repair`: databases, files, pool and states agree, and signatures are valid.
//!
//! What needs the locks is looked at with them; checksums and signatures of package files are read afterwards, since
//! published files never change (`--repair` reads the checksums before). Of the states nothing is repaired here: a run completes what a killed one left, and what
//! else does not fit only a person can decide.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use common::build_list::Order;
use common::lock::Patience;
use common::names::Repository;
use common::repository::{Class, Problem};
use common::signature::Keyring;
use common::state::State;

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
        lines.extend(self.check_states()?);
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

    /// States whose packages are elsewhere, and packages on their way without a state.
    fn check_states(&self) -> anyhow::Result<Vec<String>> {
        let classes = self.repositories.classes();
        let mut places: BTreeMap<String, Vec<(&Repository, Class)>> = BTreeMap::new();
        for (repository, class) in classes.all() {
            // With a database that cannot be read nothing can be said of states.
            let Ok(entries) = self.repositories.packages(repository) else {
                return Ok(Vec::new());
            };
            for entry in entries {
                let file = entry.file_name.to_string();
                places.entry(file).or_default().push((repository, class));
            }
        }
        let states = self.work_dir.states();
        let mut lines = Vec::new();
        let mut stated: BTreeSet<(Class, String)> = BTreeSet::new();
        for (order, known) in states.list()? {
            for state in known {
                let Some(class) = class_of(state) else { continue };
                for file in states.read(&order, state)?.unwrap_or_default() {
                    let here = places
                        .get(&file)
                        .into_iter()
                        .flatten()
                        .any(|(_, other)| *other == class);
                    if !here {
                        lines.push(misplaced(&order, state, &file));
                    }
                    stated.insert((class, file));
                }
            }
        }
        for (file, places) in places {
            for (repository, class) in places {
                let is_on_its_way = matches!(class, Class::Staging | Class::Testing);
                if is_on_its_way && !stated.contains(&(class, file.clone())) {
                    lines.push(format!("{repository}: no order's state has {file}"));
                }
            }
        }
        Ok(lines)
    }
}

/// Where the packages of an order in this state are.
const fn class_of(state: State) -> Option<Class> {
    match state {
        State::Done => Some(Class::Staging),
        State::Testing | State::Tested => Some(Class::Testing),
        State::Locked | State::Broken | State::Blocked => None,
    }
}

fn misplaced(order: &Order, state: State, file: &str) -> String {
    format!("{order} is {state}, but {file} is not published there")
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
