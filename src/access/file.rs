//! From the access file to whom it names, with every problem and its place.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::jwt::Verifier;
use super::principal::{Principal, Scope, Scopes, Subjects};
use super::raw::{RawAccess, RawJwt};
use super::{Access, TokenHash};
use crate::domain::ids::check_id;
use crate::yaml::{self, At, OneOrMany, Placed, Places, Problem, Problems, Severity};

/// Longest name of a principal: it stands in logs and in the audit.
const NAME_BYTES_MAX: usize = 64;
/// Most tokens: each is compared with each call's.
const TOKENS_MAX: usize = 1000;

/// The texts that make up what is in force: the access file, and the key set that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    text: Arc<str>,
    /// None: it names none. An error: why it cannot be read.
    jwks: Option<Result<Arc<str>, String>>,
}

/// Who may do what, as every entry says it.
struct Allowed<'a> {
    name: &'a Placed<String>,
    scopes: &'a Placed<OneOrMany<Placed<String>>>,
    subjects: Option<&'a Placed<Vec<Placed<String>>>>,
    expires: Option<&'a Placed<String>>,
}

struct Checker<'a> {
    places: &'a Places,
    now: Timestamp,
    problems: Vec<Problem>,
}

/// Reads an access file and the key set that it names.
pub fn read(path: &Path) -> Result<Files, Problems> {
    let text: Arc<str> = regular_text(path)?.into();
    let jwt = yaml::read::<RawAccess>(&text).value.and_then(|raw| raw.jwt);
    let jwks = jwt.map(|jwt| match regular_text(Path::new(&jwt.value.jwks.value)) {
        Ok(text) => Ok(text.into()),
        Err(problems) => Err(problems.problems.iter().map(|problem| &*problem.message).collect::<Vec<_>>().join("; ")),
    });
    Ok(Files { text, jwks })
}

/// What comes through a pipe would keep its reader waiting, and could not be read again.
fn regular_text(path: &Path) -> Result<String, Problems> {
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Problems::of_file(path.display().to_string(), "cannot be read: not a regular file"));
    }
    yaml::read_text(path)
}

/// Whom the files name, and everything there is to say about them: valid ones may have warnings.
pub fn check(name: &str, files: &Files, now: Timestamp) -> (Option<Access>, Problems) {
    let read = yaml::read::<RawAccess>(&files.text);
    let mut checker = Checker { places: &read.places, now, problems: read.problems };
    let mut access = read.value.map(|raw| checker.access(&raw, files));
    let mut problems = checker.problems;
    problems.sort_by_key(|problem| (problem.line, problem.column));
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        access = None;
    }
    (access, Problems { name: name.to_owned(), problems })
}

