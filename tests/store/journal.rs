//! The journal: what it acknowledged is there whatever the disk did, in order, once; and it is never silently empty.

use std::sync::Arc;

use genquota::domain::settlement::{Billing, Ending};
use genquota::store::journal::{Appended, Command, Entry, Journal, JournalError, Number, OpenError, QueuedSettlement};

use crate::fixtures::{fingerprint, reservation, start, subject};
use crate::medium::{Change, Disk};

const ROOM: usize = 100;

fn entry(of: &str, id: &str, payload: u8) -> Entry {
    let settlement = QueuedSettlement {
        id: reservation(id),
        ending: Ending::Commit { delivered: None },
        billing: Billing::default(),
        fingerprint: fingerprint(payload),
        trace: None,
        row: None,
    };
    Entry { subject: subject(of), accept_time: start(), command: Command::Settlement(settlement) }
}

fn numbered(count: usize) -> Vec<Entry> {
    (0..count).map(|number| entry("s", &format!("r{number}"), 1)).collect()
}

fn open(disk: &Disk) -> Result<Journal, OpenError> {
    Journal::open_on(Arc::new(disk.clone()), ROOM)
}

async fn append(journal: &Journal, entry: Entry) {
    assert_eq!(journal.append(entry).await, Ok(Appended::New));
}

/// What is queued, oldest first.
fn queued(journal: &Journal) -> Vec<Entry> {
    journal.entries().iter().map(|(_, entry)| (**entry).clone()).collect()
}

fn numbers(journal: &Journal) -> Vec<Number> {
    journal.entries().iter().map(|(number, _)| *number).collect()
}

#[tokio::test]
async fn entries_come_back_in_order_after_a_restart_and_what_was_struck_out_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path(), ROOM).unwrap();
    for entry in numbered(4) {
        append(&journal, entry).await;
    }
    journal.remove(numbers(&journal)[1]).await;
    journal.remember_store("the one").await.unwrap();
    journal.close().await;
    assert_eq!(journal.append(entry("s", "late", 1)).await, Err(JournalError::Closed));
    drop(journal);

    let journal = Journal::open(directory.path(), ROOM).unwrap();
    let left: Vec<Entry> = [0, 2, 3].map(|number| numbered(4)[number].clone()).into();
    assert_eq!(queued(&journal), left);
    assert_eq!(journal.store().as_deref(), Some("the one"));
    append(&journal, entry("t", "new", 1)).await;
    assert_eq!(journal.subjects(), [subject("s"), subject("t")]);
    assert_eq!(*journal.first(&subject("t")).unwrap().1, entry("t", "new", 1));
}

#[tokio::test]
async fn a_repeat_adds_nothing_and_another_command_in_its_place_is_told() {
    let journal = open(&Disk::default()).unwrap();
    let first = Arc::new(entry("s", "r", 1));
    append(&journal, (*first).clone()).await;
    assert_eq!(journal.append(entry("s", "r", 1)).await, Ok(Appended::Repeated(first.clone())));
    assert_eq!(journal.append(entry("s", "r", 2)).await, Ok(Appended::Conflict(first.clone())));
    assert_eq!(journal.about(&subject("s"), &reservation("r")).settlement, Some(first));
    assert_eq!(journal.queued(), 1);
    // The same id of another subject is another reservation.
    append(&journal, entry("t", "r", 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_appends_at_once_share_flushes_and_equal_ones_are_one() {
    let disk = Disk::default();
    let journal = Arc::new(open(&disk).unwrap());
    disk.set(|state| (state.gate_closed, state.arrived) = (true, false));
    let before = disk.state().syncs;
    let tasks: Vec<_> = (0..60)
        .map(|number| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.append(entry("s", &format!("r{}", number % 30), 1)).await.unwrap() })
        })
        .collect();
    disk.wait_until(|state| state.arrived);
    disk.set(|state| state.gate_closed = false);
    let mut new = 0;
    for task in tasks {
        new += usize::from(task.await.unwrap() == Appended::New);
    }
    assert_eq!((new, journal.queued()), (30, 30));
    let syncs = disk.state().syncs - before;
    assert!(syncs < 30, "{syncs} syncs");
}

