//! What planned actions will cost (C7), on every store.

use genquota::proto::v1::{ForecastCostsRequest, ForecastCostsResponse, Outcome};
use tonic::Status;

use crate::ask::{bad_fields, images, outputs, seconds_of, target};
use crate::caller::Caller;
use crate::harness::Server;
use crate::stores::on_every_store;

on_every_store! { crate::catalogs::monthly("1000");
    without_observations_a_forecast_is_the_price
    a_forecast_multiplies_the_price_by_the_tries_it_took
    only_what_lies_within_the_lookback_counts
}

async fn forecast(caller: &Caller, with: impl FnOnce(&mut ForecastCostsRequest)) -> Result<ForecastCostsResponse, Status> {
    let mut request = ForecastCostsRequest {
        action: "image".to_owned(),
        target: Some(target("lab/big")),
        work: Some(outputs(2)),
        actions_per_month: 1000,
        lookback: None,
    };
    with(&mut request);
    Ok(caller.costs().forecast_costs(request).await?.into_inner())
}

fn told(answer: &ForecastCostsResponse) -> [&str; 5] {
    [&answer.expected_attempts, &answer.cost_per_action, &answer.monthly_cost_low, &answer.monthly_cost, &answer.monthly_cost_high]
}

async fn without_observations_a_forecast_is_the_price(server: &Server) {
    let answer = forecast(&server.stranger("acme"), |_| {}).await.unwrap();
    assert_eq!(told(&answer), ["1", "0.08", "80", "80", "80"]);
    assert_eq!((answer.attempts_observed, answer.currency.as_str(), answer.cost_per_accepted_output.as_str()), (0, "USD", ""));
}

async fn a_forecast_multiplies_the_price_by_the_tries_it_took(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    for _ in 0..4 {
        let ask = images(1).at("lab/big");
        acme.held(&ask).await;
        acme.retried(ask.key(), 1, |request| request.set_outcome(Outcome::Rejected)).await;
        acme.committed(ask.key()).await;
    }
    // Another action and another target say nothing about this one.
    acme.used(&images(1)).await;
    let answer = forecast(&acme, |_| {}).await.unwrap();
    let [attempts, each, low, monthly, high] = told(&answer);
    assert_eq!((attempts, each, monthly, answer.attempts_observed), ("2", "0.16", "160", 8));
    // Eight tries are few: the likely range is wide, and holds what was seen.
    let number = |text: &str| text.parse::<rust_decimal::Decimal>().unwrap();
    assert!(number(low) < number(monthly) && number(monthly) < number(high), "{answer:?}");
    assert_eq!(answer.cost_per_accepted_output, "0.08");
}

async fn only_what_lies_within_the_lookback_counts(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    let failed = images(1).at("lab/big");
    acme.held(&failed).await;
    acme.release(failed.key(), |_| {}).await.unwrap();
    server.clock.set("2026-03-12T12:00:00Z");
    acme.used(&images(1).at("lab/big")).await;
    let observed =
        async |hours: i64| forecast(&acme, |request| request.lookback = Some(seconds_of(hours * 3600))).await.unwrap().attempts_observed;
    assert_eq!((observed(1).await, observed(48).await, observed(49).await), (1, 1, 2));
}

#[tokio::test]
async fn what_cannot_be_forecast_is_named() {
    let server = Server::start(&crate::catalogs::monthly("10"), super::NOON).await;
    let acme = server.stranger("acme");
    let fields = async |with: fn(&mut ForecastCostsRequest)| bad_fields(&forecast(&acme, with).await.unwrap_err());
    assert_eq!(fields(|request| request.action = "dance".to_owned()).await, ["action"]);
    assert_eq!(fields(|request| request.target = Some(target("nobody/knows"))).await, ["target"]);
    let wrong = fields(|request| (request.target, request.work, request.actions_per_month) = (None, None, 0));
    assert_eq!(wrong.await, ["target", "work.items", "actions_per_month"]);
    assert_eq!(fields(|request| request.lookback = Some(seconds_of(367 * 24 * 3600))).await, ["lookback"]);
}
