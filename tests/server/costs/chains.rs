//! Several attempts of one generation: their events, their sums, and the accounts they touch, on every store.

use genquota::proto::v1::{AttemptReason, CostBasis, CostEvent, CostRow, Outcome, State};
use tonic::Code;

use crate::ask::{images, instant, outputs, paid_by, reason, seconds_of, target};
use crate::catalogs::plans;
use crate::harness::Server;
use crate::stores::on_every_store;

/// Ten units; a dollar a day.
const PRO: &str = "pro: {allowances: [{meter: units, amount: 10, per: subject}], caps: {spend: {of: cost, per: day, limit: 1}}}";

on_every_store! { crate::catalogs::plans(&[super::PRO]);
    a_rejection_a_failure_and_a_failover_are_one_generation_with_three_events
    two_rejected_tries_and_an_accepted_one_cost_three_for_one_output
    the_next_attempt_holds_what_it_needs_and_gives_the_rest_back
    a_retry_that_nothing_pays_for_leaves_the_hold_as_it_was
    what_a_closed_attempt_cost_counts_under_the_caps_of_the_next
    a_release_after_a_retry_books_what_both_attempts_cost
    an_expiry_after_a_retry_gives_the_units_back_and_keeps_the_cost_of_the_first
    a_late_commit_after_a_retry_is_charged_once_and_counted_once
    the_same_retry_again_changes_nothing
}

/// What an event says, in short: number, reason, target, outcome, units, cost, shift, basis.
fn told(event: &CostEvent) -> String {
    let attempt = event.attempt.as_ref().unwrap();
    let at = attempt.target.as_ref().unwrap();
    format!(
        "{} {} {}/{} {} {} units {} USD shift {} {}{}",
        attempt.number,
        attempt.reason().as_str_name().trim_start_matches("ATTEMPT_REASON_"),
        at.provider,
        at.model,
        attempt.outcome().as_str_name().trim_start_matches("OUTCOME_"),
        attempt.units,
        attempt.cost,
        attempt.cost_shift,
        attempt.cost_basis().as_str_name().trim_start_matches("COST_BASIS_"),
        if event.failover { " failover" } else { "" },
    )
}

/// A row of a summary: attempts accepted outputs generations failovers, cost, shift, per output, retries.
fn shown(row: &CostRow) -> String {
    format!(
        "{}/{} {}: {} tried, {} accepted, {} outputs, {} generations, {} failovers, {} units, {} USD, shift {}, per output {}, tries {}",
        row.provider,
        row.model,
        row.tier,
        row.attempts,
        row.accepted_attempts,
        row.accepted_outputs,
        row.generations,
        row.failovers,
        row.units,
        row.cost,
        row.cost_shift,
        row.cost_per_accepted_output,
        row.retry_multiplier,
    )
}

