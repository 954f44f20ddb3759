//! What differs between two price books, target by target and component by component.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::domain::condition::Condition;
use crate::domain::ids::Target;
use crate::domain::price_book::{Component, Price, PriceBook, PricedTarget, Unpriced};

/// Everything that differs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// What becomes of a target without a price, before and after.
    pub unpriced: Option<(String, String)>,
    pub targets: Vec<TargetChange>,
}

/// One target that is priced otherwise. Added: all its components are new; removed: all are old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetChange {
    pub target: Target,
    /// Before and after; `None` where the target is not there.
    pub tier: (Option<String>, Option<String>),
    pub components: Vec<Change>,
}

/// One component, or the order of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Since when its price applies; `None`: since ever.
    pub from: Option<Timestamp>,
    /// Such as `seconds at resolution 4k`.
    pub component: String,
    pub old: Option<String>,
    pub new: Option<String>,
}

impl Changes {
    pub fn between(old: &PriceBook, new: &PriceBook) -> Self {
        let unpriced = (old.unpriced != new.unpriced).then(|| (policy(old.unpriced), policy(new.unpriced)));
        let known: BTreeSet<&Target> = old.targets.keys().chain(new.targets.keys()).collect();
        let change = |target: &&Target| TargetChange::between(target, old.targets.get(*target), new.targets.get(*target));
        Self { unpriced, targets: known.iter().filter_map(change).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.unpriced.is_none() && self.targets.is_empty()
    }
}

impl TargetChange {
    fn between(target: &Target, old: Option<&PricedTarget>, new: Option<&PricedTarget>) -> Option<Self> {
        let tier = |side: Option<&PricedTarget>| side.map(|priced| priced.tier.to_string());
        let tier = (tier(old), tier(new));
        let dates: BTreeSet<Timestamp> =
            [old, new].into_iter().flatten().flat_map(|side| side.prices.iter().map(|price| price.from)).collect();
        let components: Vec<Change> = dates.into_iter().flat_map(|from| changes(from, at(old, from), at(new, from))).collect();
        (tier.0 != tier.1 || !components.is_empty()).then(|| Self { target: target.clone(), tier, components })
    }

    /// `added`, `removed` or `changed`.
    pub fn kind(&self) -> &'static str {
        match &self.tier {
            (None, _) => "added",
            (_, None) => "removed",
            (Some(_), Some(_)) => "changed",
        }
    }
}

/// The price that begins at an instant.
fn at(side: Option<&PricedTarget>, from: Timestamp) -> &[Component] {
    let price: Option<&Price> = side.and_then(|priced| priced.prices.iter().find(|price| price.from == from));
    price.map_or(&[], |price| &price.components)
}

fn changes(from: Timestamp, old: &[Component], new: &[Component]) -> Vec<Change> {
    let by_name = |components: &[Component]| -> BTreeMap<String, String> {
        // Of two with one name the first counts.
        components.iter().rev().map(|component| (named(component), priced(component))).collect()
    };
    let (before, after) = (by_name(old), by_name(new));
    let from = (from != Timestamp::UNIX_EPOCH).then_some(from);
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut changes: Vec<Change> = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| Change { from, component: name.clone(), old: before.get(name).cloned(), new: after.get(name).cloned() })
        .collect();
    if changes.is_empty() && old != new {
        // The first that fits counts, so another order is another price.
        let order = |components: &[Component]| Some(components.iter().map(named).collect::<Vec<_>>().join(", then "));
        changes.push(Change { from, component: "order".to_owned(), old: order(old), new: order(new) });
    }
    changes
}

fn named(component: &Component) -> String {
    let Condition { actions, attributes, .. } = &component.when;
    let mut text = component.per.to_string();
    if !actions.is_empty() {
        text.push_str(&format!(" for {}", actions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")));
    }
    for (at, (name, values)) in attributes.iter().enumerate() {
        text.push_str(&format!(" {} {name} {}", if at == 0 { "at" } else { "and" }, values.join(" or ")));
    }
    text
}

fn priced(component: &Component) -> String {
    let assumed = component.assume.map(|assumed| format!(", {assumed} assumed")).unwrap_or_default();
    format!("{}{assumed}", component.price)
}

fn policy(unpriced: Unpriced) -> String {
    match unpriced {
        Unpriced::Refuse => "refuse".to_owned(),
        Unpriced::Hold(cost) => format!("hold {cost}"),
        Unpriced::Flag => "flag".to_owned(),
    }
}
