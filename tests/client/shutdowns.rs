//! A sidecar is stopped under load, as a rollout does it: beside its gateway on a unix socket, over a Redis, with a journal of its own.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use genquota::client::v1::quota_service_client::QuotaServiceClient;
use genquota::client::v1::{CommitRequest, ReserveRequest, State, Target};
use genquota::client::{Booking, Client, Connection, Decision, Delivered, Guard, Work};
use tokio::task::JoinSet;

use crate::lab::{Aof, Kind, Server, Settings};
use crate::sidecar::{Sidecar, look, message, messages, until_state};
use crate::until;

const CALLERS: usize = 16;
/// Generations that are settled before anything happens, so that it happens under load.
const WARM: usize = 100;

/// Beside its gateway, over a Redis, with a journal.
fn sidecar(redis: &Server) -> Sidecar {
    let dir = tempfile::tempdir().unwrap();
    let (store, journal) = (redis.url(), dir.path().join("sidecar-journal").display().to_string());
    let settings = [
        ("store", store.as_str()),
        ("journal", &journal),
        ("redis.partitions", "2"),
        ("redis.command_timeout", "300ms"),
        ("request_timeout", "4s"),
    ];
    Sidecar::start_with(dir, &settings)
}

/// What one caller knows who repeats nothing.
#[derive(Default)]
struct Known {
    committed: Vec<String>,
    /// The call that failed, if it was a commit or else a reserve.
    not_committed: Option<String>,
    not_reserved: Option<String>,
}

/// Reserves and commits until a call fails.
async fn call_until_it_fails(connection: Connection, caller: usize, done: Arc<AtomicUsize>) -> Known {
    let (mut quota, mut known) = (QuotaServiceClient::new(connection), Known::default());
    for number in 0.. {
        let (subject, id) = ("acme".to_owned(), format!("r{caller}-{number}"));
        let reserve = ReserveRequest {
            subject: subject.clone(),
            reservation_id: id.clone(),
            action: "text.message".to_owned(),
            target: Some(Target { provider: "fal".to_owned(), model: "flux-schnell".to_owned() }),
            work: Some(Work::outputs(1).into()),
            ..Default::default()
        };
        if quota.reserve(reserve).await.is_err() {
            known.not_reserved = Some(id);
            break;
        }
        let commit = CommitRequest { subject, reservation_id: id.clone(), ..Default::default() };
        if quota.commit(commit).await.is_err() {
            known.not_committed = Some(id);
            break;
        }
        known.committed.push(id);
        done.fetch_add(1, Ordering::SeqCst);
    }
    known
}

/// Whoever got no answer was not accepted: nothing happened that its caller does not know of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_is_stopped_answers_every_call_that_it_has_accepted() {
    let redis = Server::start(Kind::Redis7, Settings::default());
    let mut sidecar = sidecar(&redis);
    let done = Arc::new(AtomicUsize::new(0));
    let connections = [sidecar.connection(), sidecar.connection()];
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(call_until_it_fails(connections[caller % connections.len()].clone(), caller, done.clone()));
    }
    until("some load", async || (done.load(Ordering::SeqCst) > WARM).then_some(())).await;
    sidecar.begin_stop();
    assert!(sidecar.stopped().await.success());
    let known = callers.join_all().await;

    sidecar.restart();
    let client = sidecar.client();
    let committed: BTreeSet<&String> = known.iter().flat_map(|known| &known.committed).collect();
    for id in &committed {
        assert_eq!(look(&client, id).await.unwrap().state(), State::Committed, "{id}");
    }
    for id in known.iter().filter_map(|known| known.not_committed.as_ref()) {
        assert_eq!(look(&client, id).await.unwrap().state(), State::Held, "{id} was committed unheard");
    }
    for id in known.iter().filter_map(|known| known.not_reserved.as_ref()) {
        assert!(look(&client, id).await.is_none(), "{id} was reserved unheard");
    }
    assert_eq!(messages(&client).await, committed.len());
}

/// Reserves and commits one message after the other until it is told to stop; how many.
async fn work_until(client: Client, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) -> usize {
    let mut committed = 0;
    while !stop.load(Ordering::SeqCst) {
        let guard = match client.reserve(message()).await {
            Ok(Decision::Held(guard)) => guard,
            other => panic!("held: {other:?}"),
        };
        guard.commit(Delivered::as_reserved()).await.unwrap();
        committed += 1;
        done.fetch_add(1, Ordering::SeqCst);
    }
    committed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_is_replaced_under_load_without_a_failure_in_its_gateway() {
    let redis = Server::start(Kind::Redis7, Settings::default());
    let mut sidecar = sidecar(&redis);
    let client = sidecar.journalled("gateway-journal");
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut workers = JoinSet::new();
    for _ in 0..CALLERS {
        workers.spawn(work_until(client.clone(), stop.clone(), done.clone()));
    }
    for round in 1..=2 {
        let before = done.load(Ordering::SeqCst);
        until("some load", async || (done.load(Ordering::SeqCst) > before + WARM).then_some(())).await;
        sidecar.begin_stop();
        assert!(sidecar.stopped().await.success(), "round {round}");
        sidecar.restart();
    }
    stop.store(true, Ordering::SeqCst);
    let committed: usize = workers.join_all().await.into_iter().sum();
    until("the gateway's journal to be drained", async || (client.journal().unwrap().waiting() == 0).then_some(())).await;
    assert!(client.journal().unwrap().dead_letters().is_empty());
    assert_eq!(messages(&client).await, committed);
}

/// What lies in the sidecar's journal, by `genquota journal list`.
fn journal(sidecar: &Sidecar) -> BTreeSet<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genquota"));
    let output = command.env_clear().args(["journal", "list", "--json"]).arg(sidecar.path("sidecar-journal")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let entries = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    entries.map(|entry| entry["reservation"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_settled_while_the_store_is_away_is_on_the_disk_when_the_sidecar_has_stopped() {
    const HELD: usize = 32;
    let redis = Server::start(Kind::Redis7, Settings::default().aof(Aof::Always));
    let mut sidecar = sidecar(&redis);
    let client = sidecar.client();
    let mut guards: Vec<Guard> = Vec::new();
    for number in 0..HELD {
        let Decision::Held(guard) = client.reserve(message().reservation_id(format!("h{number}"))).await.unwrap() else { panic!("denied") };
        guards.push(guard);
    }
    redis.pause();
    // The first has been queued, so the others, sent on the same connection before the signal, are accepted and wait for the store.
    let first = guards.remove(0).commit(Delivered::as_reserved()).await.unwrap();
    assert_eq!(first.booking, Booking::Queued);
    let commits: Vec<_> = guards.into_iter().map(|guard| guard.commit(Delivered::as_reserved())).collect();
    tokio::task::yield_now().await;
    sidecar.begin_stop();
    let settled = futures_util::future::join_all(commits).await;
    assert!(sidecar.stopped().await.success());
    let queued = settled.iter().filter(|settled| settled.as_ref().is_ok_and(|settled| settled.booking == Booking::Queued)).count();
    assert!(queued > 0, "none was accepted before the signal: {settled:?}");
    let kept = journal(&sidecar);
    assert_eq!(kept.len(), queued + 1, "{kept:?}");

    redis.resume();
    sidecar.restart();
    for id in &kept {
        until_state(&client, id, State::Committed).await;
    }
    assert_eq!(messages(&client).await, kept.len(), "each is booked once");
}
