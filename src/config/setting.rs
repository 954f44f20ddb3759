//! The table of settings: one row each, with its key, its grammar and how it is shown.
//!
//! The key is the one name of a setting; the variable and the flag follow from it. A setting that is not in this table does not exist.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::{CatalogSource, Config, LogFormat, Origin, Problem, Secret, VARIABLE_PREFIX, format_duration, masked, parse_duration};
use crate::store::redis::OnLoss;

/// The longest any duration may be: a year. Beyond it stands a slip of the pen.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Below it no message of the contract fits; above it one message holds more than 64 items can.
const MESSAGE_BYTES: [usize; 2] = [1024, 4 << 20];
/// The most of anything that waits or is open at a time: far beyond what one process serves.
const COUNT_MAX: usize = 1 << 20;
/// Most events that can be kept: about a terabyte.
const EVENTS_MAX: usize = 1_000_000_000;
/// How often the catalog's file may be looked at: more often is no news sooner, only load.
const RELOAD_MIN: Duration = Duration::from_millis(100);
/// Longest name of an instance: it becomes part of every key of a shared store.
const INSTANCE_BYTES_MAX: usize = 32;
/// Most partitions of a ledger: enough for a cluster of a hundred primaries, and few enough to visit each every few seconds.
const PARTITIONS_MAX: usize = 1024;
/// Most calls in flight on a connection: beyond it they only wait in the server instead of here.
const CALLS_MAX: usize = 4096;
/// Most replicas that an answer can wait for: more than anybody has of one primary.
const REPLICAS_MAX: usize = 16;

/// One setting.
pub struct Setting {
    /// In the file: nested at the dots.
    pub key: &'static str,
    /// True: takes several values.
    pub many: bool,
    /// One line for people, without a final stop.
    pub about: &'static str,
    read: fn(&mut Config, &[String]) -> Result<(), Wrong>,
    show: fn(&Config) -> Vec<String>,
}

/// What is wrong with a value, wherever it stands.
#[derive(Debug)]
pub struct Wrong {
    message: String,
    hint: Option<&'static str>,
}

impl Wrong {
    fn new(message: impl ToString) -> Self {
        Self { message: message.to_string(), hint: None }
    }

    fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    /// Gives it a place.
    pub fn at(self, key: &str, origin: Origin) -> Problem {
        Problem { key: key.to_owned(), origin, message: self.message, hint: self.hint.map(str::to_owned) }
    }
}

impl Setting {
    /// `reservation.ttl_max` is `GENQUOTA_RESERVATION_TTL_MAX`.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.key.replace('.', "_").to_ascii_uppercase())
    }

    /// `reservation.ttl_max` is `--reservation-ttl-max`.
    pub fn flag(&self) -> String {
        format!("--{}", self.key.replace(['.', '_'], "-"))
    }

    /// Reads the values of one layer into `config`, which stays as it is if they are wrong.
    pub fn read(&self, config: &mut Config, values: &[String]) -> Result<(), Wrong> {
        match values.len() {
            0 => Err(Wrong::new("has no value")),
            2.. if !self.many => Err(Wrong::new(format!("takes one value: {} are given", values.len()))),
            _ => (self.read)(config, values),
        }
    }

    /// The values as they would be written; secrets are masked.
    pub fn show(&self, config: &Config) -> Vec<String> {
        (self.show)(config).iter().map(|value| masked(value)).collect()
    }
}

/// The setting of a key.
pub fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

macro_rules! duration {
    ($key:literal, $about:literal, $($field:ident).+) => {
        Setting {
            key: $key,
            many: false,
            about: $about,
            read: |config, values| { config.$($field).+ = duration(&values[0])?; Ok(()) },
            show: |config| vec![format_duration(config.$($field).+)],
        }
    };
}

macro_rules! count {
    ($key:literal, $about:literal, $($field:ident).+, $min:expr, $max:expr) => {
        Setting {
            key: $key,
            many: false,
            about: $about,
            read: |config, values| { config.$($field).+ = count(&values[0], $min, $max)?; Ok(()) },
            show: |config| vec![config.$($field).+.to_string()],
        }
    };
}

