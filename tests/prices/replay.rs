//! Past events under another catalog: who is charged what, and who is denied.

use std::collections::BTreeMap;

use genquota::domain::catalog::Catalog;
use genquota::domain::denial::DenialReason;
use genquota::domain::ids::{PlanId, SubjectId};
use genquota::traffic::{Replay, ReplayError, Replayed};
use serde_json::json;

use crate::bench::{CATALOG, Event, catalog, changed, image, progress, traffic};

fn play(events: &[Event], catalog: &Catalog) -> Replayed {
    play_with(events, catalog, &[]).unwrap()
}

fn play_with(events: &[Event], catalog: &Catalog, plans: &[(&str, &str)]) -> Result<Replayed, ReplayError> {
    let id = |name: &str| PlanId::new(name).unwrap();
    let plans: BTreeMap<_, _> = plans.iter().map(|(old, new)| (id(old), id(new))).collect();
    Replay::play(&traffic(events), catalog, plans, &progress())
}

/// Attempts and those not made; units then and now; cost then and now.
fn total(replayed: &Replayed) -> String {
    let total = replayed.total();
    format!(
        "{} attempts, {} not made; units {} to {}; cost {} to {}",
        total.attempts, total.not_made, total.units_then, total.units_now, total.cost_then, total.cost_now
    )
}

/// The images of a subject, one an hour on the second of March.
fn hourly(subject: &str, count: u32) -> Vec<Event> {
    let at = |hour, seconds| format!("2026-03-02T{hour:02}:00:{seconds:02}Z");
    (0..count).map(|hour| image(subject, &format!("r-{hour}"), &at(hour, 0), &at(hour, 5))).collect()
}

fn denied<'r>(replayed: &'r Replayed, subject: &str) -> &'r genquota::traffic::DeniedSubject {
    &replayed.denied[&SubjectId::new(subject).unwrap()]
}

#[test]
fn the_same_catalog_charges_the_same() {
    let mut events = hourly("acme", 3);
    events.push(image("acme", "v-1", "2026-03-02T12:00:00Z", "2026-03-02T12:02:00Z").video("7", "4", "3.5"));
    let replayed = play(&events, &catalog(CATALOG));
    assert_eq!(total(&replayed), "4 attempts, 0 not made; units 7 to 7; cost 3.62 to 3.62");
    assert!(replayed.denied.is_empty() && replayed.refused.is_empty(), "{replayed:?}");
}

#[test]
fn other_rates_and_prices_charge_otherwise() {
    let new = changed(&[("rate: 0.5, round: {mode: up}", "rate: 1"), ("price: 0.5", "price: 0.4"), ("amount: 10,", "amount: 20,")]);
    let mut events = hourly("acme", 2);
    events.push(image("acme", "v-1", "2026-03-02T12:00:00Z", "2026-03-02T12:02:00Z").video("7", "4", "3.5"));
    let replayed = play(&events, &new);
    assert_eq!(total(&replayed), "3 attempts, 0 not made; units 6 to 9; cost 3.58 to 2.88");
    let rows: Vec<_> =
        replayed.rows.iter().map(|((action, plan, target), row)| format!("{action} {plan} {target}: {}", row.units_now)).collect();
    assert_eq!(rows, ["image.generate core fal/flux: 2", "video.generate core google/veo: 7"]);
}

#[test]
fn a_smaller_allowance_denies_from_the_first_unit_that_is_missing() {
    let mut events = hourly("acme", 5);
    events.extend(hourly("basin", 3));
    let replayed = play(&events, &changed(&[("amount: 10,", "amount: 3,")]));
    assert_eq!(total(&replayed), "8 attempts, 2 not made; units 8 to 6; cost 0.32 to 0.24");
    let acme = denied(&replayed, "acme");
    assert_eq!((acme.count, acme.first_reason), (2, DenialReason::QuotaExhausted));
    assert_eq!(acme.first_time.to_string(), "2026-03-02T03:00:00Z");
    assert!(acme.first_message.contains("not enough `credits` left"), "{}", acme.first_message);
    assert_eq!(replayed.denied.len(), 1);
}

