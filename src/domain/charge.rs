//! Charging: from what is asked to everything a decision needs. Pure, and the only place where plan, price, count and caps meet.
//!
//! A charge is judged once, under one catalog and one version of the subject's document, and says so in its transaction. Whether the
//! units are there is not decided here: that is the ledger's step.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::amount::Micros;
use super::cap::{CapAmounts, CapContext, ChargedCap, charged_caps};
use super::catalog::Catalog;
use super::condition::Circumstances;
use super::counting::{Action, WorkError};
use super::denial::{DenialReason, Violation};
use super::failover::{Step as FailoverStep, Way};
use super::ids::{ActionId, AttributeId, GenerationId, MeasureId, MeterId, PlanId, ReservationId, Target, TierId, UserId};
use super::ledger::{AccountKey, CapLeg, EventKind, Expected, Fingerprint, Movement, Next, Side, State, Step, Take, Transaction};
use super::period::OutOfCalendar;
use super::plan::{Failover, Features};
use super::price_book::{CostBasis, PriceError, Priced};
use super::reservation::{Attempt, AttemptReason, Detail, Labels};
use super::subject::Document;
use super::view::{PayingSource, Seat, View};
use super::work::Work;

/// What is asked, by whom.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub user: Option<&'a UserId>,
    pub action: &'a ActionId,
    pub target: Option<&'a Target>,
    /// What the customer chose, where `target` differs from it.
    pub planned_target: Option<&'a Target>,
    /// Where a retry may go: the hold is sized for the dearest of them that the policy allows.
    pub fallbacks: &'a [Target],
    pub work: &'a Work,
    pub labels: &'a Labels,
}

/// A field that says something impossible. Never counted as zero (R10).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidField {
    pub field: String,
    pub problem: String,
}

impl From<InvalidField> for ChargeError {
    fn from(field: InvalidField) -> Self {
        Self::Invalid(vec![field])
    }
}

/// Why there is no charge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChargeError {
    /// Every field that is wrong, at least one.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<InvalidField>),
    #[error("the time {0}")]
    Calendar(#[from] OutOfCalendar),
}

/// What a request counts, costs and may draw on.
#[derive(Debug, Clone)]
pub struct Charge<'c> {
    pub action: &'c Action,
    pub plan: Option<&'c PlanId>,
    /// The first attempt, with its expected units and cost.
    pub attempt: Attempt,
    /// To be set aside: those of the target, or of a dearer fallback.
    pub units: Micros,
    pub cost: Micros,
    pub sources: Vec<PayingSource>,
    pub overage: Option<AccountKey>,
    pub whole: bool,
    pub caps: Vec<ChargedCap<'c>>,
    pub seat: Seat,
    /// What stands against the request whatever the balance.
    pub violations: Vec<Violation>,
    /// The store times for which the accounts named here are the right ones.
    pub valid: (Timestamp, Timestamp),
    pub now: Timestamp,
}

/// What a work means at one target.
#[derive(Debug, Clone)]
pub(super) struct AtTarget {
    pub units: Micros,
    pub priced: Priced,
    /// The target has no price, and the book refuses those.
    pub refused: bool,
}

impl AtTarget {
    /// What it costs, where that is known.
    pub fn cost(&self) -> Option<Micros> {
        (self.priced.basis != CostBasis::None).then_some(self.priced.cost)
    }

