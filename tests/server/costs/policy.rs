//! Where a generation may go when its target fails: the failover policy (L8).

use genquota::proto::v1::{AttemptReason, DenialReason, Outcome};

use super::NOON;
use crate::ask::{bad_fields, images, named, outputs, target};
use crate::catalogs::plans;
use crate::harness::{Server, Setup};

/// One plan of ten units with a failover policy.
async fn server(policy: &str) -> Server {
    let plan = format!("pro: {{allowances: [{{meter: units, amount: 10, per: subject}}], failover: {policy}}}");
    Server::start(&plans(&[&plan]), NOON).await
}

#[tokio::test]
async fn attempts_are_counted_from_the_first() {
    let server = server("{max_attempts: 2}").await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1);
    acme.held(&ask).await;
    acme.retried(ask.key(), 1, |_| {}).await;
    let denial = acme.not_retried(ask.key(), 2, |_| {}).await;
    assert_eq!((denial.reason(), named(&denial)), (DenialReason::FailoverPolicy, vec!["max_attempts"]));
    assert_eq!(denial.violations[0].dimensions["max_attempts"], "2");
    // The hold is as it was.
    assert_eq!(acme.committed(ask.key()).await.units_committed, "1");
}

#[tokio::test]
async fn without_a_policy_a_chain_ends_after_thirty_two_attempts() {
    let plan = "pro: {allowances: [{meter: units, amount: 10, per: subject}]}";
    let server = Server::start(&plans(&[plan]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1);
    acme.held(&ask).await;
    for attempt in 1..32 {
        acme.retried(ask.key(), attempt, |_| {}).await;
    }
    assert_eq!(named(&acme.not_retried(ask.key(), 32, |_| {}).await), ["max_attempts"]);
}

#[tokio::test]
async fn a_dearer_target_must_keep_the_ratio_to_the_planned_one() {
    let server = server("{max_cost_ratio: 4}").await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1);
    acme.held(&ask).await;
    let denial = acme.not_retried(ask.key(), 1, |request| request.next_target = Some(target("studio/big"))).await;
    assert_eq!(named(&denial), ["max_cost_ratio"]);
    let (held, _) = acme.retried(ask.key(), 1, |request| request.next_target = Some(target("lab/big"))).await;
    // The planned target stays the measure, not the last one.
    assert_eq!(held.attempts[1].planned_cost, "0.01");
    assert_eq!(
        named(&acme.not_retried(ask.key(), 2, |request| request.next_target = Some(target("studio/big"))).await),
        ["max_cost_ratio"]
    );
}

#[tokio::test]
async fn the_cost_of_all_attempts_together_is_bounded() {
    let server = server("{max_cost: 0.09}").await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1).at("lab/big");
    acme.held(&ask).await;
    acme.retried(ask.key(), 1, |request| request.set_outcome(Outcome::Rejected)).await;
    let denial = acme.not_retried(ask.key(), 2, |request| request.set_outcome(Outcome::Rejected)).await;
    assert_eq!(named(&denial), ["max_cost"]);
    let of = &denial.violations[0].dimensions;
    assert_eq!((of["spent"].as_str(), of["cost"].as_str(), of["max_cost"].as_str()), ("0.08", "0.04", "0.09"));
    // An attempt that cost nothing leaves room for another.
    acme.retried(ask.key(), 2, |request| request.set_outcome(Outcome::Failed)).await;
}

#[tokio::test]
async fn tiers_bound_where_it_may_go_and_not_where_it_was_meant_to() {
    let server = server("{tiers: premium}").await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1).at("lab/big");
    acme.held(&ask).await;
    let denial = acme.not_retried(ask.key(), 1, |request| request.next_target = Some(target("lab/small"))).await;
    assert_eq!(named(&denial), ["tiers"]);
    acme.retried(ask.key(), 1, |request| request.next_target = Some(target("studio/big"))).await;
    let basic = images(1);
    acme.held(&basic).await;
    acme.retried(basic.key(), 1, |_| {}).await;
}

#[tokio::test]
async fn an_action_may_have_bounds_of_its_own_and_takes_the_rest_from_the_plan() {
    let server = server("{max_attempts: 3, tiers: premium, actions: {edit: {max_attempts: 1}, image: {tiers: [basic, premium]}}}").await;
    let acme = server.customer("acme", "pro").await;
    let edit = crate::ask::ask("edit", "lab/small", outputs(1));
    acme.held(&edit).await;
    assert_eq!(named(&acme.not_retried(edit.key(), 1, |_| {}).await), ["max_attempts"]);
    let image = images(1).at("lab/big");
    acme.held(&image).await;
    acme.retried(image.key(), 1, |request| request.next_target = Some(target("lab/small"))).await;
    acme.retried(image.key(), 2, |_| {}).await;
    assert_eq!(named(&acme.not_retried(image.key(), 3, |_| {}).await), ["max_attempts"]);
}

