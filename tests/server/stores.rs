//! One server on each kind of store, all by the clock of the test.

use std::sync::Arc;
use std::time::Duration;

use genquota::store::Store;
use genquota::store::redis::{Link, LinkOptions, Options, RedisStore, Time};

use crate::harness::{Server, Setup, TestClock};
use crate::lab::{self, Kind, Settings};

/// When each of them starts.
pub const NOON: &str = "2026-03-10T12:00:00Z";

pub async fn memory(catalog: &str) -> (Server, ()) {
    (Server::start(catalog, NOON).await, ())
}

pub async fn embedded(catalog: &str) -> (Server, ()) {
    (Setup::new(catalog, NOON).embedded().start().await, ())
}

/// A server on a Redis of its own, which must outlive it.
pub async fn redis(catalog: &str, kind: Kind) -> (Server, lab::Server) {
    let redis = lab::Server::start(kind, Settings::default());
    let url = redis.url();
    let setup = Setup::new(catalog, NOON);
    let server = setup.start_by_clock(async |clock: Arc<TestClock>| {
        let reach = LinkOptions { command_timeout: Duration::from_secs(5), ..LinkOptions::default() };
        let link = Link::open(url.parse().unwrap(), reach).await.unwrap();
        let options = Options { partitions: 4, time: Time::Given(clock), ..Options::new("test") };
        Arc::new(RedisStore::open(link, options).await.unwrap()) as Arc<dyn Store>
    });
    (server.await, redis)
}

/// Runs each behaviour on each store.
macro_rules! on_every_store {
    ($catalog:expr; $($behaviour:ident)+) => {
        mod on_memory {
            $(#[tokio::test]
            async fn $behaviour() {
                let (server, _kept) = crate::stores::memory(&$catalog).await;
                super::$behaviour(&server).await;
            })+
        }

        mod on_embedded {
            $(#[tokio::test]
            async fn $behaviour() {
                let (server, _kept) = crate::stores::embedded(&$catalog).await;
                super::$behaviour(&server).await;
            })+
        }

        mod on_redis_7 {
            $(#[tokio::test]
            async fn $behaviour() {
                let (server, _kept) = crate::stores::redis(&$catalog, crate::lab::Kind::Redis7).await;
                super::$behaviour(&server).await;
            })+
        }

        mod on_valkey {
            $(#[tokio::test]
            async fn $behaviour() {
                let (server, _kept) = crate::stores::redis(&$catalog, crate::lab::Kind::Valkey).await;
                super::$behaviour(&server).await;
            })+
        }
    };
}

pub(crate) use on_every_store;
