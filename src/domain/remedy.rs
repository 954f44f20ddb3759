//! What a shortfall means to a customer: every limit that stood in the way, when it gives way, and what would help.
//!
//! A remedy is true when it is given: it would have let the same request through, on the accounts as they were at the denial.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::alternative::Alternatives;
use super::amount::Micros;
use super::balance::Snapshot;
use super::cap::ChargedCap;
use super::cap::{CapMode, CapOf};
use super::catalog::Catalog;
use super::charge::{Ask, Charge, ChargeError};
use super::denial::{Amounts, Denial, DenialReason, Remedy, Violation};
use super::ids::MeterId;
use super::ledger::{Denied, Source};
use super::view::{PayingSource, View};

/// How long to wait before asking again where something in flight may end at any time.
const IN_FLIGHT_RETRY: SignedDuration = SignedDuration::from_secs(1);
/// Most instants at which a denied request is judged again. Every cap, every source and a few dozen later grants are among the first of
/// them; beyond, a denial would cost more than the grants it looks for are worth.
const INSTANTS_MAX: usize = 64;

/// A charge that was judged, with what its subject is and asks.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a, 'c> {
    pub catalog: &'c Catalog,
    pub view: &'a View<'c>,
    pub ask: &'a Ask<'a>,
    pub charge: &'a Charge<'c>,
}

impl Judged<'_, '_> {
    /// The denial of what the ledger refused. `snapshot` has the accounts it was refused on, and those of the alternatives.
    pub fn denial(&self, denied: &Denied, snapshot: &Snapshot, alternatives: &Alternatives) -> Result<Denial, ChargeError> {
        let reached: Vec<&ChargedCap<'_>> = denied.caps_reached.iter().filter_map(|index| self.charge.caps.get(*index)).collect();
        let mut violations: Vec<Violation> = reached.iter().map(|cap| cap_violation(cap, snapshot)).collect();
        let available = self.charge.available(snapshot);
        if denied.short {
            violations.push(self.shortfall(snapshot, available));
        }
        let mut denial = Denial::of(violations);
        let in_flight = reached.iter().any(|cap| cap.cap.of == CapOf::InFlight);
        if let Some(at) = self.fits_at(snapshot, denied.now)? {
            denial.retry_after = Some(at.duration_since(denied.now).max(if in_flight { IN_FLIGHT_RETRY } else { SignedDuration::ZERO }));
            // When something in flight ends, nobody knows.
            denial.remedies.extend((!in_flight).then_some(Remedy::WaitUntil(at)));
        }
        denial.remedies.extend(alternatives.remedies(snapshot));
        if denied.short && reached.is_empty() && self.new_credits_pay() {
            let short = if self.charge.whole { self.charge.units } else { self.charge.units.less(available) };
            denial.remedies.push(Remedy::BuyCredits(short));
        }
        let fewer = self.largest_count(snapshot)?;
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
                // A smaller work may cost more in proportion, and so break a policy that the larger one keeps.
                charge if charge.violations.is_empty() && charge.fits(snapshot) => fits = count,
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
        let nothing_to_draw_on = self.charge.sources.is_empty() && self.view.plan.is_none();
        let reason = if nothing_to_draw_on { DenialReason::NoSubscription } else { DenialReason::QuotaExhausted };
        let short = shortfall(&self.charge.sources, self.charge.action.meter(), (self.charge.units, available), snapshot);
        Violation { reason, ..short }
    }

    /// The denial of what cannot be granted whatever the balance, with every limit that stands against it too.
    pub fn refusal(&self, snapshot: &Snapshot, alternatives: &Alternatives) -> Denial {
        let mut violations = self.charge.violations.clone();
        violations.extend(self.charge.caps_reached(snapshot).map(|cap| cap_violation(cap, snapshot)));
        let available = self.charge.available(snapshot);
        if self.charge.units > available && violations.iter().all(|violation| violation.reason != DenialReason::NoSubscription) {
            violations.push(self.shortfall(snapshot, available));
        }
        Denial { remedies: alternatives.remedies(snapshot), ..Denial::of(violations) }
    }

