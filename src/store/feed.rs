//! Events as every store tells them: to an observer as they are made here, and to readers in streams, page by page, from any place.
//!
//! A stream has an order of its own, and all events of one subject are in one stream. A place names an event for ever: its number, within
//! a generation of the ledger. Whether everything after a place is still there is decided here, once for all stores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use super::StoreError;
use crate::domain::ledger::Event;

/// Is told every change that this process brought about, once it is durable. Not told: changes of other processes, and one whose answer
/// was lost on its way here and that only a repeat has found.
///
/// It is called where answers are made, so it must be quick, and must not wait.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Event) + Send + Sync>);

impl Observer {
    pub fn new(observe: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }

    /// An observer that panics has lost its event, and nothing else.
    pub(super) fn tell(&self, event: &Event) {
        if catch_unwind(AssertUnwindSafe(|| self.0(event))).is_err() {
            tracing::error!(sequence = event.sequence, "an observer of changes panicked");
        }
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

/// A place in a stream: after the event of this number, in this generation of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    pub generation: u64,
    pub number: u64,
}

impl Place {
    pub const fn new(generation: u64, number: u64) -> Self {
        Self { generation, number }
    }
}

/// Where a stream begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// After it comes the first event that is kept.
    pub oldest: Place,
    /// After it comes the next event that will be.
    pub newest: Place,
    /// The store's time.
    pub time: Timestamp,
}

/// Events of a stream, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Each with the place after it. A document may be told without its version, which is 0 then.
    pub events: Vec<(Place, Event)>,
    /// After the last event that was looked at.
    pub reached: Place,
    /// The store's time.
    pub time: Timestamp,
    /// There are more at once.
    pub more: bool,
}

/// What a reader finds after a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    Page(Page),
    /// Events after the place are not kept any more, or the ledger does not know the place: what it was has been lost.
    Trimmed {
        /// Everything that is kept comes after it.
        oldest: Place,
    },
}

/// Reads the events of a store. Many may read at once; no reader delays a decision.
#[async_trait::async_trait]
pub trait Feed: Send + Sync + 'static {
    /// How many streams there are: they are numbered from 0, and never become more or fewer.
    fn streams(&self) -> usize;

    /// Which ledger tells these events: places are places in it alone.
    fn ledger(&self) -> Uuid;

    async fn ends(&self, stream: usize) -> Result<Ends, StoreError>;

    /// The events after a place, at most `limit`. Only what is durable is told.
    async fn events(&self, stream: usize, after: Place, limit: usize) -> Result<Reading, StoreError>;

    /// Counts the changes that this process brings about.
    fn stirred(&self) -> watch::Receiver<u64>;

    /// How often to look for what other processes have changed; `None` where there are none.
    fn look_interval(&self) -> Option<Duration>;
}

/// How a stream stands, as its store read it at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// The generation of the ledger, and the number of its last change.
    pub(super) end: Place,
    /// The number of the last change when that generation began.
    pub(super) began: u64,
    /// The first event that is kept.
    pub(super) first: Option<Place>,
}

impl Standing {
    /// The first event that is kept; where none is, the next that will be.
    fn first(&self) -> Place {
        self.first.unwrap_or(Place { number: self.end.number.saturating_add(1), ..self.end })
    }

    pub(super) fn oldest(&self) -> Place {
        let first = self.first();
        Place { number: first.number.saturating_sub(1), ..first }
    }

    /// Whether everything after a place is kept. Within a generation numbers have no gaps (I11), so the first event tells. From one
    /// generation to the next they go on from where the ledger stood, which may be before what an earlier one had told: that is known
    /// of the last change of generation only, and what is not known counts as gone.
    pub(super) fn is_whole_after(&self, after: Place) -> bool {
        let first = self.first();
        if after > self.end {
            // The ledger has never been there, or was put back behind it.
            return false;
        }
        if after.generation >= first.generation {
            return after >= self.oldest();
        }
        // Every event of earlier generations is gone. Was there none after the place?
        let is_whole_since = first.generation == self.end.generation && first.number == self.began.saturating_add(1);
        let was_at_the_end = after.generation.saturating_add(1) == self.end.generation && after.number >= self.began;
        is_whole_since && (was_at_the_end || self.began == 0)
    }
}

