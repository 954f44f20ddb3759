//! `genquota replay`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use serde_json::{Value, json};

use super::exit::{self, Exit};
use super::progress::Told;
use super::render::{self, Columns};
use super::traffic::{self, SpanFlags};
use super::{Failure, output, values};
use crate::domain::catalog::Catalog;
use crate::domain::denial::DenialReason;
use crate::domain::ids::PlanId;
use crate::domain::price_book::CostBasis;
use crate::traffic::{Replay as Replaying, Replayed, Sum, Totals, Traffic};

/// Denied subjects that are shown as text; JSON has all of them.
const DENIED_SHOWN: usize = 50;

const EXAMPLES: &str = "\
Examples:
  genquota replay --events events.jsonl --catalog new.yaml
  genquota replay --events ledger.jsonl --catalog new.yaml --json
  genquota replay --events events.jsonl --catalog new.yaml --plan pro=team

Exit codes: 0 done, whoever would have been denied; 64 wrong usage, a catalog with problems, or lines that are no events.";

/// Play past events under another catalog: what they would have counted and cost, and who would have been denied
///
/// Events are lines of cost events, or a ledger that `genquota store export` wrote. Needs no server and changes nothing. A ledger tells who the
/// subjects were; cost events alone tell their plans, so every subject is taken to be on the plan its events name, since the first day of the
/// month of its first event, in UTC, without grants. Who was denied then left no event, so who would pass now is not known.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Replay {
    /// The events; `-`: stdin
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
    /// The catalog to play them under
    #[arg(long, value_name = "FILE")]
    catalog: PathBuf,
    /// Put whoever was on plan OLD on plan NEW; repeatable
    #[arg(long, value_name = "OLD=NEW", value_parser = values::pair)]
    plan: Vec<values::Pair>,
    #[command(flatten)]
    span: SpanFlags,
    /// Print one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl Replay {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let catalog = traffic::catalog(&self.catalog)?;
        let plans = self.plans()?;
        let span = self.span.span()?;
        let mut traffic = traffic::read(&self.events)?;
        traffic.attempts.retain(|attempt| span.has(attempt.end));
        let told = Told::counting("steps");
        let replayed = Replaying::play(&traffic, &catalog, plans, &told);
        told.end();
        let replayed = replayed.map_err(|error| Failure::Usage(anyhow::Error::new(error)))?;
        let notes = notes(&traffic);
        let text = if self.json {
            as_json(&catalog, &traffic, &replayed, &notes).to_string()
        } else {
            as_text(&catalog, &traffic, &replayed, &notes)
        };
        output::line(text.trim_end())?;
        Ok(exit::DONE)
    }

    fn plans(&self) -> Result<BTreeMap<PlanId, PlanId>, Failure> {
        let id = |text: &str| PlanId::new(text).map_err(|error| Failure::Usage(anyhow!("`--plan`: `{text}` is not a name: {error}")));
        values::map(&self.plan)?.iter().map(|(old, new)| Ok((id(old)?, id(new)?))).collect()
    }
}

/// What whoever reads the numbers must know.
fn notes(traffic: &Traffic) -> Vec<String> {
    let mut notes = Vec::new();
    match &traffic.ledger {
        None => notes.push(
            "cost events do not tell who the subjects were: each is taken to be on the plan its events name, since the first day of the month, \
             in UTC, without grants"
                .to_owned(),
        ),
        Some(ledger) => {
            if let Some(first) = ledger.first_sequence.filter(|first| *first > 1) {
                notes.push(format!("the ledger keeps events from number {first} on: what was used before does not count"));
            }
            if ledger.held > 0 {
                notes.push(format!("{} reservations are still held and are not played", ledger.held));
            }
        }
    }
    notes.push("who was denied then left no event: who of them would pass now is not known".to_owned());
    let billed = traffic.attempts.iter().filter(|attempt| attempt.basis == CostBasis::Billed).count();
    if billed > 0 {
        notes.push(format!("{billed} attempts have a cost that the provider billed; it stands whatever the catalog says"));
    }
    if traffic.repeats > 0 {
        notes.push(format!("{} events came twice and count once", traffic.repeats));
    }
    notes
}

