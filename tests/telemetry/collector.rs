//! A real collector of OpenTelemetry, which writes what it receives into its log, and that log read back.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::lab::{Process, Tool, wait_for};

pub(crate) struct Collector {
    pub(crate) grpc: String,
    pub(crate) http: String,
    log: PathBuf,
    _process: Process,
    _dir: TempDir,
}

/// One span, log record or data point: its fields as they are written, and its attributes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Item {
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let [grpc, http] = free_ports();
        let mut command = Command::new(Tool::Rotel.program());
        command.args(["start", "--exporter", "blackhole", "--debug-log-verbosity", "detailed"]);
        command.args(["traces", "metrics", "logs"].iter().flat_map(|signal| ["--debug-log", signal]));
        command.args(["--otlp-grpc-endpoint", &grpc, "--otlp-http-endpoint", &http]).env_clear().current_dir(dir.path());
        command.stdout(File::create(&log).unwrap()).stderr(Stdio::null());
        let process = Process::spawn(&mut command);
        for address in [&grpc, &http] {
            wait_for("the collector", || std::net::TcpStream::connect(address).ok());
        }
        Self { grpc: format!("http://{grpc}"), http: format!("http://{http}"), log, _process: process, _dir: dir }
    }

    /// Waits for a span of this name that `fits`.
    pub(crate) fn span(&self, name: &str, fits: impl Fn(&Item) -> bool) -> Item {
        self.item(&format!("the span {name}"), "Span #", |item| item.fields.get("Name").is_some_and(|found| found == name) && fits(item))
    }

    /// Waits for a log record that `fits`.
    pub(crate) fn record(&self, fits: impl Fn(&Item) -> bool) -> Item {
        self.item("a log record", "LogRecord #", fits)
    }

    /// Waits for a data point of a metric that `fits`.
    pub(crate) fn point(&self, metric: &str, fits: impl Fn(&Item) -> bool) -> Item {
        let of_metric = |log: &str| -> Vec<Item> {
            let metrics = log.split("\nMetric #").skip(1);
            let named = metrics.filter(|text| text.contains(&format!("-> Name: {metric}\n")));
            named.flat_map(|text| items(text, "DataPoints #")).collect()
        };
        wait_for(&format!("a point of {metric}"), || of_metric(&self.log()).into_iter().find(|item| fits(item)))
    }

    fn item(&self, what: &str, heading: &str, fits: impl Fn(&Item) -> bool) -> Item {
        wait_for(what, || items(&self.log(), heading).into_iter().find(|item| fits(item)))
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

/// What stands below each heading: `key : value` are fields, `-> key: Type(value)` attributes.
fn items(log: &str, heading: &str) -> Vec<Item> {
    let mut items = Vec::new();
    for block in log.split(heading).skip(1) {
        let mut item = Item::default();
        for line in block.lines().skip(1) {
            if line.contains(" #") || line.starts_with("Resource") {
                break;
            }
            match (line.trim().strip_prefix("-> "), line.split_once(':')) {
                (Some(attribute), _) => {
                    let (name, value) = attribute.split_once(": ").unwrap_or((attribute, ""));
                    let value = value.split_once('(').map_or(value, |(_, value)| value.trim_end_matches(')'));
                    item.attributes.insert(name.to_owned(), value.to_owned());
                }
                (None, Some((name, value))) => {
                    item.fields.insert(name.trim().to_owned(), value.trim().to_owned());
                }
                (None, None) => {}
            }
        }
        items.push(item);
    }
    items
}

impl Item {
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }
}

/// Two ports that are free now; the collector cannot be told to find them by itself.
fn free_ports() -> [String; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().to_string())
}
