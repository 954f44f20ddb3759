//! A generation as it is listed: its reservations, its attempts and what they came to, on every store.

use genquota::proto::v1::{Generation, Outcome};
use jiff::SignedDuration;

use crate::ask::{ask, images, instant, outputs, target};
use crate::caller::Caller;
use crate::harness::{Server, Setup};
use crate::stores::on_every_store;

on_every_store! { crate::catalogs::monthly("100");
    a_generation_tells_everything_that_was_reserved_and_tried_for_it
    generations_that_are_held_or_ended_in_any_way_are_told
    a_generation_of_a_free_and_a_charged_action_counts_the_charged_one
    what_is_no_longer_remembered_is_no_longer_told
    nothing_is_told_of_a_stranger
}

/// `id state units cost: attempts`, each attempt by its number, target and outcome.
fn told(generation: &Generation) -> String {
    let attempts: Vec<_> = generation
        .attempts
        .iter()
        .map(|attempt| {
            let at = attempt.target.as_ref().map(|at| format!(" {}/{}", at.provider, at.model)).unwrap_or_default();
            let outcome = attempt.outcome().as_str_name().trim_start_matches("OUTCOME_").to_ascii_lowercase();
            format!("{}{at} {outcome}", attempt.number)
        })
        .collect();
    let state = generation.state().as_str_name().trim_start_matches("STATE_").to_ascii_lowercase();
    let Generation { generation_id, units, cost, .. } = generation;
    format!("{generation_id} {state} {units} {cost}: {}", attempts.join(", "))
}

async fn all(caller: &Caller) -> Vec<String> {
    let page = caller.generations(|_| {}).await.unwrap();
    assert_eq!(page.next_page_token, "");
    page.generations.iter().map(told).collect()
}

async fn a_generation_tells_everything_that_was_reserved_and_tried_for_it(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let first = images(1).id("one").user("ann").label("try", "1").generation("poster");
    acme.held(&first).await;
    server.clock.set("2026-03-10T12:00:10Z");
    acme.release("one", |request| request.set_outcome(Outcome::Failed)).await.unwrap();
    server.clock.set("2026-03-10T12:01:00Z");
    acme.used(&images(1).id("between")).await;
    let second = images(2).id("two").user("ann").label("try", "2").generation("poster");
    acme.held(&second).await;
    server.clock.set("2026-03-10T12:01:10Z");
    acme.retried("two", 1, |request| {
        request.set_outcome(Outcome::Rejected);
        request.next_target = Some(target("lab/big"));
    })
    .await;
    server.clock.set("2026-03-10T12:01:20Z");
    acme.committed("two").await;
    server.clock.set("2026-03-10T12:02:00Z");
    acme.record(&images(3).id("three").user("ann").generation("poster"), |_| {}).await.unwrap();

    let generations = acme.generations(|_| {}).await.unwrap().generations;
    let ids: Vec<_> = generations.iter().map(|one| one.generation_id.as_str()).collect();
    assert_eq!(ids, ["between", "poster"], "it stands where it began");
    let poster = &generations[1];
    assert_eq!(told(poster), "poster committed 5 0.13: 1 lab/small failed, 1 lab/small rejected, 2 lab/big accepted, 1 lab/small accepted");
    assert_eq!(poster.reservation_ids, ["one", "two", "three"]);
    let Generation { subject, user, action, meter, currency, .. } = poster;
    assert_eq!([subject, user, action, meter, currency], ["acme", "ann", "image", "units", "USD"]);
    let times = [poster.create_time.as_ref(), poster.settle_time.as_ref()].map(instant);
    assert_eq!(times, ["2026-03-10T12:00:00Z", "2026-03-10T12:02:00Z"]);
    assert!(poster.labels.is_empty(), "those of its newest reservation: {:?}", poster.labels);
    // An attempt is told as its reservation tells it.
    assert_eq!(poster.attempts[1..3], acme.reservation("two").await.unwrap().attempts);
}

