//! Commits, releases and usage while the store is away: written down, acknowledged, and nothing overtakes.

use genquota::domain::ledger::State;
use genquota::domain::reservation::Outcome;
use genquota::domain::settlement::Billing;
use genquota::service::{ExtendCommand, ServiceError};
use genquota::store::StoreError;
use genquota::store::journal::Command;

use crate::bench::{Bench, SHORT, assert_away, commit, eventually, fingerprint, images, plain, release, target, units, usage};
use crate::shaky::Weather;

#[tokio::test]
async fn a_commit_while_the_store_is_away_is_queued_with_the_reservation_as_last_known() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    bench.held("acme", "r", 3).await;
    bench.store.set(Weather::Away);
    let settled = bench.commit("acme", "r").await.unwrap();
    assert!(settled.queued && !settled.replayed && settled.events.is_empty() && settled.balances.is_empty());
    let known = settled.reservation.unwrap();
    assert_eq!((known.row.state, known.row.units_held().get()), (State::Held, units(3)));
    assert_eq!(bench.store.paid(&acme), (0, units(3), 0));
    bench.store.set(Weather::Fair);
    bench.replay().await;
    assert_eq!(bench.store.paid(&acme), (units(3), 0, 0));
    let repeated = bench.commit("acme", "r").await.unwrap();
    assert!(repeated.replayed && !repeated.queued);
}

#[tokio::test]
async fn a_release_and_recorded_usage_are_queued_too() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    bench.held("acme", "r", 3).await;
    bench.store.set(Weather::Away);
    assert!(bench.release("acme", "r").await.unwrap().queued);
    let recorded = bench.service.record_usage(usage("acme", "u", 2)).await.unwrap();
    assert!(recorded.queued && recorded.reservation.is_none());
    bench.store.set(Weather::Fair);
    bench.replay().await;
    assert_eq!(bench.store.paid(&acme), (units(2), 0, 0));
    assert_eq!(bench.store.row(&acme, "r").unwrap().state, State::Released);
}

#[tokio::test]
async fn a_commit_whose_reply_was_lost_is_answered_by_the_second_try_and_not_queued() {
    let bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    bench.held("acme", "r", 3).await;
    bench.store.set(Weather::LosesReplies);
    let (service, before) = (bench.service.clone(), bench.store.executed());
    let settling = tokio::spawn(async move { service.settle(commit("acme", "r", None)).await });
    eventually("the first try", || bench.store.executed() > before).await;
    bench.store.set(Weather::Fair);
    let settled = settling.await.unwrap().unwrap();
    assert!(settled.replayed && !settled.queued);
    assert_eq!(bench.store.paid(&acme), (units(3), 0, 0));
    assert!(bench.journal.is_drained());
}

#[tokio::test]
async fn a_commit_whose_reply_was_lost_and_that_was_queued_after_it_is_charged_once() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    bench.held("acme", "r", 3).await;
    bench.store.set(Weather::LosesReplies);
    assert!(bench.commit("acme", "r").await.unwrap().queued);
    assert_eq!(bench.store.paid(&acme), (units(3), 0, 0));
    bench.store.set(Weather::Fair);
    bench.replay().await;
    assert_eq!(bench.store.paid(&acme), (units(3), 0, 0));
    assert!(bench.journal.dead().is_empty());
}

#[tokio::test]
async fn a_store_that_never_answers_is_waited_for_no_longer_than_patience() {
    let bench = Bench::impatient().await;
    bench.customer("acme", "shut").await;
    bench.held("acme", "r", 3).await;
    bench.store.set(Weather::Hangs);
    let began = tokio::time::Instant::now();
    assert!(bench.commit("acme", "r").await.unwrap().queued);
    assert!(began.elapsed() >= SHORT);
    assert_away(bench.reserve(images("acme", "new", 1)).await);
}