async fn a_rejection_a_failure_and_a_failover_are_one_generation_with_three_events(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let ask = images(1).user("ann").label("campaign", "spring");
    acme.held(&ask).await;
    server.clock.set("2026-03-10T12:00:05Z");
    let (held, first) = acme.retried(ask.key(), 1, |request| request.set_outcome(Outcome::Rejected)).await;
    assert_eq!((held.state(), held.attempts.len(), held.units_reserved.as_str()), (State::Held, 2, "1"));
    server.clock.set("2026-03-10T12:00:09Z");
    // A provider that fails bills nothing; the generation goes to a dearer tier.
    let (held, second) = acme.retried(ask.key(), 2, |request| request.next_target = Some(target("lab/big"))).await;
    assert_eq!((held.cost_committed.as_str(), held.cost_reserved.as_str()), ("0.01", "0.05"));
    server.clock.set("2026-03-10T12:00:21Z");
    let answer = acme.commit(ask.key(), |_| {}).await.unwrap();
    let (settled, last) = (answer.reservation.unwrap(), &answer.events[0]);

    assert_eq!(told(&first), "1 FIRST lab/small REJECTED 0 units 0.01 USD shift 0 PRICED");
    assert_eq!(told(&second), "2 REJECTED_OUTPUT lab/small FAILED 0 units 0 USD shift 0 NONE");
    assert_eq!(told(last), "3 FAILOVER lab/big ACCEPTED 1 units 0.04 USD shift 0.03 PRICED failover");
    assert_eq!(answer.events.len(), 1);
    for event in [&first, &second, last] {
        assert_eq!((event.reservation_id.as_str(), event.generation_id.as_str()), (ask.key(), ask.key()));
        assert_eq!((event.user.as_str(), event.plan.as_str(), event.labels["campaign"].as_str()), ("ann", "pro", "spring"));
        assert_eq!(event.planned_target, Some(target("lab/small")));
    }
    let ids = [&first, &second, last].map(|event| event.event_id.as_str());
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    let times = [&first, &second, last].map(|event| instant(event.event_time.as_ref()));
    assert_eq!(times, ["2026-03-10T12:00:05Z", "2026-03-10T12:00:09Z", "2026-03-10T12:00:21Z"]);
    assert_eq!((first.billed_work.as_ref(), second.billed_work.as_ref().map(|work| work.items.len())), (Some(&outputs(1)), Some(0)));

    assert_eq!((settled.units_committed.as_str(), settled.cost_committed.as_str(), settled.attempts.len()), ("1", "0.05", 3));
    assert_eq!(acme.left().await, "9", "one accepted output is charged, whatever was tried for it");
    let rows = acme.summary(|_| {}).await.unwrap();
    assert_eq!(
        rows.iter().map(shown).collect::<Vec<_>>(),
        [
            "lab/big premium: 1 tried, 1 accepted, 1 outputs, 1 generations, 1 failovers, 1 units, 0.04 USD, shift 0.03, per output 0.04, tries 1",
            "lab/small basic: 2 tried, 0 accepted, 0 outputs, 1 generations, 0 failovers, 0 units, 0.01 USD, shift 0, per output , tries ",
        ]
    );
}

async fn two_rejected_tries_and_an_accepted_one_cost_three_for_one_output(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let ask = images(1).at("lab/big");
    acme.held(&ask).await;
    for attempt in 1..=2 {
        let (_, event) = acme.retried(ask.key(), attempt, |request| request.set_outcome(Outcome::Rejected)).await;
        assert_eq!(event.attempt.unwrap().cost, "0.04");
    }
    let settled = acme.committed(ask.key()).await;
    assert_eq!((settled.units_committed.as_str(), settled.cost_committed.as_str()), ("1", "0.12"));
    assert_eq!(settled.attempts[2].reason(), AttemptReason::RejectedOutput);
    let row = acme.summary(|_| {}).await.unwrap().remove(0);
    assert_eq!((row.cost.as_str(), row.cost_per_accepted_output.as_str(), row.cost_per_generation.as_str()), ("0.12", "0.12", "0.12"));
    assert_eq!((row.retry_multiplier.as_str(), row.accepted_outputs, row.attempts), ("3", 1, 3));
}

async fn the_next_attempt_holds_what_it_needs_and_gives_the_rest_back(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let ask = images(6);
    acme.held(&ask).await;
    assert_eq!(acme.left().await, "4");
    let (held, event) = acme.retried(ask.key(), 1, |request| request.next_work = Some(outputs(2))).await;
    assert_eq!((held.units_reserved.as_str(), paid_by(&held).as_str(), held.work), ("2", "allowance units 2", Some(outputs(2))));
    // The event tells what that attempt was asked for.
    assert_eq!(event.work, Some(outputs(6)));
    assert_eq!(acme.left().await, "8");
    let (held, _) = acme.retried(ask.key(), 2, |request| request.next_work = Some(outputs(9))).await;
    assert_eq!((held.units_reserved.as_str(), acme.left().await.as_str()), ("9", "1"));
    let settled = acme.committed(ask.key()).await;
    assert_eq!((settled.units_committed.as_str(), acme.left().await.as_str()), ("9", "1"));
}

