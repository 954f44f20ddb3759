//! From a table to the prices of our book, and an account of what was not taken over.
//!
//! A model is mapped whole, or with fields left out that have no place in our book; where what it charges for cannot be expressed exactly,
//! it is not mapped at all, for a part of a price would be a wrong price.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::field::{Meaning, Way, meaning, ways};
use super::name::{Name, name, provider_of};
use super::number::{NumberError, price};
use super::section;
use super::table::{self, Model};
use crate::catalog::Problems;
use crate::domain::ids::Target;

/// What is imported, and how it is named here.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only these providers; empty: all.
    pub providers: Vec<String>,
    /// Only these modes; empty: all.
    pub modes: Vec<String>,
    pub tiers: Tiers,
    /// What is assumed of measures that callers may not know, as decimals.
    pub assume: BTreeMap<String, String>,
    /// Since when the prices apply, as a catalog writes it; `None`: since ever.
    pub from: Option<String>,
}

/// Which tier a target gets.
#[derive(Debug, Clone)]
pub struct Tiers {
    pub default: String,
    /// Patterns over `PROVIDER/MODEL`, where `*` stands for anything; the first that fits decides.
    pub overrides: Vec<(String, String)>,
}

/// What came of a table.
#[derive(Debug, Clone)]
pub struct Import {
    /// The `prices` of a catalog, as YAML, with what the catalog must declare in a comment.
    pub section: String,
    /// Models that were looked at, and how many of them are mapped, by mode.
    pub modes: BTreeMap<String, ModeCount>,
    /// Targets in the section.
    pub targets: usize,
    pub unmapped: Vec<Unmapped>,
    /// Fields of mapped models.
    pub left_out: Vec<LeftOut>,
    /// Models that the options leave aside.
    pub aside: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModeCount {
    pub models: usize,
    pub mapped: usize,
}

/// A model that is not in the section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmapped {
    pub key: String,
    pub mode: String,
    /// The same words for all that are alike.
    pub reason: &'static str,
    /// What it is about, such as the field and its value.
    pub detail: String,
}

/// A price of a mapped model that has no place in our book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub key: String,
    pub field: String,
    pub reason: &'static str,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum ImportError {
    #[error("not a price table of LiteLLM: {0}")]
    Table(String),
    #[error("no model has the {what} `{asked}`\nhint: the table has {known}")]
    Nothing { what: &'static str, asked: String, known: String },
    /// What was written would be no part of a catalog.
    #[error("the section is not valid in a catalog:\n{0}")]
    Section(Box<Problems>),
    #[error(
        "the section has {bytes} bytes, and a whole catalog may have {}\nhint: import less: `--mode`, `--provider`",
        crate::yaml::TEXT_BYTES_MAX
    )]
    TooLarge { bytes: usize },
}

/// One component of a price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) per: &'static str,
    pub(super) price: Decimal,
    pub(super) when: Vec<(&'static str, String)>,
    pub(super) rare: bool,
}

/// A target of the section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) target: Target,
    pub(super) parts: Vec<Part>,
}

/// What one model of the table charges.
#[derive(Debug, Clone)]
struct Priced {
    key: String,
    mode: String,
    name: Name,
    way: Option<Way>,
    parts: Vec<Part>,
}

impl Default for Tiers {
    fn default() -> Self {
        Self { default: "standard".to_owned(), overrides: Vec::new() }
    }
}

impl Tiers {
    pub(super) fn of(&self, target: &Target) -> &str {
        let target = target.to_string();
        let named = self.overrides.iter().find(|(_, pattern)| fits(pattern.as_bytes(), target.as_bytes()));
        named.map_or(&self.default, |(tier, _)| tier)
    }
}

/// Whether a text fits a pattern in which `*` stands for anything.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => fits(rest, text),
        (Some((b'*', rest)), Some((_, after))) => fits(rest, text) || fits(pattern, after),
        (Some((wanted, rest)), Some((found, after))) => wanted == found && fits(rest, after),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

impl Import {
    /// Reads the text of a table.
    pub fn read(text: &str, options: &Options) -> Result<Self, ImportError> {
        let models = table::read(text).map_err(ImportError::Table)?;
        check_filters(&models, options)?;
        let all = models.len();
        let wanted: Vec<Model<'_>> = models.into_iter().filter(|model| is_wanted(model, options)).collect();
        let mut import = Self {
            section: String::new(),
            modes: BTreeMap::new(),
            targets: 0,
            unmapped: Vec::new(),
            left_out: Vec::new(),
            aside: all - wanted.len(),
        };
        let priced: Vec<Priced> = wanted.iter().filter_map(|model| import.model(model)).collect();
        let entries = import.merge(priced);
        import.targets = entries.len();
        import.section = section::write(&entries, options)?;
        Ok(import)
    }

    /// What a model charges, unless that cannot be mapped.
    fn model(&mut self, model: &Model<'_>) -> Option<Priced> {
        self.modes.entry(model.mode.clone()).or_default().models += 1;
        let named = match &model.provider {
            Some(provider) => name(&model.key, provider).map_err(|problem| ("is no name of ours", problem)),
            None => Err(("has no provider", String::new())),
        };
        match named.and_then(|name| self.priced(model, name)) {
            Ok(priced) => {
                self.modes.entry(model.mode.clone()).or_default().mapped += 1;
                Some(priced)
            }
            Err((reason, detail)) => {
                self.unmapped.push(Unmapped { key: model.key.clone(), mode: model.mode.clone(), reason, detail });
                None
            }
        }
    }

