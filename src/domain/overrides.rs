//! Overrides: limits of one subject that differ from its plan's, as a contract says (P14).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::amount::Micros;
use super::cap::Cap;
use super::ids::{AllowanceId, CapId};
use super::timeline::Timeline;

/// A limit in place of the plan's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Unlimited,
    Amount(Micros),
}

/// Every limit that differs, by what it is the limit of; `None` in a timeline: the plan's own again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    pub allowances: BTreeMap<AllowanceId, Timeline<Option<Limit>>>,
    pub caps: BTreeMap<CapId, Limit>,
}

impl Limit {
    /// The amount; `None` is unlimited.
    pub const fn amount(self) -> Option<Micros> {
        match self {
            Self::Unlimited => None,
            Self::Amount(amount) => Some(amount),
        }
    }
}

impl Overrides {
    /// What an allowance gives per period by contract; `None`: what the plan says.
    pub fn of_allowance(&self, id: &AllowanceId, at: Timestamp) -> Option<Limit> {
        self.allowances.get(id)?.at(at).copied().flatten()
    }

    /// The limit of a cap. Without one it is the most that an account can hold: it still counts.
    pub fn of_cap(&self, cap: &Cap) -> Micros {
        self.caps.get(&cap.id).map_or(cap.limit, |limit| limit.amount().unwrap_or(Micros::MAX))
    }
}