#[test]
fn a_new_month_has_a_new_allowance() {
    let at = |day: &str| image("acme", day, &format!("{day}T10:00:00Z"), &format!("{day}T10:00:05Z"));
    let events = ["2026-03-02", "2026-03-31", "2026-04-01", "2026-04-02"].map(at);
    let replayed = play(&events, &changed(&[("amount: 10,", "amount: 1,")]));
    assert_eq!(total(&replayed), "4 attempts, 2 not made; units 4 to 2; cost 0.16 to 0.08");
    assert_eq!(denied(&replayed, "acme").first_time.to_string(), "2026-03-31T10:00:00Z");
}

#[test]
fn every_attempt_of_a_generation_costs_and_only_the_accepted_one_counts() {
    let at = |number, start: &str, end: &str| image("acme", "r-1", start, end).with("attempt.number", number);
    let events = [
        at(1, "2026-03-02T10:00:00Z", "2026-03-02T10:00:05Z").numbered(1, "REJECTED", "0", "0.04"),
        at(2, "2026-03-02T10:00:05Z", "2026-03-02T10:00:10Z").numbered(2, "REJECTED", "0", "0.04"),
        at(3, "2026-03-02T10:00:10Z", "2026-03-02T10:00:15Z").numbered(3, "ACCEPTED", "1", "0.04"),
    ];
    // C3: 0.12 for one accepted output, at 0.05 it would be 0.15.
    assert_eq!(total(&play(&events, &catalog(CATALOG))), "3 attempts, 0 not made; units 1 to 1; cost 0.12 to 0.12");
    let dearer = changed(&[("price: 0.04", "price: 0.05")]);
    assert_eq!(total(&play(&events, &dearer)), "3 attempts, 0 not made; units 1 to 1; cost 0.12 to 0.15");
    // Denied at its first attempt, the others are never made, and it is one denial.
    let replayed = play(&events, &changed(&[("amount: 10,", "amount: 0.5,")]));
    assert_eq!(total(&replayed), "3 attempts, 3 not made; units 1 to 0; cost 0.12 to 0");
    assert_eq!(denied(&replayed, "acme").count, 1);
}

#[test]
fn attempts_that_ran_at_the_same_time_are_in_flight_together() {
    let new = catalog(&CATALOG.replace("plans:", "caps: {one: {of: in_flight, limit: 1}}\nplans:"));
    let at =
        |id: &str, start: &str, end: &str| image("acme", id, &format!("2026-03-02T10:00:{start}Z"), &format!("2026-03-02T10:00:{end}Z"));
    let events = [at("r-1", "00", "10"), at("r-2", "05", "15"), at("r-3", "10", "20")];
    let replayed = play(&events, &new);
    assert_eq!(total(&replayed), "3 attempts, 1 not made; units 3 to 2; cost 0.12 to 0.08");
    let acme = denied(&replayed, "acme");
    assert_eq!((acme.first_reason, acme.first_time.to_string().as_str()), (DenialReason::CapReached, "2026-03-02T10:00:05Z"));
}

#[test]
fn a_cost_that_was_billed_stands_whatever_the_prices() {
    let billed = image("acme", "r-1", "2026-03-02T10:00:00Z", "2026-03-02T10:00:05Z")
        .with("attempt.cost", "0.07")
        .with("attempt.costBasis", "COST_BASIS_BILLED");
    let replayed = play(&[billed], &changed(&[("price: 0.04", "price: 1")]));
    assert_eq!(total(&replayed), "1 attempts, 0 not made; units 1 to 1; cost 0.07 to 0.07");
}

#[test]
fn a_hold_that_expired_gives_its_units_back_and_a_late_commit_is_charged() {
    let expired = image("acme", "r-1", "2026-03-02T10:00:00Z", "2026-03-02T10:15:00Z")
        .numbered(1, "EXPIRED", "0", "0")
        .with("attempt.costBasis", "COST_BASIS_NONE");
    let late = image("acme", "r-1", "2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z").with("late", true);
    let between = image("acme", "r-2", "2026-03-02T10:14:59Z", "2026-03-02T10:15:01Z");
    let after = image("acme", "r-3", "2026-03-02T10:15:00Z", "2026-03-02T10:15:01Z");
    let one = changed(&[("amount: 10,", "amount: 1,")]);
    // While it is held nothing is left; from the instant it expires there is again.
    let replayed = play(&[expired.clone(), between, after.clone()], &one);
    assert_eq!(total(&replayed), "3 attempts, 1 not made; units 2 to 1; cost 0.08 to 0.04");
    // L3, L6: what happened is charged, as overage where nothing is left.
    let replayed = play(&[expired, after, late], &one);
    assert_eq!(total(&replayed), "3 attempts, 0 not made; units 2 to 2; cost 0.08 to 0.08");
    assert_eq!(replayed.total().overage_now.to_string(), "1");
}

