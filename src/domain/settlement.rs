//! Settlements: what becomes of a hold when the model has run, and usage that never had one (L3, L4, L6, L13).
//!
//! The quota side and the cost side are settled in one step and may disagree: an attempt that gave the customer nothing still books what
//! the provider billed.

use std::sync::Arc;

use jiff::Timestamp;

use super::amount::Micros;
use super::balance::Snapshot;
use super::cap::{CapAmounts, CapContext, ChargedCap, charged_caps};
use super::catalog::Catalog;
use super::charge::{Charge, ChargeError, Opening, at_target, checked_action, priced_at};
use super::condition::Circumstances;
use super::ids::{SubjectId, TraceId};
use super::ledger::{
    AccountKey, AccountKind, CapLeg, EventKind, Expected, Fingerprint, Movement, Next, Row, Side, Source, State, Step, Take, Transaction,
};
use super::price_book::CostBasis;
use super::reservation::{Attempt, Detail, Outcome};
use super::subject::Document;
use super::view::{PayingSource, Seat, View};
use super::work::Work;

/// How a reservation ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With what was delivered; `None` is what was asked for.
    Commit {
        delivered: Option<Work>,
    },
    Release {
        outcome: Outcome,
        note: Box<str>,
    },
}

/// What the provider bills, as far as the caller knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Billing {
    pub work: Option<Work>,
    pub cost: Option<Micros>,
}

/// A settlement request against a reservation as it was last seen.
#[derive(Debug, Clone)]
pub struct Settlement<'a> {
    pub subject: &'a SubjectId,
    pub row: &'a Row,
    pub ending: &'a Ending,
    pub billing: &'a Billing,
    pub fingerprint: Fingerprint,
    /// The trace of the call.
    pub trace: Option<TraceId>,
    /// What the accounts of an expired reservation still have for it, as `own_left` tells; zero of any other.
    pub left: Micros,
}

/// A settlement worked out, with the sources a balance tells of.
#[derive(Debug, Clone)]
pub struct Settled {
    pub transaction: Transaction,
    pub sources: Vec<PayingSource>,
    pub overage: Option<AccountKey>,
}

