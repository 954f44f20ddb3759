//! A caller whose read of a subject is overtaken by an administrative change on its way back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use genquota::clock::ManualClock;
use genquota::domain::administration::{Administration, NewSubscription, Request, Requested};
use genquota::domain::ids::{ActionId, GenerationId, PlanId, RequestId, ReservationId, SubjectId, Target};
use genquota::domain::ids::{CatalogVersion, ModelId, ProviderId};
use genquota::domain::ledger::{Account, AccountKey, Answer, Fingerprint, HistoryPlace, Row, Transaction};
use genquota::domain::period::Cadence;
use genquota::domain::reservation::Labels;
use genquota::domain::subject::Document;
use genquota::domain::summary::CostSum;
use genquota::domain::work::{Item, Work};
use genquota::service::{Catalogs, ReserveCommand, Rules, Service};
use genquota::store::embedded::{EmbeddedStore, Options};
use genquota::store::{CostsOf, Feed, HourRange, Store, StoreError, Urgency};
use jiff::SignedDuration;
use tokio::sync::Notify;

use super::NOON;
use crate::catalogs::monthly;

/// A store that, once, reads a document at once and hands it over late.
struct Late {
    store: EmbeddedStore,
    armed: AtomicBool,
    has_read: Notify,
    go_on: Notify,
}

#[async_trait::async_trait]
impl Store for Late {
    async fn execute(&self, transaction: Transaction, urgency: Urgency) -> Result<Answer, StoreError> {
        self.store.execute(transaction, urgency).await
    }

    async fn document(&self, subject: &SubjectId) -> Result<Option<Arc<Document>>, StoreError> {
        let document = self.store.document(subject).await;
        if self.armed.swap(false, Ordering::SeqCst) {
            self.has_read.notify_one();
            self.go_on.notified().await;
        }
        document
    }

    async fn documents(&self, after: Option<&SubjectId>, limit: usize) -> Result<Vec<Arc<Document>>, StoreError> {
        self.store.documents(after, limit).await
    }

    async fn reservation(&self, subject: &SubjectId, id: &ReservationId, urgency: Urgency) -> Result<Option<Arc<Row>>, StoreError> {
        self.store.reservation(subject, id, urgency).await
    }

    async fn history(&self, subject: &SubjectId, before: &HistoryPlace, limit: usize) -> Result<Vec<Arc<Row>>, StoreError> {
        self.store.history(subject, before, limit).await
    }

    async fn accounts(&self, subject: &SubjectId, keys: Vec<AccountKey>) -> Result<Vec<Account>, StoreError> {
        self.store.accounts(subject, keys).await
    }

    async fn costs(&self, hours: HourRange, of: CostsOf) -> Result<Vec<CostSum>, StoreError> {
        self.store.costs(hours, of).await
    }

    async fn keep_catalog(&self, version: &CatalogVersion, text: Arc<str>) -> Result<(), StoreError> {
        self.store.keep_catalog(version, text).await
    }

    fn feed(&self) -> Arc<dyn Feed> {
        self.store.feed()
    }

    async fn catalog(&self, version: &CatalogVersion) -> Result<Option<Arc<str>>, StoreError> {
        self.store.catalog(version).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

async fn service() -> (Arc<Late>, Arc<Service>) {
    let clock = Arc::new(ManualClock::at(NOON.parse().unwrap()));
    let store = EmbeddedStore::in_memory(Options::default(), clock.clone()).unwrap();
    let store = Arc::new(Late { store, armed: AtomicBool::new(false), has_read: Notify::new(), go_on: Notify::new() });
    let service = serve(&store).await;
    (store, service)
}

async fn serve(store: &Arc<Late>) -> Arc<Service> {
    let clock = Arc::new(ManualClock::at(NOON.parse().unwrap()));
    let read = |text: &str| genquota::catalog::parse("catalog", text).map_err(|problems| problems.to_string());
    let catalogs = Catalogs::start(&**store, Arc::from(monthly("10")), read).await.unwrap();
    let rules = Rules { ttl: SignedDuration::from_mins(15), ttl_max: SignedDuration::from_hours(2) };
    Arc::new(Service::new(store.clone(), catalogs, clock, rules))
}

fn acme() -> SubjectId {
    SubjectId::new("acme").unwrap()
}

fn one_image(id: &str) -> ReserveCommand {
    ReserveCommand {
        subject: acme(),
        user: None,
        id: ReservationId::new(id).unwrap(),
        generation: GenerationId::new(id).unwrap(),
        action: ActionId::new("image").unwrap(),
        target: Some(Target { provider: ProviderId::new("lab").unwrap(), model: ModelId::new("small").unwrap() }),
        planned_target: None,
        fallbacks: Vec::new(),
        work: Work { items: vec![Item { count: 1, measures: [].into(), attributes: [].into() }] },
        ttl: None,
        accept_fewer: false,
        validate_only: false,
        labels: Labels::new(),
        fingerprint: Fingerprint([1; 16]),
    }
}

fn request(id: &str) -> Request {
    Request { id: RequestId::new(id).unwrap(), fingerprint: Fingerprint([2; 16]), detail: Box::default() }
}

fn create() -> Administration {
    Administration::Create { zone: jiff::tz::TimeZone::UTC, labels: Labels::new(), fingerprint: Fingerprint([3; 16]) }
}

fn subscribe() -> Administration {
    let plan = PlanId::new("pro").unwrap();
    let subscription = NewSubscription { plan, billing: Cadence::Month, start_time: None, zone: None, seats: None };
    Administration::Requested(request("subscribe"), Requested::Subscribe(subscription))
}

/// Lets a reserve read the subject, carries out the changes, and only then lets the reserve go on.
async fn overtake(store: &Late, service: &Arc<Service>, changes: impl IntoIterator<Item = Administration>) -> bool {
    store.armed.store(true, Ordering::SeqCst);
    let overtaken = tokio::spawn({
        let service = service.clone();
        async move { service.reserve(one_image("overtaken")).await }
    });
    store.has_read.notified().await;
    for change in changes {
        service.administrate(acme(), change).await.unwrap();
    }
    store.go_on.notify_one();
    overtaken.await.unwrap().unwrap().outcome.is_ok()
}

/// The stranger of before was kept as the subject of now, and denied until the process ended.
#[tokio::test]
async fn a_subject_that_is_subscribed_while_it_is_looked_up_is_no_stranger() {
    let (store, service) = service().await;
    assert!(overtake(&store, &service, [create(), subscribe()]).await);
    assert!(service.reserve(one_image("next")).await.unwrap().outcome.is_ok());
}

/// One who changes subjects elsewhere tells nobody: a denial by the document must be by the document as it is.
#[tokio::test]
async fn a_suspension_that_was_lifted_elsewhere_denies_nothing_any_more() {
    let (store, here) = service().await;
    for change in [create(), subscribe(), Administration::Requested(request("suspend"), Requested::Suspend)] {
        here.administrate(acme(), change).await.unwrap();
    }
    assert!(here.reserve(one_image("suspended")).await.unwrap().outcome.is_err());
    let elsewhere = serve(&store).await;
    elsewhere.administrate(acme(), Administration::Requested(request("resume"), Requested::Resume)).await.unwrap();
    assert!(here.reserve(one_image("resumed")).await.unwrap().outcome.is_ok());
}
