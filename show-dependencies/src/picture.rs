//! Pictures of a part of the graph: Graphviz's language, or SVG that needs no other program.
//!
//! The SVG is drawn in columns: each package stands to the right of what it needs, those of a loop in one column. Nodes
//! and edges in loops are red; edges that do not hold in the order are dashed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use common::graph::Components;
use common::names::PkgBase;

use crate::source::View;

const WIDTH: usize = 220;
const HEIGHT: usize = 30;

/// A part of the graph.
pub(crate) struct Picture<'v> {
    view: &'v View<'v>,
    nodes: &'v BTreeSet<u32>,
    components: Components,
    dashed: BTreeSet<(&'v PkgBase, &'v PkgBase)>,
}

impl<'v> Picture<'v> {
    /// A picture of some nodes and the edges between them; `dashed` do not hold in the order.
    pub(crate) fn new(
        view: &'v View<'v>,
        nodes: &'v BTreeSet<u32>,
        dashed: BTreeSet<(&'v PkgBase, &'v PkgBase)>,
    ) -> Self {
        Self {
            view,
            nodes,
            components: Components::new(&view.needs),
            dashed,
        }
    }

    fn edges(&self) -> impl Iterator<Item = (u32, u32)> {
        let needs = |from: &u32| self.view.needs.of(*from).iter().map(|need| need.node);
        let all = self
            .nodes
            .iter()
            .flat_map(move |from| needs(from).map(|to| (*from, to)));
        all.filter(|(_, to)| self.nodes.contains(to))
    }

    fn is_looped(&self, node: u32) -> bool {
        self.components.members(self.components.of(node)).len() > 1
    }

    fn is_in_loop(&self, (from, to): (u32, u32)) -> bool {
        self.components.of(from) == self.components.of(to)
    }

    fn is_dashed(&self, (from, to): (u32, u32)) -> bool {
        let name = |node: u32| &self.view.names[node as usize];
        self.dashed.contains(&(name(from), name(to)))
    }

    /// In Graphviz's language.
    pub(crate) fn write_dot(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "digraph dependencies {{\n  rankdir=RL;\n  node [shape=box];")?;
        for node in self.nodes {
            let colour = if self.is_looped(*node) { " [color=red]" } else { "" };
            writeln!(out, "  \"{}\"{colour};", self.view.names[*node as usize])?;
        }
        for edge in self.edges() {
            let colour = if self.is_in_loop(edge) { "red" } else { "black" };
            let style = if self.is_dashed(edge) { "dashed" } else { "solid" };
            let (from, to) = (&self.view.names[edge.0 as usize], &self.view.names[edge.1 as usize]);
            writeln!(out, "  \"{from}\" -> \"{to}\" [color={colour} style={style}];")?;
        }
        writeln!(out, "}}")?;
        out.flush()
    }

    /// The column of each node: behind all columns of what it needs.
    fn columns(&self) -> BTreeMap<u32, usize> {
        let mut of_component: BTreeMap<u32, usize> = BTreeMap::new();
        let present: BTreeSet<u32> = self.nodes.iter().map(|node| self.components.of(*node)).collect();
        // Components are numbered so that what is needed comes first.
        for component in present {
            let members = self
                .components
                .members(component)
                .iter()
                .filter(|node| self.nodes.contains(node));
            let needed = members
                .flat_map(|node| self.view.needs.of(*node))
                .map(|need| self.components.of(need.node));
            let column = needed
                .filter_map(|it| of_component.get(&it))
                .map(|column| column + 1)
                .max();
            of_component.insert(component, column.unwrap_or(0));
        }
        let column = |node: &u32| (*node, of_component[&self.components.of(*node)]);
        self.nodes.iter().map(column).collect()
    }

    /// As SVG. Names need no quoting: no package's name has a character that means something there.
    pub(crate) fn write_svg(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.columns();
        let mut filled: Vec<usize> = Vec::new();
        let mut places: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for (node, column) in &columns {
            filled.resize(filled.len().max(column + 1), 0);
            places.insert(*node, (column * WIDTH + 10, filled[*column] * HEIGHT + 10));
            filled[*column] += 1;
        }
        let (width, height) = (filled.len() * WIDTH, filled.iter().max().unwrap_or(&0) * HEIGHT + 20);
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
             font-size=\"12\">"
        )?;
        for edge in self.edges() {
            let ((x1, y1), (x2, y2)) = (places[&edge.0], places[&edge.1]);
            let colour = if self.is_in_loop(edge) { "red" } else { "gray" };
            let dashes = if self.is_dashed(edge) {
                " stroke-dasharray=\"4\""
            } else {
                ""
            };
            let (y1, x2, y2) = (y1 + 10, x2 + WIDTH - 60, y2 + 10);
            writeln!(
                out,
                "<path d=\"M{x1} {y1} L{x2} {y2}\" stroke=\"{colour}\" fill=\"none\"{dashes}/>"
            )?;
        }
        for (node, (x, y)) in &places {
            let colour = if self.is_looped(*node) { "red" } else { "black" };
            let (name, width) = (&self.view.names[*node as usize], WIDTH - 60);
            writeln!(
                out,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"20\" fill=\"white\" stroke=\"{colour}\"/>"
            )?;
            writeln!(out, "<text x=\"{}\" y=\"{}\">{name}</text>", x + 4, y + 14)?;
        }
        writeln!(out, "</svg>")?;
        out.flush()
    }
}
