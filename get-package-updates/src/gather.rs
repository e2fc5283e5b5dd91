//! Everything that takes long and needs no lock: fetching, comparing the sources, reading the metadata.

use anyhow::Context;
use common::build_list::Order;
use common::config::Config;
use common::metadata::{Infos, Metadata};
use common::names::{PkgBase, Revision};
use common::source::{Content, Heads, MergedView, Sources};
use common::srcinfo::SrcInfo;
use common::work_dir::WorkDir;
use common::{atomic, cli::Messages};

use crate::BadInput;
use crate::changes::Changes;
use crate::last_good::LastGood;
use crate::lists::Lists;
use crate::ordering::Ordering;

/// What the sources say.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// What was processed last.
    pub(crate) old_heads: Heads,
    /// What is processed now.
    pub(crate) new_heads: Heads,
    /// The packages now.
    pub(crate) view: MergedView,
    /// What changed in between.
    pub(crate) changes: Changes,
    /// The customization's lists now.
    pub(crate) lists: Lists,
    /// The metadata of all packages now.
    pub(crate) infos: Infos,
    /// How the list is ordered.
    pub(crate) ordering: Ordering,
    /// What those said last that have no metadata now.
    pub(crate) last_good: LastGood,
}

impl Gathered {
    /// Reads the sources at these heads; the metadata of packages that cannot be read is reported.
    pub(crate) fn read(
        metadata: &Metadata,
        config: &Config,
        (old_heads, new_heads): (Heads, Heads),
        messages: &Messages,
    ) -> anyhow::Result<Self> {
        let sources = metadata.sources();
        let view = sources.merged_view(&new_heads)?;
        for warning in view.warnings() {
            messages.note(warning);
        }
        let old = if old_heads == new_heads {
            None
        } else {
            let old = sources.merged_view(&old_heads).inspect_err(|_| {
                messages.hint("what was processed last is gone; without the .revision files everything is scheduled");
            })?;
            Some((&old_heads, old))
        };
        let old = old.as_ref().map(|(heads, view)| (*heads, view));
        let changes = old.map_or_else(Changes::default, |(heads, old)| {
            Changes::between(sources, heads, old, &view)
        });
        let orders: Vec<(Order, Content)> = view
            .iter()
            .map(|(pkgbase, package)| (sources.order(&new_heads, pkgbase, package), package.content.clone()))
            .collect();
        messages.detail(format_args!("reading the metadata of {} packages", orders.len()));
        let mut infos = metadata.srcinfos_of_view(&orders)?;
        let fatal = infos.iter().find_map(|(name, info)| {
            info.as_ref()
                .err()
                .filter(|error| !error.is_of_content())
                .map(|_| name.clone())
        });
        if let Some(Err(error)) = fatal.and_then(|name| infos.remove(&name)) {
            return Err(error.into());
        }
        for error in infos.values().filter_map(|info| info.as_ref().err()) {
            messages.error(error);
        }
        let last_good = LastGood::read(metadata, &infos, &view, old)?;
        last_good.tell(messages);
        Ok(Self {
            lists: Lists::read(sources, config, &old_heads, &new_heads)?,
            ordering: Ordering::read(config)?,
            old_heads,
            new_heads,
            view,
            changes,
            infos,
            last_good,
        })
    }

    /// All packages, with what they say now or said last.
    pub(crate) fn known(&self) -> impl Iterator<Item = (&PkgBase, Option<&SrcInfo>)> {
        self.last_good.beside(&self.infos)
    }
}

/// The heads that were processed last; a git repository of which nothing was processed has none.
pub(crate) fn processed_heads(work_dir: &WorkDir, sources: &Sources) -> anyhow::Result<Heads> {
    let mut heads = Heads::default();
    for repository in sources.repositories() {
        let path = work_dir.revision(repository.name());
        if let Some(text) = atomic::read_text(&path)? {
            let revision: Revision = text
                .trim()
                .parse()
                .map_err(BadInput::from_error)
                .with_context(|| format!("cannot read {}", path.display()))?;
            heads.set(repository.name().clone(), revision);
        }
    }
    Ok(heads)
}
