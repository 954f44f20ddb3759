//! `genquota catalog explain`: what the domain says of a work on a plan, step by step.
//!
//! Asks the same functions that judge a real request, for a subject that has just subscribed; it judges nothing itself.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::catalog;
use crate::cli::exit::{self, Exit};
use crate::cli::render::Fields;
use crate::cli::work::WorkFlags;
use crate::cli::{Failure, output, values};
use crate::clock::{Clock, SystemClock};
use crate::domain::amount::{RoundingMode, parse_decimal};
use crate::domain::catalog::Catalog;
use crate::domain::charge::{Ask, Charge};
use crate::domain::condition::{Circumstances, Condition};
use crate::domain::counting::{Charging, CountLine, Each, Rule};
use crate::domain::denial::{Denial, Violation};
use crate::domain::ids::{ActionId, AttributeId, MeasureId, ModelId, PlanId, ProviderId, SubjectId, Target, UserId};
use crate::domain::ledger::Fingerprint;
use crate::domain::period::Cadence;
use crate::domain::plan::SourceKind;
use crate::domain::price_book::CostBasis;
use crate::domain::reservation::Labels;
use crate::domain::subject::Document;
use crate::domain::subscription::Subscription;
use crate::domain::view::View;
use crate::domain::work::{Item, Work};
use crate::proto::v1;

const EXAMPLES: &str = "\
Examples:
  genquota catalog explain --action image.generate --target fal/flux-schnell --count 4
  genquota catalog explain --plan hollywood --action video.generate --target google/veo-3 \\
      --measure seconds=8 --attribute resolution=4k

Balances are not looked at: the subject is one that has just subscribed.";

/// Tell what work would count and cost, rule by rule
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    /// The catalog [default: the bundled one]
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
    /// The plan [default: the catalog's default plan]
    #[arg(long)]
    plan: Option<String>,
    /// What would be done, as the catalog names it
    #[arg(long)]
    action: String,
    /// What would run it; needed unless the action is free
    #[arg(long, value_name = "PROVIDER/MODEL", value_parser = values::target)]
    target: Option<v1::Target>,
    /// Print one line of JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    work: WorkFlags,
}

/// What the domain said.
struct Explained<'c> {
    catalog: &'c Catalog,
    charge: Charge<'c>,
    lines: Vec<CountLine>,
}

impl Explain {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let catalog = match &self.catalog {
            Some(path) => catalog::load(path),
            None => catalog::parse(catalog::BUNDLED_NAME, catalog::BUNDLED),
        };
        let catalog = catalog.map_err(|problems| Failure::Usage(anyhow::Error::new(problems)))?;
        let now = SystemClock.now();
        let document = self.plan.as_deref().map(|plan| subscribed(&catalog, plan, now)).transpose().map_err(Failure::Usage)?;
        let view = View::new(&catalog, document.as_ref(), now).map_err(anyhow::Error::new)?;
        let work = self.work.required()?;
        let explained = self.explain(&catalog, &view, &work).map_err(Failure::Usage)?;
        output::line(&if self.json { explained.as_json().to_string() } else { explained.as_text() })?;
        Ok(exit::DONE)
    }

    fn explain<'c>(&self, catalog: &'c Catalog, view: &View<'c>, asked: &v1::Work) -> anyhow::Result<Explained<'c>> {
        let action = ActionId::new(&self.action)?;
        let target = self.target.as_ref().map(target).transpose()?;
        let work = work(asked)?;
        // Somebody, so that seats and accounts of each user are shown.
        let user = UserId::new("somebody")?;
        let labels = Labels::new();
        let ask = Ask {
            user: Some(&user),
            action: &action,
            target: target.as_ref(),
            planned_target: None,
            fallbacks: &[],
            work: &work,
            labels: &labels,
        };
        let charge = Charge::judge(catalog, view, &ask)?;
        let at_hand = Circumstances { action: &action, target: target.as_ref(), tier: charge.attempt.tier.as_ref(), plan: charge.plan };
        let mut lines = Vec::new();
        charge.action.count(&at_hand, &work, |line| lines.push(line))?;
        Ok(Explained { catalog, charge, lines })
    }
}

