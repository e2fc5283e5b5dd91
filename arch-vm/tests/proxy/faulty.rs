//! A mirror that misbehaves with packages in one way. It has no databases.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// 404 with a page.
    Absent,
    /// 500.
    Error,
    /// A page as if it were the package.
    Page,
    /// Hangs up in the middle.
    Cut,
    /// Sends nothing after the first bytes.
    Stall,
    /// Never answers.
    Mute,
    /// A package of another size.
    OtherSize,
    /// A package of the same size that is another one.
    OtherContent,
    /// No length.
    NoLength,
}

impl Trouble {
    pub(crate) const ALL: [Self; 9] = [
        Self::Absent,
        Self::Error,
        Self::Page,
        Self::Cut,
        Self::Stall,
        Self::Mute,
        Self::OtherSize,
        Self::OtherContent,
        Self::NoLength,
    ];
}

/// A running server.
pub(crate) struct Faulty {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Faulty {
    pub(crate) fn start(package: Vec<u8>, trouble: Trouble) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (count, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (count, is_over) = (Arc::clone(&count), Arc::clone(&is_over));
            move || {
                // Connections that are never answered stay open until the end.
                let mut open = Vec::new();
                for stream in listener.incoming() {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    open.extend(answer(stream.unwrap(), &package, trouble));
                }
            }
        });
        Self {
            address,
            count,
            is_over,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often it was asked.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// The connection when it has to stay open.
fn answer(mut stream: TcpStream, package: &[u8], trouble: Trouble) -> Option<TcpStream> {
    let mut path = String::new();
    for (number, line) in BufReader::new(&stream).lines().map_while(Result::ok).enumerate() {
        if number == 0 {
            path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        }
        if line.is_empty() {
            break;
        }
    }
    let is_package = path.contains(".pkg.tar");
    let (half, rest) = package.split_at(package.len() / 2);
    let page: &[u8] = b"<html>not what you wanted</html>";
    let ok = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let (head, body, stays) = match trouble {
        Trouble::Error => (
            "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n".to_owned(),
            page.to_vec(),
            false,
        ),
        _ if !is_package => (
            "HTTP/1.1 404 No\r\nConnection: close\r\n\r\n".to_owned(),
            page.to_vec(),
            false,
        ),
        Trouble::Absent => (
            "HTTP/1.1 404 No\r\nConnection: close\r\n\r\n".to_owned(),
            page.to_vec(),
            false,
        ),
        Trouble::Page => (ok(page.len()), page.to_vec(), false),
        Trouble::Cut => (ok(package.len()), half.to_vec(), false),
        Trouble::Stall => (ok(package.len()), half.to_vec(), true),
        Trouble::Mute => (String::new(), Vec::new(), true),
        Trouble::OtherSize => (ok(half.len()), half.to_vec(), false),
        Trouble::OtherContent => (ok(package.len()), [rest, half].concat(), false),
        Trouble::NoLength => (
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned(),
            package.to_vec(),
            false,
        ),
    };
    // The other side may hang up first.
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)));
    stays.then_some(stream)
}