    /// What going here means on the way of a generation.
    pub fn step(&self, target: Option<&Target>, way: &Way<'_>) -> FailoverStep<'_> {
        FailoverStep {
            attempt: way.attempt,
            elsewhere: target != way.planned_target,
            tier: self.priced.tier.as_ref(),
            cost: self.cost(),
            planned_cost: way.planned_cost,
            spent: way.spent,
        }
    }

    /// The attempt that begins here, of work that was planned elsewhere.
    pub fn attempt(&self, number: u32, reason: AttemptReason, target: Option<&Target>, planned: &Self, start_time: Timestamp) -> Attempt {
        Attempt {
            number,
            reason,
            target: target.cloned(),
            tier: self.priced.tier.clone(),
            outcome: None,
            outcome_unknown: false,
            units: self.units,
            cost: self.priced.cost,
            planned_cost: planned.cost(),
            basis: self.priced.basis,
            price_from: self.priced.from,
            start_time,
            end_time: None,
            asked: None,
            delivered: None,
            billed: None,
            closed_by: None,
            trace: None,
        }
    }
}

impl InvalidField {
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    pub(super) fn of_work(error: WorkError, field: &str) -> Self {
        Self::new(format!("{field}.{}", error.path), error.problem)
    }
}

/// Looks an action up, and refuses a work it does not declare.
pub fn checked_action<'c>(catalog: &'c Catalog, id: &ActionId, work: &Work, field: &str) -> Result<&'c Action, ChargeError> {
    let action = known_action(catalog, id)?;
    let problems = undeclared(action, work, field);
    if problems.is_empty() { Ok(action) } else { Err(ChargeError::Invalid(problems)) }
}

fn known_action<'c>(catalog: &'c Catalog, id: &ActionId) -> Result<&'c Action, ChargeError> {
    catalog.actions.get(id).ok_or_else(|| {
        let known: Vec<_> = catalog.actions.keys().map(|known| format!("`{known}`")).collect();
        InvalidField::new("action", format!("`{id}` is not in the catalog; it has {}", known.join(", "))).into()
    })
}

fn undeclared(action: &Action, work: &Work, field: &str) -> Vec<InvalidField> {
    action.problems(work).into_iter().map(|error| InvalidField::of_work(error, field)).collect()
}

/// Counts and prices a work at a target. Without a target there is no provider, and no cost.
pub(super) fn at_target(
    catalog: &Catalog,
    action: &Action,
    plan: Option<&PlanId>,
    target: Option<&Target>,
    work: (&Work, &str),
    now: Timestamp,
) -> Result<AtTarget, ChargeError> {
    let (work, field) = work;
    let tier = target.and_then(|target| catalog.price_book.tier(target));
    let at_hand = Circumstances { action: &action.id, target, tier, plan };
    let meaning = |work: &Work| (action.count(&at_hand, work, |_| {}), price(catalog, action, target, work, now));
    if let (Ok(units), Ok((priced, refused))) = meaning(work) {
        return Ok(AtTarget { units, priced, refused });
    }
    // Item by item, so that each one that cannot be counted or priced is named.
    let mut problems: Vec<InvalidField> = Vec::new();
    let mut note = |error: WorkError, item: Option<usize>| {
        let error = item.map_or(error.clone(), |index| error.at_item(index));
        if problems.iter().all(|known| known.field != format!("{field}.{}", error.path)) {
            problems.push(InvalidField::of_work(error, field));
        }
    };
    for (index, item) in work.items.iter().enumerate() {
        let (units, priced) = meaning(&Work { items: vec![item.clone()] });
        [units.err(), priced.err()].into_iter().flatten().for_each(|error| note(error, Some(index)));
    }
    if problems.is_empty() {
        // Each for itself is fine: it is their sum.
        let (units, priced) = meaning(work);
        let mut note = |error| problems.push(InvalidField::of_work(error, field));
        [units.err(), priced.err()].into_iter().flatten().for_each(&mut note);
    }
    Err(ChargeError::Invalid(problems))
}

/// Prices a work at a target, without counting it.
pub(super) fn priced_at(
    catalog: &Catalog,
    action: &Action,
    target: Option<&Target>,
    work: (&Work, &str),
    now: Timestamp,
) -> Result<AtTarget, ChargeError> {
    let (work, field) = work;
    let (priced, refused) = price(catalog, action, target, work, now).map_err(|error| InvalidField::of_work(error, field))?;
    Ok(AtTarget { units: Micros::ZERO, priced, refused })
}

