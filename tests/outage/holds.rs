//! Reserves while the store is away: refused, or let pass up to the plan's bound and booked when it is back.

use genquota::domain::administration::{Administration, Requested};
use genquota::domain::denial::DenialReason;
use genquota::domain::ids::ActionId;
use genquota::domain::ledger::State;
use genquota::domain::reservation::Outcome;
use genquota::domain::settlement::Billing;
use genquota::service::{ExtendCommand, ReserveCommand, ServiceError};
use jiff::SignedDuration;

use crate::bench::{Bench, assert_away, fingerprint, grant, images, images_by, release, request, target, units};
use crate::shaky::Weather;

#[tokio::test]
async fn a_closed_plan_refuses_and_so_does_a_subject_never_seen_here() {
    let bench = Bench::new().await;
    bench.customer("acme", "shut").await;
    let elsewhere = bench.beside().await;
    elsewhere.customer("unseen", "open").await;
    bench.store.set(Weather::Away);
    assert_away(bench.reserve(images("acme", "r", 1)).await);
    assert_away(bench.reserve(images("unseen", "r", 1)).await);
    assert!(bench.journal.is_drained());
}

#[tokio::test]
async fn an_open_plan_lets_pass_up_to_its_bound_and_then_is_closed() {
    let bench = Bench::new().await;
    bench.customer("acme", "open").await;
    bench.store.set(Weather::Away);
    let reserved = bench.held("acme", "a", 3).await;
    assert!(reserved.balances.is_empty() && !reserved.replayed);
    let row = reserved.outcome.unwrap().row;
    assert!(row.detail.unenforced);
    assert_eq!((row.state, row.version, row.units_held().get()), (State::Held, 0, units(3)));
    assert_away(bench.reserve(images("acme", "b", 3)).await);
    bench.held("acme", "c", 2).await;
    assert_away(bench.reserve(images("acme", "d", 1)).await);
    assert_eq!(bench.journal.queued(), 2);
}

#[tokio::test]
async fn what_was_let_pass_is_booked_when_the_store_is_back_and_the_next_outage_begins_anew() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "open").await;
    bench.store.set(Weather::Away);
    bench.held("acme", "a", 3).await;
    bench.store.set(Weather::Fair);
    bench.replay().await;
    let row = bench.store.row(&acme, "a").unwrap();
    assert!(row.detail.unenforced);
    assert_eq!((row.state, row.version, row.units_held().get()), (State::Held, 1, units(3)));
    assert!(row.legs.iter().all(|leg| !leg.account.as_str().starts_with("ov|")), "the allowance pays: {:?}", row.legs);
    assert_eq!(bench.store.paid(&acme), (0, units(3), 0));
    // From here it is a hold like any other.
    assert!(!bench.commit("acme", "a").await.unwrap().queued);
    assert_eq!(bench.store.paid(&acme), (units(3), 0, 0));
    bench.store.set(Weather::Away);
    bench.held("acme", "b", 4).await;
}

#[tokio::test]
async fn its_settlement_follows_the_hold_and_an_unsettled_one_expires_by_the_ledger() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "open").await;
    bench.store.set(Weather::Away);
    bench.held("acme", "a", 2).await;
    bench.held("acme", "b", 1).await;
    bench.held("acme", "c", 1).await;
    assert!(bench.commit("acme", "a").await.unwrap().queued);
    assert!(bench.release("acme", "b").await.unwrap().queued);
    // Longer than any hold of before would have lasted.
    bench.advance(SignedDuration::from_mins(50));
    bench.store.set(Weather::Fair);
    bench.replay().await;
    let states = ["a", "b", "c"].map(|id| bench.store.row(&acme, id).unwrap().state);
    assert_eq!(states, [State::Committed, State::Released, State::Held]);
    assert!(!bench.store.row(&acme, "a").unwrap().late);
    assert_eq!(bench.store.paid(&acme), (units(2), units(1), 0));
    bench.advance(SignedDuration::from_mins(16));
    assert_eq!(bench.store.row(&acme, "c").unwrap().state, State::Expired);
    assert_eq!(bench.store.paid(&acme), (units(2), 0, 0));
}

#[tokio::test]
async fn what_no_source_can_pay_any_more_is_overage_within_the_bound() {
    let bench = Bench::new().await;
    let acme = bench.customer("acme", "open").await;
    let mut elsewhere = bench.beside().await;
    elsewhere.held("acme", "seen", 1).await;
    elsewhere.release("acme", "seen").await.unwrap();
    for id in ["a", "b"] {
        bench.held("acme", id, 4).await;
        bench.commit("acme", id).await.unwrap();
    }
    bench.store.set(Weather::Away);
    elsewhere.held("acme", "c", 5).await;
    elsewhere.commit("acme", "c").await.unwrap();
    bench.store.set(Weather::Fair);
    elsewhere.replay().await;
    // 8 of 10 were used: 2 are paid, 3 are overage, and the daily cap of 8 refuses nothing that has happened.
    assert_eq!(bench.store.paid(&acme), (units(13), 0, units(3)));
    assert_eq!(bench.store.row(&acme, "c").unwrap().units_overage().get(), units(3));
}

