//! What packages said last whose metadata cannot be had now.
//!
//! Their orders are held back; but others need their names and provisions meanwhile, or those would be built without
//! waiting for them, and what a blacklisted package keeps away would come back for a slip in its PKGBUILD.

use std::collections::BTreeMap;

use common::build_list::Order;
use common::cli::Messages;
use common::metadata::{Infos, Metadata, MetadataError};
use common::names::PkgBase;
use common::source::{Content, Heads, MergedView};
use common::srcinfo::SrcInfo;

/// What is known of packages that have no metadata now.
#[derive(Debug, Default)]
pub(crate) struct LastGood(BTreeMap<PkgBase, SrcInfo>);

impl LastGood {
    /// The last metadata, as far as it is known, of each package that has none; `old` is what was processed last.
    pub(crate) fn read(
        metadata: &Metadata,
        infos: &Infos,
        new: &MergedView,
        old: Option<(&Heads, &MergedView)>,
    ) -> Result<Self, MetadataError> {
        Self::collect(metadata, infos, |pkgbase| {
            let (heads, view) = old?;
            let package = view.get(pkgbase)?;
            let is_other = new.get(pkgbase).is_none_or(|now| now.content != package.content);
            let order = metadata.sources().order(heads, pkgbase, package);
            is_other.then_some((order, &package.content))
        })
    }

    /// As [`LastGood::read`], out of what was kept alone.
    pub(crate) fn kept(metadata: &Metadata, infos: &Infos) -> Result<Self, MetadataError> {
        Self::collect(metadata, infos, |_| None)
    }

    fn collect<'c>(
        metadata: &Metadata,
        infos: &Infos,
        before: impl Fn(&PkgBase) -> Option<(Order, &'c Content)>,
    ) -> Result<Self, MetadataError> {
        let mut found = BTreeMap::new();
        for (pkgbase, _) in infos.iter().filter(|(_, info)| info.is_err()) {
            let before = before(pkgbase);
            let before = before.as_ref().map(|(order, content)| (order, *content));
            if let Some(info) = metadata.last_good(pkgbase, before)? {
                found.insert(pkgbase.clone(), info);
            }
        }
        Ok(Self(found))
    }

    /// Says of whom it counts.
    pub(crate) fn tell(&self, messages: &Messages) {
        for (pkgbase, info) in &self.0 {
            messages.note(format_args!(
                "of {pkgbase} counts what it said in version {}",
                info.version
            ));
        }
    }

    /// All packages, with what they say now or said last.
    pub(crate) fn beside<'a>(&'a self, infos: &'a Infos) -> impl Iterator<Item = (&'a PkgBase, Option<&'a SrcInfo>)> {
        infos.iter().map(|(pkgbase, info)| {
            let last = || self.0.get(pkgbase);
            (pkgbase, info.as_ref().ok().or_else(last))
        })
    }
}
