//! How long every store keeps the sums of closed attempts.

use genquota::clock::Clock as _;
use genquota::domain::summary::hour_of;
use genquota::store::{CostsOf, Store, Urgency};
use jiff::{SignedDuration, Timestamp};

use crate::Bench;
use crate::fixtures::{OPTIONS, commit, done, reserve, start, subject, take};

/// A store may forget them by whole days.
const DAY: SignedDuration = SignedDuration::from_hours(24);

async fn used(store: &dyn Store, of: &str, id: &str) {
    done(store.execute(reserve(of, id, take(1, 100)), Urgency::Reserve).await.unwrap());
    done(store.execute(commit(of, id, 1, take(1, 100)), Urgency::Settle).await.unwrap());
}

/// Attempts in the hour of an instant: everybody's, those of each subject together, and those of `s`.
async fn attempts(store: &dyn Store, at: Timestamp) -> [u64; 3] {
    let mut found = [0; 3];
    for (found, of) in found.iter_mut().zip([CostsOf::Everybody, CostsOf::EachSubject, CostsOf::Subject(subject("s"))]) {
        let hour = hour_of(at);
        *found = store.costs(hour..hour + 1, of).await.unwrap().iter().map(|sum| sum.tally.attempts).sum();
    }
    found
}

pub async fn sums_of_closed_attempts_are_kept_as_long_as_they_are_to_be_and_no_longer(bench: Bench) {
    let store = &*bench.store;
    for (of, id) in [("s", "one"), ("s", "two"), ("t", "one")] {
        used(store, of, id).await;
    }
    assert_eq!(attempts(store, start()).await, [3, 3, 2]);

    bench.clock.advance(OPTIONS.cost_retention - SignedDuration::from_secs(1));
    let young = bench.clock.now();
    used(store, "s", "young").await;
    for _ in 0..2 {
        (bench.sweep)().await;
    }
    assert_eq!(attempts(store, start()).await, [3, 3, 2]);

    bench.clock.advance(DAY);
    used(store, "t", "new").await;
    for _ in 0..2 {
        (bench.sweep)().await;
    }
    assert_eq!(attempts(store, start()).await, [0; 3]);
    assert_eq!(attempts(store, young).await, [1, 1, 1]);
    assert_eq!(attempts(store, bench.clock.now()).await, [1, 1, 0]);
}
