//! Configuration: what the process is told, from four layers, each later one winning: defaults, file, environment, flags.
//!
//! Owns the settings, their grammar, their merge and where each value came from. Reading reports every problem of every layer at once,
//! each with its origin; nothing is opened, bound or started here, and no global is read: the caller hands in file, variables and flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

mod address;
mod duration;
mod exposure;
mod file;
mod problem;
mod remote;
mod setting;

pub use address::{AddressError, HttpAddress, ListenAddress, StoreAddress};
pub use duration::{DurationError, format_duration, parse_duration};
pub use problem::{ConfigError, Origin, Problem};
pub use remote::{Login, RedisSettings, Secret};
pub use setting::{SETTINGS, Setting, setting};

pub use crate::address::{HostPort, masked};

/// Everything the process is told, checked. Built by [`load`] only, so every bound below holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Names the ledger this sidecar belongs to, 1 to 32 of `[a-z0-9-]`.
    pub instance: String,
    /// Where gRPC is served; at least one, all different.
    pub listen: Vec<ListenAddress>,
    /// Where health and metrics are served over HTTP.
    pub http: HttpAddress,
    /// Where gRPC health alone is served, in clear and to anybody.
    pub health: HttpAddress,
    pub tls: TlsConfig,
    /// The file that says who may call. None: everybody.
    pub access: Option<PathBuf>,
    /// True: metrics are shown to anybody who reaches the HTTP port.
    pub metrics_public: bool,
    pub catalog: CatalogSource,
    /// How often its file, the access file and those of TLS are looked at for a change. None: when the process is told to by SIGHUP, and else never.
    pub catalog_reload: Option<Duration>,
    pub store: StoreAddress,
    pub redis: RedisSettings,
    /// Where commands wait on disk while a shared store gives no answer. None: nowhere, and they are refused.
    pub journal: Option<PathBuf>,
    /// Most commands that wait there.
    pub journal_max: usize,
    /// True: an address that other hosts can reach is accepted although nothing protects it.
    pub insecure: bool,
    pub reservation: ReservationConfig,
    /// How long ended reservations and their ids are remembered.
    pub retention: Duration,
    pub events: EventsConfig,
    /// How long sums of costs are kept.
    pub cost_retention: Duration,
    /// How long work in flight may take after the first signal to stop.
    pub drain_deadline: Duration,
    /// The longest one request may take.
    pub request_timeout: Duration,
    pub limits: Limits,
    pub log: LogConfig,
    pub telemetry: TelemetryConfig,
}

/// Where the catalog comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogSource {
    /// The catalog that is compiled in.
    Bundled,
    File(PathBuf),
}

/// By what TCP listeners speak TLS; PEM files, each read anew when it changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Ours, with those between it and an authority. It is there if and only if its key is.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Authorities of clients. Present: every gRPC client on TCP must show a certificate of one of them.
    pub client_authorities: Option<PathBuf>,
}

/// How long reservations are held (product.md L2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReservationConfig {
    /// Where the caller names none; at most `ttl_max`.
    pub ttl: Duration,
    /// The longest a caller may name.
    pub ttl_max: Duration,
}

/// How events are kept, and how long whoever watches them may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventsConfig {
    /// By age; in a Redis never shorter than that of reservations.
    pub retention: Duration,
    /// Most of them.
    pub max: u64,
    /// How long a watcher may take nothing before its stream is cut.
    pub patience: Duration,
}

/// What bounds memory, whatever callers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest request message.
    pub message_bytes: usize,
    /// Most calls in flight on one connection.
    pub streams_per_connection: u32,
    /// Most connections, all listeners together.
    pub connections: usize,
    /// How long a connection may last. None: for ever.
    pub connection_age: Option<Duration>,
    /// How long a connection may take until TLS is agreed on and the first bytes have come.
    pub opening: Duration,
    /// Most calls in flight, all connections together.
    pub calls: usize,
    /// Most transactions waiting for the store.
    pub queue: usize,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or directives of tracing's `EnvFilter` such as `info,genquota::store=debug`.
    pub filter: String,
    pub format: LogFormat,
}

