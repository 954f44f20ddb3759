//! Subjects: what administrators set down of one, and what it may draw on at an instant (product.md chapter 3).

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::amount::Micros;
use super::catalog::Catalog;
use super::ids::{GrantId, MeterId, PlanId, RequestId, SubjectId, UserId};
use super::ledger::{AccountKey, Carry, Fingerprint, Source};
use super::period::{Anchor, Cadence, OutOfCalendar, Period};
use super::plan::{Allowance, AllowancePer, Plan, SourceKind, Terms};
use super::reservation::Labels;

/// Administrative requests remembered per subject, so that a repeat is known. A caller that retries after 64 later changes is lost.
pub const REQUESTS_REMEMBERED: usize = 64;
/// Most grants of one subject. Bounds a document, and the sources of one decision.
pub const GRANTS_MAX: usize = 1000;

/// A subject's row, as administrators wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub subject: SubjectId,
    /// Rises by one with every change; the first is 1.
    pub version: u64,
    pub created_by: Fingerprint,
    pub create_time: Timestamp,
    pub suspended: bool,
    pub zone: TimeZone,
    pub labels: Labels,
    pub subscription: Option<Subscription>,
    pub grants: Vec<Grant>,
    /// Oldest first, at most [`REQUESTS_REMEMBERED`].
    pub requests: Vec<(RequestId, Fingerprint)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub plan: PlanId,
    pub billing: Cadence,
    pub start_time: Timestamp,
    pub zone: TimeZone,
    pub seats: u32,
    /// Who sits, since when. Occupied by first use (P6).
    pub occupied: BTreeMap<UserId, Timestamp>,
}

/// One-off credits. Never deleted: voided (P8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub id: GrantId,
    pub created_by: Fingerprint,
    pub meter: MeterId,
    pub units: Micros,
    pub kind: GrantKind,
    pub effective_time: Timestamp,
    pub expire_time: Option<Timestamp>,
    /// Lower burns first.
    pub priority: i32,
    pub requires_subscription: bool,
    pub create_time: Timestamp,
    pub void_time: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GrantKind {
    Promotional,
    Purchased,
    Manual,
}

/// A subject at an instant, with the plan that applies to it.
#[derive(Debug, Clone)]
pub struct View<'a> {
    pub document: Option<&'a Document>,
    pub plan: Option<ActivePlan<'a>>,
    /// Calendar windows of caps are those of this zone.
    pub zone: TimeZone,
    pub now: Timestamp,
}

#[derive(Debug, Clone)]
pub struct ActivePlan<'a> {
    pub plan: &'a Plan,
    /// In effect in this period.
    pub terms: &'a Terms,
    pub anchor: Anchor,
    pub billing: Cadence,
    /// The monthly period of now; caps and overage are counted by it.
    pub period: Period,
    /// `None` for the default plan, which nobody subscribed.
    pub subscription: Option<&'a Subscription>,
}

/// A source as a decision and a balance need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayingSource {
    pub kind: SourceKind,
    pub source: Source,
    pub meter: MeterId,
    /// When the source is filled anew.
    pub reset_time: Option<Timestamp>,
    /// When what is left of it ends.
    pub expire_time: Option<Timestamp>,
}

/// What a user without a seat gets (P6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// The plan has no seats of its own, or the user has one.
    None,
    /// The user takes a free one with this call.
    Taken,
    /// None is left, or the call names no user to seat.
    Exhausted,
}

impl<'a> View<'a> {
    /// The subject at `now`. A subject without a document has the default plan, counted in calendar months (P15).
    pub fn new(catalog: &'a Catalog, document: Option<&'a Document>, now: Timestamp) -> Result<Self, OutOfCalendar> {
        let zone = document.map_or(TimeZone::UTC, |document| document.zone.clone());
        let subscription =
            document.and_then(|document| document.subscription.as_ref()).filter(|subscription| subscription.start_time <= now);
        let (plan_id, anchor, billing) = match subscription {
            Some(subscription) => {
                (Some(&subscription.plan), Anchor::at(subscription.start_time, subscription.zone.clone()), subscription.billing)
            }
            None => (catalog.default_plan.as_ref(), Anchor::calendar(zone.clone()), Cadence::Month),
        };
        let plan = match plan_id.and_then(|id| catalog.plans.get(id)) {
            Some(plan) => {
                let period = anchor.period(Cadence::Month, now)?;
                Some(ActivePlan { plan, terms: plan.terms_on(period.day), anchor, billing, period, subscription })
            }
            None => None,
        };
        Ok(Self { document, plan, zone, now })
    }