#[tokio::test]
async fn features_of_the_plan_gate_every_attempt() {
    let plan = "pro: {allowances: [{meter: units, amount: 10, per: subject}], features: {tiers: basic, attributes: {resolution: 1024}}}";
    let server = Server::start(&plans(&[plan]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1);
    acme.held(&ask).await;
    let larger = crate::ask::work(vec![crate::ask::item(1, &[], &[("resolution", "2048")])]);
    let denial = acme
        .not_retried(ask.key(), 1, |request| {
            request.next_target = Some(target("lab/big"));
            request.next_work = Some(larger);
        })
        .await;
    assert_eq!((denial.reason(), named(&denial)), (DenialReason::FeatureNotInPlan, vec!["resolution", "tiers"]));
    assert_eq!(
        acme.not_retried(ask.key(), 1, |request| request.next_target = Some(target("nobody/knows"))).await.reason(),
        DenialReason::UnpricedTarget
    );
}

#[tokio::test]
async fn a_suspended_subject_starts_no_further_attempt() {
    let server = server("{max_attempts: 3}").await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1);
    acme.held(&ask).await;
    let suspend =
        genquota::proto::v1::SuspendSubjectRequest { subject: "acme".to_owned(), request_id: "stop".to_owned(), ..Default::default() };
    acme.admin().suspend_subject(suspend).await.unwrap();
    assert_eq!(acme.not_retried(ask.key(), 1, |_| {}).await.reason(), DenialReason::SubjectSuspended);
    // What was begun may be settled.
    acme.committed(ask.key()).await;
}

#[tokio::test]
async fn a_hold_with_fallbacks_pays_for_any_of_them_later_even_after_a_cheaper_one() {
    let catalog = "
catalog: genquota/v1
meters: {units: {}}
actions:
  image:
    meter: units
    rules:
      - {when: {tier: premium}, per: output, rate: 5}
      - {per: output, rate: 1}
plans:
  pro: {allowances: [{meter: units, amount: 10, per: subject}]}
prices:
  - {provider: lab, model: small, tier: basic, components: [{per: output, price: 0.01}]}
  - {provider: lab, model: tiny, tier: basic, components: [{per: output, price: 0.005}]}
  - {provider: lab, model: big, tier: premium, components: [{per: output, price: 0.04}]}
";
    let server = Setup::new(catalog, NOON).start().await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1).fallback("lab/tiny").fallback("lab/big");
    assert_eq!(acme.held(&ask).await.units_reserved, "5");
    // Everybody else takes what is left.
    acme.held(&images(5)).await;
    let (held, _) = acme.retried(ask.key(), 1, |request| request.next_target = Some(target("lab/tiny"))).await;
    assert_eq!((held.units_reserved.as_str(), held.attempts[1].units.as_str()), ("5", "1"));
    let (held, _) = acme.retried(ask.key(), 2, |request| request.next_target = Some(target("lab/big"))).await;
    assert_eq!((held.units_reserved.as_str(), held.attempts[2].units.as_str()), ("5", "5"));
    assert_eq!(acme.committed(ask.key()).await.units_committed, "5");
}

#[tokio::test]
async fn the_reason_is_told_by_outcome_and_target_unless_the_caller_knows_better() {
    let server = server("{max_attempts: 9}").await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1);
    acme.held(&ask).await;
    acme.retried(ask.key(), 1, |_| {}).await;
    acme.retried(ask.key(), 2, |request| request.next_target = Some(target("lab/big"))).await;
    acme.retried(ask.key(), 3, |request| request.set_outcome(Outcome::Rejected)).await;
    let (held, _) = acme.retried(ask.key(), 4, |request| request.set_reason(AttemptReason::Failover)).await;
    let reasons: Vec<_> = held.attempts.iter().map(|attempt| attempt.reason()).collect();
    use AttemptReason::{Failover, First, RejectedOutput, Retry};
    assert_eq!(reasons, [First, Retry, Failover, RejectedOutput, Failover]);
    let outcomes: Vec<_> = held.attempts.iter().map(|attempt| attempt.outcome()).collect();
    assert_eq!(outcomes, [Outcome::Failed, Outcome::Failed, Outcome::Rejected, Outcome::Failed, Outcome::Unspecified]);
}

#[tokio::test]
async fn fields_that_say_something_impossible_are_named_and_nothing_changes() {
    let server = server("{max_attempts: 9}").await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1);
    acme.held(&ask).await;
    let before = acme.reservation(ask.key()).await.unwrap();
    let wrong = acme
        .retry(ask.key(), 0, |request| {
            request.set_outcome(Outcome::Accepted);
            request.set_reason(AttemptReason::First);
            request.next_work = Some(outputs(0));
            request.billed_cost = Some("-1".to_owned());
        })
        .await
        .unwrap_err();
    assert_eq!(bad_fields(&wrong), ["attempt", "outcome", "billed_cost", "next_work.items[0].count", "reason"]);
    let unknown = crate::ask::work(vec![crate::ask::item(1, &[("seconds", "5")], &[])]);
    let wrong = acme.retry(ask.key(), 1, |request| request.next_work = Some(unknown)).await.unwrap_err();
    assert_eq!(bad_fields(&wrong), ["next_work.items[0].measures.seconds"]);
    assert_eq!(acme.reservation(ask.key()).await.unwrap(), before);
}
