//! Entitlements: what allowances and add-ons come to in one period, through every change of plan in it (P7, P11).
//!
//! What was given for a period is never taken back in it, and no order of changes gives more than the best plan of the period would
//! have: a change adds at most what the new plan has above the one before, and never more than it has above what is given already. What
//! a plan that was left has given stays until the period's end, beside what the new one adds.

use jiff::Timestamp;

use super::amount::{Micros, RoundingMode};
use super::ids::{AddOnId, MeterId};
use super::period::{Cadence, OutOfCalendar, Period};
use super::plan::{AddOn, Allowance, AllowancePer, Plan, Proration, ProrationKind, Rollover};
use super::view::ActivePlan;

/// An allowance as it stands in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlement<'a> {
    pub allowance: &'a Allowance,
    /// Of each account; with a pot of seats, of each seat. `None` is unlimited.
    pub amount: Option<Micros>,
    /// The seats that share a pot.
    pub seats: u32,
    /// What the account was given besides, by a plan that counted otherwise: it does not grow with the seats.
    pub besides: Micros,
    /// What may be left over from the period before: the most that a plan of this period says, for a change takes nothing away.
    pub rollover: Option<Rollover>,
    /// Whether the present plan has it. One of a plan that was left ends with the period.
    pub is_present: bool,
}

/// What a plan gives of a meter: to all together, and to each person. `None` is unlimited; micro-units.
#[derive(Debug, Clone, Copy)]
struct Totals {
    shared: Option<i128>,
    each: Option<i128>,
    /// Only those with a seat have what each person has, so its sum is bounded.
    by_seat: bool,
}

impl Entitlement<'_> {
    /// What the account may give in the period; `None` is unlimited.
    pub fn limit(&self) -> Option<Micros> {
        let amount = times(self.amount?, shares(self.allowance.per, self.seats));
        Some(sum(amount, self.besides))
    }

    /// What a contract says takes the place of what was given.
    fn overridden(&mut self, active: &ActivePlan<'_>, at: Timestamp) {
        if let Some(limit) = active.overridden(&self.allowance.id, at) {
            (self.amount, self.besides) = (limit.amount(), Micros::ZERO);
        }
    }

    /// Whether both are one account, of the same people: what each seat had is not what each user has.
    pub fn is_of(&self, allowance: &Allowance) -> bool {
        let opens = self.allowance.per == AllowancePer::Seat && allowance.per == AllowancePer::User;
        self.allowance.id == allowance.id && is_shared(self.allowance.per) == is_shared(allowance.per) && !opens
    }
}

/// Allowances of a meter that are given at a cadence, in a period of it, as they stand at an instant of the period.
pub fn allowances<'a>(active: &ActivePlan<'a>, meter: &MeterId, cadence: Cadence, period: &Period, at: Timestamp) -> Vec<Entitlement<'a>> {
    let issued = |plan: &'a Plan, at: Timestamp| {
        let terms = plan.terms_on(period.day);
        let given = terms.allowances.iter().filter(|one| one.meter == *meter && one.issue(active.billing).every == cadence);
        let entitled = move |allowance: &'a Allowance| Entitlement {
            allowance,
            amount: allowance.issue(active.billing).amount,
            seats: active.seats(at),
            besides: Micros::ZERO,
            rollover: allowance.rollover,
            is_present: true,
        };
        given.map(entitled).collect::<Vec<_>>()
    };
    let phases = active.phases(period, at);
    let Some((start, first)) = phases.first().copied() else { return Vec::new() };
    let mut held = issued(first, if phases.len() == 1 { at } else { start });
    for (index, (changed, plan)) in phases.iter().copied().enumerate().skip(1) {
        let (before, new) = (issued(phases[index - 1].1, changed), issued(plan, changed));
        let proration = plan.terms_on(period.day).proration;
        let seats = active.seats(changed);
        for present in held.iter_mut().filter(|one| one.is_present) {
            present.seats = seats;
            // What was given by contract stays as well.
            if !new.iter().any(|new| present.is_of(new.allowance)) {
                present.overridden(active, changed);
            }
        }
        let given = room(&Totals::of(&new), &Totals::of(&held), seats);
        let added = room(&Totals::of(&new), &Totals::of(&before), seats);
        let share = |added: Option<i128>, room: Option<i128>| least(proration.share(added, period, changed), room);
        held = raised(held, new, share(added.0, given.0), share(added.1, given.1));
    }
    for present in held.iter_mut().filter(|one| one.is_present) {
        present.seats = active.seats(at);
        present.overridden(active, at);
    }
    held
}

