//! The overview: what it costs, where it failed over, what was denied, and how this sidecar is.

use askama::Template;
use serde::Serialize;

use super::costs::{self, Costs};
use super::problem::Told;
use super::query::Span;
use super::shown::{Column, Count, Moment, Number, attempt_reason, target, text};
use super::sidecar::{Holds, Sidecar, denials};
use super::{Frame, Operations, Section};
use crate::domain::event::CostEvent;
use crate::domain::summary::outcome_name;
use crate::service::CHANGES_LOOKED_AT_MAX;

/// Failovers that are told one by one.
const FAILOVERS_MAX: usize = 12;

#[derive(Debug, Serialize)]
pub(super) struct Overview {
    pub time: Moment,
    pub span: Span,
    pub sidecar: Sidecar,
    pub costs: Told<Costs>,
    /// The last ones, newest first.
    pub failovers: Told<Vec<Failover>>,
    /// By reason, since this process runs.
    pub denials: Vec<Count>,
    pub holds: Holds,
}

/// An attempt that ran elsewhere than planned, and ended.
#[derive(Debug, Serialize)]
pub(super) struct Failover {
    pub time: Moment,
    pub subject: String,
    pub generation: String,
    pub action: String,
    pub reason: &'static str,
    pub planned: String,
    pub actual: String,
    pub tier: String,
    pub outcome: &'static str,
    pub currency: String,
    pub cost: Number,
    /// `None`: the planned target has no price.
    pub cost_shift: Option<Number>,
}

#[derive(Template)]
#[template(path = "operations/overview.html", config = "src/http/askama.toml")]
pub(super) struct OverviewPage {
    pub frame: Frame,
    pub span: Span,
    pub overview: Overview,
}

impl Overview {
    pub(super) async fn read(operations: &Operations, span: Span) -> Self {
        let service = &operations.service;
        let costs = operations.ask(costs::read(service, span));
        let failovers = operations.ask(async { Ok(told(&service.recent_failovers(FAILOVERS_MAX).await?)) });
        let (costs, failovers) = tokio::join!(costs, failovers);
        let reading = operations.telemetry.metrics().read();
        Self {
            time: Moment::of(service.now()),
            span,
            sidecar: Sidecar::of(operations, &reading),
            costs: costs.into(),
            failovers: failovers.into(),
            denials: denials(&reading),
            holds: Holds::of(&reading),
        }
    }

    /// How far back failovers are looked for.
    fn changes_looked_at() -> usize {
        CHANGES_LOOKED_AT_MAX
    }

    fn denied(&self) -> f64 {
        self.denials.iter().map(|denial| denial.number).sum()
    }
}

fn told(events: &[CostEvent]) -> Vec<Failover> {
    let mut failovers: Vec<Failover> = events.iter().map(Failover::of).collect();
    Column::Money.align(failovers.iter_mut().map(|failover| &mut failover.cost));
    Column::Money.align(failovers.iter_mut().filter_map(|failover| failover.cost_shift.as_mut()));
    failovers
}

impl Failover {
    fn of(event: &CostEvent) -> Self {
        let (detail, attempt) = (event.detail(), &event.attempt);
        Self {
            time: Moment::of(event.time),
            subject: event.subject.to_string(),
            generation: detail.generation.to_string(),
            action: detail.action.to_string(),
            reason: attempt_reason(attempt.reason),
            planned: target(detail.planned_target.as_ref()),
            actual: target(attempt.target.as_ref()),
            tier: text(attempt.tier.as_ref()),
            outcome: attempt.outcome.map_or("", outcome_name),
            currency: detail.currency.to_string(),
            cost: attempt.cost.into(),
            cost_shift: attempt.cost_shift_micros().map(Number::micros),
        }
    }
}
