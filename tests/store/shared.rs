//! Stores on real servers, as the contract wants them.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use genquota::clock::ManualClock;
use genquota::store::redis::{Link, LinkOptions, Options, RedisStore, Time};
use genquota::store::{Store, embedded};

use crate::fixtures::{OPTIONS, start};
use crate::lab::{Kind, Reply, Server, Settings};
use crate::{Bench, Reopen, Seen, observed};

pub(crate) fn server(kind: Kind) -> Server {
    Server::start(kind, Settings::default())
}

/// A store on a server of its own, whose time is the bench's.
pub(crate) async fn bench(url: &str, instance: &str) -> Bench {
    let (clock, seen) = (Arc::new(ManualClock::at(start())), Seen::default());
    let store = Arc::new(open(url, instance, clock.clone(), observed(&seen)).await);
    let swept = store.clone();
    let sweep = move || -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let store = swept.clone();
        Box::pin(async move { store.sweep().await.unwrap() })
    };
    let again = (store.clone(), url.to_owned(), instance.to_owned(), clock.clone());
    let reopen = move || -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send>> {
        let (store, url, instance, clock) = again.clone();
        Box::pin(async move {
            store.close().await;
            Arc::new(open(&url, &instance, clock, OPTIONS).await) as Arc<dyn Store>
        })
    };
    Bench { store, clock, reopen: Some(Box::new(reopen) as Reopen), sweep: Box::new(sweep), seen }
}

pub(crate) async fn link(url: &str) -> Arc<Link> {
    let options =
        LinkOptions { connect_timeout: Duration::from_secs(5), command_timeout: Duration::from_secs(5), ..LinkOptions::default() };
    Link::open(url.parse().unwrap(), options).await.unwrap()
}

/// The texts of a reply, in order.
pub(crate) fn texts(reply: &Reply) -> Vec<String> {
    let text = |reply: &Reply| String::from_utf8_lossy(&reply.clone().bytes()).into_owned();
    reply.clone().array().iter().map(text).collect()
}

/// The entries of a stream: their ids and fields.
pub(crate) fn entries(reply: &Reply) -> Vec<(String, BTreeMap<String, String>)> {
    let entry = |reply: Reply| {
        let [id, fields] = <[Reply; 2]>::try_from(reply.array()).unwrap();
        let fields = texts(&fields).chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        (String::from_utf8(id.bytes()).unwrap(), fields)
    };
    reply.clone().array().into_iter().map(entry).collect()
}

pub(crate) async fn open(url: &str, instance: &str, clock: Arc<ManualClock>, like: embedded::Options) -> RedisStore {
    let link = link(url).await;
    let options = Options {
        partitions: 4,
        retention: like.retention,
        event_retention: like.event_retention,
        cost_retention: like.cost_retention,
        events_max: like.events_max,
        observer: like.observer,
        // Time stands still in these tests: what is due is what the store itself finds when it is asked.
        sweep_interval: Duration::from_secs(3600),
        time: Time::Given(clock),
        ..Options::new(instance)
    };
    RedisStore::open(link, options).await.unwrap()
}
