//! One sidecar: its service, its journal, its replayer, and the store they share with nobody. And the commands that tests give it.

use std::sync::Arc;
use std::time::Duration;

use genquota::clock::{Clock, ManualClock};
use genquota::domain::administration::{Administration, NewGrant, NewSubscription, Request, Requested};
use genquota::domain::amount::Micros;
use genquota::domain::ids::{
    ActionId, GenerationId, GrantId, MeterId, ModelId, PlanId, ProviderId, RequestId, ReservationId, SubjectId, Target, UserId,
};
use genquota::domain::ledger::Fingerprint;
use genquota::domain::period::Cadence;
use genquota::domain::reservation::{Labels, Outcome};
use genquota::domain::settlement::{Billing, Ending};
use genquota::domain::subject::GrantKind;
use genquota::domain::work::{Item, Work};
use genquota::service::{
    Catalogs, OutageRules, Pace, RecordCommand, ReserveCommand, Reserved, Rules, Service, ServiceError, SettleCommand, Settled,
};
use genquota::store::journal::Journal;
use genquota::store::{Store, StoreError};
use jiff::SignedDuration;
use tokio_util::task::AbortOnDropHandle;

use crate::shaky::{RETENTION, Shaky};

pub const NOON: &str = "2026-03-10T12:00:00Z";
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Images count 1 and cost 0.01. `shut` refuses while the store is away; `open` lets 5 pass.
const CATALOG: &str = "
catalog: genquota/v1
version: \"tests\"
currency: USD
meters:
  units: {}
actions:
  image:
    meter: units
    rules: [{per: output, rate: 1}]
  upload: {free: true}
prices:
  - {provider: lab, model: small, tier: basic, components: [{per: output, price: 0.01}]}
  - {provider: lab, model: big, tier: premium, components: [{per: output, price: 0.04}]}
plans:
  shut:
    rank: 1
    allowances: [{meter: units, amount: 10, per: subject}]
  open:
    rank: 2
    allowances: [{meter: units, amount: 10, per: subject}]
    features: {tiers: [basic]}
    caps:
      daily: {of: units, meter: units, limit: 8, per: day}
      parallel: {of: in_flight, limit: 4}
    on_store_outage: {open: 5}
  roomy:
    rank: 4
    allowances: [{meter: units, amount: 10, per: subject}]
    caps:
      daily: {of: units, meter: units, limit: 8, per: day}
    on_store_outage: {open: 100}
  wide:
    rank: 5
    allowances: [{meter: units, amount: 1000000, per: subject}]
    on_store_outage: {open: 40}
  seated:
    rank: 3
    allowances: [{meter: units, amount: 10, per: seat}]
    on_store_outage: {open: 5}
";

/// Everything at once, so that no test waits.
pub const AT_ONCE: Pace =
    Pace { rate: 1_000_000, lanes: 4, spread: Duration::ZERO, pause: (Duration::from_millis(1), Duration::from_millis(4)) };

pub struct Bench {
    pub store: Arc<Shaky>,
    pub clock: Arc<ManualClock>,
    pub journal: Arc<Journal>,
    pub service: Arc<Service>,
    replayer: Option<AbortOnDropHandle<()>>,
    directory: Arc<tempfile::TempDir>,
    entries_max: usize,
}

impl Bench {
    /// A sidecar with a fair store and no replayer yet.
    pub async fn new() -> Self {
        Self::with(1000, 1).await
    }

    pub async fn with(entries_max: usize, seed: u64) -> Self {
        let clock = Arc::new(ManualClock::at(NOON.parse().unwrap()));
        let store = Arc::new(Shaky::new(clock.clone(), seed));
        Self::on(store, clock, Arc::new(tempfile::tempdir().unwrap()), entries_max, PATIENCE).await
    }

    /// Another sidecar on the same store.
    pub async fn beside(&self) -> Self {
        Self::on(self.store.clone(), self.clock.clone(), Arc::new(tempfile::tempdir().unwrap()), self.entries_max, PATIENCE).await
    }

    /// One whose calls do not wait long.
    pub async fn impatient() -> Self {
        let clock = Arc::new(ManualClock::at(NOON.parse().unwrap()));
        let store = Arc::new(Shaky::new(clock.clone(), 1));
        Self::on(store, clock, Arc::new(tempfile::tempdir().unwrap()), 1000, SHORT).await
    }

