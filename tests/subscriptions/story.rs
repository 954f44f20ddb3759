//! One story, told to the service and to the reference alike; after every step both must say the same.

use genquota::domain::standing::Standing;
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::bench::{Bench, TTL, counted, paid};
use crate::life::{Deed, Grant, Life};
use crate::plans::{Per, Plans, UNIT};
use crate::promise::{Left, Promise};
use crate::reference::{Kind, Reference, Shown, State};
use crate::steps::{Step, USERS, ZONES};

/// What can still be settled: the store forgets ended ids after a week.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(6 * 24);

pub struct Story {
    bench: Bench,
    reference: Reference,
    promise: Promise,
    start: Timestamp,
    /// The quarters that each reservation asked for; `None` for recorded usage.
    asked: Vec<Option<u32>>,
    grants: Vec<String>,
}

impl Story {
    pub fn new(bench: Bench, reference: Reference) -> Self {
        let (start, promise) = (bench.now(), Promise::new(reference.plans().clone()));
        Self { bench, reference, promise, start, asked: Vec::new(), grants: Vec::new() }
    }

    pub async fn tell(&mut self, steps: &[Step]) {
        for step in steps {
            self.look_at_promise().await;
            self.take(step).await;
            self.compare(step).await;
            self.look_at_promise().await;
        }
    }

    async fn look_at_promise(&mut self) {
        let standing = self.bench.standing().await;
        self.promise.see(standing.as_ref(), self.bench.now());
        for number in 0..self.asked.len() {
            if self.promise.may_change(number) {
                self.promise.pay(&*self.bench.row(number).await, number);
            }
        }
        self.promise.check();
    }

    async fn take(&mut self, step: &Step) {
        let now = self.bench.now();
        match step {
            Step::Wait(wait) => self.bench.wait_until(wait.until(&self.reference, now, self.start)).await,
            Step::Reserve { user, quarters } => {
                let number = self.asked.len();
                let said = self.bench.reserve(number, *user, *quarters).await;
                let expected = self.reference.reserve(*user, i64::from(*quarters) * UNIT / 4, TTL, now);
                assert_eq!(said, expected, "{step:?}");
                if said.is_ok() {
                    self.asked.push(Some(*quarters));
                }
                self.tick();
            }
            Step::Record { user, quarters } => {
                self.bench.record(self.asked.len(), *user, *quarters).await;
                self.reference.record(*user, i64::from(*quarters) * UNIT / 4, now);
                self.compare_paid(self.asked.len()).await;
                self.asked.push(None);
                self.tick();
            }
            Step::Commit { which, quarters } => {
                let open = |number: &usize| {
                    let charge = &self.reference.charges[*number];
                    charge.state == State::Held && now < charge.deadline.checked_add(REMEMBERED).unwrap()
                };
                let open: Vec<usize> = (0..self.asked.len()).filter(open).collect();
                if open.is_empty() {
                    return;
                }
                let number = *which.get(&open);
                let asked = self.asked[number].unwrap();
                let units = counted(asked, *quarters);
                if units == 0 {
                    return;
                }
                self.bench.settle(number, Some((asked, *quarters))).await;
                self.reference.commit(number, units, now);
                self.compare_paid(number).await;
                self.tick();
            }
            Step::Release(which) => {
                let held = |number: &usize| {
                    let charge = &self.reference.charges[*number];
                    charge.state == State::Held && now < charge.deadline
                };
                let held: Vec<usize> = (0..self.asked.len()).filter(held).collect();
                if !held.is_empty() {
                    let number = *which.get(&held);
                    self.bench.settle(number, None).await;
                    self.reference.release(number);
                }
            }
            Step::Refund { which, quarters } => {
                let is_committed = |number: &usize| self.reference.charges[*number].state == State::Committed;
                let committed: Vec<usize> = (0..self.asked.len()).filter(is_committed).collect();
                if !committed.is_empty() {
                    let (number, units) = (*which.get(&committed), quarters.map(|quarters| i64::from(quarters) * UNIT / 4));
                    let said = self.bench.refund(number, units).await;
                    assert_eq!(said, self.reference.refund(number, units), "{step:?}");
                    self.promise.pay(&*self.bench.row(number).await, number);
                    self.compare_paid(number).await;
                }
            }
            Step::Reload(reload) => {
                let Some(plans) = self.reference.plans().after(reload, now) else { return };
                self.bench.reload(&plans).await;
                self.reference.reload(plans, now);
                self.promise.plans = self.reference.plans().clone();
                self.tick();
            }
            _ => {
                // A plan that is left at the first instant of a period has not been held in it: changes come a moment later.
                let life = self.reference.life(now);
                if life.subscription.is_some_and(|subscription| subscription.month(now).start == now) {
                    self.tick();
                }
                let now = self.bench.now();
                let Some(deed) = self.deed(step, now) else { return };
                if self.comes_back_to_a_pot(&deed, now) {
                    return;
                }
                let before = self.left().await;
                let said = self.bench.administrate(&deed).await;
                let expected = self.reference.carry_out(deed.clone(), now);
                assert_eq!(said, expected, "{deed:?}");
                if said.is_ok() {
                    self.promise.change(&deed, before, self.left().await);
                }
                self.tick();
            }
        }
    }

