//! Keeping logs where [`common::logs`] says, never overwritten.

use std::path::Path;

use common::atomic::{self, Batch, FileError};
use common::names::FileName;

/// Copies logs into the directory, where they last when the batch is synced. One with the name of another log gets a
/// number; the same log again is not kept twice.
pub(crate) fn keep<'a>(
    directory: &Path,
    logs: impl IntoIterator<Item = (&'a FileName, &'a Path)>,
) -> Result<Batch, FileError> {
    let mut batch = Batch::default();
    for (name, path) in logs {
        atomic::create_directory(directory)?;
        let content = atomic::read(path)?.unwrap_or_default();
        let mut target = directory.join(name);
        let mut number = 2;
        loop {
            match atomic::read(&target)? {
                None => break batch.write_first(&target, &content)?,
                Some(kept) if kept == content => break,
                Some(_) => {
                    let stem = name.as_str().trim_end_matches(".gz").trim_end_matches(".build-log");
                    let ending = &name.as_str()[stem.len()..];
                    target = directory.join(format!("{stem}-{number}{ending}"));
                    number += 1;
                }
            }
        }
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_never_replaces_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let name: FileName = "2018-01-29T12:00:00.build-log.gz".parse().unwrap();
        let source = directory.path().join("source");
        let kept = directory.path().join("kept");
        for content in ["one", "two", "two", "one", "three"] {
            atomic::write(&source, content.as_bytes()).unwrap();
            keep(&kept, [(&name, source.as_path())]).unwrap().sync().unwrap();
        }
        let mut names: Vec<_> = std::fs::read_dir(&kept)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "2018-01-29T12:00:00-2.build-log.gz",
                "2018-01-29T12:00:00-3.build-log.gz",
                "2018-01-29T12:00:00.build-log.gz"
            ]
        );
    }
}
