//! The thread that owns the ledger and its database. Nothing else touches either.
//!
//! It takes what waits as one batch: sweeps, runs every job in order, writes all changes in one transaction, then answers all of them,
//! readers too, so that nobody is shown what is not durable. When a write fails, or anything panics, nothing of the batch is
//! acknowledged and the ledger in memory is thrown away; it is loaded anew from the database before the next batch.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::Options;
use super::disk::{Batch, Disk};
use super::home::Home;
use super::shelf::Shelf;
use crate::clock::Clock;
use crate::domain::ids::CatalogVersion;
use crate::domain::ledger::{Event, Ledger};
use crate::store::StoreError;
use crate::store::queue::{Driver, Taken};
use crate::store::record::Position;

/// Most jobs in one batch: bounds how long the first of them waits for the last, and the size of one write.
const JOBS_MAX: usize = 1024;
/// Most sweeps before the jobs of one batch; what else is due waits for the next.
const SWEEPS_MAX: usize = 4;
/// Longest sleep without traffic: a clock that was moved is seen after it, and a database that failed is tried again.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Something to do with the ledger. It is run once at most, then told what became of its batch.
pub(super) trait Job: Send {
    fn run(&mut self, core: &mut Core);
    fn finish(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// What jobs work on.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) ledger: Ledger,
    pub(super) catalogs: HashMap<CatalogVersion, Arc<str>>,
    pub(super) now: Timestamp,
    pub(super) batch: Batch,
}

/// A ledger that may be served from, with the database it agrees with. Without one, memory is all there is.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) core: Core,
    pub(super) disk: Option<Disk>,
}

pub(super) struct Worker {
    pub(super) driver: Driver<Box<dyn Job>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) home: Home,
    pub(super) live: Result<Live, StoreError>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) options: Options,
}

impl Worker {
    /// Serves until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut jobs = Vec::new();
        let mut patience = Duration::ZERO;
        loop {
            match self.driver.take(JOBS_MAX, patience, &mut jobs) {
                Taken::Jobs | Taken::Nothing => patience = self.serve(&mut jobs),
                Taken::Closed => {
                    self.shelf.shut();
                    return;
                }
            }
        }
    }

    /// Deals with a batch, and says how long to wait for the next.
    fn serve(&mut self, jobs: &mut Vec<Box<dyn Job>>) -> Duration {
        if let Err(problem) = &self.live {
            self.live = self.home.load_again(problem.clone()).inspect(|live| live.open(&self.shelf, &self.options));
        }
        if let Some(batches) = self.options.batches.as_ref().filter(|_| !jobs.is_empty()) {
            batches.tell(jobs.len());
        }
        let now = self.clock.now();
        let mut work_left = false;
        if let Ok(live) = &mut self.live {
            match catch_unwind(AssertUnwindSafe(|| live.step(now, jobs))).unwrap_or_else(|panic| Err(panicked(&*panic))) {
                Ok(step) => {
                    work_left = step.work_left;
                    self.home.acknowledged(step.position.0);
                    self.tell(step);
                    self.shelf.trim(now);
                }
                // It may no longer agree with its database.
                Err(reason) => {
                    self.shelf.shut();
                    self.live = Err(self.home.failed(reason));
                }
            }
        }
        let outcome = self.live.as_ref().map(|_| ()).map_err(StoreError::clone);
        for job in jobs.drain(..) {
            job.finish(outcome.clone());
        }
        if work_left { Duration::ZERO } else { self.patience(now) }
    }

    /// Tells what is durable now, before anybody is answered.
    fn tell(&self, step: Step) {
        let events: Vec<Event> = step.batch.swept.events.into_iter().chain(step.batch.changes.events).collect();
        if let Some(observer) = &self.options.observer {
            events.iter().for_each(|event| observer.tell(event));
        }
        if !events.is_empty() {
            self.shelf.put(events, step.position);
        }
    }

    fn patience(&self, now: Timestamp) -> Duration {
        let Ok(live) = &self.live else { return SLEEP_MAX };
        let due = [live.core.ledger.next_due(), live.disk.as_ref().and_then(Disk::next_trim)].into_iter().flatten().min();
        let until = due.map_or(SignedDuration::MAX, |due| now.duration_until(due));
        Duration::try_from(until).unwrap_or(Duration::ZERO).min(SLEEP_MAX)
    }
}

/// What a batch came to.
struct Step {
    /// Time has brought about more than one batch deals with.
    work_left: bool,
    position: Position,
    batch: Batch,
}

impl Live {
    /// Who its database is; a ledger in memory is one by itself.
    pub(super) fn id(&self) -> Uuid {
        self.disk.as_ref().map_or_else(Uuid::now_v7, |disk| disk.genesis().id)
    }

    /// Lets readers find its events.
    pub(super) fn open(&self, shelf: &Shelf, options: &Options) {
        match &self.disk {
            Some(disk) => shelf.open(disk.database()),
            None => shelf.open_in_memory(options.clone()),
        }
    }

    /// Runs a batch and makes it durable. After an error this must not be used again.
    fn step(&mut self, now: Timestamp, jobs: &mut [Box<dyn Job>]) -> Result<Step, String> {
        let core = &mut self.core;
        core.now = now;
        let mut work_left = true;
        for _ in 0..SWEEPS_MAX {
            work_left = core.ledger.sweep(now, &mut core.batch.swept);
            if !work_left {
                break;
            }
        }
        for job in jobs {
            job.run(core);
        }
        let batch = std::mem::take(&mut core.batch);
        let position = core.ledger.position();
        if let Some(disk) = &mut self.disk
            && (!batch.is_empty() || disk.next_trim().is_some_and(|due| due <= now))
        {
            disk.write(&batch, position, now).map_err(|problem| problem.to_string())?;
        }
        Ok(Step { work_left, position, batch })
    }
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("internal error: {}", text.unwrap_or("no reason given"))
}
