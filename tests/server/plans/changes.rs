//! Upgrades act at once, lower plans when the billing period ends: P11, P12.

use genquota::proto::v1::BillingInterval;

use crate::administrator::Change;
use crate::ask::{ask, bad_fields, images, instant, paid_by, seconds};
use crate::caller::Caller;
use crate::catalogs::plans;
use crate::harness::Server;
use crate::stores::{NOON, on_every_store};

/// Half of the period that begins on 10 March is over.
const HALF: &str = "2026-03-25T12:00:00Z";
const NEXT: &str = "2026-04-10T00:00:00Z";

/// One modest plan, and better ones that differ in what an upgrade gives for the rest of the period.
fn offers() -> String {
    plans(&[
        "basic: {rank: 1, allowances: [{meter: units, amount: 1000, per: subject}]}",
        "full: {rank: 2, proration: full, allowances: [{meter: units, amount: 2500, per: subject}]}",
        "prorated: {rank: 3, allowances: [{meter: units, amount: 2500, per: subject}]}",
        "none: {rank: 4, proration: none, allowances: [{meter: units, amount: 2500, per: subject}]}",
        "rounded: {rank: 5, proration_round: {mode: up, to: 100}, allowances: [{meter: units, amount: 2500, per: subject}]}",
        "other: {rank: 6, proration: full, allowances: [{id: other, meter: units, amount: 2500, per: subject}]}",
        "ultimate: {rank: 7, allowances: [{meter: units, amount: unlimited, per: subject}]}",
    ])
}

on_every_store! { super::offers();
    an_upgrade_leaves_2200_of_2500_when_300_of_1000_were_used
    an_upgrade_gives_for_the_rest_of_the_period_what_its_plan_declares
    a_hold_from_before_an_upgrade_is_settled_in_the_same_account
    a_lower_plan_acts_when_the_period_ends
    a_later_upgrade_takes_the_place_of_a_lower_plan_to_come
    the_present_plan_again_drops_what_was_to_come
    a_year_billed_at_once_keeps_its_plan_until_it_is_over
    a_plan_nobody_offers_changes_nothing
}

/// Several subjects on the modest plan that have used 300 of 1000.
async fn used_300<const N: usize>(server: &Server, names: [&str; N]) -> [Caller; N] {
    let mut callers = Vec::new();
    for name in names {
        let caller = server.customer(name, "basic").await;
        caller.used(&images(300)).await;
        callers.push(caller);
    }
    callers.try_into().unwrap_or_else(|_| panic!("as many callers as names"))
}

async fn an_upgrade_leaves_2200_of_2500_when_300_of_1000_were_used(server: &Server) {
    let [acme] = used_300(server, ["acme"]).await;
    let changed = acme.changed(Change::Plan("full")).await.subscription.unwrap();
    assert_eq!((changed.plan.as_str(), changed.pending_change), ("full", None));
    assert_eq!(instant(changed.period_end_time.as_ref()), NEXT);
    let balance = acme.balance().await;
    assert_eq!((balance.available.as_str(), balance.committed.as_str(), balance.sources[0].limit.as_str()), ("2200", "300", "2500"));
    acme.used(&images(2200)).await;
    acme.denied(&images(1)).await;
    server.clock.set(NEXT);
    assert_eq!(acme.left().await, "2500");
}

async fn an_upgrade_gives_for_the_rest_of_the_period_what_its_plan_declares(server: &Server) {
    let names = ["full", "prorated", "none", "rounded", "other"];
    let callers = used_300(server, names).await;
    server.clock.set(HALF);
    // Half of 1500 is 750; up to the next hundred it is 800.
    for (acme, left) in callers.iter().zip(["2200", "1450", "700", "1500", "2200"]) {
        acme.changed(Change::Plan(&acme.subject)).await;
        assert_eq!(acme.left().await, left, "{}", acme.subject);
        acme.denied(&images(left.parse::<i64>().unwrap() + 1)).await;
    }
    // What was given under another name stays beside what is new.
    assert_eq!(paid_by(&callers[4].used(&images(1600)).await), "allowance units 700, allowance other 900");
    server.clock.set(NEXT);
    for acme in &callers {
        assert_eq!(acme.left().await, "2500", "{}", acme.subject);
    }
    let balance = callers[4].balance().await;
    assert_eq!(balance.sources.iter().map(|source| source.id.as_str()).collect::<Vec<_>>(), ["other"]);
}

