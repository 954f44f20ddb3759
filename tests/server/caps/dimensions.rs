//! What splits a cap, and what it applies to.

use genquota::proto::v1::DenialReason;

use super::{capped, capped_by};
use crate::ask::{Ask, ask, images, named, outputs, seconds};

/// The first fills its share, the second has one of its own, and a third like the first is denied.
async fn split(by: &str, first: &Ask, second: &Ask, share: &[(&str, &str)]) {
    let (_server, acme) = capped(&format!("{{of: requests, limit: 1, by: {by}, per: day}}")).await;
    acme.used(first).await;
    acme.used(second).await;
    for (full, shown) in [(first, share), (second, &[])] {
        let denial = acme.denied_for(&full.again(), DenialReason::CapReached).await;
        for (dimension, value) in shown {
            assert_eq!(denial.violations[0].dimensions[*dimension], *value, "{by}");
        }
    }
}

#[tokio::test]
async fn a_cap_is_split_by_each_dimension() {
    let small = || images(1);
    split("user", &small().user("ann"), &small().user("bob"), &[("user", "ann")]).await;
    split("user", &small(), &small().user("bob"), &[("user", "")]).await;
    split("provider", &small(), &small().at("studio/big"), &[("provider", "lab")]).await;
    split("model", &small(), &small().at("lab/big"), &[("model", "small")]).await;
    split("tier", &small(), &small().at("lab/big"), &[("tier", "basic")]).await;
    split("action", &small(), &ask("edit", "lab/small", outputs(1)), &[("action", "image")]).await;
    split("\"label:campaign\"", &small().label("campaign", "a|b,c"), &small().label("campaign", "a"), &[("campaign", "a|b,c")]).await;
    let both = [("provider", "lab"), ("model", "big")];
    split("[provider, model]", &small().at("lab/big"), &small().at("studio/big"), &both).await;
}

#[tokio::test]
async fn a_cap_that_is_not_split_holds_for_all_together() {
    let (_server, acme) = capped("{of: requests, limit: 1, per: day}").await;
    acme.used(&images(1).user("ann")).await;
    let denial = acme.denied(&images(1).user("bob").at("studio/big")).await;
    assert!(denial.violations[0].dimensions.is_empty());
}

#[tokio::test]
async fn a_cap_applies_to_what_it_matches() {
    let clip = ask("video", "lab/small", seconds(&["2"]));
    let table = [
        ("{tier: premium}", images(1).at("lab/big"), images(1)),
        ("{provider: studio}", images(1).at("studio/big"), images(1).at("lab/big")),
        ("{model: small}", images(1), images(1).at("lab/big")),
        ("{action: video}", clip, images(1)),
        ("{provider: lab, model: big}", images(1).at("lab/big"), images(1).at("studio/big")),
        ("{plan: pro}", images(1), ask("upload", "", outputs(1))),
    ];
    for (matches, inside, outside) in table {
        let (_server, acme) = capped(&format!("{{of: requests, limit: 1, per: day, match: {matches}}}")).await;
        acme.used(&inside).await;
        acme.denied_for(&inside.again(), DenialReason::CapReached).await;
        acme.used(&outside).await;
        acme.used(&outside.again()).await;
    }
}

#[tokio::test]
async fn caps_of_the_catalog_hold_for_every_plan_and_beside_the_plan_s_own() {
    let text = crate::catalogs::plans(&[
        "pro: {allowances: [{meter: units, amount: unlimited, per: subject}], caps: {own: {of: requests, limit: 1, per: day}}}",
        "max: {rank: 1, allowances: [{meter: units, amount: unlimited, per: subject}]}",
    ]);
    let text = format!("{text}caps: {{every: {{of: requests, limit: 2, per: day}}}}\n");
    let server = crate::harness::Server::start(&text, super::NOON).await;
    let (pro, max) = (server.customer("pro", "pro").await, server.customer("max", "max").await);
    pro.used(&images(1)).await;
    assert_eq!(named(&pro.denied(&images(1)).await), ["own"]);
    max.used(&images(1)).await;
    max.used(&images(1)).await;
    assert_eq!(named(&max.denied(&images(1)).await), ["every"]);
    // Two subjects share nothing.
    assert_eq!(named(&pro.denied(&images(1)).await), ["own"]);
}

#[tokio::test]
async fn every_cap_and_source_that_stands_in_the_way_is_listed() {
    let plan = "pro: {allowances: [{meter: units, amount: 5, per: subject}], caps: {\
                day: {of: units, meter: units, limit: 4, per: day}, money: {of: cost, limit: 0.03, per: hour}, \
                calls: {of: requests, limit: 100, per: minute}}}";
    let server = crate::harness::Server::start(&crate::catalogs::plans(&[plan]), super::NOON).await;
    let acme = server.customer("acme", "pro").await;
    let before = acme.seen(&[]).await;
    let denial = acme.denied_for(&images(6), DenialReason::CapReached).await;
    assert_eq!(named(&denial), ["day", "money", "units"]);
    assert_eq!(denial.violations[2].reason(), DenialReason::QuotaExhausted);
    assert_eq!(acme.seen(&[]).await, before, "a refusal changes nothing");
    acme.held(&images(3)).await;
}

#[tokio::test]
async fn a_refusal_changes_nothing_in_any_account() {
    let table =
        [("a", "{of: units, meter: units, limit: 100}"), ("b", "{of: cost, limit: 1, per: day}"), ("c", "{of: in_flight, limit: 1}")];
    let (_server, acme) = capped_by(&table).await;
    let running = images(10);
    acme.held(&running).await;
    for _ in 0..20 {
        assert_eq!(named(&acme.denied(&images(50)).await), ["c"]);
        assert_eq!(named(&acme.denied(&images(91)).await), ["a", "b", "c"]);
    }
    // Had any of the 40 left a trace in another account, the rest would no longer fit.
    acme.release(running.key(), |_| {}).await.unwrap();
    acme.used(&images(100)).await;
}
