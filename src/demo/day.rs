//! Plays a story: at each instant the next call, in the order of time.
//!
//! It moves the server's clock, so hours pass in seconds; it settles, retries and fails over as a gateway would; and it hands every answer
//! to the board. One call follows the other, so the same story has the same answers.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::board::{Board, decimal};
use super::gateway::{Attempt, Bill, Gateway};
use super::habits::CUSTOMERS;
use super::note::{self, Kind, Note};
use super::screen::Screen;
use super::story::{DAY_END, DAY_START, Fate, Model, Reply, Request, Story, What};
use crate::clock::ManualClock;
use crate::proto::v1;
use crate::proto::v1::reserve_response::Outcome::{Denial, Reservation};

/// How long a day takes at speed 1.
const DAY_LASTS: Duration = Duration::from_secs(24);
/// How often the clock is shown: as often as an eye follows.
const TICK: Duration = Duration::from_millis(50);
/// Most attempts of one generation.
const ATTEMPTS_MAX: usize = 3;
/// Failures in a row after which the gateway no longer tries a target.
const BREAKER: u32 = 3;
/// How soon a target that is down says so.
const FAILS_AFTER: SignedDuration = SignedDuration::from_secs(4);
/// When a customer with too much in flight asks again.
const ASKS_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(15);
/// When the gateway that crashed is back, after its hold has expired.
const BACK_AFTER: SignedDuration = SignedDuration::from_mins(8);
/// The least that is bought at once.
const PACK: Decimal = Decimal::ONE_HUNDRED;

/// What comes next.
enum Step {
    Scene(What),
    Reserve(Attempt),
    Settle(Held),
    /// See whether a hold has expired.
    Look(Held),
    CommitLate(Held),
}

/// An attempt under way.
struct Held {
    attempt: Attempt,
    fate: Fate,
    /// Outputs held, which may be fewer than asked.
    count: i64,
    expires: Timestamp,
}

pub struct Day {
    gateway: Gateway,
    clock: Arc<ManualClock>,
    board: Board,
    screen: Screen,
    /// By time, then by order of coming.
    steps: BTreeMap<(Timestamp, u64), Step>,
    steps_added: u64,
    down: Option<Model>,
    failures_in_a_row: u32,
    bought: BTreeSet<&'static str>,
    pace: Option<Pace>,
    stop: CancellationToken,
}

/// How the day's time passes in ours.
struct Pace {
    begun: Instant,
    lasts: Duration,
}

impl Day {
    pub fn new(story: Story, gateway: Gateway, clock: Arc<ManualClock>, screen: Screen, speed: u32, stop: CancellationToken) -> Self {
        let pace = DAY_LASTS.checked_div(speed).map(|lasts| Pace { begun: Instant::now(), lasts });
        let mut day = Self {
            gateway,
            clock,
            board: Board::new(story.generations),
            screen,
            steps: BTreeMap::new(),
            steps_added: 0,
            down: None,
            failures_in_a_row: 0,
            bought: BTreeSet::new(),
            pace,
            stop,
        };
        for scene in story.scenes {
            day.add(scene.at, Step::Scene(scene.what));
        }
        day
    }

    /// Plays to the end. False: it was stopped.
    pub async fn play(&mut self) -> anyhow::Result<bool> {
        for customer in CUSTOMERS {
            self.gateway.sign_up(customer).await?;
            let balance = self.gateway.balance(customer).await?;
            self.board.plan(customer, &balance.plan);
            self.board.balance(customer.name, &balance.balances)?;
            self.tell(Kind::Opening, note::opening(customer, &balance));
        }
        while let Some(((at, _), step)) = self.steps.pop_first() {
            if !self.wait_until(at).await {
                return Ok(false);
            }
            self.step(step).await?;
            self.screen.show(&self.board);
        }
        if !self.wait_until(DAY_END).await {
            return Ok(false);
        }
        // What the board has so far came with the answers of single calls; the check is against what the server says now.
        for customer in CUSTOMERS {
            let balance = self.gateway.balance(customer).await?;
            self.board.balance(customer.name, &balance.balances)?;
        }
        Ok(true)
    }

