//! JWTs by a set of keys: signature, algorithm, issuer, audience and time, all of them or nothing (RFC 8725).
//!
//! Which algorithms count is said by the keys, never by the token: a key is good for those of its own kind alone, and there is none without
//! a signature and none with a shared secret.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::file::{pattern_of, subjects_of};
use super::principal::{Principal, Scope, Scopes, Subjects};
use super::{Reason, TokenHash};

/// How far the clocks of issuer and sidecar may be apart.
const LEEWAY: Duration = Duration::from_secs(30);
/// Longest token: an issuer's with many claims has a few kilobytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Most keys of a set: issuers have two or three, and a token without a key id is tried with each.
const KEYS_MAX: usize = 16;
/// Tokens whose signature is known to be good: checking one takes as long as a hundred decisions.
const VERIFIED_MAX: u64 = 4096;
/// Least bytes of an RSA key: 2048 bits, what RFC 7518 demands.
const RSA_BYTES_MIN: usize = 256;
/// Longest `sub` that is taken for a name.
const NAME_BYTES_MAX: usize = 128;
/// What our scopes begin with among those of others.
const SCOPE_PREFIX: &str = "genquota.";

/// Why a text is no set of keys to check tokens with.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("not a JSON Web Key Set: {0}")]
    Format(#[from] serde_json::Error),
    #[error("the key {0} is a shared secret: whoever checks tokens with it could make them")]
    Secret(String),
    #[error("the RSA key {0} is too short: at least 2048 bits are needed")]
    Short(String),
    #[error("the key {0} cannot be read: {1}")]
    Key(String, jsonwebtoken::errors::Error),
    #[error("has {0} keys; at most {KEYS_MAX} are allowed")]
    Many(usize),
    #[error("has no key for RS, PS, ES or EdDSA signatures")]
    Empty,
}

/// Checks tokens of one issuer for one audience.
pub(super) struct Verifier {
    keys: Vec<Key>,
    issuer: String,
    audience: String,
    verified: moka::sync::Cache<TokenHash, Arc<Principal>>,
}

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: serde_json::Number,
    nbf: Option<serde_json::Number>,
    #[serde(default)]
    scope: String,
    /// Left out: every subject. What is there must be a list: `null` is none.
    #[serde(default, deserialize_with = "list")]
    genquota_subjects: Option<Vec<String>>,
}

impl Verifier {
    pub(super) fn new(key_set: &str, issuer: &str, audience: &str) -> Result<Self, KeySetError> {
        let set: KeySet = serde_json::from_str(key_set)?;
        if set.keys.len() > KEYS_MAX {
            return Err(KeySetError::Many(set.keys.len()));
        }
        let mut keys = Vec::new();
        for (at, value) in set.keys.into_iter().enumerate() {
            // A set may hold keys of kinds that are not ours to know.
            let Ok(jwk) = serde_json::from_value::<Jwk>(value) else { continue };
            keys.extend(key(&jwk, at)?);
        }
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        let verified = moka::sync::Cache::new(VERIFIED_MAX);
        Ok(Self { keys, issuer: issuer.to_owned(), audience: audience.to_owned(), verified })
    }

    /// Who it is by this token, whose hash is known. Whether it has expired since is for the caller to see.
    pub(super) fn verify(&self, token: &str, hash: &TokenHash, now: Timestamp) -> Result<Arc<Principal>, Reason> {
        if let Some(principal) = self.verified.get(hash) {
            return Ok(principal);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Reason::NotFound);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Reason::NotFound)?;
        let meant = |key: &&Key| header.kid.is_none() || key.id == header.kid;
        let fitting = self.keys.iter().filter(meant).filter(|key| key.algorithms.contains(&header.alg));
        let mut wrong = Reason::NoKey;
        for key in fitting {
            match jsonwebtoken::decode::<Claims>(token, &key.key, &self.validation(header.alg)) {
                Ok(data) => {
                    let principal = Arc::new(principal(data.claims, now)?);
                    if !principal.has_expired(now) {
                        self.verified.insert(*hash, principal.clone());
                    }
                    return Ok(principal);
                }
                Err(error) => wrong = reason(error.kind()),
            }
        }
        Err(wrong)
    }

    /// All but time, which is looked at by this process's own clock, now and whenever the token comes again.
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.validate_exp = false;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation
    }
}

