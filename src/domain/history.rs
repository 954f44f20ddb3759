//! Generations: what a customer asked for, put together from all reservations that were made for it.

use std::sync::Arc;

use jiff::Timestamp;

use super::event;
use super::ids::{ActionId, GenerationId, MeterId, ReservationId, UserId};
use super::ledger::{HistoryPlace, Row, State};
use super::reservation::{Attempt, Labels};

/// Most attempts, and most reservations, that a generation tells: the newest. Its sums are of all.
pub const ATTEMPTS_MAX: usize = 1000;

/// One generation, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    pub id: GenerationId,
    /// As its first reservation says.
    pub user: Option<UserId>,
    pub action: ActionId,
    /// Of its newest reservation, like `settle_time`, `labels` and `currency`.
    pub state: State,
    /// That of its first reservation which counts anything; `None` where all are free.
    pub meter: Option<MeterId>,
    /// Micro-units of `meter` charged, overage included.
    pub units: i64,
    /// Micro-units of `currency` booked for closed attempts.
    pub cost: i64,
    pub currency: Box<str>,
    /// Oldest first.
    pub reservations: Vec<ReservationId>,
    /// Oldest first.
    pub attempts: Vec<Attempt>,
    /// When it began.
    pub create_time: Timestamp,
    /// `None` while its newest reservation is held.
    pub settle_time: Option<Timestamp>,
    pub labels: Labels,
}

impl Generation {
    /// Of all its reservations that are remembered. `None`: there are none, or they come to more than a number holds.
    pub fn of(mut rows: Vec<Arc<Row>>) -> Option<Self> {
        rows.sort_by(|a, b| (a.create_time, &a.id).cmp(&(b.create_time, &b.id)));
        let (first, newest) = (rows.first()?, rows.last()?);
        let meter = rows.iter().find_map(|row| row.detail.meter.clone());
        let currency = newest.detail.currency.clone();
        let (mut units, mut cost) = (0_i64, 0_i64);
        for row in &rows {
            if row.detail.meter == meter {
                units = units.checked_add(units_charged(row))?;
            }
            if row.detail.currency == currency {
                cost = cost.checked_add(row.detail.cost_committed()?.get())?;
            }
        }
        let mut attempts: Vec<Attempt> = rows.iter().rev().take(ATTEMPTS_MAX).rev().flat_map(|row| event::attempts(row)).collect();
        attempts.sort_by_key(|attempt| attempt.start_time);
        attempts.drain(..attempts.len().saturating_sub(ATTEMPTS_MAX));
        Some(Self {
            id: first.detail.generation.clone(),
            user: first.detail.user.clone(),
            action: first.detail.action.clone(),
            state: newest.state,
            meter,
            units,
            cost,
            currency,
            reservations: rows.iter().rev().take(ATTEMPTS_MAX).rev().map(|row| row.id.clone()).collect(),
            attempts,
            create_time: first.began,
            settle_time: newest.settle_time,
            labels: newest.detail.labels.clone(),
        })
    }

    /// Where its reservations begin in the history: what is told before this place is of other generations.
    pub fn place(&self) -> HistoryPlace {
        HistoryPlace::before_generation(self.create_time, self.id.clone())
    }

    /// About how large it is when it is told, in bytes.
    pub fn weight(&self) -> usize {
        let labels: usize = self.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
        512 + labels + 128 * self.reservations.len() + 512 * self.attempts.len()
    }
}

/// Micro-units that a reservation was charged, overage included and net of refunds: the one place where a history says so.
fn units_charged(row: &Row) -> i64 {
    if row.state == State::Committed { row.units_used().get() } else { 0 }
}
