//! Sources from elsewhere, for packages whose upstream has gone: by checksum, or as a whole archive.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use common::interrupt::Interrupt;
use common::names::FileName;
use common::process::Command;

/// Longest download.
const LIMIT: Duration = Duration::from_secs(3600);
/// Largest download in bytes.
const MAX_BYTES: &str = "4294967296";

/// A source file that a checksum identifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The name under which makepkg looks for it in the directory of the PKGBUILD.
    pub(crate) file: FileName,
    /// sha256 or sha512, hexadecimal.
    pub(crate) checksum: String,
}

/// The sources of a `.SRCINFO` that have a checksum. Files that are part of the packaging are among them; they are
/// there already.
pub(crate) fn with_checksums(srcinfo: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let values = |key: &str| -> Vec<&str> {
        srcinfo
            .lines()
            .filter_map(|line| line.trim().split_once(" = "))
            .filter(|(name, _)| *name == key)
            .map(|(_, value)| value)
            .collect()
    };
    let mut suffixes: Vec<&str> = srcinfo
        .lines()
        .filter_map(|line| line.trim().split_once(" = ")?.0.strip_prefix("source"))
        .collect();
    suffixes.sort_unstable();
    suffixes.dedup();
    for suffix in suffixes {
        let files = values(&format!("source{suffix}"));
        for kind in ["sha256sums", "sha512sums"] {
            let sums = values(&format!("{kind}{suffix}"));
            for (file, sum) in files.iter().zip(sums) {
                let name = local_name(file).parse();
                let is_sum = matches!(sum.len(), 64 | 128) && sum.bytes().all(|c| c.is_ascii_hexdigit());
                if let (Ok(file), true) = (name, is_sum) {
                    found.push(Source {
                        file,
                        checksum: sum.to_ascii_lowercase(),
                    });
                }
            }
        }
    }
    found
}

/// makepkg's get_filename: what stands before `::`, else the last part of the address.
fn local_name(source: &str) -> &str {
    match source.split_once("::") {
        Some((name, _)) => name,
        None => source.rsplit('/').next().unwrap_or(source),
    }
}

/// Fetches what is missing in the directory from a mirror that keeps files under their checksums; returns how many
/// came. makepkg checks them as it checks every source.
pub(crate) fn fetch_by_hash(
    directory: &Path,
    sources: &[Source],
    mirror: &str,
    interrupt: &Interrupt,
) -> anyhow::Result<usize> {
    let mut fetched = 0;
    for source in sources {
        let target = directory.join(&source.file);
        if target.symlink_metadata().is_ok() {
            continue;
        }
        let address = format!("{}/{}", mirror.trim_end_matches('/'), source.checksum);
        if download(&address, &target, interrupt).is_ok() {
            fetched += 1;
        }
    }
    Ok(fetched)
}

/// Fetches a source archive and unpacks it over the directory; the PKGBUILD that is there stays.
pub(crate) fn fetch_archive(directory: &Path, address: &str, interrupt: &Interrupt) -> anyhow::Result<()> {
    let archive = tempfile::NamedTempFile::new_in(directory).context("cannot make a temporary file")?;
    download(address, archive.path(), interrupt)?;
    Command::new("bsdtar")
        .args([
            "-x",
            "--strip-components",
            "1",
            "--no-same-owner",
            "--exclude",
            "*/PKGBUILD",
            "-f",
        ])
        .arg(archive.path())
        .arg("-C")
        .arg(directory)
        .timeout(LIMIT)
        .interrupt(interrupt)
        .run()
        .context("cannot unpack the source archive")?;
    Ok(())
}

fn download(address: &str, target: &Path, interrupt: &Interrupt) -> anyhow::Result<()> {
    if !["https://", "http://", "file://"]
        .iter()
        .any(|scheme| address.starts_with(scheme))
    {
        bail!("{address} is no https, http or file address");
    }
    let fetched = Command::new("curl")
        .args([
            "--fail",
            "--silent",
            "--show-error",
            "--location",
            "--proto-redir",
            "=https,http",
        ])
        .args(["--max-filesize", MAX_BYTES, "--output"])
        .arg(target)
        .arg(address)
        .timeout(LIMIT)
        .interrupt(interrupt)
        .run();
    if fetched.is_err() {
        // A part of a file would be taken for the file.
        std::fs::remove_file(target).ok();
    }
    fetched.with_context(|| format!("cannot fetch {address}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_paired_with_their_checksums() {
        let sum = "a".repeat(64);
        let text = format!(
            "pkgbase = x\n\tsource = https://h.example/d/x-1.tar.gz\n\tsource = fix.patch\n\tsource = y::git+https://z\n\
             \tsha256sums = {sum}\n\tsha256sums = {sum}\n\tsha256sums = SKIP\n\
             \tsource_x86_64 = n.bin::https://h.example/q?a=/b\n\tsha256sums_x86_64 = {sum}\n"
        );
        let names: Vec<String> = with_checksums(&text).into_iter().map(|s| s.file.to_string()).collect();
        assert_eq!(names, ["x-1.tar.gz", "fix.patch", "n.bin"]);
    }

    #[test]
    fn sources_come_from_the_mirror_by_their_checksum() {
        let mirror = tempfile::tempdir().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let source = |file: &str, sum: &str| Source {
            file: file.parse().unwrap(),
            checksum: sum.repeat(64),
        };
        common::atomic::write(&mirror.path().join("b".repeat(64)), b"content").unwrap();
        let sources = [source("there", "b"), source("gone", "c")];
        let address = format!("file://{}", mirror.path().display());
        let fetched = fetch_by_hash(directory.path(), &sources, &address, &Interrupt::new()).unwrap();
        assert_eq!(fetched, 1);
        assert!(directory.path().join("there").exists() && !directory.path().join("gone").exists());
    }
}
