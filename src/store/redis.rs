//! The Redis store: the ledger on counters that many sidecars share, in Redis or Valkey.
//!
//! Every transaction is one call of one script ([`script`]) on one partition, and `domain/ledger` is that script's specification. Subjects
//! are spread over partitions, each in one hash slot. The server's clock decides. Nothing here knows plans, prices or calendars.

mod address;
mod archive;
mod caller;
mod driver;
pub mod examine;
mod feed;
mod guard;
mod history;
mod keys;
mod lineage;
mod link;
mod loss;
mod replication;
mod reply;
mod request;
mod row;
mod script;
mod slots;
mod sums;
mod sweeper;
mod text;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use jiff::SignedDuration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub use self::address::{Address, AddressError};
pub use self::archive::RedisArchive;
use self::caller::{Caller, Trouble};
use self::driver::{Bounds, Job};
use self::examine::{Finding, Verdict};
use self::feed::RedisFeed;
use self::guard::Genesis;
use self::keys::Keys;
use self::lineage::{Identity, LAYOUT, Lineage};
pub use self::link::{Credentials, Failure, Link, LinkError, LinkOptions, LinkState, Obstacle, Password, TlsFiles};
use self::loss::Claims;
pub use self::loss::Loss;
use self::replication::Replication;
use self::reply::{Reply, ReplyError};
use self::request::Operation;
use self::script::Flavour;
use self::sweeper::Sweeper;
use super::metered::Batches;
use super::queue::{Queue, queue};
use super::{CostsOf, Feed, HourRange, Observer, Store, StoreError, Urgency};
use crate::clock::Clock;
use crate::domain::ids::{CatalogVersion, ReservationId, SubjectId};
use crate::domain::ledger::{Account, AccountKey, Answer, HistoryPlace, Row, Transaction};
use crate::domain::subject::Document;
use crate::domain::summary::CostSum;

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the ledger: a part of every key. Checked: `[a-z0-9-]{1,32}`.
    pub instance: String,
    /// For the first start; ever after, the store's own number counts and another one is refused.
    pub partitions: u32,
    /// Most calls that wait.
    pub queue_capacity: usize,
    /// Most calls in flight on the connection. Beyond some hundred, more only wait in the server instead of here.
    pub calls_in_flight: usize,
    /// Most transactions of one partition that share a call.
    pub transactions_per_call: usize,
    /// How long an ended reservation and its id are remembered.
    pub retention: SignedDuration,
    /// How long events are kept; never shorter than `retention`.
    pub event_retention: SignedDuration,
    /// How long sums of costs are kept.
    pub cost_retention: SignedDuration,
    /// Most events kept, over all partitions: the oldest go first, but none within `retention`.
    pub events_max: u64,
    pub observer: Option<Observer>,
    pub batches: Option<Batches>,
    /// In which every partition is swept once.
    pub sweep_interval: Duration,
    /// How often is looked whether the server is still fit to keep a ledger.
    pub examine_interval: Duration,
    /// How long a call may wait for a lost connection to come back.
    pub patience: Duration,
    pub on_loss: OnLoss,
    /// What an answer waits for, beside the primary.
    pub replicas: Replicas,
    /// The identity this sidecar worked with before, as [`RedisStore::identity`] told it.
    pub known: Option<String>,
    pub time: Time,
}

/// What becomes of a partition whose data are lost (W3). It is loud in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLoss {
    /// Nothing is decided on it until an administrator accepts the loss.
    #[default]
    Stop,
    /// Counting goes on from what is there.
    Accept,
}

/// How many replicas must have a change before it is answered (durability class `replicated(n)`), within how long.
#[derive(Debug, Clone, Default)]
pub enum Replicas {
    /// A failover may lose what was answered last. The store notices.
    #[default]
    None,
    /// Confirmed through a link of its own, to the same primary. Not for clusters.
    AtLeast { count: u32, within: Duration, link: Arc<Link> },
}

/// Whose clock decides.
#[derive(Clone, Default)]
pub enum Time {
    /// The server's.
    #[default]
    Server,
    /// One that is handed in, for tests that play years in a second. Every process of a ledger must have the same.
    Given(Arc<dyn Clock>),
}

