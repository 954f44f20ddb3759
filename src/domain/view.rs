//! Views: what a subject may draw on at an instant, in burn order (P9), with the seat, plan and period that go with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::catalog::Catalog;
use super::entitlement::{self, Entitlement};
use super::ids::{AddOnId, AllowanceId, MeterId, PlanId, UserId};
use super::ledger::{AccountKey, Carry, Source};
use super::overrides::{Limit, Overrides};
use super::period::{Anchor, Cadence, OutOfCalendar, Period};
use super::plan::{AddOn, Allowance, AllowancePer, Plan, SourceKind, Terms};
use super::subject::{Change, Document, Grant};
use super::subscription::Subscription;

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
    /// Every plan there is: others may have held in this period.
    plans: &'a BTreeMap<PlanId, Plan>,
    overrides: Option<&'a Overrides>,
}

/// A source as a decision and a balance need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayingSource {
    pub kind: SourceKind,
    pub source: Source,
    pub meter: MeterId,
    /// Whose own it is.
    pub user: Option<UserId>,
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

impl PayingSource {
    /// What else the same account gives, of a plan that came later.
    fn add(&mut self, later: Self) {
        let Self { source, reset_time, expire_time, .. } = later;
        self.source.limit = self.source.limit.zip(source.limit).map(|(one, other)| entitlement::sum(one, other));
        self.source.carry = self.source.carry.take().or(source.carry);
        (self.reset_time, self.expire_time) = (reset_time, expire_time);
    }
}

impl<'a> View<'a> {
    /// The subject at `now`. A subject without a document has the default plan, counted in calendar months (P15).
    pub fn new(catalog: &'a Catalog, document: Option<&'a Document>, now: Timestamp) -> Result<Self, OutOfCalendar> {
        Self::subscribed(catalog, document, document.and_then(|document| document.subscription_at(now)), now)
    }

    /// The same, were this its subscription.
    pub fn subscribed(
        catalog: &'a Catalog,
        document: Option<&'a Document>,
        subscription: Option<&'a Subscription>,
        now: Timestamp,
    ) -> Result<Self, OutOfCalendar> {
        let zone = document.map_or(TimeZone::UTC, |document| document.zone.clone());
        let (plan_id, anchor, billing, subscription) = match subscription.and_then(|known| Some((known.plan(now)?, known))) {
            Some((plan, subscription)) => (Some(plan), subscription.anchor(), subscription.billing, Some(subscription)),
            None => (catalog.default_plan.as_ref(), Anchor::calendar(zone.clone()), Cadence::Month, None),
        };
        let plan = match plan_id.and_then(|id| catalog.plans.get(id)) {
            Some(plan) => {
                let period = anchor.period(Cadence::Month, now)?;
                let (terms, plans) = (plan.terms_on(period.day), &catalog.plans);
                let overrides = document.map(|document| &document.overrides);
                Some(ActivePlan { plan, terms, anchor, billing, period, subscription, plans, overrides })
            }
            None => None,
        };
        Ok(Self { document, plan, zone, now })
    }

