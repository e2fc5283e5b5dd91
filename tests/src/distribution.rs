//! Whole distributions as their sync databases describe them, read and resolved without the engine: the oracle of its
//! tests. It knows the rules of the documentation and nothing else, and it is slow.
//!
//! The data is not part of the project: `PORTSMITH_TEST_DATA` names its directory, else it is `../shared/data` beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::build_graph::Kind;
use common::process::{Command, Output};
use common::vercmp::vercmp;

use crate::need;

/// The directory of the data; `None` is a skip.
///
/// # Panics
/// It is missing and `CI` is set.
#[must_use]
pub fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let found = std::env::var_os("PORTSMITH_TEST_DATA").map_or(beside, PathBuf::from);
    if !found.join("sync-dbs").is_dir() {
        need::skip(&format!(
            "{} has no sync databases (PORTSMITH_TEST_DATA)",
            found.display()
        ));
        return None;
    }
    Some(found)
}

/// All sets of databases, sorted by name; none is a skip.
///
/// # Panics
/// The data is missing and `CI` is set.
#[must_use]
pub fn sets() -> Vec<PathBuf> {
    let Some(data) = data().filter(|_| need::programs(&["bsdtar"])) else {
        return Vec::new();
    };
    children(&data.join("sync-dbs"))
}

/// The databases of a set, sorted by name.
///
/// # Panics
/// The directory cannot be read.
#[must_use]
pub fn databases(set: &Path) -> Vec<PathBuf> {
    children(set)
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the data can be read");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.sort();
    paths
}

/// One package, as its `desc` says it.
#[derive(Debug, Clone, Default)]
pub struct Desc {
    /// Its name.
    pub name: String,
    /// What it was built from.
    pub base: String,
    /// The version of its pkgbase.
    pub version: String,
    fields: BTreeMap<String, Vec<String>>,
}

impl Desc {
    fn field(&self, key: &str) -> &[String] {
        self.fields.get(key).map_or(&[], Vec::as_slice)
    }

    /// What it needs, in its own words.
    pub fn needs(&self) -> impl Iterator<Item = (Kind, &str)> {
        let of = |kind, key| self.field(key).iter().map(move |text| (kind, text.as_str()));
        of(Kind::Make, "MAKEDEPENDS")
            .chain(of(Kind::Check, "CHECKDEPENDS"))
            .chain(of(Kind::Run, "DEPENDS"))
    }
}

/// The packages of some databases.
#[derive(Debug)]
pub struct Distribution {
    /// Every package.
    pub packages: Vec<Desc>,
    rank_of: BTreeMap<String, usize>,
    named: BTreeMap<String, usize>,
    provided: BTreeMap<String, Vec<(usize, Option<String>)>>,
    grouped: BTreeMap<String, BTreeSet<String>>,
}

impl Distribution {
    /// Reads databases, the one that counts most first.
    ///
    /// # Panics
    /// bsdtar cannot read one.
    #[must_use]
    pub fn read(databases: &[PathBuf]) -> Self {
        let mut all = Self {
            packages: Vec::new(),
            rank_of: BTreeMap::new(),
            named: BTreeMap::new(),
            provided: BTreeMap::new(),
            grouped: BTreeMap::new(),
        };
        let mut versions: BTreeMap<String, String> = BTreeMap::new();
        for (rank, database) in databases.iter().enumerate() {
            for mut desc in descs(database) {
                if all.named.contains_key(&desc.name) {
                    continue;
                }
                all.named.insert(desc.name.clone(), all.packages.len());
                all.rank_of.entry(desc.base.clone()).or_insert(rank);
                let version = versions.entry(desc.base.clone()).or_insert(desc.version);
                desc.version = version.clone();
                all.packages.push(desc);
            }
        }
        for (place, package) in all.packages.iter().enumerate() {
            for provision in package.field("PROVIDES") {
                let (name, version) = split(provision);
                let version = version.map(|(_, version)| version.to_owned());
                all.provided.entry(name.to_owned()).or_default().push((place, version));
            }
            for group in package.field("GROUPS") {
                all.grouped
                    .entry(group.clone())
                    .or_default()
                    .insert(package.base.clone());
            }
        }
        all
    }

    /// The pkgbases, sorted.
    #[must_use]
    pub fn bases(&self) -> BTreeSet<&str> {
        self.packages.iter().map(|package| package.base.as_str()).collect()
    }

    /// The packages that satisfy a dependency alone, in the order in which they are taken.
    #[must_use]
    pub fn satisfying(&self, need: &str) -> Vec<&Desc> {
        let (name, wanted) = split(need);
        let accepts = |version: &str| wanted.is_none_or(|(sign, wanted)| holds(sign, version, wanted));
        let named = self.named.get(name).map(|place| &self.packages[*place]);
        let mut all: Vec<&Desc> = named.into_iter().filter(|package| accepts(&package.version)).collect();
        let provided = self.provided.get(name).into_iter().flatten();
        let provided = provided.filter(|(_, version)| match version {
            Some(version) => accepts(version),
            None => wanted.is_none(),
        });
        let mut provided: Vec<&Desc> = provided.map(|(place, _)| &self.packages[*place]).collect();
        provided.sort_by_key(|package| (self.rank_of[&package.base], &package.name));
        all.extend(provided);
        all
    }

