//! A subscription as a story: what was asked for, carried out in order from the first request on, and what each period was given.
//!
//! Nothing is kept between two looks: whoever wants to know how things stand has the story told again up to that instant. At every
//! boundary of a month or year that it passes, what waits for it is done, and the new period is given what the plan gives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::calendar::{Anchor, Period};
use crate::plans::{ADD_ONS, Allowance, Amount, Every, Per, Plans, Proration, Terms};

/// What changed the subject, as it was asked for.
#[derive(Debug, Clone)]
pub enum Deed {
    Subscribe {
        plan: usize,
        billed: Every,
        start: Option<Timestamp>,
        zone: Option<TimeZone>,
        seats: Option<u32>,
    },
    Change(usize),
    Cancel {
        now: bool,
    },
    Seats {
        seats: Option<u32>,
        vacate: Option<String>,
    },
    AddOn {
        id: &'static str,
        units: u32,
    },
    Grant(Grant),
    Void(String),
    /// `None`: the plan's own again.
    Override {
        id: &'static str,
        limit: Option<Amount>,
    },
    /// A user's first use of a seat.
    Sit(String),
}

/// What contracts say of allowances.
pub type Overrides = BTreeMap<&'static str, Amount>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Invalid,
    Exists,
    NotFound,
}

#[derive(Debug, Clone)]
pub struct Grant {
    pub id: String,
    pub units: i64,
    pub from: Timestamp,
    pub until: Option<Timestamp>,
    pub priority: i32,
    pub requires_subscription: bool,
    pub is_void: bool,
}

/// Something that a period was given.
#[derive(Debug, Clone)]
pub struct Gift {
    pub is_add_on: bool,
    pub id: &'static str,
    pub per: Per,
    pub period: Period,
    /// For one account; for one seat of a pool.
    pub amount: Amount,
    pub at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct Seat {
    /// Names its account: the first who sat on it.
    pub account: String,
    pub occupant: Option<(String, Timestamp)>,
}

#[derive(Debug, Clone)]
pub struct Holding {
    pub units: u32,
    /// From the next period on, where that differs.
    pub next: Option<u32>,
}

#[derive(Debug, Clone)]
pub struct Subscription {
    /// When it was asked for; it may have begun before.
    pub asked: Timestamp,
    pub anchor: Anchor,
    pub billed: Every,
    /// `None`: it has ended.
    pub plan: Option<usize>,
    pub pending_plan: Option<(Timestamp, Option<usize>)>,
    pub seats: u32,
    /// Every number of seats it ever had, since when.
    pub seats_since: Vec<(Timestamp, u32)>,
    pub pending_seats: Option<(Timestamp, u32)>,
    pub rows: Vec<Seat>,
    pub holdings: BTreeMap<&'static str, Holding>,
    pub gifts: Vec<Gift>,
    /// Every plan it ever had, since when.
    pub held: Vec<(Timestamp, Option<usize>)>,
}

#[derive(Debug, Clone)]
pub struct Life {
    /// Of the catalog that is in force in the end, which speaks of the whole story.
    pub plans: Arc<Plans>,
    pub now: Timestamp,
    pub zone: TimeZone,
    pub subscription: Option<Subscription>,
    pub grants: Vec<Grant>,
    pub overrides: Overrides,
}

impl Life {
    /// The story up to an instant, what happened at that instant included.
    pub fn told(plans: Arc<Plans>, zone: &TimeZone, story: &[(Timestamp, Deed)], until: Timestamp) -> Self {
        let mut life =
            Self { plans, now: Timestamp::MIN, zone: zone.clone(), subscription: None, grants: Vec::new(), overrides: BTreeMap::new() };
        for (at, deed) in story.iter().filter(|(at, _)| *at <= until) {
            life.pass(*at);
            life.carry_out(deed).unwrap();
        }
        life.pass(until);
        life
    }

