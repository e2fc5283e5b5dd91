//! `--rollback`: taking the newest transactions back, repositories, states and build list together.

use std::collections::BTreeSet;
use std::io::Write;

use common::journal::Event;
use common::lock::Patience;
use common::names::Repository;
use common::repository::{Record, RepositoryError, Transition};

use crate::{Master, Outcome};

/// Which transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The newest one.
    Newest,
    /// This one and those after it.
    Since(u64),
}

impl Master<'_> {
    /// `-n`: prints what would be taken back, the newest transaction first.
    pub(crate) fn show_rollback(&self, extent: Extent, stdout: &mut dyn Write) -> anyhow::Result<Outcome> {
        let records = match select(self.repositories.transactions()?, extent) {
            Ok(records) => records,
            Err(reason) => return Ok(Outcome::BadInput(reason)),
        };
        for record in records.iter().rev() {
            let repositories: Vec<&str> = record.before.keys().map(Repository::as_str).collect();
            writeln!(stdout, "take back {} of {}", record.number, repositories.join(" "))?;
            for Transition { order, before, .. } in &record.transitions {
                writeln!(stdout, "order \"{order}\" is {} again", before.word())?;
            }
        }
        stdout.flush()?;
        Ok(Outcome::Done)
    }

    /// Does it, with the locks held.
    pub(crate) fn roll_back(&self, extent: Extent, patience: Patience) -> anyhow::Result<Outcome> {
        if let Some(outcome) = self.complete(patience)? {
            return Ok(outcome);
        }
        let records = match select(self.repositories.transactions()?, extent) {
            Ok(records) => records,
            Err(reason) => return Ok(Outcome::BadInput(reason)),
        };
        let mut transaction = self.repositories.transaction();
        match transaction.take_back(&records) {
            Ok(()) => {}
            Err(error @ RepositoryError::NotKept { .. }) => return Ok(Outcome::BadInput(error.to_string())),
            Err(error) => return Err(error.into()),
        }
        let transitions = transaction.transitions().to_vec();
        let number = match transaction.commit(self.now, patience) {
            Ok(commit) => {
                self.warn(&commit.warnings);
                commit.number
            }
            Err(error @ RepositoryError::Busy { .. }) => return Ok(Outcome::Hindered(error.to_string())),
            Err(error @ RepositoryError::Absent { .. }) => return Ok(Outcome::BadInput(error.to_string())),
            Err(error) => return Err(error.into()),
        };
        Transition::apply_all(&transitions, &self.work_dir)?;
        if let Some(number) = number {
            self.repositories.settle(number)?;
        }
        self.tell(&records, &transitions);
        Ok(Outcome::Done)
    }

    fn tell(&self, records: &[Record], transitions: &[Transition]) {
        let numbers: Vec<String> = records.iter().map(|record| record.number.to_string()).collect();
        let detail = format!("transaction {}", numbers.join(" "));
        for Transition { order, after, .. } in transitions {
            self.note(Event::TakenBack, order, &format!("{detail}: {}", after.word()));
        }
        let repositories: BTreeSet<&Repository> = records.iter().flat_map(|record| record.before.keys()).collect();
        let names: Vec<&str> = repositories.into_iter().map(Repository::as_str).collect();
        let (count, names) = (transitions.len(), names.join(" "));
        self.messages
            .note(format_args!("{detail} was taken back: {names}, {count} orders"));
        self.messages
            .note("hint: what may move moves again with the next run: block it, or mark it as faulty");
    }
}

/// The transactions that are meant, from the oldest to the newest, or why there are none.
fn select(mut known: Vec<Record>, extent: Extent) -> Result<Vec<Record>, String> {
    let Some(last) = known.last().map(|record| record.number) else {
        return Err("there is no transaction that could be taken back".to_owned());
    };
    let first = known.first().map_or(last, |record| record.number);
    let since = match extent {
        Extent::Newest => last,
        Extent::Since(number) => number,
    };
    if !known.iter().any(|record| record.number == since) {
        return Err(format!(
            "transaction {since} is not remembered; those from {first} to {last} are"
        ));
    }
    known.retain(|record| record.number >= since);
    Ok(known)
}
