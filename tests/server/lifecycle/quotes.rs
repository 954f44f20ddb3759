//! What would it take, and would it pass? C6.

use genquota::proto::v1::DenialReason;

use super::NOON;
use crate::ask::{ask, bad_fields, fewer_count, images, named, outputs, wait_until};
use crate::catalogs::{monthly, plans};
use crate::harness::Server;

#[tokio::test]
async fn every_candidate_is_priced_in_the_order_asked() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let before = acme.seen(&[]).await;
    let quote = acme.quote(&images(2), &["lab/small", "studio/big", "lab/big", "nobody/knows"]).await.unwrap();
    assert_eq!(quote.currency, "USD");
    let shown: Vec<_> = quote
        .offers
        .iter()
        .map(|offer| [&offer.tier, &offer.units, &offer.cost, &offer.planned_cost, &offer.cost_shift].map(String::as_str))
        .collect();
    // The first is the one that is planned.
    let expected = [
        ["basic", "2", "0.02", "0.02", "0"],
        ["premium", "2", "0.2", "0.02", "0.18"],
        ["premium", "2", "0.08", "0.02", "0.06"],
        ["", "2", "", "0.02", ""],
    ];
    assert_eq!(shown, expected);
    assert_eq!(quote.offers.iter().map(|offer| offer.fits).collect::<Vec<_>>(), [true, true, true, false]);
    assert_eq!(quote.offers[3].denial.as_ref().unwrap().reason(), DenialReason::UnpricedTarget);
    let planned = acme.quote(&images(2).planned("studio/big"), &["lab/small"]).await.unwrap().offers.remove(0);
    assert_eq!((planned.planned_cost.as_str(), planned.cost_shift.as_str()), ("0.2", "-0.18"));
    assert_eq!(acme.seen(&[]).await, before, "a quote holds nothing");
}

#[tokio::test]
async fn an_offer_says_whether_plan_balance_caps_and_policy_let_it_pass() {
    let plan = "pro: {features: {tiers: [basic, premium]}, failover: {max_cost_ratio: 5}, allowances: [{meter: units, amount: 10, per: subject}], \
                caps: {money: {of: cost, limit: 0.25, per: day}}}";
    let text =
        plans(&[plan]).replace("plans:", "  - {provider: lab, model: tiny, tier: toy, components: [{per: output, price: 0.001}]}\nplans:");
    let server = Server::start(&text, NOON).await;
    let acme = server.customer("acme", "pro").await;
    let offers = |count| {
        let acme = acme.clone();
        async move { acme.quote(&images(count), &["lab/small", "lab/big", "studio/big", "lab/tiny"]).await.unwrap().offers }
    };
    let denied = |offers: &[genquota::proto::v1::Offer]| -> Vec<Vec<String>> {
        let names = |offer: &genquota::proto::v1::Offer| {
            offer.denial.as_ref().map(|denial| named(denial).into_iter().map(str::to_owned).collect()).unwrap_or_default()
        };
        offers.iter().map(names).collect()
    };
    assert_eq!(denied(&offers(2).await), [vec![], vec![], vec!["max_cost_ratio"], vec!["tiers"]]);
    let eight = offers(8).await;
    assert_eq!(denied(&eight), [vec![], vec!["money"], vec!["max_cost_ratio", "money"], vec!["tiers"]]);
    let denial = eight[1].denial.as_ref().unwrap();
    assert_eq!((fewer_count(denial).as_deref(), wait_until(denial)), (Some("6"), None));
    assert_eq!(denied(&offers(11).await)[0], ["units"]);
    // What is offered is granted.
    for count in [2, 8] {
        for (offer, at) in offers(count).await.into_iter().zip(["lab/small", "lab/big", "studio/big", "lab/tiny"]) {
            let answer = acme.reserve(&images(count).at(at).planned("lab/small").only_validate()).await.unwrap().outcome.unwrap();
            let granted = matches!(answer, genquota::proto::v1::reserve_response::Outcome::Reservation(_));
            assert_eq!(granted, offer.fits, "{count} at {at}");
        }
    }
}

#[tokio::test]
async fn a_quote_of_nothing_or_too_much_is_an_error() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    assert_eq!(bad_fields(&acme.quote(&images(1), &[]).await.unwrap_err()), ["targets"]);
    assert_eq!(bad_fields(&acme.quote(&images(1), &["lab/small"; 17]).await.unwrap_err()), ["targets"]);
    acme.quote(&images(1), &["lab/small"; 16]).await.unwrap();
    let unknown = acme.quote(&ask("dance", "", outputs(1)), &["lab/small"]).await.unwrap_err();
    assert_eq!(bad_fields(&unknown), ["action"]);
    let wrong = acme.quote(&images(0), &["lab/small", "la{b}/small"]).await.unwrap_err();
    assert_eq!(bad_fields(&wrong), ["work.items[0].count", "targets[1].provider"]);
}

#[tokio::test]
async fn a_free_action_is_offered_at_no_units() {
    let server = Server::start(&monthly("0"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let offer = acme.quote(&ask("upload", "", outputs(1)), &["lab/small"]).await.unwrap().offers.remove(0);
    assert_eq!((offer.units.as_str(), offer.meter.as_str(), offer.fits), ("0", "", true));
}
