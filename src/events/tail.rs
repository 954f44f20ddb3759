//! The tail: reads what is new in every stream, once for all who watch, and shares it. It runs only while somebody does.
//!
//! It waits for nobody: what it shares is bounded, and a watcher that falls out of that reads the store itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;

use super::Shared;
use crate::domain::event::{CostEvent, SubjectChange};
use crate::store::{Page, Place, Reading, StoreError};

/// Least time between two looks: what changes meanwhile is read together. Nobody sees the difference, and a busy store does.
pub(super) const PACE: Duration = Duration::from_millis(50);
/// How long to wait for a store that gives no answer.
pub(super) const RETRY: Duration = Duration::from_millis(250);
/// How often is looked whether anybody watches still.
const IDLE: Duration = Duration::from_secs(1);
/// Events of one page: about 100 KiB.
pub(super) const PAGE: usize = 128;
/// Pages of one stream in a row, before the others have their turn.
const PAGES_MAX: usize = 8;
/// Streams that are read at the same time.
const READS_MAX: usize = 16;

/// What the tail says.
#[derive(Debug, Clone)]
pub(super) enum Message {
    Batch(Arc<Batch>),
    /// Something is not as it was with this stream: read the store.
    Look(usize),
}

/// A stretch of one stream.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) stream: usize,
    pub(super) from: Place,
    pub(super) to: Place,
    /// What there is to tell of it, each with the place after it.
    pub(super) events: Vec<(Place, Told)>,
}

/// What an event tells: the change of a subject, then the cost of an attempt. At least one of them.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) change: Option<Arc<SubjectChange>>,
    pub(super) cost: Option<Arc<CostEvent>>,
}

impl Batch {
    pub(super) fn of(stream: usize, from: Place, page: &Page) -> Self {
        let told = |event| Told { change: SubjectChange::of(event).map(Arc::new), cost: CostEvent::of(event).map(Arc::new) };
        let events = page.events.iter().map(|(place, event)| (*place, told(event)));
        let events = events.filter(|(_, told)| told.change.is_some() || told.cost.is_some()).collect();
        Self { stream, from, to: page.reached, events }
    }
}

/// How far the tail is in one stream.
#[derive(Debug, Clone, Copy)]
struct Followed {
    stream: usize,
    place: Place,
    /// The store has said that it cannot tell.
    failed: bool,
}

/// Follows all streams until nobody watches.
pub(super) async fn follow(shared: Arc<Shared>) {
    let mut stirred = shared.feed.stirred();
    let Some(mut streams) = begin(&shared).await else { return };
    let mut changed = true;
    while !shared.is_over() {
        stirred.mark_unchanged();
        let began = Instant::now();
        if changed || shared.feed.look_interval().is_some() {
            let read = stream::iter(streams).map(|followed| read(&shared, followed)).buffered(READS_MAX);
            streams = read.collect().await;
        }
        tokio::time::sleep_until(began + shared.pace).await;
        let wait = match shared.feed.look_interval() {
            _ if streams.iter().any(|followed| followed.failed) => RETRY,
            interval => interval.unwrap_or(IDLE),
        };
        changed = match tokio::time::timeout_at(began + wait, stirred.changed()).await {
            Ok(Ok(())) => true,
            // The store is gone.
            Ok(Err(_)) => {
                tokio::time::sleep(IDLE).await;
                false
            }
            Err(_) => streams.iter().any(|followed| followed.failed),
        };
    }
}

/// Begins at the end of every stream, and says so: who has come that far before learns that something may lie between.
async fn begin(shared: &Shared) -> Option<Vec<Followed>> {
    while !shared.is_over() {
        match shared.ends().await {
            Ok(ends) => {
                let place = |(stream, ends): (usize, crate::store::Ends)| {
                    let place = ends.newest;
                    share(shared, Message::Batch(Arc::new(Batch { stream, from: place, to: place, events: Vec::new() })));
                    Followed { stream, place, failed: false }
                };
                return Some(ends.into_iter().enumerate().map(place).collect());
            }
            Err(problem) => {
                if let StoreError::DataLost { .. } = problem {
                    // Which stream it is of, each reader finds out for itself.
                    (0..shared.feed.streams()).for_each(|stream| share(shared, Message::Look(stream)));
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    None
}

/// Shares what is new in one stream.
async fn read(shared: &Shared, mut followed: Followed) -> Followed {
    let Followed { stream, .. } = followed;
    for _ in 0..PAGES_MAX {
        match shared.feed.events(stream, followed.place, PAGE).await {
            Ok(Reading::Page(page)) => {
                if page.reached != followed.place {
                    share(shared, Message::Batch(Arc::new(Batch::of(stream, followed.place, &page))));
                }
                followed = Followed { place: page.reached, failed: false, ..followed };
                if !page.more {
                    break;
                }
            }
            Ok(Reading::Trimmed { oldest }) => {
                share(shared, Message::Look(stream));
                return Followed { place: oldest, failed: true, ..followed };
            }
            Err(problem) => {
                if matches!(problem, StoreError::DataLost { .. }) && !followed.failed {
                    share(shared, Message::Look(stream));
                }
                return Followed { failed: true, ..followed };
            }
        }
    }
    followed
}

/// Nobody there is nobody's loss.
fn share(shared: &Shared, message: Message) {
    let _ = shared.live.send(message);
}
