//! The journal: a durable, ordered, bounded queue of commands on this sidecar's own disk, for as long as the store is away (W2).
//!
//! What was appended is on the disk before the caller hears of it, and stays there until the store has taken it. One thread owns the file
//! ([`worker`]); appends that arrive while one flush is under way share the next. It decides nothing: who may append is the service's to
//! say, and the order in which entries are replayed is the replayer's. It must never drop an entry by itself: what the store will not take
//! is moved to the dead, for a person to look at.

mod disk;
mod entry;
mod index;
mod worker;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use jiff::Timestamp;
use tokio::sync::{oneshot, watch};

use self::disk::Opener;
pub use self::entry::{Command, DeadEntry, Entry, QueuedHold, QueuedSettlement, QueuedUsage};
use self::index::Index;
use self::worker::{Job, Worker};
use super::embedded::{Directory, Medium};
use super::queue::{Queue, queue};
use super::record::RecordError;
use super::{StoreError, Urgency};
use crate::domain::ids::{ReservationId, SubjectId};

/// The journal's file in its directory.
const FILE: &str = "journal.redb";
/// Calls that wait for the disk: four full batches, as before the embedded store.
const QUEUE_CAPACITY: usize = 4096;

/// The place of an entry in the queue. Rises, and is never given twice while the process lives.
pub type Number = u64;

/// Why a journal does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the journal at {place} is in use by another process\nhint: each sidecar needs a journal of its own: choose another directory")]
    Locked { place: String },
    #[error("cannot use {place}: {source}")]
    Io { place: String, source: io::Error },
    #[error("the journal's database fails: {0}")]
    Database(#[source] Box<redb::Error>),
    #[error(
        "the journal has layout {found}, and this program knows {}\nhint: run the version of the program that wrote it until it is empty",
        disk::SCHEMA_VERSION
    )]
    Schema { found: u32 },
    #[error("entry {key} of table `{table}` of the journal cannot be read: {source}")]
    Row { table: &'static str, key: String, source: RecordError },
    #[error(
        "the journal at {place} is damaged: {what}\nhint: it may hold settlements that were acknowledged; restore it, or move it away and \
         settle by hand what it held"
    )]
    Damaged { place: String, what: String },
    #[error("cannot start the thread of the journal: {0}")]
    Thread(#[source] io::Error),
}

/// Why something was not written down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    #[error("the journal is full: it holds {entries} entries")]
    Full { entries: usize },
    /// Whether it is on the disk is unknown; it will not be replayed by this process.
    #[error("the journal cannot write: {reason}")]
    Failed { reason: Arc<str> },
    #[error("the journal is closed")]
    Closed,
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    New,
    /// The same command is queued already; nothing was added.
    Repeated(Arc<Entry>),
    /// Another command stands in its place: it ends the same reservation, or opens the same id. Nothing was added.
    Conflict(Arc<Entry>),
}

/// What is queued about one reservation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queued {
    pub opening: Option<Arc<Entry>>,
    pub settlement: Option<Arc<Entry>>,
}

/// The journal of this process.
#[derive(Debug)]
pub struct Journal {
    queue: Queue<Job>,
    index: Arc<Mutex<Index>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The last number given; wakes whoever waits for an entry. Its sender ends with the thread.
    last: watch::Receiver<Number>,
    place: String,
}

impl Queued {
    pub fn is_empty(&self) -> bool {
        self.opening.is_none() && self.settlement.is_none()
    }

    /// The reservation as last known.
    pub fn row(&self) -> Option<&Arc<crate::domain::ledger::Row>> {
        let known = |entry: &Option<Arc<Entry>>| entry.as_ref().and_then(|entry| entry.row().cloned()).is_some();
        let entry = if known(&self.settlement) { &self.settlement } else { &self.opening };
        entry.as_ref().and_then(|entry| entry.row())
    }
}

impl Journal {
    /// Opens the journal in a directory, and creates either if it does not exist. It holds at most `entries_max` entries, the dead
    /// included. Blocks until all of it is read.
    pub fn open(directory: &Path, entries_max: usize) -> Result<Self, OpenError> {
        let medium = Directory::take_for(directory, FILE).map_err(|source| {
            let place = directory.display().to_string();
            if source.kind() == io::ErrorKind::WouldBlock { OpenError::Locked { place } } else { OpenError::Io { place, source } }
        })?;
        Self::open_on(Arc::new(medium), entries_max)
    }

    /// The same on a medium of the caller's.
    pub fn open_on(medium: Arc<dyn Medium>, entries_max: usize) -> Result<Self, OpenError> {
        let place = medium.place();
        let mut opener = Opener::new(medium);
        let (disk, kept) = opener.first()?;
        let mut index = Index::default();
        index.set_store(kept.store);
        for (number, entry) in kept.queued {
            if index.rival(&entry).is_some() {
                let what = format!("{} of `{}` is queued twice", entry.name(), entry.id());
                return Err(OpenError::Damaged { place, what });
            }
            index.insert(number, entry);
        }
        for (number, dead) in kept.dead {
            index.bury(number, dead);
        }
        let (told, last) = watch::channel(index.last());
        let index = Arc::new(Mutex::new(index));
        let (queue, driver) = queue(QUEUE_CAPACITY);
        let worker = Worker::new(driver, opener, disk, index.clone(), told, entries_max);
        let spawned = std::thread::Builder::new().name("genquota-journal".to_owned()).spawn(move || worker.run());
        Ok(Self { queue, index, thread: Mutex::new(Some(spawned.map_err(OpenError::Thread)?)), last, place })
    }

