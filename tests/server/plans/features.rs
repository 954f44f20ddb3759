//! Features gate before any balance is looked at: P10.

use genquota::proto::v1::DenialReason;

use crate::ask::{ask, images, item, named, outputs, seconds, work};
use crate::catalogs::plans;
use crate::harness::Server;

const NOON: &str = "2026-03-10T12:00:00Z";
const MODEST: &str = "modest: {features: {actions: [image, video, upload], tiers: [basic], attributes: {resolution: 1024}, measures: {seconds: 5}}, \
                      allowances: [{meter: units, amount: 10, per: subject}]}";

#[tokio::test]
async fn credits_never_unlock_a_feature() {
    let server = Server::start(&plans(&[MODEST]), NOON).await;
    let acme = server.customer("acme", "modest").await;
    acme.grant("fortune", "1000000", |_| {}).await.unwrap();
    let before = acme.seen(&[]).await;
    let table = [
        (ask("edit", "lab/small", outputs(1)), "actions", "action", "edit"),
        (images(1).at("lab/big"), "tiers", "tier", "premium"),
        (ask("image", "lab/small", work(vec![item(1, &[], &[("resolution", "2048")])])), "resolution", "resolution", "2048"),
        (ask("video", "lab/small", seconds(&["5.5"])), "seconds", "seconds", "5.5"),
    ];
    for (ask, name, dimension, value) in table {
        let denial = acme.denied_for(&ask, DenialReason::FeatureNotInPlan).await;
        assert_eq!(named(&denial), [name]);
        assert_eq!(denial.violations[0].dimensions[dimension], value);
        assert!(denial.message.contains(value), "{}", denial.message);
        assert!(denial.retry_after.is_none(), "waiting does not help: {denial:?}");
    }
    assert_eq!(acme.seen(&[]).await, before);
    acme.held(&ask("video", "lab/small", seconds(&["5", "5"]))).await;
    acme.held(&ask("image", "lab/small", work(vec![item(1, &[], &[("resolution", "1024")])]))).await;
}

#[tokio::test]
async fn everything_that_stands_against_a_request_is_listed_by_weight() {
    let capped = format!("{}{}", MODEST.trim_end_matches('}'), ", caps: {day: {of: units, meter: units, limit: 4, per: day}}}");
    let server = Server::start(&plans(&[&capped]), NOON).await;
    let acme = server.customer("acme", "modest").await;
    let ask = ask("image", "lab/big", work(vec![item(11, &[], &[("resolution", "2048")])]));
    let denial = acme.denied_for(&ask, DenialReason::FeatureNotInPlan).await;
    let reasons: Vec<DenialReason> = denial.violations.iter().map(|violation| violation.reason()).collect();
    let feature = DenialReason::FeatureNotInPlan;
    assert_eq!(reasons, [feature, feature, DenialReason::CapReached, DenialReason::QuotaExhausted]);
    assert_eq!(named(&denial), ["resolution", "tiers", "day", "units"]);
    // Neither waiting nor credits nor fewer would let it through.
    assert!(denial.retry_after.is_none() && denial.remedies.is_empty(), "{denial:?}");
}

#[tokio::test]
async fn a_free_action_needs_no_balance_and_touches_none() {
    let server = Server::start(&plans(&["none: {allowances: [{meter: units, amount: 0, per: subject}]}"]), NOON).await;
    let acme = server.customer("acme", "none").await;
    acme.denied_for(&images(1), DenialReason::QuotaExhausted).await;
    let before = acme.seen(&[]).await;
    let upload = ask("upload", "", outputs(3));
    let held = acme.reserve(&upload).await.unwrap();
    assert!(held.balances.is_empty());
    let committed = acme.committed(upload.key()).await;
    assert_eq!((committed.meter.as_str(), committed.units_committed.as_str()), ("", "0"));
    assert!(committed.legs.is_empty());
    assert_eq!(acme.seen(&[]).await, before);
}
