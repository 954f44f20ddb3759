//! Stores: where the ledger lives. Every store answers the same transactions alike; they differ in who shares them and what they survive.
//!
//! A store decides nothing by itself: what it is asked was judged above, what it answers is the ledger's. `Err` means "no answer", and only
//! that meets the outage policy.

pub mod embedded;
pub mod feed;
pub mod journal;
pub mod metered;
pub mod outage;
pub mod queue;
pub mod record;
pub mod redis;
pub mod transfer;

use std::sync::Arc;
use std::time::Duration;

pub use self::feed::{Ends, Feed, Observer, Page, Place, Reading};
use crate::domain::ids::{CatalogVersion, ReservationId, SubjectId};
use crate::domain::ledger::{Account, AccountKey, Answer, HistoryPlace, Row, Transaction};
use crate::domain::subject::Document;
use crate::domain::summary::CostSum;

/// What is shed first when there is more work than a store can take (W4): new holds, then reads, never a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    Reserve,
    Read,
    Settle,
}

/// Hours since 1970, the last one not among them.
pub type HourRange = std::ops::Range<i64>;

/// Whose sums of costs are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CostsOf {
    /// Those of all subjects together: few, whatever their number.
    Everybody,
    Subject(SubjectId),
    /// Each subject's by itself: as many as there were customers in these hours.
    EachSubject,
}

/// Why a store gave no answer. Whether anything was applied is unknown unless the variant says so; asking again with the same id tells.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Not applied: the queue in front of the store is full.
    #[error("the store has too much to do")]
    Overloaded { retry_after: Duration },
    #[error("the store gives no answer: {reason}")]
    Unavailable { reason: Arc<str> },
    /// The store does not hold what it held before (W3).
    #[error("the store has lost data: {reason}")]
    DataLost { reason: Arc<str> },
    /// Not applied: the store is closing.
    #[error("the store is closing")]
    Closing,
}

#[async_trait::async_trait]
pub trait Store: Send + Sync + 'static {
    /// One atomic step. The answer comes when what it says is as durable as the store can make it.
    async fn execute(&self, transaction: Transaction, urgency: Urgency) -> Result<Answer, StoreError>;

    async fn document(&self, subject: &SubjectId) -> Result<Option<Arc<Document>>, StoreError>;

    /// Documents in the order of their subjects, those after `after`.
    async fn documents(&self, after: Option<&SubjectId>, limit: usize) -> Result<Vec<Arc<Document>>, StoreError>;

    /// A reservation as it stands. What is read to settle it is as urgent as the settlement.
    async fn reservation(&self, subject: &SubjectId, id: &ReservationId, urgency: Urgency) -> Result<Option<Arc<Row>>, StoreError>;

    /// Reservations that stand before a place in a subject's history, as they stand, the last first; at most `limit`, which is above zero.
    /// There may be fewer where more follow: only an empty answer is the end.
    async fn history(&self, subject: &SubjectId, before: &HistoryPlace, limit: usize) -> Result<Vec<Arc<Row>>, StoreError>;

    /// The accounts with these keys, in one consistent read; one that does not exist is empty.
    async fn accounts(&self, subject: &SubjectId, keys: Vec<AccountKey>) -> Result<Vec<Account>, StoreError>;

    /// Sums of closed attempts in some hours, in no order. Several may have one hour and key: they are parts of one sum.
    async fn costs(&self, hours: HourRange, of: CostsOf) -> Result<Vec<CostSum>, StoreError>;

    /// Keeps a catalog's text, so that reservations made under it can be settled by it ever after (R9).
    async fn keep_catalog(&self, version: &CatalogVersion, text: Arc<str>) -> Result<(), StoreError>;

    async fn catalog(&self, version: &CatalogVersion) -> Result<Option<Arc<str>>, StoreError>;

    /// Reads the events that every change leaves.
    fn feed(&self) -> Arc<dyn Feed>;

    /// Finishes what was accepted and closes. Later calls answer [`StoreError::Closing`].
    async fn close(&self);
}