    /// The subscription, if it has not ended.
    pub fn running(&self) -> Option<(&Subscription, usize)> {
        self.subscription.as_ref().and_then(|subscription| Some((subscription, subscription.plan?)))
    }

    /// Lets time pass, from boundary to boundary.
    pub fn pass(&mut self, until: Timestamp) {
        if let Some(subscription) = &mut self.subscription {
            subscription.pass(&self.plans, &self.overrides, self.now, until);
        }
        self.now = until;
    }

    pub fn carry_out(&mut self, deed: &Deed) -> Result<(), Refusal> {
        let (plans, now) = (&*self.plans, self.now);
        match deed {
            Deed::Subscribe { plan, billed, start, zone, seats } => return self.subscribe(*plan, *billed, *start, zone.as_ref(), *seats),
            Deed::Grant(grant) => self.grants.push(grant.clone()),
            Deed::Void(id) => self.grants.iter_mut().find(|grant| grant.id == *id).ok_or(Refusal::NotFound)?.is_void = true,
            Deed::Override { id, limit: Some(limit) } => drop(self.overrides.insert(id, *limit)),
            Deed::Override { id, limit: None } => drop(self.overrides.remove(id)),
            _ => {
                let subscription =
                    self.subscription.as_mut().filter(|subscription| subscription.plan.is_some()).ok_or(Refusal::NotFound)?;
                match deed {
                    Deed::Change(plan) => subscription.change(plans, &self.overrides, *plan, now),
                    Deed::Cancel { now: true } => subscription.end(now),
                    Deed::Cancel { now: false } => subscription.pending_plan = Some((subscription.term_end(now), None)),
                    Deed::Seats { seats, vacate } => return subscription.set_seats(plans, *seats, vacate.as_deref(), now),
                    Deed::AddOn { id, units } => return subscription.set_add_on(plans, id, *units, now),
                    Deed::Sit(user) => subscription.sit(user, now),
                    _ => unreachable!("the others need no subscription"),
                }
            }
        }
        Ok(())
    }

    fn subscribe(
        &mut self,
        plan: usize,
        billed: Every,
        start: Option<Timestamp>,
        zone: Option<&TimeZone>,
        seats: Option<u32>,
    ) -> Result<(), Refusal> {
        let (plans, now) = (&*self.plans, self.now);
        let by_seat = plans.counts_by_seat(plan);
        let no_seat = if seats == Some(0) && by_seat { Err(Refusal::Invalid) } else { Ok(()) };
        match &mut self.subscription {
            Some(old) if old.plan.is_some() => {
                if !matches!(old.pending_plan, Some((_, None))) || old.plan != Some(plan) || old.billed != billed {
                    return Err(Refusal::Exists);
                }
                no_seat?;
                old.pending_plan = None;
                old.want_seats(seats, now);
            }
            Some(old) if now < old.span_end(plans) => {
                no_seat?;
                if old.billed != billed {
                    return Err(Refusal::Invalid);
                }
                old.want_seats(seats, now);
                old.take_plan(plans, &self.overrides, plan, now);
            }
            old => {
                let start = start.unwrap_or(now);
                no_seat?;
                if old.as_ref().is_some_and(|old| start < old.span_end(plans)) {
                    return Err(Refusal::Invalid);
                }
                let seats = seats.unwrap_or(u32::from(by_seat));
                let anchor = Anchor::at(start, zone.unwrap_or(&self.zone).clone());
                let mut new = Subscription {
                    asked: now,
                    anchor,
                    billed,
                    plan: Some(plan),
                    pending_plan: None,
                    seats,
                    seats_since: vec![(start, seats)],
                    pending_seats: None,
                    rows: Vec::new(),
                    holdings: BTreeMap::new(),
                    gifts: Vec::new(),
                    held: vec![(start, Some(plan))],
                };
                for every in [Every::Month, Every::Year] {
                    new.begin(plans, new.anchor.period(every, start), start);
                }
                new.pass(plans, &self.overrides, start, now);
                *old = Some(new);
            }
        }
        Ok(())
    }
}

impl Subscription {
    pub fn month(&self, at: Timestamp) -> Period {
        self.anchor.period(Every::Month, at)
    }