/// What a reader is told of the events that were read after a place, as the stream stood then.
pub(super) fn reading(standing: &Standing, after: Place, events: Vec<(Place, Event)>, time: Timestamp) -> Reading {
    if !standing.is_whole_after(after) {
        return Reading::Trimmed { oldest: standing.oldest() };
    }
    // Where nothing follows, the place moves on with the ledger all the same: it may begin a generation, and an idle stream is trimmed.
    let last = events.last().map_or(after, |(place, _)| *place);
    let more = !events.is_empty() && last < standing.end;
    let reached = if more { last } else { standing.end };
    Reading::Page(Page { events, reached, time, more })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger in generation 3, begun at `began`, at `number`, its first event as told.
    fn standing(began: u64, number: u64, first: Option<(u64, u64)>) -> Standing {
        Standing { end: Place::new(3, number), began, first: first.map(|(generation, number)| Place::new(generation, number)) }
    }

    fn whole(standing: Standing, places: &[(u64, u64)]) -> Vec<bool> {
        places.iter().map(|(generation, number)| standing.is_whole_after(Place::new(*generation, *number))).collect()
    }

    #[test]
    fn within_a_generation_the_first_event_tells() {
        let standing = standing(10, 90, Some((3, 51)));
        assert_eq!(whole(standing, &[(3, 49), (3, 50), (3, 51), (3, 90), (3, 91)]), [false, true, true, true, false]);
        assert_eq!(standing.oldest(), Place::new(3, 50));
    }

    #[test]
    fn an_idle_stream_is_whole_at_its_end_and_nowhere_before() {
        let idle = standing(10, 90, None);
        assert_eq!(whole(idle, &[(3, 89), (3, 90), (3, 91), (2, 90), (2, 10)]), [false, true, false, false, false]);
        assert_eq!(idle.oldest(), Place::new(3, 90));
        assert_eq!(whole(standing(0, 0, None), &[(3, 0), (2, 7), (1, 0), (4, 0)]), [true, true, true, false]);
    }

    #[test]
    fn events_of_earlier_generations_go_on_into_the_present_one() {
        let standing = standing(60, 90, Some((2, 41)));
        assert_eq!(whole(standing, &[(2, 39), (2, 40), (2, 60), (2, 75), (3, 60)]), [false, true, true, true, true]);
        // Whether something lay between generations 1 and 2 is not known any more.
        assert_eq!(whole(standing, &[(1, 40), (1, 60)]), [false, false]);
    }

    #[test]
    fn a_place_in_the_generation_before_is_known_while_the_present_one_is_whole() {
        // All of generation 2 is gone, which had come to 60 or, before a loss, further.
        let standing = standing(60, 90, Some((3, 61)));
        assert_eq!(whole(standing, &[(2, 59), (2, 60), (2, 75), (1, 60)]), [false, true, true, false]);
        let trimmed = Standing { first: Some(Place::new(3, 63)), ..standing };
        assert_eq!(whole(trimmed, &[(2, 60), (2, 62), (2, 75)]), [false, false, false]);
        // Nothing has happened in it yet.
        let fresh = Standing { end: Place::new(3, 60), first: None, ..standing };
        assert_eq!(whole(fresh, &[(2, 59), (2, 60), (2, 75), (3, 60)]), [false, true, true, true]);
    }

    #[test]
    fn a_stream_that_began_anew_from_nothing_misses_nothing_of_before() {
        let standing = standing(0, 5, Some((3, 1)));
        assert_eq!(whole(standing, &[(1, 900), (2, 900), (2, 0), (3, 0)]), [true, true, true, true]);
        let trimmed = Standing { first: Some(Place::new(3, 2)), ..standing };
        assert_eq!(whole(trimmed, &[(1, 900), (2, 900), (3, 0), (3, 1)]), [false, false, false, true]);
    }
}
