//! One repository's directory: its fixed links, its generations, and the one rename that flips them.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::RepositoryError;
use super::database::{self, Content};
use super::signing::Signing;
use crate::atomic::{self, Batch, FileError, TEMPORARY_PREFIX};
use crate::names::{FileName, Repository};

/// Which of the two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `REPO.files`.
    Files,
    /// `REPO.db`.
    Db,
}

impl Kind {
    /// In the order in which they are written: the longer one first.
    pub(super) const ALL: [Self; 2] = [Self::Files, Self::Db];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Db => "db",
            Self::Files => "files",
        }
    }
}

/// A generation that is being made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Making {
    pub(super) number: u64,
    /// Unix time.
    pub(super) now: u64,
}

/// One repository on disk.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub(super) repository: Repository,
    pub(super) path: PathBuf,
}

impl Directory {
    pub(super) fn new(repository: Repository, path: PathBuf) -> Self {
        Self { repository, path }
    }

    /// `REPO.db.tar.gz` or `REPO.files.tar.gz`.
    pub(super) fn database_name(&self, kind: Kind) -> String {
        format!("{}.{}.tar.gz", self.repository, kind.as_str())
    }

    /// `REPO.db.segments` or `REPO.files.segments`, see [`super::segments`].
    pub(super) fn index_name(&self, kind: Kind) -> String {
        format!("{}.{}.segments", self.repository, kind.as_str())
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        self.path.join(format!("{}.lck", self.database_name(Kind::Db)))
    }

    pub(super) fn generation(&self, number: u64) -> PathBuf {
        self.generations_path().join(number.to_string())
    }

    fn generations_path(&self) -> PathBuf {
        self.path.join(".generations")
    }

    fn current_link(&self) -> PathBuf {
        self.path.join(".current")
    }

