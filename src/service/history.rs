//! What a subject asked for: `ListGenerations`, from the reservations that the store remembers.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Service, ServiceError};
use crate::domain::history::Generation;
use crate::domain::ids::{SubjectId, UserId};
use crate::domain::ledger::{HistoryPlace, Row};

/// Most generations of one page.
pub const GENERATIONS_MAX: usize = 1000;
/// Reservations that the store is asked for at once: a Redis is at it for as long as at some ten decisions (docs/performance.md).
const CHUNK: usize = 100;
/// Reservations that one page looks at before it ends with what it has found: who looks for one user of many asks again.
const LOOKED_AT_MAX: usize = 2000;
/// About how large a page may become, in bytes: what a client takes by default is 4 MiB.
const WEIGHT_MAX: usize = 3 << 20;

#[derive(Debug, Clone)]
pub struct GenerationsCommand {
    pub subject: SubjectId,
    pub user: Option<UserId>,
    /// Of those that began at this instant or later.
    pub start_time: Option<Timestamp>,
    /// Of those that began before this one.
    pub end_time: Option<Timestamp>,
    /// At least 1, at most [`GENERATIONS_MAX`].
    pub page_size: usize,
    /// Where the page before has ended.
    pub after: Option<HistoryPlace>,
}

#[derive(Debug, Clone)]
pub struct GenerationsPage {
    pub subject: SubjectId,
    /// The one that began last comes first.
    pub generations: Vec<Generation>,
    /// Where the next page goes on; `None` after the last.
    pub next: Option<HistoryPlace>,
}

/// A page as it fills.
struct Page {
    command: GenerationsCommand,
    generations: Vec<Generation>,
    weight: usize,
    looked_at: usize,
    /// Of the generation that is read now, newest or not.
    rows: Vec<Arc<Row>>,
}

impl Service {
    pub async fn generations(&self, command: GenerationsCommand) -> Result<GenerationsPage, ServiceError> {
        let mut place = match (&command.after, command.end_time) {
            (Some(after), _) => after.clone(),
            (None, Some(end)) => HistoryPlace::begin(end),
            (None, None) => HistoryPlace::END,
        };
        let mut page = Page { command, generations: Vec::new(), weight: 0, looked_at: 0, rows: Vec::new() };
        loop {
            let rows = self.store.history(&page.command.subject, &place, CHUNK).await?;
            let Some(last) = rows.last() else { return page.end() };
            place = HistoryPlace::of(last);
            for row in rows {
                if page.rows.first().is_some_and(|first| first.detail.generation != row.detail.generation) {
                    let ended = page.close()?;
                    if page.is_full() {
                        return Ok(page.into_answer(ended));
                    }
                }
                if page.command.start_time.is_some_and(|start| row.began < start) {
                    return page.end();
                }
                page.looked_at += 1;
                page.rows.push(row);
            }
        }
    }
}

impl Page {
    /// The generation that was read is complete. Tells where it begins.
    fn close(&mut self) -> Result<Option<HistoryPlace>, ServiceError> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(None);
        }
        let generation = Generation::of(rows).ok_or_else(|| ServiceError::Internal("a generation is beyond all numbers".to_owned()))?;
        let place = generation.place();
        if self.command.user.is_none() || self.command.user == generation.user {
            self.weight += generation.weight();
            self.generations.push(generation);
        }
        Ok(Some(place))
    }

    fn is_full(&self) -> bool {
        self.generations.len() >= self.command.page_size || self.weight >= WEIGHT_MAX || self.looked_at >= LOOKED_AT_MAX
    }

    /// Nothing follows.
    fn end(mut self) -> Result<GenerationsPage, ServiceError> {
        self.close()?;
        Ok(self.into_answer(None))
    }

    fn into_answer(self, next: Option<HistoryPlace>) -> GenerationsPage {
        GenerationsPage { subject: self.command.subject, generations: self.generations, next }
    }
}