async fn a_hold_from_before_an_upgrade_is_settled_in_the_same_account(server: &Server) {
    let acme = server.customer("acme", "basic").await;
    let [kept, given_back] = [images(600), images(400)];
    acme.held(&kept).await;
    acme.held(&given_back).await;
    acme.changed(Change::Plan("full")).await;
    assert_eq!(acme.left().await, "1500");
    assert_eq!(paid_by(&acme.committed(kept.key()).await), "allowance units 600");
    acme.release(given_back.key(), |_| {}).await.unwrap();
    assert_eq!(acme.left().await, "1900");
    acme.changed(Change::Plan("ultimate")).await;
    assert!(acme.balance().await.unlimited);
    acme.used(&images(10_000)).await;
}

async fn a_lower_plan_acts_when_the_period_ends(server: &Server) {
    let acme = server.customer("acme", "full").await;
    acme.used(&images(300)).await;
    let changed = acme.changed(Change::Plan("basic")).await.subscription.unwrap();
    let pending = changed.pending_change.unwrap();
    assert_eq!((changed.plan.as_str(), pending.plan.as_str(), instant(pending.effective_time.as_ref()).as_str()), ("full", "basic", NEXT));
    server.clock.set("2026-04-09T23:59:59.999Z");
    assert_eq!(acme.left().await, "2200");
    acme.used(&images(2200)).await;
    server.clock.set(NEXT);
    let subscription = acme.subscription().await;
    assert_eq!((subscription.plan.as_str(), subscription.pending_change), ("basic", None));
    assert_eq!(acme.left().await, "1000");
    acme.denied(&images(1001)).await;
    acme.held(&images(1000)).await;
}

async fn a_later_upgrade_takes_the_place_of_a_lower_plan_to_come(server: &Server) {
    let acme = server.customer("acme", "full").await;
    acme.used(&images(300)).await;
    acme.changed(Change::Plan("basic")).await;
    let changed = acme.changed(Change::Plan("prorated")).await.subscription.unwrap();
    assert_eq!((changed.plan.as_str(), changed.pending_change), ("prorated", None));
    assert_eq!(acme.left().await, "2200");
    server.clock.set(NEXT);
    assert_eq!((acme.left().await.as_str(), acme.subscription().await.plan.as_str()), ("2500", "prorated"));
}

async fn the_present_plan_again_drops_what_was_to_come(server: &Server) {
    let acme = server.customer("acme", "full").await;
    acme.changed(Change::Plan("basic")).await;
    assert_eq!(acme.changed(Change::Plan("full")).await.subscription.unwrap().pending_change, None);
    server.clock.set(NEXT);
    assert_eq!(acme.left().await, "2500");
}

async fn a_year_billed_at_once_keeps_its_plan_until_it_is_over(server: &Server) {
    let acme = server.subject("acme").await;
    acme.subscribe("full", |request| request.billing_interval = BillingInterval::Year.into()).await.unwrap();
    server.clock.set("2026-05-20T12:00:00Z");
    let changed = acme.changed(Change::Plan("basic")).await.subscription.unwrap();
    assert_eq!(instant(changed.pending_change.unwrap().effective_time.as_ref()), "2027-03-10T00:00:00Z");
    for month in ["2026-06", "2026-10", "2027-02"] {
        server.clock.set(&format!("{month}-10T00:00:00Z"));
        assert_eq!(acme.left().await, "2500", "{month}");
        acme.used(&images(2500)).await;
    }
    server.clock.set("2027-03-09T23:59:59.999Z");
    assert_eq!((acme.left().await.as_str(), acme.subscription().await.plan.as_str()), ("0", "full"));
    server.clock.set("2027-03-10T00:00:00Z");
    assert_eq!((acme.left().await.as_str(), acme.subscription().await.plan.as_str()), ("1000", "basic"));
}

async fn a_plan_nobody_offers_changes_nothing(server: &Server) {
    let acme = server.customer("acme", "basic").await;
    let before = acme.seen(&[]).await;
    assert_eq!(bad_fields(&acme.change(Change::Plan("gold")).await.unwrap_err()), ["plan"]);
    assert_eq!(bad_fields(&acme.change(Change::Plan("")).await.unwrap_err()), ["plan"]);
    assert_eq!(acme.seen(&[]).await, before);
}

/// All there is of the one meter, used or not.
async fn given(acme: &Caller) -> f64 {
    acme.balance().await.sources.iter().map(|source| source.limit.parse::<f64>().unwrap()).sum()
}

