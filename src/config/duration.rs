//! Durations as people write them: `90s`, `15m`, `1h 30m`, `7d`.
//!
//! A day is 24 hours here: these are distances between instants, never calendar days.

use std::time::Duration;

/// Units from long to short, in milliseconds.
const UNITS: [(&str, u64); 6] = [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("not a duration: `{0}`")]
    Malformed(String),
    #[error("a duration without a unit: `{0}`")]
    NoUnit(String),
    #[error("too long: `{0}`")]
    TooLong(String),
}

/// Reads whole numbers with the units `ms`, `s`, `m`, `h`, `d`, `w`, one or several, with or without spaces between them.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let malformed = || DurationError::Malformed(text.to_owned());
    let too_long = || DurationError::TooLong(text.to_owned());
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(malformed());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        if number.is_empty() {
            return Err(malformed());
        }
        let number: u64 = number.parse().map_err(|_| too_long())?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        if unit.is_empty() {
            return Err(if after.is_empty() { DurationError::NoUnit(text.to_owned()) } else { malformed() });
        }
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?;
        total = number.checked_mul(*millis).and_then(|part| total.checked_add(part)).ok_or_else(too_long)?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// Writes what [`parse_duration`] reads, without weeks; what is below a millisecond is cut off.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, millis) in &UNITS[1..] {
        let number = rest / u128::from(*millis);
        rest %= u128::from(*millis);
        if number > 0 {
            text.push_str(&format!("{number}{unit}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis, written) in [
            ("90s", 90_000, "1m30s"),
            ("15m", 900_000, "15m"),
            ("2h", 7_200_000, "2h"),
            ("7d", 604_800_000, "7d"),
            ("1w", 604_800_000, "7d"),
            ("250ms", 250, "250ms"),
            (" 1h 30m ", 5_400_000, "1h30m"),
            ("2d3h4m5s6ms", 183_845_006, "2d3h4m5s6ms"),
            ("0s", 0, "0s"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(format_duration(duration), written);
            assert_eq!(parse_duration(written), Ok(duration));
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        assert_eq!(parse_duration("15"), Err(DurationError::NoUnit("15".into())));
        for text in ["", " ", "m", "-5m", "1.5h", "5 m", "5minutes", "5µs", "1h-30m", "５m"] {
            assert_eq!(parse_duration(text), Err(DurationError::Malformed(text.into())), "{text}");
        }
        for text in ["18446744073709551616ms", "18446744073709551615s", "40000000000w"] {
            assert_eq!(parse_duration(text), Err(DurationError::TooLong(text.into())), "{text}");
        }
    }
}
