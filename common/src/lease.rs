//! Leases: which builder works on which order, `builders/<name>`, one line a lease.
//!
//! A line is the assignment as printed (five fields), then phase, time of lease (Unix), last sign of life (Unix time,
//! boot id, seconds since boot), the number of times it was handed out and the size of the builder's log. Written with
//! the build-list lock held. A lease expires only when wall clock and, within one boot, boot-time clock agree, so a clock that is set forward
//! frees nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::assignment::Assignment;
use crate::atomic::{self, Batch, FileError};
use crate::build_list::Order;
use crate::clock::Now;
use crate::names::Builder;
use crate::order::fields::OrderFields;

/// One order handed to one builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What was printed.
    pub assignment: Assignment,
    /// What the builder last said that it does: `assigned`, `fetching`, `building` …
    pub phase: String,
    /// When it was handed out, Unix time.
    pub since: u64,
    /// The last sign of life.
    pub seen: Now,
    /// How often it was handed out.
    pub attempts: u32,
    /// Bytes of the log of the present attempt, as the builder last said; lines without it are read as 0.
    pub log_bytes: u64,
}

impl Lease {
    /// A fresh lease.
    #[must_use]
    pub fn new(assignment: Assignment, now: &Now) -> Self {
        Self {
            assignment,
            phase: "assigned".to_owned(),
            since: now.unix,
            seen: now.clone(),
            attempts: 1,
            log_bytes: 0,
        }
    }

    /// Whether the builder has been silent for longer than `lease_seconds` (0: never).
    #[must_use]
    pub fn is_expired(&self, now: &Now, lease_seconds: u64) -> bool {
        if lease_seconds == 0 {
            return false;
        }
        let by_wall_clock = now.unix.saturating_sub(self.seen.unix) > lease_seconds;
        let same_boot = now.boot_id == self.seen.boot_id && now.boot_id != "-";
        let by_boot_clock = now.boot_seconds.saturating_sub(self.seen.boot_seconds) > lease_seconds;
        by_wall_clock && (!same_boot || by_boot_clock)
    }
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Now {
            unix,
            boot_id,
            boot_seconds,
        } = &self.seen;
        write!(
            f,
            "{} {} {} {unix} {boot_id} {boot_seconds} {} {}",
            self.assignment, self.phase, self.since, self.attempts, self.log_bytes
        )
    }
}

impl FromStr for Lease {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [
            pkgbase,
            revision,
            mod_revision,
            repository,
            sub_pkgrel,
            phase,
            since,
            unix,
            boot_id,
            boot_seconds,
            attempts,
            ref rest @ ..,
        ] = fields[..]
        else {
            return Err(format!("a lease has 11 or 12 fields, this line {}", fields.len()));
        };
        let log_bytes = match rest {
            [] => "0",
            [log_bytes] => log_bytes,
            _ => return Err(format!("a lease has 11 or 12 fields, this line {}", fields.len())),
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} is no whole number"));
        let small = |text: &str| text.parse::<u32>().map_err(|_| format!("{text:?} is no whole number"));
        let order = OrderFields {
            pkgbase,
            revision,
            mod_revision,
            repository,
        };
        Ok(Self {
            assignment: Assignment {
                order: order.check().map_err(|error| error.to_string())?,
                sub_pkgrel: small(sub_pkgrel)?,
            },
            phase: phase.to_owned(),
            since: number(since)?,
            seen: Now {
                unix: number(unix)?,
                boot_id: boot_id.to_owned(),
                boot_seconds: number(boot_seconds)?,
            },
            attempts: small(attempts)?,
            log_bytes: number(log_bytes)?,
        })
    }
}

/// What the file of one builder says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseFile {
    /// Its leases, in the order in which they were handed out.
    pub leases: Vec<Lease>,
    /// What is wrong with its other lines, with their numbers.
    pub complaints: Vec<String>,
    junk: Vec<String>,
}

/// The directory of leases.
#[derive(Debug, Clone)]
pub struct Leases {
    directory: PathBuf,
}

