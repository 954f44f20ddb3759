//! `docs/telemetry.md` against the names in the code.

use std::path::Path;

use genquota::telemetry::names::{Kind, METRICS, attribute};

fn document() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/telemetry.md")).unwrap()
}

/// The rows of the table below a heading, without its two first lines.
fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let section = document.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}")).1;
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn the_document_has_every_attribute_in_its_order_and_no_other() {
    let document = document();
    let written: Vec<String> = rows(&document, "Attributes of spans and records").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(written, attribute::ALL.map(|name| format!("`{name}`")));
}

#[test]
fn the_document_has_every_metric_in_its_order_as_it_is() {
    let document = document();
    let expected = METRICS.iter().map(|metric| {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels = metric.labels.iter().map(|label| format!("`{}`", label.replace('.', "_"))).collect::<Vec<_>>().join(" ");
        let unit = metric.unit.trim_matches(['{', '}']).to_owned();
        vec![format!("`{}`", metric.prometheus()), format!("`{}`", metric.name), kind.to_owned(), unit, labels, metric.about.to_owned()]
    });
    assert_eq!(rows(&document, "Metrics"), expected.collect::<Vec<_>>());
}
