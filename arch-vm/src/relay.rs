//! The other end of a guest's network: a proxy for HTTP on standard input and output, one process a connection, started by
//! qemu in the machine's directory. The guest's card leads nowhere else.
//!
//! It knows three kinds of requests: `GET http://arch-vm.mirror/PATH` reads a file of a local repository;
//! `GET http://HOST/…` and `CONNECT HOST:PORT` go out. What leads to this host itself (loopback, link-local, an address of
//! one of its cards) is refused, unless the operator's pacman.conf names it as a server. Without a request that it
//! understands it answers 400 and ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

/// The host name under which local repositories are.
pub(crate) const MIRROR: &str = "arch-vm.mirror";
/// The configuration's name in a machine's directory.
const FILE: &str = "relay.json";
/// Longest head of a request in bytes.
const LONGEST_HEAD: usize = 32 << 10;
/// How long a server may take to be connected to.
const CONNECT: Duration = Duration::from_secs(30);

/// What a machine's relay lets through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RelayConfig {
    /// Directories of local repositories.
    pub(crate) directories: Vec<PathBuf>,
    /// `host:port` of this host that the operator's configuration names.
    pub(crate) servers: Vec<String>,
    /// `host:port` of a proxy that everything goes through.
    pub(crate) upstream: Option<String>,
}

impl RelayConfig {
    /// Writes it into a machine's directory.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        Ok(common::atomic::write(
            &directory.join(FILE),
            &serde_json::to_vec(self)?,
        )?)
    }
}

/// A request's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    method: String,
    target: String,
    /// The lines after the first, as they came.
    lines: Vec<String>,
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// A file of a local repository.
    Mirror(PathBuf),
    /// A tunnel to `host:port`.
    Tunnel(String),
    /// A server, and the target as that wants it.
    Server(String, String),
}

/// Serves one connection.
pub(crate) fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> Result<()> {
    let config: RelayConfig = serde_json::from_slice(&std::fs::read(FILE)?)?;
    // What qemu gives us for both streams is one socket.
    let mut guest = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some(head) = read_head(&mut guest)? else {
        return answer(&mut guest, "400 Bad Request");
    };
    match way(&head) {
        None => answer(&mut guest, "400 Bad Request"),
        Some(Way::Mirror(path)) => match open_file(&config, &path) {
            Some(file) => send_file(&mut guest, file, head.method == "HEAD"),
            None => answer(&mut guest, "404 Not Found"),
        },
        Some(Way::Tunnel(server)) => match connect(&config, &server) {
            Ok(mut stream) => {
                if config.upstream.is_some() {
                    write!(stream, "CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n\r\n")?;
                } else {
                    guest.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
                }
                copy_both_ways(guest, stream)
            }
            Err(status) => answer(&mut guest, status),
        },
        Some(Way::Server(server, target)) => match connect(&config, &server) {
            Ok(mut stream) => {
                let target = if config.upstream.is_some() {
                    &head.target
                } else {
                    &target
                };
                stream.write_all(rewritten(&head, target).as_bytes())?;
                copy_both_ways(guest, stream)
            }
            Err(status) => answer(&mut guest, status),
        },
    }
}

/// Reads up to the empty line; none when that is no head of a request.
fn read_head(from: &mut impl Read) -> Result<Option<Head>> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        // One by one: what follows the head is not ours.
        if bytes.len() >= LONGEST_HEAD || from.read(&mut byte)? == 0 {
            return Ok(None);
        }
        bytes.push(byte[0]);
    }
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

fn parse(text: &str) -> Option<Head> {
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    (version.starts_with("HTTP/1.") && words.next().is_none()).then(|| Head {
        method: method.to_owned(),
        target: target.to_owned(),
        lines: lines.filter(|line| !line.is_empty()).map(str::to_owned).collect(),
    })
}

fn way(head: &Head) -> Option<Way> {
    if head.method == "CONNECT" {
        return Some(Way::Tunnel(with_port(&head.target, 443)?));
    }
    let rest = head.target.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority == MIRROR {
        let is_reading = matches!(head.method.as_str(), "GET" | "HEAD");
        return is_reading.then(|| Way::Mirror(PathBuf::from(decoded(path))));
    }
    let target = if path.is_empty() { "/" } else { path };
    Some(Way::Server(with_port(authority, 80)?, target.to_owned()))
}

/// `host` or `host:port` with its port; none when it is neither.
fn with_port(authority: &str, default: u16) -> Option<String> {
    let is_sound =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._[]:".contains(c));
    match authority.rsplit_once(':') {
        Some((host, port)) if is_sound(host) && !port.ends_with(']') => {
            port.parse::<u16>().ok().map(|port| format!("{host}:{port}"))
        }
        _ => is_sound(authority).then(|| format!("{authority}:{default}")),
    }
}

/// Without percent signs.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let code = more.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The request as a server wants it, with an end of the connection after the answer.
fn rewritten(head: &Head, target: &str) -> String {
    let mut text = format!("{} {target} HTTP/1.1\r\n", head.method);
    for line in &head.lines {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !matches!(
            name.as_str(),
            "connection" | "proxy-connection" | "keep-alive" | "proxy-authorization"
        ) {
            text.push_str(line);
            text.push_str("\r\n");
        }
    }
    text.push_str("Connection: close\r\n\r\n");
    text
}

