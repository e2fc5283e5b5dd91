//! Repositories of 13,900 packages: the sync databases of a distribution (`PORTSMITH_TEST_DATA`), doubled, else made-up
//! ones of the same size. Lists of files are made up always.
//!
//! The databases are written as repo-add writes them; ours are then taken in by the first transaction, as those of any
//! repository that existed before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use common::atomic;
use common::package::PackageFile;
use common::parallel;
use common::sync_database;
use flate2::Compression;
use flate2::write::GzEncoder;

const SET: &str = "sync-dbs/arch-x86_64-2022-09-12";
const REPOSITORIES: [&str; 4] = ["core", "extra", "multilib", "chaotic-aur"];
/// Packages without the data.
const MADE_UP: usize = 6_956;

/// One package as a database describes it.
#[derive(Debug, Clone)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) base: String,
    pub(super) version: String,
    pub(super) arch: String,
    fields: BTreeMap<String, Vec<String>>,
}

impl Package {
    fn parse(desc: &str) -> Option<Self> {
        let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for block in desc.split("\n\n") {
            let mut lines = block.lines();
            if let Some(field) = lines.next() {
                let field = field.trim_matches('%').to_owned();
                fields.insert(field, lines.map(str::to_owned).collect());
            }
        }
        let one = |field: &str| Some(fields.get(field)?.first()?.clone());
        Some(Self {
            name: one("NAME")?,
            base: one("BASE").or_else(|| one("NAME"))?,
            version: one("VERSION")?,
            arch: one("ARCH")?,
            fields,
        })
    }

    fn made_up(number: usize) -> Self {
        let name = format!("package-{number:05}");
        let needed = format!("package-{:05}", number / 2);
        let text = format!(
            "%NAME%\n{name}\n\n%VERSION%\n1.{number}-1\n\n%DESC%\nPackage number {number} that nobody made\n\n\
             %CSIZE%\n{number}\n\n%ISIZE%\n{number}\n\n%SHA256SUM%\n{number:064x}\n\n%URL%\nhttps://example.org/{name}\n\n\
             %LICENSE%\nGPL\n\n%ARCH%\nx86_64\n\n%BUILDDATE%\n1600000000\n\n%PACKAGER%\nNobody <nobody@example.org>\n\n\
             %DEPENDS%\nglibc\n{needed}\n\n"
        );
        Self::parse(&text).unwrap_or_else(|| unreachable!("the text has every field"))
    }

    /// Another package like this one.
    fn doubled(&self, suffix: &str) -> Self {
        Self {
            name: format!("{}-{suffix}", self.name),
            base: format!("{}-{suffix}", self.base),
            ..self.clone()
        }
    }

    pub(super) fn values(&self, field: &str) -> &[String] {
        self.fields.get(field).map_or(&[], Vec::as_slice)
    }

    pub(super) fn file_name(&self) -> String {
        format!("{}-{}-{}.pkg.tar.zst", self.name, self.version, self.arch)
    }

    fn desc(&self) -> String {
        let mut text = format!(
            "%FILENAME%\n{}\n\n%NAME%\n{}\n\n%BASE%\n{}\n\n%VERSION%\n{}\n\n",
            self.file_name(),
            self.name,
            self.base,
            self.version
        );
        for (field, values) in &self.fields {
            if !["FILENAME", "NAME", "BASE", "VERSION"].contains(&field.as_str()) {
                text.push_str(&format!("%{field}%\n{}\n\n", values.join("\n")));
            }
        }
        text
    }
}

/// All packages, sorted by name.
#[derive(Debug, Clone)]
pub(super) struct Stock(Vec<Package>);

impl Stock {
    /// Reads or makes them.
    pub(super) fn read() -> anyhow::Result<Self> {
        let mut packages = BTreeMap::new();
        match std::env::var_os("PORTSMITH_TEST_DATA") {
            Some(data) => {
                for repository in REPOSITORIES {
                    let path = Path::new(&data).join(SET).join(format!("{repository}.db"));
                    read_database(&path, &mut packages).with_context(|| format!("cannot read {}", path.display()))?;
                }
            }
            None => packages.extend((0..MADE_UP).map(Package::made_up).map(|made| (made.name.clone(), made))),
        }
        let doubled: Vec<Package> = packages.values().map(|package| package.doubled("two")).collect();
        packages.extend(doubled.into_iter().map(|package| (package.name.clone(), package)));
        Ok(Self(packages.into_values().collect()))
    }

