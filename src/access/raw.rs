//! The access file as it is written: nothing checked but its shape.

use serde::Deserialize;

use crate::yaml::{OneOrMany, Placed};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAccess {
    #[serde(default)]
    pub(super) tokens: Vec<Placed<RawToken>>,
    #[serde(default)]
    pub(super) certificates: Vec<Placed<RawCertificate>>,
    #[serde(default)]
    pub(super) peers: Vec<Placed<RawPeer>>,
    pub(super) jwt: Option<Placed<RawJwt>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawToken {
    pub(super) name: Placed<String>,
    pub(super) sha256: Placed<String>,
    pub(super) scopes: Placed<OneOrMany<Placed<String>>>,
    pub(super) subjects: Option<Placed<Vec<Placed<String>>>>,
    pub(super) expires: Option<Placed<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCertificate {
    pub(super) name: Placed<String>,
    pub(super) san: Placed<String>,
    pub(super) scopes: Placed<OneOrMany<Placed<String>>>,
    pub(super) subjects: Option<Placed<Vec<Placed<String>>>>,
    pub(super) expires: Option<Placed<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPeer {
    pub(super) name: Placed<String>,
    pub(super) uid: Placed<u32>,
    pub(super) scopes: Placed<OneOrMany<Placed<String>>>,
    pub(super) subjects: Option<Placed<Vec<Placed<String>>>>,
    pub(super) expires: Option<Placed<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJwt {
    pub(super) jwks: Placed<String>,
    pub(super) issuer: Placed<String>,
    pub(super) audience: Placed<String>,
}
