//! A real web server on loopback: nginx with a directory of its own.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use common::process::{Child, Command};
use tempfile::TempDir;

/// Debian keeps it where ordinary accounts do not look.
const PLACES: [&str; 3] = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"];
/// Longest time until it answers.
const START: Duration = Duration::from_secs(30);

/// A running server.
pub struct Web {
    directory: TempDir,
    port: u16,
    server: Option<Child>,
}

impl Web {
    /// Serves a directory; `None`, after a visible skip, without nginx.
    ///
    /// # Panics
    /// It does not start, or is missing where `CI` is set.
    #[must_use]
    pub fn serve(root: &Path) -> Option<Self> {
        let Some(program) = PLACES.iter().find(|path| Path::new(path).is_file()) else {
            crate::need::skip("missing programs: nginx");
            return None;
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        // The port is free again when nginx binds it.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let place = directory.path().display();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {place}/pid;\nerror_log {place}/error.log;\nevents {{}}\nhttp {{\n\
             access_log {place}/access.log;\nclient_body_temp_path {place}/body;\nproxy_temp_path {place}/proxy;\n\
             fastcgi_temp_path {place}/fastcgi;\nuwsgi_temp_path {place}/uwsgi;\nscgi_temp_path {place}/scgi;\n\
             server {{ listen 127.0.0.1:{port}; root {}; }}\n}}\n",
            root.display()
        );
        let conf = directory.path().join("nginx.conf");
        common::atomic::write(&conf, text.as_bytes()).expect("its configuration");
        let server = Command::new(program)
            .arg("-p")
            .arg(directory.path())
            .arg("-c")
            .arg(&conf)
            .spawn()
            .expect("nginx starts");
        let web = Self {
            directory,
            port,
            server: Some(server),
        };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < START, "nginx does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(web)
    }

    /// The address of the directory, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The status of a file, 200 if it is there.
    ///
    /// # Panics
    /// The server does not answer.
    #[must_use]
    pub fn status(&self, path: &str) -> u16 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("nginx answers");
        write!(stream, "HEAD /{path} HTTP/1.0\r\n\r\n").expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.expect("an answer of HTTP")
    }

    /// What was asked for and answered, a line a request.
    ///
    /// # Panics
    /// The log cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("access.log")).expect("nginx writes a log")
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.signal(common::process::Signal::SIGTERM);
            drop(server.wait());
        }
    }
}