/// What is told to others beside logs. Where it goes is said by the `OTEL_*` variables, which the `telemetry` room reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TelemetryConfig {
    /// True: cost events go out as log records too, if logs go anywhere.
    pub cost_log: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

/// What [`load`] reads. Relative paths in any layer are relative to the working directory.
#[derive(Debug, Default)]
pub struct Layers {
    /// The file of `--config`; the variable `GENQUOTA_CONFIG` names it where this is absent.
    pub file: Option<PathBuf>,
    /// All variables of the process: the settings and those that tell the data directory.
    pub variables: BTreeMap<OsString, OsString>,
    pub flags: Vec<Given>,
}

/// One setting as one layer gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub key: String,
    /// One text for each value; a setting that takes one has exactly one here.
    pub values: Vec<String>,
    pub origin: Origin,
}

/// The merged configuration with the origin of each value.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// By key; every setting has one.
    pub origins: BTreeMap<&'static str, Origin>,
    /// What was ignored, such as an unknown variable.
    pub warnings: Vec<Problem>,
}

/// Prefix of every variable that is a setting.
pub const VARIABLE_PREFIX: &str = "GENQUOTA_";

/// Variables of the prefix that are no settings: the file itself, and what the client commands and the build read.
const OTHER_VARIABLES: [&str; 4] = ["GENQUOTA_CONFIG", "GENQUOTA_SERVER", "GENQUOTA_TOKEN", "GENQUOTA_BUILD_REVISION"];

impl Config {
    /// The defaults, with the embedded store in `data_dir`.
    fn defaults(data_dir: PathBuf) -> Self {
        Self {
            instance: "default".to_owned(),
            listen: vec![ListenAddress::Tcp(HostPort::loopback(7070))],
            http: HttpAddress::At(HostPort::loopback(7071)),
            health: HttpAddress::Off,
            tls: TlsConfig::default(),
            access: None,
            metrics_public: false,
            catalog: CatalogSource::Bundled,
            catalog_reload: Some(Duration::from_secs(5)),
            store: StoreAddress::Embedded(data_dir),
            redis: RedisSettings::defaults(),
            journal: None,
            journal_max: 100_000,
            insecure: false,
            reservation: ReservationConfig { ttl: Duration::from_secs(15 * 60), ttl_max: Duration::from_secs(2 * 3600) },
            retention: Duration::from_secs(7 * 24 * 3600),
            events: EventsConfig { retention: Duration::from_secs(30 * 24 * 3600), max: 1_000_000, patience: Duration::from_secs(30) },
            // A whole year, leap or not: the longest span that a summary takes.
            cost_retention: Duration::from_secs(366 * 24 * 3600),
            drain_deadline: Duration::from_secs(20),
            request_timeout: Duration::from_secs(10),
            limits: Limits {
                message_bytes: 65_536,
                streams_per_connection: 256,
                connections: 1024,
                connection_age: None,
                opening: Duration::from_secs(10),
                calls: 8192,
                queue: 4096,
            },
            log: LogConfig { filter: "info".to_owned(), format: LogFormat::Human },
            telemetry: TelemetryConfig { cost_log: false },
        }
    }
}

impl Layers {
    /// The layers of this process: its variables, and the file and flags of its command line.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Given>) -> Self {
        Self { file, variables: std::env::vars_os().collect(), flags }
    }

    fn variable(&self, name: &str) -> Option<&OsString> {
        self.variables.iter().find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value)
    }

    fn file(&self) -> Option<PathBuf> {
        self.file.clone().or_else(|| self.variable("GENQUOTA_CONFIG").map(PathBuf::from))
    }

    /// Where the embedded store lives by default: the platform's directory for a user's data. None: the platform names none.
    fn data_dir(&self) -> Option<PathBuf> {
        let absolute = |name: &str| self.variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = match absolute("XDG_DATA_HOME") {
            Some(base) => base,
            None if cfg!(target_os = "macos") => absolute("HOME")?.join("Library/Application Support"),
            None if cfg!(windows) => absolute("LOCALAPPDATA")?,
            None => absolute("HOME")?.join(".local/share"),
        };
        Some(base.join("genquota"))
    }
}

