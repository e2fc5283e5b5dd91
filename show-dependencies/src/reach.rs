//! What depends on packages, and what packages need.

use std::collections::BTreeMap;
use std::fmt;

use common::build_graph::Kind;
use common::graph::{Names, Reached, Relations, Scope, Step, steps_along, walk};
use common::names::PkgBase;
use common::srcinfo::Dependency;
use serde::Serialize;

use crate::answer::Answer;
use crate::cli::Walk;
use crate::source::View;
use crate::{Asked, Unanswerable};

/// One package that was reached.
#[derive(Serialize)]
struct Record<'a> {
    pkgbase: &'a PkgBase,
    /// Who needs whom in the step that led here.
    needer: &'a PkgBase,
    needs: String,
    kinds: Vec<Kind>,
    steps: usize,
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.as_str()).collect();
        let (needs, kinds) = (&self.needs, kinds.join(", "));
        if self.needer == self.pkgbase {
            write!(f, "{} needs {needs} ({kinds})", self.pkgbase)
        } else {
            write!(f, "{} is needed by {} as {needs} ({kinds})", self.pkgbase, self.needer)
        }
    }
}

/// Who depends on what was asked for.
pub(crate) fn dependents(asked: &Asked<'_>, args: &Walk) -> anyhow::Result<Answer> {
    let (view, scope) = (&asked.view, args.scope(asked.policy.checks));
    let reached = match &view.packages {
        Some(packages) => {
            let relations = Relations::new(packages, scope);
            let mut first = Vec::new();
            for name in &args.names {
                let steps = asked_for(view, &relations, name)?;
                first.extend(steps.into_iter().map(|step| (None, step)));
            }
            walk(first, scope.depth, |node| relations.dependents(node))
        }
        None => {
            let needers = view.needs.reversed();
            along(view, args, scope, |node| steps_along(&needers, node, scope.kinds))?
        }
    };
    let needer = |found: &Reached<'_>| found.step.to;
    let needed = |found: &Reached<'_>| match found.from {
        Some(from) => view.names[from as usize].to_string(),
        None => args.names.join(" "),
    };
    answer(asked, args, reached, (needer, needed))
}

/// What the packages need.
pub(crate) fn needs(asked: &Asked<'_>, args: &Walk) -> anyhow::Result<Answer> {
    let (view, scope) = (&asked.view, args.scope(asked.policy.checks));
    let reached = match &view.packages {
        Some(packages) => {
            let relations = Relations::new(packages, scope);
            along(view, args, scope, |node| relations.needs(node))?
        }
        None => along(view, args, scope, |node| steps_along(&view.needs, node, scope.kinds))?,
    };
    let needer = |found: &Reached<'_>| found.from.unwrap_or(found.step.to);
    let needed = |found: &Reached<'_>| view.names[found.step.to as usize].to_string();
    answer(asked, args, reached, (needer, needed))
}

fn along<'a>(
    view: &View<'_>,
    args: &Walk,
    scope: Scope,
    next: impl Fn(u32) -> Vec<Step<'a>>,
) -> Result<BTreeMap<u32, Reached<'a>>, Unanswerable> {
    if scope.names == Names::Sonames && view.packages.is_none() {
        return Err(Unanswerable::NoWords);
    }
    let mut first = Vec::new();
    for name in &args.names {
        for node in nodes_of(view, name)? {
            first.extend(next(node).into_iter().map(|step| (Some(node), step)));
        }
    }
    Ok(walk(first, scope.depth, next))
}

/// The pkgbases that a name means: those that build a package of that name, or itself.
fn nodes_of(view: &View<'_>, name: &str) -> Result<Vec<u32>, Unanswerable> {
    let builders = view.packages.iter().flat_map(|packages| packages.builders_of(name));
    let builders: Vec<u32> = builders.filter_map(|builder| view.node(builder.as_str())).collect();
    if !builders.is_empty() {
        return Ok(builders);
    }
    let node = view.node(name).ok_or_else(|| Unanswerable::Unknown(name.to_owned()))?;
    Ok(vec![node])
}

/// The first steps from a name: of a package those who need that package, of a pkgbase those who need any of its packages,
/// of anything else those who need exactly that.
fn asked_for<'a>(view: &View<'_>, relations: &Relations<'_, 'a>, name: &str) -> Result<Vec<Step<'a>>, Unanswerable> {
    let asked = Dependency::parse(name);
    let unknown = || Unanswerable::Unknown(name.to_owned());
    let packages = view.packages.as_ref().ok_or_else(unknown)?;
    let builders = packages.builders_of(name);
    if let Some(info) = builders.first().and_then(|builder| packages.info(builder)) {
        let package = info
            .packages
            .iter()
            .find(|package| package.pkgname.as_str() == name)
            .ok_or_else(unknown)?;
        return Ok(relations.dependents_by(|dependency| {
            let is_by_name = dependency.name == name && dependency.accepts_version(info.version.as_str());
            let is_group = || dependency.version.is_none() && package.groups.contains(&dependency.name);
            is_by_name
                || package.provides.iter().any(|provision| dependency.accepts(provision))
                || is_group() && packages.satisfied_singly(dependency).is_empty()
        }));
    }
    if let Some(node) = view.node(name) {
        return Ok(relations.dependents(node));
    }
    let steps = relations.dependents_by(|dependency| match asked.version {
        Some(_) => *dependency == asked,
        None => dependency.name == asked.name,
    });
    if steps.is_empty() && !asked.is_soname() {
        return Err(unknown());
    }
    Ok(steps)
}

/// The records, by name or in build order.
fn answer(
    asked: &Asked<'_>,
    args: &Walk,
    reached: BTreeMap<u32, Reached<'_>>,
    (needer, needed): (impl Fn(&Reached<'_>) -> u32, impl Fn(&Reached<'_>) -> String),
) -> anyhow::Result<Answer> {
    let view = &asked.view;
    let mut named: Vec<u32> = Vec::new();
    for name in &args.names {
        named.extend(nodes_of(view, name).unwrap_or_default());
    }
    let is_kept = |node: &u32| !args.ignore_self || !named.contains(node);
    let kept: BTreeMap<u32, Reached<'_>> = reached.into_iter().filter(|(node, _)| is_kept(node)).collect();
    let mut order: Vec<u32> = kept.keys().copied().collect();
    if args.rebuild_order {
        let plan = asked.plan_of(&order);
        order = plan.order.iter().filter_map(|name| view.node(name.as_str())).collect();
    }
    let mut answer = Answer::new(asked.form);
    for node in order {
        let found = &kept[&node];
        let dependency = found.step.dependency.map(ToString::to_string);
        answer.add(&Record {
            pkgbase: &view.names[node as usize],
            needer: &view.names[needer(found) as usize],
            needs: dependency.unwrap_or_else(|| needed(found)),
            kinds: found.step.kinds.iter().collect(),
            steps: found.depth,
        })?;
    }
    answer.nodes = kept.into_keys().chain(named).collect();
    Ok(answer)
}
