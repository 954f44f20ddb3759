//! The thread that owns the journal's file. Nothing else touches it.
//!
//! It takes what waits as one batch, writes all of it in one transaction, then brings the index up to date and answers. When a write
//! fails, nothing of the batch is acknowledged, and the file is opened anew before the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::disk::{Change, Disk, Opener};
use super::index::Index;
use super::{Appended, DeadEntry, Entry, JournalError, Number};

/// Most jobs in one batch: bounds how long the first of them waits for the last.
const JOBS_MAX: usize = 1024;

type Reply<T> = oneshot::Sender<Result<T, JournalError>>;

/// Something to write down.
#[derive(Debug)]
pub(super) enum Job<E> {
    Append {
        entry: Arc<E>,
        reply: Reply<Appended<E>>,
    },
    /// It has left the index already.
    Remove {
        number: Number,
    },
    Bury {
        number: Number,
        reason: String,
        time: Timestamp,
        reply: Reply<()>,
    },
    Revive {
        number: Number,
        reply: Reply<bool>,
    },
    Discard {
        number: Number,
        reply: Reply<bool>,
    },
    RememberStore {
        identity: Arc<str>,
        reply: Reply<()>,
    },
}

#[derive(Debug)]
pub(super) struct Worker<E: Entry> {
    jobs: mpsc::Receiver<Job<E>>,
    opener: Opener,
    disk: Option<Disk>,
    index: Arc<Mutex<Index<E>>>,
    told: watch::Sender<Number>,
    entries_max: usize,
    /// The last number given, whether or not its entry could be written.
    last: Number,
    /// A failure is told once, and so is its end; a full journal too.
    failing: bool,
    full: bool,
}

/// A batch as it is worked out: what to write, and what to answer once it is written.
struct Batch<'w, E: Entry> {
    index: MutexGuard<'w, Index<E>>,
    last: Number,
    entries_max: usize,
    changes: Vec<Change<E>>,
    /// What this batch appends, by its place.
    appended: HashMap<E::Place, Arc<E>>,
    answers: Vec<Answer<E>>,
}

enum Answer<E> {
    Append(Reply<Appended<E>>, Result<Appended<E>, JournalError>),
    Done(Reply<()>),
    Found(Reply<bool>, bool),
}

impl<E: Entry> Worker<E> {
    pub(super) fn new(
        jobs: mpsc::Receiver<Job<E>>,
        opener: Opener,
        disk: Disk,
        index: Arc<Mutex<Index<E>>>,
        told: watch::Sender<Number>,
        entries_max: usize,
    ) -> Self {
        let last = *told.borrow();
        Self { jobs, opener, disk: Some(disk), index, told, entries_max, last, failing: false, full: false }
    }

    /// Serves until nobody can send any more and everything is served.
    pub(super) fn run(mut self) {
        let mut batch = Vec::new();
        while self.jobs.blocking_recv_many(&mut batch, JOBS_MAX) > 0 {
            self.serve(&mut batch);
        }
    }

    fn serve(&mut self, jobs: &mut Vec<Job<E>>) {
        let index = self.index.clone();
        let mut batch = Batch {
            index: lock(&index),
            last: self.last,
            entries_max: self.entries_max,
            changes: Vec::new(),
            appended: HashMap::new(),
            answers: Vec::with_capacity(jobs.len()),
        };
        jobs.drain(..).for_each(|job| batch.take(job));
        let Batch { index: held, last, changes, answers, .. } = batch;
        // Readers go on while the disk works. Nothing but this thread adds to the index; an entry that leaves meanwhile is struck out later.
        drop(held);
        self.last = last;
        let written = if changes.is_empty() { Ok(()) } else { self.write(&changes) };
        match written {
            Ok(()) => {
                self.tell_full(&answers);
                let mut index = lock(&index);
                changes.iter().for_each(|change| apply(&mut index, change));
                drop(index);
                for answer in answers {
                    answer.send();
                }
                self.told.send_if_modified(|told| std::mem::replace(told, last) != last);
            }
            Err(reason) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(place = self.opener.place(), reason, "the journal cannot write: what it should keep is refused");
                }
                let reason: Arc<str> = Arc::from(reason);
                for answer in answers {
                    answer.fail(&reason);
                }
            }
        }
    }

    fn write(&mut self, changes: &[Change<E>]) -> Result<(), String> {
        let disk = match self.disk.take() {
            Some(disk) => disk,
            None => {
                // A copy: readers need not wait for the disk.
                let acknowledged = lock(&self.index).clone();
                self.opener.again(&acknowledged).map_err(|problem| problem.to_string())?
            }
        };
        // On an error the database is dropped here.
        disk.write(changes).map_err(|problem| problem.to_string())?;
        self.disk = Some(disk);
        if std::mem::take(&mut self.failing) {
            tracing::info!(place = self.opener.place(), "the journal writes again");
        }
        Ok(())
    }

    fn tell_full(&mut self, answers: &[Answer<E>]) {
        let refused = answers.iter().any(|answer| matches!(answer, Answer::Append(_, Err(JournalError::Full { .. }))));
        let accepted = answers.iter().any(|answer| matches!(answer, Answer::Append(_, Ok(Appended::New))));
        if refused && !std::mem::replace(&mut self.full, true) {
            tracing::error!(place = self.opener.place(), entries = self.entries_max, "the journal is full: what it should keep is refused");
        } else if accepted && !refused && std::mem::take(&mut self.full) {
            tracing::info!(place = self.opener.place(), "the journal has room again");
        }
    }
}

