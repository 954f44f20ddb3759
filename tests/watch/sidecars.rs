//! Several sidecars over one Redis: each serves every event, and takes the cursor of any other.

use genquota::store::redis::{Link, LinkOptions, Loss};
use jiff::Timestamp;
use tonic::Code;

use crate::ask::images;
use crate::catalogs::monthly;
use crate::harness::{Server, Setup};
use crate::lab::{self, Kind, Settings};
use crate::ledger;
use crate::load::{Follower, Load, SUBJECTS};
use crate::watcher::{history, watch, watch_from_now};

pub const PARTITIONS: usize = 4;

/// A sidecar of the ledger `watch`.
pub fn setup(url: &str) -> Setup {
    Setup::new(&monthly("1000000"), &Timestamp::now().to_string())
        .with("store", &[url])
        .with("instance", &["watch"])
        .with("journal", &["off"])
        .with("redis.partitions", &[&PARTITIONS.to_string()])
}

pub async fn customers(server: &Server) {
    for subject in SUBJECTS {
        server.customer(subject, "pro").await;
    }
}

#[tokio::test]
async fn every_sidecar_tells_what_all_of_them_did_and_takes_the_others_cursors() {
    let redis = lab::Server::start(Kind::Redis7, Settings::default());
    let (first, second) = (setup(&redis.url()).start().await, setup(&redis.url()).start().await);
    customers(&first).await;
    let (mut here, mut there) = (watch_from_now(&first.channel).await, watch_from_now(&second.channel).await);
    let (one, two) = (images(1), images(1));
    first.stranger("a").used(&one).await;
    second.stranger("b").used(&two).await;
    for watcher in [&mut here, &mut there] {
        let mut ids = watcher.ids(2).await;
        ids.sort_unstable();
        assert_eq!(ids, [one.key(), two.key()]);
    }
    let cursor = here.cursor.clone();
    drop(here);
    first.begin_stop();
    first.stopped().await.unwrap();
    let three = images(1);
    second.stranger("c").used(&three).await;
    let mut elsewhere = watch(&second.channel, &cursor, None).await.unwrap();
    assert_eq!(elsewhere.ids(1).await, [three.key()]);
    let again = setup(&redis.url()).start().await;
    let mut restarted = watch(&again.channel, &cursor, None).await.unwrap();
    assert_eq!(restarted.ids(1).await, [three.key()]);
    assert_eq!(history(&again.channel).await.len(), 3);
}

#[tokio::test]
async fn a_watcher_through_a_killed_and_restarted_server_misses_nothing() {
    let mut redis = lab::Server::start(Kind::Valkey, Settings::default().aof(lab::Aof::Always));
    let (first, second) = (setup(&redis.url()).start().await, setup(&redis.url()).start().await);
    customers(&first).await;
    let follower = Follower::start(second.channel.clone(), "0");
    let load = Load::start(&[first.channel.clone(), second.channel.clone()]);
    load.goes_on(100).await;
    redis.kill();
    redis.restart();
    load.goes_on(100).await;
    load.end().await;
    let expected = ledger::of_server(&redis, "watch", PARTITIONS);
    assert!(expected.len() >= 200);
    follower.has_seen(&expected).await;
}

/// What an administrator accepts begins a generation: a cursor of before goes on where nothing after it is gone, and says so where it is.
#[tokio::test]
async fn a_cursor_goes_on_into_the_next_generation_unless_what_followed_is_lost() {
    let redis = lab::Server::start(Kind::Redis7, Settings::default());
    let server = setup(&redis.url()).start().await;
    customers(&server).await;
    for subject in SUBJECTS {
        server.stranger(subject).used(&images(1)).await;
    }
    let before = history(&server.channel).await;
    let (half, end) = (before[2].cursor.clone(), before[5].cursor.clone());
    server.begin_stop();
    server.stopped().await.unwrap();
    accept(&redis.url()).await;

    let server = setup(&redis.url()).start().await;
    let new = images(1);
    server.stranger("a").used(&new).await;
    assert_eq!(watch(&server.channel, &end, None).await.unwrap().ids(1).await, [new.key()]);
    let rest = watch(&server.channel, &half, None).await.unwrap().caught_up().await;
    assert_eq!(rest.len(), 4);
    server.begin_stop();
    server.stopped().await.unwrap();

    // Everything is lost but who the ledger is. Nothing of the present ledger is missing after any place of before.
    for key in redis.ask(&["KEYS", "{gqwatch:*"]).unwrap().array() {
        redis.command(&["DEL", &key.to_string()]);
    }
    accept(&redis.url()).await;
    let server = setup(&redis.url()).start().await;
    let newest = images(1);
    server.stranger("a").record(&newest, |_| {}).await.unwrap();
    assert_eq!(watch(&server.channel, &end, None).await.unwrap().ids(1).await, [newest.key()]);
}

/// A store that was put back behind what a watcher has seen tells it so, instead of skipping what happens under the same numbers.
#[tokio::test]
async fn a_cursor_beyond_what_is_left_of_the_ledger_has_expired() {
    let redis = lab::Server::start(Kind::Redis7, Settings::default());
    let server = setup(&redis.url()).start().await;
    customers(&server).await;
    server.stranger("a").used(&images(1)).await;
    let ahead = history(&server.channel).await.remove(0).cursor;
    server.begin_stop();
    server.stopped().await.unwrap();
    for partition in 0..PARTITIONS {
        redis.command(&["HSET", &format!("{{gqwatch:{partition}}}meta"), "position", "0 0"]);
        redis.command(&["DEL", &format!("{{gqwatch:{partition}}}events")]);
    }
    let server = setup(&redis.url()).start().await;
    let status = watch(&server.channel, &ahead, None).await.unwrap().end().await;
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
}

async fn accept(url: &str) {
    let link = Link::open(url.parse().unwrap(), LinkOptions::default()).await.unwrap();
    let partitions = u32::try_from(PARTITIONS).unwrap();
    Loss::examine(&link, "watch", partitions, None).await.unwrap().accept(&link).await.unwrap();
}
