//! What a plan means for orders.

use std::collections::BTreeMap;

use common::atomic::FileError;
use common::build_list::Order;
use common::journal::Event;
use common::names::PkgBase;
use common::repository::{Class, Standing, Transition};
use common::state::{State, States};

use crate::plan::Plan;

/// Where orders stand once the packages have moved.
#[derive(Debug, Default)]
pub(crate) struct Transitions {
    /// Because of this run's moves.
    pub(crate) moved: Vec<Transition>,
    /// What a run that was killed, or somebody else, has left to do.
    pub(crate) left: Vec<Transition>,
}

impl Transitions {
    /// Finds out from the states as they are now.
    pub(crate) fn of(plan: &Plan, states: &States) -> Result<Self, FileError> {
        let known = Known::read(states)?;
        let mut transitions = Self::default();
        for movement in &plan.moves {
            push(&mut transitions.moved, &movement.order, movement.class, &known)?;
        }
        for (order, class) in &plan.arrived {
            push(&mut transitions.left, order, *class, &known)?;
        }
        for (order, _) in &plan.vanished {
            let before = known.standing(order)?;
            transitions.left.push(finished(order, before));
        }
        Ok(transitions)
    }
}

/// What the journal has to say of a transaction that a killed run has begun.
pub(crate) fn events(transitions: &[Transition]) -> Vec<(Event, &Order, String)> {
    let enters_testing = |pkgbase: &PkgBase| {
        let mut of_package = transitions.iter().filter(|other| other.order.pkgbase == *pkgbase);
        of_package.any(|other| matches!(other.after, Standing::In(State::Testing, _)))
    };
    let event = |transition: &Transition| match (&transition.before, &transition.after) {
        (Standing::In(State::Done, _), Standing::In(State::Testing, _)) => Some((Event::Testing, String::new())),
        (Standing::In(State::Testing | State::Tested, _), Standing::Finished) => {
            // It has reached stable, or a newer order has taken its place in testing.
            (!enters_testing(&transition.order.pkgbase)).then(|| (Event::Stable, String::new()))
        }
        // return-assignment says itself what it took.
        (Standing::Listed, _) | (Standing::In(State::Done, _), Standing::Finished) => None,
        (_, after) => Some((Event::TakenBack, after.word().to_owned())),
    };
    let said = |transition| event(transition).map(|(event, detail)| (event, &transition.order, detail));
    transitions.iter().filter_map(said).collect()
}

/// The states as they are.
struct Known<'a> {
    states: &'a States,
    orders: BTreeMap<PkgBase, Vec<(Order, Vec<State>)>>,
}

impl<'a> Known<'a> {
    fn read(states: &'a States) -> Result<Self, FileError> {
        let mut orders: BTreeMap<PkgBase, Vec<(Order, Vec<State>)>> = BTreeMap::new();
        for (order, known) in states.list()? {
            orders.entry(order.pkgbase.clone()).or_default().push((order, known));
        }
        Ok(Self { states, orders })
    }

    /// All orders of a package.
    fn of(&self, pkgbase: &PkgBase) -> &[(Order, Vec<State>)] {
        self.orders.get(pkgbase).map_or(&[], Vec::as_slice)
    }

    /// The state of the packages that counts, the last one.
    fn standing(&self, order: &Order) -> Result<Standing, FileError> {
        let known = self.of(&order.pkgbase).iter().find(|(known, _)| known == order);
        for state in [State::Tested, State::Testing, State::Done] {
            if known.is_some_and(|(_, known)| known.contains(&state))
                && let Some(files) = self.states.read(order, state)?
            {
                return Ok(Standing::In(state, files));
            }
        }
        Ok(Standing::Finished)
    }
}

/// An order arrives in a class; in testing it takes the place of older ones.
fn push(into: &mut Vec<Transition>, order: &Order, class: Class, known: &Known<'_>) -> Result<(), FileError> {
    let before = known.standing(order)?;
    if class == Class::Stable {
        into.push(finished(order, before));
        return Ok(());
    }
    for (other, _) in known.of(&order.pkgbase).iter().filter(|(other, _)| other != order) {
        let before = known.standing(other)?;
        if matches!(before, Standing::In(State::Testing | State::Tested, _)) {
            into.push(finished(other, before));
        }
    }
    let files = match &before {
        Standing::In(_, files) => files.clone(),
        Standing::Listed | Standing::Finished => Vec::new(),
    };
    into.push(Transition {
        order: order.clone(),
        before,
        after: Standing::In(State::Testing, files),
    });
    Ok(())
}

fn finished(order: &Order, before: Standing) -> Transition {
    Transition {
        order: order.clone(),
        before,
        after: Standing::Finished,
    }
}
