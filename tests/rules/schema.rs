//! The published JSON Schema is the one the code says.

use std::fs;

use genquota::catalog::json_schema;

use crate::bench::in_repository;

/// To write the schema anew: `GENQUOTA_WRITE_SCHEMA=1 cargo test --test rules schema`.
#[test]
fn the_published_schema_is_up_to_date() {
    let path = in_repository("docs/catalog.schema.json");
    let generated = format!("{}\n", serde_json::to_string_pretty(&json_schema()).unwrap());
    if std::env::var_os("GENQUOTA_WRITE_SCHEMA").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(published == generated, "docs/catalog.schema.json is not up to date; write it with GENQUOTA_WRITE_SCHEMA=1");
}

#[test]
fn the_schema_allows_no_null_and_no_unknown_key() {
    let schema = json_schema();
    let text = schema.to_string();
    assert!(!text.contains("null"), "{text}");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], serde_json::json!(["catalog", "meters", "actions"]));
}
