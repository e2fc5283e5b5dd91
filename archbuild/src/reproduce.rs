//! Building a second time in a fresh copy, to see whether the same packages come out.
//!
//! Everything that a package records is the same by itself: place, host name, users, installed packages. Its time is
//! SOURCE_DATE_EPOCH, which the process outside sets when nobody did.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use common::atomic::remove_tree;
use common::build_command::{Outcome, Phase};
use common::names::FileName;
use common::process::{Input, Output};

use crate::build::Build;
use crate::copy::Below;
use crate::databases::Databases;
use crate::payload::open_regular;
use crate::products;
use crate::request::User;
use crate::sandbox::{Network, Sources, give_to_builder};
use crate::srcinfo::SrcInfo;

/// Where the packages of the first build lie meanwhile.
const FIRST: &str = "pkgdest.first";
/// Most bytes of a list of files.
const LONGEST_LIST: u64 = 256 << 20;
/// Differing files that are named.
const NAMED: usize = 8;

/// Builds again and compares. The packages of the first build are those that stay.
pub(crate) fn build_again(build: &mut Build, databases: &Databases, info: &SrcInfo, names: &[FileName]) -> Result<()> {
    build.session.messages.note("building again, to compare");
    let packages = build.sandbox.packages().to_owned();
    let first = build.session.copy.directory().join(FIRST);
    fs::rename(&packages, &first).context("cannot put the packages aside")?;
    for part in ["pkgdest", "build", "tmp"] {
        remove_tree(&build.session.copy.directory().join(part))?;
        give_to_builder(&build.session.copy.part(part)?)?;
    }
    let (_, below) = build.session.copy.take_changes()?.context("no copy is mounted")?;
    build.session.copy.mount(Below::root(below.generation))?;
    build.install(databases, info)?;
    build.prepare()?;
    build.make_packages()?;
    let again = products::find(&packages, &|name| names.iter().any(|known| is_of(known, name)))?;
    if again != names {
        bail_not_reproducible(&format!("the second build made {}", listed(&again)))?;
    }
    for name in names {
        let differing = compare(build, &first.join(name), &packages.join(name))?;
        if !differing.is_empty() {
            bail_not_reproducible(&format!("{name} differs in {}", differing.join(", ")))?;
        }
    }
    remove_tree(&packages)?;
    fs::rename(&first, &packages).context("cannot take the packages back")
}

fn is_of(file: &FileName, pkgname: &str) -> bool {
    file.as_str().starts_with(&format!("{pkgname}-"))
}

fn bail_not_reproducible(what: &str) -> Result<()> {
    let error = Err(anyhow::anyhow!("not reproducible: {what}"));
    error.context(Outcome::Failed(Some(Phase::Package)))
}

fn listed(names: &[FileName]) -> String {
    let names: Vec<&str> = names.iter().map(FileName::as_str).collect();
    names.join(", ")
}

/// The members in which two packages differ; a word for all else.
fn compare(build: &Build, one: &Path, other: &Path) -> Result<Vec<String>> {
    if is_same(&mut open_regular(one)?, &mut open_regular(other)?)? {
        return Ok(Vec::new());
    }
    let (one, other) = (members(build, one)?, members(build, other)?);
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let mut differing: Vec<String> = names
        .into_iter()
        .filter(|name| one.get(*name) != other.get(*name))
        .cloned()
        .collect();
    if differing.is_empty() {
        differing.push("the way it is packed".to_owned());
    } else if differing.len() > NAMED {
        let more = differing.len() - NAMED;
        differing.truncate(NAMED);
        differing.push(format!("{more} more"));
    }
    Ok(differing)
}

fn is_same(one: &mut File, other: &mut File) -> Result<bool> {
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = one.read(&mut a)?;
        other.read_exact(&mut b[..count])?;
        if a[..count] != b[..count] {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
    }
}

/// Members of a package with what its `.MTREE` says of them. The archive is hostile: it is read in the sandbox.
fn members(build: &Build, package: &Path) -> Result<BTreeMap<String, String>> {
    let argv = ["bsdtar", "-xqOf", "-", ".MTREE"];
    let command = build
        .sandbox
        .command(User::Builder, Network::None, Sources::ReadOnly, argv)
        .input(Input::File(open_regular(package)?))
        .output(Output::Capture);
    let Ok(finished) = command.run() else {
        bail!("{} has no list of its files", package.display());
    };
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(finished.stdout.as_slice())
        .take(LONGEST_LIST)
        .read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter_map(|line| line.strip_prefix("./")?.split_once(' '));
    Ok(lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect())
}
