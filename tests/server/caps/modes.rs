//! What a cap does when it is reached.

use genquota::proto::v1::DenialReason;

use super::{capped, capped_by};
use crate::ask::{amounts, images, named};

#[tokio::test]
async fn only_an_enforced_cap_refuses() {
    for (mode, refuses) in [("", true), (", mode: enforce", true), (", mode: warn", false), (", mode: shadow", false)] {
        let (_server, acme) = capped(&format!("{{of: requests, limit: 1, per: day{mode}}}")).await;
        acme.used(&images(1)).await;
        let outcome = acme.reserve(&images(1)).await.unwrap().outcome.unwrap();
        let refused = matches!(outcome, genquota::proto::v1::reserve_response::Outcome::Denial(_));
        assert_eq!(refused, refuses, "{mode}");
    }
}

#[tokio::test]
async fn a_cap_that_refuses_nothing_hides_none_that_does() {
    let soft = "{of: units, meter: units, limit: 1, per: day, mode: warn}";
    let (_server, acme) = capped_by(&[("soft", soft), ("hard", "{of: units, meter: units, limit: 3, per: day}")]).await;
    acme.used(&images(2)).await;
    let denial = acme.denied_for(&images(2), DenialReason::CapReached).await;
    assert_eq!(named(&denial), ["hard"]);
    assert_eq!(amounts(&denial.violations[0]), ["3", "0", "2", "2", "1"]);
    acme.held(&images(1)).await;
}

#[tokio::test]
async fn a_raised_cap_acts_at_once() {
    let with = |limit: u32| {
        crate::catalogs::plans(&[&format!(
            "pro: {{allowances: [{{meter: units, amount: unlimited, per: subject}}], \
             caps: {{day: {{of: requests, limit: {limit}, per: day}}}}}}"
        )])
    };
    let server = crate::harness::Setup::new(&with(1), super::NOON).embedded().start().await;
    let acme = server.customer("acme", "pro").await;
    acme.used(&images(1)).await;
    acme.denied(&images(1)).await;
    let server = server.restart(&with(2)).await;
    let acme = server.stranger("acme");
    acme.used(&images(1)).await;
    acme.denied(&images(1)).await;
}
