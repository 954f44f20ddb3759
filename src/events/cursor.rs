//! Cursors: the places of a reader in all streams, as an opaque text.
//!
//! The text is base64url of: a version, four bytes of a digest of the ledger's id, the generation that most places have, the number of
//! places, each place, and four bytes of a checksum. Numbers are varints. A place is its number doubled, plus one where another generation
//! follows. So a cursor of another ledger, or one that was cut or mixed up, is never taken for a place.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::store::Place;

const VERSION: u8 = 1;
const DIGEST_BYTES: usize = 4;
/// Longest cursor of a ledger with the most partitions there can be.
pub const CURSOR_BYTES_MAX: usize = 16 * 1024;

/// Why a text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    #[error("is no cursor of this version")]
    Malformed,
    #[error("is a cursor of another ledger")]
    Foreign,
}

/// Where a reader begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    Now,
    Oldest,
    After(Vec<Place>),
}

impl Start {
    pub(super) fn read(cursor: &str, ledger: Uuid, streams: usize) -> Result<Self, CursorError> {
        match cursor {
            "" => Ok(Self::Now),
            "0" => Ok(Self::Oldest),
            cursor => places(cursor, ledger, streams).map(Self::After),
        }
    }
}

/// The cursor of some places, one for each stream.
pub(super) fn text(ledger: Uuid, places: &[Place]) -> String {
    let usual = places.iter().map(|place| place.generation).max().unwrap_or(0);
    let mut bytes = Vec::with_capacity(2 * DIGEST_BYTES + 8 + 4 * places.len());
    bytes.push(VERSION);
    bytes.extend(digest(ledger.as_bytes()));
    put(&mut bytes, usual.into());
    put(&mut bytes, places.len() as u128);
    for place in places {
        let other = place.generation != usual;
        put(&mut bytes, 2 * u128::from(place.number) + u128::from(other));
        if other {
            put(&mut bytes, place.generation.into());
        }
    }
    let sum = digest(&bytes);
    bytes.extend(sum);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn places(cursor: &str, ledger: Uuid, streams: usize) -> Result<Vec<Place>, CursorError> {
    if cursor.len() > CURSOR_BYTES_MAX {
        return Err(CursorError::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| CursorError::Malformed)?;
    let (bytes, sum) = bytes.split_last_chunk::<DIGEST_BYTES>().ok_or(CursorError::Malformed)?;
    if digest(bytes) != *sum {
        return Err(CursorError::Malformed);
    }
    let (version, bytes) = bytes.split_first().ok_or(CursorError::Malformed)?;
    let (of, mut rest) = bytes.split_first_chunk::<DIGEST_BYTES>().ok_or(CursorError::Malformed)?;
    if *version != VERSION {
        return Err(CursorError::Malformed);
    }
    if *of != digest(ledger.as_bytes()) {
        return Err(CursorError::Foreign);
    }
    let mut take = || take(&mut rest).ok_or(CursorError::Malformed);
    let usual = narrow(take()?)?;
    if take()? != streams as u128 {
        return Err(CursorError::Malformed);
    }
    let mut places = Vec::with_capacity(streams);
    for _ in 0..streams {
        let doubled = take()?;
        let generation = if doubled % 2 == 1 { narrow(take()?)? } else { usual };
        places.push(Place::new(generation, narrow(doubled / 2)?));
    }
    if rest.is_empty() { Ok(places) } else { Err(CursorError::Malformed) }
}

fn narrow(number: u128) -> Result<u64, CursorError> {
    u64::try_from(number).map_err(|_| CursorError::Malformed)
}

fn digest(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut start = [0; DIGEST_BYTES];
    start.copy_from_slice(&Sha256::digest(bytes)[..DIGEST_BYTES]);
    start
}

fn put(bytes: &mut Vec<u8>, mut number: u128) {
    loop {
        let low = u8::try_from(number % 128).expect("below 128");
        number /= 128;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low + 128);
    }
}

fn take(bytes: &mut &[u8]) -> Option<u128> {
    let mut number = 0_u128;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u128::from(first % 128).checked_shl(shift)?;
        if *first < 128 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Uuid {
        Uuid::from_u128(7)
    }

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let places = vec![Place::new(3, 0), Place::new(1, 127), Place::new(3, 128), Place::new(3, u64::MAX)];
        let text = text(ledger(), &places);
        assert_eq!(Start::read(&text, ledger(), 4), Ok(Start::After(places)));
        assert_eq!(Start::read("", ledger(), 4), Ok(Start::Now));
        assert_eq!(Start::read("0", ledger(), 4), Ok(Start::Oldest));
    }

    #[test]
    fn a_cursor_of_another_ledger_or_of_another_number_of_streams_is_none() {
        let text = text(ledger(), &[Place::new(1, 5); 4]);
        assert_eq!(Start::read(&text, Uuid::from_u128(8), 4), Err(CursorError::Foreign));
        assert_eq!(Start::read(&text, ledger(), 5), Err(CursorError::Malformed));
    }

    #[test]
    fn whatever_was_cut_or_mixed_up_is_no_cursor() {
        let whole = text(ledger(), &[Place::new(1, 500), Place::new(2, 7)]);
        for end in 1..whole.len() {
            assert!(Start::read(&whole[..end], ledger(), 2).is_err(), "{end}");
        }
        for at in 0..whole.len() {
            let mut other = whole.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(Start::read(&other, ledger(), 2), Err(CursorError::Malformed), "{at}");
        }
        for text in ["1", "00", "!", "AAAA", &"A".repeat(CURSOR_BYTES_MAX + 4), &format!("{whole}AAAA"), "e\u{301}"] {
            assert_eq!(Start::read(text, ledger(), 2), Err(CursorError::Malformed), "{text}");
        }
    }

    #[test]
    fn a_cursor_of_a_large_ledger_is_short_enough_to_send() {
        let busy = text(ledger(), &[Place::new(1, 1_000_000); 64]);
        assert!(busy.len() < 320, "{}", busy.len());
        let largest: Vec<Place> = (0..1024).map(|stream| Place::new(stream, u64::MAX / 1024)).collect();
        assert!(text(ledger(), &largest).len() < CURSOR_BYTES_MAX);
    }
}
