//! A store that is away and comes back, as callers of the server see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use genquota::clock::ManualClock;
use genquota::domain::ids::{CatalogVersion, ReservationId, SubjectId};
use genquota::domain::ledger::{Account, AccountKey, Answer, HistoryPlace, Row, Transaction};
use genquota::domain::subject::Document;
use genquota::domain::summary::CostSum;
use genquota::proto::v1;
use genquota::store::embedded::{EmbeddedStore, Options};
use genquota::store::{CostsOf, Feed, HourRange, Store, StoreError, Urgency};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::NOON;
use crate::ask::{images, outputs, reason, target};
use crate::catalogs::plans;
use crate::harness::{Server, Setup, eventually};

/// A store with a door.
struct Door {
    store: EmbeddedStore,
    shut: AtomicBool,
}

impl Door {
    fn open() -> Arc<Self> {
        let clock = Arc::new(ManualClock::at(NOON.parse().unwrap()));
        Arc::new(Self { store: EmbeddedStore::in_memory(Options::default(), clock).unwrap(), shut: AtomicBool::new(false) })
    }

    fn set_shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::SeqCst);
    }

    fn through(&self) -> Result<&EmbeddedStore, StoreError> {
        let shut = self.shut.load(Ordering::SeqCst);
        if shut { Err(StoreError::Unavailable { reason: Arc::from("the door is shut") }) } else { Ok(&self.store) }
    }
}

#[async_trait::async_trait]
impl Store for Door {
    async fn execute(&self, transaction: Transaction, urgency: Urgency) -> Result<Answer, StoreError> {
        self.through()?.execute(transaction, urgency).await
    }

    async fn document(&self, subject: &SubjectId) -> Result<Option<Arc<Document>>, StoreError> {
        self.through()?.document(subject).await
    }

    async fn documents(&self, after: Option<&SubjectId>, limit: usize) -> Result<Vec<Arc<Document>>, StoreError> {
        self.through()?.documents(after, limit).await
    }

    async fn reservation(&self, subject: &SubjectId, id: &ReservationId, urgency: Urgency) -> Result<Option<Arc<Row>>, StoreError> {
        self.through()?.reservation(subject, id, urgency).await
    }

    async fn history(&self, subject: &SubjectId, before: &HistoryPlace, limit: usize) -> Result<Vec<Arc<Row>>, StoreError> {
        self.through()?.history(subject, before, limit).await
    }

    async fn accounts(&self, subject: &SubjectId, keys: Vec<AccountKey>) -> Result<Vec<Account>, StoreError> {
        self.through()?.accounts(subject, keys).await
    }

    async fn costs(&self, hours: HourRange, of: CostsOf) -> Result<Vec<CostSum>, StoreError> {
        self.through()?.costs(hours, of).await
    }

    async fn keep_catalog(&self, version: &CatalogVersion, text: Arc<str>) -> Result<(), StoreError> {
        self.through()?.keep_catalog(version, text).await
    }

    fn feed(&self) -> Arc<dyn Feed> {
        self.store.feed()
    }

    async fn catalog(&self, version: &CatalogVersion) -> Result<Option<Arc<str>>, StoreError> {
        self.through()?.catalog(version).await
    }

    /// Several servers of one test use it, one after the other.
    async fn close(&self) {}
}

const SHUT: &str = "pro: {allowances: [{meter: units, amount: 10, per: subject}]}";
const OPEN: &str = "pro: {allowances: [{meter: units, amount: 10, per: subject}], on_store_outage: {open: 5}}";

async fn health(server: &Server) -> ServingStatus {
    health_of(server, "").await
}

async fn health_of(server: &Server, service: &str) -> ServingStatus {
    let mut health = HealthClient::new(server.channel.clone());
    health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap().get_ref().status()
}

async fn until_committed(server: &Server, name: &str, id: &str) -> v1::Reservation {
    let caller = server.stranger(name);
    eventually("it is carried out", async || {
        let request = v1::GetReservationRequest { subject: name.to_owned(), reservation_id: id.to_owned() };
        let found = caller.quota().get_reservation(request).await.ok()?.into_inner().reservation?;
        (found.state() == v1::State::Committed).then_some(found)
    })
    .await
}

