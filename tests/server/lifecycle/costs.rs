//! What attempts cost, and what their events say: C2, C3, C4.

use genquota::proto::v1::{Attempt, AttemptReason, CostBasis, DenialReason, Outcome};

use super::NOON;
use crate::ask::{ask, images, instant, item, named, outputs, seconds, target, work};
use crate::catalogs::{monthly, plans};
use crate::harness::Server;

#[tokio::test]
async fn a_target_without_a_price_is_refused_by_default() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let before = acme.seen(&[]).await;
    let denial = acme.denied_for(&images(1).at("nobody/knows"), DenialReason::UnpricedTarget).await;
    assert_eq!((named(&denial), denial.violations[0].dimensions["model"].as_str()), (vec!["price"], "knows"));
    acme.denied_for(&images(1).planned("nobody/knows"), DenialReason::UnpricedTarget).await;
    assert_eq!(acme.seen(&[]).await, before);
}

#[tokio::test]
async fn a_target_without_a_price_may_be_held_at_a_default() {
    let server = Server::start(&format!("{}unpriced: {{hold: 0.25}}\n", monthly("10")), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let (kept, told) = (images(2).at("nobody/knows"), images(2).at("nobody/knows"));
    assert_eq!(acme.held(&kept).await.cost_reserved, "0.25");
    let committed = acme.committed(kept.key()).await;
    assert_eq!((committed.cost_committed.as_str(), committed.attempts[0].cost_basis()), ("0.25", CostBasis::Estimated));
    acme.held(&told).await;
    let answer = acme.commit(told.key(), |request| request.billed_cost = Some("0.3".to_owned())).await.unwrap();
    let attempt = &answer.reservation.as_ref().unwrap().attempts[0];
    assert_eq!((attempt.cost.as_str(), attempt.cost_basis(), attempt.tier.as_str()), ("0.3", CostBasis::Billed, ""));
    assert_eq!(answer.events[0].price_version, "");
}

#[tokio::test]
async fn a_target_without_a_price_may_pass_at_no_cost_and_is_flagged() {
    let server = Server::start(&format!("{}unpriced: flag\n", monthly("10")), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(2).at("nobody/knows");
    assert_eq!(acme.held(&ask).await.cost_reserved, "0");
    let attempt = acme.committed(ask.key()).await.attempts.remove(0);
    assert_eq!((attempt.cost.as_str(), attempt.cost_basis(), attempt.units.as_str()), ("0", CostBasis::None, "2"));
    // What a plan's failover makes of a planned target without a price is not known either.
    let offer = acme.quote(&images(1), &["nobody/knows"]).await.unwrap().offers.remove(0);
    assert_eq!((offer.fits, offer.tier.as_str(), offer.cost.as_str()), (true, "", ""));
}

#[tokio::test]
async fn without_a_price_of_the_planned_target_there_is_no_cost_shift() {
    let server = Server::start(&format!("{}unpriced: flag\n", monthly("10")), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(2).planned("nobody/knows");
    let known = |attempt: &Attempt| [attempt.cost.clone(), attempt.planned_cost.clone(), attempt.cost_shift.clone()];
    assert_eq!(known(&acme.held(&ask).await.attempts[0]), ["0.02", "", ""]);
    let answer = acme.commit(ask.key(), |_| {}).await.unwrap();
    assert_eq!(known(answer.events[0].attempt.as_ref().unwrap()), ["0.02", "", ""]);
    assert_eq!(known(&answer.reservation.unwrap().attempts[0]), ["0.02", "", ""]);
    // One that has a price costs nothing where nothing was made.
    let (failed, expired) = (images(1), images(1));
    acme.held(&failed).await;
    acme.release(failed.key(), |_| {}).await.unwrap();
    assert_eq!(known(&acme.reservation(failed.key()).await.unwrap().attempts[0]), ["0", "0", "0"]);
    acme.held(&expired).await;
    server.clock.set("2026-03-10T13:00:00Z");
    assert_eq!(known(&acme.reservation(expired.key()).await.unwrap().attempts[0]), ["0", "0", "0"]);
}

#[tokio::test]
async fn an_event_says_everything_there_is_to_know_of_an_attempt() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let mut ask = images(2).at("lab/big").planned("lab/small").user("ann").label("campaign", "spring");
    ask.0.generation_id = "generation-1".to_owned();
    let version = acme.held(&ask).await.catalog_version;
    server.clock.set("2026-03-10T12:00:07Z");
    let answer = acme.commit(ask.key(), |request| request.work = Some(outputs(1))).await.unwrap();
    let [event] = answer.events.as_slice() else { panic!("one event: {:?}", answer.events) };
    assert_eq!((event.subject.as_str(), event.user.as_str(), event.plan.as_str()), ("acme", "ann", "pro"));
    assert_eq!((event.reservation_id.as_str(), event.generation_id.as_str()), (ask.key(), "generation-1"));
    assert_eq!((event.action.as_str(), event.meter.as_str(), event.currency.as_str()), ("image", "units", "USD"));
    assert_eq!((event.planned_target.as_ref(), event.failover), (Some(&target("lab/small")), true));
    assert_eq!((event.catalog_version.as_str(), event.labels["campaign"].as_str()), (version.as_str(), "spring"));
    assert_eq!((event.overage_units.as_str(), event.late), ("0", false));
    assert_eq!(instant(event.event_time.as_ref()), "2026-03-10T12:00:07Z");
    assert!(!event.event_id.is_empty() && !event.price_version.is_empty());
    assert_eq!((event.work.as_ref(), event.billed_work.as_ref()), (Some(&outputs(1)), Some(&outputs(1))));
    let attempt = event.attempt.as_ref().unwrap();
    assert_eq!((attempt.number, attempt.reason(), attempt.outcome()), (1, AttemptReason::First, Outcome::Accepted));
    assert_eq!((attempt.target.as_ref(), attempt.tier.as_str(), attempt.units.as_str()), (Some(&target("lab/big")), "premium", "1"));
    assert_eq!((attempt.cost.as_str(), attempt.planned_cost.as_str(), attempt.cost_shift.as_str()), ("0.04", "0.01", "0.03"));
    assert_eq!(attempt.cost_basis(), CostBasis::Priced);
    assert_eq!(instant(attempt.start_time.as_ref()), "2026-03-10T12:00:00Z");
    assert_eq!(instant(attempt.end_time.as_ref()), "2026-03-10T12:00:07Z");
}

#[tokio::test]
async fn a_cheaper_target_than_planned_shifts_the_cost_down() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1).planned("lab/big");
    acme.held(&ask).await;
    let event = acme.commit(ask.key(), |_| {}).await.unwrap().events.remove(0);
    assert_eq!((event.attempt.unwrap().cost_shift.as_str(), event.failover), ("-0.03", true));
    let same = images(1);
    acme.held(&same).await;
    let event = acme.commit(same.key(), |_| {}).await.unwrap().events.remove(0);
    assert_eq!((event.attempt.unwrap().cost_shift.as_str(), event.failover), ("0", false));
}