impl Settlement<'_> {
    /// Works out the transaction, at the rates of `pinned`, the catalog the reservation was made under (R9). `view` is the subject now,
    /// `then` at the instant the reservation was judged.
    pub fn work_out(&self, pinned: &Catalog, view: &View<'_>, then: &View<'_>) -> Result<Settled, ChargeError> {
        let detail = &self.row.detail;
        let (units, attempt) = self.close_attempt(pinned, view.now)?;
        let sources = match &detail.meter {
            Some(meter) => view.sources(meter, detail.user.as_ref())?.0,
            None => Vec::new(),
        };
        let overage = detail.meter.as_ref().map(|meter| then.overage(meter));
        let carried = carried(&sources);
        let own = own_sources(self.row, then, &carried)?;
        let watched = overage.iter().cloned().chain(carried).map(CapLeg::watch);
        let requests = if matches!(self.ending, Ending::Commit { .. }) { Micros::ONE_UNIT } else { Micros::ZERO };
        let amounts = CapAmounts { meter: detail.meter.as_ref(), units, cost: attempt.cost, requests };
        let caps = booked_caps(pinned, detail, then, &amounts)?;
        let take = Take {
            units,
            sources: own.into_iter().chain(sources.iter().map(|source| source.source.clone())).collect(),
            whole: false,
            overage: overage.clone(),
            caps: caps.into_iter().chain(watched).collect(),
        };
        let (state, event) = match self.ending {
            Ending::Commit { .. } => (State::Committed, EventKind::Committed),
            Ending::Release { .. } => (State::Released, EventKind::Released),
        };
        let transaction = Transaction {
            subject: self.subject.clone(),
            judged_by: Some(view.version()),
            valid: None,
            dry_run: false,
            document: seated(self.row, view, units, self.left),
            correction: None,
            step: Some(Step {
                id: self.row.id.clone(),
                fingerprint: self.fingerprint,
                expected: Expected::Version(self.row.version),
                movement: Movement::Move { take, into: Side::Committed },
                next: Next { state, ttl: None, detail: Arc::new(self.closed(attempt)), event },
            }),
        };
        Ok(Settled { transaction, sources, overage })
    }

    /// The accounts to look at before `own_left` can be told: those of an expired reservation whose user would have to sit down for more.
    /// None where it makes no difference.
    pub fn own_to_read(&self, view: &View<'_>, then: &View<'_>) -> Result<Vec<Source>, ChargeError> {
        match (&self.row.detail.meter, &self.row.detail.user) {
            (Some(meter), Some(user)) if self.row.state == State::Expired && view.seat(meter, Some(user)) == Seat::Taken => {
                own_sources(self.row, then, &carried(&view.sources(meter, Some(user))?.0))
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Closes the attempt that runs: its units, its cost, its outcome.
    fn close_attempt(&self, pinned: &Catalog, now: Timestamp) -> Result<(Micros, Attempt), ChargeError> {
        let detail = &self.row.detail;
        let (outcome, delivered) = match self.ending {
            Ending::Commit { delivered } => (Outcome::Accepted, Some(delivered.as_ref().unwrap_or(&detail.work))),
            Ending::Release { outcome, .. } => (*outcome, None),
        };
        let mut attempt = detail.last_attempt().clone();
        let action = checked_action(pinned, &detail.action, delivered.unwrap_or(&detail.work), "work")?;
        let nothing = Work::default();
        let at = |target, work| at_target(pinned, action, detail.plan.as_ref(), target, work, detail.judged_at);
        let units = at(attempt.target.as_ref(), (delivered.unwrap_or(&nothing), "work"))?.units;
        book_cost(pinned, detail, &mut attempt, delivered, outcome, self.billing)?;
        attempt.units = units;
        attempt.outcome = Some(outcome);
        attempt.end_time = Some(now.max(attempt.start_time));
        attempt.delivered = delivered.cloned();
        attempt.trace = self.trace;
        Ok((units, attempt))
    }

    fn closed(&self, attempt: Attempt) -> Detail {
        let mut detail = (*self.row.detail).clone();
        if let Some(last) = detail.attempts.last_mut() {
            *last = attempt;
        }
        if let Ending::Release { note, .. } = self.ending {
            detail.note = note.clone();
        }
        detail
    }
}

/// The document with the user seated, where more is charged than was held, or is left of what an expired reservation held: a seat pays
/// only for who sits on it (P6).
pub(super) fn seated(row: &Row, view: &View<'_>, units: Micros, left: Micros) -> Option<Arc<Document>> {
    let (meter, user) = (row.detail.meter.as_ref()?, row.detail.user.as_ref()?);
    let own = if row.state == State::Held { row.units_held() } else { left };
    let taken = units > own && view.seat(meter, Some(user)) == Seat::Taken;
    if taken { view.seated(user) } else { None }
}

/// What the accounts of an expired reservation still have for it. Others may take of them before it is settled: then its user is not seated
/// for the rest.
pub fn own_left(own: &[Source], snapshot: &Snapshot) -> Micros {
    own.iter().fold(Micros::ZERO, |sum, source| {
        let available = source.available(|key| snapshot.account(key));
        sum.checked_add(source.at_most.map_or(available, |most| available.min(most))).unwrap_or(Micros::MAX)
    })
}

/// The accounts that sources of today carry units over from.
fn carried(sources: &[PayingSource]) -> Vec<AccountKey> {
    sources.iter().filter_map(|source| source.source.carry.as_ref()).map(|carry| carry.account.clone()).collect()
}

/// The receipt's own accounts, each for what it gave. A hold's units are promised, so no limit is asked; after an expiry they were given
/// back, and only what is left there can be had. What is `carried` over is today's, and may be used up already.
pub(super) fn own_sources(row: &Row, then: &View<'_>, carried: &[AccountKey]) -> Result<Vec<Source>, ChargeError> {
    let legs = row.legs.iter().filter(|leg| leg.account.kind().pays() && !leg.held.is_zero());
    if row.state == State::Held {
        return Ok(legs.map(|leg| Source { at_most: Some(leg.held), ..Source::limited(leg.account.clone(), None) }).collect());
    }
    let detail = &row.detail;
    let known = match &detail.meter {
        Some(meter) => then.sources(meter, detail.user.as_ref())?.0,
        None => Vec::new(),
    };
    let still = legs.filter(|leg| !carried.contains(&leg.account)).filter_map(|leg| {
        let source = known.iter().find(|source| source.source.account == leg.account)?;
        Some(Source { at_most: Some(leg.held), ..source.source.clone() })
    });
    Ok(still.collect())
}

/// The transaction that books usage which never had a hold: always recorded, as overage where no source can pay (L13).
pub fn record(
    catalog: &Catalog,
    view: &View<'_>,
    charge: &mut Charge<'_>,
    outcome: Outcome,
    billing: &Billing,
    mut opening: Opening,
) -> Result<Transaction, ChargeError> {
    let accepted = outcome == Outcome::Accepted;
    let state = if accepted { State::Committed } else { State::Released };
    let delivered = accepted.then(|| opening.detail.work.clone());
    let mut attempt = charge.attempt.clone();
    book_cost(catalog, &opening.detail, &mut attempt, delivered.as_ref(), outcome, billing)?;
    charge.units = if accepted { attempt.units } else { Micros::ZERO };
    attempt.units = charge.units;
    attempt.outcome = Some(outcome);
    attempt.end_time = Some(view.now);
    attempt.delivered = delivered;
    attempt.trace = opening.trace;
    let mut take = charge.take(charge.overage.clone());
    let requests = if accepted { Micros::ONE_UNIT } else { Micros::ZERO };
    let amounts = CapAmounts { meter: opening.detail.meter.as_ref(), units: charge.units, cost: attempt.cost, requests };
    take.caps.retain(|cap| cap.limit.is_none());
    take.caps.extend(booked_caps(catalog, &opening.detail, view, &amounts)?);
    opening.detail.cost_reserved = Micros::ZERO;
    opening.detail.attempts = vec![attempt];
    Ok(Transaction {
        subject: opening.subject,
        judged_by: Some(view.version()),
        valid: Some(charge.valid),
        dry_run: false,
        document: if charge.units.is_zero() { None } else { charge.seated(view, opening.user.as_ref()) },
        correction: None,
        step: Some(Step {
            id: opening.id,
            fingerprint: opening.fingerprint,
            expected: Expected::Absent,
            movement: Movement::Move { take, into: Side::Committed },
            next: Next { state, ttl: None, detail: Arc::new(opening.detail), event: EventKind::Recorded },
        }),
    })
}

/// Books what the provider bills for an attempt. What the caller says goes first: a cost, then a work; else the outcome decides.
pub(super) fn book_cost(
    catalog: &Catalog,
    detail: &Detail,
    attempt: &mut Attempt,
    delivered: Option<&Work>,
    outcome: Outcome,
    billing: &Billing,
) -> Result<(), ChargeError> {
    let nothing = Work::default();
    let (work, field) = match (&billing.work, delivered, outcome) {
        (Some(billed), _, _) => (billed, "billed_work"),
        (None, Some(delivered), _) => (delivered, "work"),
        // A quality gate saw outputs, and an unknown outcome may have made them; the others gave none.
        (None, None, Outcome::Rejected | Outcome::Unknown) => (&detail.work, "work"),
        (None, None, _) => (&nothing, "work"),
    };
    let action = checked_action(catalog, &detail.action, work, field)?;
    // What the provider bills need not be what the plan can count.
    let price = |target: Option<&super::ids::Target>| priced_at(catalog, action, target, (work, field), detail.judged_at);
    let here = price(attempt.target.as_ref())?;
    let planned = if detail.planned_target == attempt.target { here.clone() } else { price(detail.planned_target.as_ref())? };
    // Work that has no price was made all the same: what was expected of the attempt is the best that is known, if anything was.
    (attempt.cost, attempt.basis) = match (here.refused, attempt.basis) {
        (false, _) => (here.priced.cost, here.priced.basis),
        (true, CostBasis::None) => (Micros::ZERO, CostBasis::None),
        (true, _) => (attempt.cost, CostBasis::Estimated),
    };
    attempt.planned_cost = if planned.refused { attempt.planned_cost } else { planned.cost() };
    attempt.price_from = here.priced.from.or(attempt.price_from);
    if work.items.is_empty() {
        (attempt.cost, attempt.basis) = (Micros::ZERO, CostBasis::None);
        attempt.planned_cost = attempt.planned_cost.map(|_| Micros::ZERO);
    }
    if outcome == Outcome::Unknown && billing.work.is_none() {
        attempt.basis = CostBasis::Estimated;
    }
    if let Some(cost) = billing.cost {
        (attempt.cost, attempt.basis) = (cost, CostBasis::Billed);
    }
    attempt.billed = Some(work.clone());
    Ok(())
}

/// The caps a settlement books under: those of the reservation but for what was in flight.
pub(super) fn booked_caps(
    catalog: &Catalog,
    detail: &Detail,
    then: &View<'_>,
    amounts: &CapAmounts<'_>,
) -> Result<Vec<CapLeg>, ChargeError> {
    let mut caps = caps_of(catalog, detail, then, amounts)?;
    caps.retain(|cap| cap.account.kind() != AccountKind::LevelCap);
    Ok(caps)
}

/// The caps of a reservation, in the windows of the reservation (P5). What has happened is booked: they refuse nothing any more.
pub(super) fn caps_of(catalog: &Catalog, detail: &Detail, then: &View<'_>, amounts: &CapAmounts<'_>) -> Result<Vec<CapLeg>, ChargeError> {
    let caps = enforced_caps(catalog, detail, then, amounts)?;
    Ok(caps.into_iter().map(|charged| CapLeg { limit: None, enforced: false, ..charged.leg }).collect())
}

/// The caps that the last attempt of a reservation runs into, in the windows of the reservation (P5).
pub(super) fn enforced_caps<'c>(
    catalog: &'c Catalog,
    detail: &Detail,
    then: &View<'_>,
    amounts: &CapAmounts<'_>,
) -> Result<Vec<ChargedCap<'c>>, ChargeError> {
    if detail.meter.is_none() {
        return Ok(Vec::new());
    }
    let attempt = detail.last_attempt();
    let context = CapContext {
        at_hand: Circumstances {
            action: &detail.action,
            target: attempt.target.as_ref(),
            tier: attempt.tier.as_ref(),
            plan: detail.plan.as_ref(),
        },
        user: detail.user.as_ref(),
        labels: &detail.labels,
        zone: then.zone.clone(),
        period: then.plan.as_ref().map(|active| active.period),
        overrides: then.overrides(),
        now: detail.judged_at,
    };
    let day = context.period.map(|period| period.day);
    let plan = detail.plan.as_ref().and_then(|plan| catalog.plans.get(plan));
    let plan_caps = plan.zip(day).map_or(&[][..], |(plan, day)| &plan.terms_on(day).caps);
    Ok(charged_caps(catalog.caps.iter().chain(plan_caps), &context, amounts)?)
}
