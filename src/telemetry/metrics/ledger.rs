//! What the ledger's changes come to, as whole numbers.
//!
//! One look-up and a few additions for each change; amounts stay exact micro-units, and become what a metric is only when somebody reads
//! it. Each series of a table has its label set made once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use crate::domain::amount::MICROS_PER_UNIT;
use crate::domain::catalog::Catalog;
use crate::domain::denial::DenialReason;
use crate::domain::event::CostEvent;
use crate::domain::ids::{ActionId, PlanId, Target, TierId};
use crate::domain::ledger::{Event, EventKind, Row};
use crate::domain::reservation::{Attempt, AttemptReason, Detail, Outcome, Refund};
use crate::domain::summary::{Tally, outcome_name};
use crate::telemetry::attributes::{attempt_reason, denial_reason};
use crate::telemetry::names::{self, Metric, NONE, OTHER};

/// Most series of one metric. Beyond them, what is new is counted as `other`: below the 2,000 from which OpenTelemetry drops labels.
const SERIES_MAX: usize = 1_500;
/// Most currencies that are told apart: a catalog has one, and a process sees few catalogs.
const CURRENCIES_MAX: usize = 8;

/// All tables. Locked for the moment of a few additions, or of one reading.
#[derive(Default)]
pub(super) struct Tables(Mutex<State>);

#[derive(Default)]
struct State {
    known: Known,
    ended: HashMap<EndedKey, Series<Ended, 8>>,
    targets: HashMap<TargetKey, Series<Shift, 4>>,
    actions: HashMap<Option<ActionId>, Series<Reservations, 1>>,
    denials: HashMap<(DenialReason, Option<ActionId>), Series<u64, 2>>,
}

/// Names that stand in labels as they are.
#[derive(Default)]
struct Known {
    targets: HashSet<Target>,
    actions: HashSet<ActionId>,
    currencies: HashSet<Arc<str>>,
}

/// Sums with the labels they are shown under.
struct Series<T, const N: usize> {
    labels: [KeyValue; N],
    sums: T,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct EndedKey {
    target: Named<Target>,
    tier: Named<TierId>,
    action: Named<ActionId>,
    plan: Named<PlanId>,
    outcome: Option<Outcome>,
    reason: AttemptReason,
    currency: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct TargetKey {
    target: Named<Target>,
    tier: Named<TierId>,
    currency: Arc<str>,
}

/// A value of a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Named<T> {
    As(T),
    None,
    Other,
}

/// Attempts that ended alike. Amounts are micro-units.
#[derive(Default)]
struct Ended {
    generations: u64,
    attempts: u64,
    outputs: u64,
    units: i64,
    overage: i64,
    cost: i64,
    /// Units that refunds took back, of attempts that ended before.
    refunded: i64,
}

/// Attempts of one target beside what was planned. Amounts are micro-units of the currency.
#[derive(Default)]
struct Shift {
    up: i64,
    down: i64,
    failovers: u64,
}

#[derive(Default)]
struct Reservations {
    held: u64,
    settled: u64,
    expired: u64,
    late: u64,
    unpriced: u64,
}

impl Tables {
    pub(super) fn knows(&self, catalog: &Catalog) {
        let mut state = self.lock();
        let currency = state.known.currency(&catalog.price_book.currency);
        for (target, priced) in &catalog.price_book.targets {
            state.known.targets.insert(target.clone());
            let key = TargetKey { target: Named::As(target.clone()), tier: Named::As(priced.tier.clone()), currency: currency.clone() };
            state.target(key);
        }
        for action in catalog.actions.keys() {
            state.known.actions.insert(action.clone());
            state.action(Some(action));
            for reason in denial_reason::ALL {
                state.denial(reason, Some(action));
            }
        }
    }

    pub(super) fn observe(&self, event: &Event) {
        let Some(row) = &event.row else { return };
        let cost_event = CostEvent::of(event);
        let mut state = self.lock();
        state.reservation(event.kind, row);
        if let Some(cost_event) = cost_event {
            state.attempt(event.kind, &cost_event);
        }
        if let Some(refund) = row.detail.refunds.last().filter(|_| event.kind == EventKind::Refunded) {
            state.refund(&row.detail, refund);
        }
    }