#[tokio::test]
async fn a_repeat_is_queued_once_and_a_conflicting_command_comes_too_late() {
    let bench = Bench::new().await;
    bench.customer("acme", "shut").await;
    bench.held("acme", "r", 3).await;
    bench.store.set(Weather::Away);
    let first = bench.commit("acme", "r").await.unwrap();
    let again = bench.commit("acme", "r").await.unwrap();
    assert!(again.queued && again.replayed);
    assert_eq!(again.reservation, first.reservation);
    assert_eq!(bench.journal.queued(), 1);
    for conflicting in [commit("acme", "r", Some(1)), release("acme", "r", Outcome::Failed, Billing::default())] {
        let refused = bench.service.settle(conflicting).await;
        assert!(matches!(refused, Err(ServiceError::ReservationSettled(State::Committed))), "{refused:?}");
    }
    assert_eq!(bench.journal.queued(), 1);
}

#[tokio::test]
async fn what_comes_for_a_subject_with_something_queued_queues_behind_although_the_store_is_back() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    bench.customer("other", "shut").await;
    for (name, id) in [("acme", "a"), ("acme", "b"), ("other", "c")] {
        bench.held(name, id, 2).await;
    }
    bench.store.set(Weather::Away);
    assert!(bench.commit("acme", "a").await.unwrap().queued);
    bench.store.set(Weather::Fair);
    assert!(bench.commit("acme", "b").await.unwrap().queued);
    assert!(bench.service.record_usage(usage("acme", "u", 1)).await.unwrap().queued);
    // Another subject has nothing to wait for.
    assert!(!bench.commit("other", "c").await.unwrap().queued);
    bench.replay().await;
    let order: Vec<String> = bench
        .store
        .events()
        .iter()
        .filter(|event| event.subject == acme)
        .filter_map(|event| event.row.as_ref())
        .map(|row| row.id.to_string())
        .collect();
    assert_eq!(order, ["a", "b", "a", "b", "u"]);
    assert!(!bench.release("acme", "none").await.is_ok_and(|settled| settled.queued));
}

#[tokio::test]
async fn a_settlement_of_a_reservation_never_seen_here_is_queued_without_one() {
    let here = Bench::new().await;
    let acme = here.customer("acme", "shut").await;
    here.held("acme", "r", 3).await;
    let mut elsewhere = here.beside().await;
    here.store.set(Weather::Away);
    let settled = elsewhere.commit("acme", "r").await.unwrap();
    assert!(settled.queued && settled.reservation.is_none());
    here.store.set(Weather::Fair);
    elsewhere.replay().await;
    assert_eq!(here.store.paid(&acme), (units(3), 0, 0));
}

#[tokio::test]
async fn what_can_be_found_wrong_is_found_before_it_is_queued() {
    let bench = Bench::new().await;
    bench.customer("acme", "shut").await;
    bench.held("acme", "r", 3).await;
    bench.held("acme", "before", 1).await;
    bench.store.set(Weather::Away);
    // From now on the store is not even asked.
    assert!(bench.commit("acme", "before").await.unwrap().queued);
    let mut wrong = commit("acme", "r", Some(1));
    let measure = genquota::domain::ids::MeasureId::new("seconds").unwrap();
    let genquota::domain::settlement::Ending::Commit { delivered: Some(work) } = &mut wrong.ending else { panic!("a commit") };
    work.items[0].measures.insert(measure, 5.into());
    let refused = bench.service.settle(wrong).await;
    assert!(matches!(refused, Err(ServiceError::Invalid(_))), "{refused:?}");
    let mut unknown = usage("acme", "u", 1);
    unknown.action = genquota::domain::ids::ActionId::new("paint").unwrap();
    let refused = bench.service.record_usage(unknown).await;
    assert!(matches!(refused, Err(ServiceError::Invalid(_))), "{refused:?}");
    assert_eq!(bench.journal.queued(), 1);
}

