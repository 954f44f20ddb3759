//! In what order sources pay: P9, and P10's separate balances.

use genquota::proto::v1::{DenialReason, SourceKind};

use crate::ask::{amounts, buy_credits, fewer_count, images, outputs, paid_by};
use crate::catalogs::plans;
use crate::harness::Server;

const NOON: &str = "2026-03-10T12:00:00Z";
const ALLOWANCE: &str = "allowances: [{meter: units, amount: 10, per: subject}]";

#[tokio::test]
async fn the_allowance_burns_before_credits_and_one_generation_may_straddle_both() {
    let server = Server::start(&plans(&[&format!("pro: {{{ALLOWANCE}}}")]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.grant("gift", "5", |_| {}).await.unwrap();
    assert_eq!(paid_by(&acme.used(&images(8)).await), "allowance units 8");
    assert_eq!(paid_by(&acme.held(&images(4)).await), "allowance units 2, grant gift 2");
    let balance = acme.balance().await;
    assert_eq!((balance.allowance_available.as_str(), balance.credits_available.as_str()), ("0", "3"));
    assert_eq!((balance.reserved.as_str(), balance.committed.as_str()), ("4", "8"));
    let kinds: Vec<SourceKind> = balance.sources.iter().map(|source| source.kind()).collect();
    assert_eq!(kinds, [SourceKind::Allowance, SourceKind::Grant]);
}

#[tokio::test]
async fn a_plan_may_burn_credits_first() {
    let server = Server::start(&plans(&[&format!("pro: {{{ALLOWANCE}, burn_order: [grant, add_on, allowance]}}")]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.grant("gift", "5", |_| {}).await.unwrap();
    assert_eq!(paid_by(&acme.held(&images(7)).await), "grant gift 5, allowance units 2");
}

#[tokio::test]
async fn one_s_own_allowance_burns_before_the_shared_one() {
    let pro = "pro: {allowances: [{id: shared, meter: units, amount: 10, per: subject}, {id: own, meter: units, amount: 3, per: user}]}";
    let server = Server::start(&plans(&[pro]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    assert_eq!(paid_by(&acme.held(&images(5).user("ann")).await), "allowance own 3, allowance shared 2");
    assert_eq!(paid_by(&acme.held(&images(1)).await), "allowance shared 1");
    assert_eq!((acme.left_for("ann").await.as_str(), acme.left_for("bob").await.as_str()), ("7", "10"));
}

#[tokio::test]
async fn a_plan_that_does_not_split_takes_all_from_one_source() {
    let server = Server::start(&plans(&[&format!("pro: {{{ALLOWANCE}, split: false}}")]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.grant("gift", "5", |_| {}).await.unwrap();
    acme.used(&images(7)).await;
    // 3 and 5 are left: 4 do not fit the allowance, and are paid by the grant alone.
    assert_eq!(paid_by(&acme.held(&images(4)).await), "grant gift 4");
    let denial = acme.denied_for(&images(4), DenialReason::QuotaExhausted).await;
    assert_eq!(amounts(&denial.violations[0])[3..], ["4", "3"]);
    assert_eq!(fewer_count(&denial).as_deref(), Some("3"));
    assert_eq!(buy_credits(&denial).as_deref(), Some("4"));
    acme.grant("more", "4", |_| {}).await.unwrap();
    assert_eq!(paid_by(&acme.held(&images(4)).await), "grant more 4");
    assert_eq!(paid_by(&acme.held(&images(3)).await), "allowance units 3");
}

#[tokio::test]
async fn what_is_not_used_goes_back_to_the_very_accounts_in_burn_order() {
    let server = Server::start(&plans(&[&format!("pro: {{{ALLOWANCE}}}")]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.grant("gift", "5", |_| {}).await.unwrap();
    let ask = images(13);
    assert_eq!(paid_by(&acme.held(&ask).await), "allowance units 10, grant gift 3");
    assert_eq!(paid_by(&acme.delivered(ask.key(), outputs(11)).await), "allowance units 10, grant gift 1");
    assert_eq!(acme.balance().await.credits_available, "4");
    let ask = images(4);
    assert_eq!(paid_by(&acme.held(&ask).await), "grant gift 4");
    acme.release(ask.key(), |_| {}).await.unwrap();
    assert_eq!(acme.balance().await.credits_available, "4");
}
