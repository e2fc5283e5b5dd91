//! A real S3 server on loopback, for one test: moto, which `scripts/test` fetches.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::process::{Child, Command, Output};
use tempfile::TempDir;

use crate::need;
use crate::sshd::free_port;
use crate::tool::must;

/// More requests than a test makes.
const OPEN: &str = "1000000";

/// A running server with one account and one bucket; it ends with this value.
pub struct S3Server {
    directory: TempDir,
    program: PathBuf,
    port: u16,
    server: Option<Child>,
}

impl S3Server {
    /// Starts a server; `None` is a skip.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start() -> Option<Self> {
        let program = need::directory("PORTSMITH_TEST_S3")?.join("bin/moto_server");
        let mut server = Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            program,
            port: free_port(),
            server: None,
        };
        server.resume();
        Some(server)
    }

    /// Starts it again, with an account of its own and an empty bucket `port`. From now on it wants signed requests.
    ///
    /// # Panics
    /// It does not come up.
    pub fn resume(&mut self) {
        let log = std::fs::File::create(self.path("log")).expect("the log");
        let child = Command::new(&self.program)
            .args(["-H", "127.0.0.1", "-p", &self.port.to_string()])
            .output(Output::Log(log, 1 << 20))
            .spawn()
            .expect("the S3 server starts");
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                Instant::now() < deadline && child.is_running(),
                "the S3 server does not come up"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        self.server = Some(child);
        self.ask("Action=CreateUser&UserName=port");
        let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
        self.ask(&format!(
            "Action=PutUserPolicy&UserName=port&PolicyName=all&PolicyDocument={policy}"
        ));
        let key = self.ask("Action=CreateAccessKey&UserName=port");
        let between = |tag: &str| {
            let rest = key.split_once(&format!("<{tag}>")).expect("an access key").1;
            rest.split_once('<').expect("it ends").0.to_owned()
        };
        self.write_credentials("good.curl", &between("AccessKeyId"), &between("SecretAccessKey"));
        self.write_credentials("wrong.curl", &between("AccessKeyId"), "wrong");
        must(Command::new("curl").args(["-fsS", "-X", "PUT", &self.url()]));
        self.want_signatures();
    }

    /// Ends it; what it stored is gone.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Lets everybody in, as a bucket for readers does.
    pub fn open(&self) {
        self.set_free_requests(OPEN);
        let all = r#""Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::port/*""#;
        let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{{{all}}}]}}"#);
        let put = [
            "-fsS",
            "-X",
            "PUT",
            "--header",
            "Content-Type: application/json",
            "--data",
            &policy,
        ];
        must(Command::new("curl").args(put).arg(format!("{}?policy", self.url())));
    }

    /// Wants every request signed.
    pub fn want_signatures(&self) {
        self.set_free_requests("0");
    }

    /// The bucket's address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/port", self.port)
    }

    /// curl's configuration with the account's key (`good.curl`), or with a secret that is not its (`wrong.curl`).
    #[must_use]
    pub fn credentials(&self, name: &str) -> PathBuf {
        self.path(name)
    }

    fn write_credentials(&self, name: &str, key: &str, secret: &str) {
        let text = format!("user = \"{key}:{secret}\"\naws-sigv4 = \"aws:amz:us-east-1:s3\"\n");
        common::atomic::write(&self.path(name), text.as_bytes()).expect("the test's directory can be written");
    }

    /// A request to the part that manages accounts.
    fn ask(&self, form: &str) -> String {
        let mut curl = Command::new("curl").args(["-fsS", "--aws-sigv4", "aws:amz:us-east-1:iam", "--user", "a:b"]);
        for field in form.split('&') {
            curl = curl.args(["--data-urlencode", field]);
        }
        must(curl.args([
            "--data",
            "Version=2010-05-08",
            &format!("http://127.0.0.1:{}/", self.port),
        ]))
    }

    fn set_free_requests(&self, count: &str) {
        let url = format!("http://127.0.0.1:{}/moto-api/reset-auth", self.port);
        let plain = ["-fsS", "--header", "Content-Type: text/plain", "--data"];
        must(Command::new("curl").args(plain).args([count, &url]));
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.directory.path()).join(name)
    }
}