#[tokio::test]
async fn rules_that_need_no_account_hold_in_an_outage_too() {
    let bench = Bench::new().await;
    bench.customer("acme", "open").await;
    bench.store.set(Weather::Away);
    let reason = async |command: ReserveCommand| bench.reserve(command).await.unwrap().outcome.unwrap_err().reason();
    let premium = ReserveCommand { target: Some(target("big")), ..images("acme", "tier", 1) };
    assert_eq!(reason(premium).await, DenialReason::FeatureNotInPlan);
    assert!(bench.journal.is_drained());
    // A denial is not counted.
    bench.held("acme", "a", 5).await;
}

#[tokio::test]
async fn what_no_idle_account_could_pay_is_denied_and_fewer_are_held_where_that_will_do() {
    let bench = Bench::new().await;
    bench.customer("acme", "roomy").await;
    bench.store.set(Weather::Away);
    let denied = bench.reserve(images("acme", "r", 12)).await.unwrap().outcome.unwrap_err();
    assert_eq!(denied.reason(), DenialReason::CapReached);
    let fewer = bench.reserve(ReserveCommand { accept_fewer: true, ..images("acme", "f", 12) }).await.unwrap().outcome.unwrap();
    assert_eq!(fewer.row.units_held().get(), units(8));
    assert_eq!(bench.journal.queued(), 1);
}

#[tokio::test]
async fn a_repeat_in_an_outage_is_the_same_hold_and_another_request_with_its_id_is_refused() {
    let bench = Bench::new().await;
    bench.customer("acme", "open").await;
    let before = bench.held("acme", "before", 1).await.outcome.unwrap();
    bench.store.set(Weather::Away);
    let first = bench.held("acme", "r", 3).await.outcome.unwrap();
    let again = bench.held("acme", "r", 3).await;
    assert!(again.replayed);
    assert_eq!(again.outcome.unwrap(), first);
    let refused = bench.reserve(images("acme", "r", 2)).await;
    assert!(matches!(refused, Err(ServiceError::IdReused(_))), "{refused:?}");
    // One that the store granted before is not granted once more.
    let again = bench.held("acme", "before", 1).await;
    assert!(again.replayed);
    assert_eq!(again.outcome.unwrap(), before);
    // Nor does the store, when it is back, decide on what has been granted.
    bench.store.set(Weather::Fair);
    assert!(bench.held("acme", "r", 3).await.replayed);
    assert_eq!(bench.journal.queued(), 1);
}

#[tokio::test]
async fn a_hold_whose_first_try_had_run_is_booked_once() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "open").await;
    bench.store.set(Weather::LosesReplies);
    assert!(bench.held("acme", "r", 3).await.outcome.unwrap().row.detail.unenforced);
    bench.store.set(Weather::Fair);
    bench.replay().await;
    assert_eq!(bench.store.paid(&acme), (0, units(3), 0));
    assert!(!bench.store.row(&acme, "r").unwrap().detail.unenforced, "it is the hold of the first try");
}

#[tokio::test]
async fn an_administrative_change_made_meanwhile_stands() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "open").await;
    let elsewhere = bench.beside().await;
    bench.store.set(Weather::Away);
    bench.held("acme", "a", 3).await;
    bench.commit("acme", "a").await.unwrap();
    // Another sidecar is on the better side of the network.
    bench.store.set(Weather::Fair);
    elsewhere.administrate(&acme, grant("gift", 4)).await;
    elsewhere.administrate(&acme, Administration::Requested(request("suspend"), Requested::Suspend)).await;
    bench.replay().await;
    let document = bench.service.subject(&acme).await.unwrap().document;
    assert!(document.suspended && document.grants.len() == 1, "{document:?}");
    assert_eq!(bench.store.paid(&acme), (units(3), 0, 0));
    assert_eq!(bench.reserve(images("acme", "b", 1)).await.unwrap().outcome.unwrap_err().reason(), DenialReason::SubjectSuspended);
}

#[tokio::test]
async fn a_hold_of_a_new_user_takes_the_seat_when_it_is_booked() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "seated").await;
    bench.store.set(Weather::Away);
    let reserved = bench.reserve(images_by("acme", "eve", "r", 2)).await.unwrap();
    assert!(reserved.outcome.is_ok(), "{reserved:?}");
    bench.store.set(Weather::Fair);
    bench.replay().await;
    let document = bench.service.subject(&acme).await.unwrap().document;
    assert_eq!(document.subscription.as_ref().unwrap().occupied.len(), 1);
    let legs = &bench.store.row(&acme, "r").unwrap().legs;
    assert!(legs.iter().any(|leg| leg.account.user() == Some("eve") && leg.held.get() == units(2)), "{legs:?}");
}

