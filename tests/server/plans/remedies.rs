//! What a denial says would help does, and the step before it does not.

use genquota::proto::v1::{DenialReason, Reservation};
use jiff::{SignedDuration, Timestamp};

use crate::administrator::Change;
use crate::ask::{Ask, ask, buy_credits, fewer_count, images, outputs, paid_by, upgrade, use_target, wait_until};
use crate::caller::Caller;
use crate::catalogs::{monthly, plans};
use crate::harness::Server;
use crate::stores::NOON;

const HALF: &str = "2026-03-25T12:00:00Z";
const NEXT: &str = "2026-04-10T00:00:00Z";

/// Waits as a denial says: a millisecond before, the same request is denied; then it is granted.
async fn waits(server: &Server, acme: &Caller, ask: &Ask, until: &str) -> Reservation {
    let denial = acme.denied(ask).await;
    assert_eq!(wait_until(&denial).as_deref(), Some(until), "{denial:?}");
    let at: Timestamp = until.parse().unwrap();
    let wait = at.duration_since(server.clock.time());
    assert_eq!(denial.retry_after.unwrap().seconds, wait.as_secs());
    server.clock.set(&(at - SignedDuration::from_millis(1)).to_string());
    acme.denied(ask).await;
    server.clock.set(until);
    acme.used(ask).await
}

/// Says nothing of waiting.
async fn waits_in_vain(acme: &Caller, ask: &Ask) {
    let denial = acme.denied(ask).await;
    assert_eq!((wait_until(&denial), denial.retry_after), (None, None), "{denial:?}");
}

/// Buys what is short: with a millionth less the same request is denied; with all of it, it is granted.
async fn buys([acme, twin]: [&Caller; 2], ask: &Ask, short: i64) -> Reservation {
    for caller in [acme, twin] {
        assert_eq!(buy_credits(&caller.denied(ask).await).as_deref(), Some(short.to_string().as_str()));
    }
    twin.grant("less", &format!("{}.999999", short - 1), |_| {}).await.unwrap();
    twin.denied(ask).await;
    acme.grant("short", &short.to_string(), |_| {}).await.unwrap();
    acme.held(ask).await
}

fn ladder(proration: &str) -> String {
    let plan = |rank: usize, name: &str, amount: usize| {
        format!("{name}: {{rank: {rank}, proration: {proration}, allowances: [{{meter: units, amount: {amount}, per: subject}}]}}")
    };
    let offers = [plan(1, "small", 10), plan(2, "middle", 20), plan(3, "big", 40), plan(4, "huge", 100)];
    plans(&offers.each_ref().map(String::as_str))
}

#[tokio::test]
async fn the_named_plan_admits_the_work_and_the_one_below_does_not() {
    let server = Server::start(&ladder("full"), NOON).await;
    let [acme, twin] = [server.customer("acme", "small").await, server.customer("twin", "small").await];
    for caller in [&acme, &twin] {
        caller.used(&images(5)).await;
        assert_eq!(upgrade(&caller.denied(&images(30)).await).as_deref(), Some("big"));
    }
    twin.changed(Change::Plan("middle")).await;
    // Fifteen of middle are left, and it still takes big.
    assert_eq!(upgrade(&twin.denied(&images(30)).await).as_deref(), Some("big"));
    acme.changed(Change::Plan("big")).await;
    acme.held(&images(30)).await;
    // More than the best plan gives is in no plan.
    assert_eq!(upgrade(&acme.denied(&images(96)).await), None);
    assert_eq!(upgrade(&twin.denied(&images(95)).await).as_deref(), Some("huge"));
}

#[tokio::test]
async fn a_plan_is_named_for_what_it_gives_in_the_rest_of_the_period() {
    let server = Server::start(&ladder("prorated"), NOON).await;
    let [acme, twin] = [server.customer("acme", "small").await, server.customer("twin", "small").await];
    server.clock.set(HALF);
    // Half of what big has more than small are 15: with the 10 there are, less than the 30 that are asked.
    for caller in [&acme, &twin] {
        assert_eq!(upgrade(&caller.denied(&images(30)).await).as_deref(), Some("huge"));
    }
    twin.changed(Change::Plan("big")).await;
    twin.denied(&images(30)).await;
    acme.changed(Change::Plan("huge")).await;
    acme.held(&images(30)).await;
}