    /// Gives the screen and the connection back.
    pub fn end(self) -> Board {
        self.board
    }

    async fn step(&mut self, step: Step) -> anyhow::Result<()> {
        match step {
            Step::Scene(What::Down(target)) => {
                (self.down, self.failures_in_a_row) = (Some(target), 0);
                self.tell(Kind::Outage, note::down(target));
            }
            Step::Scene(What::Up(target)) => {
                self.down = None;
                self.tell(Kind::Outage, note::up(target));
            }
            Step::Scene(What::Generate(request)) => self.begin(Rc::new(request)).await?,
            Step::Reserve(attempt) => self.reserve(attempt).await?,
            Step::Settle(held) => self.settle(held).await?,
            Step::Look(held) => self.look(held).await?,
            Step::CommitLate(held) => self.commit_late(&held).await?,
        }
        Ok(())
    }

    async fn begin(&mut self, request: Rc<Request>) -> anyhow::Result<()> {
        let target = request.target;
        let attempt = Attempt { request, number: 1, target, planned: target };
        if self.down == Some(target) && self.failures_in_a_row >= BREAKER {
            return self.fail_over(attempt).await;
        }
        self.reserve(attempt).await
    }

    async fn reserve(&mut self, attempt: Attempt) -> anyhow::Result<()> {
        let answer = self.gateway.reserve(&attempt).await?;
        self.board.balance(attempt.request.customer.name, &answer.balances)?;
        if answer.replayed {
            self.board.totals.replayed += 1;
            self.tell(Kind::Replayed, note::replayed(&attempt, "Reserve"));
        }
        match answer.outcome.context("Reserve answers without a decision")? {
            Reservation(reservation) => self.granted(attempt, &reservation),
            Denial(denial) => self.denied(attempt, &denial).await,
        }
    }

    fn granted(&mut self, attempt: Attempt, reservation: &v1::Reservation) -> anyhow::Result<()> {
        let work = reservation.work.as_ref().context("the reservation has no work")?;
        let count = work.items.iter().map(|item| item.count.unwrap_or(1)).sum();
        if count < attempt.request.count {
            self.tell(Kind::Fewer, note::fewer(&attempt, count));
        }
        if attempt.target != attempt.planned {
            let open = reservation.attempts.last().context("the reservation has no attempt")?;
            self.tell(Kind::Failover, note::failover(&attempt, open, self.down == Some(attempt.planned)));
        }
        let expires = reservation.expire_time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
        let expires = expires.context("the reservation has no deadline")?;
        let down = self.down == Some(attempt.target);
        let fate = if down { None } else { attempt.request.fates.get(attempt.number - 1).copied() };
        let fate = fate.unwrap_or(if down { Fate::Failed { billed: false } } else { Fate::Delivered });
        let runs_for = if down { FAILS_AFTER } else { attempt.request.runs_for };
        self.add_after(runs_for, Step::Settle(Held { attempt, fate, count, expires }))
    }

    /// What a customer does about a "no".
    async fn denied(&mut self, attempt: Attempt, denial: &v1::Denial) -> anyhow::Result<()> {
        let customer = attempt.request.customer;
        self.board.denied(customer.name, denial);
        self.tell(Kind::Denied(denial.reason()), note::denied(&attempt, denial));
        if denial.violations.iter().all(|violation| violation.meter == "in_flight") {
            return self.add_after(ASKS_AGAIN_AFTER, Step::Reserve(attempt));
        }
        if let Some(short) = note::units_short(denial)?.filter(|_| customer.buys)
            && self.bought.insert(customer.name)
        {
            let units = short.max(PACK);
            self.gateway.buy(customer, "bought-today", &units.to_string()).await?;
            self.board.totals.bought += units;
            self.tell(Kind::Grant, note::bought(customer, units));
            return self.add_after(SignedDuration::ZERO, Step::Reserve(attempt));
        }
        match attempt.request.instead.filter(|instead| *instead != attempt.target) {
            Some(instead) => self.add_after(SignedDuration::ZERO, Step::Reserve(Attempt { target: instead, planned: instead, ..attempt })),
            None => {
                self.over(false);
                Ok(())
            }
        }
    }

