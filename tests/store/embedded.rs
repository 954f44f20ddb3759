//! What the embedded store promises beyond the contract: its file, its batches, and how it fails.

use std::path::Path;
use std::sync::Arc;

use genquota::clock::ManualClock;
use genquota::domain::ledger::{Account, Answer, State};
use genquota::store::embedded::{EmbeddedStore, OpenError, Options};
use genquota::store::record::{Genesis, encode_account, encode_genesis};
use genquota::store::{Store, StoreError, Urgency};
use jiff::SignedDuration;
use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};

use crate::fixtures::{OPTIONS, TTL, allowance, commit, describe, done, micros, release, reservation, reserve, row, start, subject, take};
use crate::medium::Disk;

const ROWS: TableDefinition<&str, &[u8]> = TableDefinition::new("reservations");
const ACCOUNTS: TableDefinition<&str, &[u8]> = TableDefinition::new("accounts");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(start()))
}

fn open(path: &Path) -> Result<EmbeddedStore, OpenError> {
    EmbeddedStore::open(path, OPTIONS, clock())
}

fn open_on(disk: &Disk) -> Arc<EmbeddedStore> {
    Arc::new(EmbeddedStore::open_on(Arc::new(disk.clone()), OPTIONS, clock()).unwrap())
}

async fn hold(store: &dyn Store, id: &str) -> Result<Answer, StoreError> {
    store.execute(reserve("s", id, take(1, 1000)), Urgency::Reserve).await
}

async fn reserved(store: &dyn Store) -> i64 {
    store.accounts(&subject("s"), vec![allowance()]).await.unwrap()[0].reserved.get()
}

/// A closed store with one hold in it, then changed by hand.
async fn tampered(
    directory: &tempfile::TempDir,
    table: TableDefinition<'_, &'static str, &'static [u8]>,
    key: &str,
    value: &[u8],
) -> OpenError {
    let store = open(directory.path()).unwrap();
    hold(&store, "r").await.unwrap();
    store.close().await;
    {
        let database = Database::open(directory.path().join("ledger.redb")).unwrap();
        let write = database.begin_write().unwrap();
        write.open_table(table).unwrap().insert(key, value).unwrap();
        write.commit().unwrap();
    }
    open(directory.path()).err().expect("the store opens")
}

#[tokio::test]
async fn calls_that_wait_for_a_write_travel_together_in_the_next() {
    const CALLS: usize = 200;
    let disk = Disk::default();
    let store = open_on(&disk);
    disk.set(|state| (state.gate_closed, state.arrived) = (true, false));
    let call = |id: usize| {
        let store = store.clone();
        tokio::spawn(async move { hold(&*store, &format!("r{id}")).await.unwrap() })
    };
    let first = call(0);
    tokio::task::spawn_blocking({
        let disk = disk.clone();
        move || disk.wait_until(|state| state.arrived)
    })
    .await
    .unwrap();
    let syncs = disk.state().syncs;
    let others: Vec<_> = (1..=CALLS).map(call).collect();
    while store.depth() < CALLS {
        tokio::task::yield_now().await;
    }
    disk.set(|state| state.gate_closed = false);
    done(first.await.unwrap());
    for other in others {
        done(other.await.unwrap());
    }
    assert_eq!(disk.state().syncs - syncs, 2);
}

