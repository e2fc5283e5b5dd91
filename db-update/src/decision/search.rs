//! The largest set of groups that may move together, given what has to hold.
//!
//! A [`Condition`] holds when one of its `moving` groups moves or one of its `staying` ones stays. With everything
//! staying all of them hold. Nearly always each broken condition leaves one culprit, which then has to stay; going on so
//! gives the one largest set. Where there is a choice (two groups that must not both move), the choices are tried, those
//! that cannot influence each other apart from each other, and the best is taken. The problem is hard in general, so after
//! [`MOST_STEPS`] steps of one choice the best that was found counts.

use std::collections::BTreeMap;

/// Steps after which a choice is not pursued further; real repositories need a handful.
const MOST_STEPS: usize = 20_000;

/// What has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    /// It holds when one of these moves …
    pub(crate) moving: Vec<usize>,
    /// … or one of these stays.
    pub(crate) staying: Vec<usize>,
}

impl Condition {
    /// A condition; naming a group twice says nothing more.
    pub(crate) fn new(mut moving: Vec<usize>, mut staying: Vec<usize>) -> Self {
        for groups in [&mut moving, &mut staying] {
            groups.sort_unstable();
            groups.dedup();
        }
        Self { moving, staying }
    }
}

/// Which groups move, for every group.
///
/// `weights` says how much each group counts.
pub(crate) fn largest(weights: &[usize], conditions: &[Condition]) -> Vec<bool> {
    let mut search = Search::new(weights, conditions);
    search.settle();
    for component in search.components() {
        search.decide(&component);
    }
    search.add_what_can_be_added();
    search.stays.iter().map(|stays| !stays).collect()
}

struct Search<'c> {
    weights: &'c [usize],
    conditions: &'c [Condition],
    /// The conditions that name a group among `moving`, and among `staying`.
    helped_by_moving: Vec<Vec<usize>>,
    helped_by_staying: Vec<Vec<usize>>,
    stays: Vec<bool>,
    /// Groups that a choice keeps moving.
    is_fixed: Vec<bool>,
    /// For every condition: how many of its `moving` still move, how many of its `staying` stay.
    moving_left: Vec<usize>,
    staying_found: Vec<usize>,
    /// Conditions that may be broken.
    suspects: Vec<usize>,
    /// Groups that stay, in the order in which they came to.
    trail: Vec<usize>,
    steps: usize,
}

/// What to do with the broken conditions.
enum Broken {
    None,
    Hopeless,
    Choice(Vec<usize>),
}

impl<'c> Search<'c> {
    fn new(weights: &'c [usize], conditions: &'c [Condition]) -> Self {
        let mut search = Self {
            weights,
            conditions,
            helped_by_moving: vec![Vec::new(); weights.len()],
            helped_by_staying: vec![Vec::new(); weights.len()],
            stays: vec![false; weights.len()],
            is_fixed: vec![false; weights.len()],
            moving_left: conditions.iter().map(|condition| condition.moving.len()).collect(),
            staying_found: vec![0; conditions.len()],
            suspects: (0..conditions.len()).collect(),
            trail: Vec::new(),
            steps: 0,
        };
        for (number, condition) in conditions.iter().enumerate() {
            for group in &condition.moving {
                search.helped_by_moving[*group].push(number);
            }
            for group in &condition.staying {
                search.helped_by_staying[*group].push(number);
            }
        }
        search
    }

    fn is_broken(&self, condition: usize) -> bool {
        self.moving_left[condition] == 0 && self.staying_found[condition] == 0
    }

    /// Groups that mend a broken condition by staying.
    fn menders(&self, condition: usize) -> impl Iterator<Item = usize> {
        self.conditions[condition]
            .staying
            .iter()
            .copied()
            .filter(|group| !self.is_fixed[*group])
    }

    fn hold(&mut self, group: usize) {
        self.stays[group] = true;
        self.trail.push(group);
        for condition in &self.helped_by_staying[group] {
            self.staying_found[*condition] += 1;
        }
        for condition in &self.helped_by_moving[group] {
            self.moving_left[*condition] -= 1;
            self.suspects.push(*condition);
        }
    }