/// What each account of an add-on may give in a period, as it stands at an instant of the period: a bundle of the plan that sold it for
/// each unit held when the period began, and for each that was bought since. `None`: no unit is live.
pub fn add_on(active: &ActivePlan<'_>, id: &AddOnId, period: &Period, at: Timestamp) -> Result<Option<Micros>, OutOfCalendar> {
    let Some(units) = active.subscription.and_then(|subscription| subscription.add_ons.get(id)) else { return Ok(None) };
    let bundle = |at: Timestamp| {
        let sold = active.plan_at(at)?.add_on(id, period.day)?;
        Some((sold.bundle(active.billing).amount, shares(sold.per, active.seats(at))))
    };
    let worth = |count: u32, at: Timestamp| bundle(at).map_or(Micros::ZERO, |(amount, shares)| times(times(amount, count.into()), shares));
    let held = active.units_from(id, period)?;
    let mut limit = worth(held, period.start);
    let mut before = held;
    let mut is_live = held > 0;
    for (bought, count) in units.steps().iter().filter(|(bought, _)| period.start < *bought && *bought <= at) {
        limit = limit.checked_add(worth(count.saturating_sub(before), *bought)).unwrap_or(Micros::MAX);
        is_live |= *count > before;
        before = *count;
    }
    Ok(is_live.then_some(limit).filter(|limit| !limit.is_zero()))
}

impl Totals {
    fn of(entitlements: &[Entitlement<'_>]) -> Self {
        let mut totals = Self { shared: Some(0), each: Some(0), by_seat: true };
        for one in entitlements {
            let besides = i128::from(one.besides.get());
            let amount = one.amount.map(|amount| i128::from(amount.get()) * i128::from(shares(one.allowance.per, one.seats)) + besides);
            let sum = if is_shared(one.allowance.per) { &mut totals.shared } else { &mut totals.each };
            *sum = sum.zip(amount).map(|(sum, amount)| sum + amount);
            totals.by_seat &= one.allowance.per != AllowancePer::User;
        }
        totals
    }
}

/// How much a plan may add to what there is: to what all share, and to what each person has. What there is on the one side beyond what the
/// plan has there counts on the other, so that a plan for all does not come on top of one for each.
fn room(new: &Totals, old: &Totals, seats: u32) -> (Option<i128>, Option<i128>) {
    let seats = i128::from(seats.max(1));
    let each_beyond = match beyond(old.each, new.each) {
        Some(0) => Some(0),
        // How many users there are is not known.
        Some(beyond) if old.by_seat => Some(beyond * seats),
        _ => None,
    };
    let shared_beyond = match beyond(old.shared, new.shared) {
        Some(beyond) if new.by_seat => Some((beyond + seats - 1) / seats),
        beyond => beyond,
    };
    let side = |new: Option<i128>, old: Option<i128>, other: Option<i128>| match (new, other) {
        // Nothing is more than a plan without end.
        (None, _) => beyond(new, old),
        (_, None) => Some(0),
        (_, Some(other)) => beyond(new, old).map(|room| (room - other).max(0)),
    };
    (side(new.shared, old.shared, each_beyond), side(new.each, old.each, shared_beyond))
}

/// What one has above the other; `None` is without end.
fn beyond(one: Option<i128>, other: Option<i128>) -> Option<i128> {
    match (one, other) {
        (_, None) => Some(0),
        (None, Some(_)) => None,
        (Some(one), Some(other)) => Some((one - other).max(0)),
    }
}

fn least(one: Option<i128>, other: Option<i128>) -> Option<i128> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What there is after a change to a plan whose allowances are `new`: those it has too are raised, the others stay beside them.
fn raised<'a>(
    held: Vec<Entitlement<'a>>,
    new: Vec<Entitlement<'a>>,
    mut to_share: Option<i128>,
    mut to_each: Option<i128>,
) -> Vec<Entitlement<'a>> {
    let (kept, left): (Vec<_>, Vec<_>) = held.into_iter().partition(|one| new.iter().any(|other| one.is_of(other.allowance)));
    let mut after: Vec<_> = left.into_iter().map(|one| Entitlement { is_present: false, ..one }).collect();
    for full in new {
        // What each seat had and what each user had are one again where a plan counts by seat again.
        let kept = || kept.iter().filter(|one| one.is_of(full.allowance));
        let is_pot = |per: AllowancePer| per == AllowancePer::SeatsPooled;
        let given = kept().map(|one| match one.limit() {
            _ if is_pot(one.allowance.per) == is_pot(full.allowance.per) => (one.amount, one.besides),
            None => (None, Micros::ZERO),
            Some(limit) => (Some(Micros::ZERO), limit),
        });
        let (have, besides) = given.fold((Some(Micros::ZERO), Micros::ZERO), |(have, besides), (amount, beside)| {
            (have.zip(amount).map(|(have, amount)| sum(have, amount)), sum(besides, beside))
        });
        let rollover = kept().filter_map(|one| one.rollover).chain(full.rollover).max_by_key(|rollover| rollover.cap);
        let extra = if is_shared(full.allowance.per) { &mut to_share } else { &mut to_each };
        let amount = match (have, full.amount) {
            (None, _) => None,
            (Some(have), None) => {
                if extra.is_none() {
                    None
                } else {
                    Some(have)
                }
            }
            (Some(have), Some(amount)) => {
                let shares = i128::from(shares(full.allowance.per, full.seats).max(1));
                let each = i128::from(amount.less(have).get()).min(extra.map_or(i128::MAX, |extra| extra / shares));
                *extra = extra.map(|extra| extra - each * shares);
                Some(i64::try_from(each).ok().and_then(Micros::new).and_then(|each| have.checked_add(each)).unwrap_or(Micros::MAX))
            }
        };
        after.push(Entitlement { amount, besides, rollover, ..full });
    }
    after
}

