//! The price book: target and work in, cost out (product.md chapter 6).
//!
//! A price is known before the run and effective-dated; the tier of a target is what the book says, never what a caller says.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::amount::{AmountError, Micros, RoundingMode, exact_product};
use super::condition::Condition;
use super::counting::{Per, WorkError, too_large};
use super::ids::{ActionId, Target, TierId};
use super::work::{Item, Work};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriceBook {
    /// ISO 4217, such as `USD`.
    pub currency: Box<str>,
    pub unpriced: Unpriced,
    pub targets: BTreeMap<Target, PricedTarget>,
}

/// What becomes of a target without a price (C2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unpriced {
    #[default]
    Refuse,
    /// Held and booked at this cost.
    Hold(Micros),
    /// Let through at no cost, and flagged.
    Flag,
}

impl Unpriced {
    /// What work without a price is booked at.
    pub fn cost(self) -> Micros {
        match self {
            Self::Hold(cost) => cost,
            Self::Refuse | Self::Flag => Micros::ZERO,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricedTarget {
    pub tier: TierId,
    /// Ordered by `from`, oldest first.
    pub prices: Vec<Price>,
}

/// What a target costs from an instant on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    pub from: Timestamp,
    pub components: Vec<Component>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    pub per: Per,
    /// Money for one of `per`.
    pub price: Decimal,
    /// Attributes of the item, and the actions this is for. Of several components with one `per`, the first that holds counts.
    pub when: Condition,
    /// What is taken for a measure that the caller does not know yet, such as the tokens of an answer.
    pub assume: Option<Decimal>,
}

/// Where a cost comes from (api.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CostBasis {
    Priced,
    /// As the provider billed it.
    Billed,
    /// From an assumed measure, or the default cost of an unpriced target.
    Estimated,
    /// No price, no cost.
    #[default]
    None,
}

/// A work, priced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priced {
    /// Rounded half up to a micro-unit of the currency, once, from the exact sum of all components.
    pub cost: Micros,
    pub tier: Option<TierId>,
    pub basis: CostBasis,
    /// Since when the price applies.
    pub from: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    #[error(transparent)]
    Work(#[from] WorkError),
    /// C2 with `refuse`.
    #[error("`{target}` has no price for this work")]
    Unpriced { target: Target },
}

impl PriceBook {
    pub fn tier(&self, target: &Target) -> Option<&TierId> {
        self.targets.get(target).map(|priced| &priced.tier)
    }

    /// What `work` costs at `target`, by the price in effect at `at`.
    pub fn price(&self, action: &ActionId, target: &Target, work: &Work, at: Timestamp) -> Result<Priced, PriceError> {
        let known = self.targets.get(target);
        let tier = known.map(|priced| priced.tier.clone());
        let in_effect = known.and_then(|priced| priced.prices.iter().rev().find(|price| price.from <= at));
        if let Some(price) = in_effect
            && let Some((cost, basis)) = price.cost(action, work)?
        {
            return Ok(Priced { cost, tier, basis, from: Some(price.from) });
        }
        let (cost, basis) = match self.unpriced {
            Unpriced::Refuse => return Err(PriceError::Unpriced { target: target.clone() }),
            Unpriced::Hold(_) if work.items.is_empty() => (Micros::ZERO, CostBasis::Estimated),
            Unpriced::Hold(cost) => (cost, CostBasis::Estimated),
            Unpriced::Flag => (Micros::ZERO, CostBasis::None),
        };
        Ok(Priced { cost, tier, basis, from: None })
    }
}

impl Price {
    /// The cost of a work, or `None` when an item has no component that fits it.
    fn cost(&self, action: &ActionId, work: &Work) -> Result<Option<(Micros, CostBasis)>, WorkError> {
        let mut sum = Decimal::ZERO;
        let mut basis = CostBasis::Priced;
        let mut request_priced: Vec<usize> = Vec::new();
        for (index, item) in work.items.iter().enumerate() {
            let mut fits = false;
            for (position, component) in self.components.iter().enumerate() {
                if !component.fits(action, item) || self.has_earlier(position, action, item) {
                    continue;
                }
                fits = true;
                if component.per == Per::Request {
                    if !request_priced.contains(&position) {
                        request_priced.push(position);
                        sum = add(sum, component.price, index)?;
                    }
                    continue;
                }
                let (quantity, estimated) = component.quantity(item, index)?;
                if estimated {
                    basis = CostBasis::Estimated;
                }
                let each = exact_product(quantity, component.price).map_err(|error| too_large(index, error))?;
                let all = exact_product(each, Decimal::from(item.count)).map_err(|error| too_large(index, error))?;
                sum = add(sum, all, index)?;
            }
            if !fits {
                return Ok(None);
            }
        }
        let cost = Micros::from_decimal(sum, RoundingMode::HalfUp).map_err(|error| too_large(0, error))?;
        Ok(Some((cost, basis)))
    }

    /// Whether an earlier component prices the same `per` of this item.
    fn has_earlier(&self, position: usize, action: &ActionId, item: &Item) -> bool {
        let per = &self.components[position].per;
        self.components[..position].iter().any(|earlier| earlier.per == *per && earlier.fits(action, item))
    }
}

impl Component {
    fn fits(&self, action: &ActionId, item: &Item) -> bool {
        (self.when.actions.is_empty() || self.when.actions.contains(action))
            && self.when.attributes.iter().all(|(name, values)| item.attributes.get(name).is_some_and(|value| values.contains(value)))
    }

    fn quantity(&self, item: &Item, index: usize) -> Result<(Decimal, bool), WorkError> {
        match (self.per.of_output(item, index, "price of this target"), self.assume) {
            (Ok(quantity), _) => Ok((quantity, false)),
            (Err(_), Some(assumed)) => Ok((assumed, true)),
            (Err(error), None) => Err(error),
        }
    }
}

fn add(sum: Decimal, cost: Decimal, index: usize) -> Result<Decimal, WorkError> {
    sum.checked_add(cost).ok_or_else(|| too_large(index, AmountError::TooLarge))
}
