//! Who watches, and how far each of them is behind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

/// Most watchers at once: each costs some hundred kilobytes and its share of a core.
pub const WATCHERS_MAX: usize = 64;

/// The seats that are taken. One is free again when who took it has dropped it.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<Vec<Weak<Seat>>>);

/// A watcher's seat.
#[derive(Debug)]
pub(super) struct Seat {
    /// Since when there may have been something that was not told; `None` while the watcher waits at the end of what there is.
    behind_since: Mutex<Option<Instant>>,
}

/// Says for as long as it lives that the watcher waits at the end.
#[derive(Debug)]
pub(super) struct AtTheEnd<'a>(&'a Seat);

impl Seats {
    /// Takes a seat; `None`: there is none.
    pub(super) fn take(&self) -> Option<Arc<Seat>> {
        let mut taken = lock(&self.0);
        taken.retain(|seat| seat.strong_count() > 0);
        if taken.len() >= WATCHERS_MAX {
            return None;
        }
        let seat = Arc::new(Seat { behind_since: Mutex::new(Some(Instant::now())) });
        taken.push(Arc::downgrade(&seat));
        Some(seat)
    }

    /// For how long the slowest has not been at the end; `None`: nobody watches.
    pub(super) fn lag(&self) -> Option<Duration> {
        let now = Instant::now();
        let behind = |seat: Arc<Seat>| lock(&seat.behind_since).map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        lock(&self.0).iter().filter_map(Weak::upgrade).map(behind).max()
    }
}

impl Seat {
    pub(super) fn at_the_end(&self) -> AtTheEnd<'_> {
        *lock(&self.behind_since) = None;
        AtTheEnd(self)
    }
}

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        *lock(&self.0.behind_since) = Some(Instant::now());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
