//! The price book.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Checker;
use super::condition::{Attributes, PRICE_KEYS, Scope};
use super::known::Kind;
use crate::catalog::raw::{RawComponent, RawPrice, RawUnpriced};
use crate::domain::counting::Per;
use crate::domain::ids::{MeasureId, ModelId, ProviderId, Target, TierId};
use crate::domain::price_book::{Component, Price, PriceBook, PricedTarget, Unpriced};
use crate::yaml::{At, Placed};

/// Of a price without a date: before anything this program can judge.
const SINCE_EVER: Timestamp = Timestamp::UNIX_EPOCH;
const DAY_EXAMPLE: &str = "2026-02-25";

impl Checker<'_> {
    pub(super) fn price_book(&mut self, currency: Box<str>, raw: &[Placed<RawPrice>], unpriced: Option<&Placed<RawUnpriced>>) -> PriceBook {
        let unpriced = match unpriced.map(|unpriced| &unpriced.value) {
            None | Some(RawUnpriced::Refuse) => Unpriced::Refuse,
            Some(RawUnpriced::Flag) => Unpriced::Flag,
            Some(RawUnpriced::Hold(cost)) => self.amount(cost).map_or(Unpriced::Refuse, Unpriced::Hold),
        };
        if raw.is_empty() && unpriced == Unpriced::Refuse && !self.known.is_broken("prices") && !self.known.is_broken("unpriced") {
            let message = "there are no prices, and targets without a price are refused";
            let problem = self.places.problem_of_missing(self.places.root(), "prices", message);
            self.problems.push(problem.hint("add `prices`, or write `unpriced: flag`").warning());
        }
        // Where the last price of each target stands, and where its tier was first told.
        let mut last: BTreeMap<Target, At> = BTreeMap::new();
        let mut targets: BTreeMap<Target, PricedTarget> = BTreeMap::new();
        for entry in raw {
            let Some((target, tier, price)) = self.price(entry) else { continue };
            let before = last.insert(target.clone(), entry.at).map(|at| self.places.line(at));
            let priced = targets.entry(target.clone()).or_insert_with(|| PricedTarget { tier: tier.clone(), prices: Vec::new() });
            if let (Some(line), Some(latest)) = (before, priced.prices.last()) {
                let at = entry.value.tier.as_ref().map_or(entry.at, |tier| tier.at);
                if priced.tier != tier {
                    self.error(at, format!("`{target}` has the tier `{}` at line {line}; a target has one tier", priced.tier), None);
                }
                if price.from <= latest.from {
                    let at = entry.value.from.as_ref().map_or(entry.at, |from| from.at);
                    let message = format!("`{target}` has a price at line {line} that is not older than this one");
                    self.error(at, message, Some("give each price a later `from` than the one before it".to_owned()));
                }
            }
            priced.prices.push(price);
        }
        PriceBook { currency, unpriced, targets }
    }

    fn price(&mut self, raw: &Placed<RawPrice>) -> Option<(Target, TierId, Price)> {
        let (at, raw) = (raw.at, &raw.value);
        let provider = self.need(at, "provider", raw.provider.as_ref()).and_then(|name| self.id(name.at, &name.value, ProviderId::new));
        let model = self.need(at, "model", raw.model.as_ref()).and_then(|name| self.id(name.at, &name.value, ModelId::new));
        let tier = self.need(at, "tier", raw.tier.as_ref()).and_then(|name| self.id(name.at, &name.value, TierId::new));
        let from = raw.from.as_ref().map_or(Some(SINCE_EVER), |from| self.instant(from));
        let mut components = Vec::new();
        if let Some(list) = self.need(at, "components", raw.components.as_ref()) {
            components.extend(list.value.iter().filter_map(|component| self.component(component)));
            self.warn_of_unused(&list.value);
            if list.value.is_empty() {
                self.empty_list(list.at, "add a component such as `{per: output, price: 0.04}`");
            }
        }
        let target = Target { provider: provider?, model: model? };
        Some((target, tier?, Price { from: from?, components }))
    }

    /// Of several components with one `per` the first that holds counts, so what follows one without conditions never does.
    fn warn_of_unused(&mut self, components: &[Placed<RawComponent>]) {
        let per = |component: &RawComponent| component.per.as_ref().map(|per| per.value.clone());
        for (position, component) in components.iter().enumerate() {
            let always =
                |earlier: &&Placed<RawComponent>| earlier.value.when.0.0.is_empty() && per(&earlier.value) == per(&component.value);
            if let Some(earlier) = components[..position].iter().find(always) {
                let message = format!("is never used: the component at line {} has no conditions", self.places.line(earlier.at));
                self.warn(component.at, message, "put the component without conditions last");
            }
        }
    }

    fn component(&mut self, raw: &Placed<RawComponent>) -> Option<Component> {
        let (at, raw) = (raw.at, &raw.value);
        let per = self.need(at, "per", raw.per.as_ref()).and_then(|per| match per.value.as_str() {
            "request" => Some(Per::Request),
            "output" => Some(Per::Output),
            name => self.refer(Kind::Measure, per.at, name, MeasureId::new).map(Per::Measure),
        });
        let price = self.need(at, "price", raw.price.as_ref()).and_then(|price| self.decimal(price));
        let scope = Scope { of: "a price", keys: PRICE_KEYS, attributes: Attributes::All };
        let when = self.condition(&raw.when, &scope);
        let assume = raw.assume.as_ref().map(|assume| {
            if matches!(per, Some(Per::Request | Per::Output)) {
                let hint = "remove `assume`, or price a measure".to_owned();
                self.error(assume.at, "only a measure can be assumed", Some(hint));
            }
            self.decimal(assume)
        });
        let assume = match assume {
            None => None,
            Some(value) => Some(value?),
        };
        Some(Component { per: per?, price: price?, when, assume })
    }

    fn instant(&mut self, raw: &Placed<String>) -> Option<Timestamp> {
        if let Some(day) = plain_date(&raw.value) {
            return day.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp());
        }
        raw.value.parse().map_err(|_| self.not_a_date(raw, " or an instant such as `2026-02-25T08:00:00Z`")).ok()
    }

    pub(super) fn day(&mut self, raw: &Placed<String>) -> Option<Date> {
        let day = plain_date(&raw.value);
        if day.is_none() {
            self.not_a_date(raw, "");
        }
        day
    }

    fn not_a_date(&mut self, raw: &Placed<String>, or: &str) {
        self.error(raw.at, format!("must be a day such as `{DAY_EXAMPLE}`{or}: got `{}`", raw.value), None);
    }
}

/// A day in the one way of writing it, `2026-02-25`.
fn plain_date(text: &str) -> Option<Date> {
    (text.len() == DAY_EXAMPLE.len()).then(|| text.parse().ok()).flatten()
}
