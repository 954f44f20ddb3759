//! JWTs against the real binary: good ones, every kind of wrong one, and a key set that rotates.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tonic::Code;

use crate::caller::{Caller, code};
use crate::sidecar::{Setup, until};

struct Issuer {
    id: &'static str,
    key: EncodingKey,
}

impl Issuer {
    fn new(id: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self { id, key: EncodingKey::from_ec_der(&pair.serialize_der()) }
    }

    fn public(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap()).unwrap();
        jwk["kid"] = json!(self.id);
        jwk
    }

    fn sign(&self, issuer: &str, audience: &str, seconds: i64, more: &Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let expires = i64::try_from(now).unwrap() + seconds;
        let mut claims = json!({"iss": issuer, "aud": audience, "sub": "gateway-7", "exp": expires, "scope": "genquota.gateway"});
        more.as_object().unwrap().iter().for_each(|(name, value)| claims[name] = value.clone());
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }

    fn good(&self) -> String {
        self.sign("https://issuer.example", "genquota", 600, &json!({}))
    }
}

fn key_set(issuers: &[&Issuer]) -> String {
    json!({"keys": issuers.iter().map(|issuer| issuer.public()).collect::<Vec<_>>()}).to_string()
}

fn setup(issuers: &[&Issuer]) -> Setup {
    let setup = Setup::new();
    std::fs::write(setup.path("jwks.json"), key_set(issuers)).unwrap();
    setup.access("jwt: {jwks: jwks.json, issuer: 'https://issuer.example', audience: genquota}\n")
}

#[tokio::test]
async fn a_good_jwt_may_what_it_says_and_a_wrong_one_nothing() {
    let (known, stranger) = (Issuer::new("one"), Issuer::new("one"));
    let sidecar = setup(&[&known]).start();
    let caller = Caller::new(&sidecar).await;
    let ask = async |token: &str, subject: &str| code(&caller.with(token).balance(subject).await);
    for _ in 0..2 {
        assert_eq!(ask(&known.good(), "acme").await, Code::Ok);
    }
    let restricted = known.sign("https://issuer.example", "genquota", 600, &json!({"genquota_subjects": ["studio-*"]}));
    assert_eq!(ask(&restricted, "studio-1").await, Code::Ok);
    assert_eq!(ask(&restricted, "acme").await, Code::PermissionDenied);
    assert_eq!(code(&caller.with(&known.good()).create("acme").await), Code::PermissionDenied);
    let payload = known.good().split('.').nth(1).unwrap().to_owned();
    for (what, wrong) in [
        ("expired", known.sign("https://issuer.example", "genquota", -60, &json!({}))),
        ("another issuer", known.sign("https://other.example", "genquota", 600, &json!({}))),
        ("another audience", known.sign("https://issuer.example", "other", 600, &json!({}))),
        ("another key", stranger.good()),
        // {"alg":"none","kid":"one"}
        ("no signature", format!("eyJhbGciOiJub25lIiwia2lkIjoib25lIn0.{payload}.")),
    ] {
        let status = caller.with(&wrong).balance("acme").await.unwrap_err();
        let told = (status.code(), status.message());
        assert_eq!(told, (Code::Unauthenticated, "the credentials are not valid: the token is unknown, wrong or expired"), "{what}");
    }
}

#[tokio::test]
async fn a_key_set_rotates_without_a_call_failing_and_a_bad_one_changes_nothing() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let sidecar = setup(&[&old]).start();
    let caller = Caller::new(&sidecar).await;
    let (by_old, by_new) = (caller.with(&old.good()), caller.with(&new.good()));
    assert_eq!(code(&by_old.balance("acme").await), Code::Ok);
    assert_eq!(code(&by_new.balance("acme").await), Code::Unauthenticated);
    sidecar.write("jwks.json", key_set(&[&old, &new]));
    until("the new key", async || {
        assert_eq!(code(&by_old.balance("acme").await), Code::Ok);
        by_new.balance("acme").await.ok()
    })
    .await;
    sidecar.write("jwks.json", r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#);
    sidecar.is_told(&["access_rejected"]).await;
    assert_eq!(code(&by_old.balance("acme").await), Code::Ok);
    sidecar.write("jwks.json", key_set(&[&new]));
    // A token that was good a moment ago is not, with the key that made it gone.
    until("the old key to be gone", async || by_old.balance("acme").await.err()).await;
    assert_eq!(code(&by_new.balance("acme").await), Code::Ok);
}
