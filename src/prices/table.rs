//! The table as it is written: models in their order, each with its fields and the raw text of their values.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// An entry that only documents the others.
const SAMPLE: &str = "sample_spec";

/// One model of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Model<'t> {
    pub(super) key: String,
    /// As the table has it: `image_generation`; empty where it says nothing.
    pub(super) mode: String,
    /// The value of `litellm_provider`, if it has one.
    pub(super) provider: Option<String>,
    /// Everything that tells a price, with the text of its value.
    pub(super) prices: Vec<(String, &'t str)>,
}

/// Reads the models of a table. The error tells what is wrong and where, or that this is another kind of file.
pub(super) fn read(text: &str) -> Result<Vec<Model<'_>>, String> {
    let table: Pairs<Pairs<&RawValue>> = serde_json::from_str(text).map_err(|problem| problem.to_string())?;
    let models: Vec<Model<'_>> =
        table.0.into_iter().filter(|(key, _)| key != SAMPLE).map(|(key, fields)| Model::of(key, fields.0)).collect();
    if models.iter().all(|model| model.provider.is_none()) {
        return Err("no entry has a `litellm_provider`".to_owned());
    }
    Ok(models)
}

impl<'t> Model<'t> {
    fn of(key: String, fields: Vec<(String, &'t RawValue)>) -> Self {
        let mut model = Self { key, mode: String::new(), provider: None, prices: Vec::new() };
        for (name, value) in fields {
            let text = || serde_json::from_str::<String>(value.get()).ok();
            match name.as_str() {
                "mode" => model.mode = text().unwrap_or_default(),
                "litellm_provider" => model.provider = text(),
                _ if tells_a_price(&name) => model.prices.push((name, value.get())),
                _ => {}
            }
        }
        model
    }
}

fn tells_a_price(name: &str) -> bool {
    name.contains("cost") || name.contains("price") || name.contains("pricing")
}

/// The members of an object in their order, one that stands twice among them.
struct Pairs<V>(Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<V> {
    type Value = Pairs<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_read_in_their_order_without_the_sample() {
        let text = r#"{"sample_spec": {"litellm_provider": "one of"}, "b": {"litellm_provider": "p", "mode": "chat",
            "max_tokens": 3, "input_cost_per_token": 4e-08}, "a": {"litellm_provider": "p"}}"#;
        let models = read(text).unwrap();
        assert_eq!(models.iter().map(|model| model.key.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(models[0].prices, [("input_cost_per_token".to_owned(), "4e-08")]);
        assert_eq!((models[0].mode.as_str(), models[0].provider.as_deref()), ("chat", Some("p")));
    }

    #[test]
    fn a_file_of_another_kind_is_told_with_its_place() {
        for (text, expected) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("[]", "invalid type: sequence, expected an object at line 1 column 0"),
            ("{\"a\": {},\n\"b\": 1}", "invalid type: integer `1`, expected an object at line 2 column 6"),
            ("{}", "no entry has a `litellm_provider`"),
            ("{\"a\": {\"mode\": \"chat\"}}", "no entry has a `litellm_provider`"),
        ] {
            assert_eq!(read(text).unwrap_err(), expected, "{text}");
        }
    }
}
