//! Sums by provider, model and tier (C5), on every store.

use std::collections::BTreeMap;

use genquota::proto::v1::{CostFilters, CostRow, Outcome, SummarizeCostsRequest};

use crate::ask::{bad_fields, images, instant, seconds_of, time};
use crate::caller::Caller;
use crate::harness::Server;
use crate::stores::on_every_store;

on_every_store! { crate::catalogs::plans(&[
        "pro: {rank: 1, allowances: [{meter: units, amount: 1000, per: subject}]}",
        "max: {rank: 2, allowances: [{meter: units, amount: 1000, per: subject}]}",
    ]);
    sums_are_split_by_provider_model_and_tier_and_by_what_is_asked_for
    a_span_is_split_into_steps_of_whole_hours
    filters_choose_what_is_summed
    outcomes_are_told_apart
}

/// Two customers over three hours: what each test sums.
async fn a_morning(server: &Server) -> Caller {
    let (acme, bolt) = (server.customer("acme", "pro").await, server.customer("bolt", "max").await);
    for (caller, user, at, count, hour) in [
        (&acme, "ann", "lab/small", 1, "12"),
        (&acme, "ben", "lab/small", 2, "12"),
        (&acme, "ann", "lab/big", 1, "13"),
        (&bolt, "cas", "lab/big", 3, "13"),
        (&bolt, "cas", "studio/big", 1, "14"),
    ] {
        server.clock.set(&format!("2026-03-10T{hour}:30:00Z"));
        caller.used(&images(count).user(user).at(at).planned("lab/small")).await;
    }
    acme
}

/// `where group: attempts outputs cost shift`.
fn told(row: &CostRow) -> String {
    let group: Vec<_> = row.group.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let place = format!("{}/{} {} {}", row.provider, row.model, row.tier, group.join(" "));
    format!("{}: {} {} {} {}", place.trim_end(), row.attempts, row.accepted_outputs, row.cost, row.cost_shift)
}

async fn rows(caller: &Caller, with: impl FnOnce(&mut SummarizeCostsRequest)) -> Vec<String> {
    caller.summary(with).await.unwrap().iter().map(told).collect()
}

