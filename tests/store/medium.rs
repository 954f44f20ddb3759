//! A disk of the test's making: it counts, waits, fails, runs full and loses power on demand.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use genquota::medium::Medium;
use redb::StorageBackend;

#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug, Default)]
pub struct State {
    /// What a reader sees, as through a page cache.
    live: Vec<u8>,
    /// What a power failure leaves.
    durable: Vec<u8>,
    /// What lies between the two.
    unsynced: Vec<Change>,
    published: bool,
    pub syncs: usize,
    /// Writes and syncs.
    pub operations: usize,
    /// All operations from this one on fail.
    pub fails_from: Option<usize>,
    /// Only syncs fail, and what they should have written is lost without a trace, as Linux does.
    pub syncs_fail: bool,
    /// Largest size of the file.
    pub room: Option<u64>,
    /// Syncs wait here until it is opened; `arrived` tells that one does.
    pub gate_closed: bool,
    pub arrived: bool,
    /// How many transactions the test has seen acknowledged.
    pub acknowledged: usize,
    /// The disk at each sync, where the test wants it.
    pub history: Option<Vec<Moment>>,
}

#[derive(Debug, Clone)]
pub enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// A moment in which the power may fail.
#[derive(Debug, Clone)]
pub struct Moment {
    pub acknowledged: usize,
    pub durable: Vec<u8>,
    pub unsynced: Vec<Change>,
}

#[derive(Debug)]
struct Handle(Disk);

impl Disk {
    /// A disk that was published with these bytes on it.
    pub fn with(bytes: Vec<u8>) -> Self {
        let disk = Self::default();
        disk.set(|state| (state.live, state.durable, state.published) = (bytes.clone(), bytes, true));
        disk
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    pub fn set<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.0.1.notify_all();
        result
    }

    pub fn wait_until(&self, condition: impl Fn(&State) -> bool) {
        drop(self.0.1.wait_while(self.state(), |state| !condition(state)).unwrap());
    }

    /// The bytes a power failure would leave now.
    pub fn after_power_failure(&self) -> Vec<u8> {
        self.state().durable.clone()
    }

    /// Puts other bytes in place of its own.
    pub fn replace(&self, bytes: Vec<u8>) {
        self.set(|state| (state.live, state.durable, state.unsynced) = (bytes.clone(), bytes, Vec::new()));
    }
}

impl Change {
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write(at, part) => {
                if bytes.len() < at + part.len() {
                    bytes.resize(at + part.len(), 0);
                }
                bytes[*at..at + part.len()].copy_from_slice(part);
            }
        }
    }

    /// The first half of a write, as a torn one leaves it.
    pub fn torn(&self) -> Self {
        match self {
            Self::Write(at, part) => Self::Write(*at, part[..part.len() / 2].to_vec()),
            Self::Length(length) => Self::Length(*length),
        }
    }
}

impl State {
    fn change(&mut self, change: Change) -> io::Result<()> {
        self.count()?;
        let end = match &change {
            Change::Write(at, part) => at + part.len(),
            Change::Length(length) => *length,
        };
        if self.room.is_some_and(|room| end as u64 > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        change.apply(&mut self.live);
        self.unsynced.push(change);
        Ok(())
    }

    fn count(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.fails_from.is_some_and(|first| self.operations > first) {
            return Err(io::Error::other("the disk is broken"));
        }
        Ok(())
    }
}

impl Medium for Disk {
    fn place(&self) -> String {
        "the disk of the test".to_owned()
    }

    fn open(&self) -> io::Result<Option<Box<dyn StorageBackend>>> {
        Ok(self.state().published.then(|| Box::new(Handle(self.clone())) as Box<dyn StorageBackend>))
    }

    fn create(&self) -> io::Result<Box<dyn StorageBackend>> {
        self.replace(Vec::new());
        Ok(Box::new(Handle(self.clone())))
    }

    fn publish(&self) -> io::Result<()> {
        self.set(|state| state.published = true);
        Ok(())
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.state().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        let state = self.0.state();
        out.copy_from_slice(state.live.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.state().change(Change::Length(usize::try_from(len).unwrap()))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.state().change(Change::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.set(|state| state.arrived = true);
        self.0.wait_until(|state| !state.gate_closed);
        self.0.set(|state| {
            state.count()?;
            let unsynced = std::mem::take(&mut state.unsynced);
            if state.syncs_fail {
                return Err(io::Error::other("the disk does not sync"));
            }
            if let Some(history) = &mut state.history {
                history.push(Moment { acknowledged: state.acknowledged, durable: state.durable.clone(), unsynced: unsynced.clone() });
            }
            for change in unsynced {
                change.apply(&mut state.durable);
            }
            state.syncs += 1;
            Ok(())
        })
    }
}
