//! Somebody who uses the repositories: real pacman with a root of its own, over HTTP, that insists on signatures.

use std::path::{Path, PathBuf};

use crate::gpg::GpgHome;
use crate::tool::{Ended, Tool};
use crate::web::Web;

/// A root that pacman keeps up to date.
pub struct Reader {
    root: PathBuf,
    conf: PathBuf,
    options: String,
    url: String,
}

impl Reader {
    /// A reader with its files below `directory`, of what `web` serves and `key` signs. It follows no repository yet.
    ///
    /// # Panics
    /// A directory cannot be made.
    #[must_use]
    pub fn new(directory: &Path, web: &Web, key: &GpgHome) -> Self {
        let root = directory.join("root");
        for place in ["db", "cache"] {
            std::fs::create_dir_all(root.join(place)).expect("a directory of the reader");
        }
        let keys = key.path().display();
        Self {
            root,
            conf: directory.join("pacman.conf"),
            options: format!(
                "[options]\nArchitecture = x86_64\nSigLevel = Required DatabaseRequired\nGPGDir = {keys}\n"
            ),
            url: web.url(),
        }
    }

    /// Lets it use these repositories from now on, the first one before the others.
    ///
    /// # Panics
    /// Its configuration cannot be written.
    pub fn follow(&self, repositories: &[&str]) {
        let section = |name: &&str| format!("[{name}]\nServer = {}/$repo/os/$arch\n", self.url);
        let sections: String = repositories.iter().map(section).collect();
        let text = format!("{}{sections}", self.options);
        common::atomic::write(&self.conf, text.as_bytes()).expect("the reader's configuration");
    }

    /// Runs pacman on the root.
    #[must_use]
    pub fn pacman(&self, arguments: &[&str]) -> Ended {
        let places = [
            ("--config", self.conf.clone()),
            ("--root", self.root.clone()),
            ("--dbpath", self.root.join("db")),
            ("--cachedir", self.root.join("cache")),
            ("--logfile", self.root.join("pacman.log")),
        ];
        let places = places.iter().flat_map(|(word, path)| [word.as_ref(), path.as_os_str()]);
        Tool::at(Path::new("fakeroot"))
            .args(["pacman", "--noconfirm"])
            .args(places)
            .args(arguments)
            .run()
    }

    /// The database of a repository as it was fetched last.
    #[must_use]
    pub fn database(&self, repository: &str) -> PathBuf {
        self.root.join(format!("db/sync/{repository}.db"))
    }

    /// What is installed, `name version` a line.
    ///
    /// # Panics
    /// pacman cannot say.
    #[must_use]
    pub fn installed(&self) -> String {
        self.pacman(&["-Q"]).expect(0).stdout
    }
}
