//! The reference of the catalog's file: every key with its value and meaning, in Markdown, generated from the same types as the schema.

use std::collections::VecDeque;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::schema::json_schema;

/// Where the schema keeps the types that others name.
const DEFINITIONS: &str = "#/definitions/";
/// Types that are one value, and how that is called. Every other named type has keys of its own and a section.
const PLAIN: [(&str, &str); 2] = [("Decimal", "number"), ("Value", "value")];

const HEAD: &str = "\
# Catalog reference

Every key of the catalog's file, generated from the code by `genquota catalog reference`. What the parts are for, with examples and the rules
behind them, is in [catalog.md](catalog.md). A key in **bold** is required. A *number* is a plain decimal, in quotes or not, read exactly; a
*value* is a text, number or switch.
";

/// The reference that is published as `docs/catalog-reference.md`: a section for each type, in the order in which they are first named.
pub fn reference() -> String {
    let schema = json_schema();
    let mut pages = Pages { schema: &schema, waiting: VecDeque::new(), named: Vec::new(), text: HEAD.to_owned() };
    pages.section("The file", &schema);
    while let Some(name) = pages.waiting.pop_front() {
        let definition = schema["definitions"][&name].clone();
        pages.section(&name, &definition);
    }
    pages.text
}

struct Pages<'s> {
    schema: &'s Value,
    /// Types that were named and have no section yet.
    waiting: VecDeque<String>,
    named: Vec<String>,
    text: String,
}

impl Pages<'_> {
    fn section(&mut self, title: &str, definition: &Value) {
        let about = definition["description"].as_str().unwrap_or_default();
        self.line(&format!("\n## {title}\n\n{about}\n"));
        self.line("| key | value | meaning |\n|---|---|---|");
        let required: Vec<&str> = definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let keys = definition["properties"].as_object().into_iter().flatten();
        // What must be there comes first.
        let (first, rest): (Vec<_>, Vec<_>) = keys.partition(|(key, _)| required.contains(&key.as_str()));
        for (key, value) in &first {
            self.row(&format!("**`{key}`**"), value);
        }
        for (key, value) in &rest {
            self.row(&format!("`{key}`"), value);
        }
        if let Some(others) = definition["additionalProperties"].as_object() {
            let kind = self.kind(others);
            self.line(&format!("| any other name | {kind} | An attribute of work. |"));
        }
    }

    fn row(&mut self, key: &str, value: &Value) {
        let Some(object) = value.as_object() else { return };
        let kind = self.kind(object);
        let mut meaning = object.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        for choice in object.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
            if let (Some(about), Some(choice)) = (choice["description"].as_str(), choice.as_object()) {
                let _ = write!(meaning, " {}: {about}", self.kind(choice));
            }
        }
        self.line(&format!("| {key} | {kind} | {} |", meaning.replace('|', "\\|").replace('\n', " ")));
    }

    /// What may stand as a value, in words.
    fn kind(&mut self, schema: &Map<String, Value>) -> String {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix(DEFINITIONS)) {
            return self.named(name);
        }
        if let Some(only) = schema.get("const") {
            return literal(only);
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return values.iter().map(literal).collect::<Vec<_>>().join(", ");
        }
        if let Some(choices) = ["allOf", "anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)?.as_array()) {
            return self.choice(choices);
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("array") => format!("list of {}", self.inner(schema.get("items"))),
            Some("object") => self.object(schema),
            Some("boolean") => "`true`, `false`".to_owned(),
            Some("integer") => format!("whole number{}", bounds(schema)),
            Some("number") => "number".to_owned(),
            _ => "text".to_owned(),
        }
    }

    fn choice(&mut self, choices: &[Value]) -> String {
        if let [one, Value::Object(list)] = choices
            && list.get("items").is_some_and(|items| items == one)
        {
            return format!("{}, or a list", self.inner(Some(one)));
        }
        let mut kinds: Vec<String> = choices.iter().map(|choice| self.inner(Some(choice))).collect();
        // A number may stand in quotes; that is said once, at the top.
        if choices.iter().any(|choice| choice["type"] == "number") {
            kinds.retain(|kind| kind != "text");
        }
        kinds.join(", ")
    }

    fn object(&mut self, schema: &Map<String, Value>) -> String {
        if let Some(keys) = schema.get("properties").and_then(Value::as_object) {
            let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}: {}", self.inner(Some(value)))).collect();
            return format!("`{{{}}}`", keys.join(", "));
        }
        format!("by name: {}", self.inner(schema.get("additionalProperties")))
    }

    fn inner(&mut self, schema: Option<&Value>) -> String {
        schema.and_then(Value::as_object).map_or_else(|| "anything".to_owned(), |object| self.kind(object))
    }

    /// A named type: a word for one that is plain, a link to its section for every other one.
    fn named(&mut self, name: &str) -> String {
        if let Some((_, word)) = PLAIN.iter().find(|(plain, _)| *plain == name) {
            return (*word).to_owned();
        }
        let definition = &self.schema["definitions"][name];
        if definition["type"] != "object" {
            return definition.as_object().cloned().map_or_else(|| "anything".to_owned(), |definition| self.kind(&definition));
        }
        if !self.named.iter().any(|known| known == name) {
            self.named.push(name.to_owned());
            self.waiting.push_back(name.to_owned());
        }
        format!("[{name}](#{})", name.to_ascii_lowercase())
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }
}

fn literal(value: &Value) -> String {
    value.as_str().map_or_else(|| format!("`{value}`"), |text| format!("`{text}`"))
}

fn bounds(schema: &Map<String, Value>) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) => String::new(),
    }
}