/// A text or path that may be absent; the empty one takes back what an earlier layer gave.
macro_rules! optional {
    ($key:literal, $about:literal, $($field:ident).+) => {
        Setting {
            key: $key,
            many: false,
            about: $about,
            read: |config, values| { config.$($field).+ = given(&values[0]).map(Into::into); Ok(()) },
            show: |config| vec![config.$($field).+.as_ref().map(|value| AsRef::<Path>::as_ref(value).display().to_string()).unwrap_or_default()],
        }
    };
}

macro_rules! toggle {
    ($key:literal, $about:literal, $($field:ident).+) => {
        Setting {
            key: $key,
            many: false,
            about: $about,
            read: |config, values| { config.$($field).+ = switch(&values[0])?; Ok(()) },
            show: |config| vec![config.$($field).+.to_string()],
        }
    };
}

macro_rules! secret {
    ($key:literal, $about:literal, $($field:ident).+) => {
        Setting {
            key: $key,
            many: false,
            about: $about,
            read: |config, values| { config.$($field).+ = given(&values[0]).map(Secret::new); Ok(()) },
            show: |config| vec![config.$($field).+.as_ref().map(|_| "***".to_owned()).unwrap_or_default()],
        }
    };
}

/// All settings, in the order in which they are shown.
pub static SETTINGS: [Setting; 50] = [
    Setting {
        key: "instance",
        many: false,
        about: "Name of the ledger this sidecar belongs to",
        read: |config, values| {
            config.instance = instance(&values[0])?;
            Ok(())
        },
        show: |config| vec![config.instance.clone()],
    },
    Setting {
        key: "listen",
        many: true,
        about: "Where gRPC is served: `HOST:PORT` (port 0: any free one) or `unix:PATH`",
        read: |config, values| {
            config.listen = values.iter().map(|value| address(value)).collect::<Result<_, _>>()?;
            Ok(())
        },
        show: |config| config.listen.iter().map(ToString::to_string).collect(),
    },
    Setting {
        key: "http",
        many: false,
        about: "Where health and metrics are served over HTTP: `HOST:PORT` or `off`",
        read: |config, values| {
            config.http = address(&values[0])?;
            Ok(())
        },
        show: |config| vec![config.http.to_string()],
    },
    Setting {
        key: "health",
        many: false,
        about: "Where gRPC health alone is served, in clear and to anybody, for probes: `HOST:PORT` or `off`",
        read: |config, values| {
            config.health = address(&values[0])?;
            Ok(())
        },
        show: |config| vec![config.health.to_string()],
    },
    optional!("tls.cert", "File with the certificate of every TCP listener, in PEM, read anew when it changes", tls.certificate),
    optional!("tls.key", "File with its key, in PEM, read anew when it changes", tls.key),
    optional!(
        "tls.client_ca",
        "File with the authorities of clients, in PEM: gRPC clients on TCP must show a certificate",
        tls.client_authorities
    ),
    optional!("access", "YAML file that says who may call, and what; read anew when it changes", access),
    toggle!("metrics_public", "Show metrics to anybody who reaches the HTTP port, whatever `access` says", metrics_public),
    Setting {
        key: "catalog",
        many: false,
        about: "File with meters, actions, plans, caps and prices; `bundled`: the one compiled in",
        read: |config, values| {
            config.catalog = catalog(&values[0])?;
            Ok(())
        },
        show: |config| match &config.catalog {
            CatalogSource::Bundled => vec!["bundled".to_owned()],
            CatalogSource::File(path) => vec![path.display().to_string()],
        },
    },
    Setting {
        key: "catalog_reload",
        many: false,
        about: "How often the files of catalog, access and TLS are looked at for a change; `off`: on SIGHUP only",
        read: |config, values| {
            config.catalog_reload = reload(&values[0])?;
            Ok(())
        },
        show: |config| vec![config.catalog_reload.map_or_else(|| "off".to_owned(), format_duration)],
    },
    Setting {
        key: "store",
        many: false,
        about: "What keeps the ledger: `embedded:DIR`, `memory:` to keep nothing, or a Redis or Valkey: `redis://HOST`, ...",
        read: |config, values| {
            config.store = address(&values[0])?;
            Ok(())
        },
        show: |config| vec![config.store.to_string()],
    },
    optional!("redis.username", "Whom to log in as at the servers", redis.login.username),
    secret!("redis.password", "Password at the servers", redis.login.password),
    optional!("redis.password_file", "File with it, read anew for every connection", redis.login.password_file),
    optional!("redis.sentinel_username", "Whom to log in as at the sentinels", redis.sentinel_login.username),
    secret!("redis.sentinel_password", "Password at the sentinels", redis.sentinel_login.password),
    optional!("redis.sentinel_password_file", "File with it, read anew for every connection", redis.sentinel_login.password_file),
    optional!("redis.tls_ca", "File with the certificates to trust instead of the Web's, in PEM", redis.tls.ca),
    optional!("redis.tls_cert", "File with the certificate to show, in PEM", redis.tls.certificate),
    optional!("redis.tls_key", "File with its key, in PEM", redis.tls.key),
    duration!("redis.connect_timeout", "The longest that connecting may take", redis.connect_timeout),
    duration!("redis.command_timeout", "The longest that a command may take", redis.command_timeout),
    count!("redis.partitions", "Into how many parts a new ledger is laid out; fixed from then on", redis.partitions, 1, PARTITIONS_MAX),
    count!("redis.calls_in_flight", "Most calls in flight on the connection", redis.calls_in_flight, 1, CALLS_MAX),
    duration!("redis.sweep_interval", "In which everything that is due is swept once", redis.sweep_interval),
    count!("redis.replicas", "How many replicas must have a change before it is answered", redis.replicas, 0, REPLICAS_MAX),
    Setting {
        key: "redis.on_loss",
        many: false,
        about: "When the store has lost data: `stop` until that is accepted, or `accept` it and go on",
        read: |config, values| {
            config.redis.on_loss = match values[0].as_str() {
                "stop" => OnLoss::Stop,
                "accept" => OnLoss::Accept,
                other => return Err(Wrong::new(format!("no such policy: `{other}`; known are `stop` and `accept`"))),
            };
            Ok(())
        },
        show: |config| {
            vec![match config.redis.on_loss {
                OnLoss::Stop => "stop".to_owned(),
                OnLoss::Accept => "accept".to_owned(),
            }]
        },
    },
    Setting {
        key: "journal",
        many: false,
        about: "Directory for what cannot be settled while a shared store is away, or `off`",
        read: |config, values| {
            config.journal = match values[0].as_str() {
                "" => return Err(Wrong::new("has no value").hint("a directory, or `off`")),
                "off" => None,
                directory => Some(directory.into()),
            };
            Ok(())
        },
        show: |config| vec![config.journal.as_ref().map_or_else(|| "off".to_owned(), |directory| directory.display().to_string())],
    },
    count!("journal_max", "Most entries in the journal", journal_max, 1, COUNT_MAX),
    toggle!("insecure", "Accept addresses that other hosts can reach, although nothing protects them", insecure),
    duration!("reservation.ttl", "How long a reservation is held where the caller does not say", reservation.ttl),
    duration!("reservation.ttl_max", "The longest a caller may have a reservation held", reservation.ttl_max),
    duration!("retention", "How long ended reservations and their ids are remembered", retention),
    duration!("events.retention", "How long events are kept; with a Redis never shorter than `retention`", events.retention),
    count!("events.max", "Most events kept, the oldest go first; with a Redis none goes within `retention`", events.max, 1, EVENTS_MAX),
    duration!("events.patience", "How long a watcher of costs may take nothing before its stream is cut", events.patience),
    duration!("costs.retention", "How long sums of costs are kept, for summaries and forecasts", cost_retention),
    duration!("drain_deadline", "How long work in flight may take after the signal to stop", drain_deadline),
    duration!("request_timeout", "The longest one request may take", request_timeout),
    count!("limits.message_bytes", "Longest request message, in bytes", limits.message_bytes, MESSAGE_BYTES[0], MESSAGE_BYTES[1]),
    count!("limits.streams_per_connection", "Most calls in flight on one connection", limits.streams_per_connection, 1, COUNT_MAX),
    count!("limits.connections", "Most connections, all listeners together", limits.connections, 1, COUNT_MAX),
    Setting {
        key: "limits.connection_age",
        many: false,
        about: "How long a connection may last, or `off`; what is in flight on it finishes",
        read: |config, values| {
            config.limits.connection_age = match values[0].as_str() {
                "off" => None,
                text => Some(duration(text)?),
            };
            Ok(())
        },
        show: |config| vec![config.limits.connection_age.map_or_else(|| "off".to_owned(), format_duration)],
    },
    duration!("limits.opening", "The longest that a connection may take until TLS is agreed on and it says what it is", limits.opening),
    count!("limits.calls", "Most calls in flight, all connections together; new holds are shed first", limits.calls, 8, COUNT_MAX),
    count!("limits.queue", "Most transactions waiting for the store", limits.queue, 1, COUNT_MAX),
    Setting {
        key: "log.filter",
        many: false,
        about: "What is logged: a level, or directives such as `info,genquota::store=debug`",
        read: |config, values| {
            config.log.filter = filter(&values[0])?;
            Ok(())
        },
        show: |config| vec![config.log.filter.clone()],
    },
    Setting {
        key: "log.format",
        many: false,
        about: "How it is logged: `human` or `json`",
        read: |config, values| {
            config.log.format = match values[0].as_str() {
                "human" => LogFormat::Human,
                "json" => LogFormat::Json,
                other => return Err(Wrong::new(format!("no such format: `{other}`; known are `human` and `json`"))),
            };
            Ok(())
        },
        show: |config| {
            vec![match config.log.format {
                LogFormat::Human => "human".to_owned(),
                LogFormat::Json => "json".to_owned(),
            }]
        },
    },
    toggle!("telemetry.cost_log", "Send cost events as OTLP log records too; `OTEL_*` variables say where to", telemetry.cost_log),
];

