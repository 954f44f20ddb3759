//! Exact numbers: decimals at the edges, whole micro-units in the ledger.
//!
//! Nothing here wraps, saturates or turns to binary floating point. A product is computed exactly and rounded once, by a declared rule
//! (proof.md I20).

use std::fmt;

use rust_decimal::{Decimal, RoundingStrategy};

/// One unit, or one unit of a currency, in micro-units.
pub const MICROS_PER_UNIT: i64 = 1_000_000;
/// Largest amount an account or an operation may hold: a billion units. Below 2^53, so a store whose numbers are doubles still adds
/// and compares two such amounts exactly.
pub const MICROS_MAX: i64 = 1_000_000_000_000_000;
/// Digits before and after the point of a decimal on the wire (api.md).
pub const INTEGER_DIGITS_MAX: usize = 15;
pub const FRACTION_DIGITS_MAX: usize = 9;
/// Digits after the point of a price. Prices per pixel go that deep, and with the 9 of a measure the product still has the 28 that a
/// decimal holds.
pub const PRICE_FRACTION_DIGITS_MAX: usize = 19;

/// An amount of units or of money in whole millionths, `0..=10^15`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(i64);

/// Why a number was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("must be a plain decimal such as `1.65`: digits, at most one point, no sign and no exponent; got {text:?}")]
    Grammar { text: String },
    #[error("has more than {integer} digits before or {fraction} after the point: {text}")]
    TooManyDigits { text: String, integer: usize, fraction: usize },
    #[error("is larger than 1000000000, the most an account can hold")]
    TooLarge,
    #[error("cannot be computed exactly: the product of {left} and {right} has more than 28 digits")]
    Inexact { left: Decimal, right: Decimal },
}

/// How a product becomes an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RoundingMode {
    /// Kept as it is, down to the micro-unit; a smaller rest rounds up, so that no charge vanishes.
    #[default]
    None,
    Up,
    Down,
    HalfUp,
}

impl Micros {
    pub const ZERO: Self = Self(0);
    pub const ONE_UNIT: Self = Self(MICROS_PER_UNIT);
    pub const MAX: Self = Self(MICROS_MAX);

    /// An amount of whole micro-units; `None` outside `0..=10^15`.
    pub const fn new(micros: i64) -> Option<Self> {
        if micros >= 0 && micros <= MICROS_MAX { Some(Self(micros)) } else { None }
    }

    /// An exact decimal as micro-units, what is below a micro-unit rounded as told.
    pub fn from_decimal(value: Decimal, below: RoundingMode) -> Result<Self, AmountError> {
        let scaled = value.checked_mul(Decimal::from(MICROS_PER_UNIT)).ok_or(AmountError::TooLarge)?;
        let whole = round_to_whole(scaled, below);
        i64::try_from(whole).ok().and_then(Self::new).ok_or(AmountError::TooLarge)
    }

    pub const fn get(self) -> i64 {
        self.0
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.0, 6).normalize()
    }

    /// The sum, or `None` above 10^15.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::new)
    }

    /// The difference, or `None` below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).and_then(Self::new)
    }

    /// What of this is left when `other` is taken away; nothing when `other` is more.
    pub fn less(self, other: Self) -> Self {
        Self((self.0 - other.0).max(0))
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_decimal().fmt(f)
    }
}

/// Reads a decimal of the wire: `[0-9]{1,15}(\.[0-9]{1,9})?`, exactly.
pub fn parse_decimal(text: &str) -> Result<Decimal, AmountError> {
    parse_with_fraction(text, FRACTION_DIGITS_MAX)
}

/// Reads a price or a rate of a catalog: the same grammar with up to 19 digits after the point.
pub fn parse_price(text: &str) -> Result<Decimal, AmountError> {
    parse_with_fraction(text, PRICE_FRACTION_DIGITS_MAX)
}

