//! What `archbuild list` prints: roots, working copies, layers and caches of one architecture, one a line.
//!
//! Words: `root NUMBER current|old`, `copy NAME in-use`, `copy NAME kept OUTCOME PKGBASE TIME`, `copy NAME left`,
//! `layers NUMBER`, `cache NUMBER-OF-PACKAGES`. As JSON the same, one object a line.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use common::clock::format_utc;
use common::names::last_part;
use common::used_directory::is_used;
use serde::Serialize;

use crate::kept::Kept;
use crate::layout::Layout;
use crate::request::Form;
use crate::roots;

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Item {
    Root {
        name: String,
        is_current: bool,
    },
    Copy {
        name: String,
        state: State,
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        kept: Option<Kept>,
    },
    Layers {
        number: usize,
    },
    Cache {
        packages: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    InUse,
    Kept,
    Left,
}

/// Lists what is there.
pub(crate) fn list(layout: &Layout, form: Form, to: &mut dyn Write) -> Result<()> {
    for item in items(layout)? {
        match form {
            Form::Json => {
                serde_json::to_writer(&mut *to, &item)?;
                writeln!(to)
            }
            Form::Lines => writeln!(to, "{}", in_words(&item)),
        }
        .context("cannot write the list")?;
    }
    Ok(())
}

fn items(layout: &Layout) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let current = roots::current_name(layout);
    for number in layout.roots().numbers()? {
        let name = number.to_string();
        let is_current = current.as_ref() == Some(&name);
        items.push(Item::Root { name, is_current });
    }
    for path in layout.all_copies()? {
        let kept = Kept::read(&path);
        let state = match (is_used(&path), &kept) {
            (true, _) => State::InUse,
            (false, Some(_)) => State::Kept,
            (false, None) => State::Left,
        };
        let name = last_part(&path);
        items.push(Item::Copy { name, state, kept });
    }
    items.push(Item::Layers {
        number: count(&layout.layers(), |name| !name.starts_with('.'))?,
    });
    items.push(Item::Cache {
        packages: count(&layout.cache(), |name| {
            name.contains(".pkg.tar") && !name.ends_with(".sig")
        })?,
    });
    Ok(items)
}

fn count(directory: &Path, is_counted: impl Fn(&str) -> bool) -> Result<usize> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| is_counted(name)).count())
}

fn in_words(item: &Item) -> String {
    match item {
        Item::Root { name, is_current } => {
            format!("root {name} {}", if *is_current { "current" } else { "old" })
        }
        Item::Copy { name, state, kept } => {
            let state = match state {
                State::InUse => "in-use",
                State::Kept => "kept",
                State::Left => "left",
            };
            let Some(kept) = kept else {
                return format!("copy {name} {state}");
            };
            let pkgbase = kept.pkgbase.as_ref().map_or("-", |pkgbase| pkgbase.as_str());
            let time = format_utc(kept.since, "%Y-%m-%dT%H:%M:%S");
            format!("copy {name} {state} {} {pkgbase} {time}", kept.outcome.id())
        }
        Item::Layers { number } => format!("layers {number}"),
        Item::Cache { packages } => format!("cache {packages}"),
    }
}
