//! The build order, its loops, and why one package is built before another.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use common::build_graph::Kind;
use common::cli::Messages;
use common::graph::{Dropped, Plan, smallest_break};
use common::names::PkgBase;
use serde::Serialize;

use crate::answer::Answer;
use crate::source::View;
use crate::{Asked, Unanswerable};

/// One build.
#[derive(Serialize)]
struct Build<'a> {
    pkgbase: &'a PkgBase,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<u8>,
    #[serde(rename = "loop")]
    loop_number: Option<usize>,
}

impl fmt::Display for Build<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.stage, self.loop_number) {
            (None, _) => write!(f, "{}", self.pkgbase),
            (Some(stage), None) => write!(f, "{} {stage} -", self.pkgbase),
            (Some(stage), Some(number)) => write!(f, "{} {stage} {number}", self.pkgbase),
        }
    }
}

/// Everything in build order; the members of a loop stand together, and in two stages they come twice.
pub(crate) fn order(asked: &Asked<'_>, is_two_stage: bool) -> anyhow::Result<Answer> {
    let plan = asked.plan();
    let mut answer = Answer::new(asked.form);
    let mut rest = plan.order.as_slice();
    while !rest.is_empty() {
        let loop_number = plan.loop_at(plan.order.len() - rest.len());
        let size = loop_number.map_or(1, |number| plan.loops[number - 1].len());
        let (together, after) = rest.split_at(size);
        let stages = if is_two_stage && loop_number.is_some() {
            1..=2
        } else {
            1..=1
        };
        for stage in stages {
            for pkgbase in together {
                answer.add(&Build {
                    pkgbase,
                    stage: is_two_stage.then_some(stage),
                    loop_number,
                })?;
            }
        }
        rest = after;
    }
    if let Some(messages) = asked.loops_to {
        name_loops(&plan, messages);
    }
    answer.nodes = asked.view.needs.nodes().collect();
    Ok(answer)
}

/// Tells of the loops, as tsort does.
pub(crate) fn name_loops(plan: &Plan, messages: &Messages) {
    for members in &plan.loops {
        let names: Vec<&str> = members.iter().map(PkgBase::as_str).collect();
        messages.note(format_args!("dependency loop: {}", names.join(" ")));
    }
}

/// An edge that does not hold.
#[derive(Serialize)]
#[serde(transparent)]
struct Line<'a>(&'a Dropped);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.line())
    }
}

/// The edges that do not hold in the order.
pub(crate) fn dropped(asked: &Asked<'_>) -> anyhow::Result<Answer> {
    let plan = asked.plan();
    let mut answer = Answer::new(asked.form);
    for dropped in &plan.dropped {
        answer.add(&Line(dropped))?;
    }
    Ok(answer)
}

/// One loop.
#[derive(Serialize)]
struct Loop<'a> {
    #[serde(rename = "loop")]
    number: usize,
    size: usize,
    members: &'a [PkgBase],
}

impl fmt::Display for Loop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.members.iter().map(PkgBase::as_str).collect();
        write!(f, "{} {} {}", self.number, self.size, names.join(" "))
    }
}

/// The loops.
pub(crate) fn loops(asked: &Asked<'_>) -> anyhow::Result<Answer> {
    let plan = asked.plan();
    let mut answer = Answer::new(asked.form);
    for (index, members) in plan.loops.iter().enumerate() {
        answer.add(&Loop {
            number: index + 1,
            size: members.len(),
            members,
        })?;
        answer
            .nodes
            .extend(members.iter().filter_map(|name| asked.view.node(name.as_str())));
    }
    Ok(answer)
}

/// An edge without which there is a loop less.
#[derive(Serialize)]
struct Broken<'a> {
    pkgbase: &'a PkgBase,
    needs: &'a PkgBase,
    kinds: Vec<Kind>,
    #[serde(rename = "loop")]
    loop_number: usize,
    /// So many edges are shown for this loop, and no set has fewer than so many.
    edges: usize,
    at_least: usize,
}

