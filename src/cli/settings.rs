//! The settings as flags: the last and strongest layer of the configuration.
//!
//! Values stay text here: the configuration reads every layer by one grammar and reports all problems together.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::{self, Given, Layers, Loaded, Origin, SETTINGS, Setting};

/// Shown below the flags of every command that takes settings.
pub(super) const LAYERS: &str = "\
Each setting may stand in a YAML file (`reservation.ttl`: `ttl:` below `reservation:`),
in a variable (`GENQUOTA_RESERVATION_TTL`; several values with commas) or in a flag
(`--reservation-ttl`); the later of these wins. Durations are written `90s`, `15m`, `2h`, `7d`.
`genquota config` shows every value and where it came from.";

/// The flags that say which ledger it is, and how a shared store is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct StoreFlags {
    /// YAML file with settings [env: GENQUOTA_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the ledger this sidecar belongs to [default: default]
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Whom to log in as at Redis
    #[arg(long, value_name = "USER")]
    redis_username: Option<String>,
    /// Password at Redis; others on this host can read it here, so rather give a file or the variable
    #[arg(long, value_name = "PASSWORD")]
    redis_password: Option<String>,
    /// File with the password at Redis, read anew for every connection
    #[arg(long, value_name = "FILE")]
    redis_password_file: Option<String>,
    /// Whom to log in as at the sentinels
    #[arg(long, value_name = "USER")]
    redis_sentinel_username: Option<String>,
    /// Password at the sentinels; rather give a file or the variable
    #[arg(long, value_name = "PASSWORD")]
    redis_sentinel_password: Option<String>,
    /// File with the password at the sentinels, read anew for every connection
    #[arg(long, value_name = "FILE")]
    redis_sentinel_password_file: Option<String>,
    /// File with the certificates to trust instead of the Web's, in PEM
    #[arg(long, value_name = "FILE")]
    redis_tls_ca: Option<String>,
    /// File with the certificate to show to Redis, in PEM
    #[arg(long, value_name = "FILE")]
    redis_tls_cert: Option<String>,
    /// File with the key of that certificate, in PEM
    #[arg(long, value_name = "FILE")]
    redis_tls_key: Option<String>,
    /// The longest that connecting to Redis may take [default: 1s]
    #[arg(long, value_name = "DURATION")]
    redis_connect_timeout: Option<String>,
    /// The longest that a command at Redis may take [default: 750ms]
    #[arg(long, value_name = "DURATION")]
    redis_command_timeout: Option<String>,
}