impl Checker<'_> {
    fn access(&mut self, raw: &RawAccess, files: &Files) -> Access {
        if raw.tokens.is_empty() && raw.certificates.is_empty() && raw.peers.is_empty() && raw.jwt.is_none() && self.problems.is_empty() {
            let problem = Problem::of_text("names nobody, so nobody could call");
            self.problems.push(problem.hint("`genquota token new --name NAME --scope gateway` makes a token and its entry"));
        }
        let mut access = Access { tokens: Vec::new(), certificates: BTreeMap::new(), peers: BTreeMap::new(), jwt: None };
        if let Some(one_too_many) = raw.tokens.get(TOKENS_MAX) {
            self.error(one_too_many.at, format!("more than {TOKENS_MAX} tokens"), "use certificates or JWTs for so many callers");
        }
        let mut hashes = BTreeMap::new();
        for Placed { value: token, .. } in raw.tokens.iter().take(TOKENS_MAX) {
            let allowed =
                Allowed { name: &token.name, scopes: &token.scopes, subjects: token.subjects.as_ref(), expires: token.expires.as_ref() };
            let principal = self.principal(&allowed);
            let Some(hash) = TokenHash::of_hex(&token.sha256.value) else {
                let hint = "`genquota token new` makes a token and its entry; the token itself never stands here";
                self.error(token.sha256.at, "must be the 64 hexadecimal digits of a SHA-256", hint);
                continue;
            };
            self.once(&mut hashes, hash, token.sha256.at, "token");
            access.tokens.extend(principal.map(|principal| (hash, principal)));
        }
        let mut known = BTreeMap::new();
        for Placed { value: certificate, .. } in &raw.certificates {
            let Placed { value: san, at } = &certificate.san;
            let (subjects, expires) = (certificate.subjects.as_ref(), certificate.expires.as_ref());
            let principal = self.principal(&Allowed { name: &certificate.name, scopes: &certificate.scopes, subjects, expires });
            if san.is_empty() || san.contains('*') || !san.bytes().all(|byte| byte.is_ascii_graphic()) {
                self.error(*at, format!("must be one DNS or URI name of a certificate: got `{san}`"), "such as `spiffe://cluster/gateway`");
            }
            self.once(&mut known, san.as_str(), *at, "name");
            access.certificates.extend(principal.map(|principal| (san.as_str().into(), principal)));
        }
        let mut known = BTreeMap::new();
        for Placed { value: peer, .. } in &raw.peers {
            let (subjects, expires) = (peer.subjects.as_ref(), peer.expires.as_ref());
            let principal = self.principal(&Allowed { name: &peer.name, scopes: &peer.scopes, subjects, expires });
            self.once(&mut known, peer.uid.value, peer.uid.at, "user");
            access.peers.extend(principal.map(|principal| (peer.uid.value, principal)));
        }
        if let Some(jwt) = &raw.jwt {
            access.jwt = self.jwt(&jwt.value, files);
        }
        access
    }

    fn principal(&mut self, allowed: &Allowed<'_>) -> Option<Arc<Principal>> {
        let Allowed { name, scopes, subjects, expires } = allowed;
        let wrong = check_id(&name.value).err().map(|error| error.to_string());
        let wrong = wrong.or_else(|| (name.value.len() > NAME_BYTES_MAX).then(|| format!("has more than {NAME_BYTES_MAX} bytes")));
        if let Some(wrong) = wrong {
            self.error(name.at, wrong, "a name such as `gateway-a`, for logs and the audit");
        }
        let scopes: Scopes = scopes.value.0.iter().filter_map(|scope| self.scope(scope)).collect();
        let subjects = subjects.map_or(Some(Subjects::Every), |subjects| self.subjects(subjects));
        let expires = expires.and_then(|expires| self.expires(&name.value, expires));
        Some(Arc::new(Principal::new(&name.value, scopes, subjects?, expires)))
    }

    fn scope(&mut self, named: &Placed<String>) -> Option<Scope> {
        let scope = Scope::of_name(&named.value);
        if scope.is_none() {
            self.error(named.at, format!("no such scope: `{}`", named.value), "known are `gateway`, `observer` and `admin`");
        }
        scope
    }

    fn subjects(&mut self, patterns: &Placed<Vec<Placed<String>>>) -> Option<Subjects> {
        if patterns.value.is_empty() {
            self.error(patterns.at, "is an empty list", "leave it out to allow every subject");
            return None;
        }
        // All of them, so that every problem is told.
        let parts: Vec<_> = patterns
            .value
            .iter()
            .map(|pattern| match pattern_of(&pattern.value) {
                Ok(part) => Some(part),
                Err(message) => {
                    self.error(pattern.at, message, "an id such as `acme`, or the beginning of ids with a final `*`: `studio-*`");
                    None
                }
            })
            .collect();
        parts.into_iter().collect::<Option<Vec<_>>>().map(subjects_of)
    }

    fn expires(&mut self, name: &str, text: &Placed<String>) -> Option<Timestamp> {
        match text.value.parse::<Timestamp>() {
            Ok(expires) => {
                if expires <= self.now {
                    let problem = self.places.problem(text.at, format!("`{name}` has expired, and may do nothing any more"));
                    self.problems.push(problem.hint("take the entry out, or make a new token").warning());
                }
                Some(expires)
            }
            Err(_) => {
                self.error(text.at, format!("must be an instant: got `{}`", text.value), "such as `2027-01-01T00:00:00Z`");
                None
            }
        }
    }

    fn jwt(&mut self, jwt: &RawJwt, files: &Files) -> Option<Verifier> {
        for Placed { value, at } in [&jwt.issuer, &jwt.audience] {
            if value.trim().is_empty() {
                self.error(*at, "must not be empty", "as the claims `iss` and `aud` have it");
            }
        }
        let text = match files.jwks.as_ref()? {
            Ok(text) => text,
            Err(message) => {
                self.error(jwt.jwks.at, format!("`{}` {message}", jwt.jwks.value), "a file with a JSON Web Key Set (RFC 7517)");
                return None;
            }
        };
        match Verifier::new(text, &jwt.issuer.value, &jwt.audience.value) {
            Ok(verifier) => Some(verifier),
            Err(error) => {
                self.error(
                    jwt.jwks.at,
                    format!("`{}`: {error}", jwt.jwks.value),
                    "a file with public keys as a JSON Web Key Set (RFC 7517)",
                );
                None
            }
        }
    }

    /// Tells what is named twice.
    fn once<K: Ord>(&mut self, known: &mut BTreeMap<K, At>, key: K, at: At, what: &str) {
        if let Some(before) = known.insert(key, at) {
            let line = self.places.line(before);
            self.error(at, format!("the same {what} as in line {line}"), "one entry for each, so that it is clear what it may do");
        }
    }

    fn error(&mut self, at: At, message: impl Into<String>, hint: &str) {
        self.problems.push(self.places.problem(at, message).hint(hint));
    }
}

/// One pattern: an id, or the beginning of ids.
pub(super) enum Pattern {
    Exact(Box<str>),
    Prefix(Box<str>),
}

/// Reads `acme` or `studio-*`.
pub(super) fn pattern_of(text: &str) -> Result<Pattern, String> {
    let wrong = |error: &dyn ToString| format!("no subject: `{text}`: {}", error.to_string());
    match text.strip_suffix('*') {
        Some("") => Ok(Pattern::Prefix("".into())),
        Some(prefix) => check_id(prefix).map(|()| Pattern::Prefix(prefix.into())).map_err(|error| wrong(&error)),
        None => check_id(text).map(|()| Pattern::Exact(text.into())).map_err(|error| wrong(&error)),
    }
}

/// Whether a text is a pattern of subjects.
pub fn check_pattern(text: &str) -> Result<(), String> {
    pattern_of(text).map(|_| ())
}

pub(super) fn subjects_of(patterns: Vec<Pattern>) -> Subjects {
    let (mut exact, mut prefixes) = (Vec::new(), Vec::new());
    for pattern in patterns {
        match pattern {
            Pattern::Exact(id) => exact.push(id),
            Pattern::Prefix(prefix) if prefix.is_empty() => return Subjects::Every,
            Pattern::Prefix(prefix) => prefixes.push(prefix),
        }
    }
    Subjects::Only { exact, prefixes }
}