/// Merges the layers and checks the result. All problems of all layers come together.
pub fn load(layers: &Layers) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let mut given = Vec::new();
    if let Some(path) = layers.file() {
        given.extend(file::read(&path, &mut problems));
    }
    given.extend(given_by_variables(layers, &mut problems, &mut warnings));
    given.extend(layers.flags.iter().cloned());

    let data_dir = layers.data_dir();
    let mut config = Config::defaults(data_dir.clone().unwrap_or_default());
    let mut origins: BTreeMap<&'static str, Origin> = SETTINGS.iter().map(|setting| (setting.key, Origin::Default)).collect();
    for given in given {
        let Some(setting) = setting(&given.key) else {
            problems.push(Problem::new(&given.key, given.origin, "no such setting"));
            continue;
        };
        // A value that a later layer replaces is read all the same: it is wrong where it stands.
        match setting.read(&mut config, &given.values) {
            Ok(()) => {
                origins.insert(setting.key, given.origin);
            }
            Err(wrong) => problems.push(wrong.at(setting.key, given.origin)),
        }
    }
    if data_dir.is_none() && origins["store"] == Origin::Default && !problems.iter().any(|problem| problem.key == "store") {
        let problem = Problem::new("store", Origin::Default, "no directory for data: neither `XDG_DATA_HOME` nor `HOME` is set");
        problems.push(problem.hint("name one: `--store embedded:DIR`, or `--store memory:` to keep nothing"));
    }
    place_journal(&mut config, &origins, data_dir, &mut problems);
    exposure::check(&config, &origins, &mut problems);
    check_together(&config, &origins, &mut problems);
    check_redis(&config, &origins, &mut problems);
    if problems.is_empty() { Ok(Loaded { config, origins, warnings }) } else { Err(ConfigError { problems }) }
}

fn given_by_variables(layers: &Layers, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) -> Vec<Given> {
    let mut given = Vec::new();
    for (name, value) in &layers.variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else { continue };
        if value.is_empty() || OTHER_VARIABLES.contains(&name) || is_service_link(name) {
            continue;
        }
        let origin = Origin::Variable(name.to_owned());
        let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == name) else {
            let problem = Problem::new("", origin, "no such setting: the variable is ignored");
            warnings.push(problem.hint("`genquota config` lists the settings and their variables"));
            continue;
        };
        match value.to_str() {
            None => problems.push(Problem::new(setting.key, origin, "the value is not UTF-8")),
            Some(text) if setting.many => {
                let values = text.split(',').map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect();
                given.push(Given { key: setting.key.to_owned(), values, origin });
            }
            Some(text) => given.push(Given { key: setting.key.to_owned(), values: vec![text.to_owned()], origin }),
        }
    }
    given
}