    async fn settle(&mut self, held: Held) -> anyhow::Result<()> {
        match held.fate {
            Fate::Delivered => self.commit(&held, held.count).await,
            Fate::Short => self.commit(&held, (held.count - 1).max(1)).await,
            Fate::Failed { billed } => {
                let bill = if billed { Bill::AllTheSame { count: held.count } } else { Bill::Usual };
                self.release(&held, v1::Outcome::Failed, Kind::Failed, bill).await?;
                self.after_failure(held.attempt).await
            }
            Fate::Rejected => {
                self.release(&held, v1::Outcome::Rejected, Kind::Rejected, Bill::Usual).await?;
                self.again(held.attempt)
            }
            Fate::Blocked | Fate::Cancelled => {
                let outcome = if held.fate == Fate::Blocked { v1::Outcome::Blocked } else { v1::Outcome::Cancelled };
                self.release(&held, outcome, Kind::Blocked, Bill::Usual).await?;
                self.over(false);
                Ok(())
            }
            Fate::Crash | Fate::CrashThenLate => {
                let reservation = self.gateway.reservation(&held.attempt).await?;
                self.tell(Kind::Crash, note::crash(&held.attempt, decimal(&reservation.units_reserved)?));
                self.add(held.expires, Step::Look(held));
                Ok(())
            }
        }
    }

    async fn commit(&mut self, held: &Held, delivered: i64) -> anyhow::Result<()> {
        let answer = self.gateway.commit(&held.attempt, delivered).await?;
        let reservation = answer.reservation.context("Commit answers without a reservation")?;
        self.board.balance(&reservation.subject, &answer.balances)?;
        self.board.events(&answer.events)?;
        let back = self.board.given_back(&reservation)?;
        if delivered < held.count {
            self.tell(Kind::Short, note::short(&held.attempt, delivered, held.count, &reservation, back));
        }
        if held.attempt.request.lost_reply == Some(Reply::Commit) {
            self.board.totals.replayed += 1;
            self.tell(Kind::Replayed, note::replayed(&held.attempt, "Commit"));
        }
        self.over(true);
        Ok(())
    }

    async fn release(&mut self, held: &Held, outcome: v1::Outcome, kind: Kind, bill: Bill) -> anyhow::Result<()> {
        let answer = self.gateway.release(&held.attempt, outcome, bill).await?;
        let reservation = answer.reservation.context("Release answers without a reservation")?;
        self.board.balance(&reservation.subject, &answer.balances)?;
        self.board.events(&answer.events)?;
        let back = self.board.given_back(&reservation)?;
        if outcome != v1::Outcome::Cancelled {
            self.tell(kind, note::released(&held.attempt, outcome, back, answer.events.last()));
        }
        Ok(())
    }

    /// Somewhere else if the target is down or failed twice; else once more.
    async fn after_failure(&mut self, attempt: Attempt) -> anyhow::Result<()> {
        let down = self.down == Some(attempt.target);
        self.failures_in_a_row += u32::from(down);
        if attempt.number >= ATTEMPTS_MAX || !(down || attempt.number > 1) {
            return self.again(attempt);
        }
        self.fail_over(Attempt { number: attempt.number + 1, ..attempt }).await
    }

    /// The same once more, unless it was tried often enough.
    fn again(&mut self, attempt: Attempt) -> anyhow::Result<()> {
        if attempt.number < ATTEMPTS_MAX {
            return self.add_after(SignedDuration::ZERO, Step::Reserve(Attempt { number: attempt.number + 1, ..attempt }));
        }
        self.over(false);
        Ok(())
    }