    /// Whether one source must pay a whole generation (P9).
    pub fn is_whole(&self) -> bool {
        self.plan.as_ref().is_some_and(|active| active.terms.whole)
    }

    /// Whether anything at all is known of this subject: a document or a default plan (P15).
    pub fn is_known(&self) -> bool {
        self.document.is_some() || self.plan.is_some()
    }

    pub fn is_suspended(&self) -> bool {
        self.document.is_some_and(|document| document.suspended)
    }

    pub fn version(&self) -> u64 {
        self.document.map_or(0, |document| document.version)
    }

    /// Everything that can pay units of `meter` for `user`, in burn order (P9), and until when this list is right.
    pub fn sources(&self, meter: &MeterId, user: Option<&UserId>) -> Result<(Vec<PayingSource>, Option<Timestamp>), OutOfCalendar> {
        let mut sources = Vec::new();
        let order = self.plan.as_ref().map(|active| active.terms.burn_order.0.as_slice());
        for kind in order.unwrap_or(&[SourceKind::Grant]) {
            match kind {
                SourceKind::Allowance => self.push_allowances(meter, user, &mut sources)?,
                // Bought add-ons are part of the subscription, which cannot hold any yet.
                SourceKind::AddOn => {}
                SourceKind::Grant => self.push_grants(meter, &mut sources),
            }
        }
        let ends = sources.iter().flat_map(|source| [source.reset_time, source.expire_time]).flatten();
        let until = ends.chain(self.later_grants(meter)).min();
        Ok((sources, until))
    }

    /// What seat a call by `user` needs under the plan's allowances of `meter`.
    pub fn seat(&self, meter: &MeterId, user: Option<&UserId>) -> Seat {
        let Some(active) = &self.plan else { return Seat::None };
        let seated = |allowance: &Allowance| allowance.per == AllowancePer::Seat && allowance.meter == *meter;
        if !active.terms.allowances.iter().any(seated) {
            return Seat::None;
        }
        active.seat_of(user)
    }

    /// The document with a user seated.
    pub fn seated(&self, user: &UserId) -> Option<Arc<Document>> {
        let mut document = self.document?.clone();
        document.subscription.as_mut()?.occupied.insert(user.clone(), self.now);
        Some(Arc::new(document))
    }

    /// The account for committed units of `meter` that no source can pay.
    pub fn overage(&self, meter: &MeterId) -> AccountKey {
        AccountKey::overage(meter, self.plan.as_ref().map(|active| active.period.day))
    }

    fn push_allowances(&self, meter: &MeterId, user: Option<&UserId>, sources: &mut Vec<PayingSource>) -> Result<(), OutOfCalendar> {
        let Some(active) = &self.plan else { return Ok(()) };
        let first = sources.len();
        for allowance in active.terms.allowances.iter().filter(|allowance| allowance.meter == *meter) {
            if let Some(source) = active.allowance(allowance, user, self.now)? {
                sources.push(source);
            }
        }
        // Own seat before shared.
        sources[first..].sort_by_key(|source| source.source.account.user().is_none());
        Ok(())
    }

    fn push_grants(&self, meter: &MeterId, sources: &mut Vec<PayingSource>) {
        let mut grants: Vec<&Grant> = self.grants().filter(|grant| grant.meter == *meter && self.pays(grant)).collect();
        grants.sort_by_key(|grant| (grant.priority, grant.expire_time.unwrap_or(Timestamp::MAX), grant.create_time, grant.id.clone()));
        sources.extend(grants.into_iter().map(|grant| PayingSource {
            kind: SourceKind::Grant,
            source: Source::limited(AccountKey::grant(&grant.id), Some(grant.units)),
            meter: meter.clone(),
            reset_time: None,
            expire_time: grant.expire_time,
        }));
    }

