//! The last of what happened, for whoever looks now and then and watches nothing: a bounded look back from the end of every stream.

use futures_util::future::try_join_all;

use super::tail::PAGE;
use crate::domain::event::CostEvent;
use crate::domain::filter::CostFilters;
use crate::store::{Feed, Place, Reading, StoreError};

/// Changes of the ledger that one look goes through, over all streams: some milliseconds of a Redis, and an hour of a ledger that settles
/// a generation every few seconds.
pub const CHANGES_LOOKED_AT_MAX: usize = 2048;

/// Cost events that pass a filter among the last [`CHANGES_LOOKED_AT_MAX`] changes, newest first and at most `limit`.
pub async fn recent(feed: &dyn Feed, filter: &CostFilters, limit: usize) -> Result<Vec<CostEvent>, StoreError> {
    let streams = feed.streams();
    let each = CHANGES_LOOKED_AT_MAX.div_ceil(streams.max(1));
    let found = try_join_all((0..streams).map(|stream| of_stream(feed, stream, each, filter))).await?;
    let mut events: Vec<CostEvent> = found.into_iter().flatten().collect();
    events.sort_by_key(|event| std::cmp::Reverse((event.time, event.sequence)));
    events.truncate(limit);
    Ok(events)
}

async fn of_stream(feed: &dyn Feed, stream: usize, changes: usize, filter: &CostFilters) -> Result<Vec<CostEvent>, StoreError> {
    let ends = feed.ends(stream).await?;
    let back = u64::try_from(changes).unwrap_or(u64::MAX);
    let mut place = Place { number: ends.newest.number.saturating_sub(back), ..ends.newest }.max(ends.oldest);
    let mut events = Vec::new();
    loop {
        match feed.events(stream, place, PAGE.min(changes)).await? {
            Reading::Page(page) => {
                let costs = page.events.iter().filter_map(|(_, event)| CostEvent::of(event));
                events.extend(costs.filter(|cost| filter.admit(cost)));
                // What comes after the end that was found is for the next look.
                if !page.more || page.reached >= ends.newest {
                    return Ok(events);
                }
                place = page.reached;
            }
            // Trimmed since the look at its ends.
            Reading::Trimmed { oldest } if oldest > place => place = oldest,
            Reading::Trimmed { .. } => return Ok(events),
        }
    }
}
