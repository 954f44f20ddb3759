//! One attempt that has ended, whichever file told of it.

use jiff::Timestamp;

use crate::domain::amount::Micros;
use crate::domain::event::CostEvent;
use crate::domain::ids::{ActionId, PlanId, ReservationId, SubjectId, Target, TierId, UserId};
use crate::domain::price_book::CostBasis;
use crate::domain::reservation::{Labels, Outcome};
use crate::domain::settlement::Billing;
use crate::domain::work::Work;

/// What a cost event tells of an attempt and its reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempted {
    pub subject: SubjectId,
    pub user: Option<UserId>,
    /// The plan that decided.
    pub plan: Option<PlanId>,
    pub reservation: ReservationId,
    pub action: ActionId,
    /// Position inside the reservation, from 1.
    pub number: u32,
    pub target: Option<Target>,
    pub planned: Option<Target>,
    pub tier: Option<TierId>,
    /// Where a retry might have gone; only a ledger tells.
    pub fallbacks: Vec<Target>,
    pub outcome: Outcome,
    /// What was asked for; from a cost event, what was delivered where something was.
    pub asked: Work,
    pub delivered: Option<Work>,
    /// `None` where only a cost is known, or nothing at all.
    pub billed: Option<Work>,
    pub units: Micros,
    pub overage: Micros,
    pub cost: Micros,
    pub basis: CostBasis,
    pub currency: Box<str>,
    /// The prices of this instant applied.
    pub judged_at: Timestamp,
    pub start: Timestamp,
    pub end: Timestamp,
    /// Known to have been booked without a hold.
    pub recorded: bool,
    pub labels: Labels,
}

impl Attempted {
    /// Of a change of a ledger.
    pub(super) fn of(event: &CostEvent, recorded: bool) -> Self {
        let (detail, attempt) = (event.detail(), &event.attempt);
        Self {
            subject: event.subject.clone(),
            user: detail.user.clone(),
            plan: detail.plan.clone(),
            reservation: event.row.id.clone(),
            action: detail.action.clone(),
            number: attempt.number,
            target: attempt.target.clone(),
            planned: detail.planned_target.clone(),
            tier: attempt.tier.clone(),
            fallbacks: detail.fallbacks.clone(),
            // An attempt that has ended has an outcome; were it missing, nobody would know how it ended.
            outcome: attempt.outcome.unwrap_or(Outcome::Unknown),
            asked: attempt.asked.as_ref().unwrap_or(&detail.work).clone(),
            delivered: attempt.delivered.clone(),
            billed: attempt.billed.clone(),
            units: attempt.units,
            overage: event.overage,
            cost: attempt.cost,
            basis: attempt.basis,
            currency: detail.currency.clone(),
            judged_at: detail.judged_at,
            start: attempt.start_time,
            end: event.time,
            recorded,
            labels: detail.labels.clone(),
        }
    }

    /// What the provider billed: a cost where it told one, else the work.
    pub(super) fn billing(&self) -> Billing {
        let told = self.basis == CostBasis::Billed;
        Billing { work: self.billed.clone(), cost: told.then_some(self.cost) }
    }
}