/// The flags of all settings.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct SettingFlags {
    #[command(flatten)]
    reach: StoreFlags,
    /// Where gRPC is served: `HOST:PORT` (port 0: any free one) or `unix:PATH`; repeatable [default: 127.0.0.1:7070]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Where health and metrics are served over HTTP: `HOST:PORT` or `off` [default: 127.0.0.1:7071]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Where gRPC health alone is served, in clear and to anybody, for probes: `HOST:PORT` or `off` [default: off]
    #[arg(long, value_name = "ADDRESS")]
    health: Option<String>,
    /// File with the certificate of every TCP listener, in PEM
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// File with the key of that certificate, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// File with the authorities of clients, in PEM: gRPC clients on TCP must show a certificate
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<String>,
    /// YAML file that says who may call, and what [default: everybody may do everything]
    #[arg(long, value_name = "FILE")]
    access: Option<String>,
    /// Show metrics to anybody who reaches the HTTP port [default: false]
    #[arg(long, value_name = "SWITCH", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    metrics_public: Option<String>,
    /// File with meters, actions, plans, caps and prices [default: bundled]
    #[arg(long, value_name = "FILE")]
    catalog: Option<String>,
    /// How often the files of catalog, access and TLS are looked at for a change; `off`: on SIGHUP only [default: 5s]
    #[arg(long, value_name = "DURATION")]
    catalog_reload: Option<String>,
    /// What keeps the ledger: `embedded:DIR`, `memory:` to keep nothing, or a Redis or Valkey: `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`
    /// (`rediss` with TLS), `redis+unix:///SOCKET[?db=DB]`, `redis+sentinel://HOST,.../SERVICE[/DB]` (`rediss+sentinel`) or
    /// `redis-cluster://HOST,...` (`rediss-cluster`) [default: embedded in the user's data directory]
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// Into how many parts a new ledger in Redis is laid out; fixed from then on [default: 64]
    #[arg(long, value_name = "N")]
    redis_partitions: Option<String>,
    /// Most calls in flight on the connection to Redis [default: 256]
    #[arg(long, value_name = "N")]
    redis_calls_in_flight: Option<String>,
    /// In which everything that is due in Redis is swept once [default: 5s]
    #[arg(long, value_name = "DURATION")]
    redis_sweep_interval: Option<String>,
    /// When Redis has lost data: `stop` until that is accepted, or `accept` it and go on [default: stop]
    #[arg(long, value_name = "POLICY")]
    redis_on_loss: Option<String>,
    /// How many replicas of Redis must have a change before it is answered; not with a cluster [default: 0]
    #[arg(long, value_name = "N")]
    redis_replicas: Option<String>,
    /// Directory for what cannot be settled while Redis is away, or `off` [default: with Redis, in the user's data directory]
    #[arg(long, value_name = "DIR")]
    journal: Option<String>,
    /// Most entries in the journal [default: 100000]
    #[arg(long, value_name = "N")]
    journal_max: Option<String>,
    /// Accept addresses that other hosts can reach, although nothing protects them
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    insecure: Option<String>,
    /// How long a reservation is held where the caller does not say [default: 15m]
    #[arg(long, value_name = "DURATION")]
    reservation_ttl: Option<String>,
    /// The longest a caller may have a reservation held [default: 2h]
    #[arg(long, value_name = "DURATION")]
    reservation_ttl_max: Option<String>,
    /// How long ended reservations and their ids are remembered [default: 7d]
    #[arg(long, value_name = "DURATION")]
    retention: Option<String>,
    /// How long events are kept; with a Redis never shorter than the retention [default: 30d]
    #[arg(long, value_name = "DURATION")]
    events_retention: Option<String>,
    /// Most events kept, the oldest go first; with a Redis none goes within the retention [default: 1000000]
    #[arg(long, value_name = "N")]
    events_max: Option<String>,
    /// How long sums of costs are kept, for summaries and forecasts [default: 366d]
    #[arg(long, value_name = "DURATION")]
    costs_retention: Option<String>,
    /// How long a watcher of costs may take nothing before its stream is cut [default: 30s]
    #[arg(long, value_name = "DURATION")]
    events_patience: Option<String>,
    /// How long work in flight may take after the signal to stop [default: 20s]
    #[arg(long, value_name = "DURATION")]
    drain_deadline: Option<String>,
    /// The longest one request may take [default: 10s]
    #[arg(long, value_name = "DURATION")]
    request_timeout: Option<String>,
    /// Longest request message, in bytes [default: 65536]
    #[arg(long, value_name = "N")]
    limits_message_bytes: Option<String>,
    /// Most calls in flight on one connection [default: 256]
    #[arg(long, value_name = "N")]
    limits_streams_per_connection: Option<String>,
    /// Most connections, all listeners together [default: 1024]
    #[arg(long, value_name = "N")]
    limits_connections: Option<String>,
    /// How long a connection may last, or `off`; what is in flight on it finishes [default: off]
    #[arg(long, value_name = "DURATION")]
    limits_connection_age: Option<String>,
    /// The longest that a connection may take until TLS is agreed on and it says what it is [default: 10s]
    #[arg(long, value_name = "DURATION")]
    limits_opening: Option<String>,
    /// Most calls in flight, all connections together; new holds are shed first [default: 8192]
    #[arg(long, value_name = "N")]
    limits_calls: Option<String>,
    /// Most transactions waiting for the store [default: 4096]
    #[arg(long, value_name = "N")]
    limits_queue: Option<String>,
    /// What is logged: a level, or directives such as `info,genquota::store=debug` [default: info]
    #[arg(long, value_name = "FILTER")]
    log_filter: Option<String>,
    /// How it is logged: `human` or `json` [default: human]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Send cost events as OTLP log records too; `OTEL_*` variables say where to [default: false]
    #[arg(long, value_name = "SWITCH")]
    telemetry_cost_log: Option<String>,
}

impl StoreFlags {
    /// Merges these flags over the variables and the file of this process, with `store` in place of the configured one.
    pub(super) fn load(&self, store: Option<&str>) -> Result<Loaded, Failure> {
        let named = store.map(|store| given("store", vec![store.to_owned()], "STORE".to_owned()));
        let flags = SETTINGS.iter().filter_map(|setting| Some(one(setting, self.value(setting.key)??))).chain(named).collect();
        Ok(config::load(&Layers::of_process(self.config.clone(), flags))?)
    }

