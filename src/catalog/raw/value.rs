//! The values of a catalog that are more than a word: conditions and numbers, each with its own schema.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::yaml::{Entries, OneOrMany, Placed};

/// The keys of a `when` or `match` that are not attributes, each with what it is compared with.
const CONDITIONS: [(&str, &str); 5] = [
    ("action", "What is done. In prices and caps."),
    ("provider", "Who makes it. In rules and caps."),
    ("model", "The model that makes it. In rules and caps."),
    ("tier", "The price class of the target. In rules and caps."),
    ("plan", "The plan of the subject. In rules and caps."),
];

/// Their names.
pub(in crate::catalog) const CONDITION_KEYS: [&str; 5] =
    [CONDITIONS[0].0, CONDITIONS[1].0, CONDITIONS[2].0, CONDITIONS[3].0, CONDITIONS[4].0];

/// A `when` or `match`: `action`, `provider`, `model`, `tier`, `plan`, or an attribute, each with the values that fit.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(in crate::catalog) struct When(pub(in crate::catalog) Entries<OneOrMany<Placed<Text>>>);

impl JsonSchema for When {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let values = generator.subschema_for::<OneOrMany<Text>>();
        let mut properties = serde_json::Map::new();
        for (key, about) in CONDITIONS {
            let mut values = values.clone();
            values.insert("description".to_owned(), about.into());
            properties.insert(key.to_owned(), values.to_value());
        }
        json_schema!({
            "type": "object",
            "description": "Conditions that must all hold: `action`, `provider`, `model`, `tier`, `plan`, or the name of an attribute, \
                            each with one value or several that fit.",
            "properties": properties,
            "additionalProperties": values,
        })
    }
}

/// A plain decimal, kept as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(in crate::catalog) struct Number(pub(in crate::catalog) String);

impl JsonSchema for Number {
    fn schema_name() -> Cow<'static, str> {
        "Decimal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A plain decimal such as `0.33`, with or without quotes. It is read exactly, never as a float.",
            "anyOf": [{ "type": "number", "minimum": 0 }, { "type": "string", "pattern": r"^[0-9]{1,15}(\.[0-9]{1,19})?$" }],
        })
    }
}

/// A plain decimal, or `unlimited`.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(in crate::catalog) struct Amount(pub(in crate::catalog) String);

impl JsonSchema for Amount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": "unlimited" }, generator.subschema_for::<Number>()] })
    }
}

/// The value of an attribute, or a name.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(in crate::catalog) struct Text(pub(in crate::catalog) String);

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "A value, taken as the text that is written.", "type": ["string", "number", "boolean"] })
    }
}
