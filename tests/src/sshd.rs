//! A real sshd on loopback, for one test.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::process::{Child, Command, Output};
use tempfile::TempDir;

use crate::tool::must;

/// A running sshd; it ends with this value.
pub struct Sshd {
    directory: TempDir,
    port: u16,
    user: String,
    _server: Child,
}

/// A builder's key, and what it may run.
pub struct Login<'a> {
    /// Name of the key's file.
    pub name: &'a str,
    /// The forced command.
    pub command: String,
}

impl Sshd {
    /// Starts a server that lets these keys in.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start(logins: &[Login<'_>]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("ps")
            .tempdir()
            .expect("a temporary directory");
        let at = |name: &str| directory.path().join(name);
        make_key(&at("host"));
        let mut authorized = String::new();
        for login in logins {
            make_key(&at(login.name));
            let public = read(&at(&format!("{}.pub", login.name)));
            let command = login.command.replace('"', "\\\"");
            authorized.push_str(&format!("restrict,command=\"{command}\" {public}"));
        }
        write(&at("authorized_keys"), &authorized);
        let port = free_port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n\
             PermitRootLogin yes\nLogLevel ERROR\n",
            at("host").display(),
            at("authorized_keys").display()
        );
        write(&at("sshd_config"), &config);
        let host = read(&at("host.pub"));
        write(&at("known_hosts"), &format!("[127.0.0.1]:{port} {host}"));
        let user = must(Command::new("id").arg("-un"));
        if user == "root" {
            std::fs::create_dir_all("/run/sshd").expect("root's sshd needs /run/sshd");
        }
        let log = std::fs::File::create(at("sshd.log")).expect("the log");
        // sshd re-executes itself and needs its own absolute path for that.
        let sshd = ["/usr/sbin/sshd", "/usr/bin/sshd"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let server = Command::new(sshd.expect("sshd is installed"))
            .args(["-D", "-e", "-f"])
            .arg(at("sshd_config"))
            .output(Output::Log(log, 1 << 20))
            .spawn()
            .expect("sshd starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                Instant::now() < deadline,
                "sshd does not come up: {}",
                read(&at("sshd.log"))
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            directory,
            port,
            user,
            _server: server,
        }
    }

    /// `ssh://user@127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("ssh://{}@127.0.0.1:{}", self.user, self.port)
    }

    /// `ssh://user@127.0.0.1:port` through a relay that listens on this port.
    #[must_use]
    pub fn address_at(&self, port: u16) -> String {
        format!("ssh://{}@127.0.0.1:{port}", self.user)
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The private key of a login.
    #[must_use]
    pub fn identity(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The ssh client with what it needs to know this server, also through a relay, for the key `ssh_command`.
    #[must_use]
    pub fn client(&self) -> String {
        let known = self.directory.path().join("known_hosts");
        format!(
            "ssh -F none -o UserKnownHostsFile={} -o IdentitiesOnly=yes -o HostKeyAlias=[127.0.0.1]:{}",
            known.display(),
            self.port
        )
    }
}

fn make_key(path: &Path) {
    must(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
            .arg(path),
    );
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    listener.local_addr().expect("it has an address").port()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) {
    common::atomic::write(path, text.as_bytes()).expect("the test's directory can be written");
}
