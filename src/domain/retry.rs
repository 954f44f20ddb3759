//! Retries: the attempt that runs is closed and the next one opened, its hold resized in the same step (L8).
//!
//! What the closed attempt cost is booked under the caps of the reservation; what it held pays for the next one, together with whatever
//! the sources of today still have. Nothing is overage here: a retry that nothing pays for is denied, and the hold stays as it was.

use std::sync::Arc;

use jiff::Timestamp;

use super::amount::Micros;
use super::balance::Snapshot;
use super::cap::{CapAmounts, ChargedCap};
use super::catalog::Catalog;
use super::charge::{
    AtTarget, ChargeError, InvalidField, at_target, checked_action, failover_violations, feature_violations, tier_violation, to_hold,
    unpriced_violation,
};
use super::counting::Action;
use super::denial::{Denial, DenialReason, Violation};
use super::failover::Way;
use super::ids::{SubjectId, Target, TraceId};
use super::ledger::{
    Account, AccountKey, CapLeg, Denied, EventKind, Expected, Fingerprint, Movement, Next, Row, Side, Source, State, Step, Take,
    Transaction,
};
use super::remedy::{cap_violation, shortfall};
use super::reservation::{Attempt, AttemptReason, Detail, Outcome};
use super::settlement::{Billing, book_cost, booked_caps, enforced_caps, own_sources, seated};
use super::view::{PayingSource, View};
use super::work::Work;

/// A retry of a held reservation, as it was last seen.
#[derive(Debug, Clone)]
pub struct Retry<'a> {
    pub subject: &'a SubjectId,
    pub row: &'a Row,
    /// How the attempt that runs ended, and what it is billed.
    pub outcome: Outcome,
    pub billing: &'a Billing,
    pub next: &'a NextAttempt,
    pub fingerprint: Fingerprint,
    /// The trace of the call.
    pub trace: Option<TraceId>,
}

/// What the next attempt is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NextAttempt {
    /// `None`: the target of the attempt that is closed.
    pub target: Option<Target>,
    /// `None`: what the attempt that is closed was asked for.
    pub work: Option<Work>,
    /// `None`: told by the outcome and the target.
    pub reason: Option<AttemptReason>,
}

/// A retry worked out: the transaction that carries it out, with what a balance and a denial tell of.
#[derive(Debug, Clone)]
pub struct Retrial<'c> {
    pub transaction: Transaction,
    /// Today's.
    pub sources: Vec<PayingSource>,
    pub overage: Option<AccountKey>,
    /// What stands against it whatever the balance. The transaction must not be carried out where there is any.
    pub violations: Vec<Violation>,
    /// What the closed attempt has cost: the first legs of the take's caps.
    booked: Vec<CapLeg>,
    /// Those that the next attempt runs into: the legs that come next.
    caps: Vec<ChargedCap<'c>>,
    units: Micros,
    /// What the hold's own accounts give that are not among today's sources.
    kept: Micros,
}

/// Both sides of a retry at the rates of the reservation.
struct Opened<'c> {
    closed: Attempt,
    action: &'c Action,
    target: Option<Target>,
    here: AtTarget,
    planned: AtTarget,
    /// What the attempts up to the closed one have cost.
    spent: Micros,
}

