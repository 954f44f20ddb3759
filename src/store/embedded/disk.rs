//! The database under the ledger: its tables, and one write transaction with one sync for each batch.
//!
//! It decides nothing. After an error the whole value must be dropped: what the database then holds in memory is not to be trusted.

mod moving;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

pub(super) use self::moving::Importing;
use super::sums::{self, Sums, TableError, first_hour};
use super::{OpenError, Options};
use crate::domain::ids::{CatalogVersion, ReservationId, SubjectId};
use crate::domain::ledger::{AccountKey, Changes, Event};
use crate::store::record::{self, Genesis, Position, RecordError};

/// Layout of tables and keys. Raised when a program that knows the old one could misread the new one.
pub(super) const SCHEMA_VERSION: u32 = 2;
/// Most outdated events one write deletes beside its own work, so that a backlog never delays a decision for long.
const TRIMMED_MAX: usize = 512;
/// The ledger itself is in memory; this only spares reading the pages that the next writes touch.
pub(super) const CACHE_BYTES: usize = 64 << 20;

pub(super) type Table = TableDefinition<'static, &'static str, &'static [u8]>;
/// Keys are `subject NUL account`.
const ACCOUNTS: Table = Table::new("accounts");
/// Keys are `subject NUL reservation`.
const RESERVATIONS: Table = Table::new("reservations");
const DOCUMENTS: Table = Table::new("documents");
const CATALOGS: TableDefinition<&str, &str> = TableDefinition::new("catalogs");
pub(super) const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");
pub(super) const META: Table = Table::new("meta");
const GENESIS: &str = "genesis";
pub(super) const POSITION: &str = "position";
/// Id of the export whose lines were imported, in 16 bytes; only where an import has filled the store.
const IMPORTED: &str = "imported";
/// No id contains it.
const SEPARATOR: char = '\0';

/// What one batch changed.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// By time alone, before anything else.
    pub(super) swept: Changes,
    pub(super) changes: Changes,
    pub(super) catalogs: Vec<(CatalogVersion, Arc<str>)>,
}

/// Everything a database held when it was opened.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) position: Position,
    pub(super) contents: Changes,
    pub(super) catalogs: HashMap<CatalogVersion, Arc<str>>,
    /// Number and time of the first event.
    pub(super) oldest: Option<(u64, Timestamp)>,
}

#[derive(Debug)]
pub(super) struct Disk {
    /// Readers of events hold it too.
    database: Arc<Database>,
    genesis: Genesis,
    /// The first event there still is, and the number of the last.
    oldest: Option<(u64, Timestamp)>,
    newest: u64,
    event_retention: SignedDuration,
    events_max: u64,
    cost_retention: SignedDuration,
    /// Sums of the hours before it are gone.
    first_hour: i64,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.swept.is_empty() && self.changes.is_empty() && self.catalogs.is_empty()
    }
}

impl Disk {
    /// Lays out an empty database.
    pub(super) fn create(database: &Database, genesis: Genesis) -> Result<(), redb::Error> {
        let write = begin(database)?;
        {
            for table in [ACCOUNTS, RESERVATIONS, DOCUMENTS] {
                write.open_table(table)?;
            }
            write.open_table(CATALOGS)?;
            write.open_table(EVENTS)?;
            sums::create(&write)?;
            let mut meta = write.open_table(META)?;
            meta.insert(GENESIS, record::encode_genesis(genesis).as_slice())?;
            meta.insert(POSITION, record::encode_position((0, Timestamp::MIN)).as_slice())?;
        }
        Ok(write.commit()?)
    }

    /// Reads everything. Any row that is not as it was written is an error that names it.
    pub(super) fn load(database: Database, options: &Options) -> Result<(Self, Kept), OpenError> {
        let (genesis, kept) = read_all(&database)?;
        let Options { event_retention, events_max, cost_retention, .. } = *options;
        let (oldest, newest) = (kept.oldest, kept.position.0);
        let database = Arc::new(database);
        let disk = Self { database, genesis, oldest, newest, event_retention, events_max, cost_retention, first_hour: i64::MIN };
        Ok((disk, kept))
    }

    pub(super) fn database(&self) -> Arc<Database> {
        self.database.clone()
    }

    pub(super) fn genesis(&self) -> Genesis {
        self.genesis
    }

    /// When the oldest event is to be deleted.
    pub(super) fn next_trim(&self) -> Option<Timestamp> {
        let (number, time) = self.oldest?;
        let too_many = self.newest.saturating_sub(self.events_max) >= number;
        Some(if too_many { Timestamp::MIN } else { time.checked_add(self.event_retention).unwrap_or(Timestamp::MAX) })
    }

