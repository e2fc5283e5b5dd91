//! A mirror with a real web server, a running proxy, and a client that takes what comes.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use common::process::{Child, Command, Output, Signal};
use tempfile::TempDir;
use testkit::need;
use testkit::package::PackageSpec;
use testkit::tool::{must, program};
use testkit::web::Web;

/// The package of the mirror, some hundred kilobytes.
pub(crate) const PACKAGE: &str = "large-1-1-x86_64.pkg.tar.zst";

/// A mirror of one repository.
pub(crate) struct Mirror {
    directory: TempDir,
    web: Web,
}

impl Mirror {
    /// `None` is a skip.
    pub(crate) fn start() -> Option<Self> {
        if !need::programs(&["repo-add"]) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let web = Web::serve(directory.path())?;
        let mirror = Self { directory, web };
        fs::create_dir_all(mirror.public()).unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(700_000).collect();
        mirror.publish(&PackageSpec::new("large", "1-1").file("usr/share/noise", noise));
        assert!(mirror.public().join(PACKAGE).exists());
        Some(mirror)
    }

    fn public(&self) -> PathBuf {
        self.directory.path().join("core/os/x86_64")
    }

    fn publish(&self, package: &PackageSpec) {
        let path = package.write(&self.public()).unwrap();
        must(Command::new("repo-add").args([
            "-q".as_ref(),
            self.public().join("core.db.tar.gz").as_os_str(),
            path.as_os_str(),
        ]));
    }

    /// Publishes a small package of this file name (`NAME-1-1-x86_64.pkg.tar.zst`).
    pub(crate) fn add(&self, file: &str) {
        let name = file.split('-').next().unwrap();
        self.publish(&PackageSpec::new(name, "1-1"));
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        common::atomic::write(&self.public().join(file), text.as_bytes()).unwrap();
    }

    pub(crate) fn content(&self, file: &str) -> Vec<u8> {
        fs::read(self.public().join(file)).unwrap()
    }

    pub(crate) fn url(&self) -> String {
        self.web.url()
    }

    pub(crate) fn template(&self) -> String {
        format!("{}/$repo/os/$arch", self.url())
    }

    pub(crate) fn log(&self) -> String {
        self.web.log()
    }
}

/// A running proxy with a cache of its own.
pub(crate) struct Front {
    directory: TempDir,
    address: String,
    process: Option<Child>,
}

impl Front {
    /// A proxy that asks the servers at these addresses.
    pub(crate) fn start(mirrors: &[&str], conf: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("cache");
        let text = format!("proxy_cache_dir='{}'\n{conf}", cache.display());
        common::atomic::write(&directory.path().join("conf"), text.as_bytes()).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = Command::new(program("arch-vm"))
            .args(["--config".as_ref(), directory.path().join("conf").as_os_str()])
            .args(["proxy", "--listen", "127.0.0.1:0"])
            .output(Output::Stdout(fs::File::from(std::os::fd::OwnedFd::from(writer))));
        for mirror in mirrors {
            command = command.args(["--mirror", &format!("{mirror}/$repo/os/$arch")]);
        }
        let process = command.spawn().unwrap();
        let mut address = String::new();
        BufReader::new(reader).read_line(&mut address).unwrap();
        assert!(address.starts_with("http://127.0.0.1:"), "{address:?}");
        Self {
            address: address.trim_end().to_owned(),
            directory,
            process: Some(process),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn conf(&self) -> PathBuf {
        self.directory.path().join("conf")
    }

    pub(crate) fn url(&self, file: &str) -> String {
        format!("{}/core/os/x86_64/{file}", self.address)
    }

    /// Where a file is, when it is kept.
    pub(crate) fn kept(&self, file: &str) -> PathBuf {
        self.cache().join("core/os/x86_64").join(file)
    }

    fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    /// How many files are on their way.
    pub(crate) fn unfinished(&self) -> usize {
        let count = |directory: &Path| {
            let entries = fs::read_dir(directory).unwrap();
            let is_ours = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(".portsmith-");
            entries
                .filter(|entry| is_ours(&entry.as_ref().unwrap().file_name()))
                .count()
        };
        count(&self.cache().join("core/os/x86_64"))
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal(Signal::SIGTERM);
            drop(process.wait());
        }
    }
}

/// An answer, whole or cut.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Asks for an address and reads until the server hangs up.
pub(crate) fn get(url: &str, headers: &[&str]) -> Answer {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let more: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n"
    )
    .unwrap();
    let mut bytes = Vec::new();
    // A connection that is cut brings what has come.
    drop(stream.read_to_end(&mut bytes));
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        // Cut off before the first byte.
        return Answer {
            status: 0,
            body: Vec::new(),
        };
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        body: bytes.split_off(end + 4),
    }
}