fn address<T: FromStr<Err = super::AddressError>>(text: &str) -> Result<T, Wrong> {
    text.parse().map_err(Wrong::new)
}

/// A text, unless it is empty.
fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn instance(text: &str) -> Result<String, Wrong> {
    let fits = (1..=INSTANCE_BYTES_MAX).contains(&text.len());
    let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits && plain {
        Ok(text.to_owned())
    } else {
        Err(Wrong::new(format!("not a name: `{text}`; write 1 to 32 of `a-z`, `0-9` and `-`")))
    }
}

fn catalog(text: &str) -> Result<CatalogSource, Wrong> {
    match text {
        "" => Err(Wrong::new("has no value")),
        "bundled" => Ok(CatalogSource::Bundled),
        path => Ok(CatalogSource::File(path.into())),
    }
}

fn reload(text: &str) -> Result<Option<Duration>, Wrong> {
    match text {
        "off" => Ok(None),
        text => match duration(text)? {
            every if every < RELOAD_MIN => {
                Err(Wrong::new(format!("too short: `{text}`; at least `{}` is allowed", format_duration(RELOAD_MIN))))
            }
            every => Ok(Some(every)),
        },
    }
}

fn switch(text: &str) -> Result<bool, Wrong> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(Wrong::new(format!("not a switch: `{other}`; write `true` or `false`"))),
    }
}

