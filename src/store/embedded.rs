//! The embedded store: the ledger in memory, every change durable in a database of its own before it is acknowledged; and `memory:`, the
//! same without a database.
//!
//! One thread owns both ([`worker`]); callers only queue jobs and await replies. It survives whatever its database survives, a power
//! failure included, and serves one process. It must never answer from a state that it could not write.

mod archive;
mod audit;
mod disk;
mod home;
mod shelf;
mod sums;
mod worker;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use jiff::SignedDuration;
use tokio::sync::{oneshot, watch};

pub use self::archive::EmbeddedArchive;
use self::home::Home;
use self::shelf::{EmbeddedFeed, Shelf};
use self::worker::{Core, Job, Worker};
use super::metered::Batches;
use super::queue::{Queue, queue};
use super::record::{self, RecordError};
use super::{CostsOf, Feed, HourRange, Observer, Store, StoreError, Urgency};
use crate::clock::Clock;
use crate::domain::ids::{CatalogVersion, ReservationId, SubjectId};
use crate::domain::ledger::{Account, AccountKey, Answer, HistoryPlace, Row, Transaction};
use crate::domain::subject::Document;
use crate::domain::summary::CostSum;
use crate::medium::{Directory, Medium};

/// The ledger's file in its directory.
const FILE: &str = "ledger.redb";

/// What can be chosen.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most calls that wait.
    pub queue_capacity: usize,
    /// How long an ended reservation and its id are remembered.
    pub retention: SignedDuration,
    /// How long events are kept.
    pub event_retention: SignedDuration,
    /// How long sums of costs are kept.
    pub cost_retention: SignedDuration,
    /// Most events kept: the oldest go first.
    pub events_max: u64,
    pub observer: Option<Observer>,
    pub batches: Option<Batches>,
}

impl Default for Options {
    fn default() -> Self {
        // A repeat that comes later than a week is a new request; a consumer of events may be away for a month.
        // 4096 waiting calls are four full batches: about what a slow disk does within the deadline of a call.
        // A million events are about a gigabyte.
        Self {
            queue_capacity: 4096,
            retention: SignedDuration::from_hours(7 * 24),
            event_retention: SignedDuration::from_hours(30 * 24),
            cost_retention: SignedDuration::from_hours(366 * 24),
            events_max: 1_000_000,
            observer: None,
            batches: None,
        }
    }
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the store at {place} is in use by another process\nhint: stop that process, or choose another directory")]
    Locked { place: String },
    #[error("cannot use {place}: {source}")]
    Io { place: String, source: io::Error },
    #[error("the database fails: {0}")]
    Database(#[source] Box<redb::Error>),
    #[error(
        "the store has layout {found}, and this program knows {}\nhint: run the version of the program that wrote it",
        disk::SCHEMA_VERSION
    )]
    Schema { found: u32 },
    #[error("row {key:?} of table `{table}` cannot be read: {source}")]
    Row { table: &'static str, key: String, source: RecordError },
    #[error("the store is damaged: {what}\nhint: restore it from a backup")]
    Damaged { what: String },
    /// Only after a failure.
    #[error("{place} is no longer the store that was opened, or has lost part of it")]
    Replaced { place: String },
    #[error("cannot start the thread of the store: {0}")]
    Thread(#[source] io::Error),
}

/// A store of this process alone.
pub struct EmbeddedStore {
    queue: Queue<Box<dyn Job>>,
    feed: Arc<EmbeddedFeed>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Ends with the thread.
    ended: watch::Receiver<()>,
}

impl EmbeddedStore {
    /// Opens the store in a directory, and creates either if it does not exist. Reads all of it: blocks for as long as that takes.
    pub fn open(directory: &Path, options: Options, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let medium = Directory::take(directory, FILE).map_err(|source| OpenError::take(directory, source))?;
        Self::open_on(Arc::new(medium), options, clock)
    }

    /// The same on a medium of the caller's.
    pub fn open_on(medium: Arc<dyn Medium>, options: Options, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::start(Home::medium(medium, options.clone()), options, clock)
    }

    /// A store that is gone with the process.
    pub fn in_memory(options: Options, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::start(Home::Memory(options.clone()), options, clock)
    }

    fn start(mut home: Home, options: Options, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let live = home.load()?;
        let shelf = Arc::new(Shelf::new(live.id(), clock.clone()));
        let feed = Arc::new(EmbeddedFeed(shelf.clone()));
        live.open(&shelf, &options);
        let (queue, driver) = queue(options.queue_capacity);
        let (end, ended) = watch::channel(());
        let worker = Worker { driver, clock, home, live: Ok(live), shelf, options };
        let run = move || {
            worker.run();
            // By now the database is closed.
            drop(end);
        };
        let thread = std::thread::Builder::new().name("genquota-store".to_owned()).spawn(run).map_err(OpenError::Thread)?;
        Ok(Self { queue, feed, thread: Mutex::new(Some(thread)), ended })
    }

    /// Calls that wait.
    pub fn depth(&self) -> usize {
        self.queue.depth()
    }

    /// Runs `work` on the ledger, and answers when what it saw and did is durable.
    async fn ask<T, W>(&self, urgency: Urgency, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Core) -> T + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.queue.push(Box::new(Ask { work: Some(work), answer: None, reply }), urgency).await?;
        answer.await.unwrap_or_else(|_| Err(unavailable("the thread of the store is gone")))
    }

    fn join(&self) {
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic of the thread was told when it happened.
            let _ = thread.join();
        }
    }
}