/// The price of a work, and whether the target is refused for want of one.
fn price(catalog: &Catalog, action: &Action, target: Option<&Target>, work: &Work, now: Timestamp) -> Result<(Priced, bool), WorkError> {
    let unpriced = |tier: Option<&TierId>| Priced { cost: Micros::ZERO, tier: tier.cloned(), basis: CostBasis::None, from: None };
    let Some(target) = target else { return Ok((unpriced(None), false)) };
    match catalog.price_book.price(&action.id, target, work, now) {
        Ok(priced) => Ok((priced, false)),
        Err(PriceError::Unpriced { .. }) => Ok((unpriced(catalog.price_book.tier(target)), true)),
        Err(PriceError::Work(error)) => Err(error),
    }
}

impl<'c> Charge<'c> {
    /// Judges what is asked of a subject, under a catalog.
    pub fn judge(catalog: &'c Catalog, view: &View<'c>, ask: &Ask<'_>) -> Result<Self, ChargeError> {
        let action = known_action(catalog, ask.action)?;
        let mut problems = Vec::new();
        if action.meter().is_some() && ask.target.is_none() {
            problems
                .push(InvalidField::new("target", format!("is missing; `{}` is charged, and its price is that of a target", action.id)));
        }
        problems.extend(undeclared(action, ask.work, "work"));
        if !problems.is_empty() {
            return Err(ChargeError::Invalid(problems));
        }
        let plan = view.plan.as_ref().map(|active| &active.plan.id);
        let price = |target: Option<&Target>| at_target(catalog, action, plan, target, (ask.work, "work"), view.now);
        let here = price(ask.target)?;
        let planned_target = ask.planned_target.or(ask.target);
        let planned = if planned_target == ask.target { here.clone() } else { price(planned_target)? };
        let attempt = here.attempt(1, AttemptReason::First, ask.target, &planned, view.now);
        let way = Way { attempt: 2, planned_target, planned_cost: planned.cost(), spent: Micros::ZERO };
        let (units, cost) = to_hold(view, action, &here, &way, ask.fallbacks, |target| price(Some(target)))?;
        let mut charge = Self {
            action,
            plan,
            units,
            cost,
            sources: Vec::new(),
            overage: None,
            whole: view.is_whole(),
            caps: Vec::new(),
            seat: Seat::None,
            violations: violations(view, action, ask, (&here, &planned)),
            valid: (Timestamp::MIN, Timestamp::MAX),
            now: view.now,
            attempt,
        };
        if let Some(meter) = action.meter() {
            charge.draw_on(catalog, view, meter, ask)?;
        }
        Ok(charge)
    }

    /// Finds the sources and caps of a metered action, and for how long they are the right ones.
    fn draw_on(&mut self, catalog: &'c Catalog, view: &View<'c>, meter: &MeterId, ask: &Ask<'_>) -> Result<(), ChargeError> {
        let (sources, until) = view.sources(meter, ask.user)?;
        self.sources = sources;
        self.overage = Some(view.overage(meter));
        let context = self.cap_context(view, ask);
        let amounts = CapAmounts { meter: Some(meter), units: self.units, cost: self.cost, requests: Micros::ONE_UNIT };
        let plan_caps = view.plan.as_ref().map_or(&[][..], |active| &active.terms.caps);
        let caps = charged_caps(catalog.caps.iter().chain(plan_caps), &context, &amounts)?;
        let windows = caps.iter().filter_map(|cap| cap.window);
        let period = view.plan.as_ref().map(|active| (active.period.start, active.period.end));
        for (start, end) in windows.chain(period) {
            self.valid = (self.valid.0.max(start), self.valid.1.min(end));
        }
        self.valid.1 = until.map_or(self.valid.1, |until| self.valid.1.min(until));
        self.caps = caps;
        self.seat = if self.units.is_zero() { Seat::None } else { view.seat(meter, ask.user) };
        if self.seat == Seat::Exhausted {
            let user = ask.user.map_or("", UserId::as_str);
            self.violations.push(Violation::of(DenialReason::SeatsExhausted, "seats", &[("user", user)]));
        }
        Ok(())
    }

