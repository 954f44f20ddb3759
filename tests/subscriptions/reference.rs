//! What should be so: balances summed up from everything that ever happened, whenever one is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::calendar::{Anchor, Period};
use crate::life::{Deed, Life, Refusal, Subscription};
use crate::plans::{Allowance, Amount, Every, Per, Plans};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Allowance,
    AddOn,
    Grant,
    Overage,
}

/// Names an account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub kind: Kind,
    pub id: String,
    /// The first day of the period.
    pub day: Option<Date>,
    /// Whose own it is: a user, or the first who sat on the seat.
    pub who: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Source {
    pub key: Key,
    /// What it gives by itself.
    pub limit: Amount,
    /// The account of the period before, what that gave, and how much of it may be left over.
    pub before: Option<(Key, Amount, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Held,
    Committed,
    Released,
}

/// A generation, and what it held and used of which account.
#[derive(Debug, Clone)]
pub struct Charge {
    pub user: Option<String>,
    pub at: Timestamp,
    pub deadline: Timestamp,
    pub state: State,
    pub held: Vec<(Key, i64)>,
    pub used: Vec<(Key, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    Seats,
    /// For whatever other reason there are not so many units.
    Units,
}

/// A source as a balance shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub kind: Kind,
    pub id: String,
    pub is_own: bool,
    pub limit: Amount,
    pub reserved: i64,
    pub committed: i64,
    pub available: Amount,
}

pub struct Reference {
    /// Every catalog there was, since when.
    catalogs: Vec<(Timestamp, Arc<Plans>)>,
    pub zone: TimeZone,
    pub story: Vec<(Timestamp, Deed)>,
    pub charges: Vec<Charge>,
}

impl Reference {
    pub fn new(plans: Plans, zone: TimeZone) -> Self {
        Self { catalogs: vec![(Timestamp::MIN, Arc::new(plans))], zone, story: Vec::new(), charges: Vec::new() }
    }

    pub fn life(&self, at: Timestamp) -> Life {
        let in_force = self.catalogs.iter().rev().find(|(since, _)| *since <= at).unwrap();
        Life::told(in_force.1.clone(), &self.zone, &self.story, at)
    }

    /// The plans in force.
    pub fn plans(&self) -> &Arc<Plans> {
        &self.catalogs.last().unwrap().1
    }

    pub fn reload(&mut self, plans: Plans, now: Timestamp) {
        self.catalogs.push((now, Arc::new(plans)));
    }

    /// Adds a deed to the story, if it can be done.
    pub fn carry_out(&mut self, deed: Deed, now: Timestamp) -> Result<(), Refusal> {
        self.life(now).carry_out(&deed)?;
        self.story.push((now, deed));
        Ok(())
    }

    /// What can pay for a user, in burn order.
    pub fn sources(&self, life: &Life, user: Option<&str>) -> Vec<Source> {
        let now = life.now;
        let mut sources = match life.running() {
            Some(_) => self.given(life, user),
            None => self.given_by_default(life, user),
        };
        let mut grants: Vec<_> = life
            .grants
            .iter()
            .filter(|grant| {
                let is_in_time = grant.from <= now && grant.until.is_none_or(|until| now < until);
                is_in_time && !grant.is_void && (!grant.requires_subscription || life.running().is_some())
            })
            .collect();
        grants.sort_by_key(|grant| (grant.priority, grant.until.is_none(), grant.until));
        sources.extend(grants.into_iter().map(|grant| Source {
            key: Key { kind: Kind::Grant, id: grant.id.clone(), day: None, who: None },
            limit: Some(grant.units),
            before: None,
        }));
        sources
    }

    /// What a subscription has given the periods of now.
    fn given(&self, life: &Life, user: Option<&str>) -> Vec<Source> {
        let (subscription, plan) = life.running().unwrap();
        let now = life.now;
        let seat = user.and_then(|user| subscription.seat_of(user).map(|row| subscription.seat_account(row, user)));
        let periods = [subscription.month(now), subscription.anchor.period(Every::Year, now)];
        let seats_are_taken = periods.iter().any(|period| {
            let present = life.plans.terms(plan, period.day).allowance(subscription.billed, period.every);
            present.is_some_and(|present| present.per == Per::Seat)
        });
        let is_sitting =
            user.is_some_and(|user| subscription.rows.iter().any(|row| row.occupant.as_ref().is_some_and(|(name, _)| name == user)));
        let alive = subscription.gifts.iter().filter(|gift| periods.contains(&gift.period));
        let mut gifts: Vec<(bool, &str, Per, Period, Amount)> =
            alive.map(|gift| (gift.is_add_on, gift.id, gift.per, gift.period, gift.amount)).collect();
        // What the present plan speaks of is a source, whatever it gives.
        for period in periods {
            if let Some(allowance) = life.plans.terms(plan, period.day).allowance(subscription.billed, period.every) {
                gifts.push((false, allowance.id, allowance.per, period, Some(0)));
            }
        }
        // What a plan that was left has given pays first.
        let present_as = |id: &str, per: Per, period: Period| {
            let present = life.plans.terms(plan, period.day).allowance(subscription.billed, period.every);
            present.filter(|present| present.id == id && per.goes_on_as(present.per))
        };
        // Of several, what was left first; to take a plan again is to have it last.
        let last_held = |id: &str, per: Per, period: Period| {
            let gives = |plan: usize| {
                let given = life.plans.terms(plan, period.day).allowance(subscription.billed, period.every);
                given.is_some_and(|given| given.id == id && per.goes_on_as(given.per))
            };
            subscription.held.iter().rposition(|(_, plan)| plan.is_some_and(gives))
        };
        gifts.sort_by_key(|(_, id, per, period, _)| (period.every, present_as(id, *per, *period).is_some(), last_held(id, *per, *period)));
        let mut sources: Vec<(bool, bool, Source)> = Vec::new();
        let mut contracts = BTreeSet::new();
        for (is_add_on, id, per, period, amount) in gifts {
            let who = match per {
                Per::User => user.map(str::to_owned),
                // Once nobody is seated any more, what is left of seats is for those who sit.
                Per::Seat => seat.clone().filter(|_| is_sitting || seats_are_taken),
                Per::Pool | Per::Subject => None,
            };
            if per.is_own() && who.is_none() {
                continue;
            }
            let key = Key { kind: if is_add_on { Kind::AddOn } else { Kind::Allowance }, id: id.to_owned(), day: Some(period.day), who };
            let count = if per == Per::Pool { i64::from(subscription.seats) } else { 1 };
            // A contract speaks of what the present plan has, not of what a plan that was left has given, and but once.
            let present = present_as(id, per, period).filter(|_| !is_add_on);
            let amount = match present.and_then(|present| Some((present.per, life.overrides.get(id)?))) {
                None => amount.map(|amount| amount * count),
                Some(_) if !contracts.insert((id, period, per.is_own())) => Some(0),
                Some((Per::Pool, limit)) => limit.map(|limit| limit * i64::from(subscription.seats)),
                Some((_, limit)) => *limit,
            };
            match sources.iter_mut().find(|(_, _, source)| source.key == key) {
                Some((_, _, source)) => {
                    source.limit = source.limit.zip(amount).map(|(left, right)| left + right);
                    if !is_add_on && source.before.is_none() {
                        source.before = self.left_over(life, &source.key, per, period);
                    }
                }
                None => {
                    let before = if is_add_on { None } else { self.left_over(life, &key, per, period) };
                    sources.push((is_add_on, !per.is_own(), Source { key, limit: amount, before }));
                }
            }
        }
        // Add-ons by name; allowances in the order in which they were given.
        let name = |is_add_on: bool, source: &Source| if is_add_on { source.key.id.clone() } else { String::new() };
        sources.sort_by_key(|(is_add_on, is_shared, source)| (*is_add_on, *is_shared, name(*is_add_on, source)));
        sources.into_iter().map(|(_, _, source)| source).collect()
    }

    /// What may be carried over into a period: from the same account of the period before, as that stood at its end (P4).
    fn left_over(&self, life: &Life, key: &Key, per: Per, period: Period) -> Option<(Key, Amount, i64)> {
        let (subscription, _) = life.running()?;
        let held = subscription
            .held
            .iter()
            .rev()
            .find(|(from, _)| *from <= period.start)
            .into_iter()
            .chain(subscription.held.iter().filter(|(from, _)| (period.start..=life.now).contains(from)));
        let mut kept: Vec<&Allowance> = held
            .filter_map(|(_, plan)| life.plans.terms((*plan)?, period.day).allowance(subscription.billed, period.every))
            .filter(|allowance| allowance.id == key.id && allowance.per.is_own() == per.is_own())
            .collect();
        // What each seat had stays apart from what each user has since.
        let seats = kept.iter().rposition(|allowance| allowance.per == Per::Seat).map_or(0, |last| last + 1);
        if per == Per::Seat {
            kept.truncate(seats);
        } else {
            kept.drain(..seats);
        }
        let cap = kept.into_iter().filter_map(|allowance| allowance.rollover).max()?;
        let last = period.start.checked_sub(SignedDuration::from_millis(1)).ok()?;
        if period.number == 0 {
            return None;
        }
        let day = subscription.anchor.period(period.every, last).day;
        let gifts = subscription
            .gifts
            .iter()
            .filter(|gift| !gift.is_add_on && gift.id == key.id && gift.period.day == day && gift.per.goes_on_as(per));
        let seats = subscription.seats_since.iter().rev().find(|(from, _)| *from <= last).map_or(0, |(_, seats)| *seats);
        let count = |per: Per| if per == Per::Pool { i64::from(seats) } else { 1 };
        // Where there was none for a while, the plan before counts on.
        let then = subscription.held.iter().rev().filter(|(from, _)| *from <= last).find_map(|(_, plan)| *plan)?;
        let present = life.plans.terms(then, day).allowance(subscription.billed, period.every);
        let present = present.filter(|present| present.id == key.id && present.per.goes_on_as(per));
        let given: Vec<(Per, Amount)> = gifts.map(|gift| (gift.per, gift.amount)).collect();
        if given.is_empty() {
            return None;
        }
        let limit = match (self.life(last).overrides.get(key.id.as_str()), present) {
            (Some(limit), Some(present)) => limit.map(|limit| limit * count(present.per)),
            _ => given.iter().try_fold(0, |sum, (per, amount)| Some(sum + (*amount)? * count(*per))),
        };
        Some((Key { day: Some(day), ..key.clone() }, limit, cap))
    }

    fn given_by_default(&self, life: &Life, user: Option<&str>) -> Vec<Source> {
        let Some(terms) = &life.plans.default else { return Vec::new() };
        let mut sources = Vec::new();
        for allowance in &terms.allowances {
            let (amount, every) = allowance.month;
            let anchor = Anchor::of_nobody(self.zone.clone());
            let period = anchor.period(every, life.now);
            let who = if allowance.per == Per::User { user.map(str::to_owned) } else { None };
            if allowance.per == Per::User && who.is_none() {
                continue;
            }
            let limit_at = |life: &Life| life.overrides.get(allowance.id).copied().unwrap_or(amount);
            let key = |day| Key { kind: Kind::Allowance, id: allowance.id.to_owned(), day: Some(day), who: who.clone() };
            let last = period.start.checked_sub(SignedDuration::from_millis(1)).unwrap();
            let before = allowance.rollover.map(|cap| (key(anchor.period(every, last).day), limit_at(&self.life(last)), cap));
            sources.push(Source { key: key(period.day), limit: limit_at(life), before });
        }
        sources
    }

    /// What is held and used of an account at an instant.
    pub fn taken(&self, key: &Key, now: Timestamp) -> (i64, i64) {
        let (mut held, mut used) = (0, 0);
        for charge in &self.charges {
            if charge.state == State::Held && now < charge.deadline {
                held += of(&charge.held, key);
            }
            used += of(&charge.used, key);
        }
        (held, used)
    }

    /// What was left over of the period before; of what is unlimited nothing is.
    fn carried(&self, source: &Source, now: Timestamp) -> i64 {
        let Some((key, limit, cap)) = &source.before else { return 0 };
        let (held, used) = self.taken(key, now);
        limit.map_or(0, |limit| (limit - held - used).clamp(0, *cap))
    }

    pub fn available(&self, source: &Source, now: Timestamp) -> Amount {
        let (held, used) = self.taken(&source.key, now);
        source.limit.map(|limit| (limit + self.carried(source, now) - held - used).max(0))
    }

    pub fn shown(&self, life: &Life, user: Option<&str>) -> Vec<Shown> {
        let now = life.now;
        let shown = |source: &Source| {
            let (reserved, committed) = self.taken(&source.key, now);
            Shown {
                kind: source.key.kind,
                id: source.key.id.clone(),
                is_own: source.key.who.is_some(),
                limit: source.limit.map(|limit| limit + self.carried(source, now)),
                reserved,
                committed,
                available: self.available(source, now),
            }
        };
        self.sources(life, user).iter().map(shown).collect()
    }

    /// Whether a user must sit to be served, and does not, and whether there is a seat.
    fn seat(&self, life: &Life, user: Option<&str>) -> Option<Result<(), Denied>> {
        let now = life.now;
        let (subscription, plan) = life.running()?;
        let periods = [subscription.month(now), subscription.anchor.period(Every::Year, now)];
        let by_seat = |period: &Period| {
            let of_plan = life.plans.terms(plan, period.day).allowance(subscription.billed, period.every);
            of_plan.is_some_and(|allowance| allowance.per == Per::Seat)
        };
        if !periods.iter().any(by_seat) {
            return None;
        }
        let Some(user) = user else { return Some(Err(Denied::Seats)) };
        if subscription.rows.iter().any(|row| row.occupant.as_ref().is_some_and(|(name, _)| name == user)) {
            return None;
        }
        Some(subscription.seat_of(user).map(drop).ok_or(Denied::Seats))
    }

    /// A new hold.
    pub fn reserve(&mut self, user: Option<&str>, units: i64, ttl: SignedDuration, now: Timestamp) -> Result<(), Denied> {
        let life = self.life(now);
        let seat = self.seat(&life, user);
        if let Some(Err(denied)) = seat {
            return Err(denied);
        }
        let (held, short) = self.take(&self.sources(&life, user), units, now);
        if short > 0 {
            return Err(Denied::Units);
        }
        if let (Some(user), Some(_)) = (user, seat) {
            self.story.push((now, Deed::Sit(user.to_owned())));
        }
        let user = user.map(str::to_owned);
        let deadline = now.checked_add(ttl).unwrap();
        self.charges.push(Charge { user, at: now, deadline, state: State::Held, held, used: Vec::new() });
        Ok(())
    }

    /// Usage without a hold: what nothing pays is overage.
    pub fn record(&mut self, user: Option<&str>, units: i64, now: Timestamp) {
        let life = self.life(now);
        let seat = self.seat(&life, user);
        let (mut used, short) = self.take(&self.sources(&life, user), units, now);
        used.push((overage(), short));
        if let (Some(user), Some(Ok(()))) = (user, seat) {
            self.story.push((now, Deed::Sit(user.to_owned())));
        }
        let user = user.map(str::to_owned);
        self.charges.push(Charge { user, at: now, deadline: now, state: State::Committed, held: Vec::new(), used });
    }

    /// What was really made: paid by what was held, then by what there is today.
    pub fn commit(&mut self, number: usize, units: i64, now: Timestamp) {
        let charge = self.charges[number].clone();
        let user = charge.user.as_deref();
        let is_late = charge.deadline <= now;
        let total: i64 = charge.held.iter().map(|(_, amount)| amount).sum();
        // What it held is its own again, as far as it is still there.
        self.charges[number].state = State::Released;
        let life = self.life(now);
        let today = self.sources(&life, user);
        let mut then = self.sources(&self.life(charge.at), user);
        // A grant that was voided since has nothing left.
        let is_void = |key: &Key| key.kind == Kind::Grant && life.grants.iter().any(|grant| grant.id == key.id && grant.is_void);
        then.retain(|source| !is_void(&source.key));
        // Who subscribed since, from an earlier instant on, was not on the default plan then.
        let is_backdated = |subscription: &Subscription| (subscription.held[0].0..subscription.asked).contains(&charge.at);
        if life.subscription.as_ref().is_some_and(is_backdated) {
            then.retain(|source| source.key.kind == Kind::Grant);
        }
        let mut used: Vec<(Key, i64)> = Vec::new();
        let mut left = units;
        for (key, amount) in &charge.held {
            let mut most = *amount;
            if is_late {
                // Of what is unlimited nothing is carried over.
                let carries = |source: &Source| source.before.as_ref().is_some_and(|(before, limit, _)| before == key && limit.is_some());
                let is_carried = today.iter().any(carries);
                let source = then.iter().find(|source| source.key == *key);
                let there = source.map_or(Some(0), |source| self.available(source, now));
                most = if is_carried { 0 } else { there.unwrap_or(most).min(most) };
            }
            let part = most.min(left);
            left -= part;
            used.push((key.clone(), part));
        }
        self.charges[number].used = used;
        let seat = if left > 0 && units > if is_late { 0 } else { total } { self.seat(&life, user) } else { None };
        let (more, short) = self.take(&today, left, now);
        self.charges[number].used.extend(more);
        self.charges[number].used.push((overage(), short));
        self.charges[number].state = State::Committed;
        if let (Some(user), Some(Ok(()))) = (user, seat) {
            self.story.push((now, Deed::Sit(user.to_owned())));
        }
    }

    pub fn release(&mut self, number: usize) {
        self.charges[number].state = State::Released;
    }

    /// Gives back what was charged, what was paid last first; more than that is refused, and nothing is given back.
    pub fn refund(&mut self, number: usize, units: Option<i64>) -> Result<(), Refusal> {
        let charge = &mut self.charges[number];
        let mut left = units.unwrap_or(charge.used());
        if left > charge.used() {
            return Err(Refusal::Invalid);
        }
        // An account paid where it was first held or used.
        let mut paid: Vec<(Key, i64)> = Vec::new();
        for (key, amount) in std::mem::take(&mut charge.used) {
            match paid.iter_mut().find(|(known, _)| *known == key) {
                Some((_, sum)) => *sum += amount,
                None => paid.push((key, amount)),
            }
        }
        paid.sort_by_key(|(key, _)| key.kind == Kind::Overage);
        for (_, amount) in paid.iter_mut().rev() {
            let part = left.min(*amount);
            (left, *amount) = (left - part, *amount - part);
        }
        charge.used = paid;
        Ok(())
    }

    /// What the sources give in turn, and what they cannot.
    fn take(&self, sources: &[Source], units: i64, now: Timestamp) -> (Vec<(Key, i64)>, i64) {
        let (mut taken, mut left) = (Vec::new(), units);
        for source in sources {
            let part = self.available(source, now).unwrap_or(left).min(left);
            left -= part;
            if part > 0 {
                taken.push((source.key.clone(), part));
            }
        }
        (taken, left)
    }
}

impl Charge {
    pub fn of(&self, kind: Kind) -> i64 {
        self.used.iter().filter(|(key, _)| key.kind == kind).map(|(_, amount)| amount).sum()
    }

    pub fn used(&self) -> i64 {
        self.used.iter().map(|(_, amount)| amount).sum()
    }
}

fn overage() -> Key {
    Key { kind: Kind::Overage, id: String::new(), day: None, who: None }
}

fn of(legs: &[(Key, i64)], key: &Key) -> i64 {
    legs.iter().filter(|(known, _)| known == key).map(|(_, amount)| amount).sum()
}