    fn undo(&mut self, length: usize) {
        for group in self.trail.split_off(length) {
            self.stays[group] = false;
            for condition in &self.helped_by_staying[group] {
                self.staying_found[*condition] -= 1;
            }
            for condition in &self.helped_by_moving[group] {
                self.moving_left[*condition] += 1;
            }
        }
    }

    /// Holds what has to stay; leaves the conditions with a choice among the suspects.
    fn settle(&mut self) -> Broken {
        let mut open: Vec<usize> = Vec::new();
        loop {
            let Some(condition) = self.suspects.pop() else {
                open.retain(|condition| self.is_broken(*condition));
                open.sort_unstable();
                open.dedup();
                // Holding one group can leave a choice of another condition with one mender.
                match open.iter().find(|condition| self.menders(**condition).count() < 2) {
                    Some(condition) => self.suspects.push(*condition),
                    None => break,
                }
                continue;
            };
            if !self.is_broken(condition) {
                continue;
            }
            let menders: Vec<usize> = self.menders(condition).take(2).collect();
            match menders[..] {
                [] => return Broken::Hopeless,
                [one] => self.hold(one),
                _ => open.push(condition),
            }
        }
        let fewest = open.iter().min_by_key(|condition| self.menders(**condition).count());
        let choice = fewest.map(|condition| self.menders(*condition).collect());
        self.suspects = open;
        choice.map_or(Broken::None, Broken::Choice)
    }

    /// The broken conditions, those together whose choices can influence each other: each with the groups that may come to
    /// stay because of it.
    fn components(&mut self) -> Vec<Component> {
        let mut owner: BTreeMap<usize, usize> = BTreeMap::new();
        let mut components: Vec<Component> = Vec::new();
        for condition in std::mem::take(&mut self.suspects) {
            let mut found = Component {
                conditions: vec![condition],
                groups: Vec::new(),
            };
            let mut pending = self.conditions[condition].staying.clone();
            let own = components.len();
            while let Some(group) = pending.pop() {
                match owner.insert(group, own) {
                    Some(known) if known == own => continue,
                    Some(known) => {
                        let merged = std::mem::take(&mut components[known]);
                        for group in &merged.groups {
                            owner.insert(*group, own);
                        }
                        found.groups.extend(merged.groups);
                        found.conditions.extend(merged.conditions);
                        continue;
                    }
                    None => found.groups.push(group),
                }
                for affected in &self.helped_by_moving[group] {
                    if self.staying_found[*affected] == 0 {
                        pending.extend(&self.conditions[*affected].staying);
                    }
                }
            }
            components.push(found);
        }
        components.retain(|component| !component.conditions.is_empty());
        components
    }

    /// Makes the best of the choices of one component.
    fn decide(&mut self, component: &Component) {
        let begin = self.trail.len();
        self.steps = 0;
        let mut best = Best {
            weight: None,
            held: Vec::new(),
            begin,
        };
        self.suspects.clone_from(&component.conditions);
        self.try_choices(0, &mut best);
        self.suspects.clear();
        for group in best.held {
            self.hold(group);
        }
        self.suspects.clear();
    }

    /// `lost` is the weight of what stays because of the choices so far.
    fn try_choices(&mut self, lost: usize, best: &mut Best) {
        self.steps += 1;
        let length = self.trail.len();
        let broken = self.settle();
        let open = std::mem::take(&mut self.suspects);
        let lost = lost
            + self.trail[length..]
                .iter()
                .map(|group| self.weights[*group])
                .sum::<usize>();
        let is_worse = best.weight.is_some_and(|weight| lost >= weight);
        match broken {
            Broken::Hopeless => {}
            _ if is_worse => {}
            Broken::None => {
                best.weight = Some(lost);
                best.held = self.trail[best.begin..].to_vec();
            }
            Broken::Choice(menders) => {
                for mender in &menders {
                    if best.weight.is_some() && self.steps > MOST_STEPS {
                        break;
                    }
                    let before = self.trail.len();
                    self.suspects.clone_from(&open);
                    self.hold(*mender);
                    self.try_choices(lost + self.weights[*mender], best);
                    self.undo(before);
                    // What was tried with this one staying need not be tried again with another one.
                    self.is_fixed[*mender] = true;
                }
                for mender in &menders {
                    self.is_fixed[*mender] = false;
                }
            }
        }
        self.undo(length);
    }

