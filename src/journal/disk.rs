//! The file under the journal: its tables, one write transaction with one sync for each batch, and how it is opened.
//!
//! After an error the open database must be dropped: what it then holds in memory is not to be trusted. It is opened anew and brought to
//! what the journal acknowledged; a file that lacks any of that is refused.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prost::Message;
use redb::{
    Builder, Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, WriteTransaction,
};
use uuid::Uuid;

use super::index::Index;
use super::{DeadEntry, Entry, Number, OpenError};
use crate::medium::{Medium, Watched, rewrite};

/// Layout of tables and keys. Raised when a program that knows the old one could misread the new one.
pub(super) const SCHEMA_VERSION: u32 = 1;
/// All entries are in memory; this only spares reading the pages that the next writes touch.
const CACHE_BYTES: usize = 4 << 20;

type Numbered = TableDefinition<'static, Number, &'static [u8]>;
const QUEUED: Numbered = TableDefinition::new("queued");
const DEAD: Numbered = TableDefinition::new("dead");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const GENESIS: &str = "genesis";
/// The identity of the store that the journal belongs to, as text.
const STORE: &str = "store";

/// Who a journal is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Genesis {
    #[prost(uint32, tag = "1")]
    schema_version: u32,
    /// UUIDv7 in 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
}

/// One change of the file.
#[derive(Debug, Clone)]
pub(super) enum Change<E> {
    Append(Number, Arc<E>),
    Remove(Number),
    Bury(Number, Arc<DeadEntry<E>>),
    /// From the dead, to the end of the queue.
    Revive {
        from: Number,
        to: Number,
        entry: Arc<E>,
    },
    Discard(Number),
    Store(Arc<str>),
}

/// Everything a journal held when it was opened.
#[derive(Debug)]
pub(super) struct Kept<E> {
    genesis: Uuid,
    pub(super) queued: BTreeMap<Number, Arc<E>>,
    pub(super) dead: BTreeMap<Number, Arc<DeadEntry<E>>>,
    pub(super) store: Option<Arc<str>>,
}

#[derive(Debug)]
pub(super) struct Disk(Database);

/// Opens one journal, again and again.
#[derive(Debug)]
pub(super) struct Opener {
    medium: Arc<dyn Medium>,
    seen: Option<Uuid>,
    sync_failed: Arc<AtomicBool>,
}

impl Disk {
    /// Makes changes durable, all or none. Returns when they are.
    pub(super) fn write<E: Entry>(&self, changes: &[Change<E>]) -> Result<(), redb::Error> {
        let write = begin(&self.0)?;
        {
            let mut queued = write.open_table(QUEUED)?;
            let mut dead = write.open_table(DEAD)?;
            let mut meta = write.open_table(META)?;
            for change in changes {
                match change {
                    Change::Append(number, entry) => drop(queued.insert(number, entry.encode().as_slice())?),
                    Change::Remove(number) => drop(queued.remove(number)?),
                    Change::Bury(number, entry) => {
                        queued.remove(number)?;
                        dead.insert(number, E::encode_dead(entry).as_slice())?;
                    }
                    Change::Revive { from, to, entry } => {
                        dead.remove(from)?;
                        queued.insert(to, entry.encode().as_slice())?;
                    }
                    Change::Discard(number) => drop(dead.remove(number)?),
                    Change::Store(identity) => drop(meta.insert(STORE, identity.as_bytes())?),
                }
            }
        }
        Ok(write.commit()?)
    }
}

impl Opener {
    pub(super) fn new(medium: Arc<dyn Medium>) -> Self {
        Self { medium, seen: None, sync_failed: Arc::default() }
    }

    pub(super) fn place(&self) -> String {
        self.medium.place()
    }

    /// The first opening. A journal that does not exist is created.
    pub(super) fn first<E: Entry>(&mut self) -> Result<(Disk, Kept<E>), OpenError> {
        self.guarded(|opener| {
            opener.create_if_missing()?;
            opener.load()
        })
    }

    /// An opening after a failure. What was never acknowledged or has been struck out is brushed away.
    pub(super) fn again<E: Entry>(&mut self, acknowledged: &Index<E>) -> Result<Disk, OpenError> {
        self.guarded(|opener| {
            let (disk, kept) = opener.load::<E>()?;
            let lost = acknowledged.queued().iter().find(|(number, entry)| kept.queued.get(number) != Some(entry));
            let lost_dead = acknowledged.dead().iter().find(|(number, dead)| kept.dead.get(number) != Some(dead));
            if let Some(number) = lost.map(|(number, _)| number).or(lost_dead.map(|(number, _)| number)) {
                return Err(opener.damaged(format!("entry {number} was acknowledged and is gone")));
            }
            let queued = kept.queued.keys().filter(|number| !acknowledged.queued().contains_key(number)).copied().map(Change::Remove);
            let dead = kept.dead.keys().filter(|number| !acknowledged.dead().contains_key(number)).copied().map(Change::Discard);
            let mut changes: Vec<Change<E>> = queued.chain(dead).collect();
            changes.extend(acknowledged.store().map(Change::Store));
            disk.write(&changes).map_err(|problem| opener.database_error(problem))?;
            Ok(disk)
        })
    }

