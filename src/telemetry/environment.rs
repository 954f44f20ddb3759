//! The `OTEL_*` variables that OpenTelemetry's SDK does not read by itself: whether each signal is exported, and by which protocol.
//!
//! Read in one function, from whatever is handed in. Where to, how often, with which headers, how much is sampled and what the service is
//! called is read by the SDK and its exporters.

use std::fmt;

/// One kind of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
}

/// How OTLP travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    Http,
}

/// What is exported, and what of the callers' context is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// None: not exported.
    pub traces: Option<Protocol>,
    pub metrics: Option<Protocol>,
    pub logs: Option<Protocol>,
    /// Whether calls join the trace that their metadata names.
    pub takes_context: bool,
    /// Values that mean nothing to us, each with its variable. They are ignored.
    pub ignored: Vec<String>,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        })
    }
}

impl Environment {
    /// Nothing is exported; calls join the trace of their caller.
    pub fn silent() -> Self {
        Self { traces: None, metrics: None, logs: None, takes_context: true, ignored: Vec::new() }
    }

    /// Of this process.
    pub fn of_process() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// A signal is exported if its exporter is `otlp`, or if it has an endpoint and its exporter is not said; the default of OpenTelemetry,
    /// to export to localhost always, would make every sidecar without a collector try for ever.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let mut environment = Self::silent();
        if let Some(propagators) = variable("OTEL_PROPAGATORS") {
            environment.takes_context = propagators.split(',').any(|name| name.trim() == "tracecontext");
            // Baggage is the caller's own; nothing here is called that it could be passed on to.
            let is_known = |name: &str| ["tracecontext", "baggage", "none"].contains(&name);
            for unknown in propagators.split(',').map(str::trim).filter(|name| !is_known(name)) {
                environment.ignored.push(format!("OTEL_PROPAGATORS: `{unknown}`"));
            }
        }
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return environment;
        }
        let ignored = &mut environment.ignored;
        environment.traces = export(Signal::Traces, &variable, ignored);
        environment.metrics = export(Signal::Metrics, &variable, ignored);
        environment.logs = export(Signal::Logs, &variable, ignored);
        environment
    }
}

/// How a signal is exported, if it is.
fn export(signal: Signal, variable: &impl Fn(&str) -> Option<String>, ignored: &mut Vec<String>) -> Option<Protocol> {
    let signal = signal.name();
    let exporter = format!("OTEL_{signal}_EXPORTER");
    let of_signal = |what: &str| format!("OTEL_EXPORTER_OTLP_{signal}_{what}");
    let of_all = |what: &str| format!("OTEL_EXPORTER_OTLP_{what}");
    let is_wanted = match variable(&exporter) {
        None => variable(&of_signal("ENDPOINT")).or_else(|| variable(&of_all("ENDPOINT"))).is_some(),
        Some(names) => {
            // `/metrics` is there whatever is said.
            let is_known = |name: &str| ["otlp", "none", "prometheus"].contains(&name);
            ignored.extend(names.split(',').map(str::trim).filter(|name| !is_known(name)).map(|name| format!("{exporter}: `{name}`")));
            names.split(',').any(|name| name.trim() == "otlp")
        }
    };
    let name = if variable(&of_signal("PROTOCOL")).is_some() { of_signal("PROTOCOL") } else { of_all("PROTOCOL") };
    let protocol = match variable(&name).as_deref() {
        None | Some("grpc") => Protocol::Grpc,
        Some("http/protobuf") => Protocol::Http,
        Some(other) => {
            ignored.push(format!("{name}: `{other}`"));
            Protocol::Grpc
        }
    };
    is_wanted.then_some(protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Environment {
        Environment::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn nothing_is_exported_unless_something_says_so() {
        assert_eq!(read(&[]), Environment::silent());
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Environment::silent());
        assert_eq!(read(&[("OTEL_SERVICE_NAME", "quota"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]), Environment::silent());
    }

    #[test]
    fn an_endpoint_exports_all_signals_or_its_own() {
        let all = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")]);
        assert_eq!((all.traces, all.metrics, all.logs), (Some(Protocol::Grpc), Some(Protocol::Grpc), Some(Protocol::Grpc)));
        let one = read(&[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://collector:4317")]);
        assert_eq!((one.traces, one.metrics, one.logs), (None, Some(Protocol::Grpc), None));
    }

    #[test]
    fn an_exporter_counts_more_than_an_endpoint() {
        let read = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "prometheus"),
            ("OTEL_LOGS_EXPORTER", "console,otlp"),
        ]);
        assert_eq!((read.traces, read.metrics, read.logs), (None, None, Some(Protocol::Grpc)));
        assert_eq!(read.ignored, ["OTEL_LOGS_EXPORTER: `console`"]);
        assert_eq!(self::read(&[("OTEL_TRACES_EXPORTER", "otlp")]).traces, Some(Protocol::Grpc));
    }

    #[test]
    fn the_protocol_of_a_signal_counts_more_than_that_of_all() {
        let read = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "carrier-pigeon"),
        ]);
        assert_eq!((read.traces, read.metrics, read.logs), (Some(Protocol::Grpc), Some(Protocol::Http), Some(Protocol::Grpc)));
        assert_eq!(read.ignored, ["OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: `carrier-pigeon`"]);
    }

    #[test]
    fn a_disabled_sdk_exports_nothing_and_still_takes_context() {
        let read = read(&[("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "otlp")]);
        assert_eq!(read, Environment::silent());
        assert!(!self::read(&[("OTEL_SDK_DISABLED", "0"), ("OTEL_TRACES_EXPORTER", "otlp")]).eq(&read));
    }

    #[test]
    fn propagators_say_whether_context_is_taken() {
        for (text, takes, ignored) in
            [("tracecontext,baggage", true, 0), ("baggage", false, 0), ("none", false, 0), ("b3, tracecontext", true, 1)]
        {
            let read = read(&[("OTEL_PROPAGATORS", text)]);
            assert_eq!((read.takes_context, read.ignored.len()), (takes, ignored), "{text}");
        }
    }
}