    /// When what waits for the end of the billing period is done.
    pub fn term_end(&self, at: Timestamp) -> Timestamp {
        self.anchor.period(self.billed, at).end
    }

    /// Until when it goes on where it is taken up after it has ended: as long as the billing period in which it ended, or the year
    /// where something it had is given for a year.
    fn span_end(&self, plans: &Plans) -> Timestamp {
        let ended = self.held.last().unwrap().0;
        let yearly = |plan: usize| plans.plans[plan].iter().any(|terms| terms.allowance(self.billed, Every::Year).is_some());
        let every = if self.held.iter().any(|(_, plan)| plan.is_some_and(yearly)) { Every::Year } else { self.billed };
        let last = ended.checked_sub(jiff::SignedDuration::from_millis(1)).unwrap().max(self.held[0].0);
        self.anchor.period(every, last).end
    }

    fn pass(&mut self, plans: &Plans, overrides: &Overrides, from: Timestamp, until: Timestamp) {
        let mut from = from;
        while self.month(from.max(self.held[0].0)).end <= until {
            from = self.month(from.max(self.held[0].0)).end;
            if let Some((_, seats)) = self.pending_seats.take_if(|(at, _)| *at == from) {
                self.have_seats(seats, from);
                self.close_seats();
            }
            let year = self.anchor.period(Every::Year, from);
            for period in [Some(self.month(from)), Some(year).filter(|year| year.start == from)].into_iter().flatten() {
                self.begin(plans, period, from);
            }
            match self.pending_plan.take_if(|(at, _)| *at == from) {
                Some((at, Some(plan))) => self.take_plan(plans, overrides, plan, at),
                Some((at, None)) => {
                    // The period that begins now was never its own.
                    self.gifts.retain(|gift| gift.is_add_on || gift.at < at);
                    self.hold(None, at);
                }
                None => {}
            }
            self.renew_add_ons(plans, self.month(from));
        }
    }

    fn have_seats(&mut self, seats: u32, at: Timestamp) {
        self.seats = seats;
        self.seats_since.push((at, seats));
    }

    fn hold(&mut self, plan: Option<usize>, at: Timestamp) {
        self.plan = plan;
        self.held.push((at, plan));
    }

    /// Gives a period that begins everything the plan gives.
    fn begin(&mut self, plans: &Plans, period: Period, at: Timestamp) {
        let Some(plan) = self.plan else { return };
        let terms = plans.terms(plan, period.day);
        if let Some(allowance) = terms.allowance(self.billed, period.every) {
            let amount = allowance.issue(self.billed).0;
            self.gifts.push(Gift { is_add_on: false, id: allowance.id, per: allowance.per, period, amount, at });
        }
    }

    /// The bundles of a month that begins, as its plan sells them; what that does not sell has ended, and so has all without a plan.
    fn renew_add_ons(&mut self, plans: &Plans, period: Period) {
        let Some(plan) = self.plan else {
            self.holdings.clear();
            return;
        };
        let terms = plans.terms(plan, period.day);
        for (id, holding) in &mut self.holdings {
            holding.units = holding.next.take().unwrap_or(holding.units);
            match terms.add_ons.get(id) {
                Some(bundle) => self.gifts.push(bought(id, i64::from(holding.units) * bundle, self.seats, period, period.start)),
                None => holding.units = 0,
            }
        }
        self.holdings.retain(|_, holding| holding.units > 0);
    }

    fn change(&mut self, plans: &Plans, overrides: &Overrides, plan: usize, now: Timestamp) {
        let present = self.plan.unwrap();
        self.pending_plan = None;
        if plan > present {
            self.take_plan(plans, overrides, plan, now);
        } else if plan < present {
            self.pending_plan = Some((self.term_end(now), Some(plan)));
            self.keep_a_seat(plans, plan);
        }
    }

