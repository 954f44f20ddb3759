//! From the raw catalog to the validated one, with every problem of meaning.
//!
//! Each part is checked as far as it can be and the rest is checked on, so that one run tells everything. What cannot be used is left out
//! of the result, which its caller drops when there was any error. It must never guess: what is not clear is a problem.

mod actions;
mod condition;
mod envoy;
mod known;
mod plans;
mod prices;

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::FORMAT;
use super::raw::{Number, RawCatalog, RawMeter};
use crate::domain::amount::{Micros, RoundingMode, parse_price};
use crate::domain::catalog::{Catalog, CreditPolicy, Meter};
use crate::domain::ids::{CatalogVersion, IdError, MeterId, PlanId};
use crate::yaml::{At, Entries, Placed, Places, Problem};
use known::{Kind, Known};

/// Largest rate or price of one unit, in whole units: more than this no account can hold.
const RATE_MAX: i64 = 1_000_000_000;
/// Digits after the point that an account can hold.
const AMOUNT_FRACTION_DIGITS_MAX: u32 = 6;
/// Longest declared version: with its digest it stays well below the longest id.
const VERSION_BYTES_MAX: usize = 64;
const NEAR_LIMIT_PERCENT: u8 = 80;
const CURRENCY: &str = "USD";

/// The catalog, and the problems that are not of its shape. `structural` are those that are: what they removed is not missed here.
pub(super) fn check(raw: RawCatalog, places: &Places, structural: &[Problem], digest: &str) -> (Option<Catalog>, Vec<Problem>) {
    let known = Known::gather(&raw, structural);
    let mut checker = Checker { places, known: &known, problems: Vec::new() };
    let catalog = checker.catalog(raw, digest, structural);
    (catalog, checker.problems)
}

