//! Stores as so many sidecars have them: each with a connection of its own to the same ledger.

use std::sync::Arc;
use std::time::{Duration, Instant};

use genquota::store::redis::{Link, LinkOptions, Options, RedisStore};
use jiff::SignedDuration;

use crate::lab::PATIENCE;

/// The ledger's name in these tests.
pub(crate) const INSTANCE: &str = "faults";
/// Longer than a test: what ended is still there to be compared.
pub(crate) const RETENTION: SignedDuration = SignedDuration::from_hours(24);

/// Few partitions, so that each sees much; nothing is swept but what a call needs.
pub(crate) fn options(partitions: u32) -> Options {
    Options {
        partitions,
        retention: RETENTION,
        event_retention: RETENTION,
        sweep_interval: Duration::from_secs(3600),
        ..Options::new(INSTANCE)
    }
}

pub(crate) async fn link(url: &str) -> Arc<Link> {
    Link::open(url.parse().unwrap(), LinkOptions::default()).await.unwrap()
}

pub(crate) async fn open(url: &str, options: Options) -> Arc<RedisStore> {
    Arc::new(RedisStore::open(link(url).await, options).await.unwrap())
}

pub(crate) async fn open_several(count: usize, url: &str, options: &Options) -> Vec<Arc<RedisStore>> {
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(open(url, options.clone()).await);
    }
    stores
}

/// The seed of a run, printed; `FAULTS_SEED` plays the same choices again. When they meet the fault depends on the machine.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var("FAULTS_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("FAULTS_SEED={seed}");
    seed
}

/// Looks until there is something, and panics if there is nothing in good time. `what` ends the sentence "waited for".
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
