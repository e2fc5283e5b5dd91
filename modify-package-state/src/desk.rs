//! Where states are changed, with the build-list lock held: one request after another, each for itself.

use std::collections::BTreeSet;

use common::build_list::{BuildList, Order};
use common::cli::one_line;
use common::journal::Event;
use common::names::{FileName, PkgBase};
use common::repository::Repositories;
use common::state::{State, States, order_id};
use sha2::{Digest, Sha512};

use crate::cli::Action;
use crate::request::{Request, Subject};

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A state changed; for the journal.
    Changed { event: Event, order: Order, detail: String },
    /// It was so already.
    Same,
    /// The bug list names it; a sentence.
    Held(String),
    /// The request cannot be done; why.
    Refused(String),
}

/// The states, and what decides about them.
pub(crate) struct Desk<'a> {
    pub(crate) states: States,
    pub(crate) list: BuildList,
    pub(crate) repositories: &'a Repositories,
    /// Names with an open bug.
    pub(crate) bugs: BTreeSet<String>,
}

impl Desk<'_> {
    /// Does one request.
    ///
    /// # Errors
    /// A state cannot be read or written.
    pub(crate) fn act(&self, action: Action, request: &Request) -> anyhow::Result<Effect> {
        match action {
            Action::Block => self.block(request),
            Action::Unblock => self.unblock(request),
            Action::Approve => self.approve(request),
            Action::Condemn => self.condemn(request),
        }
    }

    fn block(&self, request: &Request) -> anyhow::Result<Effect> {
        let reason = one_line(&request.reason);
        let order = match self.listed(&request.subject) {
            Ok(order) => order,
            Err(refused) => return Ok(refused),
        };
        if reason.is_empty() {
            return Ok(Effect::Refused(format!("{}: a block needs a reason", order.pkgbase)));
        }
        if self
            .states
            .read(order, State::Blocked)?
            .is_some_and(|lines| lines == [reason.clone()])
        {
            return Ok(Effect::Same);
        }
        self.states.write(order, State::Blocked, [&reason])?;
        Ok(changed(Event::Blocked, order, reason))
    }

    fn unblock(&self, request: &Request) -> anyhow::Result<Effect> {
        let order = match self.listed(&request.subject) {
            Ok(order) => order,
            Err(refused) => return Ok(refused),
        };
        if !self.states.has(order, State::Blocked) {
            return Ok(Effect::Same);
        }
        self.states.remove(order, State::Blocked)?;
        Ok(changed(Event::Unblocked, order, String::new()))
    }

    fn approve(&self, request: &Request) -> anyhow::Result<Effect> {
        let order = match self.in_testing(&request.subject)? {
            Ok((order, State::Testing)) => order,
            Ok(_) => return Ok(Effect::Same),
            Err(refused) => return Ok(refused),
        };
        if let Subject::File {
            name,
            sha512: Some(sum),
        } = &request.subject
            && !self.is_published_as(name, sum)?
        {
            return Ok(Effect::Refused(format!(
                "{name}: another file of this name is published"
            )));
        }
        if self.bugs.contains(order.pkgbase.as_str()) {
            return Ok(Effect::Held(format!(
                "{} has an open bug and is not approved",
                order.pkgbase
            )));
        }
        self.states.change(&order, State::Testing, State::Tested)?;
        Ok(changed(Event::Tested, &order, "by hand".to_owned()))
    }

    fn condemn(&self, request: &Request) -> anyhow::Result<Effect> {
        let order = match self.in_testing(&request.subject)? {
            Ok((order, State::Tested)) => order,
            Ok(_) => return Ok(Effect::Same),
            Err(refused) => return Ok(refused),
        };
        self.states.change(&order, State::Tested, State::Testing)?;
        Ok(changed(Event::Faulty, &order, String::new()))
    }

    /// Takes back the approval of everything that has an open bug.
    ///
    /// # Errors
    /// A state cannot be read or written.
    pub(crate) fn condemn_all_with_bugs(&self) -> anyhow::Result<Vec<Effect>> {
        let tested = self.states.with(State::Tested)?;
        let has_bug = |order: &&Order| self.bugs.contains(order.pkgbase.as_str());
        let condemn = |order: &Order| {
            self.states.change(order, State::Tested, State::Testing)?;
            Ok(changed(Event::Faulty, order, "open bug".to_owned()))
        };
        tested.iter().filter(has_bug).map(condemn).collect()
    }

    /// The order on the build list that is meant.
    fn listed(&self, subject: &Subject) -> Result<&Order, Effect> {
        let (base, named): (&PkgBase, String) = match subject {
            Subject::Order(order) => (&order.pkgbase, order_id(order)),
            Subject::Base(base) => (base, base.to_string()),
            Subject::File { name, .. } => {
                return Err(Effect::Refused(format!("{name} is a file, and orders are blocked")));
            }
        };
        match self.list.order_of(base) {
            Some(listed) if !matches!(subject, Subject::Order(order) if order != listed) => Ok(listed),
            _ => Err(Effect::Refused(format!("{named} is not on the build list"))),
        }
    }

    /// The order in testing that is meant, approved or not.
    fn in_testing(&self, subject: &Subject) -> anyhow::Result<Result<(Order, State), Effect>> {
        let mut found = Vec::new();
        for (order, states) in self.states.list()? {
            for state in [State::Testing, State::Tested] {
                if states.contains(&state) && self.is_meant(subject, &order, state)? {
                    found.push((order.clone(), state));
                }
            }
        }
        let named = match subject {
            Subject::Order(order) => order_id(order),
            Subject::Base(base) => base.to_string(),
            Subject::File { name, .. } => name.to_string(),
        };
        Ok(match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(_), false) => Err(Effect::Refused(format!(
                "{named} is in testing more than once: name the order"
            ))),
            (None, _) => Err(Effect::Refused(format!("{named} is not in testing"))),
        })
    }

    fn is_meant(&self, subject: &Subject, order: &Order, state: State) -> anyhow::Result<bool> {
        Ok(match subject {
            Subject::Order(meant) => meant == order,
            Subject::Base(base) => *base == order.pkgbase,
            Subject::File { name, .. } => {
                let files = self.states.read(order, state)?.unwrap_or_default();
                files.iter().any(|file| file == name.as_str())
            }
        })
    }

    fn is_published_as(&self, name: &FileName, sha512: &str) -> anyhow::Result<bool> {
        let Some(path) = self.repositories.published(name) else {
            return Ok(false);
        };
        let mut digest = Sha512::new();
        std::io::copy(&mut std::fs::File::open(path)?, &mut Digester(&mut digest))?;
        let found: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(found == sha512)
    }
}

/// Feeds a checksum.
struct Digester<'a>(&'a mut Sha512);

impl std::io::Write for Digester<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn changed(event: Event, order: &Order, detail: String) -> Effect {
    Effect::Changed {
        event,
        order: order.clone(),
        detail,
    }
}