impl Options {
    /// The defaults for an instance.
    pub fn new(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            partitions: 64,
            queue_capacity: 4096,
            calls_in_flight: 256,
            transactions_per_call: 1,
            retention: SignedDuration::from_hours(7 * 24),
            event_retention: SignedDuration::from_hours(30 * 24),
            cost_retention: SignedDuration::from_hours(366 * 24),
            events_max: 1_000_000,
            observer: None,
            batches: None,
            sweep_interval: Duration::from_secs(5),
            examine_interval: Duration::from_secs(30),
            patience: Duration::from_secs(1),
            on_loss: OnLoss::Stop,
            replicas: Replicas::None,
            known: None,
            time: Time::Server,
        }
    }
}

impl std::fmt::Debug for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Server => "Server",
            Self::Given(_) => "Given",
        })
    }
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the store must not keep a ledger as it is: {}{}", .0.found, .0.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default())]
    Unfit(Finding),
    #[error("the store does not answer as it must: {0}")]
    Trouble(String),
    #[error("the ledger has {found} partitions, and {asked} are configured\nhint: set `redis.partitions` to {found}; it cannot be changed")]
    Partitions { found: u32, asked: u32 },
    #[error("the ledger has layout {found}, and this program knows {LAYOUT}\nhint: run the version of the program that wrote it")]
    Layout { found: u32 },
    #[error(
        "the store has lost the ledger: {0}\nhint: restore it, or accept the loss with `genquota store accept-loss`; counting then goes on from what is there"
    )]
    Lost(String),
    #[error(
        "the store has lost the ledger: {known} is not there any more\nhint: restore it, or accept the loss with `genquota store accept-loss --ledger {known}`; \
         counting then begins anew"
    )]
    Gone { known: String },
    #[error(
        "the store holds another ledger: {found} instead of {known}\nhint: is it the right server and instance? If this ledger takes the place of the other, \
         whose data are lost, say so: `genquota store accept-loss --ledger {known}`"
    )]
    Foreign { found: String, known: String },
}

impl From<Trouble> for OpenError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Lost(reason) => Self::Lost(reason.to_string()),
            trouble => Self::Trouble(trouble.to_string()),
        }
    }
}

/// A store that other processes share.
pub struct RedisStore {
    queue: Queue<Job>,
    caller: Arc<Caller>,
    texts: Arc<Texts>,
    sweeper: Sweeper,
    /// The driver, which ends with the queue.
    driver: Mutex<Option<JoinHandle<()>>>,
    ended: watch::Receiver<()>,
    /// The sweeper and the guard.
    keepers: Vec<JoinHandle<()>>,
}

/// Catalogs that this process has kept: should the store lose them, they are kept again.
#[derive(Debug, Default)]
struct Texts(Mutex<HashMap<CatalogVersion, Arc<str>>>);

impl RedisStore {
    /// Opens the ledger of an instance, and lays it out if there is none.
    pub async fn open(link: Arc<Link>, options: Options) -> Result<Self, OpenError> {
        let keys = Keys::new(&options.instance, options.partitions);
        let replicas = match &options.replicas {
            Replicas::None => 0,
            Replicas::AtLeast { count, .. } => *count,
        };
        for finding in examine::fitness(&link, &keys, replicas).await {
            match finding.verdict {
                Verdict::Ok => {}
                Verdict::Warn => tracing::warn!(check = finding.check, found = finding.found, hint = finding.hint, "the store"),
                Verdict::Fail => return Err(OpenError::Unfit(finding)),
            }
        }
        let lineage = match ledger(&link, &keys, &options).await {
            Err(error @ (OpenError::Lost(_) | OpenError::Gone { .. })) if options.on_loss == OnLoss::Accept => {
                let known = options.known.as_ref().and_then(|known| known.parse().ok());
                let loss = Loss::examine(&link, &options.instance, options.partitions, known).await?;
                loss.accept(&link).await?;
                tracing::error!(%error, ledger = loss.ledger(), generation = loss.generation(), "the store's loss is accepted, as configured");
                ledger(&link, &keys, &options).await?
            }
            lineage => lineage?,
        };
        let epoch = match *link.state().borrow() {
            LinkState::Up { epoch } => epoch,
            LinkState::Down { .. } => 0,
        };
        let replication = match &options.replicas {
            Replicas::None => None,
            Replicas::AtLeast { count, within, link: own } => {
                Some(Replication::start(link.clone(), own.clone(), *count, *within, keys.mark()))
            }
        };
        let caller = Arc::new(Caller {
            link,
            keys,
            lineage,
            replication,
            verified: watch::Sender::new(epoch),
            unfit: watch::Sender::default(),
            time: options.time.clone(),
            retention: micros(options.retention),
            patience: options.patience,
            silent: (0..options.partitions).map(|_| AtomicU64::new(0)).collect(),
            opened: tokio::time::Instant::now(),
            observer: options.observer.clone(),
            stirred: watch::Sender::default(),
            day: AtomicI64::new(0),
        });
        Ok(Self::start(caller, &options))
    }

