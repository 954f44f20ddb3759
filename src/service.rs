//! The service: one method for each thing a caller can ask, each a straight line: look, judge, ask the store once, say what it means.
//!
//! It holds the policy's loop and nothing else: rules are in `domain`, arithmetic is in the store's ledger, wire types are in `grpc`.
//! A judgement that turns out stale is made again, a bounded number of times.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use jiff::{SignedDuration, Timestamp};
use moka::sync::Cache;
use tokio::sync::{Mutex, MutexGuard};

use self::outage::Fallback;
use crate::clock::Clock;
use crate::domain::balance::{Balance, Snapshot};
use crate::domain::catalog::Catalog;
use crate::domain::charge::Charge;
use crate::domain::event::CostEvent;
use crate::domain::ids::{MeterId, ReservationId, SubjectId, UserId};
use crate::domain::ledger::{AccountKey, Row, Take};
use crate::domain::subject::Document;
use crate::domain::view::{PayingSource, View};
use crate::events::Hub;
use crate::store::{Store, StoreError};

mod adjust;
mod catalogs;
mod costs;
mod error;
mod history;
mod judging;
mod outage;
mod query;
mod queued;
mod quote;
mod record;
mod refund;
mod replay;
mod reserve;
mod retry;
mod settle;
mod subjects;
mod usage;
mod watch;

pub use adjust::AdjustedSubject;
pub use catalogs::{Catalogs, ReadCatalog};
pub use costs::{Forecast, ForecastCommand, Summary, SummaryCommand};
pub use error::{ServiceError, state_name};
pub use history::{GENERATIONS_MAX, GenerationsCommand, GenerationsPage};
pub use outage::OutageRules;
pub use query::{SubjectBalance, SubjectCap};
pub use quote::{Offer, Quotation, QuoteCommand};
pub use record::RecordCommand;
pub use refund::{RefundCommand, Refunded};
pub use replay::Pace;
pub use reserve::{ReserveCommand, Reserved};
pub use retry::{Retried, RetryCommand};
pub use settle::{ExtendCommand, SettleCommand, Settled};
pub use subjects::{Previewed, Subject};
pub use usage::{Usage, UsageCommand};
pub use watch::{CHANGES_LOOKED_AT_MAX, Update, Watch};

/// How often a judgement is made anew when the store says that it was stale. Each round means that somebody else got through in between,
/// so eight in a row is contention that the caller should hear of.
const ROUNDS_MAX: usize = 8;
/// Subjects whose documents are kept at hand, known or not. About 64 MiB when all are taken.
const SUBJECTS_CACHED_MAX: u64 = 100_000;

/// Locks by which callers that change one subject's document take turns. Two subjects that share one wait for each other, briefly.
const TURNS: usize = 64;

/// Reservations kept at hand: those that a busy sidecar has in flight. About 1 KiB each.
const RESERVATIONS_CACHED_MAX: u64 = 16_384;

/// What may be set for all callers.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How long a hold lasts that names no ttl, and the longest it may name (L2).
    pub ttl: SignedDuration,
    pub ttl_max: SignedDuration,
}

/// Everything the gRPC handlers call.
pub struct Service {
    store: Arc<dyn Store>,
    catalogs: Catalogs,
    documents: Cache<SubjectId, Option<Arc<Document>>>,
    /// Reservations as they were last seen here: most are settled where they were made, and need not be read again.
    recent: Cache<(SubjectId, ReservationId), Arc<Row>>,
    turns: Vec<Mutex<()>>,
    clock: Arc<dyn Clock>,
    rules: Rules,
    /// What there is to fall back on while the store is away; `None`: nothing.
    fallback: Option<Fallback>,
    /// Made for the first who watches costs.
    hub: OnceLock<Hub>,
}

/// A reservation with its subject, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub subject: SubjectId,
    pub row: Arc<Row>,
}

impl Service {
    pub fn new(store: Arc<dyn Store>, catalogs: Catalogs, clock: Arc<dyn Clock>, rules: Rules) -> Self {
        let turns = (0..TURNS).map(|_| Mutex::new(())).collect();
        Self {
            store,
            catalogs,
            documents: Cache::new(SUBJECTS_CACHED_MAX),
            recent: Cache::new(RESERVATIONS_CACHED_MAX),
            turns,
            clock,
            rules,
            fallback: None,
            hub: OnceLock::new(),
        }
    }

