//! Numbers, instants and words as a page shows them. A number keeps its exact value beside what is shown of it.

use jiff::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Serialize, Serializer};

use crate::domain::amount::Micros;
use crate::domain::ids::Target;
use crate::domain::ledger::State;
use crate::domain::reservation::AttemptReason;
use crate::domain::summary::decimal;

/// An exact decimal, and how it is written among the others of its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Number {
    pub exact: Decimal,
    pub shown: String,
}

/// How deep the numbers of a column go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// As deep as the deepest of them, down to a millionth; whole where all are.
    Units,
    /// The same, and at least as deep as cents.
    Money,
    /// Quotients of money: to the hundredth of a cent, and deeper where one of them would vanish.
    MoneyEach,
    /// Two digits.
    Ratio,
}

/// An instant in UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    pub exact: String,
    pub shown: String,
}

/// So many of something.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Count {
    pub name: String,
    pub number: f64,
}

impl Number {
    pub(super) fn new(exact: Decimal) -> Self {
        Self { exact, shown: exact.to_string() }
    }

    /// Of micro-units, below zero too.
    pub(super) fn micros(micros: i64) -> Self {
        Self::new(decimal(micros))
    }

    pub(super) fn is_zero(&self) -> bool {
        self.exact.is_zero()
    }

    /// A difference: above zero it says so.
    pub(super) fn signed(&self) -> String {
        if self.exact.is_sign_negative() || self.exact.is_zero() { self.shown.clone() } else { format!("+{}", self.shown) }
    }
}

impl From<Micros> for Number {
    fn from(amount: Micros) -> Self {
        Self::new(amount.to_decimal())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.exact)
    }
}

impl Column {
    fn digits_max(self, numbers: &[&mut Number]) -> u32 {
        let vanishes = |number: &&mut Number| !number.is_zero() && number.exact.abs() < Decimal::new(1, 3);
        match self {
            Self::Ratio => 2,
            Self::MoneyEach if !numbers.iter().any(vanishes) => 4,
            Self::Units | Self::Money | Self::MoneyEach => 6,
        }
    }

    fn digits_min(self) -> u32 {
        match self {
            Self::Units => 0,
            Self::Money | Self::MoneyEach | Self::Ratio => 2,
        }
    }

    /// Writes the numbers of a column with one number of digits: points stand below each other.
    pub(super) fn align<'n>(self, numbers: impl Iterator<Item = &'n mut Number>) {
        let numbers: Vec<&mut Number> = numbers.collect();
        let digits_max = self.digits_max(&numbers);
        let round = |exact: Decimal| exact.round_dp_with_strategy(digits_max, RoundingStrategy::MidpointAwayFromZero).normalize();
        let digits = numbers.iter().map(|number| round(number.exact).scale()).max().unwrap_or_default().max(self.digits_min());
        for number in numbers {
            let mut shown = round(number.exact);
            shown.rescale(digits);
            number.shown = shown.to_string();
        }
    }
}

impl Moment {
    pub(super) fn of(time: Timestamp) -> Self {
        Self { exact: time.to_string(), shown: time.strftime("%Y-%m-%d %H:%M:%S").to_string() }
    }

    /// Where the hour is all that counts.
    pub(super) fn of_hour(hour: i64) -> Self {
        let time = Timestamp::from_second(hour.saturating_mul(3600)).unwrap_or(Timestamp::MAX);
        Self { exact: time.to_string(), shown: time.strftime("%Y-%m-%d %H:%M").to_string() }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.exact)
    }
}

/// What there may be none of.
pub(super) fn text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

pub(super) fn target(target: Option<&Target>) -> String {
    target.map_or_else(|| "no target".to_owned(), Target::to_string)
}

pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Held => "held",
        State::Committed => "committed",
        State::Released => "released",
        State::Expired => "expired",
    }
}

pub(super) fn attempt_reason(reason: AttemptReason) -> &'static str {
    match reason {
        AttemptReason::First => "first",
        AttemptReason::Retry => "retry",
        AttemptReason::Failover => "failover",
        AttemptReason::RejectedOutput => "after a rejected output",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(column: Column, values: &[&str]) -> Vec<String> {
        let mut numbers: Vec<Number> = values.iter().map(|value| Number::new(value.parse().unwrap())).collect();
        column.align(numbers.iter_mut());
        numbers.into_iter().map(|number| number.shown).collect()
    }

    #[test]
    fn the_numbers_of_a_column_have_one_number_of_digits() {
        assert_eq!(shown(Column::Money, &["18.88", "0.003", "120"]), ["18.880", "0.003", "120.000"]);
        assert_eq!(shown(Column::Money, &["3"]), ["3.00"]);
        assert_eq!(shown(Column::Units, &["3", "210"]), ["3", "210"]);
        assert_eq!(shown(Column::Ratio, &["1.333333333", "1", "2.005"]), ["1.33", "1.00", "2.01"]);
    }

    #[test]
    fn a_small_price_does_not_vanish_between_large_ones() {
        assert_eq!(shown(Column::MoneyEach, &["0.314666667", "0.99"]), ["0.3147", "0.9900"]);
        assert_eq!(shown(Column::MoneyEach, &["0.0000031", "0.99"]), ["0.000003", "0.990000"]);
    }

    #[test]
    fn a_difference_has_its_sign_and_its_exact_value() {
        let signed = |micros| Number::micros(micros).signed();
        assert_eq!([480_000, -120_000, 0].map(signed), ["+0.48", "-0.12", "0"]);
        assert_eq!(serde_json::to_value(Number::micros(480_000)).unwrap(), "0.48");
    }
}
