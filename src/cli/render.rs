//! Answers as people read them: a few aligned lines, or a table.
//!
//! Shows what the server said and computes nothing.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, presets};
use prost_types::{Duration, Timestamp};

use crate::proto::v1;

/// Fields of one thing, one a line, values aligned.
pub(super) struct Fields {
    text: String,
}

impl Fields {
    pub(super) fn titled(title: &str) -> Self {
        Self { text: format!("{title}\n") }
    }

    /// Adds a line unless the value is empty.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(self.text, "  {name:<12} {value}");
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// The columns that hold numbers, whatever the table.
const NUMBERS: [&str; 39] = [
    "GENERATIONS",
    "NOW",
    "LEFT NOW",
    "AFTER",
    "LEFT AFTER",
    "NEXT PERIOD",
    "AVAILABLE",
    "ALLOWANCE",
    "CREDITS",
    "RESERVED",
    "COMMITTED",
    "OVERAGE",
    "LIMIT",
    "UNITS",
    "COST",
    "COST SHIFT",
    "SEATS",
    "GRANTS",
    "MODELS",
    "MAPPED",
    "NOT MAPPED",
    "ATTEMPTS",
    "BOOKED",
    "OLD COST",
    "NEW COST",
    "DIFFERENCE",
    "BILLED",
    "NEWLY UNPRICED",
    "NEWLY PRICED",
    "NOT MADE",
    "UNITS THEN",
    "UNITS NOW",
    "COST THEN",
    "COST NOW",
    "DENIALS",
    "OUTPUTS",
    "PER OUTPUT",
    "TRIES",
    "FAILOVERS",
];

/// A table without lines, numbers to the right; empty columns are left out.
pub(super) struct Columns {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Columns {
    pub(super) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(super) fn into_text(self) -> String {
        let shown: Vec<usize> = (0..self.header.len()).filter(|at| self.rows.iter().any(|row| !row[*at].is_empty())).collect();
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(shown.iter().map(|at| self.header[*at]));
        for row in &self.rows {
            table.add_row(shown.iter().map(|at| row[*at].as_str()));
        }
        for (column, at) in shown.iter().enumerate() {
            if let Some(column) = table.column_mut(column) {
                let alignment = if NUMBERS.contains(&self.header[*at]) { CellAlignment::Right } else { CellAlignment::Left };
                column.set_cell_alignment(alignment);
                column.set_padding((0, 2));
            }
        }
        table.trim_fmt()
    }
}

/// The name of an enum's value without the name of the enum: `DENIAL_REASON_CAP_REACHED` is `CAP_REACHED`.
pub(super) fn word(name: &'static str, prefix: &str) -> &'static str {
    let word = name.strip_prefix(prefix).unwrap_or(name);
    if word == "UNSPECIFIED" { "" } else { word }
}

pub(super) fn time(time: Option<&Timestamp>) -> String {
    let instant = time.and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok());
    instant.and_then(|instant| instant.round(jiff::Unit::Second).ok()).map(|instant| instant.to_string()).unwrap_or_default()
}

pub(super) fn duration(duration: &Duration) -> String {
    // Rounded up, so that waiting as long as shown is long enough.
    let seconds = duration.seconds + i64::from(duration.nanos > 0);
    crate::config::format_duration(std::time::Duration::from_secs(seconds.try_into().unwrap_or(0)))
}

pub(super) fn target(target: Option<&v1::Target>) -> String {
    target.map(|target| format!("{}/{}", target.provider, target.model)).unwrap_or_default()
}

/// An amount and what it counts; empty without an amount.
pub(super) fn amount(amount: &str, unit: &str) -> String {
    if amount.is_empty() { String::new() } else { format!("{amount} {unit}").trim_end().to_owned() }
}

fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}

/// A reservation, and below it the balances after it.
pub(super) fn reservation(reservation: Option<&v1::Reservation>, notes: &[&str], balances: &[v1::Balance]) -> String {
    let Some(one) = reservation else {
        return notes.join(", ");
    };
    let state = word(one.state().as_str_name(), "STATE_").to_lowercase();
    let flags = [(one.late, "late"), (one.outcome_unknown, "outcome unknown"), (one.unenforced, "unenforced")];
    let notes: Vec<&str> = notes.iter().copied().chain(flags.iter().filter(|(is, _)| *is).map(|(_, flag)| *flag)).collect();
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
    let mut fields = Fields::titled(&format!("{state} {}{notes}", one.reservation_id));
    fields.add("subject", &[one.subject.as_str(), one.user.as_str()].join(" ").trim_end().replace(' ', ", user "));
    fields.add("action", &one.action);
    if one.generation_id != one.reservation_id {
        fields.add("generation", &one.generation_id);
    }
    let settled = one.state() != v1::State::Held;
    let (units, cost) = if settled { (&one.units_committed, &one.cost_committed) } else { (&one.units_reserved, &one.cost_reserved) };
    if !one.meter.is_empty() {
        fields.add("units", &amount(units, &one.meter));
    }
    if !["", "0"].contains(&one.units_overage.as_str()) {
        fields.add("overage", &amount(&one.units_overage, &one.meter));
    }
    if !["", "0"].contains(&one.units_refunded.as_str()) {
        fields.add("refunded", &amount(&one.units_refunded, &one.meter));
    }
    fields.add("cost", &amount(cost, &one.currency));
    for attempt in &one.attempts {
        fields.add(&format!("attempt {}", attempt.number), &attempt_line(attempt, &one.currency));
    }
    for leg in &one.legs {
        let name = if leg.kind() == v1::SourceKind::Cap { "counted by" } else { "paid by" };
        fields.add(name, &leg_line(leg));
    }
    if !settled {
        fields.add("expires", &time(one.expire_time.as_ref()));
    }
    fields.add("labels", &labels(&one.labels));
    for one in balances {
        fields.add("left", &balance_line(one));
    }
    fields.into_text()
}

fn attempt_line(attempt: &v1::Attempt, currency: &str) -> String {
    let mut text = target(attempt.target.as_ref());
    if !attempt.tier.is_empty() {
        text.push_str(&format!(", tier {}", attempt.tier));
    }
    let outcome = word(attempt.outcome().as_str_name(), "OUTCOME_").to_lowercase();
    text.push_str(&format!(", {}", if outcome.is_empty() { "open" } else { outcome.as_str() }));
    text.push_str(&format!(", cost {}", amount(&attempt.cost, currency)));
    if !["", "0"].contains(&attempt.cost_shift.as_str()) {
        text.push_str(&format!(", cost shift {}", attempt.cost_shift));
    }
    text
}

fn leg_line(leg: &v1::Leg) -> String {
    let kind = source_kind(leg.kind());
    let name = if leg.source_id.is_empty() { String::new() } else { format!(" `{}`", leg.source_id) };
    format!("{kind}{name}: {}", leg.units)
}

fn source_kind(kind: v1::SourceKind) -> String {
    word(kind.as_str_name(), "SOURCE_KIND_").to_lowercase().replace('_', "-")
}

/// One balance on one line.
pub(super) fn balance_line(balance: &v1::Balance) -> String {
    let available = if balance.unlimited { "unlimited" } else { balance.available.as_str() };
    let near = if balance.near_limit { ", near the limit" } else { "" };
    format!("{available} {}{near}", balance.meter)
}

/// A denial with everything that stands in the way, and what would help.
pub(super) fn denial(denial: &v1::Denial) -> String {
    let mut text = format!("denied: {}: {}\n", reason(denial.reason()), denial.message);
    for violation in &denial.violations {
        let _ = writeln!(text, "  {}", violation_line(violation));
    }
    if let Some(wait) = &denial.retry_after {
        let _ = writeln!(text, "  retry after: {}", duration(wait));
    }
    for remedy in &denial.remedies {
        let line = remedy_line(remedy);
        if !line.is_empty() {
            let _ = writeln!(text, "  hint: {line}");
        }
    }
    text
}

pub(super) fn reason(reason: v1::DenialReason) -> &'static str {
    word(reason.as_str_name(), "DENIAL_REASON_")
}

