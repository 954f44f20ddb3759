//! What Envoy asks, and what comes of it.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use crate::telemetry::names;

/// The filter of Envoy that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvoyFilter {
    /// A descriptor of the rate limit filter.
    RateLimit,
    /// An HTTP request of the external processor filter.
    Processor,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvoyResult {
    Allowed,
    Denied,
    /// Its values make no request.
    Invalid,
    /// No mapping of the catalog fits it.
    Unmapped,
    /// It passed because there was no answer, and its route is open then.
    FailedOpen,
    /// There was no answer.
    Failed,
}

impl EnvoyFilter {
    const ALL: [Self; 2] = [Self::RateLimit, Self::Processor];

    fn name(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limit",
            Self::Processor => "processor",
        }
    }
}

impl EnvoyResult {
    const ALL: [Self; 6] = [Self::Allowed, Self::Denied, Self::Invalid, Self::Unmapped, Self::FailedOpen, Self::Failed];

    fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Unmapped => "unmapped",
            Self::FailedOpen => "failed_open",
            Self::Failed => "failed",
        }
    }
}

pub(super) struct Envoy(Counter<u64>);

impl Envoy {
    pub(super) fn register(meter: &Meter) -> Self {
        let metric = &names::ENVOY;
        let envoy = Self(meter.u64_counter(metric.name).with_description(metric.about).with_unit(metric.unit).build());
        // Who looks for a rise must have seen a zero.
        EnvoyFilter::ALL.into_iter().for_each(|filter| EnvoyResult::ALL.into_iter().for_each(|result| envoy.add(0, filter, result)));
        envoy
    }

    pub(super) fn asked(&self, filter: EnvoyFilter, result: EnvoyResult) {
        self.add(1, filter, result);
    }

    fn add(&self, number: u64, filter: EnvoyFilter, result: EnvoyResult) {
        self.0.add(number, &[KeyValue::new("filter", filter.name()), KeyValue::new("result", result.name())]);
    }
}