    fn grants(&self) -> impl Iterator<Item = &'a Grant> {
        self.document.into_iter().flat_map(|document| &document.grants)
    }

    fn pays(&self, grant: &Grant) -> bool {
        let subscribed = self.plan.as_ref().is_some_and(|active| active.subscription.is_some());
        grant.void_time.is_none()
            && grant.effective_time <= self.now
            && grant.expire_time.is_none_or(|expires| self.now < expires)
            && (subscribed || !grant.requires_subscription)
    }

    /// When grants of `meter` become effective that are not yet.
    pub fn later_grants(&self, meter: &MeterId) -> impl Iterator<Item = Timestamp> {
        let later =
            self.grants().filter(move |grant| grant.void_time.is_none() && grant.meter == *meter && grant.effective_time > self.now);
        later.map(|grant| grant.effective_time)
    }
}

impl ActivePlan<'_> {
    /// What seat a call by `user` needs where seats count.
    fn seat_of(&self, user: Option<&UserId>) -> Seat {
        match (self.subscription, user) {
            (Some(subscription), Some(user)) if subscription.occupied.contains_key(user) => Seat::None,
            (Some(subscription), Some(_)) if subscription.occupied.len() < subscription.seats as usize => Seat::Taken,
            _ => Seat::Exhausted,
        }
    }

    /// The source an allowance is for `user` now; `None` for a share that this call cannot have, such as a user's when none is named.
    fn allowance(&self, allowance: &Allowance, user: Option<&UserId>, now: Timestamp) -> Result<Option<PayingSource>, OutOfCalendar> {
        let issue = allowance.issue(self.billing);
        let (owner, shares) = match allowance.per {
            AllowancePer::Subject => (None, 1),
            AllowancePer::SeatsPooled => (None, i64::from(self.subscription.map_or(0, |subscription| subscription.seats))),
            AllowancePer::User if user.is_none() => return Ok(None),
            AllowancePer::Seat if self.seat_of(user) == Seat::Exhausted => return Ok(None),
            AllowancePer::User | AllowancePer::Seat => (user, 1),
        };
        // More seats times units than an account can hold is as good as the largest amount.
        let of_all = |amount: Micros| Micros::new(amount.get().saturating_mul(shares)).unwrap_or(Micros::MAX);
        let limit = issue.amount.map(of_all);
        let period = self.anchor.period(issue.every, now)?;
        let carry = match allowance.rollover {
            Some(rollover) if period.index > 0 || self.subscription.is_none() => {
                let before = self.anchor.nth(issue.every, period.index - 1)?;
                // What was issued then, by the terms of then.
                let issued = self.plan.terms_on(before.day).allowances.iter().find(|earlier| earlier.id == allowance.id);
                let amount = issued.and_then(|earlier| earlier.issue(self.billing).amount);
                amount.map(of_all).map(|limit| Carry {
                    account: AccountKey::allowance(&allowance.id, before.day, owner),
                    limit,
                    cap: rollover.cap,
                })
            }
            _ => None,
        };
        Ok(Some(PayingSource {
            kind: SourceKind::Allowance,
            source: Source { account: AccountKey::allowance(&allowance.id, period.day, owner), limit, at_most: None, carry },
            meter: allowance.meter.clone(),
            reset_time: Some(period.end),
            expire_time: None,
        }))
    }
}

impl Document {
    /// A subject nobody has set anything for.
    pub fn new(subject: SubjectId, created_by: Fingerprint, create_time: Timestamp, zone: TimeZone) -> Self {
        Self {
            subject,
            version: 0,
            created_by,
            create_time,
            suspended: false,
            zone,
            labels: Labels::new(),
            subscription: None,
            grants: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// What an administrative request with this id was, if it is still remembered.
    pub fn request(&self, id: &RequestId) -> Option<Fingerprint> {
        self.requests.iter().find(|(known, _)| known == id).map(|(_, fingerprint)| *fingerprint)
    }

    pub fn remember(&mut self, id: RequestId, fingerprint: Fingerprint) {
        self.requests.push((id, fingerprint));
        if self.requests.len() > REQUESTS_REMEMBERED {
            self.requests.remove(0);
        }
    }
}