/// A subject that has just subscribed to a plan, with one seat.
fn subscribed(catalog: &Catalog, plan: &str, now: Timestamp) -> anyhow::Result<Document> {
    let plan = PlanId::new(plan)?;
    let known = || catalog.plans.keys().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
    anyhow::ensure!(catalog.plans.contains_key(&plan), "no such plan: `{plan}`; known are {}", known());
    let mut document = Document::new(SubjectId::new("explained")?, Fingerprint([0; 16]), now, TimeZone::UTC);
    document.subscription = Some(Subscription::new(plan, Cadence::Month, now, TimeZone::UTC, 1));
    Ok(document)
}

fn target(target: &v1::Target) -> anyhow::Result<Target> {
    Ok(Target { provider: ProviderId::new(&target.provider)?, model: ModelId::new(&target.model)? })
}

fn work(work: &v1::Work) -> anyhow::Result<Work> {
    let items = work.items.iter().map(|item| {
        let count = item.count.unwrap_or(1);
        let count = u32::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| anyhow::anyhow!("not a count: `{count}`"))?;
        let measures = item.measures.iter().map(|(name, value)| Ok((MeasureId::new(name)?, parse_decimal(value)?)));
        let attributes = item.attributes.iter().map(|(name, value)| Ok((AttributeId::new(name)?, value.as_str().into())));
        Ok(Item { count, measures: measures.collect::<anyhow::Result<_>>()?, attributes: attributes.collect::<anyhow::Result<_>>()? })
    });
    Ok(Work { items: items.collect::<anyhow::Result<_>>()? })
}

impl Explained<'_> {
    fn rules(&self) -> &[Rule] {
        match &self.charge.action.charge {
            Charging::Free => &[],
            Charging::Metered { rules, .. } => rules,
        }
    }

    fn as_text(&self) -> String {
        let attempt = &self.charge.attempt;
        let mut fields = Fields::titled(&format!("catalog {}", self.catalog.version));
        fields.add("action", self.charge.action.id.as_str());
        fields.add("plan", self.charge.plan.map_or("none", PlanId::as_str));
        fields.add("target", &attempt.target.as_ref().map(ToString::to_string).unwrap_or_default());
        fields.add("tier", attempt.tier.as_ref().map_or("", |tier| tier.as_str()));
        for line in &self.lines {
            let of = line.item.map_or("the request".to_owned(), |item| format!("item {}", item + 1));
            fields.add(&of, &rule_text(line, &self.rules()[line.rule]));
        }
        match self.charge.action.meter() {
            Some(meter) => fields.add("units", &format!("{} {meter}", attempt.units)),
            None => fields.add("units", "none: the action is free"),
        }
        // A price without a date counts from the epoch on.
        let since = attempt.price_from.filter(|from| *from > Timestamp::UNIX_EPOCH);
        let since = since.map(|from| format!(", the price since {from}")).unwrap_or_default();
        fields.add("cost", &format!("{} {} ({}{since})", attempt.cost, self.catalog.price_book.currency, basis(attempt.basis)));
        for source in &self.charge.sources {
            let limit = source.source.limit.map_or("unlimited".to_owned(), |limit| format!("up to {limit}"));
            fields.add("paid by", &format!("{} `{}`, {limit}", source_kind(source.kind), source.source.account.source()));
        }
        for charged in &self.charge.caps {
            fields.add("counted by", &format!("cap `{}`, limit {}", charged.cap.id, charged.cap.limit));
        }
        match self.charge.violations.as_slice() {
            [] => fields.add("allowed", "yes, while the balance lasts"),
            violations => fields.add("allowed", &format!("no: {}", Denial::of(violations.to_vec()))),
        }
        fields.into_text().trim_end().to_owned()
    }

    fn as_json(&self) -> Value {
        let attempt = &self.charge.attempt;
        let lines = self.lines.iter().map(|line| {
            let rule = &self.rules()[line.rule];
            json!({
                "item": line.item, "rule": line.rule, "when": condition(&rule.when), "per": rule.per.to_string(),
                "rate": rule.rate.to_string(), "quantity": line.quantity.to_string(), "units": line.units.to_string(),
            })
        });
        let caps = self.charge.caps.iter().map(|charged| json!({"cap": charged.cap.id.as_str(), "limit": charged.cap.limit.to_string()}));
        let sources = self.charge.sources.iter().map(|source| {
            let limit = source.source.limit.map(|limit| limit.to_string());
            json!({"kind": source_kind(source.kind), "source": source.source.account.source(), "limit": limit})
        });
        json!({
            "catalogVersion": self.catalog.version.to_string(),
            "action": self.charge.action.id.as_str(),
            "plan": self.charge.plan.map(PlanId::as_str),
            "target": attempt.target.as_ref().map(ToString::to_string),
            "tier": attempt.tier.as_ref().map(|tier| tier.as_str()),
            "meter": self.charge.action.meter().map(|meter| meter.as_str()),
            "units": attempt.units.to_string(),
            "lines": lines.collect::<Vec<_>>(),
            "cost": attempt.cost.to_string(),
            "currency": &*self.catalog.price_book.currency,
            "costBasis": basis(attempt.basis),
            "sources": sources.collect::<Vec<_>>(),
            "caps": caps.collect::<Vec<_>>(),
            "violations": self.charge.violations.iter().map(violation).collect::<Vec<_>>(),
        })
    }
}

