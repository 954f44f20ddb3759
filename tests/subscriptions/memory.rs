//! The ledger itself as a store, so that thousands of stories take seconds: no thread, no queue, no disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use genquota::clock::{Clock as _, ManualClock};
use genquota::domain::ids::{CatalogVersion, ReservationId, SubjectId};
use genquota::domain::ledger::{Account, AccountKey, Answer, Changes, HistoryPlace, Ledger, Row, Transaction};
use genquota::domain::subject::Document;
use genquota::domain::summary::CostSum;
use genquota::store::{CostsOf, Feed, HourRange, Store, StoreError, Urgency};
use jiff::Timestamp;

use crate::random::RETENTION;

pub struct Memory {
    ledger: Mutex<Ledger>,
    catalogs: Mutex<HashMap<CatalogVersion, Arc<str>>>,
    clock: Arc<ManualClock>,
}

impl Memory {
    pub fn new(clock: Arc<ManualClock>) -> Self {
        Self { ledger: Mutex::new(Ledger::new(RETENTION)), catalogs: Mutex::default(), clock }
    }

    /// What is due happens before whatever is asked.
    fn ask<T>(&self, ask: impl FnOnce(&mut Ledger, Timestamp, &mut Changes) -> T) -> Result<T, StoreError> {
        let (mut ledger, now, mut changes) = (self.ledger.lock().unwrap(), self.clock.now(), Changes::default());
        while ledger.sweep(now, &mut changes) {}
        Ok(ask(&mut ledger, now, &mut changes))
    }
}

#[async_trait::async_trait]
impl Store for Memory {
    async fn execute(&self, transaction: Transaction, _: Urgency) -> Result<Answer, StoreError> {
        self.ask(|ledger, now, changes| ledger.execute(now, &transaction, changes))
    }

    async fn document(&self, subject: &SubjectId) -> Result<Option<Arc<Document>>, StoreError> {
        self.ask(|ledger, _, _| ledger.document(subject))
    }

    async fn documents(&self, after: Option<&SubjectId>, limit: usize) -> Result<Vec<Arc<Document>>, StoreError> {
        self.ask(|ledger, _, _| ledger.documents(after, limit))
    }

    async fn reservation(&self, subject: &SubjectId, id: &ReservationId, _: Urgency) -> Result<Option<Arc<Row>>, StoreError> {
        self.ask(|ledger, now, changes| ledger.reservation(subject, id, now, changes))
    }

    async fn accounts(&self, subject: &SubjectId, keys: Vec<AccountKey>) -> Result<Vec<Account>, StoreError> {
        self.ask(|ledger, _, _| ledger.accounts(subject, &keys))
    }

    async fn history(&self, _: &SubjectId, _: &HistoryPlace, _: usize) -> Result<Vec<Arc<Row>>, StoreError> {
        unreachable!("no story looks back")
    }

    async fn costs(&self, _: HourRange, _: CostsOf) -> Result<Vec<CostSum>, StoreError> {
        unreachable!("no story asks for costs")
    }

    async fn keep_catalog(&self, version: &CatalogVersion, text: Arc<str>) -> Result<(), StoreError> {
        self.catalogs.lock().unwrap().insert(version.clone(), text);
        Ok(())
    }

    async fn catalog(&self, version: &CatalogVersion) -> Result<Option<Arc<str>>, StoreError> {
        Ok(self.catalogs.lock().unwrap().get(version).cloned())
    }

    fn feed(&self) -> Arc<dyn Feed> {
        unreachable!("nobody watches a story")
    }

    async fn close(&self) {}
}
