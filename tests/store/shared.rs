//! Stores on real servers, as the contract wants them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use genquota::clock::ManualClock;
use genquota::store::Store;
use genquota::store::redis::{Address, Link, LinkOptions, Options, RedisStore, Time};

use crate::fixtures::{OPTIONS, start};
use crate::lab::{Kind, Server, Settings};
use crate::{Bench, Reopen};

pub(crate) fn server(kind: Kind) -> Server {
    Server::start(kind, Settings::default())
}

/// A store on a server of its own, whose time is the bench's.
pub(crate) async fn bench(url: &str) -> Bench {
    let clock = Arc::new(ManualClock::at(start()));
    let store: Arc<dyn Store> = Arc::new(open(url, clock.clone()).await);
    let again = (store.clone(), url.to_owned(), clock.clone());
    let reopen = move || -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send>> {
        let (store, url, clock) = again.clone();
        Box::pin(async move {
            store.close().await;
            Arc::new(open(&url, clock).await) as Arc<dyn Store>
        })
    };
    Bench { store, clock, reopen: Some(Box::new(reopen) as Reopen) }
}

async fn open(url: &str, clock: Arc<ManualClock>) -> RedisStore {
    let link = LinkOptions { connect_timeout: Duration::from_secs(5), command_timeout: Duration::from_secs(5) };
    let link = Link::open(Address(url.to_owned()), link).await.unwrap();
    let options = Options {
        partitions: 4,
        retention: OPTIONS.retention,
        event_retention: OPTIONS.event_retention,
        // Time stands still in these tests: what is due is what the store itself finds when it is asked.
        sweep_interval: Duration::from_secs(3600),
        time: Time::Given(clock),
        ..Options::new("test")
    };
    RedisStore::open(link, options).await.unwrap()
}
