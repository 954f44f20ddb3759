//! Stores under test, and files of their ledgers in memory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use genquota::clock::ManualClock;
use genquota::store::Store;
use genquota::store::embedded::{EmbeddedArchive, EmbeddedStore};
use genquota::store::redis::{Link, LinkOptions, Options, RedisArchive, RedisStore, Time};
use genquota::store::transfer::{Description, Imported, Progress, Reader, Source, Target, TransferError, Writer, import, verify};

use crate::fixtures::{OPTIONS, start};

pub const INSTANCE: &str = "moved";

/// A store that is open.
pub enum Live {
    Embedded(EmbeddedStore),
    Redis(RedisStore),
}

impl Live {
    pub fn store(&self) -> &dyn Store {
        match self {
            Self::Embedded(store) => store,
            Self::Redis(store) => store,
        }
    }

    /// What time has brought about is done.
    pub async fn sweep(&self) {
        match self {
            // It sweeps before whatever it is asked.
            Self::Embedded(store) => drop(store.documents(None, 1).await.unwrap()),
            Self::Redis(store) => store.sweep().await.unwrap(),
        }
    }
}

pub fn embedded(directory: &Path, clock: &Arc<ManualClock>) -> Live {
    Live::Embedded(EmbeddedStore::open(directory, OPTIONS, clock.clone()).unwrap())
}

pub async fn redis(url: &str, partitions: u32, clock: &Arc<ManualClock>) -> Live {
    Live::Redis(try_redis(url, partitions, clock).await.unwrap())
}

pub async fn try_redis(url: &str, partitions: u32, clock: &Arc<ManualClock>) -> Result<RedisStore, genquota::store::redis::OpenError> {
    let options = Options {
        partitions,
        retention: OPTIONS.retention,
        event_retention: OPTIONS.event_retention,
        sweep_interval: Duration::from_secs(3600),
        time: Time::Given(clock.clone()),
        ..Options::new(INSTANCE)
    };
    RedisStore::open(link(url).await, options).await
}

pub async fn link(url: &str) -> Arc<Link> {
    let options =
        LinkOptions { connect_timeout: Duration::from_secs(5), command_timeout: Duration::from_secs(10), ..LinkOptions::default() };
    Link::open(url.parse().unwrap(), options).await.unwrap()
}

/// Where a ledger is read from or written to.
pub async fn archive(url: &str, partitions: u32) -> RedisArchive {
    RedisArchive::new(link(url).await, INSTANCE).with_partitions(partitions)
}

pub fn directory(path: &Path) -> EmbeddedArchive {
    EmbeddedArchive::create(path).unwrap()
}

pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
}

/// The file of a ledger.
pub async fn exported(source: &mut dyn Source) -> String {
    try_exported(source).await.unwrap()
}

pub async fn try_exported(source: &mut dyn Source) -> Result<String, TransferError> {
    let mut file = Vec::new();
    let description = Description { instance: INSTANCE.to_owned(), program: "test".to_owned(), time: start() };
    let mut writer = Writer::new(&mut file, description, &Silent);
    source.export(&mut writer).await?;
    writer.finish()?;
    Ok(String::from_utf8(file).unwrap())
}

pub async fn imported(target: &mut dyn Target, file: &str) -> Result<Imported, TransferError> {
    import(target, &mut Reader::new(&mut file.as_bytes()), INSTANCE, &Silent).await
}

pub fn verified(file: &str) -> Result<u64, TransferError> {
    verify(&mut Reader::new(&mut file.as_bytes()), INSTANCE, &Silent)
}

/// Everything a file says of the ledger: all but its first and last line.
pub fn told(file: &str) -> Vec<&str> {
    let lines: Vec<&str> = file.lines().collect();
    lines[1..lines.len() - 1].to_vec()
}

#[track_caller]
pub fn assert_same(left: &str, right: &str) {
    let (left, right) = (told(left), told(right));
    for (left, right) in left.iter().zip(&right) {
        assert_eq!(left, right);
    }
    assert_eq!(left.len(), right.len());
}