    /// Ends at once, and all add-ons with it: what is left of their bundles waits for whoever comes back in the period (P7).
    fn end(&mut self, now: Timestamp) {
        self.pending_plan = None;
        self.holdings.clear();
        self.hold(None, now);
    }

    /// A plan from now on: what it gives beyond the plan before is added to what the periods of now were given (P11).
    fn take_plan(&mut self, plans: &Plans, overrides: &Overrides, plan: usize, now: Timestamp) {
        // A plan that was held for no time gave nothing.
        self.gifts.retain(|gift| gift.is_add_on || gift.at < now);
        self.held.retain(|(from, _)| *from < now);
        let (held, at) = (self.held.clone(), now);
        let before = held.iter().rev().find_map(|(_, plan)| *plan);
        self.hold(Some(plan), now);
        if plans.counts_by_seat(plan) {
            self.have_seats(self.seats.max(1), now);
        }
        self.keep_a_seat(plans, plan);
        if let Some(before) = before {
            self.leave(plans, overrides, (before, plan), now);
        }
        for every in [Every::Month, Every::Year] {
            let period = self.anchor.period(every, now);
            let terms = plans.terms(plan, period.day);
            let Some(allowance) = terms.allowance(self.billed, every) else { continue };
            let before = before.filter(|_| had_a_plan(&held, &period, now)).map(|before| plans.terms(before, period.day));
            let amount = match before {
                None => allowance.issue(self.billed).0,
                Some(before) => self.addition(terms, allowance, before.allowance(self.billed, every), period, now),
            };
            self.gifts.push(Gift { is_add_on: false, id: allowance.id, per: allowance.per, period, amount, at });
        }
    }

    /// What the present plan gave and the next one does not have: it stays as it is, also as a contract had it, and a pot of seats does not
    /// grow with the seats any more.
    fn leave(&mut self, plans: &Plans, overrides: &Overrides, (present, next): (usize, usize), now: Timestamp) {
        let allowance = |plan: usize, period: Period| plans.terms(plan, period.day).allowance(self.billed, period.every);
        let is_of = |gift: &Gift, allowance: &Allowance| gift.id == allowance.id && gift.per.goes_on_as(allowance.per);
        let seats = i64::from(self.seats);
        let mut replaced: Vec<(Period, &str, bool)> = Vec::new();
        for gift in self.gifts.iter_mut().filter(|gift| !gift.is_add_on && now < gift.period.end) {
            let (of_present, of_next) = (allowance(present, gift.period), allowance(next, gift.period));
            let contract = overrides.get(gift.id).filter(|_| of_present.is_some_and(|present| is_of(gift, present)));
            let goes_on = of_next.is_some_and(|next| is_of(gift, next));
            if let Some(amount) = contract.filter(|_| !goes_on) {
                let this = (gift.period, gift.id, gift.per.is_own());
                gift.amount = if replaced.contains(&this) { Some(0) } else { *amount };
                gift.per = of_present.unwrap().per;
                replaced.push(this);
            }
            // Whoever has an account of their own keeps it.
            if goes_on && gift.per.is_own() {
                gift.per = of_next.unwrap().per;
            }
            if gift.per == Per::Pool && !(goes_on && of_next.unwrap().per == Per::Pool) {
                gift.per = Per::Subject;
                gift.amount = gift.amount.map(|amount| amount * seats);
            }
        }
    }

