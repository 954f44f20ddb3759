//! Every number on the page is the one that the API gives.

use std::collections::BTreeMap;

use genquota::proto::v1;
use rust_decimal::Decimal;
use serde_json::json;

use crate::browser::{Cell, Seen, look};
use crate::gateway::{Ask, Gateway};
use crate::lab::wait_for;
use crate::sidecar::Sidecar;

const ROUNDS: usize = 6;

/// A sidecar after some rounds, with one generation that still runs, and nothing that is still to expire.
pub(crate) async fn worked() -> (Sidecar, Gateway) {
    let sidecar = Sidecar::start();
    let mut gateway = sidecar.gateway().await;
    gateway.sign_up().await;
    for number in 0..ROUNDS {
        gateway.round(number).await;
    }
    assert!(gateway.reserve("running", &Ask::video("aurora", "cleo", "google/veo-3")).await);
    let lost = (0..ROUNDS).filter(|number| number % 4 == 1).count();
    wait_for("expiry", || sidecar.get("/operations.json").body.contains(&format!("\"expired\":{lost}.0")).then_some(()));
    (sidecar, gateway)
}

/// The exact number of a cell, which its text rounds.
fn exact(cell: &Cell) -> Decimal {
    let text = cell.text.split(' ').next().unwrap().trim_start_matches('+');
    let Some(value) = &cell.value else { return text.parse().unwrap_or_else(|_| panic!("{cell:?}")) };
    let (value, shown): (Decimal, Decimal) = (value.parse().unwrap(), text.parse().unwrap());
    let digits = shown.scale();
    assert_eq!(value.round_dp_with_strategy(digits, rust_decimal::RoundingStrategy::MidpointAwayFromZero), shown, "{cell:?}");
    value
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap_or_else(|_| panic!("{text:?}"))
}

/// Nothing, where the page has a dash.
fn maybe(cell: &Cell) -> Option<Decimal> {
    cell.value.as_ref().map(|_| exact(cell))
}