    /// Lets single groups go that could move after all: there are some only where a choice was not pursued to its end.
    fn add_what_can_be_added(&mut self) {
        for group in 0..self.stays.len() {
            let is_free = self.stays[group]
                && self.helped_by_staying[group]
                    .iter()
                    .all(|condition| self.moving_left[*condition] > 0 || self.staying_found[*condition] > 1);
            if is_free {
                self.stays[group] = false;
                for condition in &self.helped_by_staying[group] {
                    self.staying_found[*condition] -= 1;
                }
                for condition in &self.helped_by_moving[group] {
                    self.moving_left[*condition] += 1;
                }
            }
        }
    }
}

/// Broken conditions with the groups that may come to stay because of them.
#[derive(Debug, Default)]
struct Component {
    conditions: Vec<usize>,
    groups: Vec<usize>,
}

/// The best that was found for one component.
struct Best {
    /// The weight of what stays.
    weight: Option<usize>,
    held: Vec<usize>,
    /// Where this component's part of the trail begins.
    begin: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn condition(moving: &[usize], staying: &[usize]) -> Condition {
        Condition::new(moving.to_vec(), staying.to_vec())
    }

    fn holds(condition: &Condition, moves: &[bool]) -> bool {
        condition.moving.iter().any(|group| moves[*group]) || condition.staying.iter().any(|group| !moves[*group])
    }

    #[test]
    fn what_needs_what_stays_stays_too() {
        let conditions = [condition(&[1], &[0]), condition(&[2], &[1]), condition(&[], &[2])];
        assert_eq!(largest(&[1; 4], &conditions), [false, false, false, true]);
        assert_eq!(largest(&[1; 3], &conditions[..2]), [true; 3]);
    }

    #[test]
    fn of_two_that_exclude_each_other_the_heavier_one_moves() {
        let conditions = [condition(&[], &[0, 1]), condition(&[0], &[2])];
        assert_eq!(largest(&[1, 1, 1], &conditions), [true, false, true]);
        assert_eq!(largest(&[1, 3, 1], &conditions), [false, true, false]);
    }

    #[test]
    fn many_choices_that_do_not_concern_each_other_are_made_one_by_one() {
        let conditions: Vec<Condition> = (0..500).map(|pair| condition(&[], &[2 * pair, 2 * pair + 1])).collect();
        let moves = largest(&vec![1; 1000], &conditions);
        assert_eq!(moves.iter().filter(|moves| **moves).count(), 500);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn everything_holds_and_no_set_is_larger(
            conditions in proptest::collection::vec(
                (proptest::collection::vec(0..8_usize, 0..3), proptest::collection::vec(0..8_usize, 1..4)), 0..14),
            weights in proptest::collection::vec(1..4_usize, 8),
        ) {
            let conditions: Vec<Condition> = conditions
                .iter()
                .map(|(moving, staying)| condition(moving, staying))
                .collect();
            let moves = largest(&weights, &conditions);
            prop_assert!(conditions.iter().all(|condition| holds(condition, &moves)));
            let weigh = |moves: &[bool]| -> usize {
                moves.iter().zip(&weights).filter(|(moves, _)| **moves).map(|(_, weight)| weight).sum()
            };
            let best = (0_u32..1 << 8)
                .map(|bits| (0..8).map(|group| bits & (1 << group) != 0).collect::<Vec<bool>>())
                .filter(|moves| conditions.iter().all(|condition| holds(condition, moves)))
                .map(|moves| weigh(&moves))
                .max();
            prop_assert_eq!(Some(weigh(&moves)), best);
        }
    }
}
