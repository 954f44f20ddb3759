//! The real binary, ended in the worst ways under load: what it had acknowledged is there afterwards, once, and nothing is there by half.
//!
//! Each run prints its seed; `CRASH_SEED` plays the same callers again.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first thing that is not as it says")]

use std::time::{Duration, SystemTime};

use genquota::proto::v1;
use tonic::Code;
use tonic_types::StatusExt as _;

mod check;
mod load;
mod server;

use load::{Entry, Load, Quota, Random, Round};
use server::{PATIENCE, Server};

/// Kills in one run: each takes about two seconds, and hits another moment of the store's batches.
const ROUNDS: usize = 5;
/// The longest the callers of one round are at work.
const LOAD_MAX: Duration = Duration::from_millis(1500);
/// Less than the deadline after which the server would cut off what is left: callers that have their answers must not make it wait.
const DRAIN_MAX: Duration = Duration::from_secs(15);

fn seed() -> u64 {
    let seed = match std::env::var("CRASH_SEED") {
        Ok(seed) => seed.parse().expect("CRASH_SEED is a number"),
        Err(_) => u64::try_from(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap(),
    };
    println!("CRASH_SEED={seed}");
    seed
}

fn round(number: usize, seed: u64) -> Round {
    Round { number, seed, label_bytes: 0 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_at_any_moment_loses_nothing_acknowledged_and_leaves_nothing_by_half() {
    let seed = seed();
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path());
    load::create_subjects(&server).await;
    let mut entries: Vec<Entry> = Vec::new();
    let (mut held, mut expired) = (0, 0);
    for number in 0..ROUNDS {
        let mut load = Load::start(&server, round(number, seed)).await;
        // Somewhere between the first answers and the end of the load, and then anywhere inside a batch.
        let moment = 20 + random.below(1200);
        let _ = tokio::time::timeout(LOAD_MAX, load.answered(moment)).await;
        tokio::time::sleep(Duration::from_micros(random.next() % 3000)).await;
        assert!(load.is_whole(), "a caller was stopped before the kill");
        server.kill();
        entries.extend(load.end().await.entries);

        server = Server::start(dir.path());
        entries = check::every_answer_holds(&server, entries).await;
        expired += check::short_holds_expire(&server, &entries).await;
        check::accounts_are_the_sum_of_reservations(&server, &entries).await;
        held += check::settle_what_is_held(&server, &mut entries).await;
    }
    check::late_commit_is_charged(&server, &mut entries).await;
    check::accounts_are_the_sum_of_reservations(&server, &entries).await;
    check::no_place_is_lost_or_gained(&server, seed).await;
    println!("{} ids, {held} settled after a restart, {expired} seen expired", entries.len());
    assert!(entries.len() > 20 * ROUNDS && held > 0 && expired > 0, "there was no load to speak of");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_ends_within_the_deadline_and_loses_nothing_acknowledged() {
    let seed = seed();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    load::create_subjects(&server).await;
    let mut load = Load::start(&server, round(0, seed)).await;
    let _ = tokio::time::timeout(LOAD_MAX, load.answered(300)).await;
    assert!(load.is_whole(), "a caller was stopped before the signal");
    server.ask_to_stop();
    let seen = tokio::time::timeout(PATIENCE, load.end()).await.unwrap();
    let status = tokio::task::spawn_blocking(|| server.wait(DRAIN_MAX)).await.unwrap();
    assert_eq!(status.code(), Some(0));

    let server = Server::start(dir.path());
    let entries = check::every_answer_holds(&server, seen.entries).await;
    check::short_holds_expire(&server, &entries).await;
    check::accounts_are_the_sum_of_reservations(&server, &entries).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_refuses_with_a_typed_error_and_loses_nothing_acknowledged() {
    let seed = seed();
    let dir = tempfile::tempdir().unwrap();
    // Room for the empty store and some hundred reservations with many labels.
    let server = Server::start_with_file_limit(dir.path(), 4096);
    load::create_subjects(&server).await;
    let load = Load::start(&server, Round { label_bytes: 16 * 256, ..round(0, seed) }).await;
    let seen = tokio::time::timeout(PATIENCE, load.end()).await.expect("the disk is never full");
    for error in &seen.errors {
        assert_eq!(error.code(), Code::Unavailable, "{error}");
        assert_eq!(error.get_details_error_info().expect("no ErrorInfo").reason, "STORE_UNAVAILABLE");
        assert!(error.get_details_retry_info().is_some());
    }
    assert!(seen.entries.len() > 32, "the disk was full before anything was done");

    // Still there, and still refusing rather than forgetting.
    let mut quota = Quota::new(server.connect().await);
    let request = load::reserve("wide-1", "after", Some(load::images(1)));
    let labels = (0..16).map(|label| (format!("label-{label}"), "x".repeat(256))).collect();
    match quota.reserve(v1::ReserveRequest { labels, ..request }).await {
        Ok(_) => {}
        Err(status) => assert_eq!(status.get_details_error_info().unwrap().reason, "STORE_UNAVAILABLE"),
    }
    server.kill();

    let server = Server::start(dir.path());
    let entries = check::every_answer_holds(&server, seen.entries).await;
    check::short_holds_expire(&server, &entries).await;
    let mut quota = Quota::new(server.connect().await);
    quota.release(v1::ReleaseRequest { subject: "wide-1".into(), reservation_id: "after".into(), ..Default::default() }).await.ok();
    check::accounts_are_the_sum_of_reservations(&server, &entries).await;
}

#[tokio::test]
async fn second_process_on_the_same_store_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    load::create_subjects(&server).await;
    let second = server::command(dir.path()).output().unwrap();
    assert!(!second.status.success());
    assert_eq!(second.stdout, b"");
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("in use by another process") && said.contains("choose another directory"), "{said}");

    let mut quota = Quota::new(server.connect().await);
    let answer = quota.reserve(load::reserve("wide-1", "r-1", Some(load::images(2)))).await.unwrap().into_inner();
    assert!(matches!(answer.outcome, Some(v1::reserve_response::Outcome::Reservation(_))));
}
