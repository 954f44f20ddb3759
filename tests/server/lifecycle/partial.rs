//! Fewer than asked: L11, and fallbacks that size a hold.

use genquota::proto::v1::DenialReason;

use super::NOON;
use crate::ask::{ask, fewer_count, images, item, outputs, paid_by, seconds, work};
use crate::catalogs::{catalog, monthly, plans};
use crate::harness::Server;

fn counts(reservation: &genquota::proto::v1::Reservation) -> Vec<i64> {
    reservation.work.as_ref().unwrap().items.iter().map(|item| item.count.unwrap()).collect()
}

#[tokio::test]
async fn of_twenty_asked_seven_fit() {
    let server = Server::start(&monthly("7"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let denial = acme.denied_for(&images(20), DenialReason::QuotaExhausted).await;
    assert_eq!(fewer_count(&denial).as_deref(), Some("7"));
    let ask = images(20).or_fewer();
    let held = acme.held(&ask).await;
    assert_eq!((counts(&held), held.units_reserved.as_str(), held.cost_reserved.as_str()), (vec![7], "7", "0.07"));
    // The repeat is the same request, and is answered with the same seven.
    let again = acme.reserve(&ask).await.unwrap();
    assert!(again.replayed);
    assert_eq!(counts(&acme.reservation(ask.key()).await.unwrap()), [7]);
    // A commit that says nothing is of what was granted.
    assert_eq!(acme.committed(ask.key()).await.units_committed, "7");
    let denial = acme.denied_for(&images(1).or_fewer(), DenialReason::QuotaExhausted).await;
    assert_eq!(fewer_count(&denial), None);
}

#[tokio::test]
async fn items_are_filled_in_order() {
    let server = Server::start(&monthly("7"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let items = |of: [i64; 3]| work(of.into_iter().map(|count| item(count, &[], &[])).collect());
    let held = acme.held(&ask("image", "lab/small", items([5, 6, 9])).or_fewer()).await;
    assert_eq!(counts(&held), [5, 2]);
}

#[tokio::test]
async fn fewer_fit_every_source_and_cap_at_once() {
    let plan = "pro: {allowances: [{meter: units, amount: 9, per: subject}], caps: {\
                money: {of: cost, limit: 0.05, per: day}, share: {of: units, meter: units, limit: 6, by: user, per: day}}}";
    let server = Server::start(&plans(&[plan]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    assert_eq!(counts(&acme.held(&images(20).or_fewer()).await), [5]);
    // 4 units are left, and no money.
    acme.denied_for(&images(20).or_fewer(), DenialReason::CapReached).await;
}

#[tokio::test]
async fn fewer_outputs_that_are_not_alike_are_counted_each_as_it_is() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let clips = ask("video", "lab/small", seconds(&["4", "4", "4", "1"]));
    assert_eq!(fewer_count(&acme.denied(&clips).await).as_deref(), Some("2"));
    assert_eq!(acme.held(&clips.or_fewer()).await.units_reserved, "8");
}

#[tokio::test]
async fn without_splitting_fewer_come_from_one_source() {
    let server = Server::start(&plans(&["pro: {split: false, allowances: [{meter: units, amount: 3, per: subject}]}"]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.grant("gift", "5", |_| {}).await.unwrap();
    assert_eq!(paid_by(&acme.held(&images(7).or_fewer()).await), "grant gift 5");
}

#[tokio::test]
async fn fallbacks_size_the_hold_for_the_dearest_that_the_policy_allows() {
    let text = plans(&["pro: {features: {tiers: [basic, premium]}, failover: {max_cost_ratio: 5}, \
                        allowances: [{meter: units, amount: 100, per: subject}]}"]);
    let text = text.replace(
        "rules: [{per: output, rate: 1}]\n  edit",
        "rules: [{when: {tier: premium}, per: output, rate: 3}, {per: output, rate: 1}]\n  edit",
    );
    let server = Server::start(&text, NOON).await;
    let acme = server.customer("acme", "pro").await;
    // At 0.10 the studio costs ten times as much as planned: no retry may go there.
    let ask = images(2).fallback("lab/big").fallback("studio/big").fallback("nobody/knows");
    let held = acme.held(&ask).await;
    assert_eq!((held.units_reserved.as_str(), held.cost_reserved.as_str()), ("6", "0.08"));
    assert_eq!(held.attempts[0].cost, "0.02", "it is not there that the first attempt runs");
    assert_eq!(acme.left().await, "94");
    // What ran is what is charged.
    let committed = acme.committed(ask.key()).await;
    assert_eq!((committed.units_committed.as_str(), committed.cost_committed.as_str()), ("2", "0.02"));
    assert_eq!(acme.left().await, "98");
    // What cannot be paid there cannot be promised.
    acme.denied_for(&images(40).fallback("lab/big"), DenialReason::QuotaExhausted).await;
    acme.held(&images(40)).await;
}

#[tokio::test]
async fn a_request_that_fits_whole_is_not_cut() {
    let server = Server::start(&monthly("7"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    assert_eq!(counts(&acme.held(&ask("image", "lab/small", outputs(7)).or_fewer()).await), [7]);
}

/// A smaller request may break what the larger one kept to: it is no remedy, and nothing to take instead.
#[tokio::test]
async fn fewer_are_not_offered_where_the_failover_policy_forbids_them() {
    let more = "
  - {provider: lab, model: flat, tier: basic, components: [{per: request, price: 0.05}, {per: output, price: 0.01}]}
plans:
  pro: {allowances: [{meter: units, amount: 3, per: subject}], failover: {max_cost_ratio: 2}}
";
    let server = Server::start(&catalog(more), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(10).at("lab/flat").planned("lab/small");
    for ask in [ask.clone(), ask.or_fewer()] {
        let denial = acme.denied_for(&ask, DenialReason::QuotaExhausted).await;
        assert_eq!(fewer_count(&denial), None);
    }
}