    fn cap_context<'a>(&'a self, view: &View<'a>, ask: &Ask<'a>) -> CapContext<'a> {
        CapContext {
            at_hand: Circumstances { action: ask.action, target: ask.target, tier: self.attempt.tier.as_ref(), plan: self.plan },
            user: ask.user,
            labels: ask.labels,
            zone: view.zone.clone(),
            period: view.plan.as_ref().map(|active| active.period),
            overrides: view.overrides(),
            now: view.now,
        }
    }

    /// The accounts whose state an answer should tell beside those it takes from.
    fn watched(&self) -> impl Iterator<Item = CapLeg> {
        let carried = self.sources.iter().filter_map(|source| source.source.carry.as_ref()).map(|carry| &carry.account);
        self.overage.iter().chain(carried).cloned().map(CapLeg::watch)
    }

    /// The take of this charge: of `units` and under its caps, `overage` only where what happened must be booked.
    pub fn take(&self, overage: Option<AccountKey>) -> Take {
        Take {
            units: self.units,
            sources: self.sources.iter().map(|source| source.source.clone()).collect(),
            whole: self.whole && overage.is_none(),
            overage,
            caps: self.caps.iter().map(|cap| cap.leg.clone()).chain(self.watched()).collect(),
        }
    }

    /// What the reservation will carry.
    pub fn detail(&self, catalog: &Catalog, ask: &Ask<'_>, generation: GenerationId) -> Detail {
        Detail {
            user: ask.user.cloned(),
            generation,
            action: ask.action.clone(),
            meter: self.action.meter().cloned(),
            plan: self.plan.cloned(),
            catalog: catalog.version.clone(),
            judged_at: self.now,
            planned_target: ask.planned_target.or(ask.target).cloned(),
            fallbacks: ask.fallbacks.to_vec(),
            work: ask.work.clone(),
            attempts: vec![self.attempt.clone()],
            labels: ask.labels.clone(),
            currency: catalog.price_book.currency.clone(),
            cost_reserved: self.cost,
            note: Box::default(),
            unenforced: false,
            refunds: Vec::new(),
        }
    }

    /// The transaction that sets this charge aside under a new id.
    pub fn hold(&self, opening: Opening, view: &View<'_>, ttl: SignedDuration) -> Transaction {
        Transaction {
            subject: opening.subject,
            judged_by: Some(view.version()),
            valid: Some(self.valid),
            dry_run: opening.dry_run,
            document: self.seated(view, opening.user.as_ref()),
            correction: None,
            step: Some(Step {
                id: opening.id,
                fingerprint: opening.fingerprint,
                expected: Expected::Absent,
                movement: Movement::Move { take: self.take(None), into: Side::Reserved },
                next: Next { state: State::Held, ttl: Some(ttl), detail: Arc::new(opening.detail), event: EventKind::Reserved },
            }),
        }
    }

    /// The document with the caller's user seated, when this call is their first.
    pub(super) fn seated(&self, view: &View<'_>, user: Option<&UserId>) -> Option<Arc<Document>> {
        if self.seat == Seat::Taken { view.seated(user?) } else { None }
    }
}

/// What a new row of the ledger opens with.
#[derive(Debug, Clone)]
pub struct Opening {
    pub subject: super::ids::SubjectId,
    pub user: Option<UserId>,
    pub id: ReservationId,
    pub fingerprint: Fingerprint,
    pub detail: Detail,
    /// The trace of the call, for what it closes.
    pub trace: Option<super::ids::TraceId>,
    pub dry_run: bool,
}

