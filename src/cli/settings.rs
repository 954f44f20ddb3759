//! The settings as flags: the last and strongest layer of the configuration.
//!
//! Values stay text here: the configuration reads every layer by one grammar and reports all problems together.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::{self, Given, Layers, Loaded, Origin, SETTINGS};

/// Shown below the flags of every command that takes settings.
pub(super) const LAYERS: &str = "\
Each setting may stand in a YAML file (`reservation.ttl`: `ttl:` below `reservation:`),
in a variable (`GENQUOTA_RESERVATION_TTL`; several values with commas) or in a flag
(`--reservation-ttl`); the later of these wins. Durations are written `90s`, `15m`, `2h`, `7d`.
`genquota config` shows every value and where it came from.";

/// The flags of the settings.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct SettingFlags {
    /// YAML file with settings [env: GENQUOTA_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of the ledger this sidecar belongs to [default: default]
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Where gRPC is served: `HOST:PORT` (port 0: any free one) or `unix:PATH`; repeatable [default: 127.0.0.1:7070]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Where health is served over HTTP: `HOST:PORT` or `off` [default: 127.0.0.1:7071]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// File with meters, actions, plans, caps and prices [default: bundled]
    #[arg(long, value_name = "FILE")]
    catalog: Option<String>,
    /// What keeps the ledger: `embedded:DIR`, or `memory:` to keep nothing [default: embedded in the user's data directory]
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// Accept listeners that other hosts can reach, although nothing protects them
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
    /// Most transactions waiting for the store [default: 4096]
    #[arg(long, value_name = "N")]
    limits_queue: Option<String>,
    /// What is logged: a level, or directives such as `info,genquota::store=debug` [default: info]
    #[arg(long, value_name = "FILTER")]
    log_filter: Option<String>,
    /// How it is logged: `human` or `json` [default: human]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl SettingFlags {
    /// Merges these flags over the variables and the file of this process.
    pub(super) fn load(&self) -> Result<Loaded, Failure> {
        Ok(config::load(&Layers::of_process(self.config.clone(), self.given()))?)
    }

    fn given(&self) -> Vec<Given> {
        let given = SETTINGS.iter().filter_map(|setting| {
            let values: Vec<String> =
                if setting.many { self.listen.clone() } else { self.value(setting.key)?.into_iter().cloned().collect() };
            let given = Given { key: setting.key.to_owned(), values, origin: Origin::Flag(setting.flag()) };
            (!given.values.is_empty()).then_some(given)
        });
        given.collect()
    }

    fn value(&self, key: &str) -> Option<Option<&String>> {
        let value = match key {
            "instance" => &self.instance,
            "http" => &self.http,
            "catalog" => &self.catalog,
            "store" => &self.store,
            "insecure" => &self.insecure,
            "reservation.ttl" => &self.reservation_ttl,
            "reservation.ttl_max" => &self.reservation_ttl_max,
            "retention" => &self.retention,
            "drain_deadline" => &self.drain_deadline,
            "request_timeout" => &self.request_timeout,
            "limits.message_bytes" => &self.limits_message_bytes,
            "limits.streams_per_connection" => &self.limits_streams_per_connection,
            "limits.connections" => &self.limits_connections,
            "limits.queue" => &self.limits_queue,
            "log.filter" => &self.log_filter,
            "log.format" => &self.log_format,
            _ => return None,
        };
        Some(value.as_ref())
    }
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