    async fn on(
        store: Arc<Shaky>,
        clock: Arc<ManualClock>,
        directory: Arc<tempfile::TempDir>,
        entries_max: usize,
        patience: Duration,
    ) -> Self {
        let journal = Arc::new(Journal::open(directory.path(), entries_max).unwrap());
        let service =
            Arc::new(plain(store.clone(), clock.clone()).await.journalled(journal.clone(), OutageRules { patience, retention: RETENTION }));
        Self { store, clock, journal, service, replayer: None, directory, entries_max }
    }

    /// Ends the process wherever it is, and starts another on the same disk. The store must be there for it.
    pub async fn restarted(self) -> Self {
        let (store, clock, directory, entries_max) = (self.store.clone(), self.clock.clone(), self.directory.clone(), self.entries_max);
        self.stopped().await;
        Self::on(store, clock, directory, entries_max, PATIENCE).await
    }

    /// Ends the process wherever it is.
    pub async fn stopped(self) {
        let Self { mut journal, service, replayer, .. } = self;
        if let Some(replayer) = replayer {
            replayer.abort();
            let _ = replayer.await;
        }
        drop(service);
        // Whoever still holds it is a lane that has been aborted and is about to end.
        while let Err(shared) = Arc::try_unwrap(journal) {
            journal = shared;
            tokio::task::yield_now().await;
        }
    }

    /// Where the journal is.
    pub fn directory(&self) -> Arc<tempfile::TempDir> {
        self.directory.clone()
    }

    pub fn start_replayer(&mut self, pace: Pace) {
        self.replayer = Some(AbortOnDropHandle::new(tokio::spawn(self.service.clone().replay(pace))));
    }

    /// Replays until the journal is empty.
    pub async fn replay(&mut self) {
        if self.replayer.is_none() {
            self.start_replayer(AT_ONCE);
        }
        eventually("the journal is drained", || self.journal.is_drained()).await;
    }

    pub async fn customer(&self, name: &str, plan: &str) -> SubjectId {
        customer(&self.service, name, plan).await
    }

    pub async fn administrate(&self, subject: &SubjectId, change: Administration) {
        self.service.administrate(subject.clone(), change).await.unwrap();
    }

    pub async fn reserve(&self, command: ReserveCommand) -> Result<Reserved, ServiceError> {
        self.service.reserve(command).await
    }

    /// A reserve that must be granted.
    pub async fn held(&self, name: &str, id: &str, count: u32) -> Reserved {
        let reserved = self.reserve(images(name, id, count)).await.unwrap();
        assert!(reserved.outcome.is_ok(), "{reserved:?}");
        reserved
    }

    pub async fn commit(&self, name: &str, id: &str) -> Result<Settled, ServiceError> {
        self.service.settle(commit(name, id, None)).await
    }

    pub async fn release(&self, name: &str, id: &str) -> Result<Settled, ServiceError> {
        self.service.settle(release(name, id, Outcome::Failed, Billing::default())).await
    }

    pub fn advance(&self, by: SignedDuration) {
        self.clock.set(self.clock.now().checked_add(by).unwrap());
        self.store.sweep();
    }
}

/// A subject on a plan, seen by this sidecar as after any call.
pub async fn customer(service: &Service, name: &str, plan: &str) -> SubjectId {
    let subject = subject(name);
    let created = Administration::Create { zone: jiff::tz::TimeZone::UTC, labels: Labels::new(), fingerprint: fingerprint("create") };
    service.administrate(subject.clone(), created).await.unwrap();
    let plan = PlanId::new(plan).unwrap();
    let seats = (plan.as_str() == "seated").then_some(2);
    let subscription = NewSubscription { plan, billing: Cadence::Month, start_time: None, zone: None, seats };
    let subscribed = Administration::Requested(request("subscribe"), Requested::Subscribe(subscription));
    service.administrate(subject.clone(), subscribed).await.unwrap();
    service.reserve(ReserveCommand { validate_only: true, ..images(name, "look", 1) }).await.unwrap();
    subject
}

/// How long calls wait for a store that hangs, where a test lets it.
pub const SHORT: Duration = Duration::from_millis(500);