fn as_text(catalog: &Catalog, traffic: &Traffic, replayed: &Replayed, notes: &[String]) -> String {
    let total = replayed.total();
    let denied: u64 = replayed.denied.values().map(|subject| subject.count).sum();
    let mut text =
        format!("{} attempts under catalog {}, costs in {}\n\n", traffic.attempts.len(), catalog.version, catalog.price_book.currency);
    let header = ["ACTION", "PLAN", "TARGET", "ATTEMPTS", "NOT MADE", "UNITS THEN", "UNITS NOW", "COST THEN", "COST NOW"];
    let mut table = Columns::new(&header);
    for ((action, plan, target), row) in &replayed.rows {
        table.row(cells([action, plan, target], row));
    }
    if replayed.rows.len() > 1 {
        table.row(cells(["all", "", ""], &total));
    }
    text.push_str(&table.into_text());
    text.push('\n');
    if total.overage_now != total.overage_then {
        text.push_str(&format!("\nunits that no source pays: {} then, {} now\n", total.overage_then, total.overage_now));
    }
    if denied > 0 {
        text.push_str(&format!("\nwould have been denied: {denied} reservations of {} subjects\n\n", replayed.denied.len()));
        let mut table = Columns::new(&["SUBJECT", "DENIALS", "FIRST", "REASON", "MESSAGE"]);
        for (subject, denied) in replayed.denied.iter().take(DENIED_SHOWN) {
            let first = [denied.first_time.to_string(), reason(denied.first_reason).to_owned(), denied.first_message.clone()];
            table.row([subject.to_string(), denied.count.to_string()].into_iter().chain(first).collect());
        }
        text.push_str(&table.into_text());
        text.push('\n');
        if replayed.denied.len() > DENIED_SHOWN {
            text.push_str(&format!("and {} subjects more\nhint: `--json` has all of them\n", replayed.denied.len() - DENIED_SHOWN));
        }
    }
    if !replayed.refused.is_empty() {
        text.push_str("\nmake no sense under this catalog:\n");
        replayed.refused.iter().for_each(|(problem, count)| text.push_str(&format!("  {count:>5}  {problem}\n")));
    }
    text.push('\n');
    notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    text
}

fn cells(names: [&str; 3], row: &Totals) -> Vec<String> {
    let mut cells: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    cells.push(row.attempts.to_string());
    cells.push(if row.not_made == 0 { String::new() } else { row.not_made.to_string() });
    cells.extend([row.units_then, row.units_now, row.cost_then, row.cost_now].map(|sum: Sum| sum.to_string()));
    cells
}

fn as_json(catalog: &Catalog, traffic: &Traffic, replayed: &Replayed, notes: &[String]) -> Value {
    let rows = replayed.rows.iter().map(|((action, plan, target), row)| {
        let mut value = totals_as_json(row);
        for (name, text) in [("action", action), ("plan", plan), ("target", target)] {
            value[name] = text.as_str().into();
        }
        value
    });
    let denied = replayed.denied.iter().map(|(subject, denied)| {
        json!({
            "subject": subject.as_str(),
            "count": denied.count,
            "firstTime": denied.first_time.to_string(),
            "firstReason": reason(denied.first_reason),
            "firstMessage": denied.first_message,
        })
    });
    let refused = replayed.refused.iter().map(|(problem, count)| json!({"problem": problem, "count": count}));
    json!({
        "catalog": catalog.version.as_str(),
        "currency": &*catalog.price_book.currency,
        "from": if traffic.ledger.is_some() { "ledger" } else { "events" },
        "repeats": traffic.repeats,
        "rows": rows.collect::<Vec<_>>(),
        "total": totals_as_json(&replayed.total()),
        "denied": denied.collect::<Vec<_>>(),
        "refused": refused.collect::<Vec<_>>(),
        "notes": notes,
    })
}

fn totals_as_json(row: &Totals) -> Value {
    json!({
        "attempts": row.attempts,
        "notMade": row.not_made,
        "unitsThen": row.units_then.to_string(),
        "unitsNow": row.units_now.to_string(),
        "overageThen": row.overage_then.to_string(),
        "overageNow": row.overage_now.to_string(),
        "costThen": row.cost_then.to_string(),
        "costNow": row.cost_now.to_string(),
    })
}

/// The name of a reason as clients see it.
fn reason(reason: DenialReason) -> &'static str {
    use crate::proto::v1::DenialReason as Wire;
    render::reason(match reason {
        DenialReason::SubjectSuspended => Wire::SubjectSuspended,
        DenialReason::NoSubscription => Wire::NoSubscription,
        DenialReason::FeatureNotInPlan => Wire::FeatureNotInPlan,
        DenialReason::SeatsExhausted => Wire::SeatsExhausted,
        DenialReason::UnpricedTarget => Wire::UnpricedTarget,
        DenialReason::FailoverPolicy => Wire::FailoverPolicy,
        DenialReason::CapReached => Wire::CapReached,
        DenialReason::QuotaExhausted => Wire::QuotaExhausted,
    })
}