#[tokio::test]
async fn a_batch_that_changes_nothing_writes_nothing() {
    let disk = Disk::default();
    let store = open_on(&disk);
    hold(&*store, "r").await.unwrap();
    let operations = disk.state().operations;
    assert!(matches!(hold(&*store, "r").await.unwrap(), Answer::Replayed(_)));
    let denied = store.execute(reserve("s", "q", take(2000, 1000)), Urgency::Reserve).await.unwrap();
    assert!(matches!(denied, Answer::Denied(_)));
    assert_eq!(reserved(&*store).await, 1);
    assert!(store.documents(None, 10).await.unwrap().is_empty());
    assert_eq!(disk.state().operations, operations);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_expires_by_itself_without_any_call() {
    let disk = Disk::default();
    let clock = clock();
    let store = EmbeddedStore::open_on(Arc::new(disk.clone()), OPTIONS, clock.clone()).unwrap();
    hold(&store, "r").await.unwrap();
    let syncs = disk.state().syncs;
    clock.advance(TTL);
    tokio::task::spawn_blocking({
        let disk = disk.clone();
        move || disk.wait_until(|state| state.syncs > syncs)
    })
    .await
    .unwrap();
    // Where no time has passed, nothing could have expired since.
    let after = open_on(&Disk::with(disk.after_power_failure()));
    assert_eq!(after.reservation(&subject("s"), &reservation("r"), Urgency::Read).await.unwrap().unwrap().state, State::Expired);
    assert_eq!(reserved(&*after).await, 0);
}

#[tokio::test]
async fn events_are_deleted_after_their_retention() {
    let directory = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = EmbeddedStore::open(directory.path(), OPTIONS, clock.clone()).unwrap();
    for subject in 0..700 {
        done(store.execute(describe(&format!("s{subject}"), 0), Urgency::Settle).await.unwrap());
    }
    clock.advance(OPTIONS.event_retention);
    done(store.execute(describe("new", 0), Urgency::Settle).await.unwrap());
    done(store.execute(describe("newer", 0), Urgency::Settle).await.unwrap());
    store.close().await;
    let database = Database::open(directory.path().join("ledger.redb")).unwrap();
    assert_eq!(database.begin_read().unwrap().open_table(EVENTS).unwrap().len().unwrap(), 2);
}

#[tokio::test]
async fn a_second_opener_is_told_that_the_store_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let problem = open(directory.path()).err().unwrap();
    assert!(matches!(problem, OpenError::Locked { .. }), "{problem}");
    assert!(problem.to_string().contains("hint: stop that process"), "{problem}");
    hold(&store, "r").await.unwrap();
    store.close().await;
    assert_eq!(reserved(&open(directory.path()).unwrap()).await, 1);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_store() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b");
    let _store = open(&path).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("ledger.redb"))), (0o700, 0o600));
    let files: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["ledger.redb"]);
}

#[tokio::test]
async fn a_creation_that_never_finished_is_begun_anew_and_an_empty_file_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ledger.redb.new"), b"half of a header").unwrap();
    open(directory.path()).unwrap().close().await;
    std::fs::write(directory.path().join("ledger.redb"), b"").unwrap();
    assert!(matches!(open(directory.path()).err(), Some(OpenError::Damaged { .. })));
    std::fs::write(directory.path().join("ledger.redb"), b"these are not the bytes of a database").unwrap();
    assert!(matches!(open(directory.path()).err(), Some(OpenError::Damaged { .. })));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    match tampered(&directory, ROWS, "s\0r", b"\x08\x08\x08garbage").await {
        OpenError::Row { table: "reservations", key, .. } => assert_eq!(key, "s\0r"),
        other => panic!("{other}"),
    }
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(tampered(&directory, ACCOUNTS, "no separator", b"").await, OpenError::Row { table: "accounts", .. }));
}

