//! What every store does alike. Each behaviour is a function of a fresh store; the Redis store will run the same.

use std::sync::Arc;

use genquota::domain::amount::Micros;
use genquota::domain::ids::CatalogVersion;
use genquota::domain::ledger::{Account, Answer, CapLeg, Correction, Denied, EventKind, Share, Source, State, Take};
use genquota::domain::summary::hour_of;
use genquota::store::{CostsOf, Store, StoreError, Urgency};
use jiff::SignedDuration;

use crate::Bench;
use crate::fixtures::{
    RETENTION, TTL, allowance, cap, commit, correct, describe, done, micros, overage, refund, release, reservation, reserve, row, start,
    subject, take,
};

async fn reserved(store: &dyn Store, units: i64) -> Answer {
    store.execute(reserve("s", "r", take(units, 10)), Urgency::Reserve).await.unwrap()
}

async fn account(store: &dyn Store) -> (i64, i64) {
    let accounts = store.accounts(&subject("s"), vec![allowance()]).await.unwrap();
    (accounts[0].reserved.get(), accounts[0].committed.get())
}

pub async fn a_hold_is_set_aside_and_its_commit_uses_it(bench: Bench) {
    let store = &*bench.store;
    let held = done(reserved(store, 4).await);
    assert_eq!((held.sequence, held.accounts.clone()), (1, vec![Account { reserved: micros(4), ..Account::default() }]));
    assert_eq!(account(store).await, (4, 0));

    let take = genquota::domain::ledger::Take { overage: Some(overage()), ..take(12, 10) };
    let used = row(store.execute(commit("s", "r", 1, take), Urgency::Settle).await.unwrap());
    assert_eq!(
        (used.state, used.version, used.sequence, used.units_used(), used.units_overage()),
        (State::Committed, 2, 2, micros(12), micros(2))
    );
    let accounts = store.accounts(&subject("s"), vec![allowance(), overage()]).await.unwrap();
    assert_eq!(accounts.iter().map(|account| (account.reserved.get(), account.committed.get())).collect::<Vec<_>>(), [(0, 10), (0, 2)]);
    assert_eq!(store.reservation(&subject("s"), &reservation("r"), Urgency::Read).await.unwrap(), Some(used));
}

pub async fn a_release_gives_everything_back(bench: Bench) {
    let store = &*bench.store;
    reserved(store, 4).await;
    let released = row(store.execute(release("s", "r", 1), Urgency::Settle).await.unwrap());
    assert_eq!((released.state, released.units_used()), (State::Released, Micros::ZERO));
    assert_eq!(account(store).await, (0, 0));
}

pub async fn a_repeat_is_replayed_and_another_request_with_its_id_is_refused(bench: Bench) {
    let store = &*bench.store;
    let first = row(reserved(store, 4).await);
    assert_eq!(reserved(store, 4).await, Answer::Replayed(first.clone()));
    let mut other = reserve("s", "r", take(4, 10));
    other.step.as_mut().unwrap().fingerprint = crate::fixtures::fingerprint(77);
    assert_eq!(store.execute(other, Urgency::Reserve).await.unwrap(), Answer::IdReused(first));
    assert_eq!(account(store).await, (4, 0));
}

pub async fn a_change_of_a_reservation_that_moved_on_is_stale(bench: Bench) {
    let store = &*bench.store;
    let unknown = store.execute(commit("s", "r", 1, take(1, 10)), Urgency::Settle).await.unwrap();
    assert_eq!(unknown, Answer::StaleReservation(None));
    reserved(store, 4).await;
    let released = row(store.execute(release("s", "r", 1), Urgency::Settle).await.unwrap());
    let late = store.execute(commit("s", "r", 1, take(4, 10)), Urgency::Settle).await.unwrap();
    assert_eq!(late, Answer::StaleReservation(Some(released)));
    assert_eq!(account(store).await, (0, 0));
}

pub async fn a_transaction_judged_by_an_older_document_is_stale(bench: Bench) {
    let store = &*bench.store;
    let first = done(store.execute(describe("s", 0), Urgency::Settle).await.unwrap()).document.unwrap();
    assert_eq!(first.version, 1);
    assert_eq!(store.execute(describe("s", 0), Urgency::Settle).await.unwrap(), Answer::StaleDocument);
    let mut hold = reserve("s", "r", take(4, 10));
    hold.judged_by = Some(0);
    assert_eq!(store.execute(hold.clone(), Urgency::Reserve).await.unwrap(), Answer::StaleDocument);
    hold.judged_by = Some(1);
    done(store.execute(hold, Urgency::Reserve).await.unwrap());
    let second = done(store.execute(describe("s", 1), Urgency::Settle).await.unwrap()).document.unwrap();
    assert_eq!(second.version, 2);
    assert_eq!(store.document(&subject("s")).await.unwrap(), Some(second));
    assert_eq!(store.document(&subject("t")).await.unwrap(), None);
}

