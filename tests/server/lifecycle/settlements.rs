//! What a commit charges and a release gives back: L3, L4, and billed work apart from delivered work.

use genquota::proto::v1::{CostBasis, Outcome, State};

use super::NOON;
use crate::ask::{ask, images, item, outputs, paid_by, seconds, work};
use crate::catalogs::monthly;
use crate::harness::Server;

#[tokio::test]
async fn less_than_held_gives_the_rest_back() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(8);
    assert_eq!(acme.held(&ask).await.units_reserved, "8");
    let committed = acme.delivered(ask.key(), outputs(3)).await;
    assert_eq!((committed.units_reserved.as_str(), committed.units_committed.as_str()), ("8", "3"));
    assert_eq!(committed.cost_committed, "0.03");
    assert_eq!(committed.work.unwrap().items[0].count, Some(3));
    let balance = acme.balance().await;
    assert_eq!((balance.available.as_str(), balance.reserved.as_str(), balance.committed.as_str()), ("7", "0", "3"));
}

#[tokio::test]
async fn nothing_delivered_charges_nothing() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(8);
    acme.held(&ask).await;
    let committed = acme.delivered(ask.key(), work(Vec::new())).await;
    assert_eq!((committed.state(), committed.units_committed.as_str(), committed.cost_committed.as_str()), (State::Committed, "0", "0"));
    assert_eq!(acme.left().await, "10");
}

#[tokio::test]
async fn more_than_held_is_taken_from_the_sources_in_burn_order() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    acme.grant("gift", "5", |_| {}).await.unwrap();
    let ask = images(8);
    acme.held(&ask).await;
    let committed = acme.delivered(ask.key(), outputs(13)).await;
    assert_eq!(paid_by(&committed), "allowance units 10, grant gift 3");
    assert_eq!(committed.units_overage, "0");
    assert_eq!(acme.left().await, "2");
}

#[tokio::test]
async fn what_no_source_can_pay_is_booked_as_overage() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let (ask, other) = (images(8), images(2));
    acme.held(&ask).await;
    acme.held(&other).await;
    let answer = acme.commit(ask.key(), |request| request.work = Some(outputs(13))).await.unwrap();
    let committed = answer.reservation.unwrap();
    // The other two are promised to somebody.
    assert_eq!(paid_by(&committed), "allowance units 8, overage 5");
    assert_eq!((committed.units_committed.as_str(), committed.units_overage.as_str()), ("13", "5"));
    assert_eq!(answer.events[0].overage_units, "5");
    let balance = acme.balance().await;
    assert_eq!((balance.available.as_str(), balance.committed.as_str(), balance.overage.as_str()), ("0", "8", "5"));
    acme.committed(other.key()).await;
    // Debt of one period is none of the next.
    server.clock.set("2026-04-10T00:00:00Z");
    let balance = acme.balance().await;
    assert_eq!((balance.available.as_str(), balance.overage.as_str()), ("10", "0"));
}

#[tokio::test]
async fn actual_usage_is_rounded_as_asked_work_is() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = ask("video", "lab/small", seconds(&["5"]));
    acme.held(&ask).await;
    assert_eq!(acme.delivered(ask.key(), seconds(&["2.1", "2.000000001"])).await.units_committed, "6");
}

#[tokio::test]
async fn every_outcome_of_a_release_gives_everything_back_and_books_what_it_means() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    // Nothing said: what a quality gate refused was made, what nobody knows is an estimate, the others gave nothing.
    let table = [
        (Outcome::Unspecified, Outcome::Failed, "0", CostBasis::None),
        (Outcome::Failed, Outcome::Failed, "0", CostBasis::None),
        (Outcome::Blocked, Outcome::Blocked, "0", CostBasis::None),
        (Outcome::Cancelled, Outcome::Cancelled, "0", CostBasis::None),
        (Outcome::Rejected, Outcome::Rejected, "0.04", CostBasis::Priced),
        (Outcome::Unknown, Outcome::Unknown, "0.04", CostBasis::Estimated),
    ];
    for (said, outcome, cost, basis) in table {
        let ask = images(4);
        acme.held(&ask).await;
        let answer = acme
            .release(ask.key(), |request| {
                request.set_outcome(said);
                request.detail = "E 17".to_owned();
            })
            .await
            .unwrap();
        let released = answer.reservation.unwrap();
        assert_eq!((released.state(), released.units_committed.as_str(), paid_by(&released).as_str()), (State::Released, "0", ""));
        assert_eq!(released.cost_committed, cost, "{outcome:?}");
        let attempt = &released.attempts[0];
        assert_eq!((attempt.outcome(), attempt.units.as_str(), attempt.cost.as_str(), attempt.cost_basis()), (outcome, "0", cost, basis));
        assert_eq!((answer.events.len(), answer.events[0].detail.as_str()), (1, "E 17"));
        assert_eq!(answer.balances[0].available, "10");
    }
    let balance = acme.balance().await;
    assert_eq!((balance.available.as_str(), balance.reserved.as_str(), balance.committed.as_str()), ("10", "0", "0"));
}

