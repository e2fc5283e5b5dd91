//! The data: the databases of Arch as they were in 2022, each once more under other names, and a port's `.SRCINFO` files.

use std::fs::File;
use std::io::{BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use common::archive;
use common::graph::Packages;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The databases of the set.
const REPOSITORIES: [&str; 4] = ["core", "extra", "multilib", "chaotic-aur"];
/// What the second copy's names begin with.
const TWIN: &str = "twin-";
/// The fields of a `desc` whose values begin with a name.
const NAMING: [&str; 10] = [
    "%NAME%",
    "%BASE%",
    "%GROUPS%",
    "%DEPENDS%",
    "%MAKEDEPENDS%",
    "%CHECKDEPENDS%",
    "%OPTDEPENDS%",
    "%PROVIDES%",
    "%CONFLICTS%",
    "%REPLACES%",
];

/// Where the data is: `PORTSMITH_TEST_DATA`, else beside the project.
pub(super) fn source() -> Option<PathBuf> {
    let named = std::env::var_os("PORTSMITH_TEST_DATA").map(PathBuf::from);
    named
        .or_else(|| Some("../shared/data".into()))
        .filter(|path| path.join("sync-dbs").is_dir())
}

/// What is measured with.
pub(super) struct Data {
    directory: PathBuf,
    pub(super) databases: Vec<PathBuf>,
    pub(super) srcinfos: Vec<PathBuf>,
}

impl Data {
    pub(super) fn make(source: &Path, directory: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let set = source.join("sync-dbs/arch-x86_64-2022-09-12").canonicalize()?;
        let mut databases = Vec::new();
        for repository in REPOSITORIES {
            let database = set.join(format!("{repository}.db"));
            let twin = directory.join(format!("{TWIN}{repository}.db"));
            write_twin(&database, &twin).with_context(|| format!("cannot copy {}", database.display()))?;
            databases.extend([database, twin]);
        }
        let archive = source.join("srcinfo/archpower-2026-08.tar.zst");
        let srcinfos = unpack(&archive, &directory.join("srcinfos"))
            .with_context(|| format!("cannot unpack {}", archive.display()))?;
        Ok(Self {
            directory: directory.to_owned(),
            databases,
            srcinfos,
        })
    }

    /// The edges for tsort, `NEEDED NEEDER` a line.
    pub(super) fn write_pairs(&self, packages: &Packages<'_>) -> anyhow::Result<PathBuf> {
        let mut pairs = String::new();
        let needs = packages.chosen();
        for (node, name) in (0..).zip(packages.names()) {
            pairs.push_str(&format!("{name} {name}\n"));
            for need in needs.of(node) {
                let needed = packages.names()[need.node as usize];
                pairs.push_str(&format!("{needed} {name}\n"));
            }
        }
        let path = self.directory.join("pairs");
        common::atomic::write(&path, pairs.as_bytes())?;
        Ok(path)
    }
}

/// The package of a `.SRCINFO`.
pub(super) fn name_of(path: &Path) -> String {
    let directory = path.parent().and_then(Path::file_name);
    directory
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn write_twin(database: &Path, twin: &Path) -> anyhow::Result<()> {
    let mut archive = tar::Archive::new(archive::expanded(BufReader::new(File::open(database)?))?);
    let mut builder = tar::Builder::new(GzEncoder::new(File::create(twin)?, Compression::default()));
    for member in archive.entries()? {
        let mut member = member?;
        let path = member.path()?.to_string_lossy().trim_start_matches("./").to_owned();
        if !path.ends_with("/desc") {
            continue;
        }
        let mut desc = String::new();
        member.read_to_string(&mut desc)?;
        let desc = renamed(&desc);
        let mut header = tar::Header::new_ustar();
        header.set_size(desc.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("{TWIN}{path}"), desc.as_bytes())?;
    }
    builder.into_inner()?.finish()?.flush()?;
    Ok(())
}

fn renamed(desc: &str) -> String {
    let mut is_naming = false;
    let line = |line: &str| {
        if line.starts_with('%') {
            is_naming = NAMING.contains(&line);
        }
        let twin = if is_naming && !line.is_empty() && !line.starts_with('%') {
            TWIN
        } else {
            ""
        };
        format!("{twin}{line}\n")
    };
    desc.lines().map(line).collect()
}

fn unpack(archive: &Path, directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    tar::Archive::new(zstd::Decoder::new(File::open(archive)?)?).unpack(directory)?;
    let mut files = Vec::new();
    find(directory, &mut files)?;
    files.sort();
    Ok(files)
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find(&entry.path(), files)?;
        } else if entry.file_name() == ".SRCINFO" {
            files.push(entry.path());
        }
    }
    Ok(())
}