impl fmt::Display for Broken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.as_str()).collect();
        let (pkgbase, needs, kinds, number) = (self.pkgbase, self.needs, kinds.join(","), self.loop_number);
        write!(f, "{pkgbase} {needs} {kinds} {number} {}/{}", self.edges, self.at_least)
    }
}

/// The smallest sets of edges that break the loops.
pub(crate) fn breaks(asked: &Asked<'_>) -> anyhow::Result<Answer> {
    let (plan, view) = (asked.plan(), &asked.view);
    let needs = view.needs.restricted_to(asked.policy.checks.kinds());
    let mut answer = Answer::new(asked.form);
    for (index, members) in plan.loops.iter().enumerate() {
        let nodes: Vec<u32> = members.iter().filter_map(|name| view.node(name.as_str())).collect();
        let feedback = smallest_break(&needs, &nodes);
        for (from, to) in &feedback.edges {
            let kinds = needs
                .of(*from)
                .iter()
                .filter(|need| need.node == *to)
                .flat_map(|need| need.kinds.iter());
            answer.add(&Broken {
                pkgbase: &view.names[*from as usize],
                needs: &view.names[*to as usize],
                kinds: kinds.collect(),
                loop_number: index + 1,
                edges: feedback.edges.len(),
                at_least: feedback.at_least,
            })?;
        }
        answer.nodes.extend(nodes);
    }
    Ok(answer)
}

/// A step of a reason.
#[derive(Serialize)]
struct Because {
    pkgbase: PkgBase,
    reason: String,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pkgbase, self.reason)
    }
}

/// Why one package is built before another: what the other needs, down to it, or that nothing asks for it.
pub(crate) fn why_before(asked: &Asked<'_>, (first, second): (&PkgBase, &PkgBase)) -> anyhow::Result<Answer> {
    let view = &asked.view;
    let node = |name: &PkgBase| {
        view.node(name.as_str())
            .ok_or_else(|| Unanswerable::Unknown(name.to_string()))
    };
    let (from, to) = (node(second)?, node(first)?);
    let plan = asked.plan();
    let mut position = vec![0; view.names.len()];
    for (place, name) in plan.order.iter().enumerate() {
        position[node(name)? as usize] = place;
    }
    let mut answer = Answer::new(asked.form);
    let mut say = |pkgbase: &PkgBase, reason: String| {
        let pkgbase = pkgbase.clone();
        answer.add(&Because { pkgbase, reason })
    };
    let loop_of = |node: u32| plan.loop_at(position[node as usize]);
    let shared = loop_of(to).filter(|number| loop_of(from) == Some(*number));
    if position[to as usize] > position[from as usize] {
        say(first, format!("is not built before {second} but after it"))?;
    } else if let Some(path) = way(view, &position, (from, to)) {
        for step in path.windows(2) {
            let need = view.needs.of(step[0]).iter().find(|need| need.node == step[1]);
            let kinds: Vec<&str> = need
                .into_iter()
                .flat_map(|it| it.kinds.iter())
                .map(|kind| kind.as_str())
                .collect();
            let needed = &view.names[step[1] as usize];
            say(
                &view.names[step[0] as usize],
                format!("needs {needed} ({})", kinds.join(", ")),
            )?;
        }
    } else if let Some(number) = shared {
        say(
            first,
            format!("is in loop {number} with {second}, which begins there with less against the order"),
        )?;
    } else {
        say(
            first,
            format!("comes before {second} by their names: neither needs the other"),
        )?;
    }
    Ok(answer)
}

/// The shortest way along edges that hold in the order.
fn way(view: &View<'_>, position: &[usize], (from, to): (u32, u32)) -> Option<Vec<u32>> {
    let mut came_from: BTreeMap<u32, u32> = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(node) = queue.pop_front() {
        if node == to {
            let mut path = vec![to];
            while let Some(before) = path.last().and_then(|last| came_from.get(last)) {
                path.push(*before);
            }
            path.reverse();
            return Some(path);
        }
        for need in view.needs.of(node) {
            let holds = position[need.node as usize] < position[node as usize];
            if holds && need.node != from && !came_from.contains_key(&need.node) {
                came_from.insert(need.node, node);
                queue.push_back(need.node);
            }
        }
    }
    None
}
