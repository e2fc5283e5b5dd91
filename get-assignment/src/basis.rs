//! What a choice is based on and nobody changes often: the build list and its graph.
//!
//! Reading them takes most of a request's time, so it is done before the lock is taken; with the lock held it is only
//! looked whether the files are still the same. What is lost is derived by `derive-build-graph`, a program of its own:
//! comparing versions takes libalpm, whose libraries take longer to load than everything else that a request does.

use std::time::Duration;

use anyhow::Context as _;
use common::atomic::{self, Stamp};
use common::build_list::BuildList;
use common::cli::Messages;
use common::config::{Config, Environment};
use common::process::{Command, sibling};
use common::work_dir::WorkDir;

use crate::standing::Situation;

/// Deriving evaluates PKGBUILDs whose metadata is lost; each of them has a limit of its own.
const DERIVING: Duration = Duration::from_secs(3600);

/// The build list with what each order waits for.
#[derive(Debug, Default)]
pub(crate) struct Basis {
    /// `None`: the graph does not know every order and has to be derived.
    pub(crate) situation: Option<Situation>,
    /// What is wrong with the files, for the operator.
    pub(crate) complaints: Vec<String>,
    /// The text of a graph that was derived.
    derived: String,
    stamps: Option<Stamps>,
}

impl Basis {
    /// Reads list and graph; a graph that was derived before stays.
    pub(crate) fn read(&mut self, work_dir: &WorkDir) -> anyhow::Result<()> {
        self.stamps = stamps(work_dir);
        let (list, complaints) = BuildList::read(&work_dir.build_list())?;
        self.complaints = complaints.iter().map(ToString::to_string).collect();
        let graph = atomic::read_text(&work_dir.build_graph())?.unwrap_or_default();
        let mut situation = Situation::of(list);
        let is_complete = situation.take_needs(&graph, &mut self.complaints)
            || situation.take_needs(&self.derived, &mut self.complaints);
        self.situation = is_complete.then_some(situation);
        Ok(())
    }

    /// Whether the files have certainly not changed since they were read.
    pub(crate) fn still_holds(&self, work_dir: &WorkDir) -> bool {
        self.stamps.is_some() && self.stamps == stamps(work_dir)
    }

    /// Lets the graph be made out of the orders' metadata, and reads it with the list.
    pub(crate) fn derive(&mut self, deriving: &Deriving<'_>, work_dir: &WorkDir) -> anyhow::Result<()> {
        self.derived = deriving.run(&[])?;
        self.read(work_dir)
    }
}

/// How `derive-build-graph` is called, and whom to tell what it says.
#[derive(Clone, Copy)]
pub(crate) struct Deriving<'a> {
    pub(crate) config: &'a Config,
    pub(crate) environment: &'a Environment,
    pub(crate) messages: &'a Messages,
}

impl Deriving<'_> {
    /// What each order yields, kept for the next request.
    pub(crate) fn derive_releases(&self, work_dir: &WorkDir) -> anyhow::Result<()> {
        let releases = self.run(&["--releases"])?;
        Ok(atomic::write(&work_dir.releases(), releases.as_bytes())?)
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(sibling("derive-build-graph"))
            .args(arguments)
            .timeout(DERIVING);
        for (key, value) in self.environment {
            command = command.env(key, value);
        }
        if let Some(file) = self.config.file() {
            command = command.arg("--config").arg(file);
        }
        let finished = command.run().context("the build graph cannot be derived")?;
        for line in String::from_utf8_lossy(&finished.stderr).lines() {
            self.messages.error(line);
        }
        Ok(String::from_utf8(finished.stdout)?)
    }
}

/// What list and graph look like from outside.
pub(crate) type Stamps = [Stamp; 2];

/// `None` when one of them has just changed.
pub(crate) fn stamps(work_dir: &WorkDir) -> Option<Stamps> {
    Some([Stamp::of(&work_dir.build_list())?, Stamp::of(&work_dir.build_graph())?])
}
