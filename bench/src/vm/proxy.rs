//! The caching front of the mirrors against nginx, both serving one large file that they have: how long a client takes
//! for all of it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use common::process::{Child, Command, Output, Signal, sibling};
use testkit::web::Web;

use crate::figures::{Run, Series};

/// Bytes of the file.
const SIZE: usize = 64 << 20;
/// What it is called: a package without a database counts when it is compressed as it says.
const FILE: &str = "core/os/x86_64/large-1-1-any.pkg.tar.zst";
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Measures it.
pub(super) fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    let directory = &run.directory;
    let file = directory.join("mirror").join(FILE);
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent).context("cannot make the mirror")?;
    }
    let mut content = vec![0x5a; SIZE];
    content[..MAGIC.len()].copy_from_slice(&MAGIC);
    common::atomic::write(&file, &content)?;
    let Some(nginx) = Web::serve(&directory.join("mirror")) else {
        run.figures.leave_out("nginx");
        return Ok(());
    };
    let proxy = Proxy::start(&directory.join("cache"), &nginx.url())?;
    // It fetches and checks the file.
    get(&proxy.address)?;
    let (mut ours, mut peer) = (Series::default(), Series::default());
    for _ in 0..run.rounds {
        ours.push(get(&proxy.address)?);
        peer.push(get(&nginx.url())?);
    }
    run.figures.milliseconds("proxy_64_mib", ours.median())?;
    run.figures.ratio("proxy_vs_nginx", peer.median(), ours.median())?;
    proxy.end()
}

/// A running proxy.
struct Proxy {
    address: String,
    process: Child,
}

impl Proxy {
    fn start(cache: &Path, mirror: &str) -> anyhow::Result<Self> {
        let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        let process = Command::new(sibling("arch-vm"))
            .args(["-q", "proxy", "--listen", "127.0.0.1:0", "--mirror"])
            .arg(format!("{mirror}/$repo/os/$arch"))
            .arg("--cache-dir")
            .arg(cache)
            .output(Output::Stdout(OwnedFd::from(writer).into()))
            .spawn()
            .context("the proxy does not start")?;
        let mut address = String::new();
        BufReader::new(reader).read_line(&mut address)?;
        ensure!(address.starts_with("http://"), "the proxy says {address:?}");
        Ok(Self {
            address: address.trim_end().to_owned(),
            process,
        })
    }

    fn end(self) -> anyhow::Result<()> {
        self.process.signal(Signal::SIGTERM);
        self.process.wait().context("the proxy does not end")?;
        Ok(())
    }
}

/// Reads the whole file; the time of that.
fn get(address: &str) -> anyhow::Result<Duration> {
    let host = address.strip_prefix("http://").unwrap_or(address);
    let begin = Instant::now();
    let mut stream = TcpStream::connect(host).with_context(|| format!("cannot reach {address}"))?;
    write!(
        stream,
        "GET /{FILE} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let (mut total, mut bytes) = (0, vec![0; 256 << 10]);
    loop {
        match stream.read(&mut bytes)? {
            0 => break,
            length => total += length,
        }
    }
    ensure!(total > SIZE, "{address} sent {total} bytes");
    Ok(begin.elapsed())
}
