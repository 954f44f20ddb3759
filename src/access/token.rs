//! Bearer tokens: random texts, of which only a hash is kept.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Scopes;

/// Random bytes of a token: as many as nobody guesses, so that a plain hash keeps it safe where a password would need a slow one.
const RANDOM_BYTES: usize = 32;
/// What our tokens begin with, so that scanners for leaked secrets, and people, know one when they see it.
const PREFIX: &str = "gq_";

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

/// A token that was just made. It is shown once and never kept.
pub struct NewToken(String);

impl TokenHash {
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Out of 64 hexadecimal digits.
    pub fn of_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    pub fn hex(&self) -> String {
        self.0.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// In the same time whatever differs.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// Hashes of tokens are no secrets, and no business of a log either.
impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl NewToken {
    /// Out of the system's random numbers. An error: it has none.
    pub fn make() -> Result<Self, getrandom::Error> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        Ok(Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

/// An entry of the access file's `tokens`, indented to stand there.
pub fn entry(name: &str, hash: &TokenHash, scopes: Scopes, subjects: &[String], expires: Option<Timestamp>) -> String {
    let scopes: Vec<&str> = scopes.iter().map(super::Scope::name).collect();
    let mut entry = format!("  - name: {name}\n    sha256: {}\n    scopes: [{}]\n", hash.hex(), scopes.join(", "));
    if !subjects.is_empty() {
        let quoted: Vec<String> = subjects.iter().map(|subject| format!("\"{subject}\"")).collect();
        let _ = writeln!(entry, "    subjects: [{}]", quoted.join(", "));
    }
    if let Some(expires) = expires {
        let _ = writeln!(entry, "    expires: {expires}");
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_written_and_read_alike() {
        let hash = TokenHash::of("secret");
        assert_eq!(hash.hex(), "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
        assert!(TokenHash::of_hex(&hash.hex().to_uppercase()).unwrap().is(&hash));
        assert!(!TokenHash::of("Secret").is(&hash));
        for wrong in ["", "2bb8", &"g".repeat(64), &"a".repeat(65), &"ä".repeat(32)] {
            assert_eq!(TokenHash::of_hex(wrong), None, "{wrong}");
        }
        assert_eq!(format!("{hash:?}"), "***");
    }

    #[test]
    fn no_token_is_made_twice() {
        let (one, other) = (NewToken::make().unwrap(), NewToken::make().unwrap());
        assert!(one.expose().starts_with("gq_") && one.expose().len() == 46, "{}", one.expose());
        assert_ne!(one.expose(), other.expose());
    }
}