fn of(text: &str) -> Option<Decimal> {
    Some(text).filter(|text| !text.is_empty()).map(decimal)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn costs_by_target_are_those_of_summarize_costs() {
    let (sidecar, mut gateway) = worked().await;
    let seen = look(&sidecar.http, &[json!({"path": "/operations"})]).remove(0);
    let rows = gateway.sums(&seen.times[0], &seen.times[1]).await;
    assert!(rows.len() >= 6, "{rows:?}");
    let shown: BTreeMap<String, &Vec<Cell>> = seen.table("costs").iter().map(|row| (row[0].text.replace(' ', ""), row)).collect();
    assert_eq!(shown.len(), rows.len());
    for row in &rows {
        let cells = shown[&format!("{}/{}", row.provider, row.model)];
        assert_eq!(cells[1].text, row.tier);
        let counts = [2, 3, 8].map(|at: usize| cells[at].text.parse::<i64>().unwrap());
        assert_eq!(counts, [row.attempts, row.accepted_outputs, row.failovers], "{row:?}");
        assert_eq!([4, 9].map(|at: usize| exact(&cells[at])), [decimal(&row.cost), decimal(&row.cost_shift)], "{row:?}");
        let each = [&row.cost_per_generation, &row.cost_per_accepted_output, &row.retry_multiplier].map(|text| of(text));
        assert_eq!([5, 6, 7].map(|at: usize| maybe(&cells[at])), each, "{row:?}");
    }
    let sum = |of: fn(&v1::CostRow) -> &str| rows.iter().map(|row| decimal(of(row))).sum::<Decimal>();
    assert_eq!(exact(seen.figure("Cost")), sum(|row| &row.cost));
    assert_eq!(exact(seen.figure("Cost shift")), sum(|row| &row.cost_shift));
    let count = |name: &str| seen.figure(name).text.parse::<i64>().unwrap();
    assert_eq!(count("Attempts"), rows.iter().map(|row| row.attempts).sum::<i64>());
    assert_eq!(count("Accepted outputs"), rows.iter().map(|row| row.accepted_outputs).sum::<i64>());
    assert_eq!(count("Failovers"), rows.iter().map(|row| row.failovers).sum::<i64>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failovers_denials_and_holds_are_those_that_happened() {
    let (sidecar, _) = worked().await;
    let seen = look(&sidecar.http, &[json!({"path": "/operations"})]).remove(0);
    let failovers = seen.table("failovers");
    let dear = failovers.iter().find(|row| row[1].text == "aurora").unwrap();
    assert_eq!((dear[2].text.as_str(), dear[3].text.as_str(), dear[5].text.as_str()), ("fal/wan-2.2", "→ runway/gen4 premium", "accepted"));
    // Four seconds at 0.12 in place of 0.04.
    assert_eq!((exact(&dear[6]), exact(&dear[7])), (decimal("0.48"), decimal("0.32")));
    // One in each round, and one more in every third.
    assert_eq!(failovers.len(), ROUNDS + ROUNDS.div_ceil(3));
    let metrics = sidecar.get("/metrics").body;
    let metric = |name: &str, label: &str| {
        let lines = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap()).sum::<i64>()
    };
    for row in seen.table("denials") {
        let label = format!("reason=\"{}\"", row[0].text);
        assert_eq!(row[1].text.parse::<i64>().unwrap(), metric("genquota_denials_total", &label), "{label}");
    }
    assert_eq!(metric("genquota_denials_total", "reason=\"feature_not_in_plan\""), i64::try_from(ROUNDS).unwrap());
    let holds: Vec<i64> = seen.table("holds").iter().map(|row| row[1].text.parse().unwrap()).collect();
    let told = ["held", "settled", "expired", "late"].map(|what| metric(&format!("genquota_reservations_{what}_total"), ""));
    assert_eq!(holds, told);
    assert!(holds[0] == holds[1] + holds[2] + 1, "one still runs: {holds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_subject_has_left_is_what_get_balance_says() {
    let (sidecar, mut gateway) = worked().await;
    let seen = look(&sidecar.http, &[json!({"path": "/operations/subjects?subject=aurora"})]).remove(0);
    let request = v1::GetBalanceRequest { subject: "aurora".to_owned(), user: String::new() };
    let answer = gateway.quota.get_balance(request).await.unwrap().into_inner();
    let balance = &answer.balances[0];
    for (name, amount) in [
        ("Available", &balance.available),
        ("Allowance", &balance.allowance_available),
        ("Credits", &balance.credits_available),
        ("Held", &balance.reserved),
        ("Used", &balance.committed),
        ("Overage", &balance.overage),
    ] {
        assert_eq!(exact(seen.figure(name)), decimal(amount), "{name}");
    }
    // The allowance, the add-on and what was given, in the order in which they pay.
    let sources = seen.table("Sources in the order in which they pay");
    assert_eq!(balance.sources.len(), 3);
    for (source, cells) in balance.sources.iter().zip(sources) {
        assert!(cells[0].text.starts_with(&source.id), "{cells:?}");
        let amounts = [&source.available, &source.limit, &source.reserved, &source.committed].map(|text| decimal(text));
        assert_eq!([2, 3, 4, 5].map(|at: usize| exact(&cells[at])), amounts, "{source:?}");
        let name = format!("{}: {} of {} left", source.id, source.available, source.limit);
        let gauge = seen.gauges.iter().find(|gauge| gauge.name == name).unwrap_or_else(|| panic!("{name}: {:?}", seen.gauges));
        assert_eq!((gauge.value.to_string(), gauge.max.to_string()), (source.available.clone(), source.limit.clone()));
    }
    assert!(seen.main.contains("hollywood Hollywood"), "{}", seen.main);
    assert!(seen.main.contains("2 × extra_reel") && seen.main.contains("to plan independent"), "{}", seen.main);
    // What runs is held under the cap that counts it; what is counted by user is known of a user alone.
    let crew = |seen: &Seen| seen.table("caps").iter().find(|row| row[0].text.starts_with("crew_member")).unwrap().len();
    let of_user = look(&sidecar.http, &[json!({"path": "/operations/subjects?subject=aurora&user=ben"})]).remove(0);
    assert!(of_user.gauges.iter().any(|gauge| gauge.name.starts_with("crew_member: ") && gauge.value < gauge.max), "{:?}", of_user.gauges);
    assert_eq!((crew(&seen), crew(&of_user)), (4, 5));
    let running = seen.table("caps").iter().find(|row| row[0].text.starts_with("running")).unwrap();
    assert_eq!((exact(&running[2]), exact(&running[3])), (decimal("1"), decimal("12")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_used_what_and_what_was_asked_for_are_those_of_the_api() {
    let (sidecar, mut gateway) = worked().await;
    let first = "/operations/subjects?subject=aurora";
    let seen = look(&sidecar.http, &[json!({"path": first})]).remove(0);
    let request = v1::GetUsageRequest { subject: "aurora".to_owned(), group_by: vec!["user".to_owned()], ..Default::default() };
    let usage = gateway.quota.get_usage(request).await.unwrap().into_inner().rows;
    let shown: BTreeMap<&str, &Vec<Cell>> = seen.table("users").iter().map(|row| (row[0].text.as_str(), row)).collect();
    assert_eq!(shown.len(), usage.len());
    for row in &usage {
        let cells = shown[row.group["user"].as_str()];
        assert_eq!(cells[1].text.parse::<i64>().unwrap(), row.generations, "{row:?}");
        assert_eq!((exact(&cells[2]), exact(&cells[4])), (decimal(&row.units), decimal(&row.cost)), "{row:?}");
    }
    // Every generation, page after page.
    let list = v1::ListGenerationsRequest { subject: "aurora".to_owned(), page_size: 1000, ..Default::default() };
    let generations = gateway.quota.list_generations(list).await.unwrap().into_inner().generations;
    let mut rows = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(path) = next {
        let mut page = look(&sidecar.http, &[json!({"path": path})]).remove(0);
        next = page.links.iter().find(|link| link.text == "Older").map(|link| link.href.clone());
        rows.extend(page.tables.remove("generations").unwrap());
    }
    assert_eq!(rows.len(), generations.len());
    for (generation, cells) in generations.iter().zip(&rows) {
        assert!(cells[1].text.starts_with(&format!("{} {}", generation.generation_id, generation.action)), "{cells:?}");
        assert_eq!(cells[2].text, generation.state().as_str_name().trim_start_matches("STATE_").to_lowercase());
        assert_eq!((exact(&cells[3]), exact(&cells[4])), (decimal(&generation.units), decimal(&generation.cost)), "{generation:?}");
        for attempt in &generation.attempts {
            let target = attempt.target.as_ref().unwrap();
            assert!(cells[5].text.contains(&format!("{}/{} {}", target.provider, target.model, attempt.tier)), "{cells:?}");
        }
    }
}
