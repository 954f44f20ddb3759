//! The replay of a journal: each command once, in order, at a bounded rate; and what becomes of those that can never be carried out.

use std::time::Duration;

use genquota::domain::amount::Micros;
use genquota::domain::ledger::{EventKind, State};
use genquota::domain::reservation::Outcome;
use genquota::domain::settlement::Billing;
use genquota::service::{Pace, ReserveCommand};
use jiff::SignedDuration;

use crate::bench::{AT_ONCE, Bench, eventually, fingerprint, images, release, subject, units, usage};
use crate::shaky::Weather;

fn billed(micros: i64) -> Billing {
    Billing { work: None, cost: Micros::new(micros) }
}

#[tokio::test]
async fn a_crash_between_the_store_and_the_journal_replays_to_no_second_charge() {
    let bench = Bench::new().await;
    let acme = bench.customer("acme", "open").await;
    bench.held("acme", "r", 3).await;
    bench.store.set(Weather::Away);
    bench.commit("acme", "r").await.unwrap();
    bench.held("acme", "h", 2).await;
    bench.commit("acme", "h").await.unwrap();
    bench.service.record_usage(usage("acme", "u", 1)).await.unwrap();
    let mut bench = bench;
    // Whatever is carried out, nobody hears of it; and then the process ends.
    for _ in 0..6 {
        let before = bench.store.executed();
        // The replayer asks the store first, so replies are lost for this subject's calls alone.
        bench.store.set(Weather::Fair);
        bench.store.set_deaf_to(Some(&acme));
        bench.start_replayer(AT_ONCE);
        eventually("a try", || bench.store.executed() > before || bench.journal.is_drained()).await;
        bench.store.set_deaf_to(None);
        bench = bench.restarted().await;
    }
    bench.replay().await;
    assert_eq!(bench.store.paid(&acme), (units(6), 0, 0));
    assert!(bench.journal.dead().is_empty());
    for id in ["r", "h", "u"] {
        let ends = |kind| matches!(kind, EventKind::Committed | EventKind::Recorded);
        let of_this = |event: &&genquota::domain::ledger::Event| event.row.as_ref().is_some_and(|row| row.id.as_str() == id);
        assert_eq!(bench.store.events().iter().filter(of_this).filter(|event| ends(event.kind)).count(), 1, "{id}");
    }
}

#[tokio::test]
async fn a_commit_that_comes_after_the_hold_expired_is_late() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    bench.held("acme", "r", 3).await;
    bench.store.set(Weather::Away);
    bench.commit("acme", "r").await.unwrap();
    bench.advance(SignedDuration::from_mins(20));
    bench.store.set(Weather::Fair);
    bench.replay().await;
    let row = bench.store.row(&acme, "r").unwrap();
    assert!(row.late && row.state == State::Committed);
    assert_eq!(bench.store.paid(&acme), (units(3), 0, 0));
}

#[tokio::test]
async fn a_release_that_comes_after_the_hold_expired_books_its_cost_and_nothing_else() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    bench.held("acme", "billed", 3).await;
    bench.held("acme", "free", 3).await;
    bench.store.set(Weather::Away);
    let settle = release("acme", "billed", Outcome::Failed, billed(50_000));
    let id = settle.fingerprint.0.iter().fold("late-release:".to_owned(), |id, byte| format!("{id}{byte:02x}"));
    bench.service.settle(settle).await.unwrap();
    bench.release("acme", "free").await.unwrap();
    bench.advance(SignedDuration::from_mins(20));
    bench.store.set(Weather::Fair);
    bench.replay().await;
    assert!(bench.journal.dead().is_empty());
    let cost = bench.store.row(&acme, &id).unwrap();
    assert_eq!((cost.state, cost.detail.cost_committed()), (State::Released, Micros::new(50_000)));
    assert_eq!(cost.detail.generation.as_str(), "billed");
    assert_eq!(bench.store.contents().rows.len(), 3);
    assert_eq!(bench.store.paid(&acme), (0, 0, 0));
}

