//! What the handlers tell of their answers: attributes of the call's span, and the denials that no ledger knows.

use opentelemetry::KeyValue;
use opentelemetry::context::Context;
use opentelemetry::trace::{SpanRef, TraceContextExt as _};

use super::Telemetry;
use super::attributes::{self, decision, denial_reason};
use super::names::attribute;
use crate::domain::denial::{Denial, DenialReason};
use crate::domain::event::closed_attempt;
use crate::domain::ids::{ActionId, SubjectId, Target};
use crate::domain::ledger::Row;

/// A request for a generation that is being decided.
pub struct Asked<'t> {
    telemetry: &'t Telemetry,
    /// `None`: that of a reservation which is not known yet.
    action: Option<ActionId>,
    /// To try a request is no request.
    is_counted: bool,
}

impl Telemetry {
    /// Tells who calls.
    pub fn called_by(&self, name: &str) {
        recording(|span| span.set_attribute(attributes::text(attribute::CALLER, name)));
    }

    /// Tells what is asked for. `is_trial`: nothing will be held, whatever is decided.
    pub fn asked(&self, subject: &SubjectId, action: &ActionId, target: Option<&Target>, is_trial: bool) -> Asked<'_> {
        recording(|span| {
            span.set_attribute(attributes::text(attribute::SUBJECT, subject.as_str()));
            span.set_attributes(attributes::of_target(action, target));
        });
        Asked { telemetry: self, action: Some(action.clone()), is_counted: !is_trial }
    }

    /// Tells that a held reservation is to be tried again.
    pub fn asked_again(&self, subject: &SubjectId) -> Asked<'_> {
        recording(|span| span.set_attribute(attributes::text(attribute::SUBJECT, subject.as_str())));
        Asked { telemetry: self, action: None, is_counted: true }
    }

    /// Tells how a reservation stands after a call that settled, extended or recorded it.
    pub fn settled(&self, subject: &SubjectId, row: &Row, is_replayed: bool) {
        recording(|span| {
            let attempt = closed_attempt(row);
            span.set_attribute(attributes::text(attribute::SUBJECT, subject.as_str()));
            span.set_attributes(attributes::of_target(&row.detail.action, attempt.target.as_ref()));
            of_row(span, row, is_replayed);
        });
    }

    /// Tells what of a reservation has gone back, all its refunds together.
    pub fn refunded(&self, subject: &SubjectId, row: &Row, is_replayed: bool) {
        recording(|span| {
            span.set_attributes(attributes::of_target(&row.detail.action, row.detail.last_attempt().target.as_ref()));
            span.set_attributes([
                attributes::text(attribute::SUBJECT, subject.as_str()),
                attributes::text(attribute::RESERVATION, row.id.as_str()),
                KeyValue::new(attribute::DECISION, "refunded"),
                KeyValue::new(attribute::UNITS_REFUNDED, attributes::units(row.units_refunded())),
                KeyValue::new(attribute::REPLAYED, is_replayed),
            ]);
        });
    }

    /// Tells that a command waits in the journal.
    pub fn queued(&self) {
        recording(|span| span.set_attribute(KeyValue::new(attribute::DECISION, "queued")));
    }
}

impl Asked<'_> {
    /// Tells what was decided.
    pub fn decided(self, outcome: Result<&Row, &Denial>, is_replayed: bool) {
        match outcome {
            Ok(row) => recording(|span| {
                if self.action.is_none() {
                    span.set_attributes(attributes::of_target(&row.detail.action, row.detail.last_attempt().target.as_ref()));
                }
                span.set_attribute(attributes::outputs_asked(&row.detail));
                of_row(span, row, is_replayed);
            }),
            Err(denial) => self.denied(denial),
        }
    }

    fn denied(self, denial: &Denial) {
        let reason = denial.reason();
        if self.is_counted {
            let is_unpriced = denial.violations.iter().any(|violation| violation.reason == DenialReason::UnpricedTarget);
            self.telemetry.metrics.denied(reason, self.action.as_ref(), is_unpriced);
        }
        recording(|span| {
            let limit = denial.violations.first().map(|violation| attributes::text(attribute::DENIAL_LIMIT, &violation.name));
            let denied =
                [KeyValue::new(attribute::DECISION, "denied"), KeyValue::new(attribute::DENIAL_REASON, denial_reason::name(reason))];
            span.set_attributes(denied.into_iter().chain(limit));
        });
    }
}

fn of_row(span: &SpanRef<'_>, row: &Row, is_replayed: bool) {
    span.set_attributes(attributes::of_attempt(&row.detail, &closed_attempt(row)));
    span.set_attributes([
        attributes::text(attribute::RESERVATION, row.id.as_str()),
        KeyValue::new(attribute::DECISION, decision(row.state)),
        KeyValue::new(attribute::UNITS_OVERAGE, attributes::units(row.units_overage())),
        KeyValue::new(attribute::LATE, row.late),
        KeyValue::new(attribute::REPLAYED, is_replayed),
    ]);
}

/// Calls `tell` with the span of the call whose future is being polled, if it is recorded: what is not need not be put together.
pub(super) fn recording(tell: impl FnOnce(&SpanRef<'_>)) {
    Context::map_current(|context| {
        let span = context.span();
        if span.is_recording() {
            tell(&span);
        }
    });
}
