//! Watching costs: a subscription to the events, and signs of life where there are none.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Service, ServiceError};
use crate::clock::Clock;
use crate::domain::event::{CostEvent, SubjectChange};
use crate::domain::filter::CostFilters;
pub use crate::events::CHANGES_LOOKED_AT_MAX;
use crate::events::{self, Hub, Next, Subscription, WatchError};

/// After how long without an event a checkpoint says that the stream lives: half of what the contract promises.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(5);

/// What a watcher is told. Both carry the cursor after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    Event {
        event: Arc<CostEvent>,
        cursor: String,
    },
    Change {
        change: Arc<SubjectChange>,
        cursor: String,
    },
    Checkpoint {
        cursor: String,
        time: Timestamp,
        /// Everything that had happened by then was told.
        caught_up: bool,
    },
}

/// A stream of updates, until it is dropped.
pub struct Watch {
    subscription: Subscription,
    clock: Arc<dyn Clock>,
}

impl Service {
    /// Watches costs after a cursor: "0" is before the oldest event kept, the empty one from now on. `changes`: of subjects too.
    pub async fn watch(&self, cursor: &str, filter: CostFilters, changes: bool) -> Result<Watch, ServiceError> {
        let hub = self.hub.get_or_init(|| Hub::new(self.store.feed()));
        let subscription = hub.watch(cursor, filter, changes).await?;
        Ok(Watch { subscription, clock: self.clock.clone() })
    }

    /// The last attempts that ran elsewhere than planned, newest first and at most `limit`, among the last changes of the ledger.
    pub async fn recent_failovers(&self, limit: usize) -> Result<Vec<CostEvent>, ServiceError> {
        let filter = CostFilters { failover_only: true, ..CostFilters::default() };
        Ok(events::recent(&*self.store.feed(), &filter, limit).await?)
    }

    /// For how long the slowest of all who watch has not been at the end; `None`: nobody watches.
    pub fn stream_lag(&self) -> Option<Duration> {
        self.hub.get()?.lag()
    }
}

impl Watch {
    /// The next update: an event, or a checkpoint when history is told or nothing has happened for a while. Given up half way, it goes
    /// on where it was.
    pub async fn next(&mut self) -> Result<Update, ServiceError> {
        match tokio::time::timeout(CHECKPOINT_AFTER, self.subscription.next()).await {
            Ok(Ok(Next::Event(event))) => Ok(Update::Event { event, cursor: self.subscription.cursor() }),
            Ok(Ok(Next::Change(change))) => Ok(Update::Change { change, cursor: self.subscription.cursor() }),
            Ok(Ok(Next::CaughtUp)) => Ok(self.checkpoint(true)),
            Ok(Err(problem)) => Err(problem.into()),
            Err(_) => Ok(self.checkpoint(self.subscription.is_caught_up())),
        }
    }

    fn checkpoint(&self, caught_up: bool) -> Update {
        Update::Checkpoint { cursor: self.subscription.cursor(), time: self.clock.now(), caught_up }
    }
}

impl From<WatchError> for ServiceError {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Cursor(problem) => Self::invalid("cursor", problem.to_string()),
            WatchError::TooMany => Self::TooManyWatchers,
            WatchError::Expired { oldest } => Self::CursorExpired { oldest },
            WatchError::Store(problem) => Self::Store(problem),
        }
    }
}