async fn a_retry_that_nothing_pays_for_leaves_the_hold_as_it_was(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let (ask, other) = (images(4), images(3));
    acme.held(&ask).await;
    acme.held(&other).await;
    let before = acme.reservation(ask.key()).await.unwrap();
    let denial = acme.not_retried(ask.key(), 1, |request| request.next_work = Some(outputs(8))).await;
    assert_eq!(crate::ask::named(&denial), ["units"]);
    // Four of its own and three that are free.
    assert_eq!(crate::ask::amounts(&denial.violations[0]), ["10", "3", "0", "8", "7"]);
    assert_eq!(acme.reservation(ask.key()).await.unwrap(), before);
    assert_eq!(acme.left().await, "3");
    // The attempt is still open, and may be closed in another way.
    let (held, event) = acme.retried(ask.key(), 1, |request| request.next_work = Some(outputs(7))).await;
    assert_eq!((held.units_reserved.as_str(), event.attempt.unwrap().number), ("7", 1));
}

async fn what_a_closed_attempt_cost_counts_under_the_caps_of_the_next(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let ask = images(1).at("studio/big");
    acme.held(&ask).await;
    // Ninety cents of the dollar: ten more are just what is left.
    let (held, _) = acme
        .retried(ask.key(), 1, |request| {
            request.set_outcome(Outcome::Rejected);
            request.billed_cost = Some("0.9".to_owned());
        })
        .await;
    let spend: Vec<_> = held.legs.iter().filter(|leg| leg.source_id == "spend").map(|leg| leg.units.as_str()).collect();
    assert_eq!((spend, held.cost_committed.as_str(), held.cost_reserved.as_str()), (vec!["0.1"], "0.9", "1"));
    let denial = acme.not_retried(ask.key(), 2, |request| request.next_work = Some(outputs(2))).await;
    assert_eq!(crate::ask::named(&denial), ["spend"]);
    assert_eq!(crate::ask::amounts(&denial.violations[0]), ["1", "0", "0.9", "0.2", "0.1"]);
    // What is held gives room to what takes its place, but for what it is billed.
    let denial = acme.not_retried(ask.key(), 2, |request| request.set_outcome(Outcome::Rejected)).await;
    assert_eq!(crate::ask::amounts(&denial.violations[0]), ["1", "0", "1", "0.1", "0"]);
    let settled = acme.committed(ask.key()).await;
    assert_eq!(settled.cost_committed, "1");
    assert_eq!(crate::ask::named(&acme.denied(&images(1)).await), ["spend"]);
}

async fn a_release_after_a_retry_books_what_both_attempts_cost(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let ask = images(2).at("lab/big");
    acme.held(&ask).await;
    acme.retried(ask.key(), 1, |request| request.set_outcome(Outcome::Rejected)).await;
    let released = acme.release(ask.key(), |request| request.set_outcome(Outcome::Blocked)).await.unwrap();
    let reservation = released.reservation.unwrap();
    assert_eq!(told(&released.events[0]), "2 REJECTED_OUTPUT lab/big BLOCKED 0 units 0 USD shift 0 NONE");
    assert_eq!((reservation.state(), reservation.cost_committed.as_str(), acme.left().await.as_str()), (State::Released, "0.08", "10"));
    let legs: Vec<_> = reservation.legs.iter().map(|leg| (leg.source_id.as_str(), leg.units.as_str())).collect();
    assert_eq!(legs, [("spend", "0.08")]);
}

async fn an_expiry_after_a_retry_gives_the_units_back_and_keeps_the_cost_of_the_first(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let ask = images(2).at("lab/big").ttl(60);
    acme.held(&ask).await;
    acme.retried(ask.key(), 1, |request| request.set_outcome(Outcome::Rejected)).await;
    server.clock.set("2026-03-10T12:01:00Z");
    let expired = acme.reservation(ask.key()).await.unwrap();
    assert_eq!((expired.state(), acme.left().await.as_str(), expired.cost_committed.as_str()), (State::Expired, "10", "0.08"));
    let outcomes: Vec<_> = expired.attempts.iter().map(|attempt| (attempt.outcome(), attempt.cost.as_str())).collect();
    assert_eq!(outcomes, [(Outcome::Rejected, "0.08"), (Outcome::Expired, "0")]);
    assert_eq!(expired.attempts[1].cost_basis(), CostBasis::None);
    let refused = acme.retry(ask.key(), 2, |_| {}).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "RESERVATION_SETTLED"));
}