    fn create_if_missing(&self) -> Result<(), OpenError> {
        let io = |source| OpenError::Io { place: self.place(), source };
        if self.medium.open().map_err(io)?.is_some() {
            return Ok(());
        }
        let database = self.database(self.medium.create().map_err(io)?)?;
        create(&database).map_err(|problem| self.database_error(problem))?;
        drop(database);
        self.medium.publish().map_err(io)
    }

    fn load<E: Entry>(&mut self) -> Result<(Disk, Kept<E>), OpenError> {
        let io = |source| OpenError::Io { place: self.place(), source };
        let backend = self.medium.open().map_err(io)?.ok_or_else(|| self.damaged("the file is gone".to_owned()))?;
        if backend.len().map_err(io)? == 0 {
            return Err(self.damaged("the file is empty".to_owned()));
        }
        if self.sync_failed.load(Ordering::SeqCst) {
            rewrite(&*backend).map_err(io)?;
            self.sync_failed.store(false, Ordering::SeqCst);
        }
        let database = self.database(backend)?;
        let kept = self.read(&database)?;
        if self.seen.is_some_and(|known| known != kept.genesis) {
            return Err(self.damaged("it is another journal than the one that was opened".to_owned()));
        }
        self.seen = Some(kept.genesis);
        Ok((Disk(database), kept))
    }

    fn read<E: Entry>(&self, database: &Database) -> Result<Kept<E>, OpenError> {
        let failed = |problem: redb::Error| self.database_error(problem);
        let read = database.begin_read().map_err(|problem| failed(problem.into()))?;
        let meta = read.open_table(META).map_err(|problem| failed(problem.into()))?;
        let value = |key| meta.get(key).map_err(|problem| failed(problem.into()));
        let genesis = value(GENESIS)?.ok_or_else(|| self.damaged(format!("row `{GENESIS}` of `meta` is missing")))?;
        let genesis = Genesis::decode(genesis.value()).map_err(|source| row("meta", GENESIS, source))?;
        if genesis.schema_version != SCHEMA_VERSION {
            return Err(OpenError::Schema { found: genesis.schema_version });
        }
        let id = Uuid::from_slice(&genesis.id).map_err(|source| row("meta", GENESIS, source))?;
        let text =
            |bytes: &[u8]| std::str::from_utf8(bytes).map(Arc::from).map_err(|_| self.damaged("the store's name is no text".to_owned()));
        let store = value(STORE)?.map(|bytes| text(bytes.value())).transpose()?;
        let open = |table| read.open_table(table).map_err(|problem| failed(problem.into()));
        Ok(Kept {
            genesis: id,
            queued: self.each(&open(QUEUED)?, "queued", E::decode)?,
            dead: self.each(&open(DEAD)?, "dead", E::decode_dead)?,
            store,
        })
    }

    fn each<T, P: Error + Send + Sync + 'static>(
        &self,
        table: &impl ReadableTable<Number, &'static [u8]>,
        name: &'static str,
        decode: fn(&[u8]) -> Result<T, P>,
    ) -> Result<BTreeMap<Number, Arc<T>>, OpenError> {
        let mut rows = BTreeMap::new();
        for found in table.iter().map_err(|problem| self.database_error(problem.into()))? {
            let (number, bytes) = found.map_err(|problem| self.database_error(problem.into()))?;
            let value = decode(bytes.value()).map_err(|source| row(name, &number.value().to_string(), source))?;
            rows.insert(number.value(), Arc::new(value));
        }
        Ok(rows)
    }

    /// Repairs what a crash left, and checks every page before it is trusted.
    fn database(&self, backend: Box<dyn StorageBackend>) -> Result<Database, OpenError> {
        let backend = Watched::new(backend, self.sync_failed.clone());
        let opened = Builder::new().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create_with_backend(backend);
        opened.map_err(|problem| match problem {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => OpenError::Locked { place: self.place() },
            other => self.database_error(other.into()),
        })
    }

    fn database_error(&self, problem: redb::Error) -> OpenError {
        match problem {
            redb::Error::Corrupted(what) => self.damaged(what),
            redb::Error::Io(source) if matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                self.damaged(source.to_string())
            }
            problem => OpenError::Database(Box::new(problem)),
        }
    }

    fn damaged(&self, what: String) -> OpenError {
        OpenError::Damaged { place: self.place(), what }
    }

    /// A file that is not what it was may be too much for its reader.
    fn guarded<T>(&mut self, open: impl FnOnce(&mut Self) -> Result<T, OpenError>) -> Result<T, OpenError> {
        catch_unwind(AssertUnwindSafe(|| open(self))).unwrap_or_else(|_| Err(self.damaged("it cannot be read".to_owned())))
    }
}

fn create(database: &Database) -> Result<(), redb::Error> {
    let write = begin(database)?;
    {
        write.open_table(QUEUED)?;
        write.open_table(DEAD)?;
        let genesis = Genesis { schema_version: SCHEMA_VERSION, id: Uuid::now_v7().as_bytes().to_vec() };
        write.open_table(META)?.insert(GENESIS, genesis.encode_to_vec().as_slice())?;
    }
    Ok(write.commit()?)
}

fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    Ok(write)
}

fn row(table: &'static str, key: &str, source: impl Error + Send + Sync + 'static) -> OpenError {
    OpenError::Row { table, key: key.to_owned(), source: Box::new(source) }
}
