//! The same work for many things at once: threads with a scope, as many as there are processors, results in order.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

/// Does `work` for each item and returns the results in the order of the items. Items are taken one after the other by
/// whichever thread is free, this one among them, so they may take different times.
///
/// # Panics
/// `work` panics.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    ahead(items, work, |results| results.collect())
}

/// As [`map`], but `take` is called at once, and given each result when it is there: the other threads work while it does
/// something else, and this one works when it would have to wait. Once `take` returns, no item is begun any more.
///
/// # Panics
/// `work` or `take` panics; the results end early for `take` then.
pub fn ahead<T: Sync, R: Send, A>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    take: impl FnOnce(&mut dyn Iterator<Item = R>) -> A,
) -> A {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let queue = Queue {
        items,
        work,
        begun: AtomicUsize::new(0),
    };
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        for _ in 1..processors.min(items.len()) {
            let (queue, sender) = (&queue, sender.clone());
            scope.spawn(move || while queue.step().is_some_and(|done| sender.send(done).is_ok()) {});
        }
        drop(sender);
        // Goes before the threads are waited for: they notice.
        let mut results = InOrder {
            queue: &queue,
            receiver,
            early: BTreeMap::new(),
            next: 0,
        };
        take(&mut results)
    })
}

/// What is to be done.
struct Queue<'a, T, W> {
    items: &'a [T],
    work: W,
    /// Items that somebody has taken.
    begun: AtomicUsize,
}

impl<T, R, W: Fn(&T) -> R> Queue<'_, T, W> {
    /// Does the work for the next item, if there is one; returns its number, too.
    fn step(&self) -> Option<(usize, R)> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        Some((number, (self.work)(self.items.get(number)?)))
    }
}

/// Results in the order of the items.
struct InOrder<'a, T, R, W> {
    queue: &'a Queue<'a, T, W>,
    receiver: Receiver<(usize, R)>,
    /// Those that came before their turn.
    early: BTreeMap<usize, R>,
    next: usize,
}

impl<T, R, W: Fn(&T) -> R> Iterator for InOrder<'_, T, R, W> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        loop {
            if let Some(result) = self.early.remove(&self.next) {
                self.next += 1;
                return Some(result);
            }
            let theirs = || self.receiver.try_recv().ok();
            // Nothing is left to begin: wait for what the others have begun.
            let (number, result) = theirs()
                .or_else(|| self.queue.step())
                .or_else(|| self.receiver.recv().ok())?;
            self.early.insert(number, result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for count in [0, 1, 2, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(map(&items, |item| item * 2), expected);
        }
    }

    #[test]
    fn who_has_enough_of_the_results_ends_the_work() {
        // More than anybody could do.
        let items = vec![(); 1 << 50];
        assert_eq!(ahead(&items, |()| 7, |results| results.nth(3)), Some(7));
    }

    #[test]
    #[should_panic(expected = "thread panicked")]
    fn a_panic_is_passed_on() {
        map(&[1, 2, 3], |item| assert!(*item != 2, "a thread panicked"));
    }
}