#[tokio::test]
async fn a_hold_is_booked_in_the_period_it_was_judged_in() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "open").await;
    bench.store.set(Weather::Away);
    bench.held("acme", "r", 3).await;
    bench.commit("acme", "r").await.unwrap();
    // Over the boundary of the period, which began at midnight of the 10th.
    bench.clock.set("2026-04-10T00:00:01Z".parse().unwrap());
    bench.store.set(Weather::Fair);
    bench.replay().await;
    // A month is longer than the store remembers: it may have been done and forgotten, so a person must look.
    assert_eq!(bench.store.row(&acme, "r"), None);
    assert_eq!(bench.journal.dead().len(), 2);

    bench.clock.set("2026-05-09T23:50:00Z".parse().unwrap());
    bench.store.set(Weather::Away);
    bench.held("acme", "s", 3).await;
    bench.commit("acme", "s").await.unwrap();
    bench.clock.set("2026-05-10T00:10:00Z".parse().unwrap());
    bench.store.set(Weather::Fair);
    bench.replay().await;
    let row = bench.store.row(&acme, "s").unwrap();
    let paid: Vec<_> =
        row.legs.iter().filter(|leg| leg.account.kind().pays()).map(|leg| (leg.account.period().unwrap(), leg.used.get())).collect();
    assert_eq!(paid, [("2026-04-10", units(3))]);
}

#[tokio::test]
async fn a_free_action_passes_an_open_plan_and_is_booked() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "open").await;
    bench.store.set(Weather::Away);
    let upload = ReserveCommand { action: ActionId::new("upload").unwrap(), target: None, ..images("acme", "u", 1) };
    assert!(bench.reserve(upload).await.unwrap().outcome.is_ok());
    bench.commit("acme", "u").await.unwrap();
    bench.store.set(Weather::Fair);
    bench.replay().await;
    assert_eq!(bench.store.row(&acme, "u").unwrap().state, State::Committed);
    assert_eq!(bench.store.paid(&acme), (0, 0, 0));
}

#[tokio::test]
async fn to_try_a_request_first_and_to_extend_what_is_not_booked_is_refused() {
    let bench = Bench::new().await;
    let acme = bench.customer("acme", "open").await;
    bench.store.set(Weather::Away);
    assert_away(bench.reserve(ReserveCommand { validate_only: true, ..images("acme", "try", 1) }).await);
    let row = bench.held("acme", "r", 1).await.outcome.unwrap().row;
    bench.store.set(Weather::Fair);
    let extend =
        ExtendCommand { subject: acme.clone(), id: row.id.clone(), ttl: None, outcome_unknown: false, fingerprint: fingerprint("extend") };
    assert_away(bench.service.extend(extend).await);
    // The store does not know it yet, the sidecar does.
    assert_eq!(bench.service.reservation(acme, &row.id).await.unwrap().row, row);
}

#[tokio::test]
async fn a_restart_in_an_outage_grants_nothing_twice() {
    let bench = Bench::new().await;
    let acme = bench.customer("acme", "open").await;
    bench.store.set(Weather::Away);
    bench.held("acme", "a", 3).await;
    bench.commit("acme", "a").await.unwrap();
    bench.store.set(Weather::Fair);
    let mut bench = bench.restarted().await;
    // Seen again, as after any call.
    bench.reserve(ReserveCommand { validate_only: true, ..images("acme", "look", 1) }).await.unwrap().outcome.unwrap();
    bench.store.set(Weather::Away);
    assert_away(bench.reserve(images("acme", "b", 3)).await);
    bench.held("acme", "c", 2).await;
    assert!(bench.held("acme", "a", 3).await.replayed);
    bench.store.set(Weather::Fair);
    bench.replay().await;
    assert_eq!(bench.store.paid(&acme), (units(3), units(2), 0));
}

#[tokio::test]
async fn many_at_once_never_pass_the_bound() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "open").await;
    bench.store.set(Weather::Away);
    let calls: Vec<_> = (0..40)
        .map(|number| {
            let service = bench.service.clone();
            tokio::spawn(async move { service.reserve(images("acme", &format!("r{number}"), 1)).await })
        })
        .collect();
    let mut granted = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(reserved) => granted += usize::from(reserved.outcome.is_ok()),
            refused => assert_away(refused),
        }
    }
    assert_eq!(granted, 5);
    bench.store.set(Weather::Fair);
    bench.replay().await;
    assert_eq!(bench.store.paid(&acme), (0, units(5), 0));
}

#[tokio::test]
async fn a_released_hold_of_an_outage_books_what_the_provider_billed() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "open").await;
    bench.store.set(Weather::Away);
    bench.held("acme", "r", 3).await;
    let billed = release("acme", "r", Outcome::Rejected, Billing::default());
    assert!(bench.service.settle(billed).await.unwrap().queued);
    bench.store.set(Weather::Fair);
    bench.replay().await;
    let row = bench.store.row(&acme, "r").unwrap();
    assert_eq!((row.state, row.detail.cost_committed().unwrap().get()), (State::Released, 30_000));
    assert_eq!(bench.store.paid(&acme), (0, 0, 0));
}
