//! What a choice is based on and nobody changes often: the build list and its graph.
//!
//! Reading them takes most of a request's time, so it is done before the lock is taken; with the lock held it is only
//! looked whether the files are still the same.

use common::atomic::Stamp;
use common::build_graph::BuildGraph;
use common::build_list::{BuildList, Order};
use common::graph::{self, Packages};
use common::metadata::Metadata;
use common::work_dir::WorkDir;

use crate::standing::Situation;

/// The build list with what each order waits for.
#[derive(Debug, Default)]
pub(crate) struct Basis {
    list: BuildList,
    /// `None`: the graph does not know every order and has to be derived.
    pub(crate) situation: Option<Situation>,
    /// What is wrong with the files, for the operator.
    pub(crate) complaints: Vec<String>,
    derived: BuildGraph,
    stamps: Option<[Stamp; 2]>,
}

impl Basis {
    /// Reads list and graph; a graph that was derived before stays.
    pub(crate) fn read(&mut self, work_dir: &WorkDir) -> anyhow::Result<()> {
        self.stamps = stamps(work_dir);
        let (list, of_list) = BuildList::read(&work_dir.build_list())?;
        let (graph, of_graph) = BuildGraph::read(&work_dir.build_graph())?.unwrap_or_default();
        self.complaints = of_list.iter().map(ToString::to_string).chain(of_graph).collect();
        self.situation = Situation::of(&list, &graph).or_else(|| Situation::of(&list, &self.derived));
        self.list = list;
        Ok(())
    }

    /// Whether the files have certainly not changed since they were read.
    pub(crate) fn still_holds(&self, work_dir: &WorkDir) -> bool {
        self.stamps.is_some() && self.stamps == stamps(work_dir)
    }

    /// The order at the top of the list.
    pub(crate) fn first(&self) -> Option<&Order> {
        self.list.orders().next()
    }

    /// Makes the graph out of the orders' metadata. An order without any has no needs here; it will not be handed out
    /// either.
    pub(crate) fn derive(&mut self, metadata: &Metadata) {
        let known = metadata.srcinfos(self.list.orders());
        let packages = Packages::new(known.iter().map(|(pkgbase, info)| (pkgbase, info.as_ref().ok())));
        self.derived = graph::plan(&packages, known.keys()).graph;
        self.situation = Situation::of(&self.list, &self.derived);
    }
}

fn stamps(work_dir: &WorkDir) -> Option<[Stamp; 2]> {
    Some([Stamp::of(&work_dir.build_list())?, Stamp::of(&work_dir.build_graph())?])
}