    /// The first instant at which the same request would be granted if nothing else happened; `None` when time alone does not help.
    /// Whatever begins or ends with time does so at one of a few instants, and each of them is judged as it will be.
    fn fits_at(&self, snapshot: &Snapshot, now: Timestamp) -> Result<Option<Timestamp>, ChargeError> {
        let windows = self.charge.caps.iter().filter_map(|cap| cap.window).map(|(_, end)| end);
        let resets = self.charge.sources.iter().filter_map(|source| source.reset_time);
        let grants = self.charge.action.meter().into_iter().flat_map(|meter| self.view.later_grants(meter));
        let changes = self.view.later_changes();
        let mut instants: BTreeSet<Timestamp> = windows.chain(resets).chain(changes).chain(grants).filter(|at| *at > now).collect();
        if self.charge.caps_reached(snapshot).any(|cap| cap.cap.of == CapOf::InFlight) {
            instants.insert(now);
        }
        for at in instants.into_iter().take(INSTANTS_MAX) {
            // At the end of the calendar there are credits that begin, and no periods any more.
            let Ok(view) = View::new(self.catalog, self.view.document, at) else { continue };
            let charge = match Charge::judge(self.catalog, &view, self.ask) {
                Err(ChargeError::Calendar(_)) => continue,
                judged => judged?,
            };
            if charge.violations.is_empty() && charge.fits_when_idle(snapshot) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Whether credits that are bought now would pay, unless they are given otherwise.
    fn new_credits_pay(&self) -> bool {
        self.view.plan.as_ref().is_some_and(|active| active.subscription.is_some()) || !self.catalog.credits.requires_subscription
    }
}

impl Charge<'_> {
    /// What the sources can pay together, or the best of them alone where one must pay all.
    pub fn available(&self, snapshot: &Snapshot) -> Micros {
        Source::together(self.sources.iter().map(|source| &source.source), self.whole, |key| snapshot.account(key))
    }

    /// Whether this charge would be granted on these accounts.
    pub fn fits(&self, snapshot: &Snapshot) -> bool {
        self.caps_reached(snapshot).next().is_none() && self.units <= self.available(snapshot)
    }

    /// The same, were nothing in flight.
    fn fits_when_idle(&self, snapshot: &Snapshot) -> bool {
        let stands = |cap: &ChargedCap<'_>| cap.cap.of == CapOf::InFlight && cap.leg.amount <= cap.limit();
        self.caps_reached(snapshot).all(stands) && self.units <= self.available(snapshot)
    }

    /// The enforced caps that this charge would exceed.
    fn caps_reached(&self, snapshot: &Snapshot) -> impl Iterator<Item = &ChargedCap<'_>> {
        self.caps.iter().filter(|cap| cap.cap.mode == CapMode::Enforce).filter(|cap| {
            let account = snapshot.account(&cap.leg.account);
            !cap.leg.amount.is_zero() && cap.leg.amount > account.available(cap.limit())
        })
    }
}

/// That sources together do not have what is asked of a meter.
pub(super) fn shortfall(
    sources: &[PayingSource],
    meter: Option<&MeterId>,
    (requested, available): (Micros, Micros),
    snapshot: &Snapshot,
) -> Violation {
    let mut total = Amounts { limit: Micros::ZERO, reserved: Micros::ZERO, committed: Micros::ZERO, requested, available };
    for source in sources {
        let account = snapshot.account(&source.source.account);
        let limit = source.source.limit.unwrap_or(Micros::MAX);
        let limit = limit.checked_add(source.source.carried(|key| snapshot.account(key))).unwrap_or(Micros::MAX);
        total.limit = total.limit.checked_add(limit).unwrap_or(Micros::MAX);
        total.reserved = total.reserved.checked_add(account.reserved).unwrap_or(Micros::MAX);
        total.committed = total.committed.checked_add(account.committed).unwrap_or(Micros::MAX);
    }
    Violation {
        reason: DenialReason::QuotaExhausted,
        name: Box::from(meter.map_or("", |meter| meter.as_str())),
        meter: meter.map(|meter| Box::from(meter.as_str())),
        amounts: Some(total),
        reset_time: sources.iter().filter_map(|source| source.reset_time).min(),
        dimensions: Vec::new(),
    }
}

pub(super) fn cap_violation(cap: &ChargedCap<'_>, snapshot: &Snapshot) -> Violation {
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
            limit: cap.limit(),
            reserved: account.reserved,
            committed: account.committed,
            requested: cap.leg.amount,
            available: account.available(cap.limit()),
        }),
        reset_time: cap.window.map(|(_, end)| end),
        dimensions: cap.dimensions.clone(),
    }
}