#[tokio::test]
async fn a_refund_waits_for_the_store_and_for_what_is_queued_of_its_reservation() {
    let (door, setup) = (Door::open(), Setup::new(&plans(&[SHUT]), NOON));
    let server = setup.start_on(door.clone()).await;
    let acme = server.customer("acme", "pro").await;
    let (used, queued) = (images(2), images(3));
    acme.used(&used).await;
    acme.held(&queued).await;
    door.set_shut(true);
    assert!(acme.commit(queued.key(), |_| {}).await.unwrap().queued);
    for ask in [&used, &queued] {
        let error = acme.refund(ask.key(), "f1", None).await.unwrap_err();
        assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
    }
    door.set_shut(false);
    until_committed(&server, "acme", queued.key()).await;
    for ask in [&used, &queued] {
        assert!(!acme.refund(ask.key(), "f1", None).await.unwrap().replayed);
    }
    assert_eq!(acme.left().await, "10");
}

#[tokio::test]
async fn a_commit_is_queued_while_the_store_is_away_and_carried_out_when_it_is_back() {
    let (door, setup) = (Door::open(), Setup::new(&plans(&[SHUT]), NOON));
    let server = setup.start_on(door.clone()).await;
    let acme = server.customer("acme", "pro").await;
    let held = acme.held(&images(3)).await;
    door.set_shut(true);
    let id = &held.reservation_id;
    let committed = acme.commit(id, |_| {}).await.unwrap();
    assert!(committed.queued && !committed.replayed && committed.events.is_empty() && committed.balances.is_empty());
    assert_eq!(committed.reservation, Some(held.clone()));
    let repeated = acme.commit(id, |_| {}).await.unwrap();
    assert!(repeated.queued && repeated.replayed);
    let refused = acme.commit(id, |request| request.work = Some(outputs(1))).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(acme.reserve(&images(1)).await.unwrap_err().code(), Code::Unavailable);
    eventually("the probes hear of it", async || (health(&server).await == ServingStatus::NotServing).then_some(())).await;
    assert_eq!(health_of(&server, "liveness").await, ServingStatus::Serving, "a restart mends no store");
    door.set_shut(false);
    assert_eq!(until_committed(&server, "acme", id).await.units_committed, "3");
    let repeated = acme.commit(id, |_| {}).await.unwrap();
    assert!(!repeated.queued && repeated.replayed && repeated.events.len() == 1);
}

#[tokio::test]
async fn an_open_plan_serves_on_says_so_and_is_booked_by_the_next_start() {
    let (door, setup) = (Door::open(), Setup::new(&plans(&[OPEN]), NOON));
    let server = setup.start_on(door.clone()).await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(1)).await;
    door.set_shut(true);
    let held = acme.held(&images(4)).await;
    assert!(held.unenforced);
    assert_eq!((held.units_reserved.as_str(), held.legs[0].kind()), ("4", v1::SourceKind::Overage));
    let committed = acme.commit(&held.reservation_id, |_| {}).await.unwrap();
    assert!(committed.queued && committed.reservation.is_some_and(|reservation| reservation.unenforced));
    let usage = v1::RecordUsageRequest {
        subject: "acme".to_owned(),
        usage_id: "usage".to_owned(),
        action: "image".to_owned(),
        target: Some(target("lab/small")),
        work: Some(outputs(1)),
        ..v1::RecordUsageRequest::default()
    };
    let recorded = acme.quota().record_usage(usage).await.unwrap().into_inner();
    assert!(recorded.queued && recorded.reservation.is_none());
    assert_eq!(acme.reserve(&images(2)).await.unwrap_err().code(), Code::Unavailable);
    // Ready is who can answer by its policy.
    assert_eq!(health(&server).await, ServingStatus::Serving);

    server.begin_stop();
    drop(acme);
    server.stopped().await.unwrap();
    door.set_shut(false);
    let server = setup.start_on(door).await;
    let booked = until_committed(&server, "acme", &held.reservation_id).await;
    assert!(booked.unenforced);
    assert_eq!(
        (booked.units_committed.as_str(), booked.units_overage.as_str(), booked.legs[0].kind()),
        ("4", "0", v1::SourceKind::Allowance)
    );
    until_committed(&server, "acme", "usage").await;
}