pub async fn a_transaction_judged_for_another_period_is_stale(bench: Bench) {
    let store = &*bench.store;
    let until = start().checked_add(SignedDuration::from_secs(1)).unwrap();
    let mut hold = reserve("s", "r", take(4, 10));
    hold.valid = Some((start(), until));
    bench.clock.set(until);
    assert_eq!(store.execute(hold.clone(), Urgency::Reserve).await.unwrap(), Answer::StalePeriod { now: until });
    hold.valid = Some((until, until.checked_add(SignedDuration::from_secs(1)).unwrap()));
    done(store.execute(hold, Urgency::Reserve).await.unwrap());
}

pub async fn a_denial_lists_everything_that_stands_against_it_and_changes_nothing(bench: Bench) {
    let store = &*bench.store;
    let mut hold = take(11, 10);
    hold.caps = vec![cap("open", 5), cap("shut", 0), CapLeg { enforced: false, booked: false, ..cap("told", 0) }];
    let answer = store.execute(reserve("s", "r", hold.clone()), Urgency::Reserve).await.unwrap();
    let accounts = vec![Account::default(); 4];
    assert_eq!(answer, Answer::Denied(Denied { short: true, caps_reached: vec![1], accounts, now: start() }));
    assert_eq!(account(store).await, (0, 0));
    assert_eq!(store.reservation(&subject("s"), &reservation("r"), Urgency::Read).await.unwrap(), None);

    hold.units = micros(10);
    hold.caps.remove(1);
    let granted = done(store.execute(reserve("s", "r", hold), Urgency::Reserve).await.unwrap());
    assert_eq!((granted.caps_warned, granted.sequence), (vec![1], 1));
}

pub async fn an_account_never_exceeds_the_largest_amount(bench: Bench) {
    let store = &*bench.store;
    let mut all = take(Micros::MAX.get(), 0);
    all.sources[0].limit = None;
    done(store.execute(reserve("s", "r", all.clone()), Urgency::Reserve).await.unwrap());
    all.units = micros(1);
    assert_eq!(store.execute(reserve("s", "q", all), Urgency::Reserve).await.unwrap(), Answer::AccountFull(allowance()));
}

pub async fn a_dry_run_answers_and_changes_nothing(bench: Bench) {
    let store = &*bench.store;
    let mut hold = reserve("s", "r", take(4, 10));
    hold.dry_run = true;
    assert_eq!(done(store.execute(hold, Urgency::Reserve).await.unwrap()).accounts, [Account::default()]);
    assert_eq!(account(store).await, (0, 0));
    assert_eq!(done(reserved(store, 4).await).sequence, 1);
}

pub async fn a_deadline_that_has_passed_gives_the_hold_back(bench: Bench) {
    let store = &*bench.store;
    let held = row(reserved(store, 10).await);
    bench.clock.set(held.deadline);
    assert_eq!(account(store).await, (0, 0));
    let expired = store.reservation(&subject("s"), &reservation("r"), Urgency::Read).await.unwrap().unwrap();
    assert_eq!((expired.state, expired.version, expired.settle_time), (State::Expired, 2, Some(held.deadline)));
    let answer = store.execute(commit("s", "r", 1, take(10, 10)), Urgency::Settle).await.unwrap();
    assert_eq!(answer, Answer::StaleReservation(Some(expired)));
    let late = row(store.execute(commit("s", "r", 2, take(10, 10)), Urgency::Settle).await.unwrap());
    assert!(late.late);
    assert_eq!(account(store).await, (0, 10));
}