#[tokio::test]
async fn a_full_journal_refuses_and_has_room_again_when_something_leaves() {
    let journal = Journal::open_on(Arc::new(Disk::default()), 2).unwrap();
    for entry in numbered(2) {
        append(&journal, entry).await;
    }
    assert_eq!(journal.append(entry("s", "more", 1)).await, Err(JournalError::Full { entries: 2 }));
    let first = numbers(&journal)[0];
    // The dead are kept, so they take room too.
    journal.bury(first, "settled otherwise", start()).await.unwrap();
    assert_eq!(journal.append(entry("s", "more", 1)).await, Err(JournalError::Full { entries: 2 }));
    assert!(journal.discard(first).await.unwrap());
    append(&journal, entry("s", "more", 1)).await;
}

#[tokio::test]
async fn the_dead_are_kept_with_their_reason_and_can_be_queued_again() {
    let disk = Disk::default();
    let journal = open(&disk).unwrap();
    for entry in numbered(2) {
        append(&journal, entry).await;
    }
    let first = numbers(&journal)[0];
    journal.bury(first, "no such reservation", start()).await.unwrap();
    journal.close().await;
    drop(journal);

    let journal = open(&disk).unwrap();
    let dead = journal.dead();
    assert_eq!((dead[0].0, dead[0].1.reason.as_str()), (first, "no such reservation"));
    assert_eq!(*dead[0].1.entry, numbered(1)[0]);
    assert!(journal.revive(first).await.unwrap());
    assert!(!journal.revive(first).await.unwrap());
    assert!(journal.dead().is_empty());
    let order: Vec<Entry> = [1, 0].map(|number| numbered(2)[number].clone()).into();
    assert_eq!(queued(&journal), order);
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Journal::open(directory.path(), ROOM).unwrap();
    let second = Journal::open(directory.path(), ROOM).unwrap_err();
    assert!(matches!(second, OpenError::Locked { .. }), "{second}");
    assert!(second.to_string().contains("hint: "), "{second}");
}

/// Every prefix of every change that was under way, and all changes before it: what a crash in the middle of the last write may leave.
fn torn(unsynced: &[Change]) -> Vec<Vec<Change>> {
    let mut left = vec![Vec::new()];
    for (count, change) in unsynced.iter().enumerate() {
        let before = &unsynced[..count];
        let parts: Vec<Change> = match change {
            Change::Length(length) => vec![Change::Length(*length)],
            // Each byte of what is short, and of a long one those around the ends of blocks: the rest of a page is filler.
            Change::Write(at, bytes) => (1..=bytes.len())
                .filter(|cut| bytes.len() <= 512 || cut % 97 == 0 || cut % 512 <= 1 || *cut == bytes.len())
                .map(|cut| Change::Write(*at, bytes[..cut].to_vec()))
                .collect(),
        };
        left.extend(parts.into_iter().map(|part| before.iter().cloned().chain([part]).collect()));
    }
    left
}

#[tokio::test]
async fn a_file_torn_anywhere_in_the_last_write_has_all_that_was_acknowledged_and_no_half() {
    let disk = Disk::default();
    let journal = open(&disk).unwrap();
    let entries = numbered(4);
    for entry in &entries[..3] {
        append(&journal, entry.clone()).await;
    }
    disk.set(|state| state.history = Some(Vec::new()));
    append(&journal, entries[3].clone()).await;
    let history = disk.set(|state| state.history.take()).unwrap();
    assert!(!history.is_empty());
    let (mut tried, mut with_last) = (0, 0);
    for moment in history {
        for changes in torn(&moment.unsynced) {
            let mut bytes = moment.durable.clone();
            changes.iter().for_each(|change| change.apply(&mut bytes));
            let found = queued(&open(&Disk::with(bytes)).unwrap());
            assert!(found == entries[..3] || found == entries[..4], "{found:?}");
            (tried, with_last) = (tried + 1, with_last + usize::from(found.len() == 4));
        }
    }
    assert!(tried > 100 && with_last > 0 && with_last < tried, "{tried} tried, {with_last} with the last entry");
}

