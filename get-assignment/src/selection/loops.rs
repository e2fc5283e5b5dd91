//! Which order breaks a loop best.

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::standing::Situation;

/// For each order that may be handed out to break a loop the number of orders that would still be in loops without it. A
/// loop is a strongly connected component of the needs between orders on the list. Of a loop with a member at work there
/// is none; a member that waits for an order outside its loop is none.
pub(crate) fn loop_breakers(situation: &Situation) -> Vec<Option<usize>> {
    let standings = &situation.standings;
    let needed = |standing| situation.waits_for(standing).iter().map(|(_, place)| *place);
    let needs: Needs = standings.iter().map(|standing| needed(standing).collect()).collect();
    let all: Vec<usize> = (0..standings.len()).collect();
    let mut breakers = vec![None; standings.len()];
    for members in loops(&needs, &all) {
        if members.iter().any(|member| !standings[*member].leased_to.is_empty()) {
            continue;
        }
        for member in &members {
            if needs[*member]
                .iter()
                .all(|needed| members.binary_search(needed).is_ok())
            {
                let rest: Vec<usize> = members.iter().copied().filter(|other| other != member).collect();
                breakers[*member] = Some(loops(&needs, &rest).iter().map(Vec::len).sum());
            }
        }
    }
    breakers
}

/// What each order waits for, by place on the list.
type Needs = Vec<Vec<usize>>;

/// The loops among some orders (sorted), each sorted.
fn loops(needs: &Needs, among: &[usize]) -> Vec<Vec<usize>> {
    let mut graph = DiGraph::<usize, ()>::with_capacity(among.len(), among.len() * 4);
    let nodes: Vec<NodeIndex> = among.iter().map(|place| graph.add_node(*place)).collect();
    for (from, place) in nodes.iter().zip(among) {
        for needed in &needs[*place] {
            if let Ok(to) = among.binary_search(needed) {
                graph.add_edge(*from, nodes[to], ());
            }
        }
    }
    tarjan_scc(&graph)
        .into_iter()
        .filter(|members| members.len() > 1 || members.iter().any(|member| graph.contains_edge(*member, *member)))
        .map(|members| {
            let mut places: Vec<usize> = members.into_iter().map(|member| graph[member]).collect();
            places.sort_unstable();
            places
        })
        .collect()
}
