//! The same attempts under two price books.

use std::collections::BTreeMap;

use super::{Attempted, Sum};
use crate::domain::amount::Micros;
use crate::domain::price_book::{CostBasis, PriceBook, PriceError};

/// What attempts cost, and would cost, by provider, model and tier.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repriced {
    /// The tier is the one the attempts ran in; empty texts stand for what was not there.
    pub rows: BTreeMap<(String, String, String), RepricedRow>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RepricedRow {
    pub attempts: u64,
    /// Attempts whose cost was told by the provider: that cost stands whatever the prices, and is in every sum.
    pub billed: u64,
    /// As the events tell.
    pub booked: Sum,
    pub old: Sum,
    pub new: Sum,
    /// Attempts with a price in the old book and none in the new one, and the other way round. They cost what the book's `unpriced` says.
    pub newly_unpriced: u64,
    pub newly_priced: u64,
    /// Attempts with a price in neither.
    pub unpriced: u64,
}

/// What one attempt costs under a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Under {
    cost: Micros,
    priced: bool,
}

impl Repriced {
    /// Prices every attempt under both books.
    pub fn of<'a>(attempts: impl IntoIterator<Item = &'a Attempted>, old: &PriceBook, new: &PriceBook) -> Self {
        let mut repriced = Self::default();
        for attempt in attempts {
            let row = repriced.rows.entry(key(attempt)).or_default();
            row.attempts += 1;
            row.booked += attempt.cost;
            row.billed += u64::from(attempt.basis == CostBasis::Billed);
            let (before, after) = (under(old, attempt), under(new, attempt));
            row.old += before.cost;
            row.new += after.cost;
            row.newly_unpriced += u64::from(before.priced && !after.priced);
            row.newly_priced += u64::from(!before.priced && after.priced);
            row.unpriced += u64::from(!before.priced && !after.priced);
        }
        repriced
    }

    /// All rows together. No price is computed from it.
    pub fn total(&self) -> RepricedRow {
        self.rows.values().fold(RepricedRow::default(), |mut total, row| {
            total.attempts += row.attempts;
            total.billed += row.billed;
            total.booked += row.booked;
            total.old += row.old;
            total.new += row.new;
            total.newly_unpriced += row.newly_unpriced;
            total.newly_priced += row.newly_priced;
            total.unpriced += row.unpriced;
            total
        })
    }
}

fn key(attempt: &Attempted) -> (String, String, String) {
    let (provider, model) =
        attempt.target.as_ref().map_or_else(Default::default, |target| (target.provider.to_string(), target.model.to_string()));
    (provider, model, attempt.tier.as_ref().map(ToString::to_string).unwrap_or_default())
}

/// The price of the work that was billed, at the instant it was judged. A work that lacks what a price asks for has none.
fn under(book: &PriceBook, attempt: &Attempted) -> Under {
    let as_booked = Under { cost: attempt.cost, priced: true };
    match (attempt.basis, &attempt.target, &attempt.billed) {
        (CostBasis::Billed, _, _) | (_, _, None) => as_booked,
        (_, _, Some(work)) if work.items.is_empty() => as_booked,
        (_, None, Some(_)) => as_booked,
        (_, Some(target), Some(work)) => match book.price(&attempt.action, target, work, attempt.judged_at) {
            Ok(priced) => Under { cost: priced.cost, priced: priced.from.is_some() },
            Err(PriceError::Unpriced { .. }) => Under { cost: Micros::ZERO, priced: false },
            Err(PriceError::Work(_)) => Under { cost: book.unpriced.cost(), priced: false },
        },
    }
}
