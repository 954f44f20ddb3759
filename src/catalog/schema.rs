//! The JSON Schema of the catalog's file, generated from its types. Editors complete and check with it; the server does not use it.

use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, generate::SchemaSettings};
use serde_json::Value;

use super::raw::RawCatalog;

/// The schema that is published as `docs/catalog.schema.json`.
pub fn json_schema() -> Value {
    let settings = SchemaSettings::draft07().with_transform(WithoutNull);
    settings.into_generator().into_root_schema_for::<RawCatalog>().to_value()
}

/// A key of the catalog is written with a value or left out; it is never `null`.
#[derive(Debug, Clone)]
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        let null = Value::from("null");
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|kind| *kind != null);
            if let [only] = &types[..] {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(values)) = object.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
        if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
            choices.retain(|choice| choice.get("type") != Some(&null));
            if let [Value::Object(only)] = &choices[..] {
                let only = only.clone();
                object.remove("anyOf");
                for (key, value) in only {
                    object.entry(key).or_insert(value);
                }
            }
        }
        // The width of a Rust integer says nothing to a reader; the bounds are declared.
        object.remove("format");
        if object.get("default").is_some_and(Value::is_null) {
            object.remove("default");
        }
    }
}