fn violation_line(violation: &v1::Violation) -> String {
    let mut text = reason(violation.reason()).to_owned();
    if !violation.name.is_empty() {
        text.push_str(&format!(": `{}`", violation.name));
    }
    if !violation.dimensions.is_empty() {
        text.push_str(&format!(" [{}]", labels(&violation.dimensions)));
    }
    if !violation.requested.is_empty() {
        let requested = amount(&violation.requested, &violation.meter);
        text.push_str(&format!(": {requested} requested, {} available", violation.available));
        text.push_str(&format!(" (limit {}, reserved {}, committed {})", violation.limit, violation.reserved, violation.committed));
    }
    if violation.reset_time.is_some() {
        text.push_str(&format!(", renews at {}", time(violation.reset_time.as_ref())));
    }
    text
}

fn remedy_line(remedy: &v1::Remedy) -> String {
    use v1::remedy::Remedy;
    match &remedy.remedy {
        Some(Remedy::WaitUntil(instant)) => format!("wait until {}", time(Some(instant))),
        Some(Remedy::UpgradeToPlan(plan)) => format!("change to plan `{plan}`"),
        Some(Remedy::BuyCredits(units)) => format!("buy {units} units"),
        Some(Remedy::UseTarget(one)) => format!("use target `{}`", target(Some(one))),
        Some(Remedy::FewerCount(count)) => format!("ask for {count}"),
        None => String::new(),
    }
}

