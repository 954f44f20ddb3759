//! Crashes: at every sync, with any part of what was not yet synced; at every failing operation; with bytes cut or turned.
//!
//! The oracle is a store in memory that ran the same transactions: what is found must be its state after some number of them, and never
//! fewer than were acknowledged.

use std::sync::Arc;

use genquota::clock::ManualClock;
use genquota::domain::ledger::{Account, Row, Take, Transaction};
use genquota::store::embedded::{EmbeddedStore, OpenError};
use genquota::store::{Store, Urgency};

use crate::fixtures::{OPTIONS, allowance, cap, commit, describe, done, overage, release, reservation, reserve, start, subject, take};
use crate::medium::{Change, Disk};

/// Each changes something; together they change everything there is.
fn workload() -> Vec<Transaction> {
    let mut work = vec![describe("s", 0)];
    for round in 0..6 {
        let id = |kind: &str| format!("{kind}{round}");
        let capped = Take { caps: vec![cap("hourly", 1000)], ..take(3, 20) };
        work.push(reserve("s", &id("a"), capped.clone()));
        work.push(reserve("s", &id("b"), take(1, 1000)));
        work.push(commit("s", &id("a"), 1, Take { overage: Some(overage()), ..capped }));
        work.push(release("s", &id("b"), 1));
    }
    work.push(describe("s", 1));
    work
}

/// Everything that can be seen of a store.
#[derive(Debug, PartialEq)]
struct Seen {
    accounts: Vec<Account>,
    rows: Vec<Option<Arc<Row>>>,
    document: Option<u64>,
}

async fn seen(store: &dyn Store) -> Seen {
    let keys = vec![allowance(), overage(), cap("hourly", 1).account];
    let mut rows = Vec::new();
    for round in 0..6 {
        for kind in ["a", "b"] {
            rows.push(store.reservation(&subject("s"), &reservation(&format!("{kind}{round}")), Urgency::Read).await.unwrap());
        }
    }
    let document = store.document(&subject("s")).await.unwrap().map(|document| document.version);
    Seen { accounts: store.accounts(&subject("s"), keys).await.unwrap(), rows, document }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(start()))
}

fn open(disk: Disk) -> Result<EmbeddedStore, OpenError> {
    EmbeddedStore::open_on(Arc::new(disk), OPTIONS, clock())
}

/// The states after none, one, two ... of the transactions.
async fn states() -> Vec<Seen> {
    let store = EmbeddedStore::in_memory(OPTIONS, clock()).unwrap();
    let mut states = vec![seen(&store).await];
    for transaction in workload() {
        done(store.execute(transaction, Urgency::Settle).await.unwrap());
        states.push(seen(&store).await);
    }
    states
}

/// How many transactions a disk holds. None is ever there by half.
async fn found(bytes: Vec<u8>, states: &[Seen]) -> usize {
    let found = seen(&open(Disk::with(bytes)).unwrap()).await;
    states.iter().position(|state| *state == found).expect("the state after some number of transactions")
}

/// Which of the unsynced changes reached the disk: none, some, all but the last, all; the last of them whole or torn.
fn survivors(unsynced: &[Change], seed: u64) -> Vec<Vec<Change>> {
    let mut kept = vec![Vec::new(), unsynced.to_vec()];
    if let Some((last, rest)) = unsynced.split_last() {
        kept.push(rest.to_vec());
        kept.push(rest.iter().cloned().chain([last.torn()]).collect());
        kept.push(vec![last.clone()]);
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut some = |change: &Change| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match random >> 62 {
                0 => None,
                1 => Some(change.torn()),
                _ => Some(change.clone()),
            }
        };
        for _ in 0..3 {
            kept.push(unsynced.iter().filter_map(&mut some).collect());
        }
    }
    kept
}

