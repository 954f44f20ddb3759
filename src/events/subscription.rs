//! One watcher's way through the streams: first what lies behind it, then what happens.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::broadcast;

use super::seats::Seat;
use super::tail::{Batch, Message, PAGE, RETRY};
use super::{Shared, WatchError, cursor};
use crate::domain::event::{CostEvent, SubjectChange};
use crate::domain::filter::CostFilters;
use crate::store::{Place, Reading, StoreError};

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Event(Arc<CostEvent>),
    /// Only where changes are asked for.
    Change(Arc<SubjectChange>),
    /// Everything that had happened by now has been told.
    CaughtUp,
}

/// Dropped, it has cost nobody anything.
pub struct Subscription {
    shared: Arc<Shared>,
    live: broadcast::Receiver<Message>,
    filter: CostFilters,
    /// Whether changes of subjects are told too.
    changes: bool,
    /// What was told of each stream.
    places: Vec<Place>,
    /// Streams of which more lies in the store, the longest waiting first.
    behind: VecDeque<usize>,
    /// What is being told, and how many parts of its events were: each has two.
    current: Option<(Arc<Batch>, usize)>,
    caught_up: bool,
    seat: Arc<Seat>,
}

impl Subscription {
    pub(super) fn new(
        shared: Arc<Shared>,
        seat: Arc<Seat>,
        live: broadcast::Receiver<Message>,
        places: Vec<Place>,
        behind: bool,
        (filter, changes): (CostFilters, bool),
    ) -> Self {
        let behind = if behind { (0..places.len()).collect() } else { VecDeque::new() };
        Self { shared, live, filter, changes, places, behind, current: None, caught_up: false, seat }
    }

    /// Waits for the next event that passes the filter. Given up half way, it goes on where it was.
    ///
    /// A store that gives no answer is waited for; one that has lost data is an error, and so is a place that is not kept any more.
    pub async fn next(&mut self) -> Result<Next, WatchError> {
        loop {
            if let Some(next) = self.next_of_current() {
                return Ok(next);
            }
            if let Some(stream) = self.behind.front().copied() {
                self.read(stream).await?;
            } else if !self.caught_up {
                self.caught_up = true;
                return Ok(Next::CaughtUp);
            } else {
                let message = {
                    let _waiting = self.live.is_empty().then(|| self.seat.at_the_end());
                    self.live.recv().await
                };
                match message {
                    Ok(Message::Batch(batch)) => self.join(batch),
                    Ok(Message::Look(stream)) => self.fall_behind(stream),
                    // The sender is ours too, so this is a lag: what was missed is in the store.
                    Err(_) => (0..self.places.len()).for_each(|stream| self.fall_behind(stream)),
                }
            }
        }
    }

    /// Whether everything that had happened by now has been told.
    pub fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    /// Where to go on after all that was told.
    pub fn cursor(&self) -> String {
        cursor::text(self.shared.feed.ledger(), &self.places)
    }

    fn next_of_current(&mut self) -> Option<Next> {
        let (batch, told) = self.current.as_mut()?;
        while let Some((place, event)) = batch.events.get(*told / 2) {
            let is_change = *told % 2 == 0;
            *told += 1;
            if is_change {
                if event.cost.is_none() {
                    self.places[batch.stream] = *place;
                }
                let wanted = |change: &&Arc<SubjectChange>| self.changes && self.filter.admit_subject(&change.subject);
                if let Some(change) = event.change.as_ref().filter(wanted) {
                    return Some(Next::Change(change.clone()));
                }
            } else {
                // Whoever goes on from between the two is told both again.
                self.places[batch.stream] = *place;
                if let Some(cost) = event.cost.as_ref().filter(|cost| self.filter.admit(cost)) {
                    return Some(Next::Event(cost.clone()));
                }
            }
        }
        self.places[batch.stream] = batch.to;
        self.current = None;
        None
    }

    /// Takes part in what the tail shares, from one's own place on.
    fn join(&mut self, batch: Arc<Batch>) {
        let own = self.places[batch.stream];
        if own < batch.from {
            self.fall_behind(batch.stream);
        } else if own < batch.to {
            let told = 2 * batch.events.partition_point(|(place, _)| *place <= own);
            self.current = Some((batch, told));
        }
    }

    fn fall_behind(&mut self, stream: usize) {
        if !self.behind.contains(&stream) {
            self.behind.push_back(stream);
        }
        self.caught_up = false;
    }

    /// Reads a page of a stream.
    async fn read(&mut self, stream: usize) -> Result<(), WatchError> {
        let after = self.places[stream];
        match self.shared.feed.events(stream, after, PAGE).await {
            Ok(Reading::Page(page)) => {
                self.behind.pop_front();
                if page.more {
                    self.behind.push_back(stream);
                }
                self.current = Some((Arc::new(Batch::of(stream, after, &page)), 0));
                Ok(())
            }
            Ok(Reading::Trimmed { .. }) => Err(WatchError::Expired { oldest: self.oldest().await }),
            Err(problem @ (StoreError::DataLost { .. } | StoreError::Closing)) => Err(problem.into()),
            Err(StoreError::Unavailable { .. } | StoreError::Overloaded { .. }) => {
                tokio::time::sleep(RETRY).await;
                Ok(())
            }
        }
    }

    async fn oldest(&self) -> String {
        match self.shared.ends().await {
            Ok(ends) => {
                let places: Vec<Place> = ends.into_iter().map(|ends| ends.oldest).collect();
                cursor::text(self.shared.feed.ledger(), &places)
            }
            // That is what it means.
            Err(_) => "0".to_owned(),
        }
    }
}
