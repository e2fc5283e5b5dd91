//! The layout of a base image's disk: `MOUNT-POINT:SIZE[:FILE-SYSTEM]` words, one a partition, in their order.
//!
//! `swap:8G /boot:64M:ext2 /:8G /home:16G` is what buildstuff had. There is one root, sizes are whole MiB, and the file
//! systems are those that can be made from a directory without mounting anything: ext2, ext3, ext4.

use std::collections::BTreeSet;
use std::str::FromStr;

use thiserror::Error;

/// A partition begins at a multiple of this many bytes.
const MIB: u64 = 1 << 20;
/// Room for the partition table at either end, in MiB.
const TABLE: u64 = 1;
/// The disk's name in the guest.
const DISK: &str = "/dev/vda";

/// A layout that makes no sense.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum LayoutError {
    /// A word is none of a partition.
    #[error("{0:?} is not MOUNT-POINT:SIZE[:FILE-SYSTEM] (swap:8G, /:16G, /boot:64M:ext2)")]
    Word(String),
    /// Two of one mount point.
    #[error("{0} is there twice")]
    Twice(String),
    /// No root.
    #[error("there is no partition for /")]
    NoRoot,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Partition {
    mount: String,
    mib: u64,
    kind: String,
}

/// The partitions of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiskLayout(Vec<Partition>);

impl DiskLayout {
    /// Bytes of the whole disk.
    pub(crate) fn size(&self) -> u64 {
        (self.0.iter().map(|partition| partition.mib).sum::<u64>() + 2 * TABLE) * MIB
    }

    /// `MOUNT-POINT:START:SIZE:FILE-SYSTEM` for each, in bytes, as `guest/make-disk` takes them.
    pub(crate) fn partitions(&self) -> Vec<String> {
        let mut start = TABLE;
        let place = |partition: &Partition| {
            let text = format!(
                "{}:{}:{}:{}",
                partition.mount,
                start * MIB,
                partition.mib * MIB,
                partition.kind
            );
            start += partition.mib;
            text
        };
        self.0.iter().map(place).collect()
    }

    /// The guest's name of the partition with the root file system.
    pub(crate) fn root(&self) -> String {
        let number = self.0.iter().position(|partition| partition.mount == "/").unwrap_or(0) + 1;
        format!("{DISK}{number}")
    }

    /// fstab(5).
    pub(crate) fn fstab(&self) -> String {
        let mut text = String::new();
        for (index, partition) in self.0.iter().enumerate() {
            let device = format!("{DISK}{}", index + 1);
            let line = match partition.kind.as_str() {
                "swap" => format!("{device} none swap defaults 0 0\n"),
                kind => format!("{device} {} {kind} defaults,noatime 0 0\n", partition.mount),
            };
            text.push_str(&line);
        }
        text
    }
}

impl FromStr for DiskLayout {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        let partitions = text
            .split_ascii_whitespace()
            .map(|word| partition(word).ok_or_else(|| LayoutError::Word(word.to_owned())))
            .collect::<Result<Vec<_>, _>>()?;
        let mut seen = BTreeSet::new();
        for partition in &partitions {
            if !seen.insert(partition.mount.as_str()) {
                return Err(LayoutError::Twice(partition.mount.clone()));
            }
        }
        if !seen.contains("/") {
            return Err(LayoutError::NoRoot);
        }
        Ok(Self(partitions))
    }
}

fn partition(word: &str) -> Option<Partition> {
    let mut parts = word.split(':');
    let mount = parts.next()?;
    let size = parts.next()?;
    let kind = parts.next().unwrap_or(if mount == "swap" { "swap" } else { "ext4" });
    let is_place = mount.starts_with('/')
        && !mount.contains("//")
        && !mount.split('/').any(|part| matches!(part, "." | ".."))
        && (mount == "/" || !mount.ends_with('/'))
        && mount.bytes().all(|c| c.is_ascii_alphanumeric() || b"/._-".contains(&c));
    let is_kind = match mount {
        "swap" => kind == "swap",
        _ => is_place && matches!(kind, "ext2" | "ext3" | "ext4"),
    };
    let (number, unit) = size.split_at_checked(size.len().checked_sub(1)?)?;
    let factor = match unit {
        "M" => 1,
        "G" => 1024,
        "T" => 1024 * 1024,
        _ => return None,
    };
    let mib = number.parse::<u64>().ok()?.checked_mul(factor)?;
    (is_kind && parts.next().is_none() && (8..=64 << 20).contains(&mib)).then(|| Partition {
        mount: mount.to_owned(),
        mib,
        kind: kind.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_of_buildstuff_is_read() {
        let layout: DiskLayout = "swap:8G /boot:64M:ext2 /:8G /home:16G".parse().unwrap();
        assert_eq!(layout.root(), "/dev/vda3");
        assert_eq!(layout.size(), (8192 + 64 + 8192 + 16384 + 2) << 20);
        assert_eq!(
            layout.partitions()[..2],
            ["swap:1048576:8589934592:swap", "/boot:8590983168:67108864:ext2"]
        );
        assert_eq!(
            layout.fstab().lines().nth(1).unwrap(),
            "/dev/vda2 /boot ext2 defaults,noatime 0 0"
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "/:8",
            "/:0G",
            "/x:8G:jfs /:8G",
            "/../x:8G",
            "/:8G:ext4:x",
            "x:8G",
            "/a b:1G",
            "swap:1G:ext4",
        ] {
            assert!(
                matches!(text.parse::<DiskLayout>(), Err(LayoutError::Word(_))),
                "{text}"
            );
        }
        assert_eq!("swap:1G".parse::<DiskLayout>(), Err(LayoutError::NoRoot));
        assert_eq!(
            "/:1G /:2G".parse::<DiskLayout>(),
            Err(LayoutError::Twice("/".to_owned()))
        );
    }
}