#[tokio::test]
async fn what_was_settled_otherwise_meanwhile_is_kept_among_the_dead_and_the_rest_goes_on() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    bench.held("acme", "a", 3).await;
    bench.held("acme", "b", 2).await;
    let elsewhere = bench.beside().await;
    bench.store.set(Weather::Away);
    bench.commit("acme", "a").await.unwrap();
    bench.commit("acme", "b").await.unwrap();
    bench.store.set(Weather::Fair);
    elsewhere.release("acme", "a").await.unwrap();
    bench.replay().await;
    assert_eq!(bench.store.paid(&acme), (units(2), 0, 0));
    let dead = bench.journal.dead();
    assert_eq!((dead.len(), dead[0].1.entry.id().as_str()), (1, "a"));
    assert!(dead[0].1.reason.contains("RELEASED"), "{}", dead[0].1.reason);
    // It is there after a restart too.
    assert_eq!(bench.restarted().await.journal.dead(), dead);
}

#[tokio::test]
async fn a_commit_of_what_the_store_has_lost_is_charged_late_where_the_reservation_is_known() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    for id in ["known", "released"] {
        bench.held("acme", id, 3).await;
    }
    let mut stranger = bench.beside().await;
    bench.store.set(Weather::Away);
    bench.commit("acme", "known").await.unwrap();
    bench.release("acme", "released").await.unwrap();
    stranger.commit("acme", "unknown").await.unwrap();
    bench.store.lose_everything();
    bench.store.set(Weather::Fair);
    let bench_again = bench.beside().await;
    bench_again.customer("acme", "shut").await;
    bench.replay().await;
    stranger.replay().await;
    let row = bench.store.row(&acme, "known").unwrap();
    assert!(row.late && row.state == State::Committed);
    assert_eq!(bench.store.paid(&acme), (units(3), 0, 0));
    assert!(bench.journal.dead().is_empty());
    let dead = stranger.journal.dead();
    assert_eq!((dead.len(), dead[0].1.entry.id().as_str()), (1, "unknown"));
}

#[tokio::test]
async fn a_settlement_never_ends_another_request_that_took_its_id() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "open").await;
    let elsewhere = bench.beside().await;
    bench.store.set(Weather::Away);
    bench.held("acme", "r", 3).await;
    bench.commit("acme", "r").await.unwrap();
    bench.store.set(Weather::Fair);
    let other = elsewhere.reserve(ReserveCommand { fingerprint: fingerprint("other"), ..images("acme", "r", 1) }).await.unwrap();
    assert!(other.outcome.is_ok());
    bench.replay().await;
    let row = bench.store.row(&acme, "r").unwrap();
    assert_eq!((row.state, row.opened_by), (State::Held, fingerprint("other")));
    assert_eq!(bench.journal.dead().len(), 2);
}

#[tokio::test]
async fn an_entry_older_than_the_stores_memory_is_never_carried_out_blindly() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    bench.held("acme", "r", 3).await;
    bench.store.set(Weather::LosesReplies);
    assert!(bench.commit("acme", "r").await.unwrap().queued);
    // It was carried out, and is forgotten by now.
    bench.advance(SignedDuration::from_hours(25));
    assert_eq!(bench.store.row(&acme, "r"), None);
    bench.store.set(Weather::Fair);
    bench.replay().await;
    assert_eq!(bench.store.paid(&acme), (units(3), 0, 0));
    assert!(bench.journal.dead()[0].1.reason.contains("forgotten"));
}

#[tokio::test]
async fn a_dead_entry_that_is_revived_is_tried_again() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    let mut stranger = bench.beside().await;
    bench.store.set(Weather::Away);
    stranger.commit("acme", "r").await.unwrap();
    bench.store.set(Weather::Fair);
    stranger.replay().await;
    let (number, _) = stranger.journal.dead().remove(0);
    bench.held("acme", "r", 3).await;
    assert!(stranger.journal.revive(number).await.unwrap());
    stranger.replay().await;
    assert_eq!(bench.store.paid(&acme), (units(3), 0, 0));
    assert!(stranger.journal.dead().is_empty());
    bench.replay().await;
}

#[tokio::test]
async fn one_subject_without_an_answer_holds_up_nobody_else() {
    let mut bench = Bench::new().await;
    let names: Vec<String> = (0..12).map(|number| format!("s{number}")).collect();
    for name in &names {
        bench.customer(name, "shut").await;
        bench.held(name, "r", 2).await;
    }
    bench.store.set(Weather::Away);
    for name in &names {
        bench.commit(name, "r").await.unwrap();
    }
    let stuck = subject("s0");
    bench.store.set_away_for(&stuck, true);
    bench.store.set(Weather::Fair);
    bench.start_replayer(AT_ONCE);
    eventually("all others are done", || bench.journal.subjects() == [stuck.clone()]).await;
    // They are served as ever.
    bench.held("s1", "next", 1).await;
    assert!(!bench.commit("s1", "next").await.unwrap().queued);
    bench.store.set_away_for(&stuck, false);
    bench.replay().await;
    assert_eq!(bench.store.paid(&stuck), (units(2), 0, 0));
}

