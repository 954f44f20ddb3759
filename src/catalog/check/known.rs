//! What the catalog declares, so that references can be checked whatever order the file has.
//!
//! Names are known even where their values had problems. Where a whole list of names could not be read, nothing is called unknown.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::raw::{RawCatalog, RawUnpriced, Text};
use crate::yaml::{OneOrMany, Placed, Problem, nearest};

/// The value that stands for every value of an attribute.
pub(super) const ANY: &str = "any";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Meter,
    Action,
    Plan,
    Tier,
    Provider,
    Model,
    Measure,
    Attribute,
}

pub(super) struct Known {
    names: BTreeMap<Kind, BTreeSet<String>>,
    /// The values of each attribute over all actions; `None` where one allows any.
    values: BTreeMap<String, Option<BTreeSet<String>>>,
    /// Meters that an action is charged in.
    charged: BTreeSet<String>,
    /// An action could not be read at all.
    lost_actions: bool,
    /// Paths that had structural problems.
    broken: Vec<String>,
    pub(super) refuses_unpriced: bool,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Meter => "meter",
            Self::Action => "action",
            Self::Plan => "plan",
            Self::Tier => "tier",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Measure => "measure",
            Self::Attribute => "attribute",
        }
    }

    /// Where such names are declared.
    const fn root(self) -> &'static str {
        match self {
            Self::Meter => "meters",
            Self::Plan => "plans",
            Self::Tier | Self::Provider | Self::Model => "prices",
            Self::Action | Self::Measure | Self::Attribute => "actions",
        }
    }

    /// Where the names stand below their root, for those that are values.
    const fn key(self) -> Option<&'static str> {
        match self {
            Self::Meter | Self::Action | Self::Plan => None,
            Self::Tier => Some(".tier"),
            Self::Provider => Some(".provider"),
            Self::Model => Some(".model"),
            Self::Measure => Some(".measures"),
            Self::Attribute => Some(".attributes"),
        }
    }

    /// Whether the names are keys, which are known even where what they name has problems.
    const fn is_key(self) -> bool {
        matches!(self, Self::Meter | Self::Action | Self::Plan)
    }
}

impl Known {
    pub(super) fn gather(raw: &RawCatalog, structural: &[Problem]) -> Self {
        let mut known = Self {
            names: BTreeMap::new(),
            values: BTreeMap::new(),
            charged: BTreeSet::new(),
            lost_actions: raw.actions.iter().any(|action| action.value.is_none()),
            broken: structural.iter().map(|problem| problem.path.clone()).collect(),
            refuses_unpriced: raw.unpriced.as_ref().is_none_or(|unpriced| matches!(unpriced.value, RawUnpriced::Refuse)),
        };
        known.add(Kind::Meter, raw.meters.names());
        known.add(Kind::Action, raw.actions.names());
        known.add(Kind::Plan, raw.plans.names());
        for price in &raw.prices {
            known.add(Kind::Tier, text(price.value.tier.as_ref()));
            known.add(Kind::Provider, text(price.value.provider.as_ref()));
            known.add(Kind::Model, text(price.value.model.as_ref()));
        }
        for action in raw.actions.iter().filter_map(|entry| entry.value.as_ref()) {
            known.charged.extend(action.meter.iter().map(|meter| meter.value.clone()));
            let measures = action.measures.iter().flat_map(|measures| &measures.0);
            known.add(Kind::Measure, measures.map(|measure| &*measure.value));
            known.add(Kind::Attribute, action.attributes.names());
            for attribute in action.attributes.iter() {
                known.add_values(&attribute.name, attribute.value.as_ref());
            }
        }
        known
    }

    fn add<'t>(&mut self, kind: Kind, names: impl IntoIterator<Item = &'t str>) {
        self.names.entry(kind).or_default().extend(names.into_iter().map(str::to_owned));
    }

    fn add_values(&mut self, attribute: &str, values: Option<&OneOrMany<Placed<Text>>>) {
        let all = self.values.entry(attribute.to_owned()).or_insert_with(|| Some(BTreeSet::new()));
        match values {
            Some(values) if values.0.iter().all(|value| value.value.0 != ANY) => {
                if let Some(all) = all {
                    all.extend(values.0.iter().map(|value| value.value.0.clone()));
                }
            }
            _ => *all = None,
        }
    }

    /// The values of an attribute over all actions; `None` where any value is allowed, or where they are not known.
    pub(super) fn values(&self, attribute: &str) -> Option<&BTreeSet<String>> {
        self.values.get(attribute).and_then(Option::as_ref)
    }

    pub(super) fn has(&self, kind: Kind, name: &str) -> bool {
        self.names.get(&kind).is_some_and(|names| names.contains(name))
    }

    pub(super) fn has_any(&self, kind: Kind) -> bool {
        self.names.get(&kind).is_some_and(|names| !names.is_empty())
    }

    /// What to do about a name that is not declared; `None` where it is, or where that cannot be told.
    pub(super) fn unknown(&self, kind: Kind, name: &str) -> Option<String> {
        let root = kind.root();
        if self.has(kind, name) || !self.is_sure(kind) {
            return None;
        }
        let names = self.names.get(&kind).into_iter().flatten().map(String::as_str);
        Some(suggest(name, names, || format!("declare it under `{root}`")))
    }

    /// Whether no such name can have been lost to a problem of the file's shape.
    fn is_sure(&self, kind: Kind) -> bool {
        let root = kind.root();
        let lost = |path: &str| match path.strip_prefix(root) {
            None => false,
            Some("") => true,
            // An item of a list that could not be read at all, such as `prices[2]`.
            Some(below) if below.starts_with('[') && !below.contains('.') => true,
            Some(below) => kind.key().is_some_and(|key| below.ends_with(key) || below.contains(&format!("{key}["))),
        };
        !self.broken.iter().any(|path| lost(path)) && (kind.is_key() || root != "actions" || !self.lost_actions)
    }

    /// Whether no action is charged in this meter, as far as that can be told.
    pub(super) fn is_never_charged(&self, meter: &str) -> bool {
        let told = self.charged.iter().all(|charged| self.has(Kind::Meter, charged));
        let lost = self.lost_actions || self.broken.iter().any(|path| path.starts_with("actions") && path.ends_with(".meter"));
        self.has(Kind::Meter, meter) && !self.charged.contains(meter) && told && !lost
    }

    /// Whether something below a path had problems.
    pub(super) fn is_broken_below(&self, path: &str) -> bool {
        self.broken.iter().any(|broken| broken.starts_with(path) && broken.len() > path.len())
    }

    /// Whether the value at a path had problems.
    pub(super) fn is_broken(&self, path: &str) -> bool {
        self.broken.iter().any(|broken| broken == path)
    }
}

/// The name that was meant, or those there are, or what to do where there is none.
pub(super) fn suggest<'a>(name: &str, names: impl Iterator<Item = &'a str> + Clone, none: impl Fn() -> String) -> String {
    const SHOWN_MAX: usize = 8;
    if let Some(near) = nearest(name, names.clone()) {
        return format!("did you mean `{near}`?");
    }
    let mut shown: Vec<String> = names.clone().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect();
    if shown.is_empty() {
        return none();
    }
    if names.count() > SHOWN_MAX {
        shown.push("...".to_owned());
    }
    format!("declared are {}", shown.join(", "))
}

fn text(value: Option<&Placed<String>>) -> Option<&str> {
    value.map(|value| &*value.value)
}