async fn generations_that_are_held_or_ended_in_any_way_are_told(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    acme.held(&images(2).id("expired").ttl(60)).await;
    server.clock.advance(SignedDuration::from_secs(1));
    acme.used(&images(2).id("committed")).await;
    server.clock.advance(SignedDuration::from_secs(1));
    acme.held(&images(2).id("released")).await;
    acme.release("released", |request| request.billed_work = Some(outputs(1))).await.unwrap();
    server.clock.advance(SignedDuration::from_secs(1));
    acme.record(&images(1).id("blocked"), |request| request.set_outcome(Outcome::Blocked)).await.unwrap();
    server.clock.advance(SignedDuration::from_secs(1));
    acme.held(&images(3).id("late").ttl(10)).await;
    server.clock.advance(SignedDuration::from_secs(60));
    acme.held(&images(4).id("held")).await;
    acme.committed("late").await;
    assert_eq!(
        all(&acme).await,
        [
            "held held 0 0: 1 lab/small unspecified",
            "late committed 3 0.03: 1 lab/small accepted",
            "blocked released 0 0: 1 lab/small blocked",
            "released released 0 0.01: 1 lab/small failed",
            "committed committed 2 0.02: 1 lab/small accepted",
            "expired expired 0 0: 1 lab/small expired",
        ]
    );
    let held = acme.generations(|_| {}).await.unwrap().generations.remove(0);
    assert_eq!((held.settle_time, held.attempts[0].units.as_str()), (None, "4"));
}

async fn a_generation_of_a_free_and_a_charged_action_counts_the_charged_one(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    acme.used(&ask("upload", "", outputs(1)).id("up").generation("g")).await;
    server.clock.advance(SignedDuration::from_secs(1));
    acme.used(&images(2).id("make").generation("g")).await;
    let generation = acme.generations(|_| {}).await.unwrap().generations.remove(0);
    assert_eq!((generation.action.as_str(), generation.meter.as_str(), generation.units.as_str()), ("upload", "units", "2"));
    acme.used(&ask("upload", "", outputs(1)).id("alone")).await;
    let alone = acme.generations(|_| {}).await.unwrap().generations.remove(0);
    assert_eq!((alone.meter.as_str(), alone.units.as_str(), alone.cost.as_str()), ("", "0", "0"));
}

async fn what_is_no_longer_remembered_is_no_longer_told(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(1).id("old").generation("g")).await;
    server.clock.advance(SignedDuration::from_hours(24));
    acme.used(&images(1).id("young").generation("g")).await;
    server.clock.advance(SignedDuration::from_hours(6 * 24 - 1));
    assert_eq!(acme.generations(|_| {}).await.unwrap().generations[0].reservation_ids, ["old", "young"]);
    server.clock.advance(SignedDuration::from_hours(2));
    let left = acme.generations(|_| {}).await.unwrap().generations.remove(0);
    assert_eq!(left.reservation_ids, ["young"]);
    assert_eq!(instant(left.create_time.as_ref()), "2026-03-10T12:00:00Z", "it began with what is forgotten");
    server.clock.advance(SignedDuration::from_hours(24));
    assert!(all(&acme).await.is_empty());
}

async fn nothing_is_told_of_a_stranger(server: &Server) {
    assert!(all(&server.stranger("nobody")).await.is_empty());
}

#[tokio::test]
async fn a_history_is_as_long_as_the_setting_says() {
    let setup = Setup::new(&crate::catalogs::monthly("100"), "2026-03-10T12:00:00Z").with("retention", &["90d"]);
    let server = setup.start().await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(1).id("old")).await;
    server.clock.advance(SignedDuration::from_hours(89 * 24));
    assert_eq!(all(&acme).await.len(), 1);
    server.clock.advance(SignedDuration::from_hours(48));
    assert!(all(&acme).await.is_empty());
}