#[test]
fn what_the_plan_or_the_price_book_forbids_is_denied_with_its_reason() {
    let events = [image("acme", "v-1", "2026-03-02T12:00:00Z", "2026-03-02T12:02:00Z").video("7", "4", "3.5")];
    let basic = changed(&[("    rank: 1\n", "    rank: 1\n    features: {tiers: [basic]}\n")]);
    assert_eq!(denied(&play(&events, &basic), "acme").first_reason, DenialReason::FeatureNotInPlan);
    let unpriced = changed(&[("model: veo", "model: other")]);
    assert_eq!(denied(&play(&events, &unpriced), "acme").first_reason, DenialReason::UnpricedTarget);
}

#[test]
fn what_makes_no_sense_under_the_catalog_is_told_and_is_no_denial() {
    let events = [
        image("acme", "r-1", "2026-03-02T10:00:00Z", "2026-03-02T10:00:05Z").with("action", "image.unheard"),
        image("acme", "r-2", "2026-03-02T11:00:00Z", "2026-03-02T11:00:05Z")
            .with("work", json!({"items": [{"count": "1", "attributes": {"mood": "fine"}}]})),
    ];
    let replayed = play(&events, &catalog(CATALOG));
    assert!(replayed.denied.is_empty());
    let problems: Vec<_> = replayed.refused.keys().collect();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("`image.unheard` is not in the catalog"), "{problems:?}");
    assert!(problems[1].contains("`mood` is not an attribute of `image.generate`"), "{problems:?}");
    assert_eq!(total(&replayed), "2 attempts, 2 not made; units 2 to 0; cost 0.08 to 0");
}

#[test]
fn another_plan_can_take_the_place_of_one() {
    let events = hourly("acme", 20);
    let replayed = play(&events, &catalog(CATALOG));
    assert_eq!(denied(&replayed, "acme").count, 10);
    let replayed = play_with(&events, &catalog(CATALOG), &[("core", "team")]).unwrap();
    assert_eq!(total(&replayed), "20 attempts, 0 not made; units 20 to 20; cost 0.8 to 0.8");
}

#[test]
fn a_subject_that_changed_its_plan_changes_it_at_the_same_event() {
    let mut events = hourly("acme", 3);
    events[2] = events[2].clone().with("plan", "team");
    let replayed = play(&events, &changed(&[("amount: 10,", "amount: 2,")]));
    assert!(replayed.denied.is_empty(), "{replayed:?}");
    let plans: Vec<_> = replayed.rows.iter().map(|((_, plan, _), row)| (plan.as_str(), row.attempts)).collect();
    assert_eq!(plans, [("core", 2), ("team", 1)]);
}

#[test]
fn each_user_that_the_events_name_has_a_seat() {
    let new = changed(&[("amount: 10, per: subject", "amount: 1, per: seat")]);
    let by = |id: &str, user: &str| image("acme", id, "2026-03-02T10:00:00Z", "2026-03-02T10:00:05Z").with("user", user);
    let replayed = play(&[by("r-1", "ann"), by("r-2", "bob"), by("r-3", "ann")], &new);
    assert_eq!(total(&replayed), "3 attempts, 1 not made; units 3 to 2; cost 0.12 to 0.08");
    assert_eq!(denied(&replayed, "acme").first_reason, DenialReason::QuotaExhausted);
}

#[test]
fn plans_and_currencies_that_do_not_fit_are_errors_before_anything_is_played() {
    let events =
        [hourly("acme", 1), vec![image("basin", "r", "2026-03-02T10:00:00Z", "2026-03-02T10:00:05Z").with("plan", "gone")]].concat();
    let error = |plans: &[(&str, &str)]| play_with(&events, &catalog(CATALOG), plans).unwrap_err().to_string();
    assert_eq!(error(&[]), "the catalog has no plan `gone`\nhint: say which plan takes its place: `--plan gone=NEW`");
    assert_eq!(error(&[("gone", "core2")]), "the catalog has no plan `core2` that `--plan` could name");
    assert!(play_with(&events, &catalog(CATALOG), &[("gone", "core")]).is_ok());
    let euros = catalog(&CATALOG.replace("version: old\n", "version: old\ncurrency: EUR\n"));
    let error = play_with(&hourly("acme", 1), &euros, &[]).unwrap_err().to_string();
    assert_eq!(error, "the events are in USD and the catalog is in EUR");
}