fn grouped(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn sums_are_split_by_provider_model_and_tier_and_by_what_is_asked_for(server: &Server) {
    let caller = a_morning(server).await;
    let all = ["lab/big premium: 2 4 0.16 0.12", "lab/small basic: 2 3 0.03 0", "studio/big premium: 1 1 0.1 0.09"];
    assert_eq!(rows(&caller, |_| {}).await, all);
    assert_eq!(rows(&caller, |request| request.group_by = grouped(&["model", "provider", "tier"])).await, all);
    assert_eq!(
        rows(&caller, |request| request.group_by = grouped(&["subject"])).await,
        [
            "lab/big premium subject=acme: 1 1 0.04 0.03",
            "lab/big premium subject=bolt: 1 3 0.12 0.09",
            "lab/small basic subject=acme: 2 3 0.03 0",
            "studio/big premium subject=bolt: 1 1 0.1 0.09",
        ]
    );
    assert_eq!(
        rows(&caller, |request| request.group_by = grouped(&["user", "plan"])).await,
        [
            "lab/big premium plan=pro user=ann: 1 1 0.04 0.03",
            "lab/big premium plan=max user=cas: 1 3 0.12 0.09",
            "lab/small basic plan=pro user=ann: 1 1 0.01 0",
            "lab/small basic plan=pro user=ben: 1 2 0.02 0",
            "studio/big premium plan=max user=cas: 1 1 0.1 0.09",
        ]
    );
    let answer = caller.costs().summarize_costs(SummarizeCostsRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.currency, "USD");
    assert!(answer.rows.iter().all(|row| row.currency == "USD" && row.generations == row.attempts));
}

async fn a_span_is_split_into_steps_of_whole_hours(server: &Server) {
    let caller = a_morning(server).await;
    let at = |row: &CostRow| format!("{} {}", instant(row.time.as_ref()), row.attempts);
    let hourly = caller.summary(|request| request.step = Some(seconds_of(3600))).await.unwrap();
    assert_eq!(hourly.iter().map(at).collect::<Vec<_>>(), ["2026-03-10T12:00:00Z 2", "2026-03-10T13:00:00Z 2", "2026-03-10T14:00:00Z 1"]);
    // From the start of the hour named, to the end of the hour that the end lies in.
    let middle = caller
        .summary(|request| {
            (request.start_time, request.end_time) = (Some(time("2026-03-10T13:59:00Z")), Some(time("2026-03-10T14:00:01Z")));
        })
        .await
        .unwrap();
    assert_eq!(middle.iter().map(at).collect::<Vec<_>>(), ["2026-03-10T13:00:00Z 2", "2026-03-10T13:00:00Z 1"]);
    let before = caller.summary(|request| request.end_time = Some(time("2026-03-10T12:00:00Z"))).await.unwrap();
    assert_eq!(before, []);
}

async fn filters_choose_what_is_summed(server: &Server) {
    let caller = a_morning(server).await;
    let with = async |filters: CostFilters| rows(&caller, |request| request.filters = Some(filters)).await;
    let named = |name: &str| name.to_owned();
    assert_eq!(with(CostFilters { subject: named("bolt"), ..Default::default() }).await.len(), 2);
    assert_eq!(with(CostFilters { provider: named("studio"), ..Default::default() }).await, ["studio/big premium: 1 1 0.1 0.09"]);
    assert_eq!(with(CostFilters { model: named("big"), tier: named("premium"), ..Default::default() }).await.len(), 2);
    assert_eq!(with(CostFilters { action: named("edit"), ..Default::default() }).await, [""; 0]);
    assert_eq!(with(CostFilters { failover_only: true, ..Default::default() }).await.len(), 2);
    assert_eq!(with(CostFilters { subject: named("nobody"), ..Default::default() }).await, [""; 0]);
}

async fn outcomes_are_told_apart(server: &Server) {
    let acme = server.customer("acme", "pro").await;
    for outcome in [Outcome::Rejected, Outcome::Failed, Outcome::Blocked, Outcome::Cancelled, Outcome::Unknown] {
        let ask = images(1);
        acme.held(&ask).await;
        acme.release(ask.key(), |request| request.set_outcome(outcome)).await.unwrap();
    }
    acme.used(&images(1)).await;
    let mut found = BTreeMap::new();
    for outcome in 1..=6 {
        let filters = CostFilters { outcomes: vec![outcome], ..Default::default() };
        let row = acme.summary(|request| request.filters = Some(filters)).await.unwrap().remove(0);
        found.insert(Outcome::try_from(outcome).unwrap().as_str_name(), (row.attempts, row.accepted_outputs, row.cost));
    }
    let cost = |outcome: &str| found[outcome].2.as_str();
    assert!(found.values().all(|(attempts, _, _)| *attempts == 1));
    assert_eq!(found["OUTCOME_ACCEPTED"], (1, 1, "0.01".to_owned()));
    // A gate saw an output, and what nobody knows may have been one: those are billed.
    assert_eq!((cost("OUTCOME_REJECTED"), cost("OUTCOME_UNKNOWN")), ("0.01", "0.01"));
    assert_eq!((cost("OUTCOME_FAILED"), cost("OUTCOME_BLOCKED"), cost("OUTCOME_CANCELLED")), ("0", "0", "0"));
    let all = acme.summary(|_| {}).await.unwrap().remove(0);
    assert_eq!((all.attempts, all.cost_per_accepted_output.as_str(), all.retry_multiplier.as_str()), (6, "0.03", "6"));
}

#[tokio::test]
async fn a_span_step_or_group_that_makes_no_sense_is_named() {
    let server = Server::start(&crate::catalogs::monthly("10"), super::NOON).await;
    let acme = server.stranger("acme");
    let fields = async |with: fn(&mut SummarizeCostsRequest)| bad_fields(&acme.summary(with).await.unwrap_err());
    let backwards = fields(|request| {
        (request.start_time, request.end_time) = (Some(time("2026-03-10T13:00:00Z")), Some(time("2026-03-10T12:00:00Z")));
    });
    assert_eq!(backwards.await, ["end_time"]);
    assert_eq!(fields(|request| request.start_time = Some(time("2024-03-10T13:00:00Z"))).await, ["start_time"]);
    assert_eq!(fields(|request| request.step = Some(seconds_of(90))).await, ["step"]);
    assert_eq!(fields(|request| request.group_by = grouped(&["label"])).await, ["group_by[0]"]);
    assert_eq!(fields(|request| request.group_by = grouped(&["plan", "plan"])).await, ["group_by[1]"]);
    let wrong =
        fields(|request| request.filters = Some(CostFilters { subject: "a b".to_owned(), outcomes: vec![99], ..Default::default() }));
    assert_eq!(wrong.await, ["filters.subject", "filters.outcomes"]);
}
