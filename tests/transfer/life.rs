//! A day and a half of a ledger, the same on every store that lives it: holds that are committed, refunded, released, expired, committed late
//! and still held, under caps and with overage, of subjects with and without documents.

use std::sync::Arc;

use genquota::clock::ManualClock;
use genquota::domain::ids::{ModelId, ProviderId, ReservationId, Target, TierId};
use genquota::domain::ledger::{Answer, Correction, Expected, Take, Transaction};
use genquota::domain::reservation::{Detail, Outcome};
use genquota::store::{Store, Urgency};
use jiff::SignedDuration;

use crate::fixtures::{allowance, cap, commit, correct, describe, detail, micros, overage, refund, release, reserve, start, subject, take};
use crate::shelf::Live;

const ROUNDS: usize = 6;
/// Longer than a hold lasts; all rounds together are longer than an ended one is remembered.
const ROUND: SignedDuration = SignedDuration::from_hours(6);

pub fn name(number: usize) -> String {
    format!("subject-{number}")
}

/// Lets so many subjects live. The clock ends 30 hours after the start, with every other subject holding something.
pub async fn live(store: &Live, clock: &ManualClock, subjects: usize) {
    store
        .store()
        .keep_catalog(&genquota::domain::ids::CatalogVersion::new("v1").unwrap(), Arc::from("a catalog\nof \"lines\" ünd signs"))
        .await
        .unwrap();
    for round in 0..ROUNDS {
        for number in 0..subjects {
            // Some things happen in one and the same moment, others do not.
            if number.is_multiple_of(3) {
                clock.advance(SignedDuration::from_millis(250));
            }
            one(store.store(), number, round).await;
        }
        if round + 1 < ROUNDS {
            clock.advance(ROUND);
            store.sweep().await;
        }
    }
}

async fn one(store: &dyn Store, number: usize, round: usize) {
    let (name, id) = (name(number), format!("r{round}"));
    if number.is_multiple_of(3) {
        let raise = Correction::Raise(Take { overage: Some(overage()), ..take(3, 1_000_000) });
        let change = if round.is_multiple_of(2) { describe(&name, round as u64) } else { correct(&name, round as u64, raise) };
        done(store, change).await;
    }
    let mut asked = take(50 + i64::try_from(number).unwrap(), 1_000_000);
    if number.is_multiple_of(2) {
        asked.caps = vec![cap("hourly", 100)];
    }
    done(store, with_cost(reserve(&name, &id, asked), number, round)).await;
    let used = Take { overage: Some(overage()), ..take(70, 1_000_000) };
    match (number + round) % 5 {
        0 => {
            done(store, with_cost(commit(&name, &id, 1, used), number, round)).await;
            let row = store.reservation(&subject(&name), &ReservationId::new(&id).unwrap(), Urgency::Settle).await.unwrap();
            done(store, refund(&name, &row.unwrap(), "refund", vec![(allowance(), 7)], Vec::new())).await;
        }
        1 => done(store, with_cost(release(&name, &id, 1), number, round)).await,
        // What was held the round before has expired.
        4 if round > 0 => {
            let before = format!("r{}", round - 1);
            let row = store.reservation(&subject(&name), &ReservationId::new(&before).unwrap(), Urgency::Settle).await.unwrap();
            let version = row.unwrap().version;
            let late = commit(&name, &before, version, Take { overage: Some(overage()), ..take(2_000, 500) });
            let Answer::Done(_) = store.execute(with_cost(late, number, round), Urgency::Settle).await.unwrap() else { return };
        }
        _ => {}
    }
}

async fn done(store: &dyn Store, transaction: Transaction) {
    let answer = store.execute(transaction.clone(), Urgency::Settle).await.unwrap();
    assert!(matches!(answer, Answer::Done(_)), "{transaction:#?}\n{answer:#?}");
}

/// What providers bill, at more than one target, under labels.
fn with_cost(mut transaction: Transaction, number: usize, round: usize) -> Transaction {
    let step = transaction.step.as_mut().unwrap();
    let target = |model: &str| Target { provider: ProviderId::new("acme").unwrap(), model: ModelId::new(model).unwrap() };
    let mut detail: Detail = (*detail(start())).clone();
    detail.planned_target = Some(target("fast"));
    detail.labels = [("team", "blue"), ("app", "studio"), ("zone", "ü \"x\"\n|")].map(|(key, value)| (key.into(), value.into())).into();
    let attempt = &mut detail.attempts[0];
    attempt.target = Some(target(if number.is_multiple_of(4) { "fine" } else { "fast" }));
    attempt.tier = round.is_multiple_of(2).then(|| TierId::new("premium").unwrap());
    attempt.planned_cost = Some(micros(40));
    attempt.cost = micros(40 + i64::try_from(number).unwrap());
    if step.expected != Expected::Absent {
        attempt.outcome = Some(Outcome::Accepted);
        attempt.units = micros(70);
        attempt.delivered = Some(detail.work.clone());
    }
    step.next.detail = Arc::new(detail);
    transaction
}