    /// Makes a batch durable, all or nothing, and deletes events that are outdated at `now`. Returns when it is.
    pub(super) fn write(&mut self, batch: &Batch, position: Position, now: Timestamp) -> Result<(), TableError> {
        let write = begin(&self.database)?;
        // In this order: what the sweep forgot may have been opened anew since.
        for changes in [&batch.swept, &batch.changes] {
            write_changes(&write, changes)?;
        }
        if !batch.catalogs.is_empty() {
            let mut catalogs = write.open_table(CATALOGS)?;
            for (version, text) in &batch.catalogs {
                catalogs.insert(version.as_str(), &**text)?;
            }
        }
        write.open_table(META)?.insert(POSITION, record::encode_position(position).as_slice())?;
        let (newest, _) = position;
        let mut added = batch.swept.events.iter().chain(&batch.changes.events);
        let sums = Sums::of(added.clone());
        if !sums.is_empty() {
            sums.write(&write)?;
        }
        let first_hour = first_hour(now, self.cost_retention);
        let sums_left = first_hour > self.first_hour && sums::trim(&write, first_hour, TRIMMED_MAX)?;
        let oldest = self.oldest.or_else(|| added.next().map(|event| (event.sequence, event.time)));
        let bounds = Bounds {
            horizon: now.checked_sub(self.event_retention).unwrap_or(Timestamp::MIN),
            number: newest.saturating_sub(self.events_max),
        };
        let oldest = if oldest.is_some_and(|oldest| bounds.lie_behind(oldest)) {
            let added = batch.swept.events.len() + batch.changes.events.len();
            trim(&write, bounds, TRIMMED_MAX.max(2 * added))?
        } else {
            oldest
        };
        write.commit()?;
        (self.oldest, self.newest) = (oldest, newest);
        if !sums_left {
            self.first_hour = self.first_hour.max(first_hour);
        }
        Ok(())
    }
}

fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    Ok(write)
}

fn write_changes(write: &WriteTransaction, changes: &Changes) -> Result<(), redb::Error> {
    if !changes.accounts.is_empty() {
        let mut accounts = write.open_table(ACCOUNTS)?;
        for (subject, key, account) in last_of_each(&changes.accounts, |(subject, key, _)| (subject, key)) {
            let name = join(subject, key.as_str());
            if account.is_empty() {
                accounts.remove(name.as_str())?;
            } else {
                accounts.insert(name.as_str(), record::encode_account(account).as_slice())?;
            }
        }
    }
    if !changes.rows.is_empty() || !changes.forgotten.is_empty() {
        let mut reservations = write.open_table(RESERVATIONS)?;
        for (subject, row) in last_of_each(&changes.rows, |(subject, row)| (subject, &row.id)) {
            reservations.insert(join(subject, row.id.as_str()).as_str(), record::encode_row(row).as_slice())?;
        }
        for (subject, id) in &changes.forgotten {
            reservations.remove(join(subject, id.as_str()).as_str())?;
        }
    }
    if !changes.documents.is_empty() {
        let mut documents = write.open_table(DOCUMENTS)?;
        for document in last_of_each(&changes.documents, |document| &document.subject) {
            documents.insert(document.subject.as_str(), record::encode_document(document).as_slice())?;
        }
    }
    write_events(write, &changes.events)
}

fn write_events(write: &WriteTransaction, new: &[Event]) -> Result<(), redb::Error> {
    if new.is_empty() {
        return Ok(());
    }
    let mut events = write.open_table(EVENTS)?;
    for event in new {
        events.insert(event.sequence, record::encode_event(event).as_slice())?;
    }
    Ok(())
}

/// Of several changes of one thing only the last counts; the others were never shown to anybody.
fn last_of_each<'c, T, K: Hash + Eq>(changes: &'c [T], key: impl Fn(&'c T) -> K) -> impl Iterator<Item = &'c T> {
    let mut seen = HashSet::with_capacity(changes.len());
    changes.iter().rev().filter(move |change| seen.insert(key(change)))
}

/// Up to which number and time events are outdated.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    number: u64,
    horizon: Timestamp,
}

impl Bounds {
    fn lie_behind(self, (number, time): (u64, Timestamp)) -> bool {
        number <= self.number || time <= self.horizon
    }
}

