//! Sums of closed attempts, by where they ran and for what. A store adds to them in the very step that closes an attempt, so that a
//! summary never has to read history (C5).

use std::fmt;

use jiff::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};

use super::event::CostEvent;
use super::ids::{SubjectId, UserId};
use super::ledger::{Event, EventKind};
use super::reservation::{Attempt, Detail, Outcome, Refund};

/// Parts of a key: subject, user, then those of [`Dimension`] in its order.
const PARTS: usize = 12;
/// Stands for what there is none of. No id can be this.
const NOTHING: &str = "*";

/// What a sum is of: always provider, model and tier (C5). One of every subject together names no subject and no user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TallyKey(Box<str>);

/// What splits sums beside subject and user, in the order of a key's parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    Provider,
    Model,
    Tier,
    Action,
    Plan,
    Currency,
    /// What the units count.
    Meter,
    Outcome,
    /// `failover` where it ran elsewhere than planned.
    Failover,
    /// By which splits it is the first attempt of its reservation, as a number of bits, one for each [`Split`].
    First,
}

/// A way to split sums by where attempts ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Split {
    pub provider: bool,
    pub model: bool,
    pub tier: bool,
}

/// What closed attempts came to. Amounts are micro-units; a sum may be above the largest amount of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Generations that ran here: each counts with its first attempt on a target.
    pub generations: u64,
    pub attempts: u64,
    /// Attempts that were accepted. A late commit is one that was counted as an attempt when it expired.
    pub accepted: u64,
    /// Outputs of accepted attempts.
    pub outputs: u64,
    /// What refunds took back in the hour is deducted: below zero where that is more than was charged in it.
    pub units: i64,
    pub cost: i64,
    /// Cost above the planned targets; below zero where it was cheaper.
    pub cost_shift: i64,
}

/// A sum of one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostSum {
    /// Since 1970.
    pub hour: i64,
    pub key: TallyKey,
    pub tally: Tally,
}

impl TallyKey {
    /// The key under which an attempt counts for everybody.
    pub fn of(detail: &Detail, attempt: &Attempt) -> Self {
        Self(format!("{NOTHING}|{NOTHING}|{}", dimensions(detail, attempt)).into())
    }

    /// The key under which it counts for its subject.
    pub fn of_subject(subject: &SubjectId, detail: &Detail, attempt: &Attempt) -> Self {
        let user = detail.user.as_ref().map_or(NOTHING, UserId::as_str);
        Self(format!("{subject}|{user}|{}", dimensions(detail, attempt)).into())
    }

    /// Takes a key that a store kept; `None` when it is none of ours. One of before ends with [`Dimension::Failover`].
    pub fn parse(text: &str) -> Option<Self> {
        let part = |part: &str| !part.is_empty() && !part.bytes().any(|byte| byte.is_ascii_whitespace());
        ((PARTS - 1..=PARTS).contains(&text.split('|').count()) && text.split('|').all(part)).then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whose sum it is; `None` for that of everybody.
    pub fn subject(&self) -> Option<&str> {
        self.part(0)
    }

    pub fn user(&self) -> Option<&str> {
        self.part(1)
    }

    pub fn get(&self, dimension: Dimension) -> Option<&str> {
        self.part(2 + dimension as usize)
    }

    /// Whether it ran elsewhere than planned.
    pub fn is_failover(&self) -> bool {
        self.get(Dimension::Failover).is_some()
    }

    fn part(&self, index: usize) -> Option<&str> {
        self.0.split('|').nth(index).filter(|part| *part != NOTHING)
    }
}

impl fmt::Display for TallyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The parts of a key that both of its kinds have.
pub fn dimensions(detail: &Detail, attempt: &Attempt) -> String {
    let target = attempt.target.as_ref();
    let parts = [
        target.map(|target| target.provider.as_str()),
        target.map(|target| target.model.as_str()),
        attempt.tier.as_ref().map(|tier| tier.as_str()),
        Some(detail.action.as_str()),
        detail.plan.as_ref().map(|plan| plan.as_str()),
        Some(&*detail.currency).filter(|currency| !currency.is_empty()),
        detail.meter.as_ref().map(|meter| meter.as_str()),
        attempt.outcome.map(outcome_name),
        attempt.is_failover(detail).then_some("failover"),
    ];
    let first = Split::all().filter(|split| split.is_first(detail, attempt)).fold(0, |bits, split| bits | split.bit());
    format!("{}|{first}", parts.map(|part| part.unwrap_or(NOTHING)).join("|"))
}

impl Split {
    fn all() -> impl Iterator<Item = Self> {
        (0..8).map(|bits| Self { provider: bits & 1 != 0, model: bits & 2 != 0, tier: bits & 4 != 0 })
    }