impl Proration {
    /// The part of what a plan adds that is given for the rest of a period, rounded as declared (P11).
    fn share(&self, added: Option<i128>, period: &Period, from: Timestamp) -> Option<i128> {
        match self.kind {
            ProrationKind::Full => added,
            ProrationKind::None => Some(0),
            ProrationKind::Prorated => added.map(|added| prorated(added, period, from, self.step, self.mode).min(added)),
        }
    }
}

/// The part of an amount that falls on the rest of a period, by time; a multiple of `step`. All in millionths, exact but for the one rounding.
pub fn prorated(amount: i128, period: &Period, from: Timestamp, step: Micros, mode: RoundingMode) -> i128 {
    let nanos = |from: Timestamp, to: Timestamp| (to.as_nanosecond() - from.as_nanosecond()).max(0);
    let (rest, whole) = (nanos(from.max(period.start), period.end), nanos(period.start, period.end).max(1));
    let step = i128::from(step.get().max(1));
    // At most 10^21 times the 10^17 nanoseconds of three years: within 128 bits.
    let (exact, unit) = (amount * rest, whole * step);
    let steps = match mode {
        RoundingMode::Up => (exact + unit - 1) / unit,
        RoundingMode::HalfUp => (exact + unit / 2) / unit,
        RoundingMode::Down | RoundingMode::None => exact / unit,
    };
    steps * step
}

const fn is_shared(per: AllowancePer) -> bool {
    matches!(per, AllowancePer::Subject | AllowancePer::SeatsPooled)
}

/// How many times one amount an account has.
fn shares(per: AllowancePer, seats: u32) -> i64 {
    if per == AllowancePer::SeatsPooled { i64::from(seats) } else { 1 }
}

/// More than an account can hold is as good as the largest amount.
pub fn sum(one: Micros, other: Micros) -> Micros {
    one.checked_add(other).unwrap_or(Micros::MAX)
}

/// The same for a multiple.
fn times(amount: Micros, count: i64) -> Micros {
    amount.get().checked_mul(count).and_then(Micros::new).unwrap_or(Micros::MAX)
}

impl Plan {
    /// An add-on as the plan sells it in a period that begins on a day.
    pub fn add_on(&self, id: &AddOnId, day: jiff::civil::Date) -> Option<&AddOn> {
        self.terms_on(day).add_ons.iter().find(|add_on| add_on.id == *id)
    }
}