impl Retry<'_> {
    /// Works out the transaction, at the rates of `pinned`, the catalog the reservation was made under (R9). `view` is the subject now,
    /// `then` at the instant the reservation was judged.
    pub fn work_out<'c>(&self, pinned: &'c Catalog, view: &View<'_>, then: &View<'_>) -> Result<Retrial<'c>, ChargeError> {
        let opened = self.open(pinned, view.now)?;
        let (units, cost) = self.size(pinned, then, &opened)?;
        let violations = self.violations(view, then, &opened);
        let booked = CapAmounts { meter: None, units: Micros::ZERO, cost: opened.closed.cost, requests: Micros::ZERO };
        let booked = booked_caps(pinned, &self.row.detail, then, &booked)?;
        let detail = self.next_detail(opened, cost, view.now);
        let amounts = CapAmounts { meter: detail.meter.as_ref(), units, cost, requests: Micros::ONE_UNIT };
        let caps = enforced_caps(pinned, &detail, then, &amounts)?;
        let (sources, until) = match &detail.meter {
            Some(meter) => view.sources(meter, detail.user.as_ref())?,
            None => (Vec::new(), None),
        };
        let (paying, kept) = self.paying(then, &sources, units)?;
        let overage = detail.meter.as_ref().map(|meter| view.overage(meter));
        let carried = sources.iter().filter_map(|source| source.source.carry.as_ref()).map(|carry| &carry.account);
        let watched = overage.iter().chain(carried).cloned().map(CapLeg::watch);
        let booked: Vec<CapLeg> =
            booked.into_iter().filter(|leg| !leg.amount.is_zero()).map(|leg| CapLeg { booked: true, ..leg }).collect();
        let legs = booked.iter().cloned().chain(caps.iter().map(|cap| cap.leg.clone())).chain(watched).collect();
        let take = Take { units, sources: paying, whole: then.is_whole(), overage: None, caps: legs };
        let period = view.plan.as_ref().map(|active| (active.period.start, active.period.end));
        let (from, before) = period.unwrap_or((Timestamp::MIN, Timestamp::MAX));
        let transaction = Transaction {
            subject: self.subject.clone(),
            judged_by: Some(view.version()),
            valid: Some((from, until.map_or(before, |until| before.min(until)))),
            dry_run: false,
            document: seated(self.row, view, units, Micros::ZERO),
            correction: None,
            step: Some(Step {
                id: self.row.id.clone(),
                fingerprint: self.fingerprint,
                expected: Expected::Version(self.row.version),
                movement: Movement::Move { take, into: Side::Reserved },
                next: Next { state: State::Held, ttl: None, detail: Arc::new(detail), event: EventKind::Retried },
            }),
        };
        Ok(Retrial { transaction, sources, overage, violations, booked, caps, units, kept })
    }

    /// Closes the attempt that runs, and counts and prices the next.
    fn open<'c>(&self, pinned: &'c Catalog, now: Timestamp) -> Result<Opened<'c>, ChargeError> {
        let detail = &self.row.detail;
        let mut closed = detail.last_attempt().clone();
        book_cost(pinned, detail, &mut closed, None, self.outcome, self.billing)?;
        closed.units = Micros::ZERO;
        closed.outcome = Some(self.outcome);
        closed.end_time = Some(now.max(closed.start_time));
        closed.closed_by = Some(self.fingerprint);
        closed.trace = self.trace;
        let work = self.next.work.as_ref().unwrap_or(&detail.work);
        let action = checked_action(pinned, &detail.action, work, "next_work")?;
        let target = self.next.target.clone().or_else(|| closed.target.clone());
        let at = |target: Option<&Target>| at_target(pinned, action, detail.plan.as_ref(), target, (work, "next_work"), detail.judged_at);
        let here = at(target.as_ref())?;
        let planned = if target == detail.planned_target { here.clone() } else { at(detail.planned_target.as_ref())? };
        let before = detail.attempts.iter().filter(|attempt| attempt.number < closed.number).map(|attempt| attempt.cost);
        let spent = before.chain([closed.cost]).try_fold(Micros::ZERO, Micros::checked_add);
        let spent = spent.ok_or_else(|| InvalidField::new("billed_cost", "makes the cost of all attempts larger than an amount can be"))?;
        Ok(Opened { closed, action, target, here, planned, spent })
    }

    /// What is to be held: for the next attempt, or for a dearer fallback that may still come after it.
    fn size(&self, pinned: &Catalog, then: &View<'_>, opened: &Opened<'_>) -> Result<(Micros, Micros), ChargeError> {
        let detail = &self.row.detail;
        let work = self.next.work.as_ref().unwrap_or(&detail.work);
        let at =
            |target: &Target| at_target(pinned, opened.action, detail.plan.as_ref(), Some(target), (work, "next_work"), detail.judged_at);
        to_hold(then, opened.action, &opened.here, &self.way(opened, 2), &detail.fallbacks, at)
    }

    /// The way as it is so many attempts after the one that is closed.
    fn way(&self, opened: &Opened<'_>, later: u32) -> Way<'_> {
        Way {
            attempt: opened.closed.number.saturating_add(later),
            planned_target: self.row.detail.planned_target.as_ref(),
            planned_cost: opened.planned.cost(),
            spent: opened.spent,
        }
    }

    /// What forbids the next attempt whatever the balance: the subject as it is now, the plan as it was.
    fn violations(&self, view: &View<'_>, then: &View<'_>, opened: &Opened<'_>) -> Vec<Violation> {
        let mut violations = Vec::new();
        if view.is_suspended() {
            violations.push(Violation::of(DenialReason::SubjectSuspended, "subject", &[]));
        }
        let work = self.next.work.as_ref().unwrap_or(&self.row.detail.work);
        if let Some(active) = &then.plan {
            violations.extend(feature_violations(&active.terms.features, opened.action, work));
            violations.extend(tier_violation(&active.terms.features, &opened.here));
        }
        let step = opened.here.step(opened.target.as_ref(), &self.way(opened, 1));
        violations.extend(failover_violations(then, opened.action, step));
        violations.extend(opened.target.as_ref().filter(|_| opened.here.refused).map(unpriced_violation));
        violations
    }

    /// The reservation with its attempt closed and the next one open.
    fn next_detail(&self, opened: Opened<'_>, cost: Micros, now: Timestamp) -> Detail {
        let Opened { mut closed, target, here, planned, .. } = opened;
        let mut detail = (*self.row.detail).clone();
        let elsewhere = target != closed.target;
        let reason = self.next.reason.unwrap_or(match self.outcome {
            Outcome::Rejected => AttemptReason::RejectedOutput,
            _ if elsewhere => AttemptReason::Failover,
            _ => AttemptReason::Retry,
        });
        let (number, start) = (closed.number.saturating_add(1), closed.end_time.unwrap_or(now));
        let next = here.attempt(number, reason, target.as_ref(), &planned, start);
        if let Some(work) = self.next.work.as_ref().filter(|work| **work != detail.work) {
            closed.asked = Some(std::mem::replace(&mut detail.work, work.clone()));
        }
        detail.attempts.pop();
        detail.attempts.extend([closed, next]);
        detail.cost_reserved = cost;
        detail
    }

    /// Who pays: the accounts of the hold for what they gave, then today's sources. Where one source must pay all, the hold's own if it is
    /// enough, else one of today's, which has back what was held. The amount is what the hold's own accounts add to today's.
    fn paying(&self, then: &View<'_>, today: &[PayingSource], units: Micros) -> Result<(Vec<Source>, Micros), ChargeError> {
        let own = own_sources(self.row, then, &[])?;
        let of_today = |source: &Source| today.iter().any(|known| known.source.account == source.account);
        let kept = own.iter().filter(|source| !of_today(source)).filter_map(|source| source.at_most);
        let kept = kept.fold(Micros::ZERO, |sum, held| sum.checked_add(held).unwrap_or(Micros::MAX));
        let today = today.iter().map(|source| source.source.clone());
        Ok(match (then.is_whole(), units <= self.row.units_held()) {
            (false, _) => (own.into_iter().chain(today).collect(), kept),
            (true, true) => (own, kept),
            (true, false) => (today.collect(), Micros::ZERO),
        })
    }
}

