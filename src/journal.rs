//! Journals: a durable, ordered, bounded queue of commands on a process's own disk, for as long as whoever should carry them out is away.
//!
//! What was appended is on the disk before the caller hears of it, and stays there until it is struck out. One thread owns the file
//! ([`worker`]); appends that arrive while one flush is under way share the next. It decides nothing: who may append, and the order in which
//! entries are replayed, is its user's to say: the sidecar's, while its store is away, and a client's, while its sidecar is. It must never
//! drop an entry by itself: what will never be carried out is moved to the dead, for a person to look at.

mod disk;
mod index;
mod worker;

use std::error::Error;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use self::disk::Opener;
use self::index::Index;
use self::worker::{Job, Worker};
use crate::medium::{Directory, Medium};

/// Calls that wait for the disk: four full batches.
const QUEUE_CAPACITY: usize = 4096;

/// The place of an entry in the queue. Rises, and is never given twice while the process lives.
pub type Number = u64;

/// A command that a journal keeps.
pub trait Entry: Debug + Clone + PartialEq + Send + Sync + 'static {
    /// The journal's file in its directory. Each kind of entry has one of its own, so that none is read as another.
    const FILE: &'static str;
    /// Entries of one line are carried out in the order in which they came.
    type Line: Debug + Clone + Eq + Hash + Send;
    /// No two entries that are queued have the same place.
    type Place: Debug + Clone + Eq + Hash + Send;
    /// Why bytes are no entry.
    type Malformed: Error + Send + Sync + 'static;

    fn line(&self) -> &Self::Line;

    fn place(&self) -> Self::Place;

    /// What it is called in messages.
    fn title(&self) -> impl Display;

    /// Whether it asks for the same as another in its place.
    fn repeats(&self, other: &Self) -> bool;

    fn encode(&self) -> Vec<u8>;

    fn decode(bytes: &[u8]) -> Result<Self, Self::Malformed>;

    fn encode_dead(dead: &DeadEntry<Self>) -> Vec<u8>;

    fn decode_dead(bytes: &[u8]) -> Result<DeadEntry<Self>, Self::Malformed>;
}

/// A command that will never be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadEntry<E> {
    pub entry: Arc<E>,
    /// Why not.
    pub reason: String,
    pub time: Timestamp,
}

