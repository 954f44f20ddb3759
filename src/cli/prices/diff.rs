//! `genquota prices diff`.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cli::exit::{self, Exit};
use crate::cli::render::Columns;
use crate::cli::traffic::{self, Span, SpanFlags};
use crate::cli::{Failure, output};
use crate::domain::catalog::Catalog;
use crate::prices::{Change, Changes, TargetChange};
use crate::traffic::{Attempted, Repriced, RepricedRow, Traffic};

/// What is looked at where no span is told: the last month, about.
const SPAN: SignedDuration = SignedDuration::from_hours(30 * 24);

const EXAMPLES: &str = "\
Examples:
  genquota prices diff catalog.yaml new.yaml
  genquota prices diff catalog.yaml new.yaml --events events.jsonl
  genquota prices diff catalog.yaml new.yaml --events ledger.jsonl --since 2026-02-01 --until 2026-03-01 --json

Exit codes: 0 done, whether or not anything differs; 64 wrong usage, a catalog with problems, or lines that are no events.";

/// Tell what differs between the prices of two catalogs, and what that changes for past events
///
/// Events are lines of cost events, or a ledger that `genquota store export` wrote. Without events: what was added, removed and changed.
/// With them: also what their attempts cost, and would have cost under either catalog. A cost that the provider billed stands whatever the
/// prices.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Diff {
    /// The catalog before
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The catalog after
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// The events; `-`: stdin. By default the last 30 days of them count
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    #[command(flatten)]
    span: SpanFlags,
    /// Print one line of JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The events under both books.
struct Under {
    span: Span,
    repeats: u64,
    repriced: Repriced,
}

impl Diff {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let (old, new) = (traffic::catalog(&self.old)?, traffic::catalog(&self.new)?);
        let (before, after) = (&old.price_book.currency, &new.price_book.currency);
        if before != after {
            return Err(Failure::Usage(anyhow!("the prices cannot be compared: those of OLD are in {before}, those of NEW in {after}")));
        }
        let changes = Changes::between(&old.price_book, &new.price_book);
        let under = self.traffic()?.map(|traffic| self.under(&traffic, &old, &new)).transpose()?;
        let text = if self.json {
            as_json(&old, &new, &changes, under.as_ref()).to_string()
        } else {
            as_text(&old, &new, &changes, under.as_ref())
        };
        output::line(text.trim_end())?;
        Ok(exit::DONE)
    }

    /// Past attempts, from wherever they are named.
    fn traffic(&self) -> Result<Option<Traffic>, Failure> {
        self.events.as_deref().map(traffic::read).transpose()
    }

    fn under(&self, traffic: &Traffic, old: &Catalog, new: &Catalog) -> Result<Under, Failure> {
        let span = self.span.span()?.of_last(SPAN, &traffic.attempts);
        let attempts: Vec<&Attempted> = traffic.attempts.iter().filter(|attempt| span.has(attempt.end)).collect();
        let ours = &old.price_book.currency;
        if let Some(other) = attempts.iter().find(|attempt| attempt.currency != *ours) {
            return Err(Failure::Usage(anyhow!("the events are in {} and the prices in {ours}", other.currency)));
        }
        Ok(Under { span, repeats: traffic.repeats, repriced: Repriced::of(attempts, &old.price_book, &new.price_book) })
    }
}

fn as_text(old: &Catalog, new: &Catalog, changes: &Changes, under: Option<&Under>) -> String {
    let mut text = format!("{} to {}: ", old.version, new.version);
    if changes.is_empty() {
        text.push_str("the prices are the same\n");
    } else {
        let count = |kind: &str| changes.targets.iter().filter(|target| target.kind() == kind).count();
        text.push_str(&format!("targets: {} added, {} removed, {} changed\n", count("added"), count("removed"), count("changed")));
    }
    if let Some((before, after)) = &changes.unpriced {
        text.push_str(&format!("unpriced: {before} to {after}\n"));
    }
    if !changes.targets.is_empty() {
        let mut table = Columns::new(&["TARGET", "CHANGE", "FROM", "COMPONENT", "OLD", "NEW"]);
        changes.targets.iter().for_each(|target| add_rows(target, &mut table));
        text.push_str(&format!("\n{}\n", table.into_text()));
    }
    if let Some(under) = under {
        text.push_str(&under_as_text(under, &old.price_book.currency));
    }
    text
}

