//! The audit: every change of a subject is an event in the stream, for whoever asks for them.

use genquota::proto::v1::watch_costs_response::Update;
use genquota::proto::v1::{CostFilters, SubjectChange, WatchCostsRequest};

use crate::ask::images;
use crate::caller::Caller;
use crate::harness::Server;
use crate::stores::on_every_store;

const TEAM: &str = "team: {rank: 1, allowances: [{meter: units, amount: 10, per: seat}]}";

on_every_store! { crate::catalogs::plans(&[super::TEAM]);
    each_change_is_told_with_its_reason
    a_change_and_an_attempt_of_one_step_are_both_told
}

/// Everything that is told up to now: changes, and how many attempts.
async fn told(caller: &Caller, cursor: &str, subject: &str, include_changes: bool) -> (Vec<SubjectChange>, usize) {
    let filters = CostFilters { subject: subject.to_owned(), ..CostFilters::default() };
    let request = WatchCostsRequest { cursor: cursor.to_owned(), filters: Some(filters), include_changes };
    let mut stream = caller.costs().watch_costs(request).await.unwrap().into_inner();
    let (mut changes, mut attempts) = (Vec::new(), 0);
    loop {
        match stream.message().await.unwrap().unwrap().update.unwrap() {
            Update::Change(change) => changes.push(change),
            Update::Event(_) => attempts += 1,
            Update::Checkpoint(checkpoint) if checkpoint.caught_up => return (changes, attempts),
            Update::Checkpoint(_) => {}
        }
    }
}

fn words(changes: &[SubjectChange]) -> Vec<[&str; 4]> {
    changes.iter().map(|change| [&*change.operation, &*change.about, &*change.request_id, &*change.detail]).collect()
}

async fn each_change_is_told_with_its_reason(server: &Server) {
    let acme = server.subject("acme").await;
    acme.subscribe("team", |request| request.detail = "signed".to_owned()).await.unwrap();
    server.subject("other").await;
    acme.used(&images(1).user("ann")).await;
    acme.grant("gift", "5", |request| request.detail = "sorry".to_owned()).await.unwrap();
    let (changes, attempts) = told(&acme, "0", "acme", true).await;
    assert_eq!(
        words(&changes),
        [
            ["CreateSubject", "", "", ""],
            ["Subscribe", "team", "subscribe-team", "signed"],
            ["TakeSeat", "ann", "", ""],
            ["GrantCredits", "gift", "", "sorry"],
        ]
    );
    assert_eq!(attempts, 1);
    assert!(changes.iter().all(|change| change.subject == "acme" && change.event_time.is_some() && !change.cursor.is_empty()));
    // Nobody is told who has not asked, and a cursor goes on right after its change.
    assert_eq!(told(&acme, "0", "acme", false).await, (Vec::new(), 1));
    let rest = told(&acme, &changes[1].cursor, "", true).await.0;
    assert_eq!(words(&rest)[0], ["CreateSubject", "", "", ""]);
    assert_eq!(words(&rest).len(), 3);
    let ids: std::collections::BTreeSet<_> = changes.iter().chain(&rest).map(|change| &change.event_id).collect();
    assert_eq!(ids.len(), 5);
}

/// A call that takes a seat and settles in one step is two things: neither is lost to whoever goes on from between them.
async fn a_change_and_an_attempt_of_one_step_are_both_told(server: &Server) {
    let acme = server.customer("acme", "team").await;
    acme.record(&images(1).user("ann"), |_| {}).await.unwrap();
    let (changes, attempts) = told(&acme, "0", "acme", true).await;
    assert_eq!((words(&changes)[2][0], attempts), ("TakeSeat", 1));
    let (again, attempts) = told(&acme, &changes[2].cursor, "acme", true).await;
    assert_eq!((words(&again)[0][0], attempts), ("TakeSeat", 1));
    assert_eq!(again[0].event_id, changes[2].event_id);
}