/// What was let pass while the store was away is booked like this: always, and for what no source can pay on the overage account.
pub async fn an_outage_s_hold_is_booked_into_overage_where_nothing_pays_and_settles_from_there(bench: Bench) {
    let store = &*bench.store;
    let booked = Take {
        overage: Some(overage()),
        caps: vec![CapLeg { limit: None, enforced: false, booked: false, ..cap("hourly", 0) }],
        ..take(13, 10)
    };
    let held = row(store.execute(reserve("s", "r", booked), Urgency::Settle).await.unwrap());
    let legs: Vec<_> = held.legs.iter().map(|leg| (leg.account.clone(), leg.held.get())).collect();
    assert_eq!(legs, [(allowance(), 10), (overage(), 3), (cap("hourly", 0).account, 1)]);
    let keys = || vec![allowance(), overage()];
    let both =
        |accounts: Vec<Account>| accounts.iter().map(|account| (account.reserved.get(), account.committed.get())).collect::<Vec<_>>();
    assert_eq!(both(store.accounts(&subject("s"), keys()).await.unwrap()), [(10, 0), (3, 0)]);
    let own = |account, held| Source { at_most: Some(micros(held)), ..Source::limited(account, None) };
    let settle = Take { units: micros(12), sources: vec![own(allowance(), 10), own(overage(), 3)], ..Take::default() };
    let used = row(store.execute(commit("s", "r", 1, settle), Urgency::Settle).await.unwrap());
    assert_eq!((used.units_used(), used.units_overage()), (micros(12), micros(2)));
    assert_eq!(both(store.accounts(&subject("s"), keys()).await.unwrap()), [(0, 10), (0, 2)]);
}

/// So is what the store had lost by the time its commit came.
pub async fn a_hold_without_time_expires_at_once_and_its_commit_is_late(bench: Bench) {
    let store = &*bench.store;
    let mut booked = reserve("s", "r", take(4, 10));
    booked.step.as_mut().unwrap().next.ttl = Some(SignedDuration::ZERO);
    let held = row(store.execute(booked, Urgency::Settle).await.unwrap());
    assert_eq!((held.state, held.deadline), (State::Held, held.create_time));
    let expired = store.reservation(&subject("s"), &reservation("r"), Urgency::Settle).await.unwrap().unwrap();
    assert_eq!((expired.state, expired.version), (State::Expired, 2));
    assert_eq!(account(store).await, (0, 0));
    let late = row(store.execute(commit("s", "r", 2, take(4, 10)), Urgency::Settle).await.unwrap());
    assert!(late.late);
    assert_eq!(account(store).await, (0, 4));
}

pub async fn an_ended_reservation_is_forgotten_after_its_retention(bench: Bench) {
    let store = &*bench.store;
    reserved(store, 4).await;
    store.execute(release("s", "r", 1), Urgency::Settle).await.unwrap();
    bench.clock.advance(RETENTION - SignedDuration::from_millis(1));
    assert!(store.reservation(&subject("s"), &reservation("r"), Urgency::Read).await.unwrap().is_some());
    bench.clock.advance(SignedDuration::from_millis(1));
    assert_eq!(store.reservation(&subject("s"), &reservation("r"), Urgency::Read).await.unwrap(), None);
    assert_eq!(row(reserved(store, 4).await).version, 1);
    bench.clock.advance(TTL);
    assert_eq!(account(store).await, (0, 0));
}

pub async fn documents_are_listed_in_order_page_by_page(bench: Bench) {
    let store = &*bench.store;
    for name in ["b", "d", "a", "c", "e"] {
        done(store.execute(describe(name, 0), Urgency::Settle).await.unwrap());
    }
    // A subject without a document is not listed.
    store.execute(reserve("bb", "r", take(1, 10)), Urgency::Reserve).await.unwrap();
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = store.documents(after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.subject.clone());
        pages.push(page.iter().map(|document| document.subject.as_str().to_owned()).collect::<Vec<_>>());
    }
    assert_eq!(pages, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
}

pub async fn a_catalog_is_kept_under_its_first_text(bench: Bench) {
    let version = |name: &str| CatalogVersion::new(name).unwrap();
    let store = &*bench.store;
    store.keep_catalog(&version("v1"), "one".into()).await.unwrap();
    store.keep_catalog(&version("v1"), "another".into()).await.unwrap();
    store.keep_catalog(&version("v2"), "two".into()).await.unwrap();
    let reopened = match &bench.reopen {
        Some(reopen) => reopen().await,
        None => bench.store.clone(),
    };
    assert_eq!(reopened.catalog(&version("v1")).await.unwrap().as_deref(), Some("one"));
    assert_eq!(reopened.catalog(&version("v2")).await.unwrap().as_deref(), Some("two"));
    assert_eq!(reopened.catalog(&version("v3")).await.unwrap(), None);
}