fn violations(view: &View<'_>, action: &Action, ask: &Ask<'_>, (here, planned): (&AtTarget, &AtTarget)) -> Vec<Violation> {
    let mut violations = Vec::new();
    if view.is_suspended() {
        violations.push(Violation::of(DenialReason::SubjectSuspended, "subject", &[]));
    }
    if !view.is_known() {
        violations.push(Violation::of(DenialReason::NoSubscription, "subscription", &[]));
    }
    if let Some(active) = &view.plan {
        violations.extend(feature_violations(&active.terms.features, action, ask.work));
        violations.extend(tier_violation(&active.terms.features, here));
        if ask.planned_target.is_some_and(|planned| Some(planned) != ask.target) && !here.refused && !planned.refused {
            let way = Way { attempt: 1, planned_target: ask.planned_target, planned_cost: planned.cost(), spent: Micros::ZERO };
            violations.extend(failover_violations(view, action, here.step(ask.target, &way)));
        }
    }
    for (target, refused) in
        [(ask.target, here.refused), (ask.planned_target.filter(|planned| Some(*planned) != ask.target), planned.refused)]
    {
        violations.extend(target.filter(|_| refused).map(unpriced_violation));
    }
    violations
}

pub(super) fn unpriced_violation(target: &Target) -> Violation {
    let of = [("provider", target.provider.as_str()), ("model", target.model.as_str())];
    Violation::of(DenialReason::UnpricedTarget, "price", &of)
}

/// Units and cost to hold for what begins at a target, or at a dearer fallback that it may still come to: in the next attempt, by the plan
/// and its failover policy.
pub(super) fn to_hold(
    view: &View<'_>,
    action: &Action,
    here: &AtTarget,
    way: &Way<'_>,
    fallbacks: &[Target],
    price: impl Fn(&Target) -> Result<AtTarget, ChargeError>,
) -> Result<(Micros, Micros), ChargeError> {
    let (mut units, mut cost) = (here.units, here.priced.cost);
    for target in fallbacks {
        let there = price(target)?;
        let may_go_there = !there.refused
            && view.plan.as_ref().is_none_or(|active| tier_violation(&active.terms.features, &there).is_none())
            && failover_violations(view, action, there.step(Some(target), way)).is_empty();
        if may_go_there {
            units = units.max(there.units);
            cost = cost.max(there.priced.cost);
        }
    }
    Ok((units, cost))
}

/// What the plan's failover policy has against a step; without a plan, what every ledger has.
pub(super) fn failover_violations(view: &View<'_>, action: &Action, step: FailoverStep<'_>) -> Vec<Violation> {
    match &view.plan {
        Some(active) => active.terms.failover.of(&action.id).violations(step),
        None => Failover::default().violations(step),
    }
}

/// Credits never unlock features: these gate before any balance is looked at (P10).
pub(super) fn feature_violations(features: &Features, action: &Action, work: &Work) -> Vec<Violation> {
    let of = |name: &str, key: &str, value: &str| Violation::of(DenialReason::FeatureNotInPlan, name, &[(key, value)]);
    let mut violations = Vec::new();
    if features.actions.as_ref().is_some_and(|actions| !actions.contains(&action.id)) {
        violations.push(of("actions", "action", action.id.as_str()));
    }
    for item in &work.items {
        for (name, value) in &item.attributes {
            if features.attributes.get(name).is_some_and(|allowed| !allowed.contains(value)) {
                violations.push(of(AttributeId::as_str(name), name.as_str(), value));
            }
        }
        for (name, value) in &item.measures {
            if features.measures.get(name).is_some_and(|most| value > most) {
                violations.push(of(MeasureId::as_str(name), name.as_str(), &value.to_string()));
            }
        }
    }
    violations.sort_by(|left, right| (&left.name, &left.dimensions).cmp(&(&right.name, &right.dimensions)));
    violations.dedup();
    violations
}

pub(super) fn tier_violation(features: &Features, here: &AtTarget) -> Option<Violation> {
    let tiers = features.tiers.as_ref()?;
    match &here.priced.tier {
        Some(tier) if !tiers.contains(tier) => Some(Violation::of(DenialReason::FeatureNotInPlan, "tiers", &[("tier", tier.as_str())])),
        _ => None,
    }
}
