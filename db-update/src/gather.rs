//! Reading the [`Situation`]: repositories, states, lists, ages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use common::atomic::Stamp;
use common::build_list::{BuildList, Order};
use common::config::ConfigError;
use common::names::PkgBase;
use common::repository::Contents;
use common::srcinfo::SrcInfo;
use common::state::State;

use crate::Master;
use crate::ages::Ages;
use crate::ahead;
use crate::approval::{self, Bugs};
use crate::decision::world::Links;
use crate::neighbours::Neighbour;
use crate::situation::Situation;

/// What databases looked like.
type Stamps = Vec<(PathBuf, Stamp)>;

/// What was read without a lock.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    pub(crate) bugs: Option<Bugs>,
    pub(crate) infos: BTreeMap<Order, SrcInfo>,
    pub(crate) links: Links,
    /// The packages of all repositories, and what their databases looked like.
    pub(crate) contents: Option<(Stamps, Contents)>,
    /// The orders of one rebuild have the same word.
    pub(crate) rebuilds: BTreeMap<Order, String>,
}

impl Master<'_> {
    /// Reads what takes long. Call it without a lock.
    pub(crate) fn look_ahead(&self) -> anyhow::Result<Ahead> {
        let mut ahead = Ahead::default();
        if !self.has_something_to_decide()? {
            return Ok(ahead);
        }
        ahead.bugs = Some(self.bugs()?);
        let published = self.published_orders()?.into_keys().collect();
        let sources = ahead::Sources::open(self.config, &self.work_dir, self.messages)?;
        ahead.infos = sources.infos();
        ahead.rebuilds = sources.rebuilds(published);
        let stamps = self.stamps();
        let contents = self.contents()?;
        self.add_links(&mut ahead.links, &contents);
        ahead.contents = stamps.map(|stamps| (stamps, contents));
        Ok(ahead)
    }

    /// Reads everything else, and what has come since.
    pub(crate) fn situation(&self, ahead: Ahead) -> anyhow::Result<Situation> {
        let stamps = self.stamps();
        let contents = match ahead.contents {
            Some((then, contents)) if Some(&then) == stamps.as_ref() => contents,
            _ => self.contents()?,
        };
        let mut situation = Situation {
            contents,
            links: ahead.links,
            rebuilds: ahead.rebuilds,
            orders: self.published_orders()?,
            deletions: self.deletions()?,
            ..Situation::default()
        };
        if situation.orders.is_empty() && situation.deletions.is_empty() {
            return Ok(situation);
        }
        self.add_links(&mut situation.links, &situation.contents);
        let ages = Ages::read(&self.work_dir, self.now)?;
        let unread = Err("the bug list was not read for it yet".to_owned());
        let in_testing = situation
            .orders
            .iter()
            .filter(|(_, (state, _))| *state == State::Testing);
        let in_testing: Vec<Order> = in_testing.map(|(order, _)| order.clone()).collect();
        let approvals = approval::decide(self.config, in_testing, &ages, ahead.bugs.as_ref().unwrap_or(&unread))?;
        situation.approved = approvals.approved;
        situation.unapproved = approvals.waiting;
        self.add_ages(&mut situation, &ages)?;
        self.add_pending(&mut situation, &ages, &ahead.infos)?;
        Ok(situation)
    }

    /// The orders whose packages are in staging and testing, with their files.
    fn published_orders(&self) -> anyhow::Result<BTreeMap<Order, (State, Vec<String>)>> {
        let states = self.work_dir.states();
        let mut orders = BTreeMap::new();
        for state in [State::Done, State::Testing, State::Tested] {
            for order in states.with(state)? {
                let files = states.read(&order, state)?.unwrap_or_default();
                orders.insert(order, (state, files));
            }
        }
        Ok(orders)
    }

    /// What the databases that are there look like from outside; `None` when one of them changed a moment ago.
    fn stamps(&self) -> Option<Stamps> {
        let all = self.repositories.classes().all();
        all.map(|(name, _)| self.repositories.path(name).join(format!("{name}.db.tar.gz")))
            .filter(|path| path.exists())
            .map(|path| Stamp::of(&path).map(|stamp| (path, stamp)))
            .collect()
    }

    fn has_something_to_decide(&self) -> anyhow::Result<bool> {
        let states = self.work_dir.states().list()?;
        let is_published = |state: &State| matches!(state, State::Done | State::Testing | State::Tested);
        Ok(states.values().flatten().any(is_published) || !self.deletions()?.is_empty())
    }

    fn contents(&self) -> anyhow::Result<Contents> {
        let names = self.repositories.classes().all().map(|(name, _)| name);
        Ok(self.repositories.contents(names)?)
    }

    fn deletions(&self) -> anyhow::Result<BTreeSet<PkgBase>> {
        let text = common::atomic::read_text(&self.work_dir.deletion_list())?.unwrap_or_default();
        Ok(text.lines().filter_map(|line| line.trim().parse().ok()).collect())
    }

    fn add_links(&self, links: &mut Links, contents: &Contents) {
        for error in ahead::add_links(links, &self.work_dir, &self.repositories, contents) {
            self.messages.error(format_args!("warning: {error}"));
        }
    }

    /// Which orders in staging and testing are too old to hold those that wait for stable.
    fn add_ages(&self, situation: &mut Situation, ages: &Ages<'_>) -> Result<(), ConfigError> {
        for (order, (state, _)) in &situation.orders {
            let days = match state {
                State::Done => self.config.number("max_package_age_staging", 2)?,
                State::Testing => self.config.number("max_package_age_broken_testing", 14)?,
                _ => continue,
            };
            let age = ages.in_state(order, *state);
            if age >= days {
                situation.stale.insert(order.clone());
            }
            situation.ages.insert(order.clone(), format!("({age} of {days} days)"));
        }
        Ok(())
    }

    /// The orders on the build list that are young enough to hold others.
    fn add_pending(
        &self,
        situation: &mut Situation,
        ages: &Ages<'_>,
        infos: &BTreeMap<Order, SrcInfo>,
    ) -> anyhow::Result<()> {
        let days = self.config.number("max_package_age_build_list", 7)?;
        let (list, _) = BuildList::read(&self.work_dir.build_list())?;
        for order in list.orders() {
            let age = ages.on_the_list(order);
            if age >= days {
                continue;
            }
            let mut neighbour = Neighbour {
                order: order.clone(),
                names: BTreeSet::from([order.pkgbase.to_string()]),
                needs: BTreeSet::new(),
                standing: format!("is on the build list ({age} of {days} days)"),
            };
            match infos.get(order) {
                Some(info) => add_info(&mut neighbour, info),
                None => add_published(&mut neighbour, &situation.contents),
            }
            situation.pending.push(neighbour);
        }
        Ok(())
    }
}

fn add_info(neighbour: &mut Neighbour, info: &SrcInfo) {
    for package in &info.packages {
        neighbour.names.insert(package.pkgname.to_string());
        neighbour
            .names
            .extend(package.provides.iter().map(|provision| provision.name.clone()));
        neighbour
            .needs
            .extend(package.depends.iter().map(|dependency| dependency.name.clone()));
    }
}

fn add_published(neighbour: &mut Neighbour, contents: &Contents) {
    for entry in contents
        .values()
        .flatten()
        .filter(|entry| entry.pkgbase == neighbour.order.pkgbase)
    {
        neighbour.names.insert(entry.name.to_string());
        neighbour
            .names
            .extend(entry.provides.iter().map(|provision| provision.name.clone()));
        neighbour
            .needs
            .extend(entry.depends.iter().map(|dependency| dependency.name.clone()));
    }
}