#[test]
fn usage_is_not_counted_twice_when_the_file_is_out_of_order() {
    let mut events = hourly("acme", 5);
    events.reverse();
    let replayed = play(&events, &changed(&[("amount: 10,", "amount: 3,")]));
    assert_eq!(denied(&replayed, "acme").first_time.to_string(), "2026-03-02T03:00:00Z");
    assert_eq!(total(&replayed), "5 attempts, 2 not made; units 5 to 3; cost 0.2 to 0.12");
}

/// Three attempts of one reservation, the last one accepted.
fn thrice(times: [(&str, &str); 3]) -> Vec<Event> {
    let outcomes = [("REJECTED", "0"), ("REJECTED", "0"), ("ACCEPTED", "1")];
    let made = times.into_iter().zip(outcomes).zip(1_u32..).map(|(((start, end), (outcome, units)), number)| {
        let at = |second: &str| format!("2026-03-02T10:00:{second}Z");
        image("acme", "r-1", &at(start), &at(end)).numbered(number, outcome, units, "0.04")
    });
    made.collect()
}

#[test]
fn the_failover_policy_of_the_catalog_stops_a_retry_and_what_was_made_costs() {
    let events = thrice([("00", "05"), ("05", "10"), ("10", "15")]);
    let twice = changed(&[("    rank: 1\n", "    rank: 1\n    failover: {max_attempts: 2}\n")]);
    let replayed = play(&events, &twice);
    assert_eq!(total(&replayed), "3 attempts, 1 not made; units 1 to 0; cost 0.12 to 0.08");
    let acme = denied(&replayed, "acme");
    assert_eq!((acme.count, acme.first_reason), (1, DenialReason::FailoverPolicy));
    assert_eq!(acme.first_time.to_string(), "2026-03-02T10:00:10Z");
}

#[test]
fn attempts_that_all_end_at_one_instant_follow_each_other() {
    for times in [[("00", "00"); 3], [("00", "05"), ("05", "05"), ("05", "05")]] {
        let replayed = play(&thrice(times), &catalog(CATALOG));
        assert_eq!(total(&replayed), "3 attempts, 0 not made; units 1 to 1; cost 0.12 to 0.12", "{times:?}");
    }
}

#[test]
fn a_retry_keeps_its_place_in_flight_and_its_units() {
    let new = catalog(&CATALOG.replace("plans:", "caps: {one: {of: in_flight, limit: 1}}\nplans:").replace("amount: 10,", "amount: 1,"));
    let mut events = thrice([("00", "05"), ("05", "10"), ("10", "15")]);
    events.push(image("acme", "r-2", "2026-03-02T10:00:05Z", "2026-03-02T10:00:20Z"));
    let replayed = play(&events, &new);
    assert_eq!(total(&replayed), "4 attempts, 1 not made; units 2 to 1; cost 0.16 to 0.12");
    assert_eq!(denied(&replayed, "acme").first_time.to_string(), "2026-03-02T10:00:05Z");
}

#[test]
fn a_failover_is_priced_at_the_target_that_ran_it() {
    let elsewhere = json!({"provider": "fal", "model": "dear"});
    let events = [
        image("acme", "r-1", "2026-03-02T10:00:00Z", "2026-03-02T10:00:05Z")
            .numbered(1, "FAILED", "0", "0")
            .with("billedWork", json!({"items": []}))
            .with("attempt.costBasis", "COST_BASIS_NONE"),
        image("acme", "r-1", "2026-03-02T10:00:05Z", "2026-03-02T10:00:10Z")
            .numbered(2, "ACCEPTED", "1", "0.3")
            .with("attempt.target", elsewhere),
    ];
    let new = catalog(&format!("{CATALOG}  - {{provider: fal, model: dear, tier: premium, components: [{{per: output, price: 0.2}}]}}\n"));
    assert_eq!(total(&play(&events, &new)), "2 attempts, 0 not made; units 1 to 1; cost 0.3 to 0.2");
}