#[async_trait::async_trait]
impl Store for EmbeddedStore {
    async fn execute(&self, transaction: Transaction, urgency: Urgency) -> Result<Answer, StoreError> {
        if transaction.document.as_deref().is_some_and(|document| !can_be_written(document)) {
            return Err(unavailable("a time zone without a name cannot be stored"));
        }
        self.ask(urgency, move |core| core.ledger.execute(core.now, &transaction, &mut core.batch.changes)).await
    }

    async fn document(&self, subject: &SubjectId) -> Result<Option<Arc<Document>>, StoreError> {
        let subject = subject.clone();
        self.ask(Urgency::Read, move |core| core.ledger.document(&subject)).await
    }

    async fn documents(&self, after: Option<&SubjectId>, limit: usize) -> Result<Vec<Arc<Document>>, StoreError> {
        let after = after.cloned();
        self.ask(Urgency::Read, move |core| core.ledger.documents(after.as_ref(), limit)).await
    }

    async fn reservation(&self, subject: &SubjectId, id: &ReservationId, urgency: Urgency) -> Result<Option<Arc<Row>>, StoreError> {
        let (subject, id) = (subject.clone(), id.clone());
        self.ask(urgency, move |core| core.ledger.reservation(&subject, &id, core.now, &mut core.batch.changes)).await
    }

    async fn history(&self, subject: &SubjectId, before: &HistoryPlace, limit: usize) -> Result<Vec<Arc<Row>>, StoreError> {
        let (subject, before) = (subject.clone(), before.clone());
        let read = move |core: &mut Core| core.ledger.history(&subject, &before, limit, core.now, &mut core.batch.changes);
        self.ask(Urgency::Read, read).await
    }

    async fn accounts(&self, subject: &SubjectId, keys: Vec<AccountKey>) -> Result<Vec<Account>, StoreError> {
        let subject = subject.clone();
        self.ask(Urgency::Read, move |core| core.ledger.accounts(&subject, &keys)).await
    }

    async fn costs(&self, hours: HourRange, of: CostsOf) -> Result<Vec<CostSum>, StoreError> {
        let shelf = self.feed.0.clone();
        let read = tokio::task::spawn_blocking(move || shelf.costs(&hours, &of)).await;
        read.unwrap_or_else(|_| Err(unavailable("its sums cannot be read")))
    }

    async fn keep_catalog(&self, version: &CatalogVersion, text: Arc<str>) -> Result<(), StoreError> {
        let version = version.clone();
        // The first text of a version stays: reservations may have been judged by it.
        let keep = move |core: &mut Core| {
            if let std::collections::hash_map::Entry::Vacant(place) = core.catalogs.entry(version) {
                core.batch.catalogs.push((place.key().clone(), text.clone()));
                place.insert(text);
            }
        };
        self.ask(Urgency::Settle, keep).await
    }

    async fn catalog(&self, version: &CatalogVersion) -> Result<Option<Arc<str>>, StoreError> {
        let version = version.clone();
        self.ask(Urgency::Read, move |core| core.catalogs.get(&version).cloned()).await
    }

    fn feed(&self) -> Arc<dyn Feed> {
        self.feed.clone()
    }

    async fn close(&self) {
        self.queue.close();
        // Nothing is ever sent: the wait is over when the sender is gone.
        while self.ended.clone().changed().await.is_ok() {}
        self.join();
    }
}

impl Drop for EmbeddedStore {
    /// Waits until what was accepted is durable.
    fn drop(&mut self) {
        self.queue.close();
        self.join();
    }
}

impl OpenError {
    /// Of a directory that could not be taken for this process.
    fn take(directory: &Path, source: io::Error) -> Self {
        let place = directory.display().to_string();
        if source.kind() == io::ErrorKind::WouldBlock { Self::Locked { place } } else { Self::Io { place, source } }
    }

    fn database(problem: impl Into<redb::Error>) -> Self {
        match problem.into() {
            redb::Error::Corrupted(what) => Self::Damaged { what },
            redb::Error::Io(source) if matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                Self::Damaged { what: source.to_string() }
            }
            problem => Self::Database(Box::new(problem)),
        }
    }

    fn row(table: &'static str, key: &str, source: RecordError) -> Self {
        Self::Row { table, key: key.to_owned(), source }
    }
}

/// One call: its work, then its answer, then its reply.
struct Ask<T, W> {
    work: Option<W>,
    answer: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, W: FnOnce(&mut Core) -> T + Send> Job for Ask<T, W> {
    fn run(&mut self, core: &mut Core) {
        if let Some(work) = self.work.take() {
            self.answer = Some(work(core));
        }
    }

    fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { answer, reply, .. } = *self;
        // A caller that went away has lost its answer, and nothing else.
        let _ = reply.send(outcome.and_then(|()| answer.ok_or_else(|| unavailable("the call was not carried out"))));
    }
}

fn can_be_written(document: &Document) -> bool {
    let subscriptions = document.subscription.iter().chain(document.earlier.as_deref());
    record::has_text(&document.zone) && subscriptions.into_iter().all(|subscription| record::has_text(&subscription.zone))
}

fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable { reason: Arc::from(reason) }
}
