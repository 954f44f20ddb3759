//! What everything is called: attributes of spans and log records, metrics and their labels. `docs/telemetry.md` says the same, and a test
//! holds them together.
//!
//! Names that OpenTelemetry has defined are spelled out here: its crate of constants has deprecated those of generative AI, which have
//! moved to a repository of their own.

/// The version of OpenTelemetry's conventions that the names below hold to.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.45.0";

/// The scope of every span, metric and record, and the service's name where `OTEL_SERVICE_NAME` gives no other.
pub const SCOPE: &str = "genquota";

/// The event of an OTLP log record that is a cost event.
pub const COST_EVENT: &str = "genquota.cost";

/// What every call is.
pub const RPC_SYSTEM: &str = "grpc";

/// What stands in a label for what there is none of, and for what no catalog knows.
pub const NONE: &str = "none";
pub const OTHER: &str = "other";
/// OpenTelemetry's own word for a method that is not in the contract.
pub const OTHER_METHOD: &str = "_OTHER";

/// Attributes of spans and log records.
pub mod attribute {
    pub const RPC_SYSTEM: &str = "rpc.system.name";
    pub const RPC_METHOD: &str = "rpc.method";
    pub const RPC_STATUS: &str = "rpc.response.status_code";
    pub const ERROR_TYPE: &str = "error.type";

    pub const PROVIDER: &str = "gen_ai.provider.name";
    pub const MODEL: &str = "gen_ai.request.model";
    pub const OPERATION: &str = "gen_ai.operation.name";
    pub const OUTPUTS_ASKED: &str = "gen_ai.request.choice.count";

    pub const CALLER: &str = "genquota.caller";
    pub const SUBJECT: &str = "genquota.subject";
    pub const RESERVATION: &str = "genquota.reservation.id";
    pub const GENERATION: &str = "genquota.generation.id";
    pub const DECISION: &str = "genquota.decision";
    pub const REPLAYED: &str = "genquota.replayed";
    pub const DENIAL_REASON: &str = "genquota.denial.reason";
    pub const DENIAL_LIMIT: &str = "genquota.denial.limit";
    pub const PLAN: &str = "genquota.plan";
    pub const METER: &str = "genquota.meter";
    pub const TIER: &str = "genquota.tier";
    pub const UNITS: &str = "genquota.units";
    pub const UNITS_OVERAGE: &str = "genquota.units.overage";
    pub const UNITS_REFUNDED: &str = "genquota.units.refunded";
    pub const COST: &str = "genquota.cost";
    pub const COST_PLANNED: &str = "genquota.cost.planned";
    pub const COST_SHIFT: &str = "genquota.cost.shift";
    pub const CURRENCY: &str = "genquota.cost.currency";
    pub const PLANNED_PROVIDER: &str = "genquota.planned.provider";
    pub const PLANNED_MODEL: &str = "genquota.planned.model";
    pub const FAILOVER: &str = "genquota.failover";
    pub const ATTEMPT: &str = "genquota.attempt.number";
    pub const ATTEMPT_REASON: &str = "genquota.attempt.reason";
    pub const OUTCOME: &str = "genquota.attempt.outcome";
    pub const LATE: &str = "genquota.late";
    pub const CATALOG: &str = "genquota.catalog.version";
    pub const STORE_OPERATION: &str = "genquota.store.operation";
    pub const EVENT: &str = "genquota.event.sequence";

    /// All of them, in the order of the document.
    pub const ALL: [&str; 36] = [
        RPC_SYSTEM,
        RPC_METHOD,
        RPC_STATUS,
        ERROR_TYPE,
        PROVIDER,
        MODEL,
        OPERATION,
        OUTPUTS_ASKED,
        CALLER,
        SUBJECT,
        RESERVATION,
        GENERATION,
        DECISION,
        REPLAYED,
        DENIAL_REASON,
        DENIAL_LIMIT,
        PLAN,
        METER,
        TIER,
        UNITS,
        UNITS_OVERAGE,
        UNITS_REFUNDED,
        COST,
        COST_PLANNED,
        COST_SHIFT,
        CURRENCY,
        PLANNED_PROVIDER,
        PLANNED_MODEL,
        FAILOVER,
        ATTEMPT,
        ATTEMPT_REASON,
        OUTCOME,
        LATE,
        CATALOG,
        STORE_OPERATION,
        EVENT,
    ];
}