async fn a_late_commit_after_a_retry_is_charged_once_and_counted_once(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let ask = images(2).at("lab/big").ttl(60);
    acme.held(&ask).await;
    acme.retried(ask.key(), 1, |request| request.set_outcome(Outcome::Rejected)).await;
    server.clock.set("2026-03-10T12:01:00Z");
    assert_eq!(acme.reservation(ask.key()).await.unwrap().state(), State::Expired);
    let late = acme.commit(ask.key(), |_| {}).await.unwrap();
    assert!(late.events[0].late);
    assert_eq!((late.reservation.unwrap().cost_committed.as_str(), acme.left().await.as_str()), ("0.16", "8"));
    let row = acme.summary(|_| {}).await.unwrap().remove(0);
    let counts = (row.generations, row.attempts, row.accepted_attempts, row.accepted_outputs);
    assert_eq!((counts, row.cost.as_str(), row.retry_multiplier.as_str()), ((1, 2, 1, 2), "0.16", "2"));
}

async fn the_same_retry_again_changes_nothing(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let ask = images(2).ttl(600);
    acme.held(&ask).await;
    let again = |request: &mut genquota::proto::v1::RetryRequest| {
        request.set_outcome(Outcome::Failed);
        request.next_target = Some(target("lab/big"));
    };
    let (first, _) = acme.retried(ask.key(), 1, again).await;
    let repeated = acme.retry(ask.key(), 1, again).await.unwrap();
    assert!(repeated.replayed && repeated.events.is_empty());
    assert_eq!(repeated.outcome, Some(genquota::proto::v1::retry_response::Outcome::Reservation(first)));
    // The attempt was closed in another way.
    let other = acme.retry(ask.key(), 1, |_| {}).await.unwrap_err();
    assert_eq!((other.code(), reason(&other).as_str()), (Code::AlreadyExists, "ID_REUSED"));
    let unknown = acme.retry(ask.key(), 3, |_| {}).await.unwrap_err();
    assert_eq!(crate::ask::bad_fields(&unknown), ["attempt"]);
    // A repeat that comes after the end finds the end.
    acme.committed(ask.key()).await;
    let repeated = acme.retry(ask.key(), 1, again).await.unwrap();
    assert!(repeated.replayed);
    let open = acme.retry(ask.key(), 2, |_| {}).await.unwrap_err();
    assert_eq!(reason(&open), "RESERVATION_SETTLED");
    let row = acme.summary(|request| request.step = Some(seconds_of(3600))).await.unwrap();
    assert_eq!(row.iter().map(|row| row.attempts).sum::<i64>(), 2);
}

#[tokio::test]
async fn a_generation_that_may_not_straddle_sources_keeps_to_one_through_its_retries() {
    let plan = "pro: {allowances: [{meter: units, amount: 10, per: subject}], split: false}";
    let server = Server::start(&plans(&[plan]), super::NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.grant("pack", "12", |_| {}).await.unwrap();
    let ask = images(6);
    acme.held(&ask).await;
    let (held, _) = acme.retried(ask.key(), 1, |request| request.next_work = Some(outputs(11))).await;
    assert_eq!(paid_by(&held), "grant pack 11");
    let (held, _) = acme.retried(ask.key(), 2, |request| request.next_work = Some(outputs(3))).await;
    assert_eq!(paid_by(&held), "grant pack 3", "what it holds is enough");
    let denial = acme.not_retried(ask.key(), 3, |request| request.next_work = Some(outputs(13))).await;
    assert_eq!(crate::ask::named(&denial), ["units"]);
}

#[tokio::test]
async fn a_free_action_may_be_retried_and_touches_no_account() {
    let server = Server::start(&plans(&[PRO]), super::NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = crate::ask::ask("upload", "lab/small", outputs(1));
    acme.held(&ask).await;
    let (held, event) = acme.retried(ask.key(), 1, |request| request.next_target = Some(target("lab/big"))).await;
    assert!(held.legs.is_empty() && event.meter.is_empty());
    assert_eq!(acme.committed(ask.key()).await.cost_committed, "0.04");
}
