//! What a shortfall means to a customer: every limit that stood in the way, when it gives way, and what would help.
//!
//! A remedy is true when it is given: it would have let the same request through, on the accounts as they were at the denial.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::amount::Micros;
use super::balance::Snapshot;
use super::cap::ChargedCap;
use super::cap::{CapMode, CapOf};
use super::catalog::Catalog;
use super::charge::{Ask, Charge, ChargeError};
use super::denial::{Amounts, Denial, DenialReason, Remedy, Violation};
use super::ledger::Denied;
use super::subject::{ActivePlan, View};

/// How long to wait before asking again where something in flight may end at any time.
const IN_FLIGHT_RETRY: SignedDuration = SignedDuration::from_secs(1);

/// A charge that was judged, with what its subject is and asks.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a, 'c> {
    pub catalog: &'c Catalog,
    pub view: &'a View<'c>,
    pub ask: &'a Ask<'a>,
    pub charge: &'a Charge<'c>,
}

impl Judged<'_, '_> {
    /// The denial of what the ledger refused.
    pub fn denial(&self, denied: &Denied) -> Result<Denial, ChargeError> {
        let snapshot = self.snapshot(denied);
        let reached: Vec<&ChargedCap<'_>> = denied.caps_reached.iter().filter_map(|index| self.charge.caps.get(*index)).collect();
        let mut violations: Vec<Violation> = reached.iter().map(|cap| cap_violation(cap, &snapshot)).collect();
        let available = self.charge.available(&snapshot);
        if denied.short {
            violations.push(self.shortfall(&snapshot, available));
        }
        let mut denial = Denial::of(violations);
        denial.retry_after = self.retry_after(&reached, denied, &snapshot);
        if let Some(after) = denial.retry_after.filter(|_| reached.iter().all(|cap| cap.cap.of != CapOf::InFlight)) {
            denial.remedies.push(Remedy::WaitUntil(denied.now.checked_add(after).unwrap_or(Timestamp::MAX)));
        }
        if denied.short && reached.is_empty() {
            denial.remedies.extend(self.upgrade(&snapshot)?);
            if self.view.plan.is_some() || self.view.document.is_some() {
                let short = if self.charge.whole { self.charge.units } else { self.charge.units.less(available) };
                denial.remedies.push(Remedy::BuyCredits(short));
            }
        }
        let fewer = self.largest_count(&snapshot)?;
        denial.remedies.extend((fewer > 0).then_some(Remedy::FewerCount(fewer)));
        Ok(denial)
    }

    /// The largest count of outputs, items filled in order, that fits every source and cap as they were (L11). 0 when none does.
    pub fn largest_count(&self, snapshot: &Snapshot) -> Result<u32, ChargeError> {
        let (mut fits, mut too_many) = (0, self.ask.work.outputs());
        while too_many - fits > 1 {
            let count = fits + (too_many - fits) / 2;
            let work = self.ask.work.first(count);
            match Charge::judge(self.catalog, self.view, &Ask { work: &work, ..*self.ask })? {
                charge if charge.fits(snapshot) => fits = count,
                _ => too_many = count,
            }
        }
        Ok(fits)
    }

    /// What the accounts of a denial were, by key.
    pub fn snapshot(&self, denied: &Denied) -> Snapshot {
        Snapshot::new(self.charge.take(None).keys().cloned().zip(denied.accounts.iter().copied()))
    }

    fn shortfall(&self, snapshot: &Snapshot, available: Micros) -> Violation {
        let mut total =
            Amounts { limit: Micros::ZERO, reserved: Micros::ZERO, committed: Micros::ZERO, requested: self.charge.units, available };
        for source in &self.charge.sources {
            let account = snapshot.account(&source.source.account);
            let limit = source.source.limit.unwrap_or(Micros::MAX);
            let limit = limit.checked_add(source.source.carried(|key| snapshot.account(key))).unwrap_or(Micros::MAX);
            total.limit = total.limit.checked_add(limit).unwrap_or(Micros::MAX);
            total.reserved = total.reserved.checked_add(account.reserved).unwrap_or(Micros::MAX);
            total.committed = total.committed.checked_add(account.committed).unwrap_or(Micros::MAX);
        }
        let nothing_to_draw_on = self.charge.sources.is_empty() && self.view.plan.is_none();
        let meter = self.charge.action.meter();
        Violation {
            reason: if nothing_to_draw_on { DenialReason::NoSubscription } else { DenialReason::QuotaExhausted },
            name: Box::from(meter.map_or("", |meter| meter.as_str())),
            meter: meter.map(|meter| Box::from(meter.as_str())),
            amounts: Some(total),
            reset_time: self.charge.sources.iter().filter_map(|source| source.reset_time).min(),
            dimensions: Vec::new(),
        }
    }