fn duration(text: &str) -> Result<Duration, Wrong> {
    let duration = parse_duration(text).map_err(|error| Wrong::new(error).hint("a number and a unit: `90s`, `15m`, `2h`, `7d`"))?;
    if duration.is_zero() {
        return Err(Wrong::new(format!("must be above zero: `{text}`")));
    }
    if duration > DURATION_MAX {
        return Err(Wrong::new(format!("too long: `{text}`; at most `366d` is allowed")));
    }
    Ok(duration)
}

fn count<T: TryFrom<usize>>(text: &str, min: usize, max: usize) -> Result<T, Wrong> {
    let out_of_range = || Wrong::new(format!("out of range: `{text}`; {min} to {max} are allowed"));
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Wrong::new(format!("not a whole number: `{text}`")));
    }
    let number: usize = text.parse().map_err(|_| out_of_range())?;
    if !(min..=max).contains(&number) {
        return Err(out_of_range());
    }
    T::try_from(number).map_err(|_| out_of_range())
}

fn filter(text: &str) -> Result<String, Wrong> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) if !text.trim().is_empty() => Ok(text.to_owned()),
        Ok(_) => Err(Wrong::new("has no value")),
        Err(error) => {
            Err(Wrong::new(format!("not a filter: `{text}`: {error}")).hint("a level: `error`, `warn`, `info`, `debug`, `trace`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_the_key() {
        let setting = setting("reservation.ttl_max").unwrap();
        assert_eq!(setting.variable(), "GENQUOTA_RESERVATION_TTL_MAX");
        assert_eq!(setting.flag(), "--reservation-ttl-max");
        for (at, one) in SETTINGS.iter().enumerate() {
            assert!(SETTINGS[..at].iter().all(|other| other.variable() != one.variable()), "{}", one.key);
        }
    }

    #[test]
    fn what_is_shown_is_read_again() {
        let mut config = Config::defaults("/data".into());
        let before = config.clone();
        for setting in &SETTINGS {
            setting.read(&mut config, &setting.show(&before)).unwrap();
        }
        assert_eq!(config, before);
    }

    #[test]
    fn wrong_values_are_refused_and_change_nothing() {
        let table: [(&str, &[&str]); 25] = [
            ("instance", &["", "A", "a b", "{a}", "0123456789abcdef0123456789abcdef0"]),
            ("listen", &["", "here"]),
            ("http", &["on", "unix:/x"]),
            ("health", &["on", "unix:/x"]),
            ("metrics_public", &["yes"]),
            ("limits.connection_age", &["0s", "on"]),
            ("limits.calls", &["7", "1048577"]),
            ("catalog", &[""]),
            ("catalog_reload", &["", "on", "0s", "99ms", "5"]),
            ("store", &["disk:/x", "redis://", "redis://cache/x", "redis-cluster://a/1"]),
            ("redis.partitions", &["0", "1025", "many"]),
            ("redis.calls_in_flight", &["0"]),
            ("redis.replicas", &["17"]),
            ("redis.command_timeout", &["0s", "750"]),
            ("redis.on_loss", &["", "ignore"]),
            ("journal", &[""]),
            ("journal_max", &["0"]),
            ("insecure", &["yes", "1", "TRUE"]),
            ("retention", &["0s", "7", "367d"]),
            ("limits.message_bytes", &["1023", "64k", "4194305", "-1", "1e3"]),
            ("limits.streams_per_connection", &["0", "1048577", "99999999999999999999"]),
            ("limits.queue", &["0"]),
            ("log.filter", &["", "=,=", "genquota=loud"]),
            ("log.format", &["JSON"]),
            ("telemetry.cost_log", &["on"]),
        ];
        let mut config = Config::defaults("/data".into());
        let before = config.clone();
        for (key, values) in table {
            for value in values {
                assert!(setting(key).unwrap().read(&mut config, &[(*value).to_owned()]).is_err(), "{key}: {value:?}");
            }
        }
        assert!(setting("store").unwrap().read(&mut config, &["memory:".to_owned(), "memory:".to_owned()]).is_err());
        assert_eq!(config, before);
    }
}
