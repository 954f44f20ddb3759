//! Conditions: `when` of rules and prices, `match` of caps.

use std::collections::BTreeSet;

use super::Checker;
use super::known::{ANY, Kind, suggest};
use crate::catalog::raw::{CONDITION_KEYS, RawAction, Text, When};
use crate::domain::condition::Condition;
use crate::domain::ids::{ActionId, AttributeId, IdError, ModelId, PlanId, ProviderId, TierId};
use crate::domain::work::ATTRIBUTE_VALUE_BYTES_MAX;
use crate::yaml::{At, Entry, OneOrMany, Placed};

/// What a condition may look at.
pub(super) struct Scope<'a> {
    /// What it stands in, for messages: `a counting rule`.
    pub(super) of: &'static str,
    pub(super) keys: &'static [&'static str],
    pub(super) attributes: Attributes<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Attributes<'a> {
    None,
    /// Those of one action, as far as they could be read.
    Of(&'a RawAction),
    /// Those of every action.
    All,
}

pub(super) const RULE_KEYS: &[&str] = &["provider", "model", "tier", "plan"];
pub(super) const PRICE_KEYS: &[&str] = &["action"];
pub(super) const CAP_KEYS: &[&str] = &CONDITION_KEYS;

impl Checker<'_> {
    pub(super) fn condition(&mut self, when: &When, scope: &Scope<'_>) -> Condition {
        let mut condition = Condition::default();
        for entry in when.0.iter() {
            let Some(values) = &entry.value else { continue };
            let key = entry.name.as_str();
            if !CONDITION_KEYS.contains(&key) {
                self.attribute_condition(entry, values, scope, &mut condition);
                continue;
            }
            if !scope.keys.contains(&key) {
                let message = format!("{} cannot depend on the {key}", scope.of);
                self.error_of_name(entry.at, message, Some(possible(scope)));
                continue;
            }
            let values = &values.0;
            match key {
                "action" => condition.actions = self.each(values, |c, at, text| c.refer(Kind::Action, at, text, ActionId::new)),
                "provider" => condition.providers = self.each(values, |c, at, text| c.priced(Kind::Provider, at, text, ProviderId::new)),
                "model" => condition.models = self.each(values, |c, at, text| c.priced(Kind::Model, at, text, ModelId::new)),
                "tier" => condition.tiers = self.each(values, |c, at, text| c.refer(Kind::Tier, at, text, TierId::new)),
                _ => condition.plans = self.each(values, |c, at, text| c.refer(Kind::Plan, at, text, PlanId::new)),
            }
        }
        condition
    }

    fn each<T>(&mut self, values: &[Placed<Text>], check: impl Fn(&mut Self, At, &str) -> Option<T>) -> Vec<T> {
        values.iter().filter_map(|value| check(self, value.at, &value.value.0)).collect()
    }

    /// A provider or model need not have a price, but a condition on one that has none rarely means to.
    pub(super) fn priced<T>(&mut self, kind: Kind, at: At, text: &str, make: fn(&str) -> Result<T, IdError>) -> Option<T> {
        if self.known.has_any(Kind::Provider)
            && self.known.refuses_unpriced
            && let Some(hint) = self.known.unknown(kind, text)
        {
            let message = format!("no price has the {} `{text}`, and targets without a price are refused", kind.word());
            self.problems.push(self.places.problem(at, message).hint(hint).warning());
        }
        self.id(at, text, make)
    }

    fn attribute_condition(
        &mut self,
        entry: &Entry<OneOrMany<Placed<Text>>>,
        values: &OneOrMany<Placed<Text>>,
        scope: &Scope<'_>,
        condition: &mut Condition,
    ) {
        let name = entry.name.as_str();
        let allowed = match scope.attributes {
            Attributes::None => {
                let message = format!("unknown condition: `{name}`");
                self.error_of_name(entry.at, message, Some(possible(scope)));
                return;
            }
            Attributes::All => {
                if let Some(hint) = self.known.unknown(Kind::Attribute, name) {
                    self.error_of_name(entry.at, format!("unknown condition: `{name}`"), Some(hint));
                    return;
                }
                self.known.values(name).cloned()
            }
            Attributes::Of(action) => {
                let Some(declared) = action.attributes.iter().find(|attribute| attribute.name == name) else {
                    let names = scope.keys.iter().copied().chain(action.attributes.names());
                    let hint = suggest(name, names, String::new);
                    self.error_of_name(entry.at, format!("unknown condition: `{name}` is no attribute of this action"), Some(hint));
                    return;
                };
                let values = declared.value.iter().flat_map(|values| &values.0).map(|value| value.value.0.clone());
                let values: BTreeSet<String> = values.collect();
                (!values.is_empty() && !values.contains(ANY)).then_some(values)
            }
        };
        let values = self.attribute_values(name, values, allowed.as_ref());
        if let (Some(id), false) = (self.name(entry.at, name, AttributeId::new), values.is_empty()) {
            condition.attributes.insert(id, values);
        }
    }

    /// Values of an attribute that must be among those allowed.
    pub(super) fn attribute_values(
        &mut self,
        name: &str,
        values: &OneOrMany<Placed<Text>>,
        allowed: Option<&BTreeSet<String>>,
    ) -> Vec<Box<str>> {
        let mut found = Vec::new();
        for value in &values.0 {
            let text = value.value.0.as_str();
            if let Some(allowed) = allowed
                && !allowed.contains(text)
            {
                let hint = suggest(text, allowed.iter().map(String::as_str), String::new);
                self.error(value.at, format!("`{text}` is not a value of `{name}`"), Some(hint));
                continue;
            }
            if text.len() > ATTRIBUTE_VALUE_BYTES_MAX {
                let message = format!("has {} bytes; at most {ATTRIBUTE_VALUE_BYTES_MAX} are allowed", text.len());
                self.error(value.at, message, None);
                continue;
            }
            found.push(text.into());
        }
        found
    }
}

fn possible(scope: &Scope<'_>) -> String {
    let keys: Vec<_> = scope.keys.iter().map(|key| format!("`{key}`")).collect();
    let attributes = if matches!(scope.attributes, Attributes::None) { "" } else { " and attributes" };
    format!("possible here are {}{attributes}", keys.join(", "))
}
