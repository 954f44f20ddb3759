//! The order in which every store tells what it remembers of a subject's reservations.

use std::sync::Arc;

use genquota::domain::ids::GenerationId;
use genquota::domain::ledger::{HistoryPlace, Row, State, Transaction};
use genquota::domain::reservation::Detail;
use genquota::store::{Store, Urgency};
use jiff::SignedDuration;

use crate::Bench;
use crate::fixtures::{RETENTION, TTL, done, release, reserve, row, subject, take};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// A hold of a generation's.
fn hold(id: &str, generation: &str) -> Transaction {
    let mut hold = reserve("s", id, take(1, 100));
    let step = hold.step.as_mut().unwrap();
    step.next.detail = Arc::new(Detail { generation: GenerationId::new(generation).unwrap(), ..(*step.next.detail).clone() });
    hold
}

async fn reserved(store: &dyn Store, id: &str, generation: &str) -> Arc<Row> {
    row(store.execute(hold(id, generation), Urgency::Reserve).await.unwrap())
}

async fn released(store: &dyn Store, id: &str) {
    let known = store.reservation(&subject("s"), &crate::fixtures::reservation(id), Urgency::Settle).await.unwrap().unwrap();
    let mut release = release("s", id, known.version);
    release.step.as_mut().unwrap().next.detail = known.detail.clone();
    done(store.execute(release, Urgency::Settle).await.unwrap());
}

/// Everything before a place, by pages of at most so many; each page says where the next one begins.
async fn pages(store: &dyn Store, mut before: HistoryPlace, limit: usize) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let page = store.history(&subject("s"), &before, limit).await.unwrap();
        assert!(page.len() <= limit);
        let Some(last) = page.last() else { return ids };
        before = HistoryPlace::of(last);
        ids.extend(page.iter().map(|row| row.id.to_string()));
    }
}

async fn all(store: &dyn Store) -> Vec<String> {
    pages(store, HistoryPlace::END, 100).await
}

pub async fn a_history_is_told_page_by_page_the_generation_that_began_last_first(bench: Bench) {
    let store = &*bench.store;
    assert!(all(store).await.is_empty());
    for number in 0..7 {
        reserved(store, &format!("r{number}"), &format!("r{number}")).await;
        bench.clock.advance(SECOND);
    }
    let of_another = hold("elsewhere", "elsewhere");
    done(store.execute(Transaction { subject: subject("t"), ..of_another }, Urgency::Reserve).await.unwrap());
    assert_eq!(all(store).await, ["r6", "r5", "r4", "r3", "r2", "r1", "r0"]);

    let first = store.history(&subject("s"), &HistoryPlace::END, 3).await.unwrap();
    reserved(store, "later", "later").await;
    let rest = pages(store, HistoryPlace::of(&first[2]), 3).await;
    assert_eq!(rest, ["r3", "r2", "r1", "r0"], "what comes meanwhile moves nothing");
    assert_eq!(all(store).await[0], "later");
}

pub async fn the_reservations_of_a_generation_stand_together_where_it_began(bench: Bench) {
    let store = &*bench.store;
    // It has the id of its first reservation, or of its second, or of none.
    for (id, generation) in [("a", "a"), ("b", "shared"), ("late", "late"), ("c", "d")] {
        reserved(store, id, generation).await;
        bench.clock.advance(SECOND);
    }
    for (id, generation) in [("shared", "shared"), ("a-again", "a"), ("d", "d"), ("b-again", "shared")] {
        let later = reserved(store, id, generation).await;
        assert!(later.began < later.create_time, "{id}");
        bench.clock.advance(SECOND);
    }
    let expected = ["c", "d", "late", "b-again", "b", "shared", "a-again", "a"];
    assert_eq!(all(store).await, expected);
    assert_eq!(pages(store, HistoryPlace::END, 1).await, expected);
    // What is asked for between two generations begins with the older one, wherever the newer one ends.
    let shared = store.history(&subject("s"), &HistoryPlace::END, 100).await.unwrap()[3].clone();
    let older = HistoryPlace::before_generation(shared.began, shared.detail.generation.clone());
    assert_eq!(pages(store, older, 100).await, ["a-again", "a"]);
    assert_eq!(pages(store, HistoryPlace::begin(shared.began), 100).await, ["a-again", "a"]);
    if let Some(reopen) = &bench.reopen {
        assert_eq!(all(&*reopen().await).await, expected);
    }
}

pub async fn reservations_of_one_instant_are_all_told_whatever_the_pages(bench: Bench) {
    let store = &*bench.store;
    reserved(store, "older", "older").await;
    bench.clock.advance(SECOND);
    for number in 0..7 {
        reserved(store, &format!("r{number}"), if number < 3 { "shared" } else { "r5" }).await;
    }
    let expected = all(store).await;
    assert_eq!(expected.len(), 8);
    for limit in 1..9 {
        assert_eq!(pages(store, HistoryPlace::END, limit).await, expected, "by {limit}");
    }
}

pub async fn a_history_tells_reservations_as_they_stand(bench: Bench) {
    let store = &*bench.store;
    for id in ["expired", "released", "held"] {
        reserved(store, id, id).await;
        bench.clock.advance(SECOND);
    }
    released(store, "released").await;
    bench.clock.advance(TTL - SECOND * 2);
    // Nobody has swept: what is due is given back before it is told.
    let told = store.history(&subject("s"), &HistoryPlace::END, 100).await.unwrap();
    let told: Vec<_> = told.iter().map(|row| (row.id.as_str(), row.state)).collect();
    assert_eq!(told, [("held", State::Held), ("released", State::Released), ("expired", State::Expired)]);
}

pub async fn what_is_forgotten_leaves_the_history_and_its_generation_may_begin_anew(bench: Bench) {
    let store = &*bench.store;
    for (id, generation) in [("own", "own"), ("one", "shared"), ("two", "shared")] {
        reserved(store, id, generation).await;
        bench.clock.advance(SECOND);
    }
    for id in ["own", "one"] {
        released(store, id).await;
    }
    bench.clock.advance(TTL * 2);
    (bench.sweep)().await;
    // The hold has expired meanwhile, and is remembered from then on.
    bench.clock.advance(RETENTION - TTL * 2 + SECOND);
    (bench.sweep)().await;
    assert_eq!(all(store).await, ["two"]);
    let again = reserved(store, "one", "shared").await;
    assert!(again.began < again.create_time, "a reservation of it is remembered");
    let own = reserved(store, "own", "own").await;
    assert_eq!(own.began, own.create_time);
    assert_eq!(all(store).await, ["own", "two", "one"]);

    bench.clock.advance(RETENTION * 2);
    (bench.sweep)().await;
    bench.clock.advance(RETENTION * 2);
    (bench.sweep)().await;
    assert!(all(store).await.is_empty());
    let anew = reserved(store, "three", "shared").await;
    assert_eq!(anew.began, anew.create_time);
    assert_eq!(all(store).await, ["three"]);
}