    /// The catalog that judges new requests.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalogs.current()
    }

    /// The instant by which a call that begins now is judged.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Puts another catalog in force, whose text this is. What is held already is settled by the one it was judged by (R9). An error of the
    /// store leaves the one in force as it is.
    pub async fn replace_catalog(&self, text: Arc<str>, catalog: Catalog) -> Result<(), StoreError> {
        self.catalogs.replace(&*self.store, text, catalog).await
    }

    /// The subject's document as last seen. Every decision by it carries its version, so a stale one is found out.
    async fn cached_document(&self, subject: &SubjectId) -> Result<Option<Arc<Document>>, StoreError> {
        if let Some(known) = self.documents.get(subject) {
            return Ok(known);
        }
        let document = self.store.document(subject).await?;
        self.keep(subject, document.clone());
        Ok(document)
    }

    /// Keeps a held reservation at hand for its settlement.
    fn remember(&self, reservation: &Reservation) {
        let key = (reservation.subject.clone(), reservation.row.id.clone());
        self.recent.insert(key, reservation.row.clone());
    }

    /// Keeps a document at hand, unless a later one is: what was read may have been overtaken on its way here.
    fn keep(&self, subject: &SubjectId, document: Option<Arc<Document>>) {
        let version = |document: &Option<Arc<Document>>| document.as_ref().map_or(0, |document| document.version);
        self.documents.entry_by_ref(subject).and_upsert_with(|known| match known.map(moka::Entry::into_value) {
            Some(known) if version(&known) > version(&document) => known,
            _ => document,
        });
    }

    /// Whether the store has another document than the one a view is of. A refusal by the document never reaches the ledger's own check,
    /// so without this one a stale document could refuse for ever.
    async fn is_outdated(&self, subject: &SubjectId, view: &View<'_>) -> Result<bool, StoreError> {
        let document = self.store.document(subject).await?;
        let outdated = document.as_ref().map_or(0, |document| document.version) != view.version();
        if outdated {
            self.documents.insert(subject.clone(), document);
        }
        Ok(outdated)
    }

    /// Waits for one's turn with a subject whose document changes. Many users who take their seats at once would else make each other's
    /// judgements stale until all but the fastest give up.
    async fn turn(&self, subject: &SubjectId) -> MutexGuard<'_, ()> {
        let mut hasher = std::hash::DefaultHasher::new();
        subject.hash(&mut hasher);
        let stripe = usize::try_from(hasher.finish() % TURNS as u64).expect("below the number of locks");
        self.turns[stripe].lock().await
    }

    /// The balance of a meter, from accounts that were just read.
    fn balance(&self, catalog: &Catalog, meter: Option<&MeterId>, sources: &Sources, snapshot: &Snapshot) -> Vec<Balance> {
        let balance = meter.zip(sources.overage.as_ref());
        let balance = balance.map(|(meter, overage)| Balance::of(meter, &sources.paying, overage, snapshot, catalog.near_limit_percent));
        balance.into_iter().collect()
    }

    /// Reads the accounts that a take would touch.
    async fn accounts_of(&self, subject: &SubjectId, take: &Take) -> Result<Snapshot, StoreError> {
        let keys: Vec<AccountKey> = take.keys().cloned().collect();
        let accounts = self.store.accounts(subject, keys.clone()).await?;
        Ok(Snapshot::new(keys.into_iter().zip(accounts)))
    }

    /// Reads what a balance needs.
    async fn read_accounts(&self, subject: &SubjectId, sources: &Sources) -> Result<Snapshot, StoreError> {
        let keys = sources.keys();
        let accounts = self.store.accounts(subject, keys.clone()).await?;
        Ok(Snapshot::new(keys.into_iter().zip(accounts)))
    }

    fn ttl(&self, asked: Option<SignedDuration>) -> Result<SignedDuration, ServiceError> {
        match asked {
            None => Ok(self.rules.ttl),
            Some(ttl) if ttl.is_positive() && ttl <= self.rules.ttl_max => Ok(ttl),
            Some(_) => Err(ServiceError::invalid("ttl", format!("must be more than zero and at most {} s", self.rules.ttl_max.as_secs()))),
        }
    }
}

/// The sources of a meter for a balance, and where its overage is booked.
#[derive(Debug, Clone, Default)]
struct Sources {
    paying: Vec<PayingSource>,
    overage: Option<AccountKey>,
}

impl Sources {
    /// Of a meter, for a user, at the instant of the view.
    fn of(view: &View<'_>, meter: &MeterId, user: Option<&UserId>) -> Result<Self, ServiceError> {
        Ok(Self { paying: view.sources(meter, user)?.0, overage: Some(view.overage(meter)) })
    }

    /// Those a request was judged by.
    fn of_charge(charge: &Charge<'_>) -> Self {
        Self { paying: charge.sources.clone(), overage: charge.overage.clone() }
    }

    fn keys(&self) -> Vec<AccountKey> {
        let own = self.paying.iter().map(|source| &source.source.account);
        let carried = self.paying.iter().filter_map(|source| source.source.carry.as_ref()).map(|carry| &carry.account);
        own.chain(carried).chain(&self.overage).cloned().collect()
    }
}

/// The cost events of a change that has just been answered, or is answered again.
fn events_of(reservation: &Reservation) -> Vec<CostEvent> {
    CostEvent::of_row(&reservation.subject, &reservation.row).into_iter().collect()
}

/// A view of a subject as it is now. What an administrator has changed holds, also where another sidecar's clock was ahead of this one's.
fn view<'a>(catalog: &'a Catalog, document: Option<&'a Document>, now: Timestamp) -> Result<View<'a>, ServiceError> {
    view_then(catalog, document, document.map_or(now, |document| now.max(document.update_time)))
}

/// A view of a subject as it was at an instant, or the error of a calendar that ends.
fn view_then<'a>(catalog: &'a Catalog, document: Option<&'a Document>, then: Timestamp) -> Result<View<'a>, ServiceError> {
    Ok(View::new(catalog, document, then)?)
}
