//! The catalogs in force: the one that judges new requests, and those that older reservations are settled by (R9).

use std::sync::{Arc, PoisonError, RwLock};

use moka::sync::Cache;

use super::error::ServiceError;
use crate::domain::catalog::Catalog;
use crate::domain::ids::CatalogVersion;
use crate::store::{Store, StoreError};

/// Older catalogs kept at hand. Reservations live for hours, catalogs for days.
const OLDER_KEPT: u64 = 16;

/// Reads a catalog's text. Handed in, because the file format is another room's.
pub type ReadCatalog = fn(&str) -> Result<Catalog, String>;

pub struct Catalogs {
    current: RwLock<Arc<Catalog>>,
    older: Cache<CatalogVersion, Arc<Catalog>>,
    read: ReadCatalog,
}

impl Catalogs {
    /// Puts a catalog in force. Its text is kept in the store first, so that whatever is judged by it can always be settled by it.
    pub async fn start(store: &dyn Store, text: Arc<str>, read: ReadCatalog) -> Result<Self, CatalogError> {
        let catalog = read(&text).map_err(CatalogError::Unreadable)?;
        store.keep_catalog(&catalog.version, text).await?;
        Ok(Self { current: RwLock::new(Arc::new(catalog)), older: Cache::new(OLDER_KEPT), read })
    }

    /// Puts another catalog in force, whose text this is, for every decision that begins from now on. An error changes nothing.
    pub async fn replace(&self, store: &dyn Store, text: Arc<str>, catalog: Catalog) -> Result<(), StoreError> {
        store.keep_catalog(&catalog.version, text).await?;
        let before = std::mem::replace(&mut *self.current.write().unwrap_or_else(PoisonError::into_inner), Arc::new(catalog));
        // What it has held may be settled while the store cannot be asked for its text.
        self.older.insert(before.version.clone(), before);
        Ok(())
    }

    pub fn current(&self) -> Arc<Catalog> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The catalog a reservation was judged by, if it need not be read from the store.
    pub fn at_hand(&self, version: &CatalogVersion) -> Option<Arc<Catalog>> {
        let current = self.current();
        if current.version == *version { Some(current) } else { self.older.get(version) }
    }

    /// The catalog a reservation was judged by.
    pub async fn pinned(&self, version: &CatalogVersion, store: &dyn Store) -> Result<Arc<Catalog>, ServiceError> {
        if let Some(known) = self.at_hand(version) {
            return Ok(known);
        }
        let lost = || ServiceError::Internal(format!("the store does not have catalog `{version}` any more"));
        let text = store.catalog(version).await?.ok_or_else(lost)?;
        let catalog = Arc::new((self.read)(&text).map_err(|_| lost())?);
        self.older.insert(version.clone(), catalog.clone());
        Ok(catalog)
    }
}

/// Why a catalog could not be put in force.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("{0}")]
    Unreadable(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}
