//! Where the events and sums of the embedded store are read, beside the thread that writes them: in its database, each page in a read transaction
//! of its own, or in memory where there is no database.
//!
//! A reader sees what is durable and nothing else, and holds up no write. The thread opens the shelf when it has loaded a ledger, and shuts
//! it before it drops one: nobody reads a database that is not to be trusted.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use jiff::Timestamp;
use redb::{Database, ReadableDatabase, ReadableTable};
use tokio::sync::watch;
use uuid::Uuid;

use super::disk::{EVENTS, META, POSITION};
use super::sums::{self, Sums, first_hour};
use super::{Options, unavailable};
use crate::clock::Clock;
use crate::domain::ledger::Event;
use crate::domain::summary::CostSum;
use crate::store::feed::{Ends, Feed, Place, Reading, Standing};
use crate::store::record::{self, Position};
use crate::store::{CostsOf, HourRange, StoreError, feed};

/// A store of one process never begins another: its numbers go on for ever.
const GENERATION: u64 = 1;
/// Most events kept in memory, about 100 MiB, whatever the settings allow.
const MEMORY_EVENTS_MAX: usize = 100_000;

pub(super) struct Shelf {
    ledger: Uuid,
    clock: Arc<dyn Clock>,
    books: RwLock<Books>,
    stirred: watch::Sender<u64>,
}

/// Where the events are.
enum Books {
    Shut,
    Memory(Memory),
    Disk(Arc<Database>),
}

/// All events there are, in order, and what they came to.
struct Memory {
    events: VecDeque<Event>,
    sums: Sums,
    position: Position,
    options: Options,
}

impl Shelf {
    pub(super) fn new(ledger: Uuid, clock: Arc<dyn Clock>) -> Self {
        Self { ledger, clock, books: RwLock::new(Books::Shut), stirred: watch::Sender::default() }
    }

    pub(super) fn open(&self, database: Arc<Database>) {
        *self.lock() = Books::Disk(database);
    }

    pub(super) fn open_in_memory(&self, options: Options) {
        *self.lock() = Books::Memory(Memory { events: VecDeque::new(), sums: Sums::default(), position: (0, Timestamp::MIN), options });
    }

    /// Waits for whoever reads; then nobody holds the database any more.
    pub(super) fn shut(&self) {
        *self.lock() = Books::Shut;
    }

    /// Events are durable now.
    pub(super) fn put(&self, events: Vec<Event>, position: Position) {
        let count = events.len() as u64;
        self.in_memory(|memory| {
            memory.sums.merge(Sums::of(events.iter()), first_hour(position.1, memory.options.cost_retention));
            memory.events.extend(events);
            memory.position = position;
        });
        self.stirred.send_modify(|changes| *changes += count);
    }

    /// Forgets what a ledger in memory has kept for long enough.
    pub(super) fn trim(&self, now: Timestamp) {
        self.in_memory(|memory| {
            let horizon = now.checked_sub(memory.options.event_retention).unwrap_or(Timestamp::MIN);
            let most = usize::try_from(memory.options.events_max).unwrap_or(usize::MAX).min(MEMORY_EVENTS_MAX);
            while memory.events.len() > most || memory.events.front().is_some_and(|event| event.time <= horizon) {
                memory.events.pop_front();
            }
        });
    }

    /// Changes what is kept in memory. A database is written and trimmed by its own transactions, and those who read it hold up nobody.
    fn in_memory(&self, change: impl FnOnce(&mut Memory)) {
        if !matches!(&*self.books.read().unwrap_or_else(PoisonError::into_inner), Books::Memory(_)) {
            return;
        }
        if let Books::Memory(memory) = &mut *self.lock() {
            change(memory);
        }
    }

