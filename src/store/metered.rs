//! A store that tells how long each of its answers took.
//!
//! It changes no answer and knows no metric: what it measures is told to a [`Watcher`]. What only the store itself can see is told to
//! [`Batches`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{CostsOf, Feed, HourRange, Store, StoreError, Urgency};
use crate::domain::ids::{CatalogVersion, ReservationId, SubjectId};
use crate::domain::ledger::{Account, AccountKey, Answer, HistoryPlace, Row, Transaction};
use crate::domain::subject::Document;
use crate::domain::summary::CostSum;

/// What a store is asked, as far as a measurement tells it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A transaction that may be shed.
    Reserve,
    /// Any other transaction.
    Settle,
    Document,
    Documents,
    Reservation,
    History,
    Accounts,
    Costs,
    KeepCatalog,
    Catalog,
}

/// Who is told. It is called on the way of every answer, in the task of the caller: it must be quick, and wait for nothing.
pub trait Watcher: Send + Sync + 'static {
    fn answered(&self, operation: Operation, took: Duration, error: Option<&StoreError>);
}

/// Is told how many operations a store took up together, each time. It is called where they are carried out: it must be quick.
#[derive(Clone)]
pub struct Batches(Arc<dyn Fn(usize) + Send + Sync>);

/// The store inside, watched.
pub struct Metered {
    store: Arc<dyn Store>,
    watcher: Arc<dyn Watcher>,
}

impl Operation {
    pub const ALL: [Self; 10] = [
        Self::Reserve,
        Self::Settle,
        Self::Document,
        Self::Documents,
        Self::Reservation,
        Self::History,
        Self::Accounts,
        Self::Costs,
        Self::KeepCatalog,
        Self::Catalog,
    ];

    /// Its place in [`Operation::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Settle => "settle",
            Self::Document => "document",
            Self::Documents => "documents",
            Self::Reservation => "reservation",
            Self::History => "history",
            Self::Accounts => "accounts",
            Self::Costs => "costs",
            Self::KeepCatalog => "keep_catalog",
            Self::Catalog => "catalog",
        }
    }
}

impl Batches {
    pub fn new(tell: impl Fn(usize) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(super) fn tell(&self, operations: usize) {
        (self.0)(operations);
    }
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Batches")
    }
}

impl Metered {
    pub fn new(store: Arc<dyn Store>, watcher: Arc<dyn Watcher>) -> Self {
        Self { store, watcher }
    }

    async fn watched<T>(&self, operation: Operation, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let start = Instant::now();
        let answer = asked.await;
        self.watcher.answered(operation, start.elapsed(), answer.as_ref().err());
        answer
    }
}

#[async_trait::async_trait]
impl Store for Metered {
    async fn execute(&self, transaction: Transaction, urgency: Urgency) -> Result<Answer, StoreError> {
        let operation = if urgency == Urgency::Reserve { Operation::Reserve } else { Operation::Settle };
        self.watched(operation, self.store.execute(transaction, urgency)).await
    }

    async fn document(&self, subject: &SubjectId) -> Result<Option<Arc<Document>>, StoreError> {
        self.watched(Operation::Document, self.store.document(subject)).await
    }

    async fn documents(&self, after: Option<&SubjectId>, limit: usize) -> Result<Vec<Arc<Document>>, StoreError> {
        self.watched(Operation::Documents, self.store.documents(after, limit)).await
    }

    async fn reservation(&self, subject: &SubjectId, id: &ReservationId, urgency: Urgency) -> Result<Option<Arc<Row>>, StoreError> {
        self.watched(Operation::Reservation, self.store.reservation(subject, id, urgency)).await
    }

    async fn history(&self, subject: &SubjectId, before: &HistoryPlace, limit: usize) -> Result<Vec<Arc<Row>>, StoreError> {
        self.watched(Operation::History, self.store.history(subject, before, limit)).await
    }

    async fn accounts(&self, subject: &SubjectId, keys: Vec<AccountKey>) -> Result<Vec<Account>, StoreError> {
        self.watched(Operation::Accounts, self.store.accounts(subject, keys)).await
    }

    async fn costs(&self, hours: HourRange, of: CostsOf) -> Result<Vec<CostSum>, StoreError> {
        self.watched(Operation::Costs, self.store.costs(hours, of)).await
    }

    async fn keep_catalog(&self, version: &CatalogVersion, text: Arc<str>) -> Result<(), StoreError> {
        self.watched(Operation::KeepCatalog, self.store.keep_catalog(version, text)).await
    }

    async fn catalog(&self, version: &CatalogVersion) -> Result<Option<Arc<str>>, StoreError> {
        self.watched(Operation::Catalog, self.store.catalog(version)).await
    }

    fn feed(&self) -> Arc<dyn Feed> {
        self.store.feed()
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