    fn start(caller: Arc<Caller>, options: &Options) -> Self {
        let (queue, waiting) = queue(options.queue_capacity);
        let (end, ended) = watch::channel(());
        let bounds = Bounds { calls: options.calls_in_flight.max(1), operations_per_call: options.transactions_per_call.max(1) };
        let (driven, batches) = (caller.clone(), options.batches.clone());
        let driver = tokio::spawn(async move {
            driver::drive(waiting, driven, bounds, batches).await;
            drop(end);
        });
        let texts = Arc::<Texts>::default();
        let sweeper = Sweeper {
            id: uuid::Uuid::now_v7().to_string(),
            event_retention: micros(options.event_retention.max(options.retention)),
            cost_retention: micros(options.cost_retention),
            events_max: options.events_max.div_ceil(u64::from(options.partitions)),
            interval: options.sweep_interval,
        };
        let keepers = vec![
            tokio::spawn(guard::guard(caller.clone(), options.on_loss, options.examine_interval, texts.clone())),
            tokio::spawn(sweeper.clone().run(caller.clone())),
        ];
        Self { queue, caller, texts, sweeper, driver: Mutex::new(Some(driver)), ended, keepers }
    }

    /// Calls that wait.
    pub fn depth(&self) -> usize {
        self.queue.depth()
    }

    /// Which ledger this is, for a later start to know it again.
    pub fn identity(&self) -> String {
        self.caller.lineage.identity().id.to_string()
    }

    /// The command that carries a transaction out, for benchmarks that send it themselves.
    pub fn command(&self, transaction: &Transaction, urgency: Urgency) -> redis::Cmd {
        let caller = &self.caller;
        let partition = caller.keys.partition_of(&transaction.subject);
        let operation = Operation::transact(transaction);
        let (keys, arguments) = caller.written(partition, (caller.lineage.identity(), 0), &[&operation], false);
        flavour(urgency).command(true, &keys, &arguments)
    }

    /// Sweeps every partition now, until nothing is due.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        for partition in 0..self.caller.keys.count() {
            self.sweeper.sweep(&self.caller, partition).await?;
        }
        Ok(())
    }

    async fn ask(&self, partition: usize, flavour: Flavour, operation: Operation, urgency: Urgency) -> Result<Reply, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.push(Job { partition, flavour, operation, reply }, urgency).await?;
        let reply = answer.await.map_err(|_| StoreError::Closing)?;
        Ok(reply.inspect_err(|trouble| {
            if let Trouble::Reply(defect) = trouble {
                tracing::error!(partition, %defect, "a call of the store's script failed");
            }
        })?)
    }

    /// Reads fields of a subject's hash.
    async fn fields(&self, subject: &SubjectId, fields: Vec<String>, urgency: Urgency) -> Result<Reply, StoreError> {
        let partition = self.caller.keys.partition_of(subject);
        let reply = self.ask(partition, Flavour::Always, Operation::read(subject, &fields), urgency).await?;
        if reply.letter() == "V" { Ok(reply) } else { Err(broken(reply.wrong())) }
    }

    async fn catalog_text(&self, version: &CatalogVersion) -> Result<Option<String>, StoreError> {
        let command = redis::cmd("HGET").arg(self.caller.keys.catalogs()).arg(version.as_str()).to_owned();
        let value = self.caller.link.call(&command).await.map_err(Trouble::from)?;
        redis::from_redis_value(value).map_err(|problem| StoreError::Unavailable { reason: Arc::from(problem.to_string()) })
    }
}