    /// What an upgrade adds to each account, or to each seat of a pot.
    fn addition(&self, terms: &Terms, new: &Allowance, old: Option<&Allowance>, period: Period, now: Timestamp) -> Amount {
        let full = new.issue(self.billed).0;
        let old: Vec<_> = old.map(|old| (old.per, old.issue(self.billed).0)).into_iter().collect();
        let given = self.gifts.iter().filter(|gift| !gift.is_add_on && gift.period == period);
        let given: Vec<_> = given.map(|gift| (gift.per, gift.amount)).collect();
        let added = self.beyond(full, new.per, &old);
        let share = match (terms.proration, added) {
            (_, Some(0)) | (Proration::None, _) => Some(0),
            (_, None) => None,
            (Proration::Full, added) => added,
            (Proration::Prorated(way, step), Some(added)) => Some(by_time(added, period, now, way, step).min(added)),
        };
        let added = match (share, self.beyond(full, new.per, &given)) {
            (Some(share), Some(room)) => Some(share.min(room)),
            (None, room) => room,
            (share, None) => share,
        };
        let sharing = if new.per == Per::Pool { i64::from(self.seats) } else { 1 };
        added.map(|added| added / sharing)
    }

    /// What `full` is above all of these: for one account, or for the whole pot of all seats.
    fn beyond(&self, full: Amount, per: Per, all: &[(Per, Amount)]) -> Amount {
        let Some(full) = full else {
            // Nothing is more than what is unlimited: it is given whole, unless there is such a thing on its own side.
            let has_one = all.iter().any(|(other, amount)| other.is_own() == per.is_own() && amount.is_none());
            return has_one.then_some(0);
        };
        let sum = |of: Per| all.iter().filter(|(per, _)| *per == of).try_fold(0_i64, |sum, (_, amount)| Some(sum + (*amount)?));
        let (Some(user), Some(seat), Some(pool), Some(subject)) = (sum(Per::User), sum(Per::Seat), sum(Per::Pool), sum(Per::Subject))
        else {
            return Some(0);
        };
        let seats = i64::from(self.seats.max(1));
        let (own, shared) = (user + seat, subject + pool * i64::from(self.seats));
        let had = match per {
            // How many users there are is not known.
            Per::Subject | Per::Pool if user > 0 => return Some(0),
            Per::Subject | Per::Pool => shared + seat * seats,
            Per::Seat => own + shared / seats + i64::from(shared % seats != 0),
            Per::User => own + shared,
        };
        let count = if per == Per::Pool { i64::from(self.seats) } else { 1 };
        Some((full * count - had).max(0))
    }

    fn set_seats(&mut self, plans: &Plans, seats: Option<u32>, vacate: Option<&str>, now: Timestamp) -> Result<(), Refusal> {
        if seats == Some(0) && plans.counts_by_seat(self.plan.unwrap()) {
            return Err(Refusal::Invalid);
        }
        if let Some(user) = vacate {
            for row in self.rows.iter_mut().filter(|row| row.occupant.as_ref().is_some_and(|(name, _)| name == user)) {
                row.occupant = None;
            }
        }
        self.want_seats(seats, now);
        if let Some((_, Some(plan))) = self.pending_plan {
            self.keep_a_seat(plans, plan);
        }
        Ok(())
    }

    /// A plan that counts by seat, now or to come, puts one seat in the place of a wish for none.
    fn keep_a_seat(&mut self, plans: &Plans, plan: usize) {
        if let (true, Some((at, 0))) = (plans.counts_by_seat(plan), self.pending_seats) {
            self.pending_seats = (self.seats > 1).then_some((at, 1));
        }
    }

    /// More at once, fewer when the billing period ends.
    fn want_seats(&mut self, seats: Option<u32>, now: Timestamp) {
        if let Some(seats) = seats {
            self.pending_seats = (seats < self.seats).then(|| (self.term_end(now), seats));
            self.have_seats(self.seats.max(seats), now);
        }
    }

    /// Those who sat down last lose their seats.
    fn close_seats(&mut self) {
        let mut since: Vec<_> = self.rows.iter().filter_map(|row| row.occupant.as_ref().map(|(_, since)| *since)).collect();
        since.sort();
        for late in since.into_iter().skip(self.seats.try_into().unwrap()) {
            for row in self.rows.iter_mut().filter(|row| row.occupant.as_ref().is_some_and(|(_, since)| *since == late)) {
                row.occupant = None;
            }
        }
    }