/// Balances as a table, and the sources below them.
pub(super) fn balances(response: &v1::GetBalanceResponse) -> String {
    let mut text = String::new();
    if !response.plan.is_empty() {
        let period = [response.period_start_time.as_ref(), response.period_end_time.as_ref()].map(time);
        let _ = writeln!(text, "plan {}, period {} to {}\n", response.plan, period[0], period[1]);
    }
    if response.balances.is_empty() {
        text.push_str("no balances\n");
        return text;
    }
    let header = ["METER", "AVAILABLE", "ALLOWANCE", "CREDITS", "RESERVED", "COMMITTED", "OVERAGE", "RENEWS", ""];
    let mut table = Columns::new(&header);
    let mut sources =
        Columns::new(&["METER", "SOURCE", "NAME", "USER", "LIMIT", "RESERVED", "COMMITTED", "AVAILABLE", "RENEWS", "EXPIRES"]);
    for one in &response.balances {
        table.row(balance_row(one));
        for source in &one.sources {
            sources.row(source_row(&one.meter, source));
        }
    }
    text.push_str(&table.into_text());
    text.push('\n');
    if !sources.rows.is_empty() {
        let _ = writeln!(text, "\n{}", sources.into_text());
    }
    text
}

fn balance_row(one: &v1::Balance) -> Vec<String> {
    vec![
        one.meter.clone(),
        if one.unlimited { "unlimited".to_owned() } else { one.available.clone() },
        one.allowance_available.clone(),
        one.credits_available.clone(),
        one.reserved.clone(),
        one.committed.clone(),
        one.overage.clone(),
        time(one.reset_time.as_ref()),
        if one.near_limit { "near the limit".to_owned() } else { String::new() },
    ]
}

fn source_row(meter: &str, source: &v1::SourceBalance) -> Vec<String> {
    vec![
        meter.to_owned(),
        source_kind(source.kind()),
        source.id.clone(),
        source.user.clone(),
        if source.unlimited { "unlimited".to_owned() } else { source.limit.clone() },
        source.reserved.clone(),
        source.committed.clone(),
        source.available.clone(),
        time(source.reset_time.as_ref()),
        time(source.expire_time.as_ref()),
    ]
}

/// Offers as a table; why one does not fit stands at its end.
pub(super) fn offers(response: &v1::QuoteResponse) -> String {
    let mut table = Columns::new(&["TARGET", "TIER", "UNITS", "COST", "COST SHIFT", "FITS"]);
    for offer in &response.offers {
        let fits = match &offer.denial {
            Some(denial) => format!("no: {}", reason(denial.reason())),
            None if offer.fits => "yes".to_owned(),
            None => "no".to_owned(),
        };
        let units = amount(&offer.units, &offer.meter);
        let shift = offer.cost_shift.clone();
        table.row(vec![target(offer.target.as_ref()), offer.tier.clone(), units, amount(&offer.cost, &response.currency), shift, fits]);
    }
    table.into_text()
}

/// A subject with its subscription and grants.
pub(super) fn subject(subject: Option<&v1::Subject>, replayed: bool) -> String {
    let Some(one) = subject else { return String::new() };
    let state = word(one.state().as_str_name(), "SUBJECT_STATE_").to_lowercase();
    let note = if replayed { " (replayed)" } else { "" };
    let mut fields = Fields::titled(&format!("subject {}{note}", one.subject));
    fields.add("state", &state);
    fields.add("time zone", &one.time_zone);
    fields.add("created", &time(one.create_time.as_ref()));
    if let Some(subscription) = &one.subscription {
        fields.add("plan", &subscription.plan);
        fields.add("billed by", &word(subscription.billing_interval().as_str_name(), "BILLING_INTERVAL_").to_lowercase());
        let period = [subscription.period_start_time.as_ref(), subscription.period_end_time.as_ref()].map(time);
        fields.add("period", &format!("{} to {}", period[0], period[1]));
        if subscription.seats > 0 {
            fields.add("seats", &format!("{} of {} occupied", subscription.occupied_seats.len(), subscription.seats));
        }
        for add_on in &subscription.add_ons {
            let next = add_on.next_units.map(|units| format!(", {units} from its next period on")).unwrap_or_default();
            fields.add("add-on", &format!("{} x {}{next}", add_on.add_on, add_on.units));
        }
        if let Some(change) = &subscription.pending_change {
            fields.add("to come", &pending(change));
        }
        fields.add("ends", &time(subscription.cancel_time.as_ref()));
    }
    for limit in &one.overrides {
        let (kind, name) = match &limit.limit {
            Some(v1::limit_override::Limit::Allowance(name)) => ("allowance", name.as_str()),
            Some(v1::limit_override::Limit::Cap(name)) => ("cap", name.as_str()),
            None => ("limit", ""),
        };
        fields.add("override", &format!("{kind} {name}: {}", limit.value));
    }
    for grant in &one.grants {
        fields.add("grant", &grant_line(grant));
    }
    fields.add("labels", &labels(&one.labels));
    fields.into_text()
}

