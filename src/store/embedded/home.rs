//! Where a ledger comes from: fresh memory, or a database that is opened, checked and loaded, at the start and after every failure.
//!
//! It remembers which database this is and what of it was acknowledged, so that another one, or an older one, is never taken for it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use redb::{Builder, Database, DatabaseError, StorageBackend};
use uuid::Uuid;

use super::disk::{Batch, CACHE_BYTES, Disk, Kept, SCHEMA_VERSION};
use super::worker::{Core, Live};
use super::{OpenError, Options, audit};
use crate::domain::ids::CatalogVersion;
use crate::domain::ledger::Ledger;
use crate::medium::{Medium, Watched, rewrite};
use crate::store::StoreError;
use crate::store::record::Genesis;

/// What a ledger is loaded from.
#[derive(Debug)]
pub(super) enum Home {
    Memory(Options),
    Medium(Box<Opener>),
}

/// Opens one database, again and again.
#[derive(Debug)]
pub(super) struct Opener {
    medium: Arc<dyn Medium>,
    options: Options,
    /// Which database it is and the last event that was acknowledged, once it was seen.
    seen: Option<(Uuid, u64)>,
    sync_failed: Arc<AtomicBool>,
    /// A failure is told once, and so is its end.
    failing: bool,
}

impl Home {
    pub(super) fn medium(medium: Arc<dyn Medium>, options: Options) -> Self {
        Self::Medium(Box::new(Opener::new(medium, options)))
    }

    /// The first load. A database that does not exist is created.
    pub(super) fn load(&mut self) -> Result<Live, OpenError> {
        match self {
            Self::Memory(options) => Ok(live(Ledger::new(options.retention), HashMap::new(), None)),
            Self::Medium(opener) => guarded(opener.medium.place(), || {
                opener.create_if_missing()?;
                opener.load()
            }),
        }
    }

    /// A load after a failure. What was only in memory cannot come back: `before` remains the answer.
    pub(super) fn load_again(&mut self, before: StoreError) -> Result<Live, StoreError> {
        match self {
            Self::Memory(_) => Err(before),
            Self::Medium(opener) => match guarded(opener.medium.place(), || opener.load()) {
                Ok(live) => Ok(live),
                Err(OpenError::Replaced { place }) => {
                    Err(StoreError::DataLost { reason: Arc::from(OpenError::Replaced { place }.to_string()) })
                }
                Err(problem) => Err(StoreError::Unavailable { reason: Arc::from(problem.to_string()) }),
            },
        }
    }

    /// A batch up to this event was made durable, and its callers are told so.
    pub(super) fn acknowledged(&mut self, sequence: u64) {
        let Self::Medium(opener) = self else { return };
        if let Some((_, acknowledged)) = &mut opener.seen {
            *acknowledged = sequence;
        }
        if std::mem::take(&mut opener.failing) {
            tracing::info!(place = opener.medium.place(), "the store serves again");
        }
    }

    /// The ledger was dropped: what callers are told.
    pub(super) fn failed(&mut self, reason: String) -> StoreError {
        match self {
            Self::Memory(_) => {
                tracing::error!(reason, "the store in memory is lost");
                StoreError::DataLost { reason: Arc::from(reason) }
            }
            Self::Medium(opener) => {
                if !std::mem::replace(&mut opener.failing, true) {
                    tracing::error!(place = opener.medium.place(), reason, "the store cannot write");
                }
                StoreError::Unavailable { reason: Arc::from(reason) }
            }
        }
    }
}

impl Opener {
    pub(super) fn new(medium: Arc<dyn Medium>, options: Options) -> Self {
        Self { medium, options, seen: None, sync_failed: Arc::default(), failing: false }
    }

    /// The database and everything in it, without a ledger. `None`: there is none, and none is to be created.
    pub(super) fn archive(&mut self, create: bool) -> Result<Option<(Disk, Kept)>, OpenError> {
        guarded(self.medium.place(), || {
            if create {
                self.create_if_missing()?;
            } else if self.medium.open().map_err(|source| OpenError::Io { place: self.medium.place(), source })?.is_none() {
                return Ok(None);
            }
            self.read().map(Some)
        })
    }

    fn create_if_missing(&self) -> Result<(), OpenError> {
        let io = |source| OpenError::Io { place: self.medium.place(), source };
        if self.medium.open().map_err(io)?.is_some() {
            return Ok(());
        }
        let database = self.database(self.medium.create().map_err(io)?)?;
        Disk::create(&database, Genesis { schema_version: SCHEMA_VERSION, id: Uuid::now_v7() }).map_err(OpenError::database)?;
        drop(database);
        self.medium.publish().map_err(io)
    }

    fn load(&mut self) -> Result<Live, OpenError> {
        let (disk, kept) = self.read()?;
        let mut ledger = Ledger::new(self.options.retention);
        ledger.restore(kept.position, kept.contents);
        Ok(live(ledger, kept.catalogs, Some(disk)))
    }

    /// Everything, checked.
    fn read(&mut self) -> Result<(Disk, Kept), OpenError> {
        let place = || self.medium.place();
        let io = |source| OpenError::Io { place: place(), source };
        let backend = self.medium.open().map_err(io)?.ok_or_else(|| OpenError::Replaced { place: place() })?;
        if backend.len().map_err(io)? == 0 {
            return Err(OpenError::Damaged { what: format!("{} is empty", place()) });
        }
        if self.sync_failed.load(Ordering::SeqCst) {
            rewrite(&*backend).map_err(io)?;
            self.sync_failed.store(false, Ordering::SeqCst);
        }
        let (disk, kept) = Disk::load(self.database(backend)?, &self.options)?;
        let (id, sequence) = (disk.genesis().id, kept.position.0);
        if self.seen.is_some_and(|(known, acknowledged)| known != id || sequence < acknowledged) {
            return Err(OpenError::Replaced { place: place() });
        }
        audit::holds(&kept.contents).map_err(|what| OpenError::Damaged { what })?;
        self.seen = Some((id, sequence));
        Ok((disk, kept))
    }

    /// Repairs what a crash left, and checks every page before it is trusted.
    fn database(&self, backend: Box<dyn StorageBackend>) -> Result<Database, OpenError> {
        let backend = Watched::new(backend, self.sync_failed.clone());
        let opened = Builder::new().set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true).create_with_backend(backend);
        opened.map_err(|problem| match problem {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => OpenError::Locked { place: self.medium.place() },
            other => OpenError::database(other),
        })
    }
}

fn live(ledger: Ledger, catalogs: HashMap<CatalogVersion, Arc<str>>, disk: Option<Disk>) -> Live {
    Live { core: Core { ledger, catalogs, now: Timestamp::MIN, batch: Batch::default() }, disk }
}

/// A database that is not what it was may be too much for its reader.
fn guarded<T>(place: String, open: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| Err(OpenError::Damaged { what: format!("{place} cannot be read") }))
}
