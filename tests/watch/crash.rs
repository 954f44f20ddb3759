//! The real binary, killed at any moment under load: no commit without its event, no event without its commit, none twice under another id.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use genquota::client;
use genquota::proto::v1::{self, State};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::ask::{ask, outputs};
use crate::caller::Caller;
use crate::harness::PATIENCE;
use crate::lab::{Aof, Kind, Server, Settings};
use crate::served::Served;
use crate::watcher::history;

const CATALOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/catalog.yaml");
const ROUNDS: usize = 4;
const CALLERS: usize = 24;

fn serve(store: &str, dir: &Path) -> Served {
    let mut command = Served::command();
    command.args(["--http", "off", "--log-filter", "off", "--redis-partitions", "2"]);
    command.args(["--catalog", CATALOG, "--store", store]).arg("--journal").arg(dir.join("journal"));
    Served::start(command)
}

async fn connect(served: &Served) -> Channel {
    client::connect(&served.grpc.parse().unwrap(), PATIENCE).await.unwrap()
}

/// Reserves and settles until nobody answers. Returns every id that was asked for.
async fn caller(channel: Channel, number: usize, round: usize) -> Vec<String> {
    let caller = Caller::new(channel, "acme");
    let mut ids = Vec::new();
    for call in 0.. {
        let ask = ask("image.generate", "fal/flux-schnell", outputs(1)).id(&format!("r{round}-{number}-{call}"));
        ids.push(ask.key().to_owned());
        if caller.reserve(&ask).await.is_err() {
            break;
        }
        let settled = match call % 3 {
            0 => caller.release(ask.key(), |request| request.set_outcome(v1::Outcome::Failed)).await.is_ok(),
            _ => caller.commit(ask.key(), |_| {}).await.is_ok(),
        };
        if !settled {
            break;
        }
    }
    ids
}

async fn killed_at_any_moment(store: &str, dir: &TempDir) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let (mut asked, mut known) = (Vec::new(), BTreeMap::<String, v1::CostEvent>::new());
    let mut sidecar = serve(store, dir.path());
    let acme = Caller::new(connect(&sidecar).await, "acme");
    acme.create("").await.unwrap();
    acme.subscribe("wide", |_| {}).await.unwrap();
    for round in 0..ROUNDS {
        let mut callers = JoinSet::new();
        for number in 0..CALLERS {
            callers.spawn(caller(connect(&sidecar).await, number, round));
        }
        tokio::time::sleep(Duration::from_micros(random.u64(300_000..900_000))).await;
        sidecar.kill();
        while let Some(ids) = callers.join_next().await {
            asked.extend(ids.unwrap());
        }
        sidecar = serve(store, dir.path());
        let channel = connect(&sidecar).await;
        let acme = Caller::new(channel.clone(), "acme");
        let events = history(&channel).await;
        let mut of = BTreeMap::<&str, Vec<&v1::CostEvent>>::new();
        for event in &events {
            of.entry(&event.reservation_id).or_default().push(event);
        }
        // What was told before is told again, the same.
        for (id, before) in &known {
            let again = events.iter().find(|event| event.event_id == *id);
            assert_eq!(again, Some(before), "{id}");
        }
        for id in &asked {
            let told = of.remove(&**id).unwrap_or_default();
            match acme.reservation(id).await {
                Ok(row) if matches!(row.state(), State::Committed | State::Released) => {
                    assert_eq!(told.len(), 1, "{id} has ended once: {told:?}");
                    assert_eq!(told[0].attempt.as_ref(), row.attempts.last(), "{id}");
                }
                Ok(row) => assert!(told.is_empty(), "{id} is {:?}: {told:?}", row.state()),
                Err(_) => assert!(told.is_empty(), "{id} is not known: {told:?}"),
            }
        }
        assert!(of.is_empty(), "nobody asked for these: {of:?}");
        let ids: BTreeSet<&str> = events.iter().map(|event| event.event_id.as_str()).collect();
        assert_eq!(ids.len(), events.len(), "no event is told twice in one stream");
        known = events.into_iter().map(|event| (event.event_id.clone(), event)).collect();
    }
    assert!(known.len() > 8 * ROUNDS, "there was no load to speak of: {}", known.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sidecar_leaves_each_end_its_event_in_the_embedded_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = format!("embedded:{}", dir.path().join("store").display());
    killed_at_any_moment(&store, &dir).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sidecar_leaves_each_end_its_event_in_redis() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Server::start(Kind::Redis7, Settings::default().aof(Aof::Always));
    killed_at_any_moment(&redis.url(), &dir).await;
}
