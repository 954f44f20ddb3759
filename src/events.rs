//! Cost events as they happen: one tail follows the store's streams for all who watch, and each of them reads at its own pace.
//!
//! A subscription stands at a place in every stream. It reads what lies behind from the store, page by page, then takes part in what the
//! tail shares; whoever cannot keep up falls back to reading. So a slow reader costs a fixed amount of memory and holds up nobody, and an
//! event reaches every reader at least once, in the order of its subject. Wire types and outage policies are known above.

mod cursor;
mod recent;
mod seats;
mod subscription;
mod tail;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::broadcast;

pub use self::cursor::CursorError;
use self::cursor::Start;
pub use self::recent::{CHANGES_LOOKED_AT_MAX, recent};
use self::seats::Seats;
pub use self::seats::WATCHERS_MAX;
pub use self::subscription::{Next, Subscription};
use self::tail::{Message, PACE};
use crate::domain::filter::CostFilters;
use crate::store::{Ends, Feed, StoreError};

/// Messages that the tail keeps for those who are a little behind: some seconds of a busy ledger, below 10 MiB.
const SHARED_MAX: usize = 256;

/// Why nobody can watch, or not any longer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WatchError {
    #[error(transparent)]
    Cursor(#[from] CursorError),
    #[error("{WATCHERS_MAX} watch already")]
    TooMany,
    /// What comes after the cursor is not kept any more.
    #[error("events after the cursor are not kept any more")]
    Expired {
        /// The cursor of the oldest event that is.
        oldest: String,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where watchers come in.
pub struct Hub {
    shared: Arc<Shared>,
    seats: Seats,
}

/// What the tail and all subscriptions have in common.
struct Shared {
    feed: Arc<dyn Feed>,
    /// Least time between two looks of the tail.
    pace: Duration,
    live: broadcast::Sender<Message>,
    /// Whether a tail runs.
    tail: Mutex<bool>,
}

impl Hub {
    pub fn new(feed: Arc<dyn Feed>) -> Self {
        Self::with_pace(feed, PACE)
    }

    fn with_pace(feed: Arc<dyn Feed>, pace: Duration) -> Self {
        let live = broadcast::Sender::new(SHARED_MAX);
        Self { shared: Arc::new(Shared { feed, pace, live, tail: Mutex::new(false) }), seats: Seats::default() }
    }

    /// Begins to watch after a cursor: "0" is before the oldest event kept, the empty one after all that there are. `changes`: of subjects
    /// too, whichever pass the filter's subject.
    pub async fn watch(&self, cursor: &str, filter: CostFilters, changes: bool) -> Result<Subscription, WatchError> {
        let feed = &*self.shared.feed;
        let start = Start::read(cursor, feed.ledger(), feed.streams())?;
        let seat = self.seats.take().ok_or(WatchError::TooMany)?;
        // From here on nothing that the tail shares is missed.
        let live = self.shared.live.subscribe();
        self.shared.clone().follow();
        let (places, behind) = match start {
            Start::Now => (self.shared.ends().await?.into_iter().map(|ends| ends.newest).collect(), false),
            Start::Oldest => (self.shared.ends().await?.into_iter().map(|ends| ends.oldest).collect(), true),
            Start::After(places) => (places, true),
        };
        Ok(Subscription::new(self.shared.clone(), seat, live, places, behind, (filter, changes)))
    }

    /// For how long the slowest of all who watch has not been at the end of what there is; `None`: nobody watches. What a store does not
    /// tell, because it is away, is not counted.
    pub fn lag(&self) -> Option<Duration> {
        self.seats.lag()
    }
}

impl Shared {
    /// Where each stream begins and ends.
    async fn ends(&self) -> Result<Vec<Ends>, StoreError> {
        try_join_all((0..self.feed.streams()).map(|stream| self.feed.ends(stream))).await
    }

    /// Starts the tail unless it runs.
    fn follow(self: Arc<Self>) {
        if !std::mem::replace(&mut *self.tail.lock().unwrap_or_else(PoisonError::into_inner), true) {
            tokio::spawn(tail::follow(self));
        }
    }

    /// Whether the tail may end, because nobody watches. Who comes later starts another.
    fn is_over(&self) -> bool {
        let mut running = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if self.live.receiver_count() == 0 {
            *running = false;
        }
        !*running
    }
}
