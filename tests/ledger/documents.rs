//! Documents: versions that count changes, pages in order, and a change together with a reservation (architecture: the ledger).

use std::sync::Arc;

use genquota::domain::amount::Micros;
use genquota::domain::ledger::{Answer, CapLeg, EventKind, Transaction};
use genquota::domain::subject::Document;
use jiff::tz::TimeZone;

use crate::bank::Bank;
use crate::requests::{account, cap, fingerprint, minutes, record, reservation, reserve, source, start, subject, take};

fn document(name: &str) -> Arc<Document> {
    Arc::new(Document::new(subject(name), fingerprint(name), start(), TimeZone::UTC))
}

fn change(name: &str, judged_by: Option<u64>) -> Transaction {
    let document = Some(document(name));
    Transaction { subject: subject(name), judged_by, valid: None, dry_run: false, document, step: None, correction: None }
}

#[test]
fn every_change_of_a_document_raises_its_version_by_one() {
    let mut bank = Bank::open();
    for version in 1..=3 {
        let Answer::Done(done) = bank.execute(&change("one", Some(version - 1))) else { panic!("changed") };
        assert_eq!((done.sequence, done.row), (version, None));
        assert_eq!(done.document.as_ref().map(|document| document.version), Some(version));
        assert_eq!(bank.ledger.document(&subject("one")), done.document);
    }
    assert_eq!(bank.execute(&change("one", Some(2))), Answer::StaleDocument);
    assert_eq!(bank.execute(&change("two", Some(1))), Answer::StaleDocument);
    assert!(matches!(bank.execute(&change("one", None)), Answer::Done(_)), "a change that was judged by none overwrites");
    assert_eq!(bank.events, [EventKind::SubjectChanged; 4]);
    bank.check_restored();
}

#[test]
fn a_dry_run_of_a_change_leaves_the_document() {
    let mut bank = Bank::open();
    let dry = Transaction { dry_run: true, ..change("one", Some(0)) };
    assert!(matches!(bank.execute(&dry), Answer::Done(_)));
    assert_eq!(bank.ledger.document(&subject("one")), None);
    assert!(bank.events.is_empty());
}

#[test]
fn documents_are_paged_in_the_order_of_their_subjects() {
    let mut bank = Bank::open();
    for name in ["delta", "alpha", "echo", "charlie", "bravo"] {
        bank.execute(&change(name, Some(0)));
    }
    // A subject that has only reservations is no page's.
    let take = take(1, vec![source("a", 1)], Vec::new());
    bank.execute(&reserve(&subject("b"), &reservation("r1"), fingerprint("r1"), take, minutes(15)));
    let page = |after: Option<&str>, limit| -> Vec<String> {
        let documents = bank.ledger.documents(after.map(subject).as_ref(), limit);
        documents.iter().map(|document| document.subject.to_string()).collect()
    };
    assert_eq!(page(None, 2), ["alpha", "bravo"]);
    assert_eq!(page(Some("bravo"), 2), ["charlie", "delta"]);
    assert_eq!(page(Some("delta"), 2), ["echo"]);
    assert!(page(Some("echo"), 2).is_empty());
    assert_eq!(page(Some("aardvark"), 1), ["alpha"]);
    assert!(page(None, 0).is_empty());
    bank.check_restored();
}

#[test]
fn a_change_that_travels_with_a_reservation_is_made_with_it_or_not_at_all() {
    let mut bank = Bank::open();
    let with_change = |units| {
        let take = take(units, vec![source("a", 5)], Vec::new());
        let reserve = reserve(&subject("one"), &reservation("r1"), fingerprint("r1"), take, minutes(15));
        Transaction { document: Some(document("one")), judged_by: Some(0), ..reserve }
    };
    assert!(matches!(bank.execute(&with_change(6)), Answer::Denied(_)));
    assert_eq!(bank.ledger.document(&subject("one")), None);
    let Answer::Done(done) = bank.execute(&with_change(5)) else { panic!("granted") };
    assert_eq!(done.document.map(|document| document.version), Some(1));
    assert_eq!(bank.events, [EventKind::Reserved], "one change, one event");
    // The repeat is known before the document has become stale for it.
    assert!(matches!(bank.execute(&with_change(5)), Answer::Replayed(_)));
    assert_eq!(bank.ledger.document(&subject("one")).map(|document| document.version), Some(1));
    bank.check_restored();
}

#[test]
fn a_subject_of_which_nothing_is_left_is_forgotten() {
    // Once the last thing to go is a reservation, once it is the account of a cap whose window outlives it.
    for window in [60, 3 * 24 * 60] {
        let mut bank = Bank::open();
        let caps = vec![CapLeg { lapses: Some(start() + minutes(window)), ..cap("cap", 1, None) }];
        bank.execute(&record(&subject("one"), &reservation("r1"), fingerprint("r1"), take(0, Vec::new(), caps)));
        assert_eq!(bank.ledger.contents().count(), 1);
        bank.now += minutes(24 * 60);
        bank.sweep_all();
        bank.now += minutes(2 * 24 * 60);
        bank.sweep_all();
        assert_eq!(bank.ledger.contents().count(), 0);
        assert_eq!(bank.ledger.accounts(&subject("one"), &[account("cap")])[0].committed, Micros::ZERO);
        assert_eq!(bank.ledger.next_due(), None);
    }
}