/// Every way of three changes, with time between them, some use, and an end and a new beginning among them.
#[tokio::test]
async fn no_chain_of_changes_in_a_period_gives_more_than_the_best_plan() {
    let server = Server::start(&offers(), NOON).await;
    let steps = [
        &[Change::Plan("basic")][..],
        &[Change::Plan("full")],
        &[Change::Plan("prorated")],
        &[Change::Plan("other")],
        &[Change::Cancel, Change::Plan("basic")],
        &[Change::CancelNow, Change::Subscribe("basic")],
        &[Change::CancelNow, Change::Subscribe("other")],
    ];
    let mut chains = Vec::new();
    for first in 0..steps.len() {
        for second in 0..steps.len() {
            for third in 0..steps.len() {
                let name = format!("chain-{first}-{second}-{third}");
                chains.push((server.customer(&name, "basic").await, [first, second, third]));
            }
        }
    }
    for (number, day) in ["12T06:00:00", "20T18:00:00", "31T00:00:00"].into_iter().enumerate() {
        server.clock.set(&format!("2026-03-{day}Z"));
        for (acme, chain) in &chains {
            acme.used(&images(100)).await;
            for change in steps[chain[number]] {
                acme.changed(*change).await;
            }
            let given = given(acme).await;
            assert!((1000.0..=2500.0).contains(&given), "{} step {number}: {given}", acme.subject);
        }
    }
    for (acme, _) in &chains {
        let balance = acme.balance().await;
        assert_eq!((balance.committed.as_str(), balance.overage.as_str()), ("300", "0"), "{}", acme.subject);
    }
    server.clock.set(NEXT);
    for (acme, _) in &chains {
        let plan = acme.subscription().await.plan;
        assert_eq!(acme.left().await, if plan == "basic" { "1000" } else { "2500" }, "{}", acme.subject);
    }
}

/// By way of a plan between, an upgrade gives what it gives at once.
#[tokio::test]
async fn two_steps_up_give_what_one_gives() {
    let between = plans(&[
        "low: {rank: 1, allowances: [{meter: units, amount: 1000, per: subject}]}",
        "middle: {rank: 2, allowances: [{meter: units, amount: 1800, per: subject}]}",
        "high: {rank: 3, allowances: [{meter: units, amount: 2600, per: subject}]}",
    ]);
    let server = Server::start(&between, NOON).await;
    let (steps, leap) = (server.customer("steps", "low").await, server.customer("leap", "low").await);
    server.clock.set(HALF);
    for plan in ["middle", "high"] {
        steps.changed(Change::Plan(plan)).await;
    }
    leap.changed(Change::Plan("high")).await;
    assert_eq!((steps.left().await.as_str(), leap.left().await.as_str()), ("1800", "1800"));
}

/// An unlimited pot was taken for one on top of what each user had, and gave nothing before the next period.
#[tokio::test]
async fn from_so_much_for_each_user_to_no_end_for_all_there_is_no_end_at_once() {
    let offers = plans(&[
        "low: {rank: 1, allowances: [{meter: units, amount: 10, per: user}]}",
        "high: {rank: 2, allowances: [{id: pot, meter: units, amount: unlimited, per: subject}]}",
    ]);
    let server = Server::start(&offers, NOON).await;
    let acme = server.customer("acme", "low").await;
    acme.used(&images(10).user("ann")).await;
    server.clock.set(HALF);
    acme.denied(&images(1).user("ann")).await;
    acme.changed(Change::Plan("high")).await;
    assert_eq!(paid_by(&acme.used(&images(5000).user("ann")).await), "allowance pot 5000");
}

/// What was given of a meter that the new plan does not have could be used, and was not shown.
#[tokio::test]
async fn every_meter_of_which_there_is_something_left_has_a_balance() {
    let offers = plans(&[
        "mixed: {rank: 1, allowances: [{id: clips, meter: clips, amount: 5, per: subject}, {meter: units, amount: 10, per: subject}]}",
        "pictures: {rank: 2, proration: full, allowances: [{meter: units, amount: 30, per: subject}], \
         add_ons: {reel: {meter: reels, amount: 3, per: subject}}}",
    ]);
    let offers =
        offers.replace("units: {}", "units: {}\n  clips: {}\n  reels: {}").replace("video:\n    meter: units", "video:\n    meter: clips");
    let server = Server::start(&offers, NOON).await;
    let acme = server.customer("acme", "mixed").await;
    server.clock.set(HALF);
    acme.changed(Change::Plan("pictures")).await;
    acme.changed(Change::AddOn("reel", 2)).await;
    acme.used(&ask("video", "lab/small", seconds(&["2"]))).await;
    let shown = async || {
        let balances = acme.all_balances("").await.balances;
        balances.into_iter().map(|balance| format!("{} {}", balance.meter, balance.available)).collect::<Vec<_>>()
    };
    assert_eq!(shown().await, ["clips 3", "reels 6", "units 30"]);
    acme.changed(Change::AddOn("reel", 0)).await;
    server.clock.set(NEXT);
    assert_eq!(shown().await, ["units 30"]);
}