    fn bit(self) -> u8 {
        1 << (u8::from(self.provider) + 2 * u8::from(self.model) + 4 * u8::from(self.tier))
    }

    /// Whether no earlier attempt of the reservation ran in the same part.
    fn is_first(self, detail: &Detail, attempt: &Attempt) -> bool {
        let part = |attempt: &Attempt| {
            let target = attempt.target.as_ref();
            (
                target.map(|target| target.provider.clone()).filter(|_| self.provider),
                target.map(|target| target.model.clone()).filter(|_| self.model),
                attempt.tier.clone().filter(|_| self.tier),
            )
        };
        let mut before = detail.attempts.iter().take_while(|before| before.number < attempt.number);
        before.all(|before| part(before) != part(attempt))
    }
}

/// How an outcome stands in a key.
pub const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "accepted",
        Outcome::Rejected => "rejected",
        Outcome::Failed => "failed",
        Outcome::Blocked => "blocked",
        Outcome::Cancelled => "cancelled",
        Outcome::Unknown => "unknown",
        Outcome::Expired => "expired",
    }
}

impl Tally {
    /// Of a closed attempt that was not counted before.
    pub fn of(detail: &Detail, attempt: &Attempt) -> Self {
        let mut before = detail.attempts.iter().take_while(|before| before.number < attempt.number);
        let is_first_here = before.all(|before| before.target != attempt.target);
        let accepted = attempt.outcome == Some(Outcome::Accepted);
        let outputs = attempt.delivered.as_ref().filter(|_| accepted).map_or(0, |work| work.outputs());
        Self {
            generations: u64::from(is_first_here),
            attempts: 1,
            accepted: u64::from(accepted),
            outputs: u64::from(outputs),
            units: attempt.units.get(),
            cost: attempt.cost.get(),
            cost_shift: attempt.cost_shift_micros().unwrap_or(0),
        }
    }

    /// Of the attempt of a cost event. A late commit was counted as an attempt when it expired.
    pub fn of_event(event: &CostEvent) -> Self {
        let tally = Self::of(event.detail(), &event.attempt);
        if event.late { Self { generations: 0, attempts: 0, ..tally } } else { tally }
    }

    /// Of a refund: units that count no longer. What was made and what it cost stays.
    pub fn of_refund(refund: &Refund) -> Self {
        Self { units: -refund.units.get(), ..Self::default() }
    }

    /// Attempts for each one that was accepted, rounded half up to 9 digits, at least 1; `None` where none was.
    pub fn retry_multiplier(&self) -> Option<Decimal> {
        let each = Decimal::from(self.attempts).checked_div(Decimal::from(self.accepted))?;
        Some(each.max(Decimal::ONE).round_dp_with_strategy(9, RoundingStrategy::MidpointAwayFromZero).normalize())
    }

    /// What `micros` come to for each of `parts`, rounded half up to 9 digits; `None` for no parts.
    pub fn per(micros: i64, parts: u64) -> Option<Decimal> {
        let each = decimal(micros).checked_div(Decimal::from(parts))?;
        Some(each.round_dp_with_strategy(9, RoundingStrategy::MidpointAwayFromZero).normalize())
    }