pub async fn a_clock_that_runs_back_changes_no_decision(bench: Bench) {
    let store = &*bench.store;
    let held = row(reserved(store, 10).await);
    bench.clock.set(held.deadline);
    assert_eq!(account(store).await, (0, 0));
    bench.clock.set(start());
    let again = done(store.execute(reserve("s", "q", take(10, 10)), Urgency::Reserve).await.unwrap());
    assert_eq!((again.now, again.row.unwrap().deadline), (held.deadline, held.deadline.checked_add(TTL).unwrap()));
}

pub async fn everything_acknowledged_is_there_after_reopening(bench: Bench) {
    let Some(reopen) = &bench.reopen else { return };
    let store = &*bench.store;
    let mut with_cap = take(4, 10);
    with_cap.caps = vec![cap("hourly", 5)];
    let hold = reserve("s", "r", with_cap);
    let held = row(store.execute(hold.clone(), Urgency::Reserve).await.unwrap());
    store.execute(reserve("s", "c", take(3, 10)), Urgency::Reserve).await.unwrap();
    let committed = row(store.execute(commit("s", "c", 1, take(2, 10)), Urgency::Settle).await.unwrap());
    let document = done(store.execute(describe("s", 0), Urgency::Settle).await.unwrap()).document;
    let keys = vec![allowance(), cap("hourly", 5).account];
    let accounts = store.accounts(&subject("s"), keys.clone()).await.unwrap();

    let store = reopen().await;
    assert_eq!(store.accounts(&subject("s"), keys).await.unwrap(), accounts);
    assert_eq!(store.document(&subject("s")).await.unwrap(), document);
    assert_eq!(store.reservation(&subject("s"), &reservation("c"), Urgency::Read).await.unwrap(), Some(committed));
    assert_eq!(store.execute(hold, Urgency::Reserve).await.unwrap(), Answer::Replayed(held.clone()));
    assert_eq!(done(store.execute(reserve("s", "n", take(1, 10)), Urgency::Reserve).await.unwrap()).sequence, 5);
    // What was due goes on being due.
    bench.clock.set(held.deadline);
    assert_eq!(account(&*store).await, (0, 2));
}

