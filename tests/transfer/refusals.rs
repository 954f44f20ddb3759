//! What is not whole, not of this format, not of this ledger or not for this target is refused, with the line and the next step.

use std::sync::Arc;

use genquota::clock::ManualClock;
use genquota::store::Urgency;
use genquota::store::embedded::{EmbeddedArchive, OpenError};
use genquota::store::transfer::{Description, Reader, Source as _, TransferError, Writer, verify};

use crate::fixtures::{release, reserve, row, start, take};
use crate::lab::{Kind, Server, Settings};
use crate::life::{live, name};
use crate::shelf::{Silent, archive, directory, embedded, exported, imported, redis, try_exported, verified};

async fn file(subjects: usize) -> String {
    let place = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(start()));
    let store = embedded(place.path(), &clock);
    live(&store, &clock, subjects).await;
    drop(store);
    exported(&mut directory(place.path())).await
}

fn server() -> Server {
    Server::start(Kind::Redis7, Settings::default())
}

#[tokio::test]
async fn a_file_is_cut_off_wherever_it_is_cut() {
    let file = file(2).await;
    for (at, _) in file.match_indices('\n') {
        if at + 1 < file.len() {
            let problem = verified(&file[..=at]).unwrap_err();
            assert!(matches!(problem, TransferError::CutOff { .. }), "after byte {at}: {problem}");
        }
        let problem = verified(&file[..at]).unwrap_err();
        assert!(matches!(problem, TransferError::CutOff { .. }), "within the line that ends at {at}: {problem}");
    }
    assert!(matches!(verified("").unwrap_err(), TransferError::CutOff { lines: 0 }));
}

#[tokio::test]
async fn a_file_that_was_changed_is_refused() {
    let file = file(3).await;
    let lines: Vec<&str> = file.lines().collect();
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.iter().map(|line| (*line).to_owned()).collect();
        change(&mut lines);
        verified(&(lines.join("\n") + "\n")).unwrap_err().to_string()
    };
    let changed = |line: usize, from: &str, to: &str| {
        assert!(lines[line - 1].contains(from), "line {line} has no {from}: {}", lines[line - 1]);
        with(&|lines| lines[line - 1] = lines[line - 1].replacen(from, to, 1))
    };
    let told = [
        (changed(1, "\"format\":2", "\"format\":3"), "format 3"),
        (changed(1, "\"instance\":\"moved\"", "\"instance\":\"other\""), "--instance other"),
        (changed(1, "\"header\"", "\"head\""), "line 1: no header"),
        (changed(2, "\"text\"", "\"texts\""), "line 2: "),
        (changed(2, "a catalog", "A catalog"), "checksum"),
        (changed(3, "\"committed\":\"", "\"committed\":\"-"), "line 3: subject.accounts.row.committed"),
        (changed(5, "\"reserved\":\"", "\"reserved\":\"1"), "reservations hold"),
        (with(&|lines| lines.swap(2, 3)), "line 4: out of order"),
        (with(&|lines| lines.insert(3, lines[2].clone())), "line 4: out of order"),
        (with(&|lines| drop(lines.remove(4))), "checksum"),
        (with(&|lines| lines.push("{}".to_owned())), "something follows"),
        (with(&|lines| lines.insert(2, "no json".to_owned())), "line 3: "),
        (with(&|lines| lines.insert(2, "{\"surprise\":{}}".to_owned())), "line 3: "),
    ];
    for (problem, expected) in told {
        assert!(problem.contains(expected), "expected {expected:?}: {problem}");
    }
}

#[tokio::test]
async fn a_target_that_holds_something_else_is_left_as_it_is() {
    let (one, other) = (file(2).await, file(3).await);
    let server = server();
    let clock = Arc::new(ManualClock::at(start()));
    let store = redis(&server.url(), 4, &clock).await;
    row(store.store().execute(reserve("somebody", "r", take(1, 1)), Urgency::Reserve).await.unwrap());
    store.store().close().await;
    let before = exported(&mut archive(&server.url(), 4).await).await;
    let problem = imported(&mut archive(&server.url(), 4).await, &one).await.unwrap_err();
    assert!(matches!(problem, TransferError::NotEmpty { .. }), "{problem}");
    crate::shelf::assert_same(&before, &exported(&mut archive(&server.url(), 4).await).await);

    server.command(&["FLUSHALL"]);
    let half: String = one.lines().take(3).flat_map(|line| [line, "\n"]).collect();
    imported(&mut archive(&server.url(), 4).await, &half).await.unwrap_err();
    let problem = imported(&mut archive(&server.url(), 4).await, &other).await.unwrap_err();
    assert!(matches!(problem, TransferError::OtherImport { .. }), "{problem}");
    imported(&mut archive(&server.url(), 4).await, &one).await.unwrap();
    let problem = imported(&mut archive(&server.url(), 4).await, &other).await.unwrap_err();
    assert!(matches!(problem, TransferError::NotEmpty { .. }), "{problem}");

    let place = tempfile::tempdir().unwrap();
    imported(&mut directory(place.path()), &one).await.unwrap();
    let problem = imported(&mut directory(place.path()), &other).await.unwrap_err();
    assert!(matches!(problem, TransferError::NotEmpty { .. }), "{problem}");
}