#[async_trait::async_trait]
impl Store for RedisStore {
    async fn execute(&self, transaction: Transaction, urgency: Urgency) -> Result<Answer, StoreError> {
        let flavour = flavour(urgency);
        let partition = self.caller.keys.partition_of(&transaction.subject);
        let reply = self.ask(partition, flavour, Operation::transact(&transaction), urgency).await?;
        let answer = reply.answer(&transaction).map_err(broken)?;
        if let Some(observer) = &self.caller.observer
            && let Some(event) = feed::event_of(&transaction, &answer)
        {
            observer.tell(&event);
        }
        Ok(answer)
    }

    async fn document(&self, subject: &SubjectId) -> Result<Option<Arc<Document>>, StoreError> {
        let reply = self.fields(subject, vec!["v".to_owned(), "d".to_owned()], Urgency::Read).await?;
        reply.document(2, 3).map_err(broken)
    }

    async fn documents(&self, after: Option<&SubjectId>, limit: usize) -> Result<Vec<Arc<Document>>, StoreError> {
        // Nothing is asked for: whether one partition answers, and whether any is fenced, is all there is to know.
        if let Some((_, reason)) = self.caller.lineage.fenced().into_iter().next().filter(|_| limit == 0) {
            return Err(StoreError::DataLost { reason });
        }
        let partitions = if limit == 0 { 1 } else { self.caller.keys.count() };
        let lists = (0..partitions).map(|partition| self.ask(partition, Flavour::Always, Operation::list(after, limit), Urgency::Read));
        let mut subjects = Vec::new();
        for reply in try_join_all(lists).await? {
            subjects.extend(reply.texts(2).map_err(broken)?);
        }
        subjects.sort_unstable();
        let documents = subjects.iter().take(limit).filter_map(|subject| SubjectId::new(subject).ok());
        let documents = try_join_all(documents.map(|subject| async move { self.document(&subject).await })).await?;
        Ok(documents.into_iter().flatten().collect())
    }

    async fn reservation(&self, subject: &SubjectId, id: &ReservationId, urgency: Urgency) -> Result<Option<Arc<Row>>, StoreError> {
        let reply = self.fields(subject, vec![format!("r:{id}")], urgency).await?;
        reply.row(2, id).map_err(broken)
    }

    async fn history(&self, subject: &SubjectId, before: &HistoryPlace, limit: usize) -> Result<Vec<Arc<Row>>, StoreError> {
        self.read_history(subject, before, limit).await
    }

    async fn accounts(&self, subject: &SubjectId, keys: Vec<AccountKey>) -> Result<Vec<Account>, StoreError> {
        let reply = self.fields(subject, keys.iter().map(|key| format!("a:{key}")).collect(), Urgency::Read).await?;
        (0..keys.len()).map(|place| reply.account(2 + place).map_err(broken)).collect()
    }

    async fn costs(&self, hours: HourRange, of: CostsOf) -> Result<Vec<CostSum>, StoreError> {
        self.read_costs(hours, of).await
    }

    async fn keep_catalog(&self, version: &CatalogVersion, text: Arc<str>) -> Result<(), StoreError> {
        self.texts.keep(&self.caller, version, &text).await?;
        self.texts.lock().insert(version.clone(), text);
        Ok(())
    }

    async fn catalog(&self, version: &CatalogVersion) -> Result<Option<Arc<str>>, StoreError> {
        Ok(self.catalog_text(version).await?.map(Arc::from))
    }

    fn feed(&self) -> Arc<dyn Feed> {
        Arc::new(RedisFeed(self.caller.clone()))
    }