#[tokio::test]
async fn an_entry_whose_replay_panics_is_put_aside_and_the_next_ones_go_on() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    let other = bench.customer("other", "shut").await;
    bench.held("acme", "a", 1).await;
    bench.held("other", "b", 1).await;
    bench.store.set(Weather::Away);
    bench.commit("acme", "a").await.unwrap();
    bench.commit("other", "b").await.unwrap();
    bench.store.set_panics_for(Some(&acme));
    bench.store.set(Weather::Fair);
    bench.replay().await;
    bench.store.set_panics_for(None);
    assert_eq!(bench.store.paid(&other), (units(1), 0, 0));
    assert_eq!(bench.journal.dead()[0].1.entry.id().as_str(), "a");
}

#[tokio::test]
async fn five_sidecars_that_come_back_at_once_do_each_thing_once_and_few_at_a_time() {
    let first = Bench::new().await;
    first.customer("acme", "shut").await;
    let mut sidecars = vec![];
    for number in 0..5 {
        let sidecar = first.beside().await;
        // On one subject they compete, on their own they do not.
        sidecar.customer(&format!("own{number}"), "open").await;
        sidecar.held("acme", &format!("shared{number}"), 1).await;
        sidecars.push(sidecar);
    }
    first.store.set(Weather::Away);
    for (number, sidecar) in sidecars.iter().enumerate() {
        sidecar.commit("acme", &format!("shared{number}")).await.unwrap();
        for call in 0..5 {
            let (name, id) = (format!("own{number}"), format!("r{call}"));
            sidecar.held(&name, &id, 1).await;
            sidecar.commit(&name, &id).await.unwrap();
        }
    }
    first.store.set(Weather::Fair);
    sidecars.iter_mut().for_each(|sidecar| sidecar.start_replayer(AT_ONCE));
    for sidecar in &mut sidecars {
        sidecar.replay().await;
        assert!(sidecar.journal.dead().is_empty());
    }
    assert_eq!(first.store.paid(&subject("acme")), (units(5), 0, 0));
    for number in 0..5 {
        assert_eq!(first.store.paid(&subject(&format!("own{number}"))), (units(5), 0, 0));
    }
    assert!(first.store.running_max() <= 5 * (AT_ONCE.lanes + 1), "{}", first.store.running_max());
}

#[tokio::test]
async fn a_backlog_is_replayed_no_faster_than_its_pace_and_in_order() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    bench.store.set(Weather::Away);
    let ids: Vec<String> = (0..100).map(|number| format!("u{number:03}")).collect();
    for id in &ids {
        bench.service.record_usage(usage("acme", id, 1)).await.unwrap();
    }
    bench.store.set(Weather::Fair);
    let began = tokio::time::Instant::now();
    bench.start_replayer(Pace { rate: 400, ..AT_ONCE });
    bench.replay().await;
    // The first goes at once, each of the others a four-hundredth of a second after the one before it.
    assert!(began.elapsed() >= Duration::from_millis(240), "{:?}", began.elapsed());
    let order: Vec<String> = bench.store.events().iter().filter_map(|event| event.row.as_ref()).map(|row| row.id.to_string()).collect();
    assert_eq!(order, ids);
    assert_eq!(bench.store.paid(&acme), (units(100), 0, units(90)));
}

#[tokio::test]
async fn a_replay_that_is_cut_off_goes_on_where_it_stopped() {
    let mut bench = Bench::new().await;
    let acme = bench.customer("acme", "shut").await;
    bench.store.set(Weather::Away);
    for number in 0..30 {
        bench.service.record_usage(usage("acme", &format!("u{number}"), 1)).await.unwrap();
    }
    bench.store.set(Weather::Fair);
    let mut rounds = 0;
    while !bench.journal.is_drained() {
        let before = bench.journal.queued();
        bench.start_replayer(Pace { rate: 300, ..AT_ONCE });
        eventually("some are done", || bench.journal.queued() < before.saturating_sub(3) || bench.journal.is_drained()).await;
        bench = bench.restarted().await;
        rounds += 1;
    }
    assert!(rounds > 2, "{rounds}");
    assert_eq!(bench.store.paid(&acme), (units(30), 0, units(20)));
}