/// A line for the tier where that differs, and one for each component.
fn add_rows(target: &TargetChange, table: &mut Columns) {
    let mut add = |from: String, component: &str, old: Option<&String>, new: Option<&String>| {
        let of = |side: Option<&String>| side.cloned().unwrap_or_default();
        table.row(vec![target.target.to_string(), target.kind().to_owned(), from, component.to_owned(), of(old), of(new)]);
    };
    if target.tier.0 != target.tier.1 {
        add(String::new(), "tier", target.tier.0.as_ref(), target.tier.1.as_ref());
    }
    for Change { from, component, old, new } in &target.components {
        add(from.map(|from| from.to_string()).unwrap_or_default(), component, old.as_ref(), new.as_ref());
    }
}

fn under_as_text(under: &Under, currency: &str) -> String {
    let total = under.repriced.total();
    let since = under.span.since.map_or_else(String::new, |since| format!(" since {since}"));
    let until = under.span.until.map_or_else(String::new, |until| format!(" until {until}"));
    let mut text = format!("\n{} attempts{since}{until}, costs in {currency}\n\n", total.attempts);
    let header = [
        "PROVIDER",
        "MODEL",
        "TIER",
        "ATTEMPTS",
        "BOOKED",
        "OLD COST",
        "NEW COST",
        "DIFFERENCE",
        "BILLED",
        "NEWLY UNPRICED",
        "NEWLY PRICED",
    ];
    let mut table = Columns::new(&header);
    for ((provider, model, tier), row) in &under.repriced.rows {
        table.row(cells([provider, model, tier], row));
    }
    if under.repriced.rows.len() > 1 {
        table.row(cells(["all", "", ""], &total));
    }
    text.push_str(&format!("{}\n", table.into_text()));
    if total.unpriced > 0 {
        text.push_str(&format!("\n{} attempts have no price in either catalog, and cost what its `unpriced` says\n", total.unpriced));
    }
    if total.billed > 0 {
        text.push_str(&format!("\n{} attempts have a cost that the provider billed; it stands under either catalog\n", total.billed));
    }
    if under.repeats > 0 {
        text.push_str(&format!("\n{} events came twice and count once\n", under.repeats));
    }
    text
}

fn cells(names: [&str; 3], row: &RepricedRow) -> Vec<String> {
    let count = |count: u64| if count == 0 { String::new() } else { count.to_string() };
    let mut cells: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    cells.push(row.attempts.to_string());
    cells.extend([row.booked, row.old, row.new, row.new.above(row.old)].map(|sum| sum.to_string()));
    cells.extend([row.billed, row.newly_unpriced, row.newly_priced].map(count));
    cells
}

fn as_json(old: &Catalog, new: &Catalog, changes: &Changes, under: Option<&Under>) -> Value {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let component = |change: &Change| {
        let Change { from, component, old, new } = change;
        json!({"from": time(*from), "component": component, "old": old, "new": new})
    };
    let target = |change: &TargetChange| {
        json!({
            "target": {"provider": change.target.provider.as_str(), "model": change.target.model.as_str()},
            "change": change.kind(),
            "tier": {"old": change.tier.0, "new": change.tier.1},
            "components": change.components.iter().map(component).collect::<Vec<_>>(),
        })
    };
    let events = under.map(|under| {
        let rows = under.repriced.rows.iter().map(|((provider, model, tier), row)| {
            let mut value = row_as_json(row);
            for (name, text) in [("provider", provider), ("model", model), ("tier", tier)] {
                value[name] = text.as_str().into();
            }
            value
        });
        json!({
            "since": time(under.span.since),
            "until": time(under.span.until),
            "repeats": under.repeats,
            "rows": rows.collect::<Vec<_>>(),
            "total": row_as_json(&under.repriced.total()),
        })
    });
    json!({
        "old": old.version.as_str(),
        "new": new.version.as_str(),
        "currency": &*new.price_book.currency,
        "unpriced": changes.unpriced.as_ref().map(|(old, new)| json!({"old": old, "new": new})),
        "targets": changes.targets.iter().map(target).collect::<Vec<_>>(),
        "events": events,
    })
}

fn row_as_json(row: &RepricedRow) -> Value {
    json!({
        "attempts": row.attempts,
        "billed": row.billed,
        "booked": row.booked.to_string(),
        "old": row.old.to_string(),
        "new": row.new.to_string(),
        "difference": row.new.above(row.old).to_string(),
        "newlyUnpriced": row.newly_unpriced,
        "newlyPriced": row.newly_priced,
        "unpriced": row.unpriced,
    })
}