/// Why a journal does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the journal at {place} is in use by another process\nhint: each process needs a journal of its own: choose another directory")]
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
    Row { table: &'static str, key: String, source: Box<dyn Error + Send + Sync> },
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
pub enum Appended<E> {
    New,
    /// The same command is queued already; nothing was added.
    Repeated(Arc<E>),
    /// Another command stands in its place. Nothing was added.
    Conflict(Arc<E>),
}

/// The journal of this process.
#[derive(Debug)]
pub struct Journal<E: Entry> {
    /// None: it is closed.
    jobs: Mutex<Option<mpsc::Sender<Job<E>>>>,
    index: Arc<Mutex<Index<E>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The last number given; wakes whoever waits for an entry. Its sender ends with the thread.
    last: watch::Receiver<Number>,
    place: String,
}

impl<E: Entry> Journal<E> {
    /// Opens the journal in a directory, and creates either if it does not exist. It holds at most `entries_max` entries, the dead
    /// included. Blocks until all of it is read.
    pub fn open(directory: &Path, entries_max: usize) -> Result<Self, OpenError> {
        let medium = Directory::take(directory, E::FILE).map_err(|source| {
            let place = directory.display().to_string();
            if source.kind() == io::ErrorKind::WouldBlock { OpenError::Locked { place } } else { OpenError::Io { place, source } }
        })?;
        Self::open_on(Arc::new(medium), entries_max)
    }

    /// The same on a medium of the caller's.
    pub fn open_on(medium: Arc<dyn Medium>, entries_max: usize) -> Result<Self, OpenError> {
        let place = medium.place();
        let mut opener = Opener::new(medium);
        let (disk, kept) = opener.first::<E>()?;
        let mut index = Index::default();
        index.set_store(kept.store);
        for (number, entry) in kept.queued {
            if index.at(&entry.place()).is_some() {
                let what = format!("{} is queued twice", entry.title());
                return Err(OpenError::Damaged { place, what });
            }
            index.insert(number, entry);
        }
        for (number, dead) in kept.dead {
            index.bury(number, dead);
        }
        let (told, last) = watch::channel(index.last());
        let index = Arc::new(Mutex::new(index));
        let (sender, jobs) = mpsc::channel(QUEUE_CAPACITY);
        let worker = Worker::new(jobs, opener, disk, index.clone(), told, entries_max);
        let spawned = std::thread::Builder::new().name("genquota-journal".to_owned()).spawn(move || worker.run());
        let thread = Mutex::new(Some(spawned.map_err(OpenError::Thread)?));
        Ok(Self { jobs: Mutex::new(Some(sender)), index, thread, last, place })
    }

    /// Whether a directory holds a journal.
    pub fn is_in(directory: &Path) -> bool {
        directory.join(E::FILE).is_file()
    }

    /// What to call it in messages.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Entries that wait to be carried out.
    pub fn queued(&self) -> usize {
        self.lock().queued().len()
    }

    pub fn is_drained(&self) -> bool {
        self.lock().queued().is_empty()
    }

    /// Whether anything of a line is queued. What comes for it must queue behind.
    pub fn has(&self, line: &E::Line) -> bool {
        self.lock().has(line)
    }

    /// What is queued in each of these places, at one moment.
    pub fn at<const N: usize>(&self, places: [&E::Place; N]) -> [Option<Arc<E>>; N] {
        let index = self.lock();
        places.map(|place| index.at(place).cloned())
    }

    /// The oldest entry of a line.
    pub fn first(&self, line: &E::Line) -> Option<(Number, Arc<E>)> {
        self.lock().first(line)
    }

    /// Lines with something queued, the one that waits longest first.
    pub fn lines(&self) -> Vec<E::Line> {
        self.lock().lines()
    }

    /// All that is queued, oldest first.
    pub fn entries(&self) -> Vec<(Number, Arc<E>)> {
        self.lock().queued().iter().map(|(number, entry)| (*number, entry.clone())).collect()
    }

    /// All that will never be carried out, oldest first.
    pub fn dead(&self) -> Vec<(Number, Arc<DeadEntry<E>>)> {
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
    pub async fn append(&self, entry: E) -> Result<Appended<E>, JournalError> {
        self.ask(|reply| Job::Append { entry: Arc::new(entry), reply }).await
    }

    /// Strikes out what was carried out. It is gone from memory at once and from the disk soon; a crash in between brings it back, and its
    /// replay is answered by what it did before.
    pub async fn remove(&self, number: Number) {
        let removed = self.lock().remove(number).is_some();
        if removed && let Some(jobs) = self.sender() {
            // A journal that is closing: see above.
            let _ = jobs.send(Job::Remove { number }).await;
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
        self.stop();
        // The wait is over when the thread has dropped the sender.
        let mut last = self.last.clone();
        while last.changed().await.is_ok() {}
        self.join();
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, JournalError>>) -> Job<E>) -> Result<T, JournalError> {
        let (reply, answer) = oneshot::channel();
        let jobs = self.sender().ok_or(JournalError::Closed)?;
        jobs.send(job(reply)).await.map_err(|_| JournalError::Closed)?;
        answer.await.unwrap_or(Err(JournalError::Closed))
    }

    fn sender(&self) -> Option<mpsc::Sender<Job<E>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes nothing more; the thread ends with what was taken.
    fn stop(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn lock(&self) -> MutexGuard<'_, Index<E>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self) {
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic of the thread was told when it happened.
            let _ = thread.join();
        }
    }
}

impl<E: Entry> Drop for Journal<E> {
    /// Waits until what was accepted is durable.
    fn drop(&mut self) {
        self.stop();
        self.join();
    }
}
