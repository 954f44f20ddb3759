//! The alerts and the dashboard of the examples, by Prometheus's own tool and against the metrics there are.

use std::path::{Path, PathBuf};
use std::process::Command;

use genquota::telemetry::names::METRICS;
use serde_json::Value;

use crate::lab::Tool;

fn examples(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(path)
}

fn promtool(dir: &Path, words: &[&str]) {
    let output = Command::new(Tool::Promtool.program()).args(words).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

/// Every name in an expression must be of a metric that there is.
fn assert_known(expression: &str) {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let names =
        expression.split(|char: char| !is_word(char)).filter(|word| word.starts_with("genquota_") || word.starts_with("rpc_server"));
    for name in names {
        let known = METRICS
            .iter()
            .map(|metric| metric.prometheus())
            .any(|metric| name.strip_prefix(&metric).is_some_and(|suffix| ["", "_bucket", "_count", "_sum"].contains(&suffix)));
        assert!(known, "`{name}` is no metric: {expression}");
    }
}

/// Every `expr` of the dashboard.
fn expressions(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            into.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| expressions(value, into));
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, into)),
        _ => {}
    }
}

#[test]
fn the_alerts_are_well_formed_and_do_what_their_tests_say() {
    promtool(&examples("prometheus"), &["check", "rules", "alerts.yaml"]);
    promtool(&examples("prometheus"), &["test", "rules", "alerts_test.yaml"]);
}

#[test]
fn every_alert_is_tested_says_what_to_do_and_speaks_of_metrics_that_there_are() {
    let rules = std::fs::read_to_string(examples("prometheus/alerts.yaml")).unwrap();
    let tests = std::fs::read_to_string(examples("prometheus/alerts_test.yaml")).unwrap();
    assert_known(&rules);
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 5);
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        for part in ["summary:", "description:", "action:", "severity:"] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
        assert!(tests.contains(&format!("alertname: {name}\n")), "{name} is not tested");
    }
}

#[test]
fn every_panel_of_the_dashboard_asks_what_prometheus_understands() {
    let dashboard: Value = serde_json::from_slice(&std::fs::read(examples("grafana/genquota.json")).unwrap()).unwrap();
    let mut all = Vec::new();
    expressions(&dashboard, &mut all);
    assert!(all.len() > 20, "{}", all.len());
    let mut rules = String::from("groups:\n  - name: dashboard\n    rules:\n");
    for (number, expression) in all.iter().enumerate() {
        assert_known(expression);
        // What Grafana puts in.
        let asked = expression.replace("$__rate_interval", "5m").replace("$__range", "6h").replace("$job", ".*");
        assert!(!asked.contains('$'), "{asked}");
        rules.push_str(&format!("      - {{record: \"panel:{number}\", expr: {}}}\n", Value::from(asked)));
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("panels.yaml"), rules).unwrap();
    promtool(dir.path(), &["check", "rules", "panels.yaml"]);
}

#[test]
fn the_dashboard_shows_every_metric_of_the_ledger() {
    let dashboard = std::fs::read_to_string(examples("grafana/genquota.json")).unwrap();
    for metric in METRICS {
        assert!(dashboard.contains(&metric.prometheus()), "{}", metric.prometheus());
    }
}