/// The keys themselves are nobody's business.
impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("keys", &self.keys.len()).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// None: not meant for signatures that we check.
fn key(jwk: &Jwk, at: usize) -> Result<Option<Key>, KeySetError> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let name = || jwk.common.key_id.as_ref().map_or_else(|| format!("number {}", at + 1), |id| format!("`{id}`"));
    let of_kind: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            let bytes = URL_SAFE_NO_PAD.decode(rsa.n.trim_end_matches('=')).unwrap_or_default();
            if bytes.iter().skip_while(|byte| **byte == 0).count() < RSA_BYTES_MIN {
                return Err(KeySetError::Short(name()));
            }
            &[RS256, RS384, RS512, PS256, PS384, PS512]
        }
        AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
            EllipticCurve::P256 => &[ES256],
            EllipticCurve::P384 => &[ES384],
            _ => return Ok(None),
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => &[EdDSA],
        AlgorithmParameters::OctetKey(_) => return Err(KeySetError::Secret(name())),
        _ => return Ok(None),
    };
    if jwk.common.public_key_use.as_ref().is_some_and(|meant| *meant != PublicKeyUse::Signature) {
        return Ok(None);
    }
    let algorithms: Vec<Algorithm> = match jwk.common.key_algorithm {
        None => of_kind.to_vec(),
        Some(only) => only.to_string().parse().into_iter().filter(|algorithm| of_kind.contains(algorithm)).collect(),
    };
    if algorithms.is_empty() {
        return Ok(None);
    }
    let key = DecodingKey::from_jwk(jwk).map_err(|error| KeySetError::Key(name(), error))?;
    Ok(Some(Key { id: jwk.common.key_id.clone(), algorithms, key }))
}

/// Whom the claims name, whose signature is good. What is not as we understand it allows nothing.
fn principal(claims: Claims, now: Timestamp) -> Result<Principal, Reason> {
    let name = claims.sub;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Reason::Claims);
    }
    let expires = instant(&claims.exp)?.checked_add(LEEWAY).map_err(|_| Reason::Claims)?;
    if let Some(begins) = &claims.nbf
        && now < instant(begins)?.checked_sub(LEEWAY).map_err(|_| Reason::Claims)?
    {
        return Err(Reason::NotYet);
    }
    let named = claims.scope.split_ascii_whitespace().filter_map(|scope| scope.strip_prefix(SCOPE_PREFIX));
    let scopes: Scopes = named.filter_map(Scope::of_name).collect();
    let subjects = match claims.genquota_subjects {
        None => Subjects::Every,
        Some(patterns) => {
            let patterns = patterns.iter().map(|pattern| pattern_of(pattern)).collect::<Result<Vec<_>, _>>();
            subjects_of(patterns.map_err(|_| Reason::Claims)?)
        }
    };
    Ok(Principal::new(&name, scopes, subjects, Some(expires)))
}

fn list<'de, D: serde::Deserializer<'de>>(claim: D) -> Result<Option<Vec<String>>, D::Error> {
    Vec::deserialize(claim).map(Some)
}

/// Seconds since 1970, a fraction of one left out.
fn instant(number: &serde_json::Number) -> Result<Timestamp, Reason> {
    let text = number.to_string();
    let whole = text.split('.').next().and_then(|whole| whole.parse().ok());
    whole.and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or(Reason::Claims)
}

fn reason(kind: &ErrorKind) -> Reason {
    match kind {
        ErrorKind::InvalidSignature => Reason::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::MissingAlgorithm => Reason::NoKey,
        _ => Reason::Claims,
    }
}