    fn set_add_on(&mut self, plans: &Plans, id: &'static str, units: u32, now: Timestamp) -> Result<(), Refusal> {
        let period = self.month(now);
        let bundle = plans.terms(self.plan.unwrap(), period.day).add_ons.get(id);
        let held = self.holdings.get(id).map_or(0, |holding| holding.units);
        if units > held && bundle.is_none() {
            return Err(Refusal::Invalid);
        }
        let holding = self.holdings.entry(id).or_insert(Holding { units: 0, next: None });
        holding.next = (units < holding.units).then_some(units);
        if units > holding.units {
            let more = i64::from(units - holding.units);
            holding.units = units;
            self.gifts.push(bought(id, more * bundle.unwrap(), self.seats, period, now));
        }
        self.holdings.retain(|_, holding| holding.units > 0);
        Ok(())
    }

    /// The place of the seat that is or would be a user's; as many as there are rows for one that nobody ever had. `None`: all are taken.
    pub fn seat_of(&self, user: &str) -> Option<usize> {
        let sits = |row: &Seat| row.occupant.as_ref().is_some_and(|(name, _)| name == user);
        if let Some(row) = self.rows.iter().position(sits) {
            return Some(row);
        }
        let seats = usize::try_from(self.seats).unwrap();
        if self.rows.iter().filter(|row| row.occupant.is_some()).count() >= seats {
            return None;
        }
        let free = |row: &&Seat| row.occupant.is_none();
        let own = self.rows.iter().position(|row| free(&row) && row.account == user);
        let unused = (self.rows.len() < seats).then_some(self.rows.len());
        own.or(unused).or_else(|| self.rows.iter().position(|row| free(&row)))
    }

    /// What the account of a seat is called.
    pub fn seat_account(&self, row: usize, user: &str) -> String {
        let names: BTreeSet<&str> = self.rows.iter().map(|row| row.account.as_str()).collect();
        match self.rows.get(row) {
            Some(row) => row.account.clone(),
            None if names.contains(user) => format!("{user} on another seat {row}"),
            None => user.to_owned(),
        }
    }

    fn sit(&mut self, user: &str, now: Timestamp) {
        let row = self.seat_of(user).unwrap();
        let account = self.seat_account(row, user);
        if row == self.rows.len() {
            self.rows.push(Seat { account, occupant: None });
        }
        self.rows[row].occupant.get_or_insert((user.to_owned(), now));
    }
}

/// Whether any plan was held in a period so far.
fn had_a_plan(held: &[(Timestamp, Option<usize>)], period: &Period, now: Timestamp) -> bool {
    let at_start = held.iter().rev().find(|(from, _)| *from <= period.start).and_then(|(_, plan)| *plan);
    (at_start.is_some() && period.start < now) || held.iter().any(|(from, plan)| plan.is_some() && *from > period.start)
}

/// Bundles as they are sold, a pot for as many seats as there are then.
fn bought(id: &'static str, amount: i64, seats: u32, period: Period, at: Timestamp) -> Gift {
    let per = ADD_ONS.iter().find(|(known, _)| *known == id).unwrap().1;
    let (per, count) = if per == Per::Pool { (Per::Subject, i64::from(seats)) } else { (per, 1) };
    Gift { is_add_on: true, id, per, period, amount: Some(amount * count), at }
}

/// The part of an amount for what is left of a period.
fn by_time(amount: i64, period: Period, now: Timestamp, way: std::cmp::Ordering, step: i64) -> i64 {
    let millis = |from: Timestamp, to: Timestamp| i128::from(to.as_millisecond() - from.as_millisecond());
    let (left, whole) = (millis(now, period.end), millis(period.start, period.end));
    // The part is so many steps and a rest, counted in parts of a step.
    let (part, one) = (i128::from(amount) * left, whole * i128::from(step));
    let (steps, rest) = (part / one, part % one);
    let more = match way {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => rest * 2 >= one,
        std::cmp::Ordering::Greater => rest > 0,
    };
    i64::try_from(steps + i128::from(more)).unwrap() * step
}