#[tokio::test]
async fn a_plan_that_unlocks_the_work_is_named_where_it_also_pays_for_it() {
    let server = Server::start(
        &plans(&[
            "small: {rank: 1, features: {tiers: [basic]}, allowances: [{meter: units, amount: 10, per: subject}]}",
            "middle: {rank: 2, proration: full, features: {tiers: [basic]}, allowances: [{meter: units, amount: 50, per: subject}]}",
            "big: {rank: 3, proration: none, allowances: [{meter: units, amount: 60, per: subject}]}",
            "huge: {rank: 4, proration: full, allowances: [{meter: units, amount: 70, per: subject}]}",
        ]),
        NOON,
    )
    .await;
    let acme = server.customer("acme", "small").await;
    server.clock.set(HALF);
    let premium = |count| images(count).at("lab/big");
    let denial = acme.denied_for(&premium(5), DenialReason::FeatureNotInPlan).await;
    assert_eq!(upgrade(&denial).as_deref(), Some("big"));
    // Big gives nothing more in this period.
    let denial = acme.denied_for(&premium(15), DenialReason::FeatureNotInPlan).await;
    assert_eq!(upgrade(&denial).as_deref(), Some("huge"));
    acme.changed(Change::Plan("big")).await;
    acme.used(&premium(5)).await;
    acme.denied_for(&premium(15), DenialReason::QuotaExhausted).await;
    acme.changed(Change::Plan("huge")).await;
    acme.held(&premium(15)).await;
}

#[tokio::test]
async fn who_has_no_plan_is_told_which_would_do() {
    let server = Server::start(&ladder("full"), NOON).await;
    let acme = server.subject("acme").await;
    let denial = acme.denied_for(&images(15), DenialReason::NoSubscription).await;
    assert_eq!(upgrade(&denial).as_deref(), Some("middle"));
    acme.changed(Change::Subscribe("middle")).await;
    acme.held(&images(15)).await;
}

/// A plan that would only go on in a period that is used up was named as if it began anew.
#[tokio::test]
async fn who_comes_back_in_a_used_period_is_told_of_a_plan_that_still_helps_in_it() {
    let server = Server::start(&ladder("full"), NOON).await;
    let acme = server.customer("acme", "small").await;
    acme.used(&images(10)).await;
    server.clock.set(HALF);
    acme.changed(Change::CancelNow).await;
    let denial = acme.denied_for(&images(8), DenialReason::NoSubscription).await;
    assert_eq!(upgrade(&denial).as_deref(), Some("middle"));
    acme.changed(Change::Subscribe("middle")).await;
    acme.held(&images(8)).await;
}

#[tokio::test]
async fn the_named_instant_is_the_first_at_which_the_work_fits() {
    let capped = "pro: {allowances: [{meter: units, amount: 10, per: subject}], \
                  caps: {hour: {of: units, meter: units, limit: 4, per: hour}, day: {of: units, meter: units, limit: 6, per: day}}}";
    let server = Server::start(&plans(&[capped]), NOON).await;
    let acme = server.subject_in("acme", "Asia/Kathmandu").await;
    acme.subscribe("pro", |_| {}).await.unwrap();
    acme.used(&images(3)).await;
    // The hour of Kathmandu ends at a quarter past.
    waits(&server, &acme, &images(2), "2026-03-10T12:15:00Z").await;
    waits(&server, &acme, &images(4), "2026-03-10T18:15:00Z").await;
    // One is left in the period, and neither the next hour nor the next day brings more.
    waits(&server, &acme, &images(2), "2026-04-09T18:15:00Z").await;
    // No hour ever has 5.
    waits_in_vain(&acme, &images(5)).await;
}

