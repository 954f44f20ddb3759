//! Who was turned away, and why.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use crate::telemetry::names::{self, Metric};

/// Why a call, a page or a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody knows who calls; by the name of the reason.
    Unknown(&'static str),
    /// It is known who calls, and that they may not; by the name of what they lack.
    Forbidden(&'static str),
    /// The connection did not say in time what it is.
    Slow,
    /// What it said is not what is spoken here, or its handshake failed.
    Foreign,
    /// Too many others were being opened.
    Crowded,
}

pub(super) struct Doors {
    calls: Counter<u64>,
    connections: Counter<u64>,
}

impl Refusal {
    /// All there are.
    const ALL: [Self; 10] = [
        Self::Unknown("no_credentials"),
        Self::Unknown("malformed"),
        Self::Unknown("unknown_peer"),
        Self::Unknown("token_expired"),
        Self::Unknown("token_invalid"),
        Self::Forbidden("scope"),
        Self::Forbidden("subject"),
        Self::Slow,
        Self::Foreign,
        Self::Crowded,
    ];

    fn reason(self) -> &'static str {
        match self {
            Self::Unknown(reason) | Self::Forbidden(reason) => reason,
            Self::Slow => "slow",
            Self::Foreign => "foreign",
            Self::Crowded => "crowded",
        }
    }
}

impl Doors {
    pub(super) fn register(meter: &Meter) -> Self {
        let counter = |metric: &Metric| meter.u64_counter(metric.name).with_description(metric.about).with_unit(metric.unit).build();
        let doors = Self { calls: counter(&names::REFUSED), connections: counter(&names::CONNECTIONS_REFUSED) };
        // Who looks for a rise must have seen a zero.
        Refusal::ALL.into_iter().for_each(|refusal| doors.add(0, refusal));
        doors
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.add(1, refusal);
    }

    fn add(&self, count: u64, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Unknown(_) | Refusal::Forbidden(_) => &self.calls,
            Refusal::Slow | Refusal::Foreign | Refusal::Crowded => &self.connections,
        };
        counter.add(count, &[KeyValue::new("reason", refusal.reason())]);
    }
}