impl<E: Entry> Batch<'_, E> {
    fn take(&mut self, job: Job<E>) {
        match job {
            Job::Append { entry, reply } => {
                let answer = self.append(entry);
                self.answers.push(Answer::Append(reply, answer));
            }
            Job::Remove { number } => self.changes.push(Change::Remove(number)),
            Job::Bury { number, reason, time, reply } => {
                if let Some(entry) = self.index.queued().get(&number) {
                    self.changes.push(Change::Bury(number, Arc::new(DeadEntry { entry: entry.clone(), reason, time })));
                }
                self.answers.push(Answer::Done(reply));
            }
            Job::Revive { number, reply } => {
                let entry = self.index.dead().get(&number).map(|dead| dead.entry.clone());
                let entry = entry.filter(|entry| self.rival(entry).is_none() && !self.is_changed(number));
                self.answers.push(Answer::Found(reply, entry.is_some()));
                if let Some(entry) = entry {
                    self.last += 1;
                    self.appended.insert(entry.place(), entry.clone());
                    self.changes.push(Change::Revive { from: number, to: self.last, entry });
                }
            }
            Job::Discard { number, reply } => {
                let found = self.index.dead().contains_key(&number) && !self.is_changed(number);
                self.answers.push(Answer::Found(reply, found));
                if found {
                    self.changes.push(Change::Discard(number));
                }
            }
            Job::RememberStore { identity, reply } => {
                self.changes.push(Change::Store(identity));
                self.answers.push(Answer::Done(reply));
            }
        }
    }

    fn append(&mut self, entry: Arc<E>) -> Result<Appended<E>, JournalError> {
        if let Some(rival) = self.rival(&entry) {
            let same = entry.repeats(&rival);
            return Ok(if same { Appended::Repeated(rival) } else { Appended::Conflict(rival) });
        }
        // What leaves in this same batch still counts: room for it comes with the next.
        if self.index.len() + self.appended.len() >= self.entries_max {
            return Err(JournalError::Full { entries: self.entries_max });
        }
        self.last += 1;
        self.appended.insert(entry.place(), entry.clone());
        self.changes.push(Change::Append(self.last, entry));
        Ok(Appended::New)
    }

    /// What stands in the place this one would take.
    fn rival(&self, entry: &E) -> Option<Arc<E>> {
        let place = entry.place();
        self.index.at(&place).or_else(|| self.appended.get(&place)).cloned()
    }

    /// Whether this batch takes a dead entry away already.
    fn is_changed(&self, number: Number) -> bool {
        self.changes.iter().any(|change| match change {
            Change::Revive { from, .. } => *from == number,
            Change::Discard(dead) => *dead == number,
            Change::Append(..) | Change::Remove(_) | Change::Bury(..) | Change::Store(_) => false,
        })
    }
}

impl<E> Answer<E> {
    /// A caller that went away has lost its answer, and nothing else.
    fn send(self) {
        match self {
            Self::Append(reply, answer) => drop(reply.send(answer)),
            Self::Done(reply) => drop(reply.send(Ok(()))),
            Self::Found(reply, found) => drop(reply.send(Ok(found))),
        }
    }

    fn fail(self, reason: &Arc<str>) {
        let failed = || JournalError::Failed { reason: reason.clone() };
        match self {
            // That it is full is true whatever the disk does.
            Self::Append(reply, answer) => drop(reply.send(answer.and_then(|_| Err(failed())))),
            Self::Done(reply) => drop(reply.send(Err(failed()))),
            Self::Found(reply, _) => drop(reply.send(Err(failed()))),
        }
    }
}

fn apply<E: Entry>(index: &mut Index<E>, change: &Change<E>) {
    match change {
        Change::Append(number, entry) => index.insert(*number, entry.clone()),
        // Gone since it was asked for.
        Change::Remove(_) => {}
        Change::Bury(number, dead) => index.bury(*number, dead.clone()),
        Change::Revive { from, to, entry } => {
            index.dead_mut().remove(from);
            index.insert(*to, entry.clone());
        }
        Change::Discard(number) => drop(index.dead_mut().remove(number)),
        Change::Store(identity) => index.set_store(Some(identity.clone())),
    }
}

fn lock<E: Entry>(index: &Mutex<Index<E>>) -> MutexGuard<'_, Index<E>> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}