fn parse_with_fraction(text: &str, fraction_max: usize) -> Result<Decimal, AmountError> {
    let grammar = || AmountError::Grammar { text: text.chars().take(64).collect() };
    let (integer, fraction) = match text.split_once('.') {
        Some((integer, fraction)) if !fraction.is_empty() => (integer, fraction),
        Some(_) => return Err(grammar()),
        None => (text, ""),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if integer.is_empty() || !digits(integer) || !digits(fraction) {
        return Err(grammar());
    }
    if integer.len() > INTEGER_DIGITS_MAX || fraction.len() > fraction_max {
        return Err(AmountError::TooManyDigits {
            text: text.chars().take(64).collect(),
            integer: INTEGER_DIGITS_MAX,
            fraction: fraction_max,
        });
    }
    Decimal::from_str_exact(text).map(|value| value.normalize()).map_err(|_| grammar())
}

/// The exact product of two decimals, or an error where it has more digits than a decimal holds. (`Decimal`'s own multiplication would
/// round in silence, in the worst case to zero: a free generation.)
pub fn exact_product(left: Decimal, right: Decimal) -> Result<Decimal, AmountError> {
    let inexact = AmountError::Inexact { left, right };
    let (left, right) = (left.normalize(), right.normalize());
    left.mantissa()
        .checked_mul(right.mantissa())
        .and_then(|mantissa| Decimal::try_from_i128_with_scale(mantissa, left.scale() + right.scale()).ok())
        .map(|product| product.normalize())
        .ok_or(inexact)
}

/// `value` rounded to a multiple of `step`. A whole multiple does not move (R3).
pub fn round_to_step(value: Decimal, step: Decimal, mode: RoundingMode) -> Result<Decimal, AmountError> {
    if mode == RoundingMode::None {
        return Ok(value);
    }
    let steps = value.checked_div(step).ok_or(AmountError::TooLarge)?;
    let mut whole = round_to_whole(steps, mode);
    // A quotient with more than 28 digits was itself rounded; the exact product tells on which side of the value it fell.
    if mode == RoundingMode::Up && exact_product(whole, step)? < value {
        whole = whole.checked_add(Decimal::ONE).ok_or(AmountError::TooLarge)?;
    }
    if mode == RoundingMode::Down && exact_product(whole, step)? > value {
        whole -= Decimal::ONE;
    }
    exact_product(whole, step)
}

fn round_to_whole(value: Decimal, mode: RoundingMode) -> Decimal {
    let strategy = match mode {
        RoundingMode::None | RoundingMode::Up => RoundingStrategy::AwayFromZero,
        RoundingMode::Down => RoundingStrategy::ToZero,
        RoundingMode::HalfUp => RoundingStrategy::MidpointAwayFromZero,
    };
    value.round_dp_with_strategy(0, strategy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dec(text: &str) -> Decimal {
        parse_price(text).unwrap()
    }

    #[test]
    fn a_decimal_is_digits_and_one_point() {
        for good in ["0", "1", "1.65", "000.5", "999999999999999.999999999"] {
            assert!(parse_decimal(good).is_ok(), "{good}");
        }
        let more = ["", "-1", "-0", "+1", "1e3", "1_000", "NaN", "inf", "0x10", " 1", "1 ", ".5", "5.", "1.2.3", "１"];
        for bad in more {
            assert!(matches!(parse_decimal(bad), Err(AmountError::Grammar { .. })), "{bad:?}");
        }
        for long in ["1000000000000000", "0.1234567890"] {
            assert!(matches!(parse_decimal(long), Err(AmountError::TooManyDigits { .. })), "{long}");
        }
    }

    #[test]
    fn rounding_up_moves_any_fraction_and_no_whole_number() {
        for (value, step, expected) in
            [("1.65", "1", "2"), ("6", "1", "6"), ("0.000000001", "1", "1"), ("1.2", "0.25", "1.25"), ("1.25", "0.25", "1.25")]
        {
            assert_eq!(round_to_step(dec(value), dec(step), RoundingMode::Up).unwrap(), dec(expected), "{value}");
        }
        assert_eq!(round_to_step(dec("1.65"), dec("1"), RoundingMode::Down).unwrap(), dec("1"));
        assert_eq!(round_to_step(dec("1.5"), dec("1"), RoundingMode::HalfUp).unwrap(), dec("2"));
        assert_eq!(round_to_step(dec("1.49"), dec("1"), RoundingMode::HalfUp).unwrap(), dec("1"));
        assert_eq!(round_to_step(dec("1.65"), dec("1"), RoundingMode::None).unwrap(), dec("1.65"));
        // 1/3 has no end: thirds still round up to the step above and not past it.
        assert_eq!(round_to_step(dec("1"), dec("0.3"), RoundingMode::Up).unwrap(), dec("1.2"));
        assert_eq!(round_to_step(dec("0.9"), dec("0.3"), RoundingMode::Up).unwrap(), dec("0.9"));
    }

    #[test]
    fn a_product_is_exact_or_refused_and_never_zero_by_accident() {
        assert_eq!(exact_product(dec("5"), dec("0.33")).unwrap(), dec("1.65"));
        assert_eq!(exact_product(dec("0.1"), dec("3")).unwrap(), dec("0.3"));
        let tiny = Decimal::new(1, 20);
        assert!(matches!(exact_product(tiny, tiny), Err(AmountError::Inexact { .. })));
        assert!(matches!(exact_product(dec("999999999999999"), dec("999999999999999.999999")), Err(AmountError::Inexact { .. })));
    }

    #[test]
    fn an_amount_stays_between_zero_and_a_billion_units() {
        assert_eq!(Micros::new(-1), None);
        assert_eq!(Micros::new(MICROS_MAX + 1), None);
        assert_eq!(Micros::MAX.checked_add(Micros::new(1).unwrap()), None);
        assert_eq!(Micros::ZERO.checked_sub(Micros::new(1).unwrap()), None);
        assert_eq!(Micros::from_decimal(dec("1.65"), RoundingMode::None).unwrap().get(), 1_650_000);
        assert_eq!(Micros::from_decimal(dec("0.0000001"), RoundingMode::None).unwrap().get(), 1);
        assert_eq!(Micros::from_decimal(dec("0.0000001"), RoundingMode::HalfUp).unwrap().get(), 0);
        assert_eq!(Micros::from_decimal(dec("1000000000.1"), RoundingMode::Up), Err(AmountError::TooLarge));
        assert_eq!(Micros::new(1_650_000).unwrap().to_string(), "1.65");
        assert_eq!(Micros::new(20_000_000).unwrap().to_string(), "20");
    }
}