#[tokio::test]
async fn a_release_books_the_work_or_the_cost_that_was_billed() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let (by_work, by_cost, by_both) = (images(4), images(4), images(4));
    for ask in [&by_work, &by_cost, &by_both] {
        acme.held(&ask.clone()).await;
        if std::ptr::eq(ask, &by_work) {
            let released = acme.release(ask.key(), |request| request.billed_work = Some(outputs(3))).await.unwrap().reservation.unwrap();
            assert_eq!((released.cost_committed.as_str(), released.attempts[0].cost_basis()), ("0.03", CostBasis::Priced));
            continue;
        }
        let released = acme
            .release(ask.key(), |request| {
                request.billed_cost = Some("0.025".to_owned());
                request.billed_work = std::ptr::eq(ask, &by_both).then(|| outputs(2));
            })
            .await
            .unwrap();
        let event = &released.events[0];
        let attempt = event.attempt.as_ref().unwrap();
        assert_eq!((attempt.cost.as_str(), attempt.cost_basis()), ("0.025", CostBasis::Billed));
    }
    assert_eq!(acme.left().await, "10");
}

#[tokio::test]
async fn what_the_customer_is_charged_and_what_the_provider_bills_may_differ() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let ask = images(4);
    acme.held(&ask).await;
    // Ten were made for the four that were kept.
    let answer = acme
        .commit(ask.key(), |request| {
            request.work = Some(outputs(4));
            request.billed_work = Some(outputs(10));
        })
        .await
        .unwrap();
    let committed = answer.reservation.unwrap();
    assert_eq!((committed.units_committed.as_str(), committed.cost_committed.as_str()), ("4", "0.1"));
    let event = &answer.events[0];
    let count = |work: &Option<genquota::proto::v1::Work>| work.as_ref().unwrap().items[0].count;
    assert_eq!((count(&event.work), count(&event.billed_work)), (Some(4), Some(10)));
    // Nothing billed at all.
    let ask = images(1);
    acme.held(&ask).await;
    let committed = acme.commit(ask.key(), |request| request.billed_work = Some(work(Vec::new()))).await.unwrap().reservation.unwrap();
    assert_eq!((committed.units_committed.as_str(), committed.cost_committed.as_str()), ("1", "0"));
    assert_eq!(committed.attempts[0].cost_basis(), CostBasis::None);
}

#[tokio::test]
async fn the_near_limit_flag_comes_at_eighty_percent() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let near = async |count| acme.reserve(&images(count)).await.unwrap().balances[0].near_limit;
    assert!(!near(7).await);
    assert!(!acme.balance().await.near_limit);
    assert!(near(1).await, "8 of 10 are used or held");
    assert!(acme.balance().await.near_limit);
    assert!(near(3).await, "a denial says so too");
    server.clock.set("2026-04-10T00:00:00Z");
    assert!(!acme.balance().await.near_limit);
}

#[tokio::test]
async fn a_catalog_may_flag_a_near_limit_earlier() {
    let server = Server::start(&format!("near_limit: 50\n{}", monthly("10").trim_start()), NOON).await;
    let acme = server.customer("acme", "pro").await;
    assert!(!acme.reserve(&images(4)).await.unwrap().balances[0].near_limit);
    let ask = images(1);
    assert!(acme.reserve(&ask).await.unwrap().balances[0].near_limit);
    let released = acme.release(ask.key(), |_| {}).await.unwrap();
    assert!(!released.balances[0].near_limit);
}

#[tokio::test]
async fn a_reservation_shows_what_it_was_made_of() {
    let server = Server::start(&monthly("10"), NOON).await;
    let acme = server.customer("acme", "pro").await;
    let mut ask = ask("image", "lab/big", work(vec![item(2, &[], &[("resolution", "1024")])])).user("ann").label("campaign", "spring");
    ask.0.generation_id = "generation-1".to_owned();
    acme.held(&ask).await;
    let shown = acme.reservation(ask.key()).await.unwrap();
    assert_eq!((shown.subject.as_str(), shown.user.as_str(), shown.generation_id.as_str()), ("acme", "ann", "generation-1"));
    assert_eq!((shown.action.as_str(), shown.meter.as_str(), shown.currency.as_str()), ("image", "units", "USD"));
    assert_eq!((shown.units_reserved.as_str(), shown.cost_reserved.as_str(), shown.cost_committed.as_str()), ("2", "0.08", "0"));
    assert_eq!(shown.labels["campaign"], "spring");
    assert!(shown.catalog_version.starts_with("tests"), "{}", shown.catalog_version);
    assert_eq!(shown.planned_target.as_ref().unwrap().model, "big");
    let attempt = &shown.attempts[0];
    assert_eq!((attempt.number, attempt.tier.as_str(), attempt.outcome()), (1, "premium", Outcome::Unspecified));
    // What an open attempt costs is an expectation.
    assert_eq!((attempt.cost.as_str(), attempt.cost_basis()), ("0.08", CostBasis::Estimated));
    assert!(shown.settle_time.is_none() && attempt.end_time.is_none());
}
