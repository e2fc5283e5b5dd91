//! What packages said last whose metadata cannot be had now.
//!
//! Their orders are held back; but others need their names and provisions meanwhile, or those would be built without
//! waiting for them, and what a blacklisted package keeps away would come back for a slip in its PKGBUILD.

use std::collections::BTreeMap;

use common::metadata::{Infos, Metadata, MetadataError};
use common::names::PkgBase;
use common::source::{Heads, MergedView};
use common::srcinfo::SrcInfo;

/// The last metadata, as far as it is known, of each package that has none; `old` is what was processed last.
pub(crate) fn read(
    metadata: &Metadata,
    infos: &Infos,
    new: &MergedView,
    old: Option<(&Heads, &MergedView)>,
) -> Result<BTreeMap<PkgBase, SrcInfo>, MetadataError> {
    let mut found = BTreeMap::new();
    for pkgbase in infos
        .iter()
        .filter_map(|(pkgbase, info)| info.is_err().then_some(pkgbase))
    {
        let before = old.and_then(|(heads, view)| {
            let package = view.get(pkgbase)?;
            let is_other = new.get(pkgbase).is_none_or(|now| now.content != package.content);
            let order = metadata.sources().order(heads, pkgbase, package);
            is_other.then_some((order, &package.content))
        });
        let before = before.as_ref().map(|(order, content)| (order, *content));
        if let Some(info) = metadata.last_good(pkgbase, before)? {
            found.insert(pkgbase.clone(), info);
        }
    }
    Ok(found)
}