    fn value(&self, key: &str) -> Option<Option<&String>> {
        let value = match key {
            "instance" => &self.instance,
            "redis.username" => &self.redis_username,
            "redis.password" => &self.redis_password,
            "redis.password_file" => &self.redis_password_file,
            "redis.sentinel_username" => &self.redis_sentinel_username,
            "redis.sentinel_password" => &self.redis_sentinel_password,
            "redis.sentinel_password_file" => &self.redis_sentinel_password_file,
            "redis.tls_ca" => &self.redis_tls_ca,
            "redis.tls_cert" => &self.redis_tls_cert,
            "redis.tls_key" => &self.redis_tls_key,
            "redis.connect_timeout" => &self.redis_connect_timeout,
            "redis.command_timeout" => &self.redis_command_timeout,
            _ => return None,
        };
        Some(value.as_ref())
    }
}

impl SettingFlags {
    /// Merges these flags over the variables and the file of this process.
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        Ok(config::load(&Layers::of_process(self.reach.config.clone(), self.given()))?)
    }

    fn given(&self) -> Vec<Given> {
        let flags = SETTINGS.iter().filter_map(|setting| {
            if setting.many {
                return (!self.listen.is_empty()).then(|| given(setting.key, self.listen.clone(), setting.flag()));
            }
            Some(one(setting, self.value(setting.key)??))
        });
        flags.collect()
    }

    fn value(&self, key: &str) -> Option<Option<&String>> {
        let value = match key {
            "http" => &self.http,
            "health" => &self.health,
            "tls.cert" => &self.tls_cert,
            "tls.key" => &self.tls_key,
            "tls.client_ca" => &self.tls_client_ca,
            "access" => &self.access,
            "metrics_public" => &self.metrics_public,
            "catalog" => &self.catalog,
            "catalog_reload" => &self.catalog_reload,
            "store" => &self.store,
            "redis.partitions" => &self.redis_partitions,
            "redis.calls_in_flight" => &self.redis_calls_in_flight,
            "redis.sweep_interval" => &self.redis_sweep_interval,
            "redis.on_loss" => &self.redis_on_loss,
            "redis.replicas" => &self.redis_replicas,
            "journal" => &self.journal,
            "journal_max" => &self.journal_max,
            "insecure" => &self.insecure,
            "reservation.ttl" => &self.reservation_ttl,
            "reservation.ttl_max" => &self.reservation_ttl_max,
            "retention" => &self.retention,
            "events.retention" => &self.events_retention,
            "events.max" => &self.events_max,
            "events.patience" => &self.events_patience,
            "costs.retention" => &self.costs_retention,
            "drain_deadline" => &self.drain_deadline,
            "request_timeout" => &self.request_timeout,
            "limits.message_bytes" => &self.limits_message_bytes,
            "limits.streams_per_connection" => &self.limits_streams_per_connection,
            "limits.connections" => &self.limits_connections,
            "limits.connection_age" => &self.limits_connection_age,
            "limits.opening" => &self.limits_opening,
            "limits.calls" => &self.limits_calls,
            "limits.queue" => &self.limits_queue,
            "log.filter" => &self.log_filter,
            "log.format" => &self.log_format,
            "telemetry.cost_log" => &self.telemetry_cost_log,
            key => return self.reach.value(key),
        };
        Some(value.as_ref())
    }
}

fn one(setting: &Setting, value: &str) -> Given {
    given(setting.key, vec![value.to_owned()], setting.flag())
}

fn given(key: &str, values: Vec<String>, flag: String) -> Given {
    Given { key: key.to_owned(), values, origin: Origin::Flag(flag) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        settings: SettingFlags,
    }

    #[test]
    fn every_setting_can_be_given_by_its_flag() {
        for setting in &SETTINGS {
            let word = format!("{}=value", setting.flag());
            let given = Flags::try_parse_from(["test", &word]).unwrap().settings.given();
            assert_eq!(given, [Given { key: setting.key.into(), values: vec!["value".into()], origin: Origin::Flag(setting.flag()) }]);
        }
    }

    #[test]
    fn listen_may_be_repeated_and_insecure_needs_no_value() {
        let given = Flags::try_parse_from(["test", "--insecure", "--listen", "a:1", "--listen", "b:2"]).unwrap().settings.given();
        assert_eq!(given.iter().map(|given| given.values.join(" ")).collect::<Vec<_>>(), ["a:1 b:2", "true"]);
    }
}