    /// How the stream stands, and at most so many events after a place. Blocks as long as a disk may.
    fn read(&self, after: Place, limit: usize) -> Result<(Standing, Vec<Event>), StoreError> {
        match &*self.books.read().unwrap_or_else(PoisonError::into_inner) {
            Books::Shut => Err(unavailable("its events cannot be read now")),
            Books::Memory(memory) => {
                let first = memory.events.front().map(|event| event.sequence);
                let from = memory.events.partition_point(|event| event.sequence <= after.number);
                Ok((standing(memory.position, first), memory.events.range(from..).take(limit).cloned().collect()))
            }
            Books::Disk(database) => read_disk(database, after, limit).map_err(|problem| unavailable(&problem)),
        }
    }

    /// Sums of some hours. Blocks as long as a disk may.
    pub(super) fn costs(&self, hours: &HourRange, of: &CostsOf) -> Result<Vec<CostSum>, StoreError> {
        match &*self.books.read().unwrap_or_else(PoisonError::into_inner) {
            Books::Shut => Err(unavailable("its sums cannot be read now")),
            Books::Memory(memory) => memory.sums.read(hours, of).map_err(|problem| unavailable(&problem.to_string())),
            Books::Disk(database) => sums::read(database, hours, of).map_err(|problem| unavailable(&problem.to_string())),
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn lock(&self) -> RwLockWriteGuard<'_, Books> {
        self.books.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn standing(position: Position, first: Option<u64>) -> Standing {
    Standing { end: place(position.0), began: 0, first: first.map(place) }
}

const fn place(number: u64) -> Place {
    Place::new(GENERATION, number)
}

fn read_disk(database: &Database, after: Place, limit: usize) -> Result<(Standing, Vec<Event>), String> {
    let read = || -> Result<_, redb::Error> {
        let read = database.begin_read()?;
        let position = read.open_table(META)?.get(POSITION)?.map(|row| row.value().to_vec());
        let table = read.open_table(EVENTS)?;
        let first = table.first()?.map(|(number, _)| number.value());
        let mut rows = Vec::new();
        for row in table.range(after.number.saturating_add(1)..)?.take(limit) {
            let (number, bytes) = row?;
            rows.push((number.value(), bytes.value().to_vec()));
        }
        Ok((position, first, rows))
    };
    let (position, first, rows) = read().map_err(|problem| problem.to_string())?;
    let position = position.ok_or("the database has lost its position")?;
    let position = record::decode_position(&position).map_err(|problem| problem.to_string())?;
    let decode = |(number, bytes): (u64, Vec<u8>)| record::decode_event(&bytes).map_err(|problem| format!("event {number}: {problem}"));
    Ok((standing(position, first), rows.into_iter().map(decode).collect::<Result<_, _>>()?))
}

/// What readers hold.
pub(super) struct EmbeddedFeed(pub(super) Arc<Shelf>);

impl EmbeddedFeed {
    async fn read(&self, after: Place, limit: usize) -> Result<(Standing, Vec<Event>), StoreError> {
        let shelf = self.0.clone();
        let read = tokio::task::spawn_blocking(move || shelf.read(after, limit)).await;
        read.unwrap_or_else(|_| Err(unavailable("its events cannot be read")))
    }
}

#[async_trait::async_trait]
impl Feed for EmbeddedFeed {
    fn streams(&self) -> usize {
        1
    }

    fn ledger(&self) -> Uuid {
        self.0.ledger
    }

    async fn ends(&self, _: usize) -> Result<Ends, StoreError> {
        let (standing, _) = self.read(Place::default(), 0).await?;
        Ok(Ends { oldest: standing.oldest(), newest: standing.end, time: self.0.now() })
    }

    async fn events(&self, _: usize, after: Place, limit: usize) -> Result<Reading, StoreError> {
        let (standing, events) = self.read(after, limit.max(1)).await?;
        let events = events.into_iter().map(|event| (place(event.sequence), event)).collect();
        Ok(feed::reading(&standing, after, events, self.0.now()))
    }

    fn stirred(&self) -> watch::Receiver<u64> {
        self.0.stirred.subscribe()
    }

    fn look_interval(&self) -> Option<Duration> {
        None
    }
}
