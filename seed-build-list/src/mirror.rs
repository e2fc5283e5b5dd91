//! What a mirror of upstream's has in a newer version than the port: from the databases of its stable repositories.
//!
//! curl fetches them, so every address works that curl knows, `file://` too. A package that the port has nowhere counts
//! as older. Our sub-release makes a version newer than upstream's, so what we have built is not built again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use common::archive::ArchiveError;
use common::cli::Messages;
use common::config::Config;
use common::names::{PkgName, Repository};
use common::process::{Cause, Command};
use common::repository::{Class, Entry, Repositories};
use common::sync_database;
use common::vercmp::vercmp;
use common::version::FullVersion;

/// How long one database may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Largest database that is fetched, in bytes.
const MAX_SIZE: &str = "268435456";
/// curl's codes for a file that is not there, over HTTP and elsewhere.
const NOT_THERE: [i32; 2] = [22, 37];

/// The newest version of each package.
type Versions = BTreeMap<PkgName, FullVersion>;

/// The packages that are newer on a mirror, each with the reason for building it.
pub(crate) fn newer(config: &Config, url: &str, messages: &Messages) -> anyhow::Result<Vec<(PkgName, String)>> {
    let repositories = Repositories::open(config)?;
    let mut ours = Versions::new();
    for (repository, _) in repositories.classes().all() {
        for entry in repositories.packages(repository)? {
            keep_newest(&mut ours, entry);
        }
    }
    let arch = config.text("upstream_arch").unwrap_or("x86_64");
    let mut theirs = Versions::new();
    let mut is_any = false;
    for repository in repositories.classes().of(Class::Stable) {
        let address = format!(
            "{}/{repository}/os/{arch}/{repository}.db.tar.gz",
            url.trim_end_matches('/')
        );
        match fetch(&address, repository)? {
            Some(entries) => {
                is_any = true;
                entries.into_iter().for_each(|entry| keep_newest(&mut theirs, entry));
            }
            None => messages.error(format_args!("warning: the mirror has no {address}")),
        }
    }
    ensure!(is_any, "the mirror {url} has none of the stable repositories");
    let is_newer = |name: &PkgName, version: &FullVersion| {
        let own = ours.get(name);
        own.is_none_or(|own| vercmp(version.as_str(), own.as_str()).is_gt())
    };
    Ok(theirs
        .into_iter()
        .filter(|(name, version)| is_newer(name, version))
        .map(|(name, version)| {
            let reason = format!("{url} has {name} {version}");
            (name, reason)
        })
        .collect())
}

fn keep_newest(versions: &mut Versions, entry: Entry) {
    let known = versions.get(&entry.name);
    if known.is_none_or(|known| vercmp(entry.version.as_str(), known.as_str()).is_gt()) {
        versions.insert(entry.name, entry.version);
    }
}

/// The packages of one database; `None` when the mirror does not have it.
fn fetch(address: &str, repository: &Repository) -> anyhow::Result<Option<Vec<Entry>>> {
    let directory = tempfile::tempdir().context("cannot make a directory for databases")?;
    let path = directory.path().join(repository.as_str());
    let curl = Command::new("curl")
        .args(["-sSfL", "--proto", "=file,ftp,http,https", "--max-filesize", MAX_SIZE])
        .arg("-o")
        .arg(&path)
        .args(["--", address])
        .timeout(PATIENCE);
    match curl.run() {
        Ok(_) => read(&path).with_context(|| format!("cannot read {address}")).map(Some),
        Err(error) => match error.cause {
            Cause::Code { code, .. } if NOT_THERE.contains(&code) => Ok(None),
            _ => Err(error.into()),
        },
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    sync_database::read(BufReader::new(File::open(path)?), &mut |name, text| {
        let refused = |error| ArchiveError::Refused(format!("{name}: {error}"));
        entries.push(Entry::parse(text).map_err(refused)?);
        Ok(())
    })?;
    Ok(entries)
}
