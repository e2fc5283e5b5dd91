//! Removing what nobody uses.

use std::fs;

use anyhow::{Context, Result, bail};
use common::atomic::remove_tree;
use common::cli::Messages;
use common::interrupt::Interrupt;
use common::names::PkgName;
use common::names::last_part;

use crate::copy::{self, Which};
use crate::kept::Kept;
use crate::layers::{self, Surplus};
use crate::layout::Layout;
use crate::request::{CleanTask, Extent};
use crate::roots;

/// Cleans up as far as the task says.
pub(crate) fn clean(layout: &Layout, task: &CleanTask, interrupt: &Interrupt, messages: Messages) -> Result<()> {
    let unknown = unknown_copies(layout, &task.copies)?;
    copy::sweep(layout, Which::Remains)?;
    if task.extent == Extent::Copies {
        return Ok(());
    }
    if matches!(task.extent, Extent::Kept | Extent::Everything) {
        copy::sweep(layout, Which::All)?;
    } else if !task.copies.is_empty() {
        copy::sweep(layout, Which::Named(&task.copies))?;
    }
    purge(layout, &task.packages)?;
    // A root in the making is swept by the one who makes it.
    let right = roots::lock(layout, interrupt, || {
        messages.note("waiting for another archbuild that makes the root");
    })?;
    if task.extent == Extent::Everything {
        layout.roots().forget(&right)?;
        remove_tree(&layout.cache())?;
        remove_tree(&layout.sources())?;
        remove_tree(&layout.databases())?;
        layers::sweep(layout, Surplus::All)?;
    } else {
        layers::sweep(layout, Surplus::Old)?;
    }
    roots::sweep(layout, &right)?;
    match unknown.as_slice() {
        [] => Ok(()),
        names => bail!(
            "there is no kept working copy {}: `archbuild list` names those that are",
            names.join(", ")
        ),
    }
}

/// Names that somebody mistyped.
fn unknown_copies(layout: &Layout, names: &[String]) -> Result<Vec<String>> {
    let known: Vec<String> = Kept::all(layout)?.iter().map(|(path, _)| last_part(path)).collect();
    Ok(names.iter().filter(|name| !known.contains(name)).cloned().collect())
}

/// Takes the files of some packages out of the cache, whatever their versions.
fn purge(layout: &Layout, packages: &[PkgName]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    for entry in fs::read_dir(layout.cache()).context("cannot read the package cache")? {
        let path = entry?.path();
        let name = last_part(&path);
        // Files of others may have versions that ours must not have.
        let pkgname = name.rsplitn(4, '-').nth(3);
        if packages.iter().any(|package| pkgname == Some(package.as_str())) {
            common::atomic::remove(&path)?;
        }
    }
    Ok(())
}