#[tokio::test]
async fn a_power_failure_at_any_sync_loses_nothing_acknowledged_and_halves_nothing() {
    let states = states().await;
    let disk = Disk::default();
    let store = open(disk.clone()).unwrap();
    disk.set(|state| state.history = Some(Vec::new()));
    for transaction in workload() {
        done(store.execute(transaction, Urgency::Settle).await.unwrap());
        disk.set(|state| state.acknowledged += 1);
    }
    store.close().await;
    let history = disk.set(|state| state.history.take()).unwrap();
    assert!(history.len() >= workload().len());
    for (seed, moment) in (0..).zip(history) {
        for kept in survivors(&moment.unsynced, seed) {
            let mut bytes = moment.durable.clone();
            kept.iter().for_each(|change| change.apply(&mut bytes));
            let found = found(bytes, &states).await;
            let acknowledged = moment.acknowledged;
            assert!(found >= acknowledged && found <= acknowledged + 1, "sync {seed}: {found} found, {acknowledged} acknowledged");
        }
    }
}

#[tokio::test]
async fn a_disk_that_fails_at_any_operation_loses_nothing_acknowledged_and_the_store_goes_on() {
    let states = states().await;
    let mut failing_at = 0;
    loop {
        let disk = Disk::default();
        let store = open(disk.clone()).unwrap();
        let first = disk.set(|state| state.operations + failing_at);
        disk.set(|state| state.fails_from = Some(first));
        let mut failed = false;
        for transaction in workload() {
            let Err(_) = store.execute(transaction.clone(), Urgency::Settle).await else { continue };
            assert!(!failed, "the disk is whole again");
            failed = true;
            disk.set(|state| state.fails_from = None);
            // A caller asks again with the same id. It was done before the failure, or is now.
            store.execute(transaction, Urgency::Settle).await.unwrap();
        }
        assert_eq!(found(disk.after_power_failure(), &states).await, states.len() - 1, "failing at {failing_at}");
        if !failed {
            break;
        }
        // Every operation of the first writes, then in leaps that fall on each kind of operation.
        failing_at += if failing_at < 24 { 1 } else { 11 };
    }
    assert!(failing_at > 24);
}

#[tokio::test]
async fn a_copy_of_the_file_after_each_answer_has_exactly_what_was_answered() {
    let states = states().await;
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&directory.path().join("live"), OPTIONS, clock()).unwrap();
    for (count, transaction) in (1..).zip(workload()) {
        done(store.execute(transaction, Urgency::Settle).await.unwrap());
        let copy = directory.path().join(format!("copy-{count}"));
        std::fs::create_dir(&copy).unwrap();
        std::fs::copy(directory.path().join("live/ledger.redb"), copy.join("ledger.redb")).unwrap();
        let copied = EmbeddedStore::open(&copy, OPTIONS, clock()).unwrap();
        assert_eq!(seen(&copied).await, states[count]);
    }
}

#[tokio::test]
async fn a_file_with_bytes_cut_or_turned_is_refused_or_whole() {
    let states = states().await;
    let disk = Disk::default();
    let store = open(disk.clone()).unwrap();
    for transaction in workload() {
        done(store.execute(transaction, Urgency::Settle).await.unwrap());
    }
    store.close().await;
    let bytes = disk.after_power_failure();
    let cut = [1, 100, 4096, 5000, bytes.len() / 2, bytes.len() - 5000, bytes.len() - 1].map(|cut| bytes[..bytes.len() - cut].to_vec());
    let turned = (0..bytes.len()).step_by(2048).filter(|at| bytes[at & !2047..][..2048].iter().any(|byte| *byte != 0)).map(|at| {
        let used = at + bytes[at..].iter().position(|byte| *byte != 0).unwrap();
        let mut turned = bytes.clone();
        turned[used] ^= 0x5a;
        turned
    });
    let mut refused = 0;
    for bytes in cut.into_iter().chain(turned) {
        match open(Disk::with(bytes)) {
            Ok(store) => assert_eq!(seen(&store).await, states[states.len() - 1]),
            Err(OpenError::Locked { .. } | OpenError::Thread(_)) => panic!("refused for a wrong reason"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 5, "{refused}");
}