#[tokio::test]
async fn a_full_journal_acknowledges_nothing() {
    let mut bench = Bench::with(1, 1).await;
    let acme = bench.customer("acme", "shut").await;
    bench.held("acme", "a", 2).await;
    bench.held("acme", "b", 3).await;
    bench.store.set(Weather::Away);
    assert!(bench.commit("acme", "a").await.unwrap().queued);
    assert_away(bench.commit("acme", "b").await);
    bench.store.set(Weather::Fair);
    bench.replay().await;
    assert_eq!(bench.store.paid(&acme), (units(2), units(3), 0));
    assert!(!bench.commit("acme", "b").await.unwrap().queued);
}

#[tokio::test]
async fn a_store_that_lost_data_is_told_later_and_one_that_sheds_is_believed() {
    let bench = Bench::new().await;
    bench.customer("acme", "open").await;
    bench.held("acme", "r", 3).await;
    bench.store.set(Weather::Overloaded);
    let refused = bench.commit("acme", "r").await;
    assert!(matches!(refused, Err(ServiceError::Store(StoreError::Overloaded { .. }))), "{refused:?}");
    assert!(bench.journal.is_drained());
    bench.store.set(Weather::LostData);
    assert!(bench.commit("acme", "r").await.unwrap().queued);
    // Nothing new is let pass on what cannot be trusted, open or not.
    let refused = bench.reserve(images("acme", "new", 1)).await;
    assert!(matches!(refused, Err(ServiceError::Store(StoreError::DataLost { .. }))), "{refused:?}");
}

#[tokio::test]
async fn an_extend_while_the_store_is_away_is_refused_and_a_read_tells_what_is_known() {
    let bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    let held = bench.held("acme", "r", 3).await.outcome.unwrap();
    let extend = || ExtendCommand {
        subject: acme.clone(),
        id: held.row.id.clone(),
        ttl: None,
        outcome_unknown: false,
        fingerprint: fingerprint("extend"),
    };
    bench.store.set(Weather::Away);
    assert_away(bench.service.extend(extend()).await);
    assert_away(bench.service.reservation(acme.clone(), &held.row.id).await);
    bench.commit("acme", "r").await.unwrap();
    assert_eq!(bench.service.reservation(acme.clone(), &held.row.id).await.unwrap(), held);
    // Its end is settled, so more time is out of the question.
    let refused = bench.service.extend(extend()).await;
    assert!(matches!(refused, Err(ServiceError::ReservationSettled(State::Committed))), "{refused:?}");
}

#[tokio::test]
async fn without_a_journal_everything_is_refused() {
    let bench = Bench::new().await;
    bench.customer("acme", "open").await;
    bench.held("acme", "r", 3).await;
    let service = plain(bench.store.clone(), bench.clock.clone()).await;
    assert!(service.reserve(images("acme", "seen", 1)).await.unwrap().outcome.is_ok());
    bench.store.set(Weather::Away);
    assert_away(service.settle(commit("acme", "r", None)).await);
    assert_away(service.record_usage(usage("acme", "u", 1)).await);
    assert_away(service.reserve(images("acme", "new", 1)).await);
    assert!(!service.is_open_in_outage() && bench.service.is_open_in_outage());
}

#[tokio::test]
async fn a_commit_that_was_queued_is_priced_as_the_caller_said() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    bench.held("acme", "r", 3).await;
    bench.store.set(Weather::Away);
    let cost = genquota::domain::amount::Micros::new(70_000).unwrap();
    let billed = genquota::service::SettleCommand { billing: Billing { work: None, cost: Some(cost) }, ..commit("acme", "r", Some(1)) };
    assert!(bench.service.settle(billed).await.unwrap().queued);
    let (_, entry) = bench.journal.entries().remove(0);
    assert!(matches!(entry.command, Command::Settlement(_)));
    bench.store.set(Weather::Fair);
    bench.replay().await;
    let row = bench.store.row(&acme, "r").unwrap();
    assert_eq!((row.units_used().get(), row.detail.cost_committed()), (units(1), Some(cost)));
    assert_eq!(row.detail.last_attempt().target, Some(target("small")));
}
