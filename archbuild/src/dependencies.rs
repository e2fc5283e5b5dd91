//! Installing what a build needs: out of a layer when the same was installed before, else by pacman, which makes a layer.
//!
//! Two questions lead to a layer. The quick one: was this asked for before, over this root, with these very databases?
//! Then nothing is resolved. The exact one: which package files would pacman install now? The databases of an active port
//! change every minute, these rarely.

use anyhow::{Context, Result};
use common::build_command::Outcome;

use crate::copy::Below;
use crate::databases::Databases;
use crate::layers::{self, Id, Layer};
use crate::session::Session;

/// Brings the mounted copy up to date and installs dependencies, which may be given with versions.
pub(crate) fn install(session: &mut Session, databases: &Databases, wanted: &[String]) -> Result<()> {
    let generation = session
        .copy
        .below()
        .context("no copy is mounted")?
        .generation
        .identity();
    let state = databases.state()?;
    let mut lines = vec![generation.as_str(), session.pacman.configuration()];
    lines.extend(state.iter().map(String::as_str));
    lines.extend(wanted.iter().map(String::as_str));
    let key = Id::of(lines);
    if let Some(known) = layers::recall(session.layout, &key) {
        return match known {
            Some(layer) => lay_over(session, layer),
            None => Ok(()),
        };
    }
    let root = session.copy.root();
    let missing = session.pacman.missing(&root, wanted)?;
    let packages = session.pacman.resolve(&root, &missing).context(Outcome::Dependencies)?;
    if packages.is_empty() {
        return layers::note(session.layout, &key, None);
    }
    let files = databases.describe(&packages)?;
    let id = files.map(|files| {
        Id::of(
            [generation.as_str()]
                .into_iter()
                .chain(files.iter().map(String::as_str)),
        )
    });
    if let Some(layer) = id.as_ref().and_then(|id| Layer::find(session.layout, id)) {
        layers::note(session.layout, &key, Some(&layer))?;
        return lay_over(session, layer);
    }
    session
        .messages
        .detail(format_args!("installing {}", packages.join(", ")));
    session.pacman.install(&root, &missing).context(Outcome::Dependencies)?;
    // What was upgraded may no longer provide something.
    let still_missing = session.pacman.missing(&root, wanted)?;
    if still_missing.is_empty() {
        if let Some(id) = id {
            keep_layer(session, &id, &key)?;
        }
        return Ok(());
    }
    let installed = session.pacman.install(&root, &still_missing);
    installed.context(Outcome::Dependencies)
}

/// Makes a layer of what the copy has now, and goes on over that layer.
fn keep_layer(session: &mut Session, id: &Id, key: &Id) -> Result<()> {
    let (changes, below) = session.copy.take_changes()?.context("no copy is mounted")?;
    let Some(layer) = layers::add(session.layout, id, &below.generation.identity(), &changes)? else {
        return session.copy.mount_again(below);
    };
    layers::note(session.layout, key, Some(&layer))?;
    session.copy.mount(Below {
        generation: below.generation,
        layer: Some(layer),
    })?;
    layers::sweep(session.layout, layers::Surplus::Old)
}

fn lay_over(session: &mut Session, layer: Layer) -> Result<()> {
    let (_, below) = session.copy.take_changes()?.context("no copy is mounted")?;
    session.copy.mount(Below {
        generation: below.generation,
        layer: Some(layer),
    })
}