    /// Says of every package what its file, which `write` makes, is like, as repo-add would.
    pub(super) fn describe_files(
        &mut self,
        write: impl Fn(&Package) -> anyhow::Result<PathBuf> + Sync,
    ) -> anyhow::Result<()> {
        let checksums = parallel::map(&self.0, |package| {
            anyhow::Ok(PackageFile::read(&write(package)?)?.sha256)
        });
        for (package, sha256) in self.0.iter_mut().zip(checksums) {
            package.fields.insert("SHA256SUM".to_owned(), vec![sha256?]);
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn packages(&self) -> &[Package] {
        &self.0
    }

    /// So many new packages like some of these, spread over the whole alphabet.
    pub(super) fn like(&self, suffix: &str, count: usize) -> Vec<Package> {
        let step = self.0.len() / count;
        let some = self.0.iter().skip(step / 2).step_by(step).take(count);
        some.map(|package| package.doubled(suffix)).collect()
    }

    /// Newer releases of at least so many packages, whole pkgbases, none of which another one needs in one version only.
    pub(super) fn newer(&self, release: usize, count: usize) -> Vec<Package> {
        let bound: BTreeSet<&str> = self
            .0
            .iter()
            .flat_map(|package| package.values("DEPENDS"))
            .filter_map(|dependency| dependency.split_once(['=', '<', '>']))
            .map(|(name, _)| name)
            .collect();
        let mut bases: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
        for package in &self.0 {
            bases.entry(&package.base).or_default().push(package);
        }
        let is_free = |packages: &Vec<&Package>| packages.iter().all(|package| !bound.contains(package.name.as_str()));
        let mut newer = Vec::new();
        for packages in bases.values().filter(|packages| is_free(packages)) {
            if newer.len() < count {
                newer.extend(packages.iter().map(|package| Package {
                    version: format!("{}.{release}", package.version),
                    ..(*package).clone()
                }));
            }
        }
        newer
    }

    /// Writes both databases into a directory, as repo-add does.
    pub(super) fn write(&self, directory: &Path, repository: &str) -> anyhow::Result<()> {
        let database = |kind: &str| File::create(directory.join(format!("{repository}.{kind}.tar.gz")));
        let archive = |file| tar::Builder::new(GzEncoder::new(file, Compression::new(6)));
        let (mut db, mut files) = (archive(database("db")?), archive(database("files")?));
        let mut random = fastrand::Rng::with_seed(1);
        for package in &self.0 {
            let directory = format!("{}-{}", package.name, package.version);
            let (desc, list) = (package.desc(), made_up_files(&package.name, &mut random));
            for archive in [&mut db, &mut files] {
                append(archive, &format!("{directory}/"), None)?;
                append(archive, &format!("{directory}/desc"), Some(&desc))?;
            }
            append(&mut files, &format!("{directory}/files"), Some(&list))?;
        }
        for archive in [db, files] {
            archive.into_inner()?.finish()?;
        }
        Ok(())
    }
}

fn read_database(path: &Path, packages: &mut BTreeMap<String, Package>) -> anyhow::Result<()> {
    let content = atomic::read(path)?.context("it is missing")?;
    sync_database::read(&content[..], &mut |_, text| {
        packages.extend(Package::parse(text).map(|package| (package.name.clone(), package)));
        Ok(())
    })?;
    ensure!(!packages.is_empty(), "it has no packages");
    Ok(())
}

/// Some packages have thousands of files, most have few.
fn made_up_files(name: &str, random: &mut fastrand::Rng) -> String {
    let count = (12 << random.u16(..).leading_zeros().min(8)) + random.usize(3..12);
    let mut word = || {
        let length = random.usize(4..10);
        std::iter::repeat_with(|| random.lowercase())
            .take(length)
            .collect::<String>()
    };
    let words: Vec<String> = (0..count.min(200)).map(|_| word()).collect();
    let paths: BTreeSet<String> = (0..count)
        .map(|_| {
            let mut some = || words[random.usize(..words.len())].as_str();
            format!("usr/share/{name}/{}/{}.{}", some(), some(), "h")
        })
        .collect();
    let list: String = paths.iter().map(|path| format!("{path}\n")).collect();
    format!("%FILES%\n{list}")
}

fn append(archive: &mut tar::Builder<impl io::Write>, path: &str, content: Option<&str>) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    let bytes = content.unwrap_or_default().as_bytes();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    if content.is_none() {
        header.set_mode(0o755);
        header.set_entry_type(tar::EntryType::Directory);
    }
    archive.append_data(&mut header, path, bytes)
}

/// A file for each package, with nothing in it.
pub(super) fn make_dummies(stock: &Stock, directory: &Path) -> anyhow::Result<()> {
    for package in stock.packages() {
        let path: PathBuf = directory.join(package.file_name());
        File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    Ok(())
}
