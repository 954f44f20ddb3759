//! Numbers of JSON as exact decimals: `4e-08` is 0.00000004, and nothing near it.

use rust_decimal::Decimal;

use crate::domain::amount::PRICE_FRACTION_DIGITS_MAX;

/// Digits after the point that a decimal holds.
const SCALE_MAX: i64 = 28;

/// Why a number is no price of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NumberError {
    #[error("is no number: {0}")]
    NoNumber(String),
    #[error("is below zero: {0}")]
    Negative(String),
    #[error("has more digits after the point than the {PRICE_FRACTION_DIGITS_MAX} of a price: {0}")]
    TooFine(String),
    #[error("is larger than a price can be: {0}")]
    TooLarge(String),
}

/// The price that a JSON value writes, exactly.
pub(super) fn price(text: &str) -> Result<Decimal, NumberError> {
    let shown = || text.chars().take(40).collect::<String>();
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i64>().map_err(|_| NumberError::NoNumber(shown()))?),
        None => (text, 0),
    };
    // A decimal takes more than JSON does, such as `1_000`; JSON's own parser has let only numbers through, texts and lists aside.
    if !digits.bytes().all(|byte| byte.is_ascii_digit() || b".-".contains(&byte)) {
        return Err(NumberError::NoNumber(shown()));
    }
    let base = match Decimal::from_str_exact(digits) {
        Ok(base) => base.normalize(),
        Err(rust_decimal::Error::Underflow | rust_decimal::Error::ScaleExceedsMaximumPrecision(_)) => {
            return Err(NumberError::TooFine(shown()));
        }
        Err(_) => return Err(NumberError::NoNumber(shown())),
    };
    if base.is_sign_negative() && !base.is_zero() {
        return Err(NumberError::Negative(shown()));
    }
    let value = shifted(base, exponent).map_err(|error| error(shown()))?;
    if value.scale() as usize > PRICE_FRACTION_DIGITS_MAX {
        return Err(NumberError::TooFine(shown()));
    }
    Ok(value)
}

/// `base` times ten to the power of `exponent`.
fn shifted(base: Decimal, exponent: i64) -> Result<Decimal, fn(String) -> NumberError> {
    if base.is_zero() {
        return Ok(Decimal::ZERO);
    }
    let scale = i64::from(base.scale()).checked_sub(exponent).ok_or(NumberError::TooLarge as fn(String) -> NumberError)?;
    if scale > SCALE_MAX {
        return Err(NumberError::TooFine);
    }
    let up = u32::try_from((-scale).max(0)).map_err(|_| NumberError::TooLarge as fn(String) -> NumberError)?;
    let mantissa = 10_i128.checked_pow(up).and_then(|power| base.mantissa().checked_mul(power));
    let scale = u32::try_from(scale.max(0)).unwrap_or_default();
    let value = mantissa.and_then(|mantissa| Decimal::try_from_i128_with_scale(mantissa, scale).ok());
    value.map(|value| value.normalize()).ok_or(NumberError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_an_exponent_is_read_exactly() {
        for (text, expected) in [
            ("4e-08", "0.00000004"),
            ("15e-06", "0.000015"),
            ("1.2e-04", "0.00012"),
            ("2.0751953125e-09", "0.0000000020751953125"),
            ("0.0", "0"),
            ("0e-99", "0"),
            ("3", "3"),
            ("1.5E2", "150"),
            ("0.1", "0.1"),
            // As a float this is 0.30000000000000004 or so; here it stays what it is.
            ("0.3", "0.3"),
        ] {
            assert_eq!(price(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_price_is_refused_and_never_rounded() {
        assert!(matches!(price("2.9999900000000002e-06"), Err(NumberError::TooFine(_))));
        assert!(matches!(price("1e-20"), Err(NumberError::TooFine(_))));
        assert!(matches!(price("1e-99999999999"), Err(NumberError::TooFine(_))));
        assert!(matches!(price("1e99"), Err(NumberError::TooLarge(_))));
        assert!(matches!(price("-0.1"), Err(NumberError::Negative(_))));
        for text in ["\"0.1\"", "null", "[1]", "{}", "1_0", "1e", "true"] {
            assert!(matches!(price(text), Err(NumberError::NoNumber(_))), "{text}");
        }
    }
}
