//! The published JSON Schema and the published reference are those the code says.

use std::fs;

use genquota::catalog::{json_schema, reference};

use crate::bench::in_repository;

/// What is published is what is generated. To write both anew: `GENQUOTA_WRITE_SCHEMA=1 cargo test --test rules schema`.
fn assert_published(file: &str, generated: &str) {
    let path = in_repository(file);
    if std::env::var_os("GENQUOTA_WRITE_SCHEMA").is_some() {
        fs::write(&path, generated).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(published == generated, "{file} is not up to date; write it with GENQUOTA_WRITE_SCHEMA=1");
}

#[test]
fn the_published_schema_is_up_to_date() {
    assert_published("docs/catalog.schema.json", &format!("{}\n", serde_json::to_string_pretty(&json_schema()).unwrap()));
}

#[test]
fn the_published_reference_is_up_to_date() {
    assert_published("docs/catalog-reference.md", &reference());
}

/// A key without a word on it is no reference.
#[test]
fn every_key_of_the_reference_is_explained_and_every_link_has_its_section() {
    let text = reference();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `") || line.starts_with("| **`")).collect();
    assert!(rows.len() > 80, "{}", rows.len());
    let bare: Vec<_> = rows.iter().filter(|row| row.trim_end_matches('|').trim_end().ends_with('|')).collect();
    assert!(bare.is_empty(), "{bare:#?}");
    for link in text.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(text.lines().any(|line| line.strip_prefix("## ").is_some_and(|title| title.to_ascii_lowercase() == link)), "{link}");
    }
}

#[test]
fn the_schema_allows_no_null_and_no_unknown_key() {
    let schema = json_schema();
    let text = schema.to_string();
    assert!(!text.contains("null"), "{text}");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], serde_json::json!(["catalog", "meters", "actions"]));
}