#[tokio::test]
async fn an_instant_is_named_only_where_what_comes_then_is_enough() {
    let offers = plans(&[
        "low: {rank: 1, allowances: [{meter: units, amount: 5, per: subject}]}",
        "pro: {rank: 2, allowances: [{meter: units, amount: 10, per: subject}], \
         add_ons: {more: {meter: units, amount: 20, per: subject}}}",
    ]);
    let server = Server::start(&offers, NOON).await;
    let mut customers = Vec::new();
    for name in ["lower", "cancelled", "bought", "renewed", "given"] {
        let acme = server.customer(name, "pro").await;
        if ["bought", "renewed"].contains(&name) {
            acme.changed(Change::AddOn("more", 1)).await;
            acme.used(&images(20)).await;
        }
        acme.used(&images(10)).await;
        customers.push(acme);
    }
    let [lower, cancelled, bought, renewed, given] = customers.try_into().unwrap_or_else(|_| panic!("five customers"));
    lower.changed(Change::Plan("low")).await;
    waits_in_vain(&lower, &images(8)).await;
    cancelled.changed(Change::Cancel).await;
    waits_in_vain(&cancelled, &images(1)).await;
    // What was bought ends with the period, or comes again.
    bought.changed(Change::AddOn("more", 0)).await;
    waits_in_vain(&bought, &images(25)).await;
    given.grant("later", "3", |request| request.effective_time = Some(crate::ask::time("2026-03-12T00:00:00Z"))).await.unwrap();
    waits(&server, &given, &images(2), "2026-03-12T00:00:00Z").await;
    waits_in_vain(&given, &images(12)).await;
    waits(&server, &renewed, &images(25), NEXT).await;
    lower.used(&images(4)).await;
    bought.used(&images(10)).await;
    waits(&server, &lower, &images(5), "2026-05-10T00:00:00Z").await;
}

#[tokio::test]
async fn the_credits_named_are_what_is_short() {
    let server = Server::start(&monthly("10"), NOON).await;
    let customers = [server.customer("acme", "pro").await, server.customer("twin", "pro").await];
    for acme in &customers {
        acme.used(&images(3)).await;
        acme.grant("gift", "2", |_| {}).await.unwrap();
    }
    let [acme, twin] = &customers;
    assert_eq!(paid_by(&buys([acme, twin], &images(14), 5).await), "allowance units 7, grant gift 2, grant short 5");
    // Without a plan too.
    let strangers = [server.subject("left").await, server.subject("right").await];
    let [left, right] = &strangers;
    buys([left, right], &images(3), 3).await;
}

#[tokio::test]
async fn where_one_source_must_pay_all_the_credits_named_pay_all() {
    let server = Server::start(&plans(&["pro: {split: false, allowances: [{meter: units, amount: 10, per: subject}]}"]), NOON).await;
    let [acme, twin] = [server.customer("acme", "pro").await, server.customer("twin", "pro").await];
    for caller in [&acme, &twin] {
        caller.used(&images(3)).await;
    }
    assert_eq!(paid_by(&buys([&acme, &twin], &images(8), 8).await), "grant short 8");
}

