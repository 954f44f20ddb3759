//! `/metrics` as Prometheus reads it, and a real one that scrapes it and judges the alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use genquota::telemetry::names::{Kind, METRICS};
use serde_json::Value;
use tempfile::TempDir;

use crate::lab::{Process, Tool, wait_for};
use crate::sidecar::{Sidecar, TRACE};

/// Shown only where there is something to show: a journal, a subscriber.
const NOT_ALWAYS: [&str; 4] =
    ["genquota_journal_queued", "genquota_journal_dead", "genquota_stream_lag_seconds", "genquota_certificate_expiry_seconds"];

/// A sidecar after one generation that failed over.
async fn used() -> Sidecar {
    let sidecar = Sidecar::start(&[("GENQUOTA_LOG_FILTER", "warn")]);
    let mut quota = sidecar.quota().await;
    assert!(quota.reserve("r-1", 4).await);
    // Nothing is exported, and the cost event belongs to the caller's trace all the same.
    assert_eq!(quota.commit("r-1").await.events[0].trace_id, TRACE);
    sidecar
}

#[tokio::test]
async fn what_is_shown_is_well_formed() {
    let sidecar = used().await;
    let mut check = Command::new(Tool::Promtool.program());
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().unwrap();
    check.stdin.take().unwrap().write_all(sidecar.metrics().as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn what_is_shown_is_what_is_named_with_its_kind_help_and_labels() {
    let text = used().await.metrics();
    let kinds: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let helps: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' ')).collect();
    for metric in METRICS {
        let name = metric.prometheus();
        let Some(kind) = kinds.get(name.as_str()) else {
            assert!(NOT_ALWAYS.contains(&name.as_str()), "{name} is not shown");
            continue;
        };
        let expected = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        assert_eq!((*kind, helps[name.as_str()]), (expected, metric.about), "{name}");
        let mut labels: BTreeSet<String> = metric.labels.iter().map(|label| label.replace('.', "_")).collect();
        if metric.kind == Kind::Histogram {
            labels.insert("le".to_owned());
        }
        assert_eq!(labels_of(&text, &name), labels, "{name}");
    }
    let known: BTreeSet<String> = METRICS.iter().map(|metric| metric.prometheus()).chain(["target_info".to_owned()]).collect();
    for name in kinds.keys() {
        assert!(known.contains(*name), "{name} is shown and has no name");
    }
    for who in ["acme", "r-1"] {
        assert!(!text.contains(who), "{who} is in a label");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_watches_costs_has_a_lag_and_nobody_has_none() {
    let sidecar = used().await;
    let lag = || sidecar.metrics().lines().find_map(|line| line.strip_prefix("genquota_stream_lag_seconds ")?.parse::<f64>().ok());
    assert_eq!(lag(), None);
    let watcher = sidecar.watch().await;
    wait_for("one at the end", || lag().filter(|lag| *lag == 0.0));
    drop(watcher);
    wait_for("nobody", || lag().is_none().then_some(()));
}

/// The names of all labels of a metric.
fn labels_of(text: &str, name: &str) -> BTreeSet<String> {
    let series = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', '_'])));
    let inside = series.filter_map(|line| Some(line.split_once('{')?.1.rsplit_once('}')?.0));
    inside.flat_map(|labels| labels.split("\",")).filter_map(|label| Some(label.split_once('=')?.0.to_owned())).collect()
}

#[tokio::test]
async fn a_failover_to_a_dearer_target_is_an_alert_in_a_real_prometheus() {
    let sidecar = Sidecar::start(&[("GENQUOTA_LOG_FILTER", "warn")]);
    let prometheus = Prometheus::scraping(&sidecar.http);
    // What rises must have been seen before.
    wait_for("the first scrape", || prometheus.value("genquota_cost_shift_up_total{model=\"image-1\"}").filter(|value| value == "0"));
    assert_eq!(prometheus.alerts("GenquotaFailoverCostShift"), [] as [String; 0]);
    let mut quota = sidecar.quota().await;
    for number in 0..20 {
        let id = format!("r-{number}");
        assert!(quota.reserve(&id, 1).await);
        quota.commit(&id).await;
    }
    wait_for("the alert", || prometheus.alerts("GenquotaFailoverCostShift").contains(&"firing".to_owned()).then_some(()));
    // 20 outputs at 0.25 in place of 0.1.
    wait_for("all cost", || {
        prometheus.value("sum(genquota_cost_total{provider=\"openai\",outcome=\"accepted\"})").filter(|value| value == "5")
    });
    assert_eq!(prometheus.alerts("GenquotaStoreErrors"), [] as [String; 0]);
}

/// A real Prometheus with the alerts of the examples.
struct Prometheus {
    address: String,
    _process: Process,
    _dir: TempDir,
}

impl Prometheus {
    fn scraping(target: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/prometheus/alerts.yaml");
        let rules = std::fs::read_to_string(rules).unwrap();
        // As they are, but without the minutes that a person has and a test has not.
        let hasty: String = rules.lines().filter(|line| !line.trim_start().starts_with("for: ")).map(|line| format!("{line}\n")).collect();
        std::fs::write(dir.path().join("alerts.yaml"), hasty).unwrap();
        let config = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}\n\
             rule_files: [alerts.yaml]\n\
             scrape_configs: [{{job_name: genquota, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = Command::new(Tool::Prometheus.program());
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", &format!("--web.listen-address={address}")]);
        let process = Process::spawn(command.current_dir(dir.path()).stdout(Stdio::null()).stderr(Stdio::null()));
        wait_for("Prometheus", || get(&address, "/-/ready").filter(|(status, _)| *status == 200));
        Self { address, _process: process, _dir: dir }
    }

    /// The value of the only series of a query.
    fn value(&self, query: &str) -> Option<String> {
        let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let (_, body) = get(&self.address, &format!("/api/v1/query?query={query}"))?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        Some(answer["data"]["result"][0]["value"][1].as_str()?.to_owned())
    }

    /// The states of an alert.
    fn alerts(&self, name: &str) -> Vec<String> {
        let (_, body) = get(&self.address, "/api/v1/alerts").unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap();
        let alerts = answer["data"]["alerts"].as_array().unwrap().iter();
        alerts.filter(|alert| alert["labels"]["alertname"] == name).map(|alert| alert["state"].as_str().unwrap().to_owned()).collect()
    }
}

/// The status and body of an answer, if there is one.
fn get(address: &str, path: &str) -> Option<(u16, String)> {
    use std::io::Read as _;
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    // In HTTP 1.0 a body is never sent in chunks.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
