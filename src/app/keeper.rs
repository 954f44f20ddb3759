//! The store's keeper: asks the store now and then whether it answers, and tells the probes.
//!
//! It changes nothing and decides nothing; a caller hears of a silent store by its own call.

use std::sync::Arc;
use std::time::Duration;

use crate::http::{Health, StoreHealth};
use crate::service::Service;
use crate::store::{Store, StoreError};

/// How often the store is asked: within a probe's usual period, and too seldom to count as load.
const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the health up to date for as long as it is polled. The service says what its plans let pass without the store.
pub(super) async fn keep(store: Arc<dyn Store>, service: Arc<Service>, health: Health) {
    watch(&*store, || service.is_open_in_outage(), &health).await;
}

async fn watch(store: &dyn Store, is_open: impl Fn() -> bool, health: &Health) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        health.set_store(look(store, &is_open).await);
    }
}

/// The store as it is: any answer will do.
async fn look(store: &dyn Store, is_open: &impl Fn() -> bool) -> StoreHealth {
    match tokio::time::timeout(INTERVAL, store.documents(None, 0)).await {
        // A store that sheds load or closes is there.
        Ok(Ok(_) | Err(StoreError::Overloaded { .. } | StoreError::Closing)) => StoreHealth::Answering,
        Ok(Err(StoreError::DataLost { .. })) => StoreHealth::DataLost,
        Ok(Err(StoreError::Unavailable { .. })) | Err(_) if is_open() => StoreHealth::SilentOpen,
        Ok(Err(StoreError::Unavailable { .. })) | Err(_) => StoreHealth::SilentClosed,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::domain::ids::{CatalogVersion, ReservationId, SubjectId};
    use crate::domain::ledger::{Account, AccountKey, Answer, HistoryPlace, Row, Transaction};
    use crate::domain::subject::Document;
    use crate::domain::summary::CostSum;
    use crate::store::{CostsOf, Feed, HourRange, Urgency};

    /// Answers every call with the error it is told, or with nothing found.
    #[derive(Default)]
    struct Told(Mutex<Option<StoreError>>);

    impl Told {
        fn answer<T>(&self, nothing: T) -> Result<T, StoreError> {
            self.0.lock().unwrap().clone().map_or(Ok(nothing), Err)
        }
    }

    #[async_trait::async_trait]
    impl Store for Told {
        async fn execute(&self, _: Transaction, _: Urgency) -> Result<Answer, StoreError> {
            self.answer(Answer::StaleDocument)
        }

        async fn document(&self, _: &SubjectId) -> Result<Option<Arc<Document>>, StoreError> {
            self.answer(None)
        }

        async fn documents(&self, _: Option<&SubjectId>, _: usize) -> Result<Vec<Arc<Document>>, StoreError> {
            self.answer(Vec::new())
        }

        async fn reservation(&self, _: &SubjectId, _: &ReservationId, _: Urgency) -> Result<Option<Arc<Row>>, StoreError> {
            self.answer(None)
        }

        async fn history(&self, _: &SubjectId, _: &HistoryPlace, _: usize) -> Result<Vec<Arc<Row>>, StoreError> {
            self.answer(Vec::new())
        }

        async fn accounts(&self, _: &SubjectId, _: Vec<AccountKey>) -> Result<Vec<Account>, StoreError> {
            self.answer(Vec::new())
        }

        async fn costs(&self, _: HourRange, _: CostsOf) -> Result<Vec<CostSum>, StoreError> {
            self.answer(Vec::new())
        }

        async fn keep_catalog(&self, _: &CatalogVersion, _: Arc<str>) -> Result<(), StoreError> {
            self.answer(())
        }

        async fn catalog(&self, _: &CatalogVersion) -> Result<Option<Arc<str>>, StoreError> {
            self.answer(None)
        }

        fn feed(&self) -> Arc<dyn Feed> {
            panic!("a probe reads no events")
        }

        async fn close(&self) {}
    }

    #[tokio::test]
    async fn probes_hear_of_a_store_that_falls_silent_and_of_its_return() {
        let store = Arc::new(Told::default());
        let health = Health::starting();
        health.set_phase(crate::http::Phase::Serving);
        let open = Arc::new(AtomicBool::new(false));
        let (watched, is_open, told) = (store.clone(), open.clone(), health.clone());
        let keeper = tokio::spawn(async move { watch(&*watched, || is_open.load(Ordering::SeqCst), &told).await });
        let mut changes = health.subscribe();
        let reason = || Arc::from("told so");
        for (told, policy_open, expected) in [
            (Some(StoreError::Unavailable { reason: reason() }), false, StoreHealth::SilentClosed),
            (Some(StoreError::Unavailable { reason: reason() }), true, StoreHealth::SilentOpen),
            (None, true, StoreHealth::Answering),
            (Some(StoreError::DataLost { reason: reason() }), true, StoreHealth::DataLost),
            (Some(StoreError::Overloaded { retry_after: INTERVAL }), false, StoreHealth::Answering),
        ] {
            open.store(policy_open, Ordering::SeqCst);
            *store.0.lock().unwrap() = told;
            changes.wait_for(|state| state.store == expected).await.unwrap();
        }
        keeper.abort();
    }
}