    /// No two things happen at one instant: what was held for no time was not held.
    fn tick(&self) {
        self.bench.clock.advance(SignedDuration::from_millis(1));
    }

    /// A step in the words of the subject's story.
    fn deed(&mut self, step: &Step, now: Timestamp) -> Option<Deed> {
        let plans = &self.reference.plans().plans;
        let later = |days: i64| now.checked_add(SignedDuration::from_hours(24 * days)).unwrap();
        Some(match step {
            Step::Subscribe { plan, billed, seats, zone, ago } => Deed::Subscribe {
                plan: plan.index(plans.len()),
                billed: *billed,
                start: ago.map(|days| now.checked_sub((days * 24).hours()).unwrap()),
                zone: zone.map(|zone| jiff::tz::TimeZone::get(ZONES[zone]).unwrap()),
                seats: *seats,
            },
            Step::Change(plan) => Deed::Change(plan.index(plans.len())),
            Step::Cancel { now } => Deed::Cancel { now: *now },
            Step::Seats { seats: None, vacate: None } => return None,
            Step::Seats { seats, vacate } => Deed::Seats { seats: *seats, vacate: vacate.map(str::to_owned) },
            Step::AddOn { id, units } if plans.iter().flatten().any(|terms| terms.add_ons.contains_key(id)) => {
                Deed::AddOn { id, units: *units }
            }
            Step::Grant { units, from, until, priority, requires_subscription } => {
                let id = format!("g{:02}", self.grants.len());
                self.grants.push(id.clone());
                Deed::Grant(Grant {
                    id,
                    units: *units,
                    from: later(*from),
                    until: until.map(later),
                    priority: *priority,
                    requires_subscription: *requires_subscription,
                    is_void: false,
                })
            }
            Step::Void(which) if !self.grants.is_empty() => Deed::Void(which.get(&self.grants).clone()),
            Step::Override { id, limit } if known(self.reference.plans(), id) => Deed::Override { id, limit: *limit },
            _ => return None,
        })
    }

    /// Not told: a pot of seats that was left and is taken up again, after the subscription had ended or with fewer seats: it has the seats
    /// there are then, and the reference knows it as it was left.
    fn comes_back_to_a_pot(&self, deed: &Deed, now: Timestamp) -> bool {
        let (Deed::Subscribe { plan, .. } | Deed::Change(plan)) = deed else { return false };
        let life = self.reference.life(now);
        let has_pot =
            |plan: usize| self.reference.plans().plans[plan].iter().flat_map(|terms| &terms.allowances).any(|one| one.per == Per::Pool);
        let Some(subscription) = life.subscription.filter(|_| has_pot(*plan)) else { return false };
        let seats = subscription.pending_seats.map_or(subscription.seats, |(_, seats)| seats);
        let had_more = subscription.seats_since.iter().any(|(_, before)| seats < *before);
        let (ended, held_a_pot) = subscription
            .held
            .iter()
            .fold((false, false), |(ended, pot), (_, plan)| (ended || plan.is_none(), pot || plan.is_some_and(has_pot)));
        ended || (held_a_pot && had_more)
    }

    /// What each user has left of allowances and add-ons.
    async fn left(&self) -> Vec<Left> {
        let standing = self.bench.standing().await;
        let mut left = Vec::new();
        for user in USERS {
            let sits = |standing: &Standing| standing.occupied.iter().any(|(name, _)| name.as_str() == user);
            let sources = self.bench.balance(Some(user)).await;
            let sum = |is_counted: &dyn Fn(&Shown) -> bool| {
                let plan = sources.iter().filter(|source| source.kind != Kind::Grant && is_counted(source));
                plan.map(|source| source.available).try_fold(0, |sum, available| Some(sum + available?))
            };
            let has_own = standing.as_ref().is_none_or(|standing| sits(standing) || !self.is_by_seat(standing));
            left.push(Left { shared: sum(&|source| !source.is_own), all: has_own.then(|| sum(&|_| true)) });
        }
        left
    }