#[tokio::test]
async fn accounts_that_disagree_with_their_reservations_refuse_to_open() {
    let account = |reserved| encode_account(&Account { reserved: micros(reserved), ..Account::default() });
    for (key, reserved) in [(format!("s\0{}", allowance()), 2), (format!("t\0{}", allowance()), 1)] {
        let directory = tempfile::tempdir().unwrap();
        match tampered(&directory, ACCOUNTS, &key, &account(reserved)).await {
            OpenError::Damaged { what } => assert!(what.contains("al|credits|2026-03-01|*"), "{what}"),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_layout_of_another_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let genesis = encode_genesis(Genesis { schema_version: 99, id: uuid::Uuid::nil() });
    assert!(matches!(tampered(&directory, META, "genesis", &genesis).await, OpenError::Schema { found: 99 }));
}

#[tokio::test]
async fn a_write_that_fails_is_not_acknowledged_and_the_store_recovers_by_itself() {
    let disk = Disk::default();
    let store = open_on(&disk);
    hold(&*store, "before").await.unwrap();
    disk.set(|state| state.fails_from = Some(0));
    for _ in 0..3 {
        assert!(matches!(hold(&*store, "during").await, Err(StoreError::Unavailable { .. })));
    }
    assert!(matches!(store.document(&subject("s")).await, Err(StoreError::Unavailable { .. })));
    disk.set(|state| state.fails_from = None);
    assert_eq!(reserved(&*store).await, 1);
    done(hold(&*store, "during").await.unwrap());
    done(hold(&*store, "after").await.unwrap());
    let after = open_on(&Disk::with(disk.after_power_failure()));
    assert_eq!(reserved(&*after).await, 3);
}

#[tokio::test]
async fn what_a_failed_sync_left_in_memory_is_written_anew_before_it_is_believed() {
    let disk = Disk::default();
    let store = open_on(&disk);
    hold(&*store, "before").await.unwrap();
    disk.set(|state| state.syncs_fail = true);
    assert!(matches!(hold(&*store, "during").await, Err(StoreError::Unavailable { .. })));
    disk.set(|state| state.syncs_fail = false);
    // The page cache shows it, the disk does not have it: whoever is told of it must find it after a power failure.
    let told = matches!(hold(&*store, "during").await.unwrap(), Answer::Replayed(_) | Answer::Done(_));
    assert!(told);
    let after = open_on(&Disk::with(disk.after_power_failure()));
    assert_eq!(reserved(&*after).await, 2);
}

#[tokio::test]
async fn readers_of_a_failed_batch_are_not_shown_what_it_did() {
    let disk = Disk::default();
    let store = open_on(&disk);
    disk.set(|state| (state.gate_closed, state.arrived) = (true, false));
    let spawn = |id: &'static str| {
        let store = store.clone();
        tokio::spawn(async move { hold(&*store, id).await })
    };
    let first = spawn("first");
    tokio::task::spawn_blocking({
        let disk = disk.clone();
        move || disk.wait_until(|state| state.arrived)
    })
    .await
    .unwrap();
    let second = spawn("second");
    while store.depth() < 1 {
        tokio::task::yield_now().await;
    }
    let reader = {
        let store = store.clone();
        tokio::spawn(async move { store.reservation(&subject("s"), &reservation("second"), Urgency::Read).await })
    };
    while store.depth() < 2 {
        tokio::task::yield_now().await;
    }
    // The first batch goes through the gate with the last write that works.
    disk.set(|state| (state.fails_from, state.gate_closed) = (Some(state.operations + 1), false));
    done(first.await.unwrap().unwrap());
    assert!(matches!(second.await.unwrap(), Err(StoreError::Unavailable { .. })));
    assert!(matches!(reader.await.unwrap(), Err(StoreError::Unavailable { .. })));
}

#[tokio::test]
async fn a_full_disk_refuses_changes_until_there_is_room_again() {
    let disk = Disk::default();
    let store = open_on(&disk);
    let length = disk.after_power_failure().len() as u64;
    disk.set(|state| state.room = Some(length));
    let mut acknowledged = 0;
    let full = loop {
        // More than a page each, so that the file must grow.
        let mut large = reserve("s", &format!("r{acknowledged}"), take(1, 100_000));
        let step = large.step.as_mut().unwrap();
        Arc::make_mut(&mut step.next.detail).note = "x".repeat(30_000).into();
        match store.execute(large, Urgency::Reserve).await {
            Ok(answer) => done(answer),
            Err(problem) => break problem,
        };
        acknowledged += 1;
    };
    assert!(matches!(full, StoreError::Unavailable { .. }), "{full}");
    disk.set(|state| state.room = None);
    assert_eq!(reserved(&*store).await, acknowledged);
    done(hold(&*store, "after").await.unwrap());
    let after = open_on(&Disk::with(disk.after_power_failure()));
    assert_eq!(reserved(&*after).await, acknowledged + 1);
}

#[tokio::test]
async fn another_database_or_an_older_one_is_never_taken_for_the_one_that_failed() {
    let disk = Disk::default();
    let store = open_on(&disk);
    hold(&*store, "r1").await.unwrap();
    let older = disk.after_power_failure();
    hold(&*store, "r2").await.unwrap();
    let foreign = Disk::default();
    let other = open_on(&foreign);
    for id in ["r1", "r2", "r3"] {
        hold(&*other, id).await.unwrap();
    }
    other.close().await;
    for bytes in [older, foreign.after_power_failure()] {
        disk.set(|state| state.fails_from = Some(0));
        assert!(hold(&*store, "r3").await.is_err());
        disk.replace(bytes);
        disk.set(|state| state.fails_from = None);
        assert!(matches!(hold(&*store, "r3").await, Err(StoreError::DataLost { .. })));
    }
}

#[tokio::test]
async fn an_id_that_is_forgotten_and_used_anew_in_one_batch_is_there_after_reopening() {
    let disk = Disk::default();
    let clock = clock();
    let store = EmbeddedStore::open_on(Arc::new(disk.clone()), OPTIONS, clock.clone()).unwrap();
    hold(&store, "r").await.unwrap();
    row(store.execute(release("s", "r", 1), Urgency::Settle).await.unwrap());
    clock.advance(OPTIONS.retention);
    let anew = row(hold(&store, "r").await.unwrap());
    assert_eq!(anew.version, 1);
    let after = open_on(&Disk::with(disk.after_power_failure()));
    assert_eq!(after.reservation(&subject("s"), &reservation("r"), Urgency::Read).await.unwrap(), Some(anew));
}

/// Run by the test below in a process that may not write large files.
#[tokio::test]
#[ignore = "needs a limit of its own"]
async fn child_fills_its_file() {
    let store = open(Path::new(&std::env::var("GENQUOTA_TEST_DIRECTORY").unwrap())).unwrap();
    let mut acknowledged = 0;
    loop {
        let mut large = reserve("s", &format!("r{acknowledged}"), take(1, 100_000));
        Arc::make_mut(&mut large.step.as_mut().unwrap().next.detail).note = "x".repeat(30_000).into();
        match store.execute(large, Urgency::Reserve).await {
            Ok(answer) => done(answer),
            Err(StoreError::Unavailable { .. }) => break,
            Err(problem) => panic!("{problem}"),
        };
        acknowledged += 1;
    }
    println!("acknowledged {acknowledged}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_may_not_grow_loses_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    // Blocks of 512 or 1024 bytes, as the shell has it. The signal of a file that is too large must not kill.
    let script = r#"trap '' XFSZ; ulimit -f 6000; exec "$0" --ignored --exact embedded::child_fills_its_file --nocapture"#;
    let output = std::process::Command::new("sh")
        .args(["-c", script, std::env::current_exe().unwrap().to_str().unwrap()])
        .env("GENQUOTA_TEST_DIRECTORY", directory.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let acknowledged = text.lines().find_map(|line| line.split_once("acknowledged ")).unwrap_or_else(|| panic!("{output:?}")).1;
    let acknowledged: i64 = acknowledged.trim().parse().unwrap();
    assert!(acknowledged > 10, "{acknowledged}");
    let store = open(directory.path()).unwrap();
    assert!((acknowledged..=acknowledged + 1).contains(&reserved(&store).await));
    done(hold(&store, "after").await.unwrap());
}

#[tokio::test]
async fn retention_of_nothing_forgets_at_once_also_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { retention: SignedDuration::ZERO, ..OPTIONS };
    let clock = clock();
    let store = EmbeddedStore::open(directory.path(), options, clock.clone()).unwrap();
    row(hold(&store, "r").await.unwrap());
    row(hold(&store, "c").await.unwrap());
    row(store.execute(commit("s", "c", 1, take(1, 1000)), Urgency::Settle).await.unwrap());
    clock.advance(TTL);
    assert_eq!(reserved(&store).await, 0);
    store.close().await;
    let database = Database::open(directory.path().join("ledger.redb")).unwrap();
    assert!(database.begin_read().unwrap().open_table(ROWS).unwrap().is_empty().unwrap());
}