struct Checker<'a> {
    places: &'a Places,
    known: &'a Known,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn catalog(&mut self, raw: RawCatalog, digest: &str, structural: &[Problem]) -> Option<Catalog> {
        let root = self.places.root();
        let broken = |key: &str| structural.iter().any(|problem| problem.path == key);
        match &raw.catalog {
            Some(format) if format.value != FORMAT => {
                self.error(format.at, format!("unknown format: `{}`", format.value), Some(format!("this version reads `{FORMAT}`")));
            }
            None if !broken("catalog") => self.missing_hint(root, "catalog", format!("write `catalog: {FORMAT}`")),
            _ => {}
        }
        for (key, empty) in [("meters", raw.meters.0.is_empty()), ("actions", raw.actions.0.is_empty())] {
            if empty && !broken(key) {
                self.missing_hint(root, key, format!("declare at least one under `{key}`"));
            }
        }
        let version = self.version(raw.version.as_ref(), digest);
        let currency = self.currency(raw.currency.as_ref());
        let near_limit_percent = self.near_limit(raw.near_limit.as_ref());
        let default_plan = raw.default_plan.as_ref().and_then(|plan| self.plan(plan.at, &plan.value));
        let meters = self.meters(&raw.meters);
        let actions = self.actions(&raw.actions);
        let caps = self.caps(&raw.caps);
        let price_book = self.price_book(currency, &raw.prices, raw.unpriced.as_ref());
        let credits = raw.credits.map_or_else(CreditPolicy::default, |credits| CreditPolicy {
            requires_subscription: credits.requires_subscription.unwrap_or_default(),
            end_with_period: credits.end_with_period.unwrap_or_default(),
        });
        let shared_caps = raw.caps.iter().map(|cap| cap.name.clone()).collect();
        let plans = self.plans(raw.plans, &shared_caps);
        let envoy = raw.envoy.map(|envoy| self.envoy(&envoy, &raw.actions)).unwrap_or_default();
        let version = version?;
        Some(Catalog { version, meters, actions, plans, default_plan, caps, price_book, credits, near_limit_percent, envoy })
    }

    /// The declared version and the digest of the file, so that an edition that forgot to change its name is still told apart (R9).
    fn version(&mut self, declared: Option<&Placed<String>>, digest: &str) -> Option<CatalogVersion> {
        let Some(declared) = declared else { return self.id(self.places.root(), digest, CatalogVersion::new) };
        if declared.value.len() > VERSION_BYTES_MAX {
            let message = format!("has {} bytes; at most {VERSION_BYTES_MAX} are allowed", declared.value.len());
            self.error(declared.at, message, None);
            return None;
        }
        self.id(declared.at, &declared.value, CatalogVersion::new)?;
        self.id(declared.at, &format!("{}.{digest}", declared.value), CatalogVersion::new)
    }

    fn currency(&mut self, declared: Option<&Placed<String>>) -> Box<str> {
        let Some(declared) = declared else { return CURRENCY.into() };
        if declared.value.len() != 3 || !declared.value.bytes().all(|byte| byte.is_ascii_uppercase()) {
            self.error(declared.at, format!("must be a currency code such as `USD`: got `{}`", declared.value), None);
        }
        declared.value.as_str().into()
    }

    fn near_limit(&mut self, declared: Option<&Placed<u8>>) -> u8 {
        let Some(declared) = declared else { return NEAR_LIMIT_PERCENT };
        if !(1..=100).contains(&declared.value) {
            self.error(declared.at, format!("must be a percentage from 1 to 100: got `{}`", declared.value), None);
        }
        declared.value
    }

    fn meters(&mut self, raw: &Entries<RawMeter>) -> BTreeMap<MeterId, Meter> {
        let mut meters = BTreeMap::new();
        for entry in raw.iter() {
            if entry.name == "cost" {
                self.error_of_name(entry.at, "the meter `cost` is built in", Some("give this one another name".to_owned()));
            }
            let id = self.name(entry.at, &entry.name, MeterId::new);
            if let (Some(id), Some(meter)) = (id, &entry.value) {
                let title = meter.title.as_deref().unwrap_or(&entry.name).into();
                meters.insert(id, Meter { title });
            }
        }
        meters
    }

    fn error(&mut self, at: At, message: impl Into<String>, hint: Option<String>) {
        let problem = self.places.problem(at, message);
        self.problems.push(Problem { hint, ..problem });
    }

    fn error_of_name(&mut self, at: At, message: impl Into<String>, hint: Option<String>) {
        let problem = self.places.problem_of_name(at, message);
        self.problems.push(Problem { hint, ..problem });
    }

    fn warn(&mut self, at: At, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(self.places.problem_of_name(at, message).hint(hint).warning());
    }

    fn missing_hint(&mut self, at: At, key: &str, hint: String) {
        self.problems.push(self.places.problem_of_missing(at, key, "is missing").hint(hint));
    }

    /// A list that must not be empty. One whose items had problems is not called empty.
    fn empty_list(&mut self, at: At, hint: &str) {
        let problem = self.places.problem(at, "is an empty list").hint(hint);
        if !self.known.is_broken_below(&problem.path) {
            self.problems.push(problem);
        }
    }

    /// The value of a key that must be there. A value that was there and had problems is not missed a second time.
    fn need<'v, T>(&mut self, at: At, key: &str, value: Option<&'v T>) -> Option<&'v T> {
        if value.is_none() {
            let problem = self.places.problem_of_missing(at, key, "is missing");
            if !self.known.is_broken(&problem.path) {
                self.problems.push(problem);
            }
        }
        value
    }

    /// A value as an id.
    fn id<T>(&mut self, at: At, text: &str, make: fn(&str) -> Result<T, IdError>) -> Option<T> {
        make(text).map_err(|error| self.error(at, format!("not a name: {error}"), None)).ok()
    }

    /// The key of a mapping as an id.
    fn name<T>(&mut self, at: At, text: &str, make: fn(&str) -> Result<T, IdError>) -> Option<T> {
        make(text).map_err(|error| self.error_of_name(at, format!("not a name: {error}"), None)).ok()
    }

    /// A reference to something that is declared elsewhere in the catalog.
    fn refer<T>(&mut self, kind: Kind, at: At, text: &str, make: fn(&str) -> Result<T, IdError>) -> Option<T> {
        if let Some(hint) = self.known.unknown(kind, text) {
            self.error(at, format!("unknown {}: `{text}`", kind.word()), Some(hint));
            return None;
        }
        self.id(at, text, make)
    }

    /// A reference that is the key of a mapping.
    fn refer_name<T>(&mut self, kind: Kind, at: At, text: &str, make: fn(&str) -> Result<T, IdError>) -> Option<T> {
        if let Some(hint) = self.known.unknown(kind, text) {
            self.error_of_name(at, format!("unknown {}: `{text}`", kind.word()), Some(hint));
            return None;
        }
        self.name(at, text, make)
    }

    fn meter(&mut self, meter: &Placed<String>) -> Option<MeterId> {
        self.refer(Kind::Meter, meter.at, &meter.value, MeterId::new)
    }

    fn plan(&mut self, at: At, text: &str) -> Option<PlanId> {
        self.refer(Kind::Plan, at, text, PlanId::new)
    }

    /// A rate, a price, a measure: up to 19 digits after the point.
    fn decimal(&mut self, number: &Placed<Number>) -> Option<Decimal> {
        self.decimal_of(number.at, &number.value.0)
    }

    fn decimal_of(&mut self, at: At, text: &str) -> Option<Decimal> {
        match parse_price(text) {
            Ok(value) if value > Decimal::from(RATE_MAX) => {
                self.error(at, format!("is larger than {RATE_MAX}: {text}"), None);
                None
            }
            Ok(value) => Some(value),
            Err(error) => {
                self.error(at, error.to_string(), None);
                None
            }
        }
    }

    /// An amount of units or money that an account holds: up to 6 digits after the point.
    fn amount(&mut self, number: &Placed<Number>) -> Option<Micros> {
        self.amount_of(number.at, &number.value.0)
    }

    fn amount_of(&mut self, at: At, text: &str) -> Option<Micros> {
        let value = self.decimal_of(at, text)?;
        if value.scale() > AMOUNT_FRACTION_DIGITS_MAX {
            self.error(at, format!("has more than {AMOUNT_FRACTION_DIGITS_MAX} digits after the point: {text}"), None);
            return None;
        }
        Micros::from_decimal(value, RoundingMode::None).map_err(|error| self.error(at, error.to_string(), None)).ok()
    }

    /// An amount that makes no sense as nothing.
    fn amount_above_zero(&mut self, number: &Placed<Number>) -> Option<Micros> {
        let amount = self.amount(number)?;
        if amount.is_zero() {
            self.error(number.at, "must be more than zero", None);
            return None;
        }
        Some(amount)
    }
}