/// How a metric adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// As OTLP has it.
    pub name: &'static str,
    pub kind: Kind,
    /// In UCUM; braces hold what is counted. Empty: money, whose currency is a label.
    pub unit: &'static str,
    /// One sentence, shown as the help text of `/metrics`.
    pub about: &'static str,
    pub labels: &'static [&'static str],
}

impl Metric {
    /// As Prometheus has it: `genquota.store.duration` in seconds is `genquota_store_duration_seconds`.
    pub fn prometheus(&self) -> String {
        let unit = if self.unit == "s" { "_seconds" } else { "" };
        let suffix = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{unit}{suffix}", self.name.replace('.', "_"))
    }
}

/// Labels of what was closed: where it ran, for what, and how it ended.
const ATTEMPT_LABELS: &[&str] = &["provider", "model", "tier", "action", "plan", "outcome", "reason"];
const MONEY_LABELS: &[&str] = &["provider", "model", "tier", "action", "plan", "outcome", "reason", "currency"];
/// Labels of what is looked at by target alone: few, so that every series is there from the start, at zero.
const TARGET_LABELS: &[&str] = &["provider", "model", "tier", "currency"];

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal [$unit:literal] $labels:expr, $about:literal;)+) => {
        $(pub const $constant: Metric = Metric { name: $name, kind: Kind::$kind, unit: $unit, about: $about, labels: $labels };)+

        /// All metrics, in the order of the document.
        pub const METRICS: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    GENERATIONS: Counter "genquota.generations" ["{generation}"] ATTEMPT_LABELS, "Generations that ended, by their last attempt.";
    ATTEMPTS: Counter "genquota.attempts" ["{attempt}"] ATTEMPT_LABELS, "Attempts that ended.";
    OUTPUTS: Counter "genquota.outputs" ["{output}"] ATTEMPT_LABELS, "Outputs that were accepted.";
    UNITS: Counter "genquota.units" ["{unit}"] ATTEMPT_LABELS, "Units charged, of the meter of the action.";
    OVERAGE: Counter "genquota.overage" ["{unit}"] ATTEMPT_LABELS, "Units charged that no source could pay.";
    REFUNDED: Counter "genquota.refunded" ["{unit}"] ATTEMPT_LABELS, "Units given back by refunds, by the attempt they were charged for.";
    COST: Counter "genquota.cost" [""] MONEY_LABELS, "What providers bill for attempts that ended, in the currency of the label.";
    COST_SHIFT_UP: Counter "genquota.cost_shift.up" [""] TARGET_LABELS, "Cost above that of the planned targets, where it was above.";
    COST_SHIFT_DOWN: Counter "genquota.cost_shift.down" [""] TARGET_LABELS, "Cost below that of the planned targets, where it was below.";
    FAILOVERS: Counter "genquota.failovers" ["{attempt}"] TARGET_LABELS, "Attempts that ran on another target than planned.";
    UNPRICED: Counter "genquota.unpriced" ["{request}"] &["action"], "Requests for a target without a price, refused or not.";
    DENIALS: Counter "genquota.denials" ["{denial}"] &["reason", "action"], "Requests denied, by the reason that names the denial.";
    HELD: Counter "genquota.reservations.held" ["{reservation}"] &["action"], "Reservations held.";
    SETTLED: Counter "genquota.reservations.settled" ["{reservation}"] &["action"], "Held reservations that were committed or released.";
    EXPIRED: Counter "genquota.reservations.expired" ["{reservation}"] &["action"], "Held reservations that nobody settled in time.";
    LATE: Counter "genquota.reservations.late" ["{reservation}"] &["action"], "Reservations committed after they had expired.";
    ENVOY: Counter "genquota.envoy.requests" ["{request}"] &["filter", "result"], "Descriptors and HTTP requests that Envoy asked about, by what came of them.";
    CALLS: Histogram "rpc.server.call.duration" ["s"] &["rpc.system.name", "rpc.method", "rpc.response.status_code"], "How long calls took; a stream, until it began.";
    CALLS_IN_FLIGHT: Gauge "genquota.calls.in_flight" ["{call}"] &[], "Calls in flight, probes and reflection not among them.";
    REFUSED: Counter "genquota.refused" ["{call}"] &["reason"], "Calls and pages refused because of who asked for them.";
    CONNECTIONS_REFUSED: Counter "genquota.connections.refused" ["{connection}"] &["reason"], "Connections that were closed before they could call.";
    STORE_DURATION: Histogram "genquota.store.duration" ["s"] &["operation"], "How long the store took to answer, or to fail.";
    STORE_ERRORS: Counter "genquota.store.errors" ["{error}"] &["operation", "error"], "Times the store gave no answer.";
    STORE_BATCH: Histogram "genquota.store.batch" ["{operation}"] &[], "Operations that the store took up together.";
    STORE_QUEUE: Gauge "genquota.store.queue" ["{operation}"] &[], "Operations that wait for the store.";
    JOURNAL_QUEUED: Gauge "genquota.journal.queued" ["{entry}"] &[], "Commands in the journal that wait for the store.";
    JOURNAL_DEAD: Gauge "genquota.journal.dead" ["{entry}"] &[], "Commands in the journal that the store would not take: a person must look at them.";
    STREAM_LAG: Gauge "genquota.stream.lag" ["s"] &[], "For how long the slowest subscriber of cost events has not been at the end.";
    CATALOG_INFO: Gauge "genquota.catalog.info" [""] &["version"], "The catalog in force; always 1.";
    CATALOG_LOADED: Gauge "genquota.catalog.loaded" ["s"] &[], "When the catalog in force was loaded, in seconds since 1970.";
    CATALOG_STALE: Gauge "genquota.catalog.stale" [""] &[], "1 while the catalog's file says something else than what is in force, else 0.";
    CATALOG_RELOADS: Counter "genquota.catalog.reloads" ["{reload}"] &["result"], "Reloads of the catalog, by what came of them.";
    ACCESS_STALE: Gauge "genquota.access.stale" [""] &[], "1 while the access file says something else than what is in force, else 0.";
    CERTIFICATE_STALE: Gauge "genquota.certificate.stale" [""] &[], "1 while the files of TLS are other than what is in force, else 0.";
    CERTIFICATE_EXPIRY: Gauge "genquota.certificate.expiry" ["s"] &[], "When the certificate in force expires, in seconds since 1970.";
    BUILD_INFO: Gauge "genquota.build.info" [""] &["version", "revision"], "The program that runs; always 1.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions_of_both_worlds() {
        assert_eq!(STORE_DURATION.prometheus(), "genquota_store_duration_seconds");
        assert_eq!(COST.prometheus(), "genquota_cost_total");
        assert_eq!(JOURNAL_DEAD.prometheus(), "genquota_journal_dead");
        for metric in METRICS {
            assert!(metric.name.starts_with("genquota.") || metric.name.starts_with("rpc."), "{}", metric.name);
            assert!(!metric.name.ends_with("total") && metric.about.ends_with('.'), "{}", metric.name);
        }
    }

    #[test]
    fn no_name_is_given_twice_and_no_label_says_who() {
        let names: BTreeSet<_> = METRICS.iter().map(Metric::prometheus).collect();
        assert_eq!(names.len(), METRICS.len());
        assert_eq!(attribute::ALL.iter().collect::<BTreeSet<_>>().len(), attribute::ALL.len());
        for label in METRICS.iter().flat_map(|metric| metric.labels) {
            assert!(!["subject", "user", "reservation", "generation"].contains(label), "{label}");
        }
    }
}
