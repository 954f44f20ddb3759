//! The rates a reservation is settled by are those it was made under: R9.

use super::NOON;
use crate::ask::{amounts, ask, images, outputs, paid_by, seconds};
use crate::catalogs::{catalog, monthly, plans};
use crate::harness::Setup;

#[tokio::test]
async fn a_reservation_is_settled_by_the_catalog_it_was_made_under() {
    let server = Setup::new(&monthly("100"), NOON).embedded().start().await;
    let acme = server.customer("acme", "pro").await;
    let (image, clip) = (images(2), ask("video", "lab/small", seconds(&["5"])));
    let version = acme.held(&image).await.catalog_version;
    acme.held(&clip).await;
    // Everything counts and costs ten times as much.
    let dearer = monthly("100").replace("rate: 1", "rate: 10").replace("price: 0.01", "price: 0.1");
    let server = server.restart(&dearer).await;
    let acme = server.stranger("acme");
    let committed = acme.delivered(image.key(), outputs(3)).await;
    assert_eq!((committed.units_committed.as_str(), committed.cost_committed.as_str()), ("3", "0.03"));
    assert_eq!(committed.catalog_version, version);
    assert_eq!(acme.delivered(clip.key(), seconds(&["4.5"])).await.units_committed, "5");
    let new = images(2);
    let held = acme.held(&new).await;
    assert_ne!(held.catalog_version, version);
    assert_eq!((held.units_reserved.as_str(), held.cost_reserved.as_str()), ("20", "0.2"));
    assert_eq!(acme.left().await, "72");
}

#[tokio::test]
async fn every_answer_and_event_carries_the_catalog_that_judged_it() {
    let server = Setup::new(&monthly("100"), NOON).embedded().start().await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1);
    let version = acme.held(&ask).await.catalog_version;
    assert_eq!(acme.quote(&ask, &["lab/small"]).await.unwrap().catalog_version, version);
    let server = server.restart(&monthly("200")).await;
    let acme = server.stranger("acme");
    let answer = acme.commit(ask.key(), |_| {}).await.unwrap();
    assert_eq!(answer.events[0].catalog_version, version);
    let recorded = acme.record(&images(1), |_| {}).await.unwrap().reservation.unwrap();
    assert_ne!(recorded.catalog_version, version);
}

#[tokio::test]
async fn a_hold_under_a_plan_that_is_gone_is_settled_in_its_accounts_and_caps() {
    let plan = "old: {allowances: [{meter: units, amount: 10, per: subject}], caps: {money: {of: cost, limit: 0.05, per: day}}}";
    let with_plan = format!("{}default_plan: old\n", plans(&[plan]));
    let server = Setup::new(&with_plan, NOON).embedded().start().await;
    let acme = server.stranger("acme");
    let ask = images(4);
    acme.held(&ask).await;
    let server = server.restart(&catalog("")).await;
    let acme = server.stranger("acme");
    let committed = acme.delivered(ask.key(), outputs(5)).await;
    // What was not held nobody can pay any more.
    assert_eq!(paid_by(&committed), "allowance units 4, overage 1");
    assert!(committed.legs.iter().any(|leg| leg.source_id == "money" && leg.units == "0.05"), "{:?}", committed.legs);
    let server = server.restart(&with_plan).await;
    let acme = server.stranger("acme");
    let denial = acme.denied(&images(1)).await;
    assert_eq!(amounts(&denial.violations[0]), ["0.05", "0", "0.05", "0.01", "0"]);
    let balance = acme.balance().await;
    assert_eq!((balance.available.as_str(), balance.committed.as_str(), balance.overage.as_str()), ("6", "4", "1"));
}

#[tokio::test]
async fn a_price_with_a_date_is_that_of_the_day_of_the_hold() {
    let text = monthly("10").replace(
        "plans:",
        "  - {provider: lab, model: new, tier: basic, components: [{per: output, price: 0.5}]}\n  \
         - {provider: lab, model: new, tier: basic, from: 2026-03-11, components: [{per: output, price: 0.7}]}\nplans:",
    );
    let server = Setup::new(&text, "2026-03-10T23:59:00Z").start().await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(1).at("lab/new");
    assert_eq!(acme.held(&ask).await.cost_reserved, "0.5");
    server.clock.set("2026-03-11T00:00:00Z");
    let answer = acme.commit(ask.key(), |_| {}).await.unwrap();
    assert_eq!(answer.reservation.unwrap().cost_committed, "0.5");
    let later = images(1).at("lab/new");
    acme.held(&later).await;
    let answer = acme.commit(later.key(), |_| {}).await.unwrap();
    assert_eq!(
        (answer.events[0].price_version.as_str(), answer.reservation.unwrap().cost_committed.as_str()),
        ("2026-03-11T00:00:00Z", "0.7")
    );
}
