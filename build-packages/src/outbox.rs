//! The outbox: finished builds that the master has not taken yet, `outbox/<order>.<sub_pkgrel|ERROR>.tar`.
//!
//! Invariant: a finished build is on disk, whole, before the first attempt to upload it, and it is removed only when the
//! master has taken it or will never want it. So it survives a restart of the builder or of the master. What the master
//! refuses for good is kept in `refused/` for the operator.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use common::atomic;
use common::build_list::Order;
use common::interrupt::Interrupt;
use common::state::{order_id, parse_order_id};

use crate::master::Connection;
use crate::upload;

/// What is returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Packages with this sub_pkgrel.
    Packages(u32),
    /// Logs of failed attempts.
    Failure,
}

impl Verdict {
    fn word(&self) -> String {
        match self {
            Self::Packages(sub_pkgrel) => sub_pkgrel.to_string(),
            Self::Failure => "ERROR".to_owned(),
        }
    }
}

/// A finished build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parcel {
    pub(crate) order: Order,
    pub(crate) verdict: Verdict,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The master has taken it.
    Accepted,
    /// The master does not want it: it is outdated or somebody else's.
    Outdated(String),
    /// The master refuses it for good: signatures (3) or the set of packages (4).
    Refused(i32, String),
    /// It did not work this time.
    Later(String),
}

/// The directory of finished builds.
#[derive(Debug, Clone)]
pub(crate) struct Outbox {
    directory: PathBuf,
    refused: PathBuf,
}

impl Outbox {
    pub(crate) fn open(work_dir: &Path) -> anyhow::Result<Self> {
        let directory = work_dir.join("outbox");
        atomic::create_directory(&directory)?;
        Ok(Self {
            directory,
            refused: work_dir.join("refused"),
        })
    }

    /// Removes what a killed builder was packing. Only who has the builder's lock may.
    pub(crate) fn sweep(&self) {
        atomic::sweep(&self.directory, Duration::ZERO);
    }

    /// Packs files into a parcel, flat.
    pub(crate) fn put(&self, parcel: &Parcel, files: &[PathBuf]) -> anyhow::Result<()> {
        let target = self.path(parcel);
        let temporary = atomic::temporary_file(&self.directory)?;
        let mut archive = tar::Builder::new(temporary);
        archive.follow_symlinks(false);
        for file in files {
            let name = file.file_name().context("a file without a name")?;
            archive
                .append_path_with_name(file, name)
                .with_context(|| format!("cannot pack {}", file.display()))?;
        }
        let temporary = archive.into_inner().context("cannot pack the build")?;
        Ok(atomic::persist(temporary, &target)?)
    }

    /// The parcels that wait, sorted by name.
    pub(crate) fn parcels(&self) -> anyhow::Result<Vec<Parcel>> {
        let read = || format!("cannot read {}", self.directory.display());
        let mut parcels = Vec::new();
        for entry in std::fs::read_dir(&self.directory).with_context(read)? {
            let name = entry.with_context(read)?.file_name();
            if let Some(parcel) = name.to_str().and_then(parse_name) {
                parcels.push(parcel);
            }
        }
        parcels.sort_by_key(|parcel| parcel.order.clone());
        Ok(parcels)
    }

    /// Uploads a parcel once; what the master has decided about is removed.
    pub(crate) fn deliver(
        &self,
        parcel: &Parcel,
        connection: &Connection<'_>,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Delivery> {
        let path = self.path(parcel);
        let mut words = vec!["return-assignment".to_owned()];
        words.extend(parcel.order.to_string().split(' ').map(str::to_owned));
        words.push(parcel.verdict.word());
        let delivery = match upload::send(connection, &words, &path, interrupt) {
            Err(reason) => Delivery::Later(reason),
            Ok(reply) => match reply.code {
                Some(0) => Delivery::Accepted,
                Some(2) => Delivery::Outdated(reply.message),
                Some(code @ (3 | 4)) => Delivery::Refused(code, reply.message),
                _ => Delivery::Later(reply.message),
            },
        };
        match delivery {
            Delivery::Later(_) => {}
            Delivery::Accepted | Delivery::Outdated(_) => atomic::remove(&path)?,
            // The operator will want to see what was wrong with it.
            Delivery::Refused(..) => {
                atomic::create_directory(&self.refused)?;
                atomic::rename(&path, &self.refused.join(name(parcel)))?;
            }
        }
        Ok(delivery)
    }

    fn path(&self, parcel: &Parcel) -> PathBuf {
        self.directory.join(name(parcel))
    }
}

fn name(parcel: &Parcel) -> String {
    format!("{}.{}.tar", order_id(&parcel.order), parcel.verdict.word())
}

fn parse_name(name: &str) -> Option<Parcel> {
    let (order, verdict) = name.strip_suffix(".tar")?.rsplit_once('.')?;
    Some(Parcel {
        order: parse_order_id(order).ok()?,
        verdict: match verdict {
            "ERROR" => Verdict::Failure,
            number => Verdict::Packages(number.parse().ok()?),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_is_found_again_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let package = directory.path().join("a-1-1.0-any.pkg.tar.zst");
        atomic::write(&package, b"content").unwrap();
        let outbox = Outbox::open(directory.path()).unwrap();
        let order = format!("lua5.1 {} {} core", "1".repeat(40), "2".repeat(40))
            .parse()
            .unwrap();
        let parcel = Parcel {
            order,
            verdict: Verdict::Packages(2),
        };
        outbox.put(&parcel, &[package]).unwrap();
        let failure = Parcel {
            verdict: Verdict::Failure,
            ..parcel.clone()
        };
        outbox.put(&failure, &[]).unwrap();
        let again = Outbox::open(directory.path()).unwrap().parcels().unwrap();
        assert_eq!(again.len(), 2);
        assert!(again.contains(&parcel) && again.contains(&failure));
    }
}