#[tokio::test]
async fn a_file_with_bytes_cut_or_turned_is_whole_or_refused_loudly_and_never_empty() {
    let disk = Disk::default();
    let journal = open(&disk).unwrap();
    let entries = numbered(3);
    for entry in &entries {
        append(&journal, entry.clone()).await;
    }
    journal.close().await;
    let bytes = disk.after_power_failure();
    let cut = [1, 100, 5000, bytes.len() / 2, bytes.len() - 1, bytes.len()].map(|cut| bytes[..bytes.len() - cut].to_vec());
    let used = (0..bytes.len()).filter(|at| bytes[*at] != 0);
    let turned = used.step_by(23).map(|at| {
        let mut turned = bytes.clone();
        turned[at] ^= 0x5a;
        turned
    });
    let mut refused = 0;
    for bytes in cut.into_iter().chain(turned) {
        match open(&Disk::with(bytes)) {
            Ok(journal) => assert_eq!(queued(&journal), entries),
            Err(OpenError::Locked { .. } | OpenError::Thread(_)) => panic!("refused for a wrong reason"),
            Err(problem) => {
                assert!(!problem.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(refused > 5, "{refused}");
}

#[tokio::test]
async fn a_disk_without_room_refuses_and_what_was_refused_is_not_there() {
    let disk = Disk::default();
    let journal = open(&disk).unwrap();
    append(&journal, entry("s", "kept", 1)).await;
    let size = disk.after_power_failure().len() as u64;
    disk.set(|state| state.room = Some(size / 2));
    for number in 0..3 {
        let refused = journal.append(entry("s", &format!("refused{number}"), 1)).await;
        assert!(matches!(refused, Err(JournalError::Failed { .. })), "{refused:?}");
    }
    assert_eq!(queued(&journal), [entry("s", "kept", 1)]);
    // What the store takes meanwhile is struck out as soon as the disk can.
    journal.remove(numbers(&journal)[0]).await;
    disk.set(|state| state.room = None);
    append(&journal, entry("s", "next", 1)).await;
    journal.close().await;
    assert_eq!(queued(&open(&Disk::with(disk.after_power_failure())).unwrap()), [entry("s", "next", 1)]);
}

#[tokio::test]
async fn a_disk_that_fails_at_any_operation_loses_nothing_acknowledged_and_keeps_nothing_refused() {
    let mut failing_at = 0;
    loop {
        let disk = Disk::default();
        let journal = open(&disk).unwrap();
        let first = disk.set(|state| state.operations + failing_at);
        disk.set(|state| state.fails_from = Some(first));
        let mut acknowledged = Vec::new();
        let mut failed = false;
        for entry in numbered(5) {
            match journal.append(entry.clone()).await {
                Ok(_) => acknowledged.push(entry),
                Err(JournalError::Failed { .. }) => {
                    failed = true;
                    disk.set(|state| state.fails_from = None);
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(queued(&journal), acknowledged, "failing at {failing_at}");
        journal.close().await;
        let after = open(&Disk::with(disk.after_power_failure())).unwrap();
        assert_eq!(queued(&after), acknowledged, "failing at {failing_at}");
        if !failed {
            break;
        }
        failing_at += 1;
    }
    assert!(failing_at > 10, "{failing_at}");
}

#[tokio::test]
async fn a_sync_that_fails_loses_nothing_although_the_system_forgets_the_bytes() {
    let disk = Disk::default();
    let journal = open(&disk).unwrap();
    append(&journal, entry("s", "kept", 1)).await;
    disk.set(|state| state.syncs_fail = true);
    assert!(journal.append(entry("s", "refused", 1)).await.is_err());
    disk.set(|state| state.syncs_fail = false);
    append(&journal, entry("s", "next", 1)).await;
    let found = queued(&open(&Disk::with(disk.after_power_failure())).unwrap());
    assert_eq!(found, [entry("s", "kept", 1), entry("s", "next", 1)]);
}

#[tokio::test]
async fn a_journal_that_was_swapped_for_an_older_one_while_it_runs_serves_no_more() {
    let disk = Disk::default();
    let journal = open(&disk).unwrap();
    append(&journal, entry("s", "first", 1)).await;
    let older = disk.after_power_failure();
    append(&journal, entry("s", "second", 1)).await;
    disk.set(|state| state.syncs_fail = true);
    assert!(journal.append(entry("s", "refused", 1)).await.is_err());
    disk.set(|state| state.syncs_fail = false);
    disk.replace(older);
    let refused = journal.append(entry("s", "third", 1)).await;
    let Err(JournalError::Failed { reason }) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("acknowledged and is gone"), "{reason}");
}

#[tokio::test]
async fn whoever_waits_for_an_entry_is_woken_by_one_and_by_the_end() {
    let journal = Arc::new(open(&Disk::default()).unwrap());
    let waiting = tokio::spawn({
        let journal = journal.clone();
        async move { journal.filled().await }
    });
    append(&journal, entry("s", "r", 1)).await;
    assert!(waiting.await.unwrap());
    assert!(journal.filled().await);
    journal.remove(numbers(&journal)[0]).await;
    let waiting = tokio::spawn({
        let journal = journal.clone();
        async move { journal.filled().await }
    });
    journal.close().await;
    assert!(!waiting.await.unwrap());
}