pub async fn concurrent_holds_on_one_allowance_are_granted_exactly_as_far_as_it_goes(bench: Bench) {
    const TASKS: usize = 1000;
    const UNITS: i64 = 137;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store: Arc<dyn Store> = bench.store.clone();
            tokio::spawn(async move { store.execute(reserve("s", &format!("r{task}"), take(1, UNITS)), Urgency::Settle).await.unwrap() })
        })
        .collect();
    let (mut granted, mut sequences) = (0, std::collections::BTreeSet::new());
    for task in tasks {
        match task.await.unwrap() {
            Answer::Done(done) => {
                granted += 1;
                assert!(sequences.insert(done.sequence));
            }
            Answer::Denied(denied) => assert!(denied.short),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(granted, UNITS);
    assert!(sequences.into_iter().eq(1..=u64::try_from(UNITS).unwrap()));
    assert_eq!(account(&*bench.store).await, (UNITS, 0));
}

pub async fn a_closed_store_answers_that_it_is_closing(bench: Bench) {
    let pending = {
        let store = bench.store.clone();
        tokio::spawn(async move { store.execute(reserve("s", "r", take(4, 10)), Urgency::Settle).await })
    };
    done(pending.await.unwrap().unwrap());
    bench.store.close().await;
    assert!(matches!(bench.store.document(&subject("s")).await, Err(StoreError::Closing)));
    assert!(matches!(bench.store.execute(release("s", "r", 1), Urgency::Settle).await, Err(StoreError::Closing)));
    bench.store.close().await;
}

pub async fn a_caller_that_goes_away_does_not_undo_its_call(bench: Bench) {
    use std::task::{Context, Waker};
    let store = &*bench.store;
    let mut call = store.execute(reserve("s", "r", take(4, 10)), Urgency::Settle);
    let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(call);
    assert_eq!(account(store).await, (4, 0));
}

pub async fn a_refund_gives_back_what_was_committed_and_leaves_its_end_alone(bench: Bench) {
    let store = &*bench.store;
    reserved(store, 4).await;
    let used = row(store.execute(commit("s", "r", 1, Take { overage: Some(overage()), ..take(12, 10) }), Urgency::Settle).await.unwrap());
    bench.clock.advance(SignedDuration::from_hours(2));
    let shares = vec![(overage(), 2), (allowance(), 3)];
    let given = done(store.execute(refund("s", &used, "first", shares, vec![allowance()]), Urgency::Settle).await.unwrap());
    assert_eq!(given.accounts, [Account { committed: micros(7), ..Account::default() }]);
    let left = given.row.unwrap();
    assert_eq!((left.units_used(), left.units_charged(), left.units_refunded()), (micros(7), micros(12), micros(5)));
    assert_eq!((left.state, left.version, left.settled_version()), (State::Committed, 3, 2));
    assert_eq!((left.settled_by, left.settle_time), (used.settled_by, used.settle_time));
    let accounts = store.accounts(&subject("s"), vec![allowance(), overage()]).await.unwrap();
    assert_eq!(accounts.iter().map(|account| (account.reserved.get(), account.committed.get())).collect::<Vec<_>>(), [(0, 7), (0, 0)]);
    let stored = store.reservation(&subject("s"), &reservation("r"), Urgency::Read).await.unwrap();
    assert_eq!(stored.as_ref(), Some(&left));
    assert_eq!(bench.seen.lock().unwrap().last().map(|event| (event.kind, event.row.clone())), Some((EventKind::Refunded, stored)));

    // Judged by what was there before it: nothing moves.
    let late = store.execute(refund("s", &used, "other", vec![(allowance(), 3)], Vec::new()), Urgency::Settle).await.unwrap();
    assert_eq!(late, Answer::StaleReservation(Some(left)));
    assert_eq!(account(store).await, (0, 7));
}

pub async fn a_refund_takes_its_units_off_the_sums_of_the_hour_it_is_made_in(bench: Bench) {
    let store = &*bench.store;
    reserved(store, 4).await;
    let used = row(store.execute(commit("s", "r", 1, take(4, 10)), Urgency::Settle).await.unwrap());
    bench.clock.advance(SignedDuration::from_hours(2));
    done(store.execute(refund("s", &used, "first", vec![(allowance(), 3)], Vec::new()), Urgency::Settle).await.unwrap());
    for of in [CostsOf::Everybody, CostsOf::Subject(subject("s"))] {
        let sums = store.costs(hour_of(start()) + 1..hour_of(start()) + 3, of).await.unwrap();
        assert_eq!(sums.iter().map(|sum| (sum.tally.attempts, sum.tally.units)).collect::<Vec<_>>(), [(0, -3)]);
    }
}

pub async fn a_refund_keeps_no_reservation_longer_than_it_was_to_be_kept(bench: Bench) {
    let store = &*bench.store;
    reserved(store, 4).await;
    let used = row(store.execute(commit("s", "r", 1, take(4, 10)), Urgency::Settle).await.unwrap());
    bench.clock.advance(RETENTION - SignedDuration::from_mins(1));
    done(store.execute(refund("s", &used, "first", vec![(allowance(), 3)], Vec::new()), Urgency::Settle).await.unwrap());
    bench.clock.advance(SignedDuration::from_mins(1));
    (bench.sweep)().await;
    assert_eq!(store.reservation(&subject("s"), &reservation("r"), Urgency::Read).await.unwrap(), None);
    assert_eq!(account(store).await, (0, 1));
}

pub async fn a_correction_moves_an_account_in_the_step_that_changes_the_document(bench: Bench) {
    let store = &*bench.store;
    let raise = Correction::Raise(Take { overage: Some(overage()), ..take(12, 10) });
    let raised = done(store.execute(correct("s", 0, raise.clone()), Urgency::Settle).await.unwrap());
    assert_eq!((raised.document.unwrap().version, raised.row, raised.sequence), (1, None, 1));
    assert_eq!(raised.accounts, [Account { committed: micros(10), ..Account::default() }]);
    assert_eq!(store.execute(correct("s", 0, raise), Urgency::Settle).await.unwrap(), Answer::StaleDocument);

    let lower = |amount| Correction::Lower(Share { account: allowance(), amount: micros(amount) });
    let short = store.execute(correct("s", 1, lower(11)), Urgency::Settle).await.unwrap();
    let accounts = vec![Account { committed: micros(10), ..Account::default() }];
    assert_eq!(short, Answer::Denied(Denied { short: true, caps_reached: Vec::new(), accounts, now: start() }));
    let lowered = done(store.execute(correct("s", 1, lower(4)), Urgency::Settle).await.unwrap());
    assert_eq!((lowered.accounts, account(store).await), (vec![Account { committed: micros(6), ..Account::default() }], (0, 6)));
    assert_eq!(store.document(&subject("s")).await.unwrap().unwrap().version, 2);
}
