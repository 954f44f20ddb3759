//! The `prices` of a catalog as text, checked by reading them as part of one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::import::{Entry, ImportError, Options, Part};
use crate::catalog;
use crate::domain::ids::Target;
use crate::yaml::TEXT_BYTES_MAX;

/// Words that YAML reads as something other than a text.
const RESERVED: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];

/// Writes the section. An error where it is too large for any catalog, or no part of one.
pub(super) fn write(entries: &[Entry], options: &Options) -> Result<String, ImportError> {
    let needs = Needs::of(entries);
    let mut text = needs.comment();
    text.push_str(if entries.is_empty() { "prices: []\n" } else { "prices:\n" });
    for entry in entries {
        write_entry(&mut text, entry, options);
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(ImportError::TooLarge { bytes: text.len() });
    }
    match catalog::parse("section", &needs.catalog(&text)) {
        Ok(_) => Ok(text),
        Err(problems) => Err(ImportError::Section(Box::new(problems))),
    }
}

fn write_entry(text: &mut String, entry: &Entry, options: &Options) {
    let Target { provider, model } = &entry.target;
    let tier = scalar(options.tiers.of(&entry.target));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  - provider: {}\n    model: {}\n    tier: {tier}", scalar(provider.as_str()), scalar(model.as_str()));
    if let Some(from) = &options.from {
        let _ = writeln!(text, "    from: {}", scalar(from));
    }
    text.push_str("    components:\n");
    for part in &entry.parts {
        let _ = write!(text, "      - {{per: {}, price: {}", part.per, part.price);
        if let Some(assumed) = assumed(part, options) {
            let _ = write!(text, ", assume: {assumed}");
        }
        if !part.when.is_empty() {
            let when: Vec<_> = part.when.iter().map(|(name, value)| format!("{name}: {}", scalar(value))).collect();
            let _ = write!(text, ", when: {{{}}}", when.join(", "));
        }
        text.push_str("}\n");
    }
}

fn assumed<'o>(part: &Part, options: &'o Options) -> Option<&'o str> {
    let asked = options.assume.get(part.per).map(String::as_str);
    asked.or_else(|| part.rare.then_some("0"))
}

/// A text in quotes unless it is plainly a word. No id holds a quote or a backslash.
fn scalar(text: &str) -> String {
    let is_word = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte))
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if is_word { text.to_owned() } else { format!("\"{text}\"") }
}

/// What the actions of the catalog must declare.
struct Needs<'e> {
    measures: BTreeSet<&'static str>,
    attributes: BTreeMap<&'static str, BTreeSet<&'e str>>,
}

impl<'e> Needs<'e> {
    fn of(entries: &'e [Entry]) -> Self {
        let mut needs = Self { measures: BTreeSet::new(), attributes: BTreeMap::new() };
        for part in entries.iter().flat_map(|entry| &entry.parts) {
            if !["request", "output"].contains(&part.per) {
                needs.measures.insert(part.per);
            }
            for (name, value) in &part.when {
                needs.attributes.entry(name).or_default().insert(value);
            }
        }
        needs
    }

    fn comment(&self) -> String {
        let mut text =
            "# Imported from a price table of LiteLLM. The actions of the catalog must declare what these prices ask for.\n".to_owned();
        if !self.measures.is_empty() {
            let measures: Vec<_> = self.measures.iter().copied().collect();
            let _ = writeln!(text, "# measures: [{}]", measures.join(", "));
        }
        for (name, values) in &self.attributes {
            let values: Vec<_> = values.iter().map(|value| scalar(value)).collect();
            let _ = writeln!(text, "# attribute {name}: [{}]", values.join(", "));
        }
        text
    }

    /// The smallest catalog in which the section stands.
    fn catalog(&self, section: &str) -> String {
        let measures: Vec<_> = self.measures.iter().copied().collect();
        let attributes: Vec<_> = self.attributes.keys().map(|name| format!("{name}: any")).collect();
        format!(
            "catalog: genquota/v1\nmeters: {{requests: {{}}}}\nactions:\n  any:\n    meter: requests\n    rules: [{{per: request, rate: 1}}]\n{}{}{section}",
            if measures.is_empty() { String::new() } else { format!("    measures: [{}]\n", measures.join(", ")) },
            if attributes.is_empty() { String::new() } else { format!("    attributes: {{{}}}\n", attributes.join(", ")) },
        )
    }
}