#[tokio::test]
async fn the_named_target_is_the_caller_s_own_cheaper_and_allowed() {
    let spend = "pro: {allowances: [{meter: units, amount: 100, per: subject}], caps: {spend: {of: cost, limit: 0.10, per: day}}}";
    let server = Server::start(&plans(&[spend]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    // Three at 0.04 are 0.12, at 0.10 are 0.30, at 0.01 are 0.03.
    let dear = images(3).at("lab/big");
    assert_eq!(use_target(&acme.denied_for(&dear, DenialReason::CapReached).await), None);
    assert_eq!(use_target(&acme.denied(&dear.clone().fallback("studio/big")).await), None);
    let with_fallbacks = dear.clone().fallback("studio/big").fallback("lab/small");
    assert_eq!(use_target(&acme.denied(&with_fallbacks).await).as_deref(), Some("lab/small"));
    assert_eq!(use_target(&acme.denied(&dear.clone().planned("lab/small")).await).as_deref(), Some("lab/small"));
    // Ten of the cheap ones are as much as the day has, eleven are not.
    let many = |count| images(count).at("lab/big").fallback("lab/small");
    assert_eq!(use_target(&acme.denied(&many(11)).await), None);
    assert_eq!(use_target(&acme.denied(&many(10)).await).as_deref(), Some("lab/small"));
    acme.held(&images(10).at("lab/small")).await;
    acme.denied(&images(1).at("lab/small")).await;
}

#[tokio::test]
async fn a_target_that_counts_less_is_named_where_units_are_short() {
    let server = Server::example("film-studio", NOON).await;
    let acme = server.customer("acme", "independent").await;
    acme.record(&ask("image.generate", "fal/flux-schnell", outputs(995)), |_| {}).await.unwrap();
    // Premium counts 2 each, and 5 are left.
    let ask = |at: &str| ask("image.generate", at, outputs(4));
    let denial = acme.denied_for(&ask("openai/gpt-image-1").fallback("fal/flux-pro-1.1"), DenialReason::QuotaExhausted).await;
    assert_eq!(use_target(&denial).as_deref(), Some("fal/flux-pro-1.1"));
    acme.denied(&ask("openai/gpt-image-1")).await;
    acme.held(&ask("fal/flux-pro-1.1")).await;
}

#[tokio::test]
async fn the_named_count_is_the_largest_that_fits() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(3)).await;
    assert_eq!(fewer_count(&acme.denied(&images(20)).await).as_deref(), Some("7"));
    acme.denied(&images(8)).await;
    acme.held(&images(7)).await;
    assert_eq!(fewer_count(&acme.denied(&images(1)).await), None);
}

#[tokio::test]
async fn a_suspended_subject_is_told_of_nothing_that_would_help() {
    let server = Server::start(&ladder("full"), NOON).await;
    let acme = server.customer("acme", "small").await;
    acme.used(&images(10)).await;
    acme.changed(Change::Suspend).await;
    let denial = acme.denied_for(&images(5), DenialReason::SubjectSuspended).await;
    assert!(denial.remedies.is_empty() && denial.retry_after.is_none(), "{denial:?}");
    // Periods went on meanwhile.
    server.clock.set(NEXT);
    acme.denied_for(&images(5), DenialReason::SubjectSuspended).await;
    acme.changed(Change::Resume).await;
    acme.held(&images(10)).await;
}

/// A plan without seats lets in whom one with seats had none for; it is named.
#[tokio::test]
async fn who_finds_no_seat_is_told_of_a_plan_that_has_no_seats() {
    let server = Server::start(
        &plans(&[
            "team: {rank: 1, allowances: [{meter: units, amount: 10, per: seat}]}",
            "larger: {rank: 2, proration: full, allowances: [{meter: units, amount: 20, per: seat}]}",
            "open: {rank: 3, proration: full, allowances: [{id: pot, meter: units, amount: 50, per: subject}]}",
        ]),
        NOON,
    )
    .await;
    let acme = server.customer("acme", "team").await;
    acme.used(&images(1).user("ann")).await;
    let denial = acme.denied_for(&images(5).user("bob"), DenialReason::SeatsExhausted).await;
    assert_eq!(upgrade(&denial).as_deref(), Some("open"));
    acme.changed(Change::Plan("larger")).await;
    acme.denied_for(&images(5).user("bob"), DenialReason::SeatsExhausted).await;
    acme.changed(Change::Plan("open")).await;
    acme.held(&images(5).user("bob")).await;
}

