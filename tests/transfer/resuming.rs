//! An import that was cut off is run again, and nothing can be decided on what it left behind before it has come to its end.

use std::sync::Arc;

use genquota::clock::ManualClock;
use genquota::store::transfer::TransferError;
use genquota::store::{StoreError, Urgency};

use crate::fixtures::{reserve, start, take};
use crate::lab::{Kind, Server, Settings};
use crate::life::live;
use crate::shelf::{archive, assert_same, directory, embedded, exported, imported, redis, told, try_redis};

async fn file(subjects: usize) -> String {
    let place = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let store = embedded(place.path(), &clock);
    live(&store, &clock, subjects).await;
    drop(store);
    exported(&mut directory(place.path())).await
}

fn first_lines(file: &str, count: usize) -> String {
    file.lines().take(count).flat_map(|line| [line, "\n"]).collect()
}

fn server() -> Server {
    Server::start(Kind::Redis7, Settings::default())
}

#[tokio::test]
async fn a_second_import_writes_nothing() {
    let file = file(7).await;
    let all = told(&file).len() as u64;
    let server = server();
    imported(&mut archive(&server.url(), 4).await, &file).await.unwrap();
    let again = imported(&mut archive(&server.url(), 4).await, &file).await.unwrap();
    assert_eq!((again.put.written, again.put.known), (0, all));

    let place = tempfile::tempdir().unwrap();
    imported(&mut directory(place.path()), &file).await.unwrap();
    let again = imported(&mut directory(place.path()), &file).await.unwrap();
    assert_eq!((again.put.written, again.put.known), (0, all));
}

#[tokio::test]
async fn an_import_that_was_cut_off_anywhere_is_completed_by_the_next() {
    let file = file(3).await;
    let lines = file.lines().count();
    let server = server();
    for cut in (1..lines).step_by(lines / 12) {
        server.command(&["FLUSHALL"]);
        let problem = imported(&mut archive(&server.url(), 4).await, &first_lines(&file, cut)).await.unwrap_err();
        assert!(matches!(problem, TransferError::CutOff { lines } if lines == cut as u64), "{problem}");
        // Nobody can take it for a ledger.
        let clock = Arc::new(ManualClock::at(start()));
        let Err(refusal) = try_redis(&server.url(), 4, &clock).await else { panic!("half a ledger was opened after line {cut}") };
        assert!(refusal.to_string().contains("genquota store import"), "{refusal}");
        let whole = imported(&mut archive(&server.url(), 4).await, &file).await.unwrap();
        assert_eq!(whole.put.written + whole.put.known, told(&file).len() as u64);
        assert_same(&file, &exported(&mut archive(&server.url(), 4).await).await);
        redis(&server.url(), 4, &clock).await.store().close().await;
    }
}

#[tokio::test]
async fn an_import_into_a_directory_that_was_cut_off_has_changed_nothing() {
    let file = file(3).await;
    let place = tempfile::tempdir().unwrap();
    for cut in [1, 3, file.lines().count() - 1] {
        imported(&mut directory(place.path()), &first_lines(&file, cut)).await.unwrap_err();
        assert_eq!(exported(&mut directory(place.path())).await.lines().count(), 2);
    }
    imported(&mut directory(place.path()), &file).await.unwrap();
    assert_same(&file, &exported(&mut directory(place.path())).await);
}

#[tokio::test]
async fn a_sidecar_on_the_empty_target_decides_nothing_until_the_import_has_ended() {
    let file = file(3).await;
    let server = server();
    let clock = Arc::new(ManualClock::at(start() + jiff::SignedDuration::from_hours(31)));
    let store = redis(&server.url(), 4, &clock).await;
    let ask = || store.store().execute(reserve("subject-1", "new", take(1, 1_000_000)), Urgency::Reserve);

    imported(&mut archive(&server.url(), 4).await, &first_lines(&file, file.lines().count() / 2)).await.unwrap_err();
    let refused = ask().await.unwrap_err();
    assert!(matches!(refused, StoreError::DataLost { .. }), "{refused:?}");
    // However often its guard looks.
    tokio::time::timeout(std::time::Duration::from_millis(600), async {
        loop {
            assert!(ask().await.is_err());
        }
    })
    .await
    .unwrap_err();

    imported(&mut archive(&server.url(), 4).await, &file).await.unwrap();
    let deadline = std::time::Instant::now() + crate::lab::PATIENCE;
    while let Err(problem) = ask().await {
        assert!(std::time::Instant::now() < deadline, "{problem}");
        tokio::task::yield_now().await;
    }
    let row = store.store().reservation(&crate::fixtures::subject("subject-1"), &crate::fixtures::reservation("new"), Urgency::Read).await;
    // Numbered after everything that was imported.
    let last: u64 = told(&file).iter().filter(|line| line.starts_with("{\"event\"")).count() as u64;
    assert_eq!(row.unwrap().unwrap().sequence, last + 1);
}

/// Each partition is told the number of the last event of all, which only one of them has.
#[tokio::test]
async fn a_sidecar_that_connects_anew_after_an_import_still_knows_the_ledger() {
    let file = file(3).await;
    let server = server();
    imported(&mut archive(&server.url(), 4).await, &file).await.unwrap();
    let clock = Arc::new(ManualClock::at(start() + jiff::SignedDuration::from_hours(31)));
    let store = redis(&server.url(), 4, &clock).await;
    for round in 0..2 {
        // Before anything has happened under it, and after.
        server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        for number in 0..12 {
            let (of, id) = (format!("new-{number}"), format!("r{round}"));
            let deadline = std::time::Instant::now() + crate::lab::PATIENCE;
            loop {
                match store.store().execute(reserve(&of, &id, take(1, 1_000)), Urgency::Reserve).await {
                    Ok(_) => break,
                    Err(problem @ StoreError::DataLost { .. }) => panic!("{problem}"),
                    Err(problem) => assert!(std::time::Instant::now() < deadline, "{problem}"),
                }
                tokio::task::yield_now().await;
            }
        }
    }
}