fn pending(change: &v1::PendingChange) -> String {
    let plan = (!change.plan.is_empty()).then(|| format!("plan {}", change.plan));
    let seats = change.seats.map(|seats| format!("{seats} seats"));
    let what: Vec<String> = plan.into_iter().chain(seats).collect();
    format!("{} from {} on", what.join(", "), time(change.effective_time.as_ref()))
}

/// What a change of plan would do: a line on money, then the allowances.
pub(super) fn preview(response: &v1::PreviewChangeResponse) -> String {
    let mut fields = Fields::titled(&format!("acts at {}", time(response.effective_time.as_ref())));
    fields.add("price now", &amount(&response.present_price, &response.currency));
    fields.add("new price", &amount(&response.new_price, &response.currency));
    fields.add("due", &amount(&response.amount_due, &response.currency));
    let mut table = Columns::new(&["ALLOWANCE OF", "METER", "NOW", "LEFT NOW", "AFTER", "LEFT AFTER", "NEXT PERIOD"]);
    for change in &response.allowances {
        let limit = |amount: &Option<v1::AllowanceAmount>| match amount {
            None => "-".to_owned(),
            Some(amount) if amount.unlimited => "unlimited".to_owned(),
            Some(amount) => amount.limit.clone(),
        };
        let left = |amount: &Option<v1::AllowanceAmount>| amount.as_ref().map(|amount| amount.available.clone()).unwrap_or_default();
        let (now, after) = (&change.before, &change.after);
        let next = limit(&change.next_period);
        table.row(vec![change.allowance.clone(), change.meter.clone(), limit(now), left(now), limit(after), left(after), next]);
    }
    format!("{}{}", fields.into_text(), table.into_text())
}

fn grant_line(grant: &v1::Grant) -> String {
    let kind = word(grant.kind().as_str_name(), "GRANT_KIND_").to_lowercase();
    let mut text = format!("{}: {}, {kind}", grant.grant_id, amount(&grant.units, &grant.meter));
    for (what, at) in [("from", &grant.effective_time), ("until", &grant.expire_time), ("void since", &grant.void_time)] {
        if at.is_some() {
            text.push_str(&format!(", {what} {}", time(at.as_ref())));
        }
    }
    text
}

/// One change of a subject, on one line.
pub(super) fn subject_change(change: &v1::SubjectChange) -> String {
    let mut text = format!("{} {} {}", time(change.event_time.as_ref()), change.subject, change.operation);
    for (what, value) in [("", &change.about), ("request ", &change.request_id), ("because ", &change.detail)] {
        if !value.is_empty() {
            text.push_str(&format!(" {what}`{value}`"));
        }
    }
    text
}

/// Subjects as a table.
pub(super) fn subjects(response: &v1::ListSubjectsResponse) -> String {
    let mut table = Columns::new(&["SUBJECT", "STATE", "PLAN", "TIME ZONE", "SEATS", "GRANTS", "CREATED"]);
    for one in &response.subjects {
        let subscription = one.subscription.as_ref();
        let seats = subscription.map(|subscription| subscription.seats).filter(|seats| *seats > 0);
        table.row(vec![
            one.subject.clone(),
            word(one.state().as_str_name(), "SUBJECT_STATE_").to_lowercase(),
            subscription.map(|subscription| subscription.plan.clone()).unwrap_or_default(),
            one.time_zone.clone(),
            seats.map(|seats| seats.to_string()).unwrap_or_default(),
            one.grants.len().to_string(),
            time(one.create_time.as_ref()),
        ]);
    }
    let mut text = if response.subjects.is_empty() { "no subjects".to_owned() } else { table.into_text() };
    if !response.next_page_token.is_empty() {
        text.push_str(&format!("\nmore: `--page-token {}`", response.next_page_token));
    }
    text
}

/// What is to be said of a settlement besides the reservation.
pub(super) fn settled_notes(replayed: bool, queued: bool) -> Vec<&'static str> {
    let queued = queued.then_some("queued: applied when the store is back");
    replayed.then_some("replayed").into_iter().chain(queued).collect()
}
