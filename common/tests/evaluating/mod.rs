//! Packaging repositories of PKGBUILDs that have to be evaluated.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part of it; tests may panic"
)]

use common::build_list::Order;
use common::metadata::Metadata;
use common::source::Sources;
use common::work_dir::WorkDir;
use testkit::packaging::{FILE, Port};

/// What evaluating and comparing needs.
pub(crate) const PROGRAMS: &[&str] = &["bwrap", "makepkg"];

/// A port whose `packages` has these files, `PKGBASE/NAME` and content, in core; and the orders for them.
pub(crate) fn port_of(files: &[(&str, &str)]) -> (Port, Vec<Order>) {
    let port = Port::new();
    commit(&port, files);
    port.community.commit(&[]);
    port.ours.commit(&[("core/over/new.patch", FILE, "")]);
    let orders = orders(&port);
    (port, orders)
}

/// Exactly these files from now on.
pub(crate) fn commit(port: &Port, files: &[(&str, &str)]) {
    let paths: Vec<String> = files
        .iter()
        .map(|(path, _)| {
            let (pkgbase, name) = path.split_once('/').unwrap();
            format!("{pkgbase}/repos/core-x86_64/{name}")
        })
        .collect();
    let files: Vec<_> = paths
        .iter()
        .zip(files)
        .map(|(path, (_, text))| (path.as_str(), FILE, *text))
        .collect();
    port.packages.commit(&files);
}

/// The orders of all packages.
pub(crate) fn orders(port: &Port) -> Vec<Order> {
    let sources = Sources::open(&port.config()).unwrap();
    sources.fetch().unwrap();
    let heads = sources.heads().unwrap();
    let view = sources.merged_view(&heads).unwrap();
    view.iter()
        .map(|(name, package)| sources.order(&heads, name, package))
        .collect()
}

pub(crate) fn metadata(port: &Port) -> Metadata {
    let config = port.config();
    Metadata::open(&config, &WorkDir::open(&config).unwrap()).unwrap()
}