    /// Whether a directory holds a journal.
    pub fn is_in(directory: &Path) -> bool {
        directory.join(FILE).is_file()
    }

    /// What to call it in messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Entries that wait for the store.
    pub fn queued(&self) -> usize {
        self.lock().queued().len()
    }

    pub fn is_drained(&self) -> bool {
        self.lock().queued().is_empty()
    }

    /// Whether anything of a subject is queued. What comes for it must queue behind.
    pub fn has(&self, subject: &SubjectId) -> bool {
        self.lock().has(subject)
    }

    /// What is queued about a reservation.
    pub fn about(&self, subject: &SubjectId, id: &ReservationId) -> Queued {
        self.lock().about(subject, id)
    }

    /// The oldest entry of a subject.
    pub fn first(&self, subject: &SubjectId) -> Option<(Number, Arc<Entry>)> {
        self.lock().first(subject)
    }

    /// Subjects with something queued, the one that waits longest first.
    pub fn subjects(&self) -> Vec<SubjectId> {
        self.lock().subjects()
    }

    /// All that is queued, oldest first.
    pub fn entries(&self) -> Vec<(Number, Arc<Entry>)> {
        self.lock().queued().iter().map(|(number, entry)| (*number, entry.clone())).collect()
    }

    /// All that the store would not take, oldest first.
    pub fn dead(&self) -> Vec<(Number, Arc<DeadEntry>)> {
        self.lock().dead().iter().map(|(number, dead)| (*number, dead.clone())).collect()
    }

    /// The last number given: how many entries there ever were, for whoever paces a replay.
    pub fn last(&self) -> Number {
        *self.last.borrow()
    }

    /// Waits until something is queued. `false`: the journal is closed.
    pub async fn filled(&self) -> bool {
        let mut last = self.last.clone();
        loop {
            last.borrow_and_update();
            if !self.is_drained() {
                return true;
            }
            if last.changed().await.is_err() {
                return false;
            }
        }
    }

    /// Writes a command down. Any answer but an error comes when what it speaks of is durable.
    pub async fn append(&self, entry: Entry) -> Result<Appended, JournalError> {
        self.ask(|reply| Job::Append { entry: Arc::new(entry), reply }).await
    }

    /// Strikes out what the store has taken. It is gone from memory at once and from the disk soon; a crash in between brings it back, and
    /// its replay is answered by what it did before.
    pub async fn remove(&self, number: Number) {
        if self.lock().remove(number).is_some() {
            // A journal that is closing: see above.
            let _ = self.queue.push(Job::Remove { number }, Urgency::Settle).await;
        }
    }

    /// Moves an entry to the dead.
    pub async fn bury(&self, number: Number, reason: &str, time: Timestamp) -> Result<(), JournalError> {
        let reason = reason.to_owned();
        self.ask(|reply| Job::Bury { number, reason, time, reply }).await
    }

    /// Queues a dead entry again, behind all others. `false`: there is none with this number, or another stands in its place.
    pub async fn revive(&self, number: Number) -> Result<bool, JournalError> {
        self.ask(|reply| Job::Revive { number, reply }).await
    }

    /// Forgets a dead entry. `false`: there is none with this number.
    pub async fn discard(&self, number: Number) -> Result<bool, JournalError> {
        self.ask(|reply| Job::Discard { number, reply }).await
    }

    /// Writes down which store this journal belongs to.
    pub async fn remember_store(&self, identity: &str) -> Result<(), JournalError> {
        let identity = Arc::from(identity);
        self.ask(|reply| Job::RememberStore { identity, reply }).await
    }

    /// The store this journal belongs to, if it was ever told.
    pub fn store(&self) -> Option<Arc<str>> {
        self.lock().store()
    }

    /// Writes what was accepted and closes the file. Later calls answer [`JournalError::Closed`].
    pub async fn close(&self) {
        self.queue.close();
        // The wait is over when the thread has dropped the sender.
        let mut last = self.last.clone();
        while last.changed().await.is_ok() {}
        self.join();
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, JournalError>>) -> Job) -> Result<T, JournalError> {
        let (reply, answer) = oneshot::channel();
        self.queue.push(job(reply), Urgency::Settle).await.map_err(|problem| match problem {
            StoreError::Overloaded { .. } | StoreError::Unavailable { .. } | StoreError::DataLost { .. } | StoreError::Closing => {
                JournalError::Closed
            }
        })?;
        answer.await.unwrap_or(Err(JournalError::Closed))
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self) {
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic of the thread was told when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    /// Waits until what was accepted is durable.
    fn drop(&mut self) {
        self.queue.close();
        self.join();
    }
}