/// `rule 2 when tier premium: 5 seconds at 2 each, rounded up to 1 for each output: 10`.
fn rule_text(line: &CountLine, rule: &Rule) -> String {
    let when = condition(&rule.when);
    let when = if when.is_empty() { String::new() } else { format!(" when {when}") };
    let mode = match rule.rounding.mode {
        RoundingMode::None => "",
        RoundingMode::Up => "rounded up",
        RoundingMode::Down => "rounded down",
        RoundingMode::HalfUp => "rounded half up",
    };
    let each = match rule.rounding.each {
        Each::Output => "for each output",
        Each::Request => "for the request",
    };
    let rounding = if mode.is_empty() { String::new() } else { format!(", {mode} to {} {each}", rule.rounding.step) };
    format!("rule {}{when}: {} {} at {}{rounding}: {}", line.rule + 1, line.quantity, rule.per, rule.rate, line.units)
}

fn condition(condition: &Condition) -> String {
    let mut parts = Vec::new();
    let mut add = |name: &str, values: Vec<&str>| {
        if !values.is_empty() {
            parts.push(format!("{name} {}", values.join(" or ")));
        }
    };
    add("action", condition.actions.iter().map(|id| id.as_str()).collect());
    add("provider", condition.providers.iter().map(|id| id.as_str()).collect());
    add("model", condition.models.iter().map(|id| id.as_str()).collect());
    add("tier", condition.tiers.iter().map(|id| id.as_str()).collect());
    add("plan", condition.plans.iter().map(|id| id.as_str()).collect());
    for (name, values) in &condition.attributes {
        add(name.as_str(), values.iter().map(|value| &**value).collect());
    }
    parts.join(", ")
}

fn basis(basis: CostBasis) -> &'static str {
    match basis {
        CostBasis::Priced => "priced",
        CostBasis::Billed => "billed",
        CostBasis::Estimated => "estimated",
        CostBasis::None => "no price",
    }
}

fn source_kind(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Allowance => "allowance",
        SourceKind::AddOn => "add-on",
        SourceKind::Grant => "grant",
    }
}

fn violation(violation: &Violation) -> Value {
    let dimensions: serde_json::Map<_, _> =
        violation.dimensions.iter().map(|(key, value)| (key.to_string(), Value::from(&**value))).collect();
    json!({"name": &*violation.name, "message": Denial::of(vec![violation.clone()]).to_string(), "dimensions": dimensions})
}