/// Deletes outdated events, oldest first, at most `max`. Returns the first that is left.
fn trim(write: &WriteTransaction, bounds: Bounds, max: usize) -> Result<Option<(u64, Timestamp)>, redb::Error> {
    let mut events = write.open_table(EVENTS)?;
    for _ in 0..max {
        match first_event(&events)? {
            Some(oldest) if bounds.lie_behind(oldest) => events.remove(oldest.0)?,
            oldest => return Ok(oldest),
        };
    }
    Ok(first_event(&events)?)
}

/// An event that cannot be read has no time; it counts as one of long ago, and goes with the next trim.
fn first_event(events: &impl ReadableTable<u64, &'static [u8]>) -> Result<Option<(u64, Timestamp)>, redb::StorageError> {
    let first = events.first()?;
    Ok(first.map(|(sequence, event)| (sequence.value(), record::decode_event_time(event.value()).unwrap_or(Timestamp::MIN))))
}

fn read_all(database: &Database) -> Result<(Genesis, Kept), OpenError> {
    let read = database.begin_read().map_err(OpenError::database)?;
    let open = |table: Table| read.open_table(table).map_err(OpenError::database);
    let meta = open(META)?;
    let genesis = one(&meta, GENESIS, record::decode_genesis)?;
    if genesis.schema_version != SCHEMA_VERSION {
        return Err(OpenError::Schema { found: genesis.schema_version });
    }
    let position = one(&meta, POSITION, record::decode_position)?;

    let mut contents = Changes::default();
    each(&open(ACCOUNTS)?, "accounts", |key, bytes| {
        let (subject, account) = split(key)?;
        let account = AccountKey::parse(account).ok_or_else(|| RecordError::key("names no account"))?;
        contents.accounts.push((subject, account, record::decode_account(bytes)?));
        Ok(())
    })?;
    each(&open(RESERVATIONS)?, "reservations", |key, bytes| {
        let (subject, id) = split(key)?;
        let row = record::decode_row(bytes)?;
        if ReservationId::new(id).ok().as_ref() != Some(&row.id) {
            return Err(RecordError::key("is not that of its row"));
        }
        contents.rows.push((subject, Arc::new(row)));
        Ok(())
    })?;
    each(&open(DOCUMENTS)?, "documents", |key, bytes| {
        let document = record::decode_document(bytes)?;
        if document.subject.as_str() != key {
            return Err(RecordError::key("is not that of its document"));
        }
        contents.documents.push(Arc::new(document));
        Ok(())
    })?;
    let mut catalogs = HashMap::new();
    for row in read.open_table(CATALOGS).map_err(OpenError::database)?.iter().map_err(OpenError::database)? {
        let (version, text) = row.map_err(OpenError::database)?;
        let broken = |_| OpenError::row("catalogs", version.value(), RecordError::key("names no version"));
        catalogs.insert(CatalogVersion::new(version.value()).map_err(broken)?, Arc::from(text.value()));
    }
    let events = read.open_table(EVENTS).map_err(OpenError::database)?;
    let oldest = first_event(&events).map_err(OpenError::database)?;
    let newest = events.last().map_err(OpenError::database)?.map_or(0, |(sequence, _)| sequence.value());
    if newest > position.0 {
        return Err(OpenError::Damaged { what: format!("event {newest} is after the last, {}", position.0) });
    }
    Ok((genesis, Kept { position, contents, catalogs, oldest }))
}

fn one<T>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &'static str,
    decode: fn(&[u8]) -> Result<T, RecordError>,
) -> Result<T, OpenError> {
    let row = table.get(key).map_err(OpenError::database)?;
    let row = row.ok_or_else(|| OpenError::Damaged { what: format!("row `{key}` of `meta` is missing") })?;
    decode(row.value()).map_err(|problem| OpenError::row("meta", key, problem))
}

fn each(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &'static str,
    mut take: impl FnMut(&str, &[u8]) -> Result<(), RecordError>,
) -> Result<(), OpenError> {
    for row in table.iter().map_err(OpenError::database)? {
        let (key, bytes) = row.map_err(OpenError::database)?;
        take(key.value(), bytes.value()).map_err(|problem| OpenError::row(name, key.value(), problem))?;
    }
    Ok(())
}

fn join(subject: &SubjectId, rest: &str) -> String {
    let mut key = String::with_capacity(subject.as_str().len() + 1 + rest.len());
    key.push_str(subject.as_str());
    key.push(SEPARATOR);
    key.push_str(rest);
    key
}

fn split(key: &str) -> Result<(SubjectId, &str), RecordError> {
    let (subject, rest) = key.split_once(SEPARATOR).ok_or_else(|| RecordError::key("has no separator"))?;
    Ok((SubjectId::new(subject).map_err(|_| RecordError::key("names no subject"))?, rest))
}
