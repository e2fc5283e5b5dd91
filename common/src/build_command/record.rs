//! What `--json` prints: one line of JSON, on standard output, at the end of the build.

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use super::phase::Phase;
use crate::names::{Arch, FileName, PkgBase};

/// One build in numbers. Readers pass over fields that they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// How it ended.
    pub outcome: Outcome,
    /// What was built, as far as the PKGBUILD could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pkgbase: Option<PkgBase>,
    /// The target.
    pub arch: Arch,
    /// The package files, by name; none unless it was built.
    #[serde(default)]
    pub packages: Vec<FileName>,
    /// Unix time of the beginning.
    pub started: u64,
    /// From the beginning to the end, in milliseconds.
    pub milliseconds: u64,
    /// How long each phase took, in their order.
    #[serde(default)]
    pub phases: Vec<PhaseTime>,
    /// Most memory that all processes of the build had at one time, in bytes, as far as it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    /// Processor time of all its processes, in milliseconds, as far as it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_milliseconds: Option<u64>,
    /// Who held the build to its limits of memory and processes, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Enforcement>,
    /// What went wrong, one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The name of the working copy or machine that was kept, for `shell`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// Who holds a build to its limits of memory and processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// The kernel, in a control group of the build's own (cgroup v2).
    Cgroup,
    /// The build command, which looks every second.
    Sampled,
}

impl Enforcement {
    /// Its stable name, as in the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Sampled => "sampled",
        }
    }
}

/// A phase that was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseTime {
    /// Which.
    pub phase: Phase,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
}

impl Record {
    /// Reads what a build command wrote to standard output: none when that is no record, as of a foreign command.
    #[must_use]
    pub fn read(output: &[u8]) -> Option<Self> {
        serde_json::from_slice(output).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_may_have_more_fields() {
        let record = Record {
            outcome: Outcome::Failed(Some(Phase::Check)),
            pkgbase: Some("zlib".parse().unwrap()),
            arch: "aarch64".parse().unwrap(),
            packages: Vec::new(),
            started: 1_700_000_000,
            milliseconds: 2_500,
            phases: vec![PhaseTime {
                phase: Phase::Build,
                milliseconds: 2_000,
            }],
            peak_memory: Some(1 << 20),
            cpu_milliseconds: None,
            limits: Some(Enforcement::Cgroup),
            message: Some("makepkg: exit code 4".to_owned()),
            kept: None,
        };
        let mut line = serde_json::to_string(&record).unwrap();
        assert!(line.contains(r#""outcome":"failed-check""#), "{line}");
        assert!(line.contains(r#""limits":"cgroup""#), "{line}");
        assert_eq!(Record::read(line.as_bytes()), Some(record));
        line.insert_str(1, r#""later":1,"#);
        assert!(Record::read(format!("{line}\n").as_bytes()).is_some());
        assert_eq!(Record::read(b"zlib-1-1-any.pkg.tar.zst\n"), None);
    }
}
