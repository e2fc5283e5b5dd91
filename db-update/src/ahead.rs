//! What takes long and is read before any lock is taken: the bug list, the metadata of pending orders, sonames.
//!
//! What changes until the locks are held costs time only: sonames that are missing then are read then, and a pending
//! order without metadata is known by what is published of it.

use std::collections::{BTreeMap, BTreeSet};

use common::build_list::{BuildList, Order};
use common::cli::Messages;
use common::config::Config;
use common::metadata::Metadata;
use common::package::PackageError;
use common::parallel;
use common::repository::{Contents, Entry, Repositories, SonameLists};
use common::srcinfo::SrcInfo;
use common::work_dir::WorkDir;

use crate::decision::world::Links;

/// What git says of orders. Without packaging repositories the build list is somebody else's, and nothing is said.
pub(crate) struct Sources<'m> {
    metadata: Option<Metadata>,
    list: BuildList,
    messages: &'m Messages,
}

impl<'m> Sources<'m> {
    /// The configured ones.
    pub(crate) fn open(config: &Config, work_dir: &WorkDir, messages: &'m Messages) -> anyhow::Result<Self> {
        let (list, _) = BuildList::read(&work_dir.build_list())?;
        let metadata = Metadata::open(config, work_dir).inspect_err(|error| {
            messages.detail(format_args!(
                "pending orders are known by what is published of them: {error}"
            ));
        });
        Ok(Self {
            metadata: metadata.ok(),
            list,
            messages,
        })
    }

    /// The metadata of orders on the build list, as far as it is at hand.
    pub(crate) fn infos(&self) -> BTreeMap<Order, SrcInfo> {
        let Some(metadata) = &self.metadata else {
            return BTreeMap::new();
        };
        let at_hand = |order: &Order| match metadata.cached(order) {
            Ok(info) => info.map(|info| (order.clone(), info)),
            Err(error) => {
                self.messages.detail(format_args!("{}: {error}", order.pkgbase));
                None
            }
        };
        self.list.orders().filter_map(at_hand).collect()
    }

    /// Which orders, of these and of those on the build list, were released together.
    pub(crate) fn rebuilds(&self, mut orders: BTreeSet<Order>) -> BTreeMap<Order, String> {
        let Some(metadata) = &self.metadata else {
            return BTreeMap::new();
        };
        orders.extend(self.list.orders().cloned());
        metadata.sources().rebuilds(&orders).unwrap_or_else(|error| {
            self.messages
                .error(format_args!("warning: rebuilds are not kept together: {error}"));
            BTreeMap::new()
        })
    }
}

/// Adds the sonames of packages that are not among them yet. One that cannot be read is said, and not linked as far as is
/// known; whether its file is there is looked at before it moves.
pub(crate) fn add_links(
    links: &mut Links,
    work_dir: &WorkDir,
    repositories: &Repositories,
    contents: &Contents,
) -> Vec<PackageError> {
    let mut names = BTreeSet::new();
    let missing: Vec<&Entry> = contents
        .values()
        .flatten()
        .filter(|entry| !links.contains_key(entry.file_name.as_str()) && names.insert(&entry.file_name))
        .collect();
    let lists = SonameLists::new(work_dir.soname_lists());
    let read = |entry: &&Entry| (entry.file_name.to_string(), lists.of(repositories, entry));
    let mut errors = Vec::new();
    for (name, sonames) in parallel::map(&missing, read) {
        match sonames {
            Ok(sonames) => {
                links.insert(name, sonames);
            }
            Err(error) => errors.push(error),
        }
    }
    errors
}