    /// When the same request would fit if nothing else happened, or `None` when time alone does not help.
    fn retry_after(&self, reached: &[&ChargedCap<'_>], denied: &Denied, snapshot: &Snapshot) -> Option<SignedDuration> {
        let mut at = denied.now;
        for cap in reached {
            let after = match (&cap.cap.of, cap.window) {
                _ if cap.leg.amount > cap.cap.limit => return None,
                (CapOf::InFlight, _) => denied.now.checked_add(IN_FLIGHT_RETRY).ok()?,
                (_, Some((_, end))) => end,
                (_, None) => return None,
            };
            at = at.max(after);
        }
        if denied.short {
            at = at.max(self.refilled(snapshot)?);
        }
        Some(at.duration_since(denied.now))
    }

    /// When refilled allowances, with the credits there are now, could pay.
    fn refilled(&self, snapshot: &Snapshot) -> Option<Timestamp> {
        let reset = self.charge.sources.iter().filter_map(|source| source.reset_time).max()?;
        let mut best = Micros::ZERO;
        let mut sum = Micros::ZERO;
        for source in &self.charge.sources {
            let there = match (source.reset_time, source.expire_time) {
                (Some(_), _) => source.source.limit.unwrap_or(Micros::MAX),
                (None, Some(expires)) if expires <= reset => Micros::ZERO,
                (None, _) => source.source.available(|key| snapshot.account(key)),
            };
            best = best.max(there);
            sum = sum.checked_add(there).unwrap_or(Micros::MAX);
        }
        let enough = if self.charge.whole { best } else { sum } >= self.charge.units;
        enough.then_some(reset)
    }

    /// The lowest plan above the present one that would admit this request. What was used stays used.
    fn upgrade(&self, snapshot: &Snapshot) -> Result<Option<Remedy>, ChargeError> {
        let Some(active) = &self.view.plan else { return Ok(None) };
        let mut above: Vec<_> = self.catalog.plans.values().filter(|plan| plan.rank > active.plan.rank).collect();
        above.sort_by_key(|plan| plan.rank);
        for plan in above {
            let upgraded =
                View { plan: Some(ActivePlan { plan, terms: plan.terms_on(active.period.day), ..active.clone() }), ..self.view.clone() };
            let charge = Charge::judge(self.catalog, &upgraded, self.ask)?;
            let known: BTreeSet<_> = self.charge.sources.iter().map(|source| &source.source.account).collect();
            // An account this answer did not read may be used up already.
            let read = |charge: &Charge<'_>| charge.sources.iter().all(|source| known.contains(&source.source.account));
            if charge.violations.is_empty() && read(&charge) && charge.fits(snapshot) {
                return Ok(Some(Remedy::UpgradeToPlan(plan.id.clone())));
            }
        }
        Ok(None)
    }
}

impl Charge<'_> {
    /// What the sources can pay together, or the best of them alone where one must pay all.
    pub fn available(&self, snapshot: &Snapshot) -> Micros {
        let each = self.sources.iter().map(|source| source.source.available(|key| snapshot.account(key)));
        if self.whole {
            return each.max().unwrap_or(Micros::ZERO);
        }
        each.fold(Micros::ZERO, |sum, available| sum.checked_add(available).unwrap_or(Micros::MAX))
    }

    /// Whether this charge would be granted on these accounts.
    pub fn fits(&self, snapshot: &Snapshot) -> bool {
        let under_caps = self.caps.iter().filter(|cap| cap.cap.mode == CapMode::Enforce).all(|cap| {
            let account = snapshot.account(&cap.leg.account);
            cap.leg.amount.is_zero() || cap.leg.amount <= account.available(cap.cap.limit)
        });
        under_caps && self.units <= self.available(snapshot)
    }
}

fn cap_violation(cap: &ChargedCap<'_>, snapshot: &Snapshot) -> Violation {
    let account = snapshot.account(&cap.leg.account);
    Violation {
        reason: DenialReason::CapReached,
        name: Box::from(cap.cap.id.as_str()),
        meter: Some(Box::from(match &cap.cap.of {
            CapOf::Units(meter) => meter.as_str(),
            CapOf::Cost => "cost",
            CapOf::Requests => "requests",
            CapOf::InFlight => "in_flight",
        })),
        amounts: Some(Amounts {
            limit: cap.cap.limit,
            reserved: account.reserved,
            committed: account.committed,
            requested: cap.leg.amount,
            available: account.available(cap.cap.limit),
        }),
        reset_time: cap.window.map(|(_, end)| end),
        dimensions: cap.dimensions.clone(),
    }
}
