//! Asking an example catalog what some work counts and costs.

use std::path::{Path, PathBuf};

use genquota::catalog;
use genquota::domain::amount::parse_decimal;
use genquota::domain::catalog::Catalog;
use genquota::domain::condition::Circumstances;
use genquota::domain::counting::WorkError;
use genquota::domain::ids::{ActionId, AttributeId, MeasureId, ModelId, PlanId, ProviderId, Target};
use genquota::domain::price_book::{PriceError, Priced};
use genquota::domain::work::{Item, Work};

pub const EXAMPLES: [&str; 5] = ["agency-workspace", "stock-studio", "provider-pricing", "film-studio", "avatar-studio"];

pub fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn example(name: &str) -> Catalog {
    let path = in_repository(&format!("examples/catalogs/{name}.yaml"));
    catalog::load(&path).unwrap_or_else(|problems| panic!("{problems}"))
}

pub fn target(text: &str) -> Target {
    let (provider, model) = text.split_once('/').unwrap();
    Target { provider: ProviderId::new(provider).unwrap(), model: ModelId::new(model).unwrap() }
}

/// `count` outputs that are alike.
pub fn item(count: u32, measures: &[(&str, &str)], attributes: &[(&str, &str)]) -> Item {
    Item {
        count,
        measures: measures.iter().map(|(name, value)| (MeasureId::new(name).unwrap(), parse_decimal(value).unwrap())).collect(),
        attributes: attributes.iter().map(|(name, value)| (AttributeId::new(name).unwrap(), (*value).into())).collect(),
    }
}

pub fn outputs(count: u32) -> Work {
    Work { items: vec![item(count, &[], &[])] }
}

pub fn seconds(each: &[&str]) -> Work {
    Work { items: each.iter().map(|seconds| item(1, &[("seconds", seconds)], &[])).collect() }
}

/// The units of a work, after the check that a request goes through.
pub fn count(catalog: &Catalog, action: &str, at: Option<&str>, work: &Work) -> Result<String, WorkError> {
    let action = &catalog.actions[action];
    if let Some(problem) = action.problems(work).into_iter().next() {
        return Err(problem);
    }
    let target = at.map(target);
    let tier = target.as_ref().and_then(|target| catalog.price_book.tier(target));
    let plan: Option<&PlanId> = None;
    let at_hand = Circumstances { action: &action.id, target: target.as_ref(), tier, plan };
    action.count(&at_hand, work, |_| {}).map(|units| units.to_string())
}

pub fn price(catalog: &Catalog, action: &str, at: &str, work: &Work, when: &str) -> Result<Priced, PriceError> {
    let action = ActionId::new(action).unwrap();
    catalog.price_book.price(&action, &target(at), work, when.parse().unwrap())
}