    /// The number of the current generation.
    pub(super) fn current(&self) -> Result<Option<u64>, FileError> {
        match fs::read_link(self.current_link()) {
            Ok(target) => Ok(target
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.parse().ok())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::at("read", self.current_link())(error)),
        }
    }

    /// The numbers of all generations, sorted.
    pub(super) fn generations(&self) -> Result<Vec<u64>, FileError> {
        let path = self.generations_path();
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(FileError::at("read", path)(error)),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry.map_err(FileError::at("read", &path))?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Whether repo-add or repo-remove put a file where the fixed link of a database was.
    pub(super) fn is_foreign(&self) -> bool {
        Kind::ALL.iter().any(|kind| self.has_plain_file(*kind))
    }

    fn has_plain_file(&self, kind: Kind) -> bool {
        fs::symlink_metadata(self.path.join(self.database_name(kind))).is_ok_and(|metadata| metadata.is_file())
    }

    /// The database in force: repo-add's file where there is one, else that of the current generation.
    pub(super) fn database(&self, kind: Kind) -> Result<Option<PathBuf>, FileError> {
        let name = self.database_name(kind);
        if self.has_plain_file(kind) {
            return Ok(Some(self.path.join(name)));
        }
        Ok(self.current()?.map(|number| self.generation(number).join(name)))
    }

    /// Everything that the databases in force say.
    pub(super) fn content(&self) -> Result<Content, RepositoryError> {
        let files = match self.database(Kind::Files)? {
            Some(path) if path.exists() => database::read(&path)?,
            _ => Content::new(),
        };
        if !self.is_foreign() {
            return Ok(files);
        }
        let mut content = match self.database(Kind::Db)? {
            Some(path) if path.exists() => database::read(&path)?,
            _ => Content::new(),
        };
        let mut lists: BTreeMap<String, Option<String>> = files
            .into_values()
            .map(|record| (record.directory, record.files))
            .collect();
        for record in content.values_mut() {
            record.files = lists.remove(&record.directory).flatten();
        }
        Ok(content)
    }

    /// Makes the directories.
    pub(super) fn prepare(&self) -> Result<(), FileError> {
        atomic::create_directory(&self.path)?;
        atomic::create_directory(&self.generations_path())
    }

    /// Writes a complete generation that nobody sees yet; it lasts when the batch is synced. `write` fills a database and
    /// returns its index. While one database is written the last one goes to the disk already, the longer one first.
    pub(super) fn write_generation(
        &self,
        making: Making,
        batch: &mut Batch,
        write: &mut dyn FnMut(Kind, &File) -> io::Result<String>,
    ) -> Result<(), RepositoryError> {
        let generation = self.generation(making.number);
        DirBuilder::new()
            .mode(0o755)
            .create(&generation)
            .map_err(FileError::at("make directory", &generation))?;
        batch.directory(&self.generations_path());
        batch.directory(&generation);
        let time = self.next_time(making.now)?;
        std::thread::scope(|scope| {
            let mut syncing = Vec::new();
            for kind in Kind::ALL {
                let path = generation.join(self.database_name(kind));
                let file = File::create_new(&path).map_err(FileError::at("make", &path))?;
                let index = write(kind, &file).map_err(FileError::at("write", &path))?;
                seal(&file, time).map_err(FileError::at("write", &path))?;
                syncing.push(scope.spawn(move || file.sync_all().map_err(FileError::at("sync", path))));
                // Not synced: an index that is torn does not fit its database and counts as missing.
                let path = generation.join(self.index_name(kind));
                let written = File::create_new(&path).and_then(|mut file| file.write_all(index.as_bytes()));
                written.map_err(FileError::at("write", &path))?;
            }
            for thread in syncing {
                let synced = thread.join();
                synced.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok(())
        })
    }

    /// Signs the databases of a generation, both at one time.
    pub(super) fn sign_generation(
        &self,
        number: u64,
        signing: &Signing,
        batch: &mut Batch,
    ) -> Result<(), RepositoryError> {
        let databases = Kind::ALL.map(|kind| self.generation(number).join(self.database_name(kind)));
        let signatures = std::thread::scope(|scope| {
            let threads = databases.each_ref().map(|path| scope.spawn(|| signing.sign(path)));
            threads.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        for (database, signature) in databases.iter().zip(signatures) {
            let signature = signature?;
            let time = database.metadata().and_then(|metadata| metadata.modified());
            let sealed = time.and_then(|time| seal(&File::open(&signature)?, time));
            sealed.map_err(FileError::at("write", &signature))?;
            batch.file(&signature);
        }
        Ok(())
    }

    /// A modification time later than that of the database in force, in whole seconds.
    fn next_time(&self, now: u64) -> Result<SystemTime, FileError> {
        let mut latest = 0;
        for kind in Kind::ALL {
            if let Some(path) = self.database(kind)? {
                let time = path.metadata().and_then(|metadata| metadata.modified()).ok();
                let seconds = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
                latest = latest.max(seconds.map_or(0, |seconds| seconds.as_secs()));
            }
        }
        Ok(UNIX_EPOCH + Duration::from_secs(now.max(latest + 1)))
    }

    /// Makes a generation the current one.
    pub(super) fn flip(&self, number: u64) -> Result<(), FileError> {
        replace_link(&self.current_link(), Path::new(&format!(".generations/{number}")))?;
        self.restore_links()
    }

    /// The fixed links of a database with what they lead to; nothing: the databases are not signed.
    fn fixed_links(&self, kind: Kind) -> [(PathBuf, Option<PathBuf>); 4] {
        let name = self.database_name(kind);
        let short = name.trim_end_matches(".tar.gz");
        let current = Path::new(".current").join(&name);
        let signature = Path::new(".current").join(format!("{name}.sig"));
        let signature = Some(signature).filter(|signature| self.path.join(signature).exists());
        [
            (self.path.join(&name), Some(current.clone())),
            (self.path.join(format!("{name}.sig")), signature.clone()),
            (self.path.join(short), Some(current)),
            (self.path.join(format!("{short}.sig")), signature),
        ]
    }

    /// Whether the fixed links are where they belong.
    pub(super) fn has_right_links(&self) -> bool {
        let mut links = Kind::ALL.into_iter().flat_map(|kind| self.fixed_links(kind));
        links.all(|(link, target)| fs::read_link(link).ok() == target)
    }

    /// Puts the fixed links where they belong, and takes away what repo-add left.
    pub(super) fn restore_links(&self) -> Result<(), FileError> {
        for kind in Kind::ALL {
            for (link, target) in self.fixed_links(kind) {
                match target {
                    Some(target) => replace_link(&link, &target)?,
                    None => atomic::remove(&link)?,
                }
            }
            let name = self.database_name(kind);
            for left in [format!("{name}.old"), format!("{name}.old.sig")] {
                atomic::remove(&self.path.join(left))?;
            }
        }
        Ok(())
    }

    /// Removes a generation.
    pub(super) fn remove_generation(&self, number: u64) -> Result<(), FileError> {
        let path = self.generation(number);
        let gone = self.generations_path().join(format!("{TEMPORARY_PREFIX}gone-{number}"));
        fs::rename(&path, &gone).map_err(FileError::at("rename", &path))?;
        fs::remove_dir_all(&gone).map_err(FileError::at("remove", &gone))
    }

    /// Removes generations that are half removed.
    pub(super) fn sweep_generations(&self) {
        atomic::sweep(&self.generations_path(), Duration::ZERO);
    }

    /// The names of the package files and signatures in the directory.
    pub(super) fn files(&self) -> Result<Vec<FileName>, FileError> {
        let read = |source| FileError::at("read", &self.path)(source);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(read)? {
            let name = entry.map_err(read)?.file_name();
            names.extend(
                name.to_str()
                    .filter(|name| !name.starts_with('.') && name.contains(".pkg.tar"))
                    .and_then(|name| name.parse().ok()),
            );
        }
        Ok(names)
    }
}

/// Sets mode and time of a finished file.
fn seal(file: &File, time: SystemTime) -> io::Result<()> {
    file.set_permissions(fs::Permissions::from_mode(0o444))?;
    file.set_modified(time)
}

/// Makes `link` a symbolic link to `target`, whatever it was, by one rename.
fn replace_link(link: &Path, target: &Path) -> Result<(), FileError> {
    if fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let name = link.file_name().unwrap_or_default().to_string_lossy();
    let temporary = link.with_file_name(format!("{TEMPORARY_PREFIX}{}", name.trim_start_matches('.')));
    atomic::remove(&temporary)?;
    symlink(target, &temporary).map_err(FileError::at("make the link", &temporary))?;
    atomic::rename(&temporary, link)
}