/// A service without a journal.
pub async fn plain(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Service {
    let read = |text: &str| genquota::catalog::parse("catalog", text).map_err(|problems| problems.to_string());
    let catalogs = Catalogs::start(&*store, Arc::from(CATALOG), read).await.unwrap();
    let rules = Rules { ttl: SignedDuration::from_mins(15), ttl_max: SignedDuration::from_hours(2) };
    Service::new(store, catalogs, clock, rules)
}

pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("in time: {what}"));
}

pub fn subject(name: &str) -> SubjectId {
    SubjectId::new(name).unwrap()
}

/// Equal payloads have equal fingerprints.
pub fn fingerprint(payload: &str) -> Fingerprint {
    let mut bytes = [0_u8; 16];
    for (at, byte) in payload.bytes().enumerate() {
        bytes[at % 16] = bytes[at % 16].wrapping_mul(31).wrapping_add(byte);
    }
    Fingerprint(bytes)
}

pub fn request(id: &str) -> Request {
    Request { id: RequestId::new(id).unwrap(), fingerprint: fingerprint(id), detail: Box::default() }
}

pub fn units(count: i64) -> i64 {
    count * 1_000_000
}

pub fn grant(id: &str, count: i64) -> Administration {
    Administration::Grant(NewGrant {
        id: GrantId::new(id).unwrap(),
        fingerprint: fingerprint(id),
        detail: Box::default(),
        meter: MeterId::new("units").unwrap(),
        units: Micros::new(units(count)).unwrap(),
        kind: GrantKind::Purchased,
        effective_time: None,
        expire_time: None,
        priority: 0,
        requires_subscription: None,
    })
}

pub fn work(count: u32) -> Work {
    Work { items: vec![Item { count, measures: [].into(), attributes: [].into() }] }
}

pub fn target(model: &str) -> Target {
    Target { provider: ProviderId::new("lab").unwrap(), model: ModelId::new(model).unwrap() }
}

pub fn images(name: &str, id: &str, count: u32) -> ReserveCommand {
    ReserveCommand {
        subject: subject(name),
        user: None,
        id: ReservationId::new(id).unwrap(),
        generation: GenerationId::new(id).unwrap(),
        action: ActionId::new("image").unwrap(),
        target: Some(target("small")),
        planned_target: None,
        fallbacks: Vec::new(),
        work: work(count),
        ttl: None,
        accept_fewer: false,
        validate_only: false,
        labels: Labels::new(),
        fingerprint: fingerprint(&format!("reserve {name} {id} {count}")),
    }
}

pub fn images_by(name: &str, user: &str, id: &str, count: u32) -> ReserveCommand {
    ReserveCommand { user: Some(UserId::new(user).unwrap()), ..images(name, id, count) }
}

/// `None`: as reserved.
pub fn commit(name: &str, id: &str, count: Option<u32>) -> SettleCommand {
    SettleCommand {
        subject: subject(name),
        id: ReservationId::new(id).unwrap(),
        ending: Ending::Commit { delivered: count.map(work) },
        billing: Billing::default(),
        fingerprint: fingerprint(&format!("commit {name} {id} {count:?}")),
        trace: None,
    }
}

pub fn release(name: &str, id: &str, outcome: Outcome, billing: Billing) -> SettleCommand {
    SettleCommand {
        subject: subject(name),
        id: ReservationId::new(id).unwrap(),
        fingerprint: fingerprint(&format!("release {name} {id} {outcome:?} {billing:?}")),
        trace: None,
        ending: Ending::Release { outcome, note: "".into() },
        billing,
    }
}

pub fn usage(name: &str, id: &str, count: u32) -> RecordCommand {
    RecordCommand {
        subject: subject(name),
        user: None,
        id: ReservationId::new(id).unwrap(),
        generation: GenerationId::new(id).unwrap(),
        action: ActionId::new("image").unwrap(),
        target: Some(target("small")),
        work: work(count),
        billing: Billing::default(),
        outcome: Outcome::Accepted,
        labels: Labels::new(),
        fingerprint: fingerprint(&format!("usage {name} {id} {count}")),
        trace: None,
    }
}

#[track_caller]
pub fn assert_away<T: std::fmt::Debug>(answer: Result<T, ServiceError>) {
    assert!(matches!(answer, Err(ServiceError::Store(StoreError::Unavailable { .. }))), "{answer:?}");
}