impl Retrial<'_> {
    /// The denial by what stands against it whatever the balance.
    pub fn refusal(&self) -> Denial {
        Denial::of(self.violations.clone())
    }

    /// The denial of what the ledger refused.
    pub fn denial(&self, denied: &Denied) -> Denial {
        let found = self.transaction.keys().into_iter().zip(denied.accounts.iter().copied());
        let snapshot = Snapshot::new(found.map(|(key, account)| {
            // The ledger tells them as they were before what the closed attempt has cost.
            let committed = self
                .booked
                .iter()
                .filter(|leg| leg.account == key)
                .fold(account.committed, |sum, leg| sum.checked_add(leg.amount).unwrap_or(Micros::MAX));
            (key, Account { committed, ..account })
        }));
        let reached = denied.caps_reached.iter().filter_map(|index| self.caps.get(index.checked_sub(self.booked.len())?));
        let mut violations: Vec<Violation> = reached.map(|cap| cap_violation(cap, &snapshot)).collect();
        if denied.short {
            let each = self.sources.iter().map(|source| source.source.available(|key| snapshot.account(key)));
            let available = each.fold(self.kept, |sum, available| sum.checked_add(available).unwrap_or(Micros::MAX));
            let meter = self.sources.first().map(|source| &source.meter);
            violations.push(shortfall(&self.sources, meter, (self.units, available), &snapshot));
        }
        Denial::of(violations)
    }
}
