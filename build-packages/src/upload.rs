//! Sending one file to the master while somebody watches that it gets on.
//!
//! ssh reads the file itself. It shares the position in it with us (one open file, two descriptors), also when it hands
//! the descriptor on to the process that owns the connection, so the position says how far it is. An upload that gets
//! no byte further for too long is ended; one that is complete may take its time: the master checks packages, and
//! waits for its locks.

use std::fs::File;
use std::io::Seek;
use std::path::Path;
use std::time::{Duration, Instant};

use common::interrupt::Interrupt;

use crate::master::{Connection, Reply};

/// Longest time from the last byte to the master's answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(7200);
/// How often the position is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Sends a file with a request; an error says in words why there is no answer.
pub(crate) fn send(
    connection: &Connection<'_>,
    words: &[String],
    path: &Path,
    abort: &Interrupt,
) -> Result<Reply, String> {
    let said = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let file = File::open(path).map_err(said)?;
    let total = file.metadata().map_err(said)?.len();
    let mut watched = file.try_clone().map_err(said)?;
    let (stop, over) = (Interrupt::new(), Interrupt::new());
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut progress = Progress::new(total, connection.employer().upload_stall);
            while !over.is_raised() {
                let position = watched.stream_position().unwrap_or(0);
                if let Some(reason) = progress.verdict(position, Instant::now()) {
                    // First the connection: its owner has our ends of the pipes, and would keep us waiting.
                    connection.hang_up();
                    stop.raise();
                    return Some(reason);
                }
                if abort.is_raised() {
                    stop.raise();
                }
                std::thread::sleep(TICK);
            }
            None
        });
        let reply = connection.send(words, file, &stop);
        over.raise();
        let verdict = watcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (verdict, reply) {
            (Some(reason), _) => Err(reason),
            (None, reply) => reply.map_err(|error| error.to_string()),
        }
    })
}

/// How an upload gets on.
struct Progress {
    total: u64,
    stall: Duration,
    position: u64,
    since: Option<Instant>,
}

impl Progress {
    fn new(total: u64, stall: Duration) -> Self {
        Self {
            total,
            stall,
            position: 0,
            since: None,
        }
    }

    /// Why the upload is to be ended, if it is.
    fn verdict(&mut self, position: u64, now: Instant) -> Option<String> {
        let since = match self.since {
            Some(since) if position == self.position => since,
            _ => {
                self.position = position;
                *self.since.insert(now)
            }
        };
        let limit = if position < self.total {
            self.stall
        } else {
            ANSWER_LIMIT.max(self.stall)
        };
        (now.duration_since(since) >= limit).then(|| {
            format!(
                "the upload stands still at {position} of {} bytes for {} s",
                self.total,
                limit.as_secs()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_ends_when_no_byte_moves_and_not_while_the_master_thinks() {
        let stall = Duration::from_secs(10);
        let mut progress = Progress::new(100, stall);
        let begin = Instant::now();
        let mut at = |seconds, position| progress.verdict(position, begin + Duration::from_secs(seconds));
        assert_eq!(at(0, 0), None);
        assert_eq!(at(9, 1), None, "a slow one is no dead one");
        assert_eq!(at(18, 1), None);
        let reason = at(19, 1).unwrap();
        assert!(reason.contains("at 1 of 100 bytes"), "{reason}");
        assert_eq!(at(20, 100), None);
        assert_eq!(at(7000, 100), None);
        assert!(at(7220, 100).is_some());
    }
}
