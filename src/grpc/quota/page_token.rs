//! Tokens of pages: where a list goes on, as an opaque text that is good for one set of filters alone.
//!
//! The text is base64url of: a version, eight bytes of the filters' digest, the seconds and nanoseconds at which the last generation of the
//! page began, its id, and four bytes of a checksum. So a token that was cut, mixed up or made for other filters is never taken for a place.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::domain::ids::GenerationId;
use crate::domain::ledger::{Fingerprint, HistoryPlace};

/// The digest of everything in a request but its page.
pub(super) type Filters = Fingerprint;

const VERSION: u8 = 1;
const FILTERS_BYTES: usize = 8;
const SUM_BYTES: usize = 4;
/// Longer than any token there is.
const TOKEN_BYTES_MAX: usize = 512;

/// Why a text is no token of this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    #[error("is no token of this version; list again from the first page")]
    Malformed,
    #[error("was made for other filters; every field but `page_size` must be as it was")]
    OtherFilters,
}

pub(super) fn text(place: &HistoryPlace, filters: Filters) -> String {
    let began = place.began();
    let mut bytes = vec![VERSION];
    bytes.extend(&filters.0[..FILTERS_BYTES]);
    bytes.extend(began.as_second().to_be_bytes());
    bytes.extend(began.subsec_nanosecond().to_be_bytes());
    bytes.extend(place.generation().map(GenerationId::as_str).unwrap_or_default().bytes());
    let sum = checksum(&bytes);
    bytes.extend(sum);
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn read(token: &str, filters: Filters) -> Result<HistoryPlace, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenError::Malformed)?;
    let (bytes, sum) = bytes.split_last_chunk::<SUM_BYTES>().ok_or(TokenError::Malformed)?;
    if checksum(bytes) != *sum {
        return Err(TokenError::Malformed);
    }
    let (version, bytes) = bytes.split_first().ok_or(TokenError::Malformed)?;
    let (made_for, bytes) = bytes.split_first_chunk::<FILTERS_BYTES>().ok_or(TokenError::Malformed)?;
    let (seconds, bytes) = bytes.split_first_chunk().ok_or(TokenError::Malformed)?;
    let (nanos, generation) = bytes.split_first_chunk().ok_or(TokenError::Malformed)?;
    if *version != VERSION {
        return Err(TokenError::Malformed);
    }
    if *made_for != filters.0[..FILTERS_BYTES] {
        return Err(TokenError::OtherFilters);
    }
    let began = Timestamp::new(i64::from_be_bytes(*seconds), i32::from_be_bytes(*nanos)).map_err(|_| TokenError::Malformed)?;
    let generation = std::str::from_utf8(generation).ok().and_then(|id| GenerationId::new(id).ok());
    Ok(HistoryPlace::before_generation(began, generation.ok_or(TokenError::Malformed)?))
}

fn checksum(bytes: &[u8]) -> [u8; SUM_BYTES] {
    let mut start = [0; SUM_BYTES];
    start.copy_from_slice(&Sha256::digest(bytes)[..SUM_BYTES]);
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(began: &str, generation: &str) -> HistoryPlace {
        HistoryPlace::before_generation(began.parse().unwrap(), GenerationId::new(generation).unwrap())
    }

    #[test]
    fn a_token_leads_back_to_its_place_under_its_filters_alone() {
        for place in [place("2026-03-01T12:00:00.123456789Z", "g"), place("1969-12-31T23:59:59.5Z", &"x".repeat(128))] {
            let token = text(&place, Fingerprint([7; 16]));
            assert!(token.len() <= TOKEN_BYTES_MAX, "{}", token.len());
            assert_eq!(read(&token, Fingerprint([7; 16])), Ok(place));
            assert_eq!(read(&token, Fingerprint([8; 16])), Err(TokenError::OtherFilters));
        }
    }

    #[test]
    fn what_was_cut_or_changed_is_no_token() {
        let token = text(&place("2026-03-01T12:00:00Z", "generation"), Fingerprint([7; 16]));
        for end in 0..token.len() {
            assert_eq!(read(&token[..end], Fingerprint([7; 16])), Err(TokenError::Malformed), "{end}");
        }
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(read(&changed, Fingerprint([7; 16])).is_err(), "{changed}");
        }
        for text in ["*", "AAAA", &"A".repeat(600)] {
            assert_eq!(read(text, Fingerprint([7; 16])), Err(TokenError::Malformed), "{text}");
        }
    }
}
