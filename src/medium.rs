//! Where a database's bytes lie: a file in a directory of its own, or whatever a test puts in its place.
//!
//! For the embedded store and for journals. //! Creation is all or nothing: a new database gets its final name only when it is complete, so a file of that name that is empty or torn
//! is damage and never a first start. The directory's lock is held as long as the store lives, also while the database is opened again.

use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// Copied at once when a file is written anew. Large enough for a disk to run at full speed.
const REWRITE_BYTES: usize = 1 << 20;

/// A place for one database.
pub trait Medium: Debug + Send + Sync + 'static {
    /// What to call it in messages.
    fn place(&self) -> String;

    /// The storage that was published; `None` if none ever was.
    fn open(&self) -> io::Result<Option<Box<dyn StorageBackend>>>;

    /// Empty storage, not published yet.
    fn create(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// Makes what was created the one that `open` finds, durably.
    fn publish(&self) -> io::Result<()>;
}

/// A directory that this process alone uses.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    file: &'static str,
    /// Locked; unlocked when it is closed.
    _lock: File,
}

impl Directory {
    /// Creates the directory if it does not exist, and takes it for this process and a database of this name. `WouldBlock` if another one
    /// has it.
    pub fn take(path: &Path, file: &'static str) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)?;
        let lock = File::open(path)?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            // A file system that cannot lock a directory: the database still locks its file.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        Ok(Self { path: path.to_owned(), file, _lock: lock })
    }

    /// What a creation that never finished leaves behind.
    fn unfinished(&self) -> String {
        format!("{}.new", self.file)
    }

    fn backend(&self, name: &str, options: &mut OpenOptions) -> io::Result<Box<dyn StorageBackend>> {
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
        let file = options.read(true).write(true).open(self.path.join(name))?;
        Ok(Box::new(FileBackend::new(file).map_err(io::Error::other)?))
    }
}

impl Medium for Directory {
    fn place(&self) -> String {
        self.path.join(self.file).display().to_string()
    }

    fn open(&self) -> io::Result<Option<Box<dyn StorageBackend>>> {
        match self.backend(self.file, &mut OpenOptions::new()) {
            Ok(backend) => Ok(Some(backend)),
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    fn create(&self) -> io::Result<Box<dyn StorageBackend>> {
        match std::fs::remove_file(self.path.join(self.unfinished())) {
            Err(problem) if problem.kind() != io::ErrorKind::NotFound => return Err(problem),
            _ => {}
        }
        self.backend(&self.unfinished(), OpenOptions::new().create_new(true))
    }

    fn publish(&self) -> io::Result<()> {
        std::fs::rename(self.path.join(self.unfinished()), self.path.join(self.file))?;
        File::open(&self.path)?.sync_all()
    }
}

/// A backend whose failures to sync are remembered by whoever holds the mark.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: Box<dyn StorageBackend>,
    sync_failed: Arc<AtomicBool>,
}

impl Watched {
    pub(crate) fn new(inner: Box<dyn StorageBackend>, sync_failed: Arc<AtomicBool>) -> Self {
        Self { inner, sync_failed }
    }
}

/// Writes every byte anew and syncs. After a failed sync, a system may show bytes that never reached the disk and never will: what is
/// read from now on must be made durable first.
pub(crate) fn rewrite(backend: &dyn StorageBackend) -> io::Result<()> {
    let length = backend.len()?;
    let mut chunk = vec![0; REWRITE_BYTES];
    let mut at = 0;
    while at < length {
        let rest = usize::try_from(length - at).unwrap_or(REWRITE_BYTES).min(REWRITE_BYTES);
        let part = &mut chunk[..rest];
        backend.read(at, part)?;
        backend.write(at, part)?;
        at += rest as u64;
    }
    backend.sync_data()
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data().inspect_err(|_| self.sync_failed.store(true, Ordering::SeqCst))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