/// Kubernetes and Docker set such variables in every container beside a service named `genquota`; they tell us nothing.
fn is_service_link(name: &str) -> bool {
    name.contains("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || name.contains("_PORT_") || name.ends_with("_PORT")
}

/// A shared store has a journal unless that is switched off: beside the data of other instances, for the directory is one sidecar's alone.
fn place_journal(config: &mut Config, origins: &BTreeMap<&'static str, Origin>, data_dir: Option<PathBuf>, problems: &mut Vec<Problem>) {
    if origins["journal"] != Origin::Default || !matches!(config.store, StoreAddress::Redis(_)) {
        return;
    }
    match data_dir {
        Some(data_dir) => config.journal = Some(data_dir.join("journal").join(&config.instance)),
        None => {
            let problem = Problem::new("journal", Origin::Default, "no directory for data: neither `XDG_DATA_HOME` nor `HOME` is set");
            problems.push(problem.hint("name one: `--journal DIR`, or `--journal off` to refuse settlements while the store is away"));
        }
    }
}

/// What of a Redis store no single setting can tell.
fn check_redis(config: &Config, origins: &BTreeMap<&'static str, Origin>, problems: &mut Vec<Problem>) {
    let RedisSettings { login, sentinel_login, tls, .. } = &config.redis;
    let mut wrong = |key: &'static str, text: &str| problems.push(Problem::new(key, origins[key].clone(), text));
    for (login, key) in [(login, "redis.password_file"), (sentinel_login, "redis.sentinel_password_file")] {
        if login.password.is_some() && login.password_file.is_some() {
            wrong(
                key,
                &format!(
                    "a password and a file with one are given: which of them counts? The other is `{}`",
                    key.trim_end_matches("_file")
                ),
            );
        }
    }
    match (&tls.certificate, &tls.key) {
        (Some(_), None) => wrong("redis.tls_cert", "a certificate without its key: set `redis.tls_key` too"),
        (None, Some(_)) => wrong("redis.tls_key", "a key without its certificate: set `redis.tls_cert` too"),
        _ => {}
    }
    let StoreAddress::Redis(address) = &config.store else { return };
    if origins["events.retention"] != Origin::Default && config.events.retention < config.retention {
        let (events, kept) = (format_duration(config.events.retention), format_duration(config.retention));
        wrong(
            "events.retention",
            &format!("ended reservations are found by their events: `{events}` is shorter than `retention`, `{kept}`"),
        );
    }
    if address.is_cluster() && config.redis.replicas > 0 {
        wrong("redis.replicas", "not possible with a cluster: an answer waits for the replicas of one primary");
    }
    if !address.is_tls() {
        for (key, file) in [("redis.tls_ca", &tls.ca), ("redis.tls_cert", &tls.certificate), ("redis.tls_key", &tls.key)] {
            if file.is_some() {
                wrong(key, &format!("the store is not reached over TLS: `{address}`; its scheme must begin with `rediss`"));
            }
        }
    }
}

/// What no single setting can tell.
fn check_together(config: &Config, origins: &BTreeMap<&'static str, Origin>, problems: &mut Vec<Problem>) {
    let wrong = |key: &'static str, text: String| Problem::new(key, origins[key].clone(), &text);
    for (at, address) in config.listen.iter().enumerate() {
        let port_chosen_by_system = matches!(address, ListenAddress::Tcp(tcp) if tcp.port() == 0);
        if !port_chosen_by_system && config.listen[..at].contains(address) {
            problems.push(wrong("listen", format!("named twice: `{address}`")));
        }
    }
    if let HttpAddress::At(http) = &config.http
        && http.port() != 0
        && config.listen.contains(&ListenAddress::Tcp(http.clone()))
    {
        problems.push(wrong("http", format!("the address is already in `listen`: `{http}`")));
    }
    if let HttpAddress::At(health) = &config.health
        && health.port() != 0
        && (config.listen.contains(&ListenAddress::Tcp(health.clone())) || config.http == config.health)
    {
        problems.push(wrong("health", format!("the address is already in use by `listen` or `http`: `{health}`")));
    }
    let ReservationConfig { ttl, ttl_max } = config.reservation;
    if ttl > ttl_max {
        let text = format!("above `reservation.ttl_max`: `{}` is longer than `{}`", format_duration(ttl), format_duration(ttl_max));
        let key = if origins["reservation.ttl"] == Origin::Default { "reservation.ttl_max" } else { "reservation.ttl" };
        problems.push(wrong(key, text));
    }
    if config.retention < ttl_max {
        // A commit that is repeated after its id is forgotten finds nothing, and what was used would be recorded a second time.
        let (kept, held) = (format_duration(config.retention), format_duration(ttl_max));
        problems.push(wrong("retention", format!("below `reservation.ttl_max`: `{kept}` is shorter than `{held}`")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(variables: &[(&str, &str)], flags: &[(&str, &[&str])]) -> Layers {
        let mut layers = Layers::default();
        layers.variables.insert("HOME".into(), "/users/somebody".into());
        layers.variables.extend(variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
        layers.flags = flags
            .iter()
            .map(|(key, values)| Given {
                key: (*key).to_owned(),
                values: values.iter().map(|value| (*value).to_owned()).collect(),
                origin: Origin::Flag(format!("--{key}")),
            })
            .collect();
        layers
    }

    fn with_file(text: &str, mut layers: Layers) -> (tempfile::TempDir, Layers) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("genquota.yaml");
        std::fs::write(&path, text).unwrap();
        layers.file = Some(path);
        (dir, layers)
    }

    #[test]
    fn without_layers_the_defaults_hold() {
        let loaded = load(&layers(&[], &[])).unwrap();
        let shown: Vec<(&str, String)> = SETTINGS.iter().map(|setting| (setting.key, setting.show(&loaded.config).join(","))).collect();
        let expected = [
            ("instance", "default"),
            ("listen", "127.0.0.1:7070"),
            ("http", "127.0.0.1:7071"),
            ("health", "off"),
            ("tls.cert", ""),
            ("access", ""),
            ("metrics_public", "false"),
            ("catalog", "bundled"),
            ("catalog_reload", "5s"),
            ("redis.username", ""),
            ("redis.password", ""),
            ("redis.connect_timeout", "1s"),
            ("redis.command_timeout", "750ms"),
            ("redis.partitions", "64"),
            ("redis.calls_in_flight", "256"),
            ("redis.sweep_interval", "5s"),
            ("redis.on_loss", "stop"),
            ("redis.replicas", "0"),
            ("journal", "off"),
            ("journal_max", "100000"),
            ("insecure", "false"),
            ("reservation.ttl", "15m"),
            ("reservation.ttl_max", "2h"),
            ("retention", "7d"),
            ("events.retention", "30d"),
            ("events.max", "1000000"),
            ("events.patience", "30s"),
            ("costs.retention", "366d"),
            ("drain_deadline", "20s"),
            ("request_timeout", "10s"),
            ("limits.message_bytes", "65536"),
            ("limits.streams_per_connection", "256"),
            ("limits.connections", "1024"),
            ("limits.connection_age", "off"),
            ("limits.opening", "10s"),
            ("limits.calls", "8192"),
            ("limits.queue", "4096"),
            ("log.filter", "info"),
            ("log.format", "human"),
        ];
        for (key, value) in expected {
            assert_eq!(shown.iter().find(|(shown_key, _)| *shown_key == key).unwrap().1, value, "{key}");
        }
        assert!(loaded.origins.values().all(|origin| *origin == Origin::Default));
    }

    #[test]
    fn embedded_store_lives_in_the_data_directory_by_default() {
        let under = |variables: &[(&str, &str)]| load(&layers(variables, &[])).unwrap().config.store;
        assert_eq!(under(&[("XDG_DATA_HOME", "/data")]), StoreAddress::Embedded("/data/genquota".into()));
        if cfg!(target_os = "linux") {
            let home = StoreAddress::Embedded("/users/somebody/.local/share/genquota".into());
            assert_eq!(under(&[]), home);
            assert_eq!(under(&[("XDG_DATA_HOME", "relative")]), home, "the specification has relative paths ignored");
        }
    }

    #[test]
    fn without_any_home_the_store_must_be_named() {
        let error = load(&Layers::default()).unwrap_err();
        assert_eq!(error.problems.len(), 1);
        assert_eq!(error.problems[0].key, "store");
        let mut named = layers(&[], &[("store", &["memory:"])]);
        named.variables.clear();
        assert_eq!(load(&named).unwrap().config.store, StoreAddress::Memory);
    }

    #[test]
    fn a_shared_store_has_a_journal_of_its_own_in_the_data_directory_unless_it_is_switched_off() {
        let journal = |flags: &[(&str, &[&str])]| load(&layers(&[("XDG_DATA_HOME", "/data")], flags)).unwrap().config.journal;
        let store: (&str, &[&str]) = ("store", &["redis://cache"]);
        assert_eq!(journal(&[store]), Some("/data/genquota/journal/default".into()));
        assert_eq!(journal(&[store, ("instance", &["eu"])]), Some("/data/genquota/journal/eu".into()));
        assert_eq!(journal(&[store, ("journal", &["here"])]), Some("here".into()));
        assert_eq!(journal(&[store, ("journal", &["off"])]), None);
        assert_eq!(journal(&[("store", &["memory:"])]), None);
        let mut homeless = layers(&[], &[store]);
        homeless.variables.clear();
        let error = load(&homeless).unwrap_err();
        assert_eq!(error.problems.iter().map(|problem| problem.key.as_str()).collect::<Vec<_>>(), ["journal"]);
        homeless.flags = layers(&[], &[store, ("journal", &["off"])]).flags;
        assert!(load(&homeless).is_ok());
    }

    #[test]
    fn passwords_of_the_store_are_read_from_every_layer_and_never_shown() {
        let (_dir, file) = with_file("redis:\n  username: app\n  password: hush-1\n", layers(&[], &[]));
        let variable = layers(&[("GENQUOTA_REDIS_PASSWORD", "hush-2"), ("GENQUOTA_REDIS_SENTINEL_PASSWORD", "hush-3")], &[]);
        let flag = layers(&[], &[("redis.password", &["hush-4"]), ("store", &["redis://u:hush-5@cache"])]);
        for (layers, password) in [(file, "hush-1"), (variable, "hush-2"), (flag, "hush-4")] {
            let config = load(&layers).unwrap().config;
            assert_eq!(config.redis.login.password, Some(Secret::new(password)));
            let shown: Vec<String> = SETTINGS.iter().flat_map(|setting| setting.show(&config)).collect();
            assert!(shown.contains(&"***".to_owned()), "{shown:?}");
            assert!(!format!("{shown:?} {config:?} {:?}", config.redis.link()).contains("hush"), "{shown:?}");
        }
    }

    #[test]
    fn settings_of_a_redis_store_that_contradict_each_other_are_refused_all_at_once() {
        let text = "store: redis://cache\nredis:\n  password: hush\n  sentinel_password_file: a\n  tls_ca: ca.pem\n  tls_cert: c.pem\n";
        let variables = [("GENQUOTA_REDIS_PASSWORD_FILE", "f"), ("GENQUOTA_REDIS_SENTINEL_PASSWORD", "hush")];
        let (_dir, layers) = with_file(text, layers(&variables, &[]));
        let error = load(&layers).unwrap_err();
        let keys: Vec<&str> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
        let expected = ["redis.password_file", "redis.sentinel_password_file", "redis.tls_cert", "redis.tls_ca", "redis.tls_cert"];
        assert_eq!(keys, expected, "{error}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }

    #[test]
    fn later_layers_win_and_tell_where_each_value_came_from() {
        let text = "reservation:\n  ttl: 1m\n  ttl_max: 1h\nretention: 1d\nlisten:\n  - 127.0.0.1:1\n  - unix:/run/q.sock\n";
        let variables = [("GENQUOTA_RESERVATION_TTL", "2m"), ("GENQUOTA_RESERVATION_TTL_MAX", "3h")];
        let (_dir, layers) = with_file(text, layers(&variables, &[("reservation.ttl", &["3m"])]));
        let Loaded { config, origins, .. } = load(&layers).unwrap();
        assert_eq!(config.reservation.ttl, Duration::from_secs(180));
        assert_eq!(config.reservation.ttl_max, Duration::from_secs(3 * 3600));
        assert_eq!(config.retention, Duration::from_secs(24 * 3600));
        assert_eq!(config.listen.len(), 2);
        assert_eq!(origins["reservation.ttl"], Origin::Flag("--reservation.ttl".into()));
        assert_eq!(origins["reservation.ttl_max"], Origin::Variable("GENQUOTA_RESERVATION_TTL_MAX".into()));
        assert!(matches!(&origins["retention"], Origin::File { line: 4, .. }), "{:?}", origins["retention"]);
        assert_eq!(origins["log.filter"], Origin::Default);
    }

    #[test]
    fn a_later_list_replaces_an_earlier_one() {
        let (_dir, layers) = with_file("listen: [127.0.0.1:1, 127.0.0.1:2]\n", layers(&[("GENQUOTA_LISTEN", "127.0.0.1:3, unix:a")], &[]));
        let listen = load(&layers).unwrap().config.listen;
        assert_eq!(listen.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.1:3", "unix:a"]);
    }

    #[test]
    fn all_problems_of_all_layers_are_reported_at_once() {
        let text = "retention: soon\nlimit:\n  queue: 1\nlimits:\n  queue: 0\nlog: loud\n";
        let variables = [("GENQUOTA_STORE", "redis://user:secret@cache/first"), ("GENQUOTA_LOG_FORMAT", "xml")];
        let flags: [(&str, &[&str]); 2] = [("listen", &["0.0.0.0:7070", "7070"]), ("http", &["nowhere"])];
        let (_dir, layers) = with_file(text, layers(&variables, &flags));
        let error = load(&layers).unwrap_err();
        let keys: Vec<&str> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["limit", "log", "retention", "limits.queue", "log.format", "store", "listen", "http"]);
        let text = error.to_string();
        assert!(text.contains("genquota.yaml:1: `retention`"), "{text}");
        assert!(text.contains("genquota.yaml:2: `limit`"), "{text}");
        assert!(text.contains("GENQUOTA_STORE: `store`"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let table: [(&str, &[&str]); 7] = [
            ("health", &["127.0.0.1:7070"]),
            ("health", &["127.0.0.1:7071"]),
            ("reservation.ttl", &["3h"]),
            ("retention", &["1h"]),
            ("reservation.ttl_max", &["1m"]),
            ("listen", &["127.0.0.1:1", "127.0.0.1:1"]),
            ("http", &["127.0.0.1:7070"]),
        ];
        for (key, values) in table {
            let error = load(&layers(&[], &[(key, values)])).unwrap_err();
            assert_eq!(error.problems.iter().map(|problem| problem.key.as_str()).collect::<Vec<_>>(), [key]);
        }
        assert!(load(&layers(&[], &[("listen", &["127.0.0.1:0", "127.0.0.1:0"])])).is_ok());
    }

    #[test]
    fn unknown_variables_are_named_and_ignored_and_service_links_are_silent() {
        let variables = [("GENQUOTA_LISTN", "x"), ("GENQUOTA_SERVICE_HOST", "10.0.0.1"), ("GENQUOTA_PORT", "tcp://10.0.0.1:7070")];
        let loaded = load(&layers(&variables, &[])).unwrap();
        assert_eq!(loaded.warnings.len(), 1);
        assert_eq!(loaded.warnings[0].origin, Origin::Variable("GENQUOTA_LISTN".into()));
    }

    #[test]
    fn file_may_be_named_by_a_variable_and_must_exist() {
        let (dir, _) = with_file("instance: from-file\n", Layers::default());
        let path = dir.path().join("genquota.yaml");
        let named = layers(&[("GENQUOTA_CONFIG", path.to_str().unwrap())], &[]);
        assert_eq!(load(&named).unwrap().config.instance, "from-file");
        let missing = layers(&[("GENQUOTA_CONFIG", "no/such/file.yaml")], &[]);
        assert!(load(&missing).unwrap_err().to_string().contains("no/such/file.yaml"));
    }
}
