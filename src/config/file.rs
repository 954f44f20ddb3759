//! The configuration file: YAML, read into one list of keys and texts, each with its line.
//!
//! Knows which keys there are, and nothing of what they mean. Scalars stay the text that stands in the file, so that every layer is read by
//! the same grammar; nested keys are joined by dots.

use std::path::Path;

use serde::Deserialize;

use super::{Given, Origin, Problem};
use crate::yaml::{self, OneOrMany, Placed, Places, Severity, TEXT_BYTES_MAX};

/// One setting as it stands in the file; how many values it takes is the setting's to say.
type Values = Option<OneOrMany<Placed<String>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    instance: Values,
    listen: Values,
    http: Values,
    health: Values,
    tls: Option<RawTls>,
    access: Values,
    metrics_public: Values,
    catalog: Values,
    catalog_reload: Values,
    store: Values,
    redis: Option<RawRedis>,
    journal: Values,
    journal_max: Values,
    insecure: Values,
    reservation: Option<RawReservation>,
    retention: Values,
    events: Option<RawEvents>,
    costs: Option<RawCosts>,
    drain_deadline: Values,
    request_timeout: Values,
    limits: Option<RawLimits>,
    log: Option<RawLog>,
    telemetry: Option<RawTelemetry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    cert: Values,
    key: Values,
    client_ca: Values,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRedis {
    username: Values,
    password: Values,
    password_file: Values,
    sentinel_username: Values,
    sentinel_password: Values,
    sentinel_password_file: Values,
    tls_ca: Values,
    tls_cert: Values,
    tls_key: Values,
    connect_timeout: Values,
    command_timeout: Values,
    partitions: Values,
    calls_in_flight: Values,
    sweep_interval: Values,
    on_loss: Values,
    replicas: Values,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReservation {
    ttl: Values,
    ttl_max: Values,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEvents {
    retention: Values,
    max: Values,
    patience: Values,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCosts {
    retention: Values,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    message_bytes: Values,
    streams_per_connection: Values,
    connections: Values,
    connection_age: Values,
    opening: Values,
    calls: Values,
    queue: Values,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    filter: Values,
    format: Values,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTelemetry {
    cost_log: Values,
}

/// Reads a file. What cannot be read is added to `problems`; what can be is returned all the same.
pub fn read(path: &Path, problems: &mut Vec<Problem>) -> Vec<Given> {
    let unreadable = |message: String| Problem::new("", Origin::File { path: path.to_owned(), line: 0 }, &message);
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > TEXT_BYTES_MAX as u64 => {
            problems.push(unreadable(format!("too long: {} bytes; at most {TEXT_BYTES_MAX} are read", metadata.len())));
            return Vec::new();
        }
        _ => {}
    }
    match std::fs::read_to_string(path) {
        Ok(text) => flatten(path, &text, problems),
        Err(error) => {
            problems.push(unreadable(format!("cannot read the configuration: {error}")));
            Vec::new()
        }
    }
}

fn flatten(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Vec<Given> {
    if says_nothing(text) {
        return Vec::new();
    }
    let read = yaml::read::<RawConfig>(text);
    for problem in read.problems.into_iter().filter(|problem| problem.severity == Severity::Error) {
        let origin = Origin::File { path: path.to_owned(), line: problem.line };
        problems.push(Problem { key: problem.path, origin, message: problem.message, hint: problem.hint });
    }
    read.value.map(|raw| raw.given(path, &read.places)).unwrap_or_default()
}

/// A file may hold nothing but comments.
fn says_nothing(text: &str) -> bool {
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with('#') || line == "---")
}

impl RawConfig {
    fn given(self, path: &Path, places: &Places) -> Vec<Given> {
        let mut all = vec![
            ("instance", self.instance),
            ("listen", self.listen),
            ("http", self.http),
            ("health", self.health),
            ("access", self.access),
            ("metrics_public", self.metrics_public),
            ("catalog", self.catalog),
            ("catalog_reload", self.catalog_reload),
            ("store", self.store),
            ("journal", self.journal),
            ("journal_max", self.journal_max),
            ("insecure", self.insecure),
            ("retention", self.retention),
            ("drain_deadline", self.drain_deadline),
            ("request_timeout", self.request_timeout),
        ];
        if let Some(tls) = self.tls {
            all.extend([("tls.cert", tls.cert), ("tls.key", tls.key), ("tls.client_ca", tls.client_ca)]);
        }
        if let Some(redis) = self.redis {
            all.extend([
                ("redis.username", redis.username),
                ("redis.password", redis.password),
                ("redis.password_file", redis.password_file),
                ("redis.sentinel_username", redis.sentinel_username),
                ("redis.sentinel_password", redis.sentinel_password),
                ("redis.sentinel_password_file", redis.sentinel_password_file),
                ("redis.tls_ca", redis.tls_ca),
                ("redis.tls_cert", redis.tls_cert),
                ("redis.tls_key", redis.tls_key),
                ("redis.connect_timeout", redis.connect_timeout),
                ("redis.command_timeout", redis.command_timeout),
                ("redis.partitions", redis.partitions),
                ("redis.calls_in_flight", redis.calls_in_flight),
                ("redis.sweep_interval", redis.sweep_interval),
                ("redis.on_loss", redis.on_loss),
                ("redis.replicas", redis.replicas),
            ]);
        }
        if let Some(reservation) = self.reservation {
            all.extend([("reservation.ttl", reservation.ttl), ("reservation.ttl_max", reservation.ttl_max)]);
        }
        if let Some(costs) = self.costs {
            all.push(("costs.retention", costs.retention));
        }
        if let Some(events) = self.events {
            all.extend([("events.retention", events.retention), ("events.max", events.max), ("events.patience", events.patience)]);
        }
        if let Some(limits) = self.limits {
            all.extend([
                ("limits.message_bytes", limits.message_bytes),
                ("limits.streams_per_connection", limits.streams_per_connection),
                ("limits.connections", limits.connections),
                ("limits.connection_age", limits.connection_age),
                ("limits.opening", limits.opening),
                ("limits.calls", limits.calls),
                ("limits.queue", limits.queue),
            ]);
        }
        if let Some(log) = self.log {
            all.extend([("log.filter", log.filter), ("log.format", log.format)]);
        }
        if let Some(telemetry) = self.telemetry {
            all.push(("telemetry.cost_log", telemetry.cost_log));
        }
        let given = all.into_iter().filter_map(|(key, values)| {
            let OneOrMany(values) = values?;
            let line = places.line(values.first()?.at);
            let values = values.into_iter().map(|placed| placed.value).collect();
            Some(Given { key: key.to_owned(), values, origin: Origin::File { path: path.to_owned(), line } })
        });
        given.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::SETTINGS;
    use super::*;

    type Read = (Vec<(String, Vec<String>, usize)>, Vec<(String, usize)>);

    /// What was given and what was wrong, each with its line.
    fn read_text(text: &str) -> Read {
        let line = |origin: &Origin| if let Origin::File { line, .. } = origin { *line } else { usize::MAX };
        let mut problems = Vec::new();
        let given = flatten(Path::new("f.yaml"), text, &mut problems);
        let given = given.into_iter().map(|given| (given.key, given.values, line(&given.origin))).collect();
        (given, problems.into_iter().map(|problem| (problem.key, line(&problem.origin))).collect())
    }

    #[test]
    fn scalars_keep_their_text_and_their_line() {
        let (mut given, problems) =
            read_text("# comment\ninsecure: no\nlimits:\n  queue: 0x10\nstore: \"memory:\"\nlisten:\n  - a:1\n  - 'b:2'\n");
        assert_eq!(problems, []);
        given.sort();
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            given,
            [
                ("insecure".to_owned(), texts(&["no"]), 2),
                ("limits.queue".to_owned(), texts(&["0x10"]), 4),
                ("listen".to_owned(), texts(&["a:1", "b:2"]), 7),
                ("store".to_owned(), texts(&["memory:"]), 5),
            ]
        );
    }

    #[test]
    fn every_problem_has_its_line_and_the_rest_is_still_read() {
        let (given, problems) =
            read_text("lisen: a\nstore:\nlog:\n  format: json\n  colour: 1\nlimits: 5\ncatalog: {a: b}\nretention: 1d\n");
        assert_eq!(given.iter().map(|(key, ..)| key.as_str()).collect::<Vec<_>>(), ["retention", "log.format"]);
        let expected = [("lisen", 1), ("store", 2), ("log.colour", 5), ("limits", 6), ("catalog", 7)];
        assert_eq!(problems, expected.map(|(key, line)| (key.to_owned(), line)));
    }

    #[test]
    fn what_is_no_configuration_is_refused_with_its_line() {
        for (text, line) in [
            ("a: [1\n", 2),
            ("- a\n", 1),
            ("text\n", 1),
            ("instance: a\ninstance: b\n", 2),
            ("instance: a\n---\ninstance: b\n", 2),
            ("log:\n\tformat: json\n", 2),
        ] {
            let (given, problems) = read_text(text);
            assert!(given.len() <= 1, "{text:?}");
            assert_eq!(problems.iter().map(|(_, line)| *line).collect::<Vec<_>>(), [line], "{text:?}");
        }
    }

    #[test]
    fn every_setting_can_be_given_in_the_file() {
        for setting in &SETTINGS {
            let text = match setting.key.split_once('.') {
                Some((group, name)) => format!("{group}:\n  {name}: value\n"),
                None => format!("{}: value\n", setting.key),
            };
            let line = text.lines().count();
            assert_eq!(read_text(&text), (vec![(setting.key.to_owned(), vec!["value".to_owned()], line)], Vec::new()));
        }
    }

    #[test]
    fn an_empty_file_gives_nothing() {
        for text in ["", "\n", "# nothing\n", "---\n", "\u{feff}"] {
            assert_eq!(read_text(text), (Vec::new(), Vec::new()), "{text:?}");
        }
    }
}