#[tokio::test]
async fn two_rejected_tries_and_an_accepted_one_cost_three() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let mut cost = Vec::new();
    for outcome in [Outcome::Rejected, Outcome::Rejected, Outcome::Accepted] {
        let mut ask = images(1).at("lab/big");
        ask.0.generation_id = "one".to_owned();
        acme.held(&ask).await;
        let settled = match outcome {
            Outcome::Accepted => acme.committed(ask.key()).await,
            other => acme.release(ask.key(), |request| request.set_outcome(other)).await.unwrap().reservation.unwrap(),
        };
        assert_eq!(settled.generation_id, "one");
        cost.push(settled.cost_committed);
    }
    assert_eq!(cost, ["0.04", "0.04", "0.04"]);
    assert_eq!(acme.left().await, "9", "and one accepted output is charged");
}

#[tokio::test]
async fn a_failover_must_stay_within_the_plan_s_policy() {
    let plan =
        "pro: {allowances: [{meter: units, amount: 10, per: subject}], failover: {max_cost_ratio: 4, max_cost: 0.08, tiers: premium}}";
    let server = Server::start(&plans(&[plan]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let shifted = |count, at: &str, planned: &str| images(count).at(at).planned(planned);
    assert_eq!(acme.held(&shifted(1, "lab/big", "lab/small")).await.attempts[0].cost_shift, "0.03");
    let denial = acme.denied_for(&shifted(1, "studio/big", "lab/small"), DenialReason::FailoverPolicy).await;
    assert_eq!(named(&denial), ["max_cost_ratio", "max_cost"]);
    assert_eq!(named(&acme.denied(&shifted(3, "lab/big", "lab/small")).await), ["max_cost"]);
    assert_eq!(named(&acme.denied(&shifted(1, "lab/small", "lab/big")).await), ["tiers"]);
    // What was planned is no failover, however dear.
    acme.held(&images(1).at("studio/big")).await;
}

#[tokio::test]
async fn released_and_recorded_attempts_have_events_too() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(2).at("lab/big").planned("lab/small");
    acme.held(&ask).await;
    let event = acme.release(ask.key(), |request| request.set_outcome(Outcome::Rejected)).await.unwrap().events.remove(0);
    let attempt = event.attempt.unwrap();
    assert_eq!((attempt.cost.as_str(), attempt.cost_shift.as_str(), attempt.units.as_str()), ("0.08", "0.06", "0"));
    // Delivered was nothing: the event tells what was asked.
    assert_eq!(event.work, Some(outputs(2)));
    let first = acme.reservation(ask.key()).await.unwrap().attempts.remove(0);
    assert_eq!(first.cost, "0.08");
}

#[tokio::test]
async fn billed_work_is_priced_and_need_not_be_what_the_plan_counts() {
    let catalog = "\
catalog: genquota/v1
currency: USD
default_plan: open
meters: {credits: {title: Credits}}
actions:
  video.generate:
    meter: credits
    measures: [seconds, compute_seconds]
    rules: [{per: seconds, rate: 1}]
plans:
  open: {allowances: [{meter: credits, amount: 100, per: subject}]}
prices:
  - {provider: fal, model: wan, tier: basic, components: [{per: compute_seconds, price: 0.01, assume: 30}]}
";
    let server = Server::start(catalog, NOON).await;
    let acme = server.stranger("acme");
    let ask = ask("video.generate", "fal/wan", seconds(&["5"]));
    assert_eq!(acme.held(&ask).await.cost_reserved, "0.3");
    let billed = work(vec![item(1, &[("compute_seconds", "42")], &[])]);
    let settled = acme.commit(ask.key(), |request| request.billed_work = Some(billed)).await.unwrap().reservation.unwrap();
    assert_eq!((settled.units_committed.as_str(), settled.cost_committed.as_str()), ("5", "0.42"));
}
