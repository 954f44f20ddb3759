//! How values are written on the command line.
//!
//! Checks the form only, so that a slip is told at once; whether a value makes sense is the server's to say.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Failure;
use crate::config::{DurationError, parse_duration};
use crate::proto::v1::Target;

/// Stands for stdin or stdout where a file is named.
pub(super) const STANDARD: &str = "-";

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) value: String,
}

pub(super) fn duration(text: &str) -> Result<Duration, DurationError> {
    parse_duration(text)
}

/// Reads `NAME=VALUE`; the value may hold further `=`.
pub(super) fn pair(text: &str) -> Result<Pair, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(Pair { name: name.to_owned(), value: value.to_owned() }),
        _ => Err("write `NAME=VALUE`".to_owned()),
    }
}

/// Reads `PROVIDER/MODEL`; the model may hold further `/`.
pub(super) fn target(text: &str) -> Result<Target, String> {
    match text.split_once('/') {
        Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
            Ok(Target { provider: provider.to_owned(), model: model.to_owned() })
        }
        _ => Err("write `PROVIDER/MODEL`".to_owned()),
    }
}

/// Reads an instant, `2026-02-25T12:00:00Z`, or a day, `2026-02-25`, which begins at midnight UTC.
pub(super) fn instant(text: &str) -> Result<prost_types::Timestamp, String> {
    let instant = text.parse::<jiff::Timestamp>().or_else(|_| {
        let day = jiff::civil::Date::strptime("%Y-%m-%d", text)?;
        day.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp())
    });
    let instant = instant.map_err(|_| "write `2026-02-25T12:00:00Z` or `2026-02-25`".to_owned())?;
    Ok(prost_types::Timestamp { seconds: instant.as_second(), nanos: instant.subsec_nanosecond() })
}

/// Pairs as a map; a name given twice is an error.
pub(super) fn map(pairs: &[Pair]) -> Result<BTreeMap<String, String>, Failure> {
    let mut map = BTreeMap::new();
    for Pair { name, value } in pairs {
        if map.insert(name.clone(), value.clone()).is_some() {
            return Err(Failure::Usage(anyhow::anyhow!("given twice: `{name}`")));
        }
    }
    Ok(map)
}

pub(super) fn proto_duration(duration: Duration) -> prost_types::Duration {
    // The longest duration that can be written is shorter than what a proto duration holds.
    prost_types::Duration::try_from(duration).unwrap_or(prost_types::Duration { seconds: i64::MAX, nanos: 0 })
}

/// A new id that sorts by time.
pub(super) fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_split_at_the_first_sign() {
        assert_eq!(pair("a=b=c").unwrap(), Pair { name: "a".into(), value: "b=c".into() });
        assert_eq!(pair("a=").unwrap().value, "");
        assert_eq!(target("fal/flux/dev").unwrap().model, "flux/dev");
        for text in ["", "=", "a", "=b"] {
            assert!(pair(text).is_err(), "{text}");
        }
        for text in ["", "/", "a", "a/", "/b"] {
            assert!(target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn instants_and_days_are_read() {
        assert_eq!(instant("2026-02-25").unwrap(), instant("2026-02-25T00:00:00Z").unwrap());
        assert_eq!(instant("2026-02-25T01:00:00.5+01:00").unwrap(), prost_types::Timestamp { seconds: 1_771_977_600, nanos: 500_000_000 });
        for text in ["", "2026-02-30", "25.02.2026", "2026-02-25T12:00:00", "now"] {
            assert!(instant(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_given_twice_is_an_error() {
        assert!(map(&[pair("a=1").unwrap(), pair("a=2").unwrap()]).is_err());
    }
}