impl Leases {
    /// The leases below this directory, which has to exist.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The leases of one builder, in the order in which they were handed out; lines that are none are passed over.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of(&self, builder: &Builder) -> Result<Vec<Lease>, FileError> {
        Ok(self.read(builder)?.leases)
    }

    /// The leases of all builders.
    ///
    /// # Errors
    /// The directory or a file of it cannot be read.
    pub fn all(&self) -> Result<BTreeMap<Builder, Vec<Lease>>, FileError> {
        let files = self.files()?.into_iter();
        Ok(files.map(|(builder, file)| (builder, file.leases)).collect())
    }

    /// The files of all builders.
    ///
    /// # Errors
    /// The directory or a file of it cannot be read.
    pub fn files(&self) -> Result<BTreeMap<Builder, LeaseFile>, FileError> {
        let read = |source| FileError::at("read", &self.directory)(source);
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&self.directory).map_err(read)? {
            let name = entry.map_err(read)?.file_name();
            if let Some(builder) = name.to_str().and_then(|name| name.parse::<Builder>().ok()) {
                let file = self.read(&builder)?;
                files.insert(builder, file);
            }
        }
        Ok(files)
    }

    /// The file of one builder.
    ///
    /// # Errors
    /// It exists and cannot be read.
    pub fn read(&self, builder: &Builder) -> Result<LeaseFile, FileError> {
        let text = atomic::read_text(&self.directory.join(builder))?.unwrap_or_default();
        let mut file = LeaseFile::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            match line.parse() {
                Ok(lease) => file.leases.push(lease),
                Err(error) => {
                    let number = index + 1;
                    file.complaints.push(format!(
                        "builders/{builder} line {number} is kept but not used: {error}"
                    ));
                    file.junk.push(line.to_owned());
                }
            }
        }
        Ok(file)
    }

    /// Replaces the leases of one builder; lines of the file that are none are kept at its end.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, builder: &Builder, leases: &[Lease]) -> Result<(), FileError> {
        let mut batch = Batch::default();
        self.put(builder, leases, &mut batch)?;
        batch.sync()
    }

    /// Like [`Leases::write`], but it lasts only when the batch is synced; a file without leases says nothing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put(&self, builder: &Builder, leases: &[Lease], batch: &mut Batch) -> Result<(), FileError> {
        let junk = self.read(builder)?.junk;
        let lines = leases.iter().map(ToString::to_string).chain(junk);
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        batch.write_first(&self.directory.join(builder), text.as_bytes())
    }

    /// Ends the leases of one order with these builders; that lasts only when the batch is synced.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn end<'a>(
        &self,
        order: &Order,
        builders: impl IntoIterator<Item = &'a Builder>,
        batch: &mut Batch,
    ) -> Result<(), FileError> {
        for builder in builders {
            let before = self.of(builder)?;
            let after: Vec<Lease> = before
                .iter()
                .filter(|lease| lease.assignment.order != *order)
                .cloned()
                .collect();
            if after.len() < before.len() {
                self.put(builder, &after, batch)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(unix: u64, boot: &str, boot_seconds: u64) -> Now {
        Now {
            unix,
            boot_id: boot.to_owned(),
            boot_seconds,
        }
    }

    fn lease(seen: Now) -> Lease {
        let line = format!("a {} {} core 3", "1".repeat(40), "2".repeat(40));
        Lease::new(line.parse().unwrap(), &seen)
    }

    #[test]
    fn a_lease_is_read_as_it_is_written() {
        let lease = lease(now(1_000, "b-o-o-t", 50));
        assert_eq!(lease.to_string().parse::<Lease>().unwrap(), lease);
    }

    #[test]
    fn a_lease_expires_only_when_both_clocks_of_one_boot_agree() {
        let lease = lease(now(1_000, "boot", 50));
        assert!(!lease.is_expired(&now(1_100, "boot", 150), 100));
        assert!(lease.is_expired(&now(1_101, "boot", 151), 100));
        assert!(
            !lease.is_expired(&now(9_000, "boot", 60), 100),
            "wall clock set forward"
        );
        assert!(!lease.is_expired(&now(500, "boot", 900), 100), "wall clock set back");
        assert!(lease.is_expired(&now(9_000, "later", 5), 100), "rebooted");
        assert!(!lease.is_expired(&now(9_000, "later", 5), 0), "leases without end");
    }

    #[test]
    fn a_slip_of_the_editor_is_reported_with_its_line_and_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let leases = Leases::new(directory.path().to_owned());
        let builder: Builder = "eurobuild3".parse().unwrap();
        let good = lease(now(1, "b", 1));
        let text = format!("{good}\r\n\nhalf a li\n{good}");
        atomic::write(&directory.path().join("eurobuild3"), text.as_bytes()).unwrap();
        let file = leases.read(&builder).unwrap();
        assert_eq!(file.leases, [good.clone(), good.clone()]);
        assert!(
            file.complaints.len() == 1 && file.complaints[0].starts_with("builders/eurobuild3 line 3 "),
            "{:?}",
            file.complaints
        );
        leases.write(&builder, std::slice::from_ref(&good)).unwrap();
        let text = atomic::read_text(&directory.path().join("eurobuild3"))
            .unwrap()
            .unwrap();
        assert_eq!(text, format!("{good}\nhalf a li\n"));
    }

    #[test]
    fn ending_an_order_keeps_the_other_leases() {
        let directory = tempfile::tempdir().unwrap();
        let leases = Leases::new(directory.path().to_owned());
        let builder: Builder = "eurobuild3".parse().unwrap();
        let one = lease(now(1, "b", 1));
        let mut two = one.clone();
        two.assignment.order.pkgbase = "b".parse().unwrap();
        leases.write(&builder, &[one.clone(), two.clone()]).unwrap();
        let mut batch = Batch::default();
        leases.end(&one.assignment.order, [&builder], &mut batch).unwrap();
        batch.sync().unwrap();
        assert_eq!(leases.all().unwrap()[&builder], [two]);
    }
}
