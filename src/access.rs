//! Who may call, and what: the access file, the principals it names, and the gate that every call passes.
//!
//! Owns the file's format, its check with places, tokens, JWTs, and the comparison of what a caller shows with what the file says. It must
//! never know a transport or a status code, and no error that it hands to a caller may tell whether a token exists. `grpc` and `http` ask
//! the gate; `app` reloads it.

mod authorization;
mod file;
mod jwt;
mod principal;
mod raw;
mod token;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

pub use authorization::{Malformed, bearer, bearer_or_password};
pub use file::{Files, check, check_pattern, read};
pub use principal::{Forbidden, Principal, Scope, Scopes, Subjects};
pub use token::{NewToken, TokenHash, entry};

use crate::clock::{Clock, SystemClock};
use jwt::Verifier;

/// How often the clock is asked whether somebody who stays has stayed too long.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a connection says by itself about who is at its other end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// DNS and URI names of the client's certificate, which has been verified.
    pub names: Arc<[Box<str>]>,
    /// The user of the process at the other end of a unix socket, by the kernel's word.
    pub user: Option<u32>,
}

/// Why nobody knows who is calling. What a caller is told of it is the same for every token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    #[error("no credentials: send the metadata `authorization: Bearer TOKEN`")]
    Nothing,
    #[error("the credentials are not valid: the metadata `authorization` must be `Bearer TOKEN`, once")]
    Malformed,
    #[error("the credentials are not valid: the token is unknown, wrong or expired")]
    Token(Reason),
    /// Somebody whom the file could name, and does not.
    #[error("no credentials: the client's certificate or user is not in the access file; send `authorization: Bearer TOKEN`")]
    Peer,
}

/// What is wrong with a token: for logs and metrics, never for its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No entry of the file, and no JWT.
    NotFound,
    Expired,
    NotYet,
    /// No key of the set is meant, or the algorithm is not one that the key allows.
    NoKey,
    Signature,
    /// Issuer, audience or another claim is not as it must be.
    Claims,
}

/// What an access file says, checked.
#[derive(Debug)]
pub struct Access {
    tokens: Vec<(TokenHash, Arc<Principal>)>,
    /// By DNS or URI name.
    certificates: BTreeMap<Box<str>, Arc<Principal>>,
    /// By user id.
    peers: BTreeMap<u32, Arc<Principal>>,
    jwt: Option<Verifier>,
}

/// What every call passes. Clones are the same gate.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

/// For how long somebody may go on with what has begun: until the token expires, or another access file is in force.
pub struct Tenure {
    expires: Option<Timestamp>,
    replaced: watch::Receiver<()>,
    clock: Arc<dyn Clock>,
}

struct Inner {
    /// None: there is no access file, and everybody may do everything.
    in_force: Option<RwLock<Arc<Access>>>,
    replaced: watch::Sender<()>,
    anybody: Arc<Principal>,
    clock: Arc<dyn Clock>,
}

impl Unknown {
    /// For metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no_credentials",
            Self::Malformed => "malformed",
            Self::Peer => "unknown_peer",
            Self::Token(Reason::Expired) => "token_expired",
            Self::Token(_) => "token_invalid",
        }
    }
}

impl Access {
    /// Who it is that shows this. A token decides alone where there is one: a wrong one is never made good by a certificate.
    fn identify(&self, token: Option<&str>, peer: &Peer, now: Timestamp) -> Result<Arc<Principal>, Unknown> {
        let principal = match token {
            Some(token) => self.by_token(token, now).map_err(Unknown::Token)?,
            None => self.by_peer(peer)?,
        };
        if principal.has_expired(now) { Err(Unknown::Token(Reason::Expired)) } else { Ok(principal) }
    }

    fn by_token(&self, token: &str, now: Timestamp) -> Result<Arc<Principal>, Reason> {
        let hash = TokenHash::of(token);
        // All of them, always: how long it takes tells nothing about which.
        let mut found = None;
        for (known, principal) in &self.tokens {
            if known.is(&hash) {
                found = Some(principal);
            }
        }
        match (found, &self.jwt) {
            (Some(principal), _) => Ok(principal.clone()),
            (None, Some(verifier)) => verifier.verify(token, &hash, now),
            (None, None) => Err(Reason::NotFound),
        }
    }

    fn by_peer(&self, peer: &Peer) -> Result<Arc<Principal>, Unknown> {
        let by_name = peer.names.iter().find_map(|name| self.certificates.get(name));
        let by_user = || peer.user.and_then(|user| self.peers.get(&user));
        match by_name.or_else(by_user) {
            Some(principal) => Ok(principal.clone()),
            None if *peer == Peer::default() => Err(Unknown::Nothing),
            None => Err(Unknown::Peer),
        }
    }

    /// How many tokens, certificates and peers it names, and whether it takes JWTs.
    pub fn counts(&self) -> (usize, usize, usize, bool) {
        (self.tokens.len(), self.certificates.len(), self.peers.len(), self.jwt.is_some())
    }
}

impl Gate {
    /// Where there is no access file: everybody may do everything.
    pub fn open() -> Self {
        Self::new(None, Arc::new(SystemClock))
    }

    /// Where only those may pass whom the file names, by this clock.
    pub fn guarded(access: Access, clock: Arc<dyn Clock>) -> Self {
        Self::new(Some(RwLock::new(Arc::new(access))), clock)
    }

    fn new(in_force: Option<RwLock<Arc<Access>>>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { in_force, replaced: watch::Sender::new(()), anybody: Arc::new(Principal::anybody()), clock }))
    }

    pub fn is_open(&self) -> bool {
        self.0.in_force.is_none()
    }

    /// Who it is that shows this, for a call that goes on for long.
    pub fn identify_for_long(&self, token: Option<&str>, peer: &Peer) -> Result<(Arc<Principal>, Tenure), Unknown> {
        // Before the look at who it is, so that no change falls between the two.
        let replaced = self.0.replaced.subscribe();
        let principal = self.identify(token, peer)?;
        let expires = principal.expires();
        Ok((principal, Tenure { expires, replaced, clock: self.0.clock.clone() }))
    }

    /// Who it is that shows this.
    pub fn identify(&self, token: Option<&str>, peer: &Peer) -> Result<Arc<Principal>, Unknown> {
        let Some(in_force) = &self.0.in_force else { return Ok(self.0.anybody.clone()) };
        let access = in_force.read().unwrap_or_else(PoisonError::into_inner).clone();
        access.identify(token, peer, self.0.clock.now())
    }

    /// Puts what another file says in force, for every call from now on. An open gate stays open.
    pub fn replace(&self, access: Access) {
        if let Some(in_force) = &self.0.in_force {
            *in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
            self.0.replaced.send_replace(());
        }
    }
}

impl Tenure {
    /// Waits until it is over.
    pub async fn over(mut self) {
        tokio::select! {
            // Whether it changed, or the gate is gone: there is nobody any more who would let it go on.
            _ = self.replaced.changed() => {}
            () = Self::expired(self.expires, &*self.clock) => {}
        }
    }

    /// Looks now and then: a wall clock may be set, and a long wait does not follow it.
    async fn expired(expires: Option<Timestamp>, clock: &dyn Clock) {
        let Some(expires) = expires else { return std::future::pending().await };
        while let Ok(left) = Duration::try_from(expires.duration_since(clock.now())) {
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
        }
    }
}

#[cfg(test)]
mod tests;