#[tokio::test]
async fn what_has_changed_since_it_was_imported_is_a_conflict_that_names_the_line() {
    let file = file(4).await;
    let line = 1 + file.lines().position(|line| line.contains(&format!("\"subject\":\"{}\"}}}}", name(2)))).unwrap() as u64;
    let server = server();
    imported(&mut archive(&server.url(), 4).await, &file).await.unwrap();
    let place = tempfile::tempdir().unwrap();
    imported(&mut directory(place.path()), &file).await.unwrap();

    let clock = Arc::new(ManualClock::at(start() + jiff::SignedDuration::from_hours(30)));
    let store = redis(&server.url(), 4, &clock).await;
    row(store.store().execute(release(&name(2), "r5", 1), Urgency::Settle).await.unwrap());
    store.store().close().await;
    let store = embedded(place.path(), &clock);
    row(store.store().execute(release(&name(2), "r5", 1), Urgency::Settle).await.unwrap());
    drop(store);

    let before = exported(&mut archive(&server.url(), 4).await).await;
    for problem in [
        imported(&mut archive(&server.url(), 4).await, &file).await.unwrap_err(),
        imported(&mut directory(place.path()), &file).await.unwrap_err(),
    ] {
        assert!(
            matches!(&problem, TransferError::Conflict { line: found, what } if *found == line && what.contains(&name(2))),
            "{problem}"
        );
    }
    crate::shelf::assert_same(&before, &exported(&mut archive(&server.url(), 4).await).await);
}

#[tokio::test]
async fn one_damaged_subject_stops_an_export() {
    let server = server();
    let clock = Arc::new(ManualClock::at(start()));
    let store = redis(&server.url(), 1, &clock).await;
    row(store.store().execute(reserve("somebody", "r", take(5, 9)), Urgency::Reserve).await.unwrap());
    store.store().close().await;
    let account = format!("a:{}", crate::fixtures::allowance());
    server.command(&["HSET", "{gqmoved:0}s:somebody", &account, "4 0"]);
    let problem = try_exported(&mut archive(&server.url(), 1).await).await.unwrap_err();
    assert!(matches!(&problem, TransferError::Damaged(what) if what.contains("somebody")), "{problem}");
    server.command(&["HDEL", "{gqmoved:0}s:somebody", &account]);
    server.command(&["HSET", "{gqmoved:0}s:somebody", "future", "field"]);
    let problem = try_exported(&mut archive(&server.url(), 1).await).await.unwrap_err();
    assert!(problem.to_string().contains("future"), "{problem}");
    // A subject whose key is gone altogether.
    server.command(&["DEL", "{gqmoved:0}s:somebody"]);
    server.command(&["ZADD", "{gqmoved:0}subjects", "0", "somebody"]);
    let problem = try_exported(&mut archive(&server.url(), 1).await).await.unwrap_err();
    assert!(problem.to_string().contains("somebody"), "{problem}");
}

/// Changes the ledger while it is written out.
struct Meddling<'s> {
    server: &'s Server,
    file: Vec<u8>,
    done: bool,
}

impl std::io::Write for Meddling<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !std::mem::replace(&mut self.done, true) {
            self.server.command(&["HSET", "{gqmoved:0}meta", "position", "2 1772366400000001"]);
        }
        self.file.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_ledger_that_changes_while_it_is_read_is_not_exported_unless_that_is_allowed() {
    let server = server();
    let clock = Arc::new(ManualClock::at(start()));
    let store = redis(&server.url(), 1, &clock).await;
    row(store.store().execute(reserve("somebody", "r", take(5, 9)), Urgency::Reserve).await.unwrap());
    store.store().close().await;
    for allowed in [false, true] {
        server.command(&["HSET", "{gqmoved:0}meta", "position", "1 1772366400000000"]);
        let mut archive = archive(&server.url(), 1).await;
        if allowed {
            archive = archive.allow_changes();
        }
        let mut out = Meddling { server: &server, file: Vec::new(), done: false };
        let description = Description { instance: crate::shelf::INSTANCE.to_owned(), program: "test".to_owned(), time: start() };
        let mut writer = Writer::new(&mut out, description, &Silent);
        let found = archive.export(&mut writer).await;
        if !allowed {
            let problem = found.unwrap_err();
            assert!(matches!(problem, TransferError::Changed { .. }) && problem.to_string().contains("--allow-changes"), "{problem}");
            continue;
        }
        assert_eq!(found.unwrap().as_deref(), Some("1 of 1 partitions"));
        writer.finish().unwrap();
        verify(&mut Reader::new(&mut out.file.as_slice()), crate::shelf::INSTANCE, &Silent).unwrap();
    }
}

#[tokio::test]
async fn there_must_be_a_ledger_to_export_and_nobody_may_have_it_open() {
    let server = server();
    let problem = try_exported(&mut archive(&server.url(), 4).await).await.unwrap_err();
    assert!(matches!(problem, TransferError::Nothing(_)), "{problem}");
    assert_eq!(server.command(&["DBSIZE"]), "0");

    let place = tempfile::tempdir().unwrap();
    let nowhere = place.path().join("nowhere");
    assert!(EmbeddedArchive::open(&nowhere).unwrap().is_none());
    assert!(!nowhere.exists());
    let clock = Arc::new(ManualClock::at(start()));
    let store = embedded(place.path(), &clock);
    assert!(matches!(EmbeddedArchive::open(place.path()), Err(OpenError::Locked { .. })));
    drop(store);
    assert!(EmbeddedArchive::open(place.path()).unwrap().is_some());
}