/// What comes under another name, or with the default plan, was overlooked: "waiting will not help" was untrue.
#[tokio::test]
async fn an_instant_is_named_at_which_another_plan_brings_enough() {
    let offers = plans(&[
        "trial: {rank: 0, allowances: [{id: taste, meter: units, amount: 3, per: subject}]}",
        "low: {rank: 1, allowances: [{id: little, meter: units, amount: 5, per: subject}]}",
        "high: {rank: 2, allowances: [{id: much, meter: units, amount: 10, per: subject}]}",
    ]);
    let server = Server::start(&format!("{offers}default_plan: trial\n"), NOON).await;
    let [lower, cancelled] = [server.customer("lower", "high").await, server.customer("cancelled", "high").await];
    for (acme, change) in [(&lower, Change::Plan("low")), (&cancelled, Change::Cancel)] {
        acme.used(&images(10)).await;
        acme.changed(change).await;
    }
    waits_in_vain(&lower, &images(6)).await;
    waits_in_vain(&cancelled, &images(4)).await;
    waits(&server, &lower, &images(5), NEXT).await;
    assert_eq!(paid_by(&cancelled.used(&images(3)).await), "allowance taste 3");
    // The default plan's periods are the months of the calendar.
    waits(&server, &cancelled, &images(1), "2026-05-01T00:00:00Z").await;
}

#[tokio::test]
async fn an_instant_is_named_for_the_seats_there_will_be() {
    let server = Server::start(&plans(&["team: {allowances: [{meter: units, amount: 10, per: seat, pool: shared}]}"]), NOON).await;
    let acme = server.subject("acme").await;
    acme.subscribe("team", |request| request.seats = Some(3)).await.unwrap();
    acme.used(&images(30)).await;
    acme.changed(Change::Seats(1)).await;
    waits_in_vain(&acme, &images(11)).await;
    waits(&server, &acme, &images(10), NEXT).await;
}

#[tokio::test]
async fn a_plan_with_a_higher_cap_is_named_where_a_cap_is_in_the_way() {
    let capped = |name: &str, rank: i64, limit: i64| {
        format!(
            "{name}: {{rank: {rank}, proration: none, allowances: [{{meter: units, amount: 100, per: subject}}], \
             caps: {{day: {{of: units, meter: units, limit: {limit}, per: day}}}}}}"
        )
    };
    let offers = [capped("small", 1, 4), capped("middle", 2, 6), capped("big", 3, 12)];
    let server = Server::start(&plans(&offers.each_ref().map(String::as_str)), NOON).await;
    let acme = server.customer("acme", "small").await;
    acme.used(&images(4)).await;
    let denial = acme.denied_for(&images(5), DenialReason::CapReached).await;
    assert_eq!(upgrade(&denial).as_deref(), Some("big"));
    acme.changed(Change::Plan("middle")).await;
    acme.denied_for(&images(5), DenialReason::CapReached).await;
    acme.changed(Change::Plan("big")).await;
    acme.held(&images(5)).await;
}

#[tokio::test]
async fn who_has_no_plan_finds_a_seat_on_the_one_that_is_named() {
    let server = Server::start(&plans(&["team: {rank: 1, allowances: [{meter: units, amount: 10, per: seat}]}"]), NOON).await;
    let acme = server.subject("acme").await;
    assert_eq!(upgrade(&acme.denied(&images(5)).await), None);
    let denial = acme.denied_for(&images(5).user("ann"), DenialReason::NoSubscription).await;
    assert_eq!(upgrade(&denial).as_deref(), Some("team"));
    acme.changed(Change::Subscribe("team")).await;
    acme.held(&images(5).user("ann")).await;
}

#[tokio::test]
async fn a_quote_names_the_same_remedies_as_the_denial_it_foresees() {
    let server = Server::start(&ladder("full"), NOON).await;
    let acme = server.customer("acme", "small").await;
    acme.used(&images(5)).await;
    let denial = acme.denied(&images(30)).await;
    let quoted = acme.quote(&images(30), &["lab/small"]).await.unwrap().offers.remove(0);
    assert!(!denial.remedies.is_empty() && !quoted.fits);
    assert_eq!(quoted.denial.unwrap().remedies, denial.remedies);
}