    fn priced(&mut self, model: &Model<'_>, name: Name) -> Result<Priced, (&'static str, String)> {
        let has =
            |field: &str| model.prices.iter().any(|(known, value)| known == field && price(value).map_or(true, |price| !price.is_zero()));
        let mut found: Vec<(Way, &str, Part, Result<Decimal, NumberError>)> = Vec::new();
        let mut left: Vec<LeftOut> = Vec::new();
        let mut leave = |field: &str, reason| left.push(LeftOut { key: model.key.clone(), field: field.to_owned(), reason });
        for (field, value) in &model.prices {
            let value = price(value);
            match meaning(&model.mode, field, has) {
                Meaning::Part { way, per, resolution, rare } => {
                    let mut when = name.attributes.clone();
                    when.extend(resolution.map(|resolution| ("resolution", resolution)));
                    let amount = value.clone().unwrap_or_default();
                    found.push((way, field, Part { per, price: amount, when, rare }, value));
                }
                Meaning::LeftOut(reason) if value.as_ref().map_or(true, |price| !price.is_zero()) => leave(field, reason),
                // What costs nothing is no loss.
                Meaning::LeftOut(_) => {}
            }
        }
        let charges = |way: Way| found.iter().any(|(known, _, part, value)| *known == way && (value.is_err() || !part.price.is_zero()));
        let way = ways(&model.mode).iter().copied().find(|way| charges(*way));
        let mut parts = Vec::new();
        for (known, field, part, value) in found {
            // A price of nothing adds nothing, but for one that takes the place of another.
            if value == Ok(Decimal::ZERO) && part.when == name.attributes {
                continue;
            }
            if Some(known) != way && known != Way::Request {
                leave(field, "another way of charging for the same");
                continue;
            }
            match value {
                Ok(_) => parts.push(part),
                Err(error) => return Err((reason(&error), format!("`{field}` {error}"))),
            }
        }
        if parts.is_empty() {
            return Err(match left.first() {
                Some(first) => ("charges only for what has no place in our book", format!("`{}`: {}", first.field, first.reason)),
                None => ("has no price above 0", String::new()),
            });
        }
        self.left_out.extend(left);
        // The first that fits counts, so those with conditions come first.
        parts.sort_by_key(|part| std::cmp::Reverse(part.when.len()));
        Ok(Priced { key: model.key.clone(), mode: model.mode.clone(), name, way, parts })
    }

    /// Gathers what was said of each target under several keys.
    fn merge(&mut self, priced: Vec<Priced>) -> Vec<Entry> {
        let mut by_target: BTreeMap<Target, Vec<Priced>> = BTreeMap::new();
        for one in priced {
            by_target.entry(one.name.target.clone()).or_default().push(one);
        }
        by_target.into_iter().filter_map(|(target, models)| self.entry(target, models)).collect()
    }

    /// The entry of a target: what is for certain attributes in front, what is for the rest behind it.
    fn entry(&mut self, target: Target, mut models: Vec<Priced>) -> Option<Entry> {
        // Stable: among keys with as many attributes, the first one of the table leads.
        models.sort_by_key(|model| std::cmp::Reverse(model.name.attributes.len()));
        let way = models.first()?.way;
        let mut taken: Vec<Priced> = Vec::new();
        for model in models {
            let twin = taken.iter().find(|known| known.name.attributes == model.name.attributes);
            match twin.map(|twin| (twin.key.clone(), twin.parts == model.parts)) {
                None if model.way == way => taken.push(model),
                // The sum of two ways of charging would charge twice.
                None => self.drop_mapped(&model, "is charged in another way than its variants by size", String::new()),
                Some((_, true)) => {}
                Some((key, false)) => self.drop_mapped(&model, "has another price under another key", format!("`{key}` comes first")),
            }
        }
        let parts = taken.into_iter().flat_map(|model| model.parts).collect();
        Some(Entry { target, parts })
    }

    /// Takes back that a model is mapped.
    fn drop_mapped(&mut self, model: &Priced, reason: &'static str, detail: String) {
        if let Some(count) = self.modes.get_mut(&model.mode) {
            count.mapped -= 1;
        }
        self.left_out.retain(|left| left.key != model.key);
        self.unmapped.push(Unmapped { key: model.key.clone(), mode: model.mode.clone(), reason, detail });
    }

    pub fn models(&self) -> usize {
        self.modes.values().map(|count| count.models).sum()
    }

    pub fn mapped(&self) -> usize {
        self.modes.values().map(|count| count.mapped).sum()
    }
}

/// The words for all numbers that fail alike.
fn reason(error: &NumberError) -> &'static str {
    match error {
        NumberError::NoNumber(_) => "has a price that is no number",
        NumberError::Negative(_) => "has a price below zero",
        NumberError::TooFine(_) => "has a price with too many digits",
        NumberError::TooLarge(_) => "has a price that is too large",
    }
}

fn is_wanted(model: &Model<'_>, options: &Options) -> bool {
    let provider = model.provider.as_deref().map(provider_of);
    let is_one_of = |names: &[String], name: Option<&str>| names.is_empty() || names.iter().any(|known| Some(known.as_str()) == name);
    is_one_of(&options.providers, provider) && is_one_of(&options.modes, Some(&model.mode))
}

/// A filter that nothing passes is a slip of the pen.
fn check_filters(models: &[Model<'_>], options: &Options) -> Result<(), ImportError> {
    let providers: BTreeSet<&str> = models.iter().filter_map(|model| model.provider.as_deref().map(provider_of)).collect();
    let modes: BTreeSet<&str> = models.iter().map(|model| model.mode.as_str()).filter(|mode| !mode.is_empty()).collect();
    for (what, asked, known) in [("provider", &options.providers, providers), ("mode", &options.modes, modes)] {
        if let Some(asked) = asked.iter().find(|asked| !known.contains(asked.as_str())) {
            let known = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return Err(ImportError::Nothing { what, asked: asked.clone(), known });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