    /// The sum, or `None` where it is too large for a number.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            generations: self.generations.checked_add(other.generations)?,
            attempts: self.attempts.checked_add(other.attempts)?,
            accepted: self.accepted.checked_add(other.accepted)?,
            outputs: self.outputs.checked_add(other.outputs)?,
            units: self.units.checked_add(other.units)?,
            cost: self.cost.checked_add(other.cost)?,
            cost_shift: self.cost_shift.checked_add(other.cost_shift)?,
        })
    }
}

impl CostSum {
    /// How many generations count here, where each counts once in every part of a split: with the first attempt there.
    pub fn generations(&self, split: Split) -> u64 {
        match self.key.get(Dimension::First).and_then(|bits| bits.parse::<u8>().ok()) {
            Some(first) if first & split.bit() != 0 => self.tally.attempts,
            Some(_) => 0,
            // A key of before knows of targets alone.
            None => self.tally.generations,
        }
    }

    /// What a change of the ledger adds: to the sum of everybody, and to that of its subject.
    pub fn of(event: &Event) -> Vec<Self> {
        if let Some(closed) = CostEvent::of(event) {
            return Self::of_attempt(&event.subject, hour_of(closed.time), closed.detail(), (&closed.attempt, Tally::of_event(&closed)));
        }
        let refunded = event.row.as_ref().filter(|_| event.kind == EventKind::Refunded);
        let refunded = refunded.and_then(|row| Some((&*row.detail, added(event.kind, &row.detail)?)));
        refunded.map_or_else(Vec::new, |(detail, added)| Self::of_attempt(&event.subject, hour_of(event.time), detail, added))
    }

    fn of_attempt(subject: &SubjectId, hour: i64, detail: &Detail, (attempt, tally): (&Attempt, Tally)) -> Vec<Self> {
        let keys = [TallyKey::of(detail, attempt), TallyKey::of_subject(subject, detail, attempt)];
        keys.into_iter().map(|key| Self { hour, key, tally }).collect()
    }
}

/// The hour of an instant, since 1970.
pub fn hour_of(time: Timestamp) -> i64 {
    time.as_second().div_euclid(3600)
}

/// What a change adds to the sums, and the attempt under whose keys: the one that it closes, or the one whose units a refund takes back.
/// `detail` is that of the reservation as it will be. `None` where it adds nothing, or is the doing of time.
pub fn added(kind: EventKind, detail: &Detail) -> Option<(&Attempt, Tally)> {
    let closed = match kind {
        EventKind::Committed | EventKind::Released | EventKind::Recorded => detail.last_attempt(),
        EventKind::Retried => detail.retried_attempt()?,
        EventKind::Refunded => return Some((detail.last_attempt(), Tally::of_refund(detail.refunds.last()?))),
        EventKind::Reserved | EventKind::Extended | EventKind::Expired | EventKind::SubjectChanged => return None,
    };
    Some((closed, Tally::of(detail, closed)))
}

/// Micro-units as a decimal, below zero too.
pub fn decimal(micros: i64) -> Decimal {
    Decimal::new(micros, 6).normalize()
}

impl From<Tally> for [i64; 7] {
    /// As stores keep it.
    fn from(tally: Tally) -> Self {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let Tally { generations, attempts, accepted, outputs, units, cost, cost_shift } = tally;
        [count(generations), count(attempts), count(accepted), count(outputs), units, cost, cost_shift]
    }
}

impl TryFrom<[i64; 7]> for Tally {
    type Error = std::num::TryFromIntError;

    fn try_from(numbers: [i64; 7]) -> Result<Self, Self::Error> {
        let [generations, attempts, accepted, outputs, units, cost, cost_shift] = numbers;
        Ok(Self {
            generations: generations.try_into()?,
            attempts: attempts.try_into()?,
            accepted: accepted.try_into()?,
            outputs: outputs.try_into()?,
            units,
            cost,
            cost_shift,
        })
    }
}
