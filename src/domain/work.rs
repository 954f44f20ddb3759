//! Work: what is asked of a model, or what it made.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::ids::{AttributeId, MeasureId};

/// Most items of one work (api.md).
pub const ITEMS_MAX: usize = 64;
/// Most outputs of one work. Bounds what one call can count, price and list.
pub const OUTPUTS_MAX: u32 = 10_000;
/// Longest value of an attribute in bytes.
pub const ATTRIBUTE_VALUE_BYTES_MAX: usize = 64;

/// A list of items. Empty only where nothing was delivered or billed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Work {
    pub items: Vec<Item>,
}

/// `count` outputs that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// `1..=10_000`.
    pub count: u32,
    /// Of each output.
    pub measures: BTreeMap<MeasureId, Decimal>,
    pub attributes: BTreeMap<AttributeId, Box<str>>,
}

impl Work {
    pub fn outputs(&self) -> u32 {
        self.items.iter().map(|item| item.count).sum()
    }

    /// The first `count` outputs, items filled in order (L11).
    pub fn first(&self, count: u32) -> Self {
        let mut left = count;
        let mut items = Vec::new();
        for item in &self.items {
            if left == 0 {
                break;
            }
            let taken = item.count.min(left);
            left -= taken;
            items.push(Item { count: taken, ..item.clone() });
        }
        Self { items }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_outputs_are_taken_in_the_order_of_the_items() {
        let item = |count| Item { count, measures: BTreeMap::new(), attributes: BTreeMap::new() };
        let work = Work { items: vec![item(3), item(4), item(5)] };
        let counts = |work: Work| work.items.iter().map(|item| item.count).collect::<Vec<_>>();
        assert_eq!(work.outputs(), 12);
        assert_eq!(counts(work.first(12)), [3, 4, 5]);
        assert_eq!(counts(work.first(7)), [3, 4]);
        assert_eq!(counts(work.first(4)), [3, 1]);
        assert_eq!(counts(work.first(0)), [0_u32; 0]);
    }
}
