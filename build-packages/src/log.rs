//! The log of one attempt: `YYYY-MM-DDTHH:MM:SS.N.build-log`, written while the attempt runs, compressed when it is
//! over.
//!
//! Our own lines begin with `==> ` and a time: the start with the straw, what is done before the build command is called,
//! and the end with the outcome's id. Between them is what the build command writes, with makepkg's own lines for phases
//! (`==> Starting build()...`). N, counted within the order, keeps two attempts within one second apart.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use common::build_command::{Outcome, Phase, Record};
use common::clock::{Now, format_utc};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::straw::Straw;

/// Largest log in bytes.
pub(crate) const LOG_LIMIT: u64 = 64 << 20;
/// Most bytes of a log that are looked at in one go for what is new.
const LOOK_LIMIT: u64 = 1 << 20;

/// The log of an attempt that is being made.
#[derive(Debug)]
pub(crate) struct AttemptLog {
    file: File,
    path: PathBuf,
    began: u64,
}

impl AttemptLog {
    /// Begins a log in a directory.
    pub(crate) fn begin(directory: &Path, number: usize, straw: &Straw) -> anyhow::Result<Self> {
        let began = Now::read().unix;
        let path = directory.join(format!("{}.{number}.build-log", utc(began)));
        let make = || format!("cannot make the log {}", path.display());
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .with_context(make)?;
        let mut log = Self { file, path, began };
        log.say(&format!("attempt {number} with {straw}"))?;
        Ok(log)
    }

    /// Where it is while it is written.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file, for the build command's output.
    pub(crate) fn output(&self) -> anyhow::Result<File> {
        Ok(self.file.try_clone()?)
    }

    /// Writes a line of ours.
    pub(crate) fn say(&mut self, what: &str) -> anyhow::Result<()> {
        let line = format!("==> {} {}\n", utc(Now::read().unix), common::cli::one_line(what));
        let written = self.file.write_all(line.as_bytes());
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Writes the last line and compresses the log.
    pub(crate) fn end(mut self, outcome: Outcome, record: Option<&Record>) -> anyhow::Result<()> {
        let seconds = Now::read().unix.saturating_sub(self.began);
        let mut line = format!("{}: {outcome}, after {seconds} s", outcome.id());
        for time in record.iter().flat_map(|record| &record.phases) {
            line.push_str(&format!(", {} {} ms", time.phase, time.milliseconds));
        }
        if let Some(bytes) = record.and_then(|record| record.peak_memory) {
            line.push_str(&format!(", {} MiB of memory", bytes >> 20));
        }
        self.say(&line)?;
        compress(&self.path).with_context(|| format!("cannot compress {}", self.path.display()))
    }
}

/// Replaces a log by its compressed self.
fn compress(path: &Path) -> io::Result<()> {
    let mut target = path.to_owned().into_os_string();
    target.push(".gz");
    let mut encoder = GzEncoder::new(File::create(&target)?, Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    std::fs::remove_file(path)
}

/// The compressed logs in a directory, oldest first.
pub(crate) fn compressed(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = || format!("cannot read {}", directory.display());
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(read)? {
        let path = entry.with_context(read)?.path();
        if path.to_string_lossy().ends_with(".build-log.gz") {
            logs.push(path);
        }
    }
    logs.sort();
    Ok(logs)
}

/// Follows a log that somebody else writes.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    path: PathBuf,
    at: u64,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// The phase that was announced last.
    pub(crate) phase: Option<Phase>,
    /// The last line that is not empty, without control characters.
    pub(crate) last_line: String,
}

impl Follower {
    /// Follows the log at a path from its beginning.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            ..Self::default()
        }
    }

    /// Looks at what is new. A log that is gone or cannot be read has nothing new.
    pub(crate) fn look(&mut self) {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            self.size = file.metadata()?.len();
            // Of a flood only the end counts; a phase that it hides is announced in the compressed log all the same.
            self.at = self.at.max(self.size.saturating_sub(LOOK_LIMIT));
            file.seek(SeekFrom::Start(self.at))?;
            file.take(LOOK_LIMIT).read_to_end(&mut bytes)
        });
        if read.is_err() {
            return;
        }
        // A line is looked at when it is whole.
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in String::from_utf8_lossy(&bytes[..end]).lines() {
            self.phase = Phase::announced_by(line).or(self.phase);
            if !line.trim().is_empty() {
                self.last_line = common::cli::one_line(line);
            }
        }
        self.at += end as u64;
    }
}

fn utc(unix: u64) -> String {
    format_utc(unix, "%Y-%m-%dT%H:%M:%S")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_says_what_was_tried_and_how_it_ended_and_is_compressed_then() {
        let directory = tempfile::tempdir().unwrap();
        let begin = |number| AttemptLog::begin(directory.path(), number, &":clean_chroot:".parse().unwrap()).unwrap();
        let (mut first, second) = (begin(1), begin(2));
        first.say("two\nlines").unwrap();
        writeln!(first.output().unwrap(), "==> Starting check()...\n    make check\n  ").unwrap();
        let mut follower = Follower::new(first.path());
        follower.look();
        assert_eq!(follower.phase, Some(Phase::Check));
        assert_eq!(follower.last_line, "    make check");
        let text = std::fs::read_to_string(first.path()).unwrap();
        assert_eq!(follower.size, text.len() as u64);
        assert!(text.contains("attempt 1 with :clean_chroot:\n") && text.contains("two lines\n"));
        first.end(Outcome::Failed(Some(Phase::Check)), None).unwrap();
        second.end(Outcome::Sources, None).unwrap();
        let logs = compressed(directory.path()).unwrap();
        assert_eq!(logs.len(), 2);
        let mut text = String::new();
        let mut reader = flate2::read::GzDecoder::new(File::open(&logs[0]).unwrap());
        reader.read_to_string(&mut text).unwrap();
        assert!(text.contains("failed-check: "), "{text}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_log_is_followed_line_by_line() {
        let directory = tempfile::tempdir().unwrap();
        let log = AttemptLog::begin(directory.path(), 1, &":".parse().unwrap()).unwrap();
        let mut follower = Follower::new(log.path());
        let mut write = |text: &str| {
            log.output().unwrap().write_all(text.as_bytes()).unwrap();
            follower.look();
            (follower.phase, follower.last_line.clone())
        };
        assert_eq!(write("==> Starting bui").0, None);
        assert_eq!(write("ld()...\ncc \u{1b}[1mx").0, Some(Phase::Build));
        assert_eq!(write("\n").1, "cc  [1mx");
    }
}