fn connect(config: &RelayConfig, server: &str) -> Result<TcpStream, &'static str> {
    let through = config.upstream.as_deref().unwrap_or(server);
    let is_named = config.servers.iter().any(|named| named == server);
    if config.upstream.is_some() && !is_named && is_of_this_host_by_name(server) {
        return Err("403 Forbidden");
    }
    let addresses = through.to_socket_addrs().map_err(|_| "502 Bad Gateway")?;
    let mut status = "502 Bad Gateway";
    for address in addresses {
        if config.upstream.is_none() && !is_named && is_of_this_host(&address) {
            status = "403 Forbidden";
        } else if let Ok(stream) = TcpStream::connect_timeout(&address, CONNECT) {
            return Ok(stream);
        }
    }
    Err(status)
}

/// Where a proxy of somebody's resolves names, only those that are plain can be seen.
fn is_of_this_host_by_name(server: &str) -> bool {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    let name = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok_and(is_own)
}

fn is_of_this_host(address: &SocketAddr) -> bool {
    is_own(address.ip())
}

/// Loopback, nowhere, link-local, or an address that a socket here can have.
fn is_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_local
        || address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || UdpSocket::bind((address, 0)).is_ok()
}

/// A regular file in one of the directories. Links are followed as long as they stay in it.
fn open_file(config: &RelayConfig, path: &Path) -> Option<File> {
    config.directories.iter().find_map(|directory| {
        let inside = path.strip_prefix(directory).ok()?;
        let root = open(
            directory,
            OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .ok()?;
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let file = File::from(openat2(&root, inside, how).ok()?);
        file.metadata().is_ok_and(|found| found.is_file()).then_some(file)
    })
}

fn send_file(to: &mut File, mut file: File, only_head: bool) -> Result<()> {
    let found = file.metadata()?;
    let changed = found.modified()?.duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let changed = common::clock::format_utc(changed, "%a, %d %b %Y %H:%M:%S GMT");
    write!(
        to,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nLast-Modified: {changed}\r\nConnection: close\r\n\r\n",
        found.len()
    )?;
    if !only_head {
        io::copy(&mut file, to)?;
    }
    Ok(())
}

fn answer(to: &mut File, status: &str) -> Result<()> {
    write!(
        to,
        "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    .context("answering")
}

/// Copies until both sides have ended.
fn copy_both_ways(guest: File, server: TcpStream) -> Result<()> {
    let (mut from_guest, mut to_server) = (guest.try_clone()?, server.try_clone()?);
    let out = std::thread::spawn(move || {
        let copied = io::copy(&mut from_guest, &mut to_server);
        drop(to_server.shutdown(std::net::Shutdown::Write));
        copied
    });
    let (mut to_guest, mut from_server) = (guest, server);
    io::copy(&mut from_server, &mut to_guest)?;
    let socket: OwnedFd = to_guest.into();
    shutdown(socket.as_raw_fd(), Shutdown::Both)?;
    drop(out.join());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn head(first: &str) -> Head {
        parse(&format!("{first} HTTP/1.1\r\nHost: x\r\n\r\n")).unwrap()
    }

    #[test]
    fn requests_find_their_way() {
        assert_eq!(way(&head("CONNECT host:8443")), Some(Way::Tunnel("host:8443".into())));
        assert_eq!(
            way(&head("GET http://host/a?b")),
            Some(Way::Server("host:80".into(), "/a?b".into()))
        );
        assert_eq!(
            way(&head("GET http://[::1]")),
            Some(Way::Server("[::1]:80".into(), "/".into()))
        );
        let mirror = way(&head("GET http://arch-vm.mirror/srv/a%2Bb.db"));
        assert_eq!(mirror, Some(Way::Mirror("/srv/a+b.db".into())));
        for text in [
            "GET /etc/passwd",
            "GET ftp://host/x",
            "CONNECT ho st:1",
            "CONNECT x@y:1",
            "PUT http://arch-vm.mirror/x",
        ] {
            let parsed = parse(&format!("{text} HTTP/1.1\r\n\r\n"));
            assert_eq!(parsed.as_ref().and_then(way), None, "{text}");
        }
    }

    #[test]
    fn this_host_is_out_of_reach_unless_the_operator_names_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap().to_string();
        let mut config = RelayConfig::default();
        assert_eq!(connect(&config, &server).err(), Some("403 Forbidden"));
        let port = listener.local_addr().unwrap().port();
        assert!(connect(&config, &format!("localhost:{port}")).is_err());
        assert!(connect(&config, &format!("[::ffff:127.0.0.1]:{port}")).is_err());
        config.servers.push(server.clone());
        assert!(connect(&config, &server).is_ok());
        for name in [
            "localhost:1",
            "LOCALHOST.:1",
            "a.localhost:1",
            "127.1.2.3:1",
            "[::1]:1",
            "0.0.0.0:1",
        ] {
            assert!(is_of_this_host_by_name(name), "{name}");
        }
        assert!(!is_of_this_host_by_name("192.0.2.1:80"));
    }

    #[test]
    fn only_files_below_the_named_directories_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("repo")).unwrap();
        common::atomic::write(&at("repo/a.db.tar.gz"), b"x").unwrap();
        common::atomic::write(&at("secret"), b"x").unwrap();
        symlink("a.db.tar.gz", at("repo/a.db")).unwrap();
        symlink("../secret", at("repo/link")).unwrap();
        let config = RelayConfig {
            directories: vec![at("repo")],
            ..RelayConfig::default()
        };
        assert!(open_file(&config, &at("repo/a.db")).is_some());
        for name in ["repo/link", "repo/../secret", "secret", "repo", "repo/none"] {
            assert!(open_file(&config, &at(name)).is_none(), "{name}");
        }
    }

    #[test]
    fn a_server_gets_its_own_path_and_an_end() {
        let head = parse("GET http://h/p HTTP/1.1\r\nHost: h\r\nProxy-Connection: keep-alive\r\n\r\n").unwrap();
        assert_eq!(
            rewritten(&head, "/p"),
            "GET /p HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        );
    }
}
