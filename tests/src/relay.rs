//! A TCP relay between a builder and its master that a test can break: no connection, one that is cut, stands still or
//! pauses after so many bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest wait for something that has to happen.
const LIMIT: Duration = Duration::from_secs(120);

/// What befalls a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// It is cut.
    Cut,
    /// Nothing goes to the master any more, and nothing is said.
    StandStill,
    /// Nothing goes to the master for so long.
    Pause(Duration),
}

/// A running relay; it ends with this value.
pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    is_down: bool,
    is_over: bool,
    /// How a connection breaks that has brought so many bytes to the master; once.
    next_break: Option<(Break, u64)>,
    open: Vec<TcpStream>,
    accepted: usize,
    refused: usize,
    broken: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }
}

impl Relay {
    /// A relay to a port of this machine.
    ///
    /// # Panics
    /// Loopback has no free port.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let own = listener.local_addr().expect("it has an address").port();
        let shared = Arc::new(Shared::default());
        let of_listener = Arc::clone(&shared);
        Self {
            port: own,
            shared,
            listener: Some(std::thread::spawn(move || listen(&listener, port, &of_listener))),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections and takes no more.
    pub fn take_down(&self) {
        self.shared.change(|state| {
            state.is_down = true;
            for stream in state.open.drain(..) {
                stream.shutdown(Shutdown::Both).ok();
            }
        });
    }

    /// Takes connections again.
    pub fn bring_up(&self) {
        self.shared.change(|state| state.is_down = false);
    }

    /// Breaks the connection that first has brought so many bytes to the master, once.
    pub fn break_after(&self, bytes: u64, how: Break) {
        self.shared.change(|state| state.next_break = Some((how, bytes)));
    }

    /// How many connections it has taken, refused and broken.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let state = self.shared.state();
        (state.accepted, state.refused, state.broken)
    }

    /// Waits until so many connections were refused.
    ///
    /// # Panics
    /// They are not, for minutes.
    pub fn wait_for_refusals(&self, count: usize) {
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.shared.state(), LIMIT, |state| state.refused < count);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(
            state.refused >= count,
            "only {} connections were refused",
            state.refused
        );
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.change(|state| state.is_over = true);
        self.take_down();
        // Wakes the listener.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
    }
}

fn listen(listener: &TcpListener, port: u16, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        let is_down = {
            let state = shared.state();
            if state.is_over {
                return;
            }
            state.is_down
        };
        let server = TcpStream::connect(("127.0.0.1", port));
        let (false, Ok(server)) = (is_down, server) else {
            shared.change(|state| state.refused += 1);
            continue;
        };
        let both = [&client, &server].map(|stream| stream.try_clone().expect("a descriptor is free"));
        shared.change(|state| {
            state.accepted += 1;
            state.open.extend(both);
        });
        pass_on(client, server, shared);
    }
}

/// Passes on what comes from either side until one of them ends.
fn pass_on(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
    let (mut from_server, mut to_client) = (
        server.try_clone().expect("a descriptor is free"),
        client.try_clone().expect("a descriptor is free"),
    );
    std::thread::spawn(move || {
        std::io::copy(&mut from_server, &mut to_client).ok();
        to_client.shutdown(Shutdown::Both).ok();
    });
    let shared = Arc::clone(shared);
    std::thread::spawn(move || to_master(client, server, &shared));
}

fn to_master(mut client: TcpStream, mut server: TcpStream, shared: &Shared) {
    let mut buffer = [0; 16 << 10];
    let mut passed = 0;
    while let Ok(count) = client.read(&mut buffer) {
        if count == 0 || server.write_all(&buffer[..count]).is_err() {
            break;
        }
        passed += count as u64;
        let due = {
            let mut state = shared.state();
            let due = state.next_break.filter(|(_, bytes)| passed >= *bytes);
            if due.is_some() {
                state.next_break = None;
                state.broken += 1;
            }
            due
        };
        match due {
            None => {}
            Some((Break::Pause(time), _)) => std::thread::sleep(time),
            Some((Break::Cut, _)) => break,
            // Nobody reads any more: the sender's buffers fill up. The relay's end ends it.
            Some((Break::StandStill, _)) => return,
        }
    }
    for stream in [client, server] {
        stream.shutdown(Shutdown::Both).ok();
    }
}
