//! The judge: moves packages by the table of what goes when a package enters a repository, looks at what every user sees
//! before and after, and complains. Slow, simple, and without a line of what it judges.

use std::collections::{BTreeMap, BTreeSet};

use common::names::{PkgBase, Repository};
use common::repository::{Contents, Entry};
use common::srcinfo::Dependency;

use crate::plan::Plan;
use crate::situation::Situation;

/// In which order the pacman of each kind of users looks into the repositories.
const USERS: [&[&str]; 4] = [
    &["core", "extra"],
    &["testing", "core", "extra"],
    &["staging", "testing", "core", "extra"],
    &["build-support", "core", "extra"],
];

pub(super) struct Judge<'s> {
    situation: &'s Situation,
    from: &'s str,
}

type View<'c> = BTreeMap<&'c str, &'c Entry>;

impl<'s> Judge<'s> {
    pub(super) fn new(situation: &'s Situation, from: &'s str) -> Self {
        Self { situation, from }
    }

    /// What the repositories hold when these pkgbases have moved.
    pub(super) fn after(&self, moved: &BTreeSet<PkgBase>) -> Contents {
        let mut contents = self.situation.contents.clone();
        let to = if self.from == "testing" { "core" } else { "testing" };
        let source = contents.entry(name(self.from)).or_default();
        let (coming, staying) = std::mem::take(source)
            .into_iter()
            .partition(|entry| moved.contains(&entry.pkgbase));
        *source = staying;
        let coming: Vec<Entry> = coming;
        for entry in coming {
            let older: &[&str] = if to == "core" {
                &["staging", "testing"]
            } else {
                &["staging"]
            };
            for (repository, entries) in &mut contents {
                let is_older = older.contains(&repository.as_str());
                let is_beside = to == "core" && repository.as_str() == "extra";
                entries.retain(|other| {
                    other.name != entry.name
                        || !(repository.as_str() == to
                            || is_older && other.version < entry.version
                            || is_beside && other.version <= entry.version)
                });
            }
            contents.entry(name(to)).or_default().push(entry);
        }
        contents
    }

    /// What is wrong when these pkgbases move.
    pub(super) fn complaint(&self, moved: &BTreeSet<PkgBase>) -> Option<String> {
        let (before, after) = (&self.situation.contents, self.after(moved));
        for users in USERS {
            let (old, new) = (view(before, users), view(&after, users));
            for (package, entry) in &new {
                let was_there = old.get(package);
                let is_same = was_there.is_some_and(|was| was.file_name == entry.file_name);
                for need in self.needs(entry) {
                    let was_met = old.values().any(|other| self.gives(other, &need));
                    let is_owed = if is_same {
                        was_met
                    } else {
                        let lacked_before = was_there.is_some_and(|was| self.needs(was).contains(&need)) && !was_met;
                        self.is_known(&need) && !lacked_before
                    };
                    if is_owed && !new.values().any(|other| self.gives(other, &need)) {
                        return Some(format!("{users:?}: {package} {} lacks {need}", entry.version));
                    }
                }
            }
        }
        None
    }

    fn needs(&self, entry: &Entry) -> Vec<Dependency> {
        let linked = &self.situation.links[entry.file_name.as_str()].needed;
        let linked = linked.iter().map(|soname| Dependency::parse(soname.as_str()));
        entry.depends.iter().cloned().chain(linked).collect()
    }

    fn gives(&self, entry: &Entry, need: &Dependency) -> bool {
        let libraries = &self.situation.links[entry.file_name.as_str()].provided;
        entry.meets(need)
            || libraries
                .iter()
                .any(|soname| need.accepts(&Dependency::parse(soname.as_str())))
    }

    fn is_known(&self, need: &Dependency) -> bool {
        self.situation.contents.values().flatten().any(|entry| {
            let libraries = &self.situation.links[entry.file_name.as_str()].provided;
            entry.name.as_str() == need.name
                || entry.provides.iter().any(|provision| provision.name == need.name)
                || libraries.iter().any(|soname| soname.library() == need.name)
        })
    }
}

fn name(text: &str) -> Repository {
    text.parse().unwrap()
}

fn view<'c>(contents: &'c Contents, users: &[&str]) -> View<'c> {
    let mut view = View::new();
    for repository in users {
        for entry in contents.get(&name(repository)).into_iter().flatten() {
            view.entry(entry.name.as_str()).or_insert(entry);
        }
    }
    view
}

/// Does to the contents what a plan says.
pub(super) fn carry_out(plan: &Plan, contents: &mut Contents) {
    let mut coming = Vec::new();
    for movement in &plan.moves {
        for (package, from) in &movement.packages {
            let entries = contents.get_mut(from).unwrap();
            let at = entries.iter().position(|entry| entry.name == *package).unwrap();
            coming.push((movement.to.clone(), entries.remove(at)));
        }
    }
    for (repository, package) in &plan.superseded {
        contents
            .get_mut(repository)
            .unwrap()
            .retain(|entry| entry.name != *package);
    }
    for (to, entry) in coming {
        let entries = contents.entry(to).or_default();
        entries.retain(|other| other.name != entry.name);
        entries.push(entry);
    }
}