    /// The limits that a contract puts in place of the plan's.
    pub fn overrides(&self) -> Option<&'a Overrides> {
        self.document.map(|document| &document.overrides)
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
                SourceKind::AddOn => self.push_add_ons(meter, user, &mut sources)?,
                SourceKind::Grant => self.push_grants(meter, &mut sources),
            }
        }
        let ends = sources.iter().flat_map(|source| [source.reset_time, source.expire_time]).flatten();
        let until = ends.chain(self.later_grants(meter)).min();
        Ok((sources, until))
    }

    /// The meters that something may pay or has paid for: of the plan, of what plans before gave in the period, of add-ons and grants.
    pub fn meters(&self) -> BTreeSet<&'a MeterId> {
        let active = self.plan.as_ref();
        let allowances = active.into_iter().flat_map(ActivePlan::allowances).map(|allowance| &allowance.meter);
        let bought = active.and_then(|active| Some((active, active.subscription?)));
        let add_ons = bought.into_iter().flat_map(|(active, known)| known.add_ons.keys().filter_map(|id| active.add_on(id)));
        allowances.chain(add_ons.map(|add_on| &add_on.meter)).chain(self.grants().map(|grant| &grant.meter)).collect()
    }

    /// What seat a call by `user` needs under the plan's allowances of `meter`.
    pub fn seat(&self, meter: &MeterId, user: Option<&UserId>) -> Seat {
        let Some(active) = &self.plan else { return Seat::None };
        let by_seat = |cadence: Cadence, period: Period| {
            let mut allowances =
                active.plan.terms_on(period.day).allowances.iter().filter(|one| one.issue(active.billing).every == cadence);
            allowances.any(|allowance| allowance.per == AllowancePer::Seat && allowance.meter == *meter)
        };
        // A year that lies outside the calendar gives nothing: its sources are an error.
        if !active.cadences().any(|cadence| active.period_of(cadence, self.now).is_ok_and(|period| by_seat(cadence, period))) {
            return Seat::None;
        }
        active.seat_of(user, self.now)
    }

    /// The document with a user seated.
    pub fn seated(&self, user: &UserId) -> Option<Arc<Document>> {
        let mut document = self.document?.clone();
        let subscription = document.subscription.as_mut()?;
        subscription.close_seats(self.now);
        subscription.take_seat(user, self.now);
        document.changed(Change::new("TakeSeat", None, user.as_str(), ""), self.now);
        Some(Arc::new(document))
    }

    /// The account for committed units of `meter` that no source can pay.
    pub fn overage(&self, meter: &MeterId) -> AccountKey {
        AccountKey::overage(meter, self.plan.as_ref().map(|active| active.period.day))
    }

    fn push_allowances(&self, meter: &MeterId, user: Option<&UserId>, sources: &mut Vec<PayingSource>) -> Result<(), OutOfCalendar> {
        let Some(active) = &self.plan else { return Ok(()) };
        let first = sources.len();
        for cadence in active.cadences() {
            let period = active.period_of(cadence, self.now)?;
            for entitlement in entitlement::allowances(active, meter, cadence, &period, self.now) {
                let per = entitlement.allowance.per;
                // Where nobody sits down any more, what a plan that was left gave to seats is for those who sit.
                if per == AllowancePer::Seat && self.seat(meter, user) == Seat::None && !active.is_seated(user, self.now) {
                    continue;
                }
                let Some(owner) = active.owner(per, user, self.now) else { continue };
                let source = active.allowance_source(&entitlement, cadence, &period, (owner, user))?;
                match sources[first..].iter_mut().find(|known| known.source.account == source.source.account) {
                    // A seat is named after who first sat on it: what it has of a plan that was left is in the user's own account.
                    Some(known) => known.add(source),
                    None => sources.push(source),
                }
            }
        }
        // Own seat before shared.
        sources[first..].sort_by_key(|source| source.user.is_none());
        Ok(())
    }

    fn push_add_ons(&self, meter: &MeterId, user: Option<&UserId>, sources: &mut Vec<PayingSource>) -> Result<(), OutOfCalendar> {
        let Some((active, subscription)) = self.plan.as_ref().and_then(|active| Some((active, active.subscription?))) else {
            return Ok(());
        };
        let first = sources.len();
        for id in subscription.add_ons.keys() {
            let Some(add_on) = active.add_on(id).filter(|add_on| add_on.meter == *meter) else { continue };
            let period = active.add_on_period(id, self.now)?;
            let Some(limit) = entitlement::add_on(active, id, &period, self.now)? else { continue };
            let Some(owner) = active.owner(add_on.per, user, self.now) else { continue };
            let account = AccountKey::add_on(id, period.name(add_on.bundle(active.billing).every), owner.as_ref());
            let (reset_time, expire_time) = renewal(active.units_from(id, &active.add_on_period(id, period.end)?)? > 0, period.end);
            let user = owner.and(user.cloned());
            let source = Source::limited(account, Some(limit));
            sources.push(PayingSource { kind: SourceKind::AddOn, source, meter: meter.clone(), user, reset_time, expire_time });
        }
        sources[first..].sort_by_key(|source| source.user.is_none());
        Ok(())
    }

    fn push_grants(&self, meter: &MeterId, sources: &mut Vec<PayingSource>) {
        let mut grants: Vec<&Grant> = self.grants().filter(|grant| grant.meter == *meter && self.pays(grant)).collect();
        grants.sort_by_key(|grant| (grant.priority, grant.expire_time.unwrap_or(Timestamp::MAX), grant.create_time, grant.id.clone()));
        sources.extend(grants.into_iter().map(|grant| PayingSource {
            kind: SourceKind::Grant,
            source: Source::limited(AccountKey::grant(&grant.id), Some(grant.units)),
            meter: meter.clone(),
            user: None,
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

    /// When the subscription will have another plan, or none, or other seats: what then is there may come under another name.
    pub fn later_changes(&self) -> impl Iterator<Item = Timestamp> + use<> {
        let subscription = self.plan.as_ref().and_then(|active| active.subscription);
        let plan = subscription.and_then(|known| known.plans.next(self.now)).map(|(at, _)| *at);
        let seats = subscription.and_then(|known| known.seats.next(self.now)).map(|(at, _)| *at);
        plan.into_iter().chain(seats)
    }

    /// When grants of `meter` become effective that are not yet.
    pub fn later_grants(&self, meter: &MeterId) -> impl Iterator<Item = Timestamp> {
        let later =
            self.grants().filter(move |grant| grant.void_time.is_none() && grant.meter == *meter && grant.effective_time > self.now);
        later.map(|grant| grant.effective_time)
    }
}

impl<'a> ActivePlan<'a> {
    /// The seats there are at an instant.
    pub fn seats(&self, at: Timestamp) -> u32 {
        self.subscription.map_or(0, |subscription| subscription.seats(at))
    }

    /// The plan of the subscription at an instant.
    pub fn plan_at(&self, at: Timestamp) -> Option<&'a Plan> {
        self.subscription.and_then(|subscription| self.plans.get(subscription.plan(at)?))
    }

    /// The plans that held in a period up to an instant of it, each from its instant on. Where there was none for a while, the one before
    /// counts on: what it gave for the period is not given again.
    pub fn phases(&self, period: &Period, at: Timestamp) -> Vec<(Timestamp, &'a Plan)> {
        let Some(subscription) = self.subscription else { return vec![(period.start, self.plan)] };
        let steps = subscription.plans.steps();
        let begun = steps.iter().enumerate().filter(|(index, (from, _))| {
            let ends_before = steps.get(index + 1).is_some_and(|(next, _)| *next <= period.start);
            *from <= at && *from < period.end && !ends_before
        });
        let known = |(_, (from, plan)): (usize, &'a (Timestamp, Option<PlanId>))| Some((*from, self.plans.get(plan.as_ref()?)?));
        begun.filter_map(known).collect()
    }

    /// The period of a cadence that contains an instant.
    pub fn period_of(&self, cadence: Cadence, at: Timestamp) -> Result<Period, OutOfCalendar> {
        match cadence {
            Cadence::Month if self.period.start <= at && at < self.period.end => Ok(self.period),
            cadence => self.anchor.period(cadence, at),
        }
    }

    /// The cadences at which something is given.
    pub fn cadences(&self) -> impl Iterator<Item = Cadence> + use<> {
        let yearly = self.allowances().any(|allowance| allowance.issue(self.billing).every == Cadence::Year);
        [Some(Cadence::Month), yearly.then_some(Cadence::Year)].into_iter().flatten()
    }

    /// The allowances of every plan that the subscription has had or will have.
    pub fn allowances(&self) -> impl Iterator<Item = &'a Allowance> {
        let held = self.subscription.into_iter().flat_map(|subscription| subscription.plans.steps());
        let held = held.filter_map(|(_, plan)| self.plans.get(plan.as_ref()?));
        std::iter::once(self.plan).chain(held).flat_map(|plan| &plan.terms).flat_map(|terms| &terms.allowances)
    }

    /// What a contract says of an allowance in place of the plan.
    pub fn overridden(&self, allowance: &AllowanceId, at: Timestamp) -> Option<Limit> {
        self.overrides?.of_allowance(allowance, at)
    }

    /// An add-on as it was sold: by the present plan, else by one that held before. One that is given for a year is as it was when the
    /// year began.
    pub fn add_on(&self, id: &AddOnId) -> Option<&'a AddOn> {
        let held = self.subscription.into_iter().flat_map(|subscription| subscription.plans.steps().iter().rev());
        let held = held.filter_map(|(_, plan)| self.plans.get(plan.as_ref()?));
        let year = self.anchor.period(Cadence::Year, self.period.start).ok();
        let sold = |plan: &'a Plan| {
            let for_a_year =
                year.and_then(|year| plan.add_on(id, year.day)).filter(|sold| sold.bundle(self.billing).every == Cadence::Year);
            for_a_year.or_else(|| plan.add_on(id, self.period.day))
        };
        std::iter::once(self.plan).chain(held).find_map(sold)
    }

    /// The period of an add-on that contains an instant.
    pub fn add_on_period(&self, id: &AddOnId, at: Timestamp) -> Result<Period, OutOfCalendar> {
        let every = self.add_on(id).map_or(Cadence::Month, |add_on| add_on.bundle(self.billing).every);
        self.period_of(every, at)
    }

    /// Units of an add-on that are live at an instant: those that its period began with, and those bought in it since.
    pub fn units(&self, id: &AddOnId, at: Timestamp) -> Result<u32, OutOfCalendar> {
        let Some(subscription) = self.subscription else { return Ok(0) };
        let period = self.add_on_period(id, at)?;
        let steps = subscription.add_ons.get(id).map_or(&[][..], |units| units.steps());
        match steps.iter().rev().find(|(from, _)| *from <= at) {
            Some((from, count)) if period.start < *from => Ok(*count),
            _ => self.units_from(id, &period),
        }
    }

    /// Units of an add-on that a period of it begins with: none once a period has begun under a plan that does not offer it (P7).
    pub fn units_from(&self, id: &AddOnId, period: &Period) -> Result<u32, OutOfCalendar> {
        let Some(subscription) = self.subscription else { return Ok(0) };
        let steps = subscription.add_ons.get(id).map_or(&[][..], |units| units.steps());
        let Some((bought, count)) = steps.iter().rev().find(|(from, _)| *from <= period.start) else { return Ok(0) };
        // Each period is judged by the plan it began under, in the terms of its first day: there are some dozens of them at most.
        let every = self.add_on(id).map_or(Cadence::Month, |add_on| add_on.bundle(self.billing).every);
        let first = self.anchor.period(every, *bought)?;
        let renewed = if first.start == *bought { first.index } else { first.index + 1 };
        for index in renewed..=period.index {
            let begun = self.anchor.nth(every, index)?;
            let plan = subscription.plan(begun.start).and_then(|plan| self.plans.get(plan));
            if plan.and_then(|plan| plan.add_on(id, begun.day)).is_none() {
                return Ok(0);
            }
        }
        Ok(*count)
    }

    /// What seat a call by `user` needs where seats count.
    fn seat_of(&self, user: Option<&UserId>, now: Timestamp) -> Seat {
        match (self.subscription, user) {
            _ if self.is_seated(user, now) => Seat::None,
            (Some(subscription), Some(_)) if subscription.has_free_seat(now) => Seat::Taken,
            _ => Seat::Exhausted,
        }
    }

    fn is_seated(&self, user: Option<&UserId>, now: Timestamp) -> bool {
        self.subscription.zip(user).is_some_and(|(subscription, user)| subscription.seat(user, now).is_some())
    }

    /// Whose account a call by `user` draws on: nobody's own where all share one. Outer `None`: it has no share.
    fn owner(&self, per: AllowancePer, user: Option<&UserId>, now: Timestamp) -> Option<Option<UserId>> {
        match per {
            AllowancePer::Subject | AllowancePer::SeatsPooled => Some(None),
            AllowancePer::User => user.cloned().map(Some),
            AllowancePer::Seat => {
                let (user, subscription) = user.zip(self.subscription)?;
                match (subscription.seat(user, now), self.seat_of(Some(user), now)) {
                    (Some(seat), _) => Some(Some(seat.account.clone())),
                    (None, Seat::Taken) => Some(Some(subscription.account_for(user, now))),
                    (None, _) => None,
                }
            }
        }
    }

    /// The source that an allowance is in a period, for the owner of an account of its own.
    fn allowance_source(
        &self,
        entitlement: &Entitlement<'_>,
        cadence: Cadence,
        period: &Period,
        (owner, user): (Option<UserId>, Option<&UserId>),
    ) -> Result<PayingSource, OutOfCalendar> {
        let allowance = entitlement.allowance;
        let rollover = entitlement.rollover.filter(|_| period.index > 0 || self.subscription.is_none());
        let carry = match rollover {
            None => None,
            Some(rollover) => {
                let before = self.anchor.nth(cadence, period.index - 1)?;
                let last = before.end.checked_sub(1.nanosecond()).map_err(|_| OutOfCalendar)?;
                // What was given then, by the plans and terms of then.
                let given = entitlement::allowances(self, &allowance.meter, cadence, &before, last);
                let given = given.iter().filter(|earlier| earlier.is_of(allowance)).map(Entitlement::limit);
                let given = given.reduce(|one, other| one.zip(other).map(|(one, other)| entitlement::sum(one, other)));
                let account = AccountKey::allowance(&allowance.id, before.name(cadence), owner.as_ref());
                given.flatten().map(|limit| Carry { account, limit, cap: rollover.cap })
            }
        };
        let (reset_time, expire_time) = renewal(entitlement.is_present && self.renews(allowance, period.end), period.end);
        let account = AccountKey::allowance(&allowance.id, period.name(cadence), owner.as_ref());
        Ok(PayingSource {
            kind: SourceKind::Allowance,
            source: Source { account, limit: entitlement.limit(), at_most: None, carry },
            meter: allowance.meter.clone(),
            user: owner.and(user.cloned()),
            reset_time,
            expire_time,
        })
    }

    /// Whether the plan that holds when a period ends gives an allowance again.
    fn renews(&self, allowance: &Allowance, end: Timestamp) -> bool {
        let Some(subscription) = self.subscription.filter(|known| known.plans.next(self.period.start).is_some()) else { return true };
        let next = subscription.plan(end).and_then(|plan| self.plans.get(plan));
        next.is_some_and(|plan| {
            let mut allowances = plan.terms.iter().flat_map(|terms| &terms.allowances);
            allowances.any(|given| given.id == allowance.id)
        })
    }
}

/// When a source is filled anew, or else when it ends.
fn renewal(renews: bool, end: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
    if renews { (Some(end), None) } else { (None, Some(end)) }
}