    fn is_by_seat(&self, standing: &Standing) -> bool {
        let terms = &self.reference.plans().plans[Plans::rank(standing.plan.as_str())];
        terms.iter().flat_map(|terms| &terms.allowances).any(|allowance| allowance.per == Per::Seat)
    }

    async fn compare_paid(&self, number: usize) {
        let (row, charge) = (self.bench.row(number).await, &self.reference.charges[number]);
        let overage: i64 = paid(&row).filter(|paid| paid.kind == Kind::Overage).map(|paid| paid.amount).sum();
        assert_eq!((row.units_used().get(), overage), (charge.used(), charge.of(Kind::Overage)), "{row:?}");
    }

    async fn compare(&self, step: &Step) {
        let now = self.bench.now();
        let life = self.reference.life(now);
        for user in USERS.into_iter().map(Some).chain([None]) {
            let said = speaking(self.bench.balance(user).await);
            let expected = speaking(self.reference.shown(&life, user));
            assert_eq!(said, expected, "what {user:?} has at {now} after {step:?}");
        }
        assert_eq!(self.bench.standing().await.map(|standing| stands(&standing)), stood(&self.reference, &life), "at {now} after {step:?}");
    }
}

fn known(plans: &Plans, id: &str) -> bool {
    plans.plans.iter().flatten().any(|terms| terms.allowances.iter().any(|allowance| allowance.id == id))
}

/// Without the sources that give nothing and gave nothing.
fn speaking(mut sources: Vec<Shown>) -> Vec<Shown> {
    sources.retain(|source| source.limit != Some(0) || source.reserved + source.committed > 0);
    sources
}

/// How a subscription stands, in words to compare.
#[derive(Debug, PartialEq, Eq)]
struct Stands {
    plan: String,
    period: (Timestamp, Timestamp),
    seats: u32,
    occupied: Vec<(String, Timestamp)>,
    add_ons: Vec<(String, u32, Option<u32>)>,
    pending: Option<(Option<String>, Option<u32>, Timestamp)>,
    cancel_time: Option<Timestamp>,
}

fn stands(standing: &Standing) -> Stands {
    Stands {
        plan: standing.plan.to_string(),
        period: (standing.period.start, standing.period.end),
        seats: standing.seats,
        occupied: standing.occupied.iter().map(|(user, since)| (user.to_string(), *since)).collect(),
        add_ons: standing.add_ons.iter().map(|add_on| (add_on.id.to_string(), add_on.units, add_on.next_units)).collect(),
        pending: standing
            .pending
            .as_ref()
            .map(|pending| (pending.plan.as_ref().map(ToString::to_string), pending.seats, pending.effective_time)),
        cancel_time: standing.cancel_time,
    }
}

fn stood(reference: &Reference, life: &Life) -> Option<Stands> {
    let (subscription, plan) = life.running()?;
    let period = subscription.month(life.now);
    let next = reference.life(period.end);
    let units_then = |id: &str| next.running().and_then(|(next, _)| next.holdings.get(id)).map_or(0, |holding| holding.units);
    let mut occupied: Vec<_> = subscription.rows.iter().filter_map(|row| row.occupant.clone()).collect();
    occupied.sort_by_key(|(_, since)| *since);
    let new_plan = subscription.pending_plan.and_then(|(at, plan)| Some((at, plan?)));
    let seats = subscription.pending_seats.map(|(_, seats)| seats);
    // A plan that counts by seat comes with one.
    let needs_a_seat = new_plan.is_some_and(|(_, plan)| reference.plans().counts_by_seat(plan)) && seats.unwrap_or(subscription.seats) == 0;
    let seats = if needs_a_seat { Some(1) } else { seats };
    let at = new_plan.map(|(at, _)| at).or(subscription.pending_seats.map(|(at, _)| at));
    Some(Stands {
        plan: Plans::name(plan),
        period: (period.start, period.end),
        seats: subscription.seats,
        occupied,
        add_ons: subscription
            .holdings
            .iter()
            .map(|(id, holding)| ((*id).to_owned(), holding.units, Some(units_then(id)).filter(|next| *next != holding.units)))
            .collect(),
        pending: at.map(|at| (new_plan.map(|(_, plan)| Plans::name(plan)), seats, at)),
        cancel_time: subscription.pending_plan.filter(|(_, plan)| plan.is_none()).map(|(at, _)| at),
    })
}