    async fn close(&self) {
        self.queue.close();
        // Nothing is ever sent: the wait is over when the sender is gone.
        while self.ended.clone().changed().await.is_ok() {}
        for keeper in &self.keepers {
            keeper.abort();
        }
        self.caller.link.close().await;
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.queue.close();
        for keeper in &self.keepers {
            keeper.abort();
        }
        if let Some(driver) = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take() {
            driver.abort();
        }
    }
}

impl Texts {
    /// The first text of a version stays: reservations may have been judged by it.
    async fn keep(&self, caller: &Caller, version: &CatalogVersion, text: &str) -> Result<(), Trouble> {
        let command = redis::cmd("HSETNX").arg(caller.keys.catalogs()).arg(version.as_str()).arg(text).to_owned();
        caller.link.call(&command).await?;
        Ok(())
    }

    async fn keep_again(&self, caller: &Caller) -> Result<(), Trouble> {
        let known = self.lock().clone();
        for (version, text) in known {
            self.keep(caller, &version, &text).await?;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<CatalogVersion, Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds the ledger, or lays it out, and sees how far each partition is.
async fn ledger(link: &Link, keys: &Keys, options: &Options) -> Result<Lineage, OpenError> {
    let (identity, ready) = genesis(link, keys, options).await?;
    let lineage = Lineage::new(identity);
    for (partition, found) in guard::positions(link, keys).await?.into_iter().enumerate() {
        let (found, sequence) = match found {
            None if ready => return Err(OpenError::Lost(format!("partition {partition} is not there any more"))),
            None => Caller::lay_out(link, keys, partition, identity).await?,
            Some(found) => found,
        };
        if found != identity.to_string() {
            return Err(OpenError::Lost(format!("partition {partition} is of {found}, the ledger is {identity}")));
        }
        lineage.seen(partition, identity.generation, sequence, 0);
    }
    link.call(redis::cmd("HSET").arg(keys.genesis()).arg("ready").arg(1)).await.map_err(Trouble::from)?;
    Ok(lineage)
}

/// The identity to work under, and whether every partition was laid out under it: the one that is there, or a new one where there never
/// was any.
async fn genesis(link: &Link, keys: &Keys, options: &Options) -> Result<(Identity, bool), OpenError> {
    if guard::read_genesis(link, keys).await?.is_none() {
        if let Some(known) = &options.known {
            return Err(OpenError::Gone { known: known.clone() });
        }
        if let Some(partition) = guard::positions(link, keys).await?.iter().position(Option::is_some) {
            return Err(OpenError::Lost(format!("its genesis is gone, and partition {partition} is still there")));
        }
        let claims = Claims::read(link, keys).await?;
        if !claims.is_empty() {
            return Err(OpenError::Lost(format!("other processes miss ledger {claims}")));
        }
        let new = Identity::new(options.partitions).to_string();
        tracing::warn!(instance = options.instance, ledger = new, "there is no ledger of this instance here: a new one begins");
        // Somebody else may be first.
        link.call(redis::cmd("HSETNX").arg(keys.genesis()).arg("identity").arg(new)).await.map_err(Trouble::from)?;
    }
    let found = guard::read_genesis(link, keys).await?;
    let Genesis { identity: found, ready, accepted } =
        found.ok_or_else(|| OpenError::Lost("its genesis was gone as soon as it was written".to_owned()))?;
    if found.layout != LAYOUT {
        return Err(OpenError::Layout { found: found.layout });
    }
    if found.partitions != options.partitions {
        return Err(OpenError::Partitions { found: found.partitions, asked: options.partitions });
    }
    let is_known = |known: &String| accepted.iter().chain([&found.id]).any(|id| *known == id.to_string());
    if let Some(known) = options.known.as_ref().filter(|known| !is_known(known)) {
        return Err(OpenError::Foreign { found: found.id.to_string(), known: known.clone() });
    }
    Ok((found, ready))
}

fn flavour(urgency: Urgency) -> Flavour {
    if urgency == Urgency::Reserve { Flavour::Bounded } else { Flavour::Always }
}

fn broken(problem: ReplyError) -> StoreError {
    tracing::error!(%problem, "the store's reply cannot be read");
    StoreError::Unavailable { reason: Arc::from(problem.to_string()) }
}

fn micros(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
