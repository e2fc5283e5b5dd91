//! Growing pauses with jitter, so that builders do not come back all at once.

use std::time::{Duration, Instant};

/// Longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// The pauses between tries of one thing.
#[derive(Debug, Clone)]
pub(crate) struct Pause {
    first: Duration,
    next: Duration,
}

impl Pause {
    /// Pauses that begin with this one.
    pub(crate) fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    /// Begins with the first one again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// When to try again: between one and two pauses, times a factor, from now on. The next pause is longer.
    pub(crate) fn end(&mut self, factor: u32) -> Instant {
        let time = self
            .next
            .mul_f64(f64::from(factor) * (1.0 + fastrand::f64()))
            .min(MAX_PAUSE);
        self.next = (self.next * 3 / 2).min(MAX_PAUSE);
        Instant::now() + time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_begin_again_after_a_success() {
        let mut pause = Pause::new(Duration::from_secs(15));
        let length = |pause: &mut Pause| pause.end(1).duration_since(Instant::now());
        let first = length(&mut pause);
        assert!(
            first > Duration::from_secs(14) && first <= Duration::from_secs(30),
            "{first:?}"
        );
        for _ in 0..20 {
            assert!(length(&mut pause) <= MAX_PAUSE);
        }
        assert!(length(&mut pause) > Duration::from_secs(599));
        pause.reset();
        assert!(length(&mut pause) <= Duration::from_secs(30));
    }
}