    pub(super) fn denied(&self, reason: DenialReason, action: Option<&ActionId>, is_unpriced: bool) {
        let mut state = self.lock();
        *state.denial(reason, action) += 1;
        if is_unpriced {
            state.action(action).unpriced += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts what became of a reservation as such.
    fn reservation(&mut self, kind: EventKind, row: &Row) {
        let attempt = row.detail.last_attempt();
        let sums = self.action(Some(&row.detail.action));
        let opened = match kind {
            EventKind::Reserved => {
                sums.held += 1;
                true
            }
            EventKind::Recorded | EventKind::Retried => true,
            EventKind::Committed if row.late => {
                sums.late += 1;
                false
            }
            EventKind::Committed | EventKind::Released => {
                sums.settled += 1;
                false
            }
            EventKind::Expired => {
                sums.expired += 1;
                false
            }
            EventKind::Extended | EventKind::Refunded | EventKind::SubjectChanged => false,
        };
        if opened && attempt.target.is_some() && attempt.price_from.is_none() {
            sums.unpriced += 1;
        }
    }

    /// Counts an attempt that ended.
    fn attempt(&mut self, kind: EventKind, event: &CostEvent) {
        let (detail, attempt) = (event.detail(), &event.attempt);
        // A late commit was counted when it expired, and adds what it used and cost.
        let tally = Tally::of_event(event);
        let key = self.known.key(detail, attempt);
        let of_target = TargetKey { target: key.target.clone(), tier: key.tier.clone(), currency: key.currency.clone() };
        let sums = self.ended(key);
        sums.generations += u64::from(kind != EventKind::Retried && !event.late);
        sums.attempts += tally.attempts;
        sums.outputs += tally.outputs;
        sums.units = sums.units.saturating_add(tally.units);
        sums.overage = sums.overage.saturating_add(event.overage.get());
        sums.cost = sums.cost.saturating_add(tally.cost);
        let shift = self.target(of_target);
        shift.failovers += u64::from(attempt.is_failover(detail) && !event.late);
        match tally.cost_shift {
            up @ 0.. => shift.up = shift.up.saturating_add(up),
            down => shift.down = shift.down.saturating_sub(down),
        }
    }

    /// Counts units that go back, under the attempt that they were charged for.
    fn refund(&mut self, detail: &Detail, refund: &Refund) {
        let key = self.known.key(detail, detail.last_attempt());
        let sums = self.ended(key);
        sums.refunded = sums.refunded.saturating_add(refund.units.get());
    }

    fn ended(&mut self, key: EndedKey) -> &mut Ended {
        let key = bounded(&self.ended, key, EndedKey::other);
        &mut self.ended.entry(key).or_insert_with_key(|key| Series { labels: key.labels(), sums: Ended::default() }).sums
    }

    fn target(&mut self, key: TargetKey) -> &mut Shift {
        let key = bounded(&self.targets, key, TargetKey::other);
        &mut self.targets.entry(key).or_insert_with_key(|key| Series { labels: key.labels(), sums: Shift::default() }).sums
    }

    fn action(&mut self, action: Option<&ActionId>) -> &mut Reservations {
        let key = self.known.action(action);
        let labels = |key: &Option<ActionId>| [action_label(key.as_ref())];
        &mut self.actions.entry(key).or_insert_with_key(|key| Series { labels: labels(key), sums: Reservations::default() }).sums
    }

    fn denial(&mut self, reason: DenialReason, action: Option<&ActionId>) -> &mut u64 {
        let key = (reason, self.known.action(action));
        let labels =
            |key: &(DenialReason, Option<ActionId>)| [KeyValue::new("reason", denial_reason::name(key.0)), action_label(key.1.as_ref())];
        &mut self.denials.entry(key).or_insert_with_key(|key| Series { labels: labels(key), sums: 0 }).sums
    }
}

impl Known {
    fn key(&mut self, detail: &Detail, attempt: &Attempt) -> EndedKey {
        EndedKey {
            target: match &attempt.target {
                None => Named::None,
                // A target without a price is whatever its caller wrote.
                Some(target) if self.targets.contains(target) => Named::As(target.clone()),
                Some(_) => Named::Other,
            },
            tier: named(attempt.tier.as_ref()),
            action: if self.actions.contains(&detail.action) { Named::As(detail.action.clone()) } else { Named::Other },
            plan: named(detail.plan.as_ref()),
            outcome: attempt.outcome,
            reason: attempt.reason,
            currency: self.currency(&detail.currency),
        }
    }

    /// The action as a catalog names it; `None` for any other.
    fn action(&self, action: Option<&ActionId>) -> Option<ActionId> {
        action.and_then(|action| self.actions.get(action)).cloned()
    }

    fn currency(&mut self, currency: &str) -> Arc<str> {
        if let Some(known) = self.currencies.get(currency) {
            return known.clone();
        }
        let known: Arc<str> = match currency {
            "" => Arc::from(NONE),
            _ if self.currencies.len() >= CURRENCIES_MAX => Arc::from(OTHER),
            currency => Arc::from(currency),
        };
        self.currencies.insert(known.clone());
        known
    }
}

impl EndedKey {
    /// The same among the many.
    fn other(self) -> Self {
        Self { target: Named::Other, tier: Named::Other, action: Named::Other, plan: Named::Other, ..self }
    }

    fn labels(&self) -> [KeyValue; 8] {
        let [provider, model] = target_labels(&self.target);
        [
            provider,
            model,
            label("tier", &self.tier, TierId::as_str),
            label("action", &self.action, ActionId::as_str),
            label("plan", &self.plan, PlanId::as_str),
            KeyValue::new("outcome", self.outcome.map_or(NONE, outcome_name)),
            KeyValue::new("reason", attempt_reason(self.reason)),
            KeyValue::new("currency", self.currency.clone()),
        ]
    }
}

impl TargetKey {
    fn other(self) -> Self {
        Self { target: Named::Other, tier: Named::Other, ..self }
    }

    fn labels(&self) -> [KeyValue; 4] {
        let [provider, model] = target_labels(&self.target);
        [provider, model, label("tier", &self.tier, TierId::as_str), KeyValue::new("currency", self.currency.clone())]
    }
}

/// The key itself, or the one it is counted under when there are too many already.
fn bounded<K: Eq + std::hash::Hash, T>(table: &HashMap<K, T>, key: K, other: impl FnOnce(K) -> K) -> K {
    if table.len() < SERIES_MAX || table.contains_key(&key) { key } else { other(key) }
}

fn named<T: Clone>(value: Option<&T>) -> Named<T> {
    value.cloned().map_or(Named::None, Named::As)
}

fn label<T>(name: &'static str, value: &Named<T>, text: impl FnOnce(&T) -> &str) -> KeyValue {
    match value {
        Named::As(value) => KeyValue::new(name, text(value).to_owned()),
        Named::None => KeyValue::new(name, NONE),
        Named::Other => KeyValue::new(name, OTHER),
    }
}

fn target_labels(target: &Named<Target>) -> [KeyValue; 2] {
    [label("provider", target, |target| target.provider.as_str()), label("model", target, |target| target.model.as_str())]
}

fn action_label(action: Option<&ActionId>) -> KeyValue {
    action.map_or_else(|| KeyValue::new("action", OTHER), |action| KeyValue::new("action", action.as_str().to_owned()))
}

/// Registers everything that is read from the tables.
pub(super) fn register(meter: &Meter, tables: &Arc<Tables>) {
    let attempts = |metric: &'static Metric, read: fn(&Ended) -> f64| {
        let many = metric.labels.len();
        counter(meter, metric, tables, move |state, tell| {
            state.ended.values().for_each(|series| tell(read(&series.sums), &series.labels[..many]));
        });
    };
    attempts(&names::GENERATIONS, |sums| number(sums.generations));
    attempts(&names::ATTEMPTS, |sums| number(sums.attempts));
    attempts(&names::OUTPUTS, |sums| number(sums.outputs));
    attempts(&names::UNITS, |sums| amount(sums.units));
    attempts(&names::OVERAGE, |sums| amount(sums.overage));
    attempts(&names::REFUNDED, |sums| amount(sums.refunded));
    attempts(&names::COST, |sums| amount(sums.cost));
    let targets = |metric: &'static Metric, read: fn(&Shift) -> f64| {
        counter(meter, metric, tables, move |state, tell| {
            state.targets.values().for_each(|series| tell(read(&series.sums), &series.labels));
        });
    };
    targets(&names::COST_SHIFT_UP, |sums| amount(sums.up));
    targets(&names::COST_SHIFT_DOWN, |sums| amount(sums.down));
    targets(&names::FAILOVERS, |sums| number(sums.failovers));
    let actions = |metric: &'static Metric, read: fn(&Reservations) -> f64| {
        counter(meter, metric, tables, move |state, tell| {
            state.actions.values().for_each(|series| tell(read(&series.sums), &series.labels));
        });
    };
    actions(&names::HELD, |sums| number(sums.held));
    actions(&names::SETTLED, |sums| number(sums.settled));
    actions(&names::EXPIRED, |sums| number(sums.expired));
    actions(&names::LATE, |sums| number(sums.late));
    actions(&names::UNPRICED, |sums| number(sums.unpriced));
    counter(meter, &names::DENIALS, tables, |state, tell| {
        state.denials.values().for_each(|series| tell(number(series.sums), &series.labels));
    });
}

/// A counter that is read from the tables whenever somebody collects.
fn counter(
    meter: &Meter,
    metric: &'static Metric,
    tables: &Arc<Tables>,
    read: impl Fn(&State, &mut dyn FnMut(f64, &[KeyValue])) + Send + Sync + 'static,
) {
    let tables = tables.clone();
    let counter = meter.f64_observable_counter(metric.name).with_description(metric.about).with_unit(metric.unit);
    // The instrument lives in the provider; what is returned is only a handle.
    let _ = counter.with_callback(move |told| read(&tables.lock(), &mut |value, labels| told.observe(value, labels))).build();
}

fn number(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::float_arithmetic, reason = "what is shown is a measurement; the money is in the ledger")]
fn amount(micros: i64) -> f64 {
    micros as f64 / MICROS_PER_UNIT as f64
}
