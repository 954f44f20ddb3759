//! Cost events as OTLP log records, for whoever collects logs and not spans.
//!
//! One record for each attempt that ended, with the attributes of its span and what a span does not know. It is put into a bounded queue
//! and never waited for: the ledger's own events are the books, these are a copy.

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};

use super::attributes;
use super::names::{self, attribute};
use crate::domain::event::CostEvent;

/// Writes cost events.
pub(super) struct CostLog(SdkLogger);

impl CostLog {
    pub(super) fn new(provider: &SdkLoggerProvider) -> Self {
        let scope = InstrumentationScope::builder(names::SCOPE).with_schema_url(names::SCHEMA_URL).build();
        Self(provider.logger_with_scope(scope))
    }

    pub(super) fn write(&self, event: &CostEvent) {
        let mut record = self.0.create_log_record();
        record.set_event_name(names::COST_EVENT);
        record.set_timestamp(event.time.into());
        record.set_observed_timestamp(opentelemetry::time::now());
        record.set_severity_number(Severity::Info);
        record.set_severity_text("INFO");
        let text = format!("{} cost {} {}", event.detail().action, event.attempt.cost, event.detail().currency);
        record.set_body(AnyValue::from(text));
        let own = [
            attributes::text(attribute::SUBJECT, event.subject.as_str()),
            attributes::text(attribute::RESERVATION, event.row.id.as_str()),
            KeyValue::new(attribute::UNITS_OVERAGE, attributes::units(event.overage)),
            KeyValue::new(attribute::LATE, event.late),
            KeyValue::new(attribute::EVENT, i64::try_from(event.sequence).unwrap_or(i64::MAX)),
        ];
        let target = attributes::of_target(&event.detail().action, event.attempt.target.as_ref());
        for attribute in target.chain(attributes::of_attempt(event.detail(), &event.attempt)).chain(own) {
            record.add_attribute(attribute.key, any(attribute.value));
        }
        if let Some(trace) = event.attempt.trace {
            // Of the call that closed the attempt; which of its spans that was is not kept.
            record.set_trace_context(TraceId::from_bytes(trace.bytes()), SpanId::INVALID, None);
        }
        self.0.emit(record);
    }
}

/// A span's value as a record's; ours are plain.
fn any(value: Value) -> AnyValue {
    match value {
        Value::Bool(value) => value.into(),
        Value::I64(value) => value.into(),
        Value::F64(value) => value.into(),
        Value::String(value) => value.into(),
        other => other.to_string().into(),
    }
}