    /// Whom a pkgbase takes a dependency from.
    #[must_use]
    pub fn chosen(&self, base: &str, need: &str) -> BTreeSet<&str> {
        let satisfying = self.satisfying(need);
        match satisfying.first() {
            Some(_) if satisfying.iter().any(|package| package.base == base) => BTreeSet::new(),
            Some(first) => BTreeSet::from([first.base.as_str()]),
            None => self.group(need).filter(|member| *member != base).collect(),
        }
    }

    /// The pkgbases of a group's members.
    pub fn group(&self, name: &str) -> impl Iterator<Item = &str> {
        self.grouped.get(name).into_iter().flatten().map(String::as_str)
    }

    /// Every edge between pkgbases, with its kind.
    pub fn edges<'a>(
        &'a self,
        whom: impl Fn(&'a str, &'a str) -> BTreeSet<&'a str>,
    ) -> BTreeSet<(&'a str, &'a str, Kind)> {
        let mut edges = BTreeSet::new();
        for package in &self.packages {
            for (kind, need) in package.needs() {
                edges.extend(
                    whom(&package.base, need)
                        .into_iter()
                        .map(|to| (package.base.as_str(), to, kind)),
                );
            }
        }
        edges
    }
}

/// What a database says, a package each. Old ones have a file `depends` beside each `desc`.
fn descs(database: &Path) -> Vec<Desc> {
    let mut file = tempfile::tempfile().expect("a temporary file can be made");
    let output = Output::Stdout(file.try_clone().expect("a file can be opened twice"));
    let from = format!("@{}", database.display());
    let command = Command::new("bsdtar").args(["-cf", "-", "--format", "gnutar", &from]);
    command
        .output(output)
        .timeout(Duration::from_secs(60))
        .run()
        .expect("bsdtar reads it");
    file.rewind().expect("a file can be read again");
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut archive = tar::Archive::new(file);
    for member in archive.entries().expect("bsdtar writes an archive") {
        let mut member = member.expect("bsdtar writes members");
        let path = member.path().expect("a path is text").to_string_lossy().into_owned();
        if let Some((directory, "desc" | "depends")) = path.trim_start_matches("./").split_once('/') {
            let text = texts.entry(directory.to_owned()).or_default();
            member.read_to_string(text).expect("a database is text");
            text.push_str("\n\n");
        }
    }
    texts.values().map(|text| parse(text)).collect()
}

/// Name, and sign with version.
fn split(text: &str) -> (&str, Option<(&str, &str)>) {
    let Some(begin) = text.find(['<', '>', '=']) else {
        return (text, None);
    };
    let version = text[begin..].trim_start_matches(['<', '>', '=']);
    let sign = &text[begin..text.len() - version.len()];
    (&text[..begin], Some((sign, version)))
}

fn holds(sign: &str, version: &str, wanted: &str) -> bool {
    let ordering = vercmp(version, wanted);
    match sign {
        "<" => ordering.is_lt(),
        "<=" => ordering.is_le(),
        "=" => ordering.is_eq(),
        ">=" => ordering.is_ge(),
        ">" => ordering.is_gt(),
        other => panic!("{other:?} compares nothing"),
    }
}

fn parse(text: &str) -> Desc {
    let mut package = Desc::default();
    for block in text.split("\n\n") {
        let mut lines = block.trim_start_matches('\n').lines();
        let Some(key) = lines.next().and_then(|line| line.strip_prefix('%')?.strip_suffix('%')) else {
            continue;
        };
        package
            .fields
            .insert(key.to_owned(), lines.map(str::to_owned).collect());
    }
    let first = |key: &str| package.field(key).first().cloned();
    let name = first("NAME").expect("a package has a name");
    let version = first("VERSION").expect("a package has a version");
    package.base = first("BASE").unwrap_or_else(|| name.clone());
    (package.name, package.version) = (name, version);
    package
}

/// The path and the text of each `.SRCINFO` of the data.
///
/// # Panics
/// The archive cannot be read.
#[must_use]
pub fn srcinfos(data: &Path) -> Vec<(String, String)> {
    let path = data.join("srcinfo/archpower-2026-08.tar.zst");
    let file = std::fs::File::open(&path).expect("the data has it");
    let mut archive = tar::Archive::new(zstd::Decoder::new(file).expect("it is compressed"));
    let mut all = Vec::new();
    for member in archive.entries().expect("it is an archive") {
        let mut member = member.expect("it is whole");
        if member.header().entry_type().is_file() {
            let name = member.path().expect("a path is text").to_string_lossy().into_owned();
            let mut text = String::new();
            member.read_to_string(&mut text).expect("a file is text");
            all.push((name, text));
        }
    }
    all
}