    /// To the cheapest fallback that the server says fits.
    async fn fail_over(&mut self, attempt: Attempt) -> anyhow::Result<()> {
        let mut cheapest = None;
        if !attempt.request.fallbacks.is_empty() {
            let quote = self.gateway.quote(&attempt.request, attempt.planned).await?;
            for (offer, fallback) in quote.offers.iter().zip(attempt.request.fallbacks).filter(|(offer, _)| offer.fits) {
                let cost = decimal(&offer.cost)?;
                cheapest = cheapest.filter(|(least, _)| *least <= cost).or(Some((cost, *fallback)));
            }
        }
        match cheapest {
            Some((_, target)) => self.reserve(Attempt { target, ..attempt }).await,
            None => self.again(attempt),
        }
    }

    /// A hold whose gateway is gone must have ended by itself.
    async fn look(&mut self, held: Held) -> anyhow::Result<()> {
        let reservation = self.gateway.reservation(&held.attempt).await?;
        ensure!(reservation.state() == v1::State::Expired, "the hold `{}` has not expired in time", reservation.reservation_id);
        let balance = self.gateway.balance(held.attempt.request.customer).await?;
        self.board.balance(&reservation.subject, &balance.balances)?;
        self.board.totals.expired += 1;
        let back = self.board.given_back(&reservation)?;
        self.tell(Kind::Expired, note::expired(&held.attempt, back));
        if held.fate == Fate::CrashThenLate {
            return self.add_after(BACK_AFTER, Step::CommitLate(held));
        }
        self.over(false);
        Ok(())
    }

    async fn commit_late(&mut self, held: &Held) -> anyhow::Result<()> {
        let answer = self.gateway.commit(&held.attempt, held.count).await?;
        let reservation = answer.reservation.context("Commit answers without a reservation")?;
        self.board.balance(&reservation.subject, &answer.balances)?;
        self.board.events(&answer.events)?;
        self.tell(Kind::Late, note::late(&held.attempt, &reservation));
        self.over(true);
        Ok(())
    }

    /// A generation is over.
    fn over(&mut self, delivered: bool) {
        self.board.totals.generations += 1;
        self.board.totals.delivered += usize::from(delivered);
    }

    fn tell(&mut self, kind: Kind, text: String) {
        self.screen.tell(Note { at: self.board.now, kind, text });
    }

    fn add(&mut self, at: Timestamp, step: Step) {
        self.steps_added += 1;
        self.steps.insert((at, self.steps_added), step);
    }

    fn add_after(&mut self, wait: SignedDuration, step: Step) -> anyhow::Result<()> {
        self.add(self.board.now.checked_add(wait)?, step);
        Ok(())
    }

    /// Lets the time of the day pass. False: stopped meanwhile.
    async fn wait_until(&mut self, at: Timestamp) -> bool {
        while let Some(pace) = &self.pace
            && pace.time_of_day() < at
            && !self.stop.is_cancelled()
        {
            self.set_clock(pace.time_of_day().max(self.board.now));
            self.screen.show(&self.board);
            let _ = tokio::time::timeout(TICK, self.stop.cancelled()).await;
        }
        self.set_clock(at);
        !self.stop.is_cancelled()
    }

    fn set_clock(&mut self, now: Timestamp) {
        self.clock.set(now);
        self.board.now = now;
    }
}

impl Pace {
    /// How late it is in the day by now.
    fn time_of_day(&self) -> Timestamp {
        let day = DAY_END.as_millisecond() - DAY_START.as_millisecond();
        let of = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let passed = of(self.begun.elapsed()).saturating_mul(day) / of(self.lasts).max(1);
        let now = DAY_START.as_millisecond().saturating_add(passed);
        Timestamp::from_millisecond(now).unwrap_or(DAY_END)
    }
}
