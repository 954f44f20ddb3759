use std::path::PathBuf;

use jiff::SignedDuration;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SignatureAlgorithm};
use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;

const NOW: &str = "2026-03-01T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A directory with an access file in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn check(&self, text: &str) -> (Option<Access>, String) {
        let files = read(&self.write("access.yaml", text)).unwrap();
        let (access, problems) = check("access.yaml", &files, now());
        (access, problems.to_string())
    }

    fn valid(&self, text: &str) -> Access {
        let (access, problems) = self.check(text);
        access.unwrap_or_else(|| panic!("{problems}"))
    }

    /// An access file that takes JWTs by these keys.
    fn jwt(&self, keys: &[Value]) -> Access {
        let keys = self.write("jwks.json", &json!({"keys": keys}).to_string());
        self.valid(&format!("jwt: {{jwks: {}, issuer: \"https://issuer.example\", audience: genquota}}", keys.display()))
    }
}

/// A key that signs, and how others see it.
struct Signer {
    id: Option<String>,
    key: EncodingKey,
    algorithm: Algorithm,
}

impl Signer {
    fn new(id: &str, kind: &'static SignatureAlgorithm, algorithm: Algorithm) -> Self {
        let pair = KeyPair::generate_for(kind).unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self { id: (!id.is_empty()).then(|| id.to_owned()), key, algorithm }
    }

    fn es256(id: &str) -> Self {
        Self::new(id, &PKCS_ECDSA_P256_SHA256, Algorithm::ES256)
    }

    fn public(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(self.id);
        if self.id.is_none() {
            jwk.as_object_mut().unwrap().remove("kid");
        }
        jwk
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: self.id.clone(), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

fn claims(changes: Value) -> Value {
    let exp = now().as_second() + 600;
    let mut claims =
        json!({"iss": "https://issuer.example", "aud": "genquota", "sub": "ci", "exp": exp, "scope": "openid genquota.gateway"});
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn identify(access: &Access, token: &str) -> Result<Arc<Principal>, Unknown> {
    access.identify(Some(token), &Peer::default(), now())
}

fn reason(access: &Access, token: &str) -> Reason {
    match identify(access, token) {
        Err(Unknown::Token(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tokens_certificates_and_peers_are_known_by_what_they_show() {
    let (one, other) = (TokenHash::of("one").hex(), TokenHash::of("other").hex());
    let access = Folder::new().valid(&format!(
        "tokens:\n  - {{name: a, sha256: {one}, scopes: [gateway, observer], subjects: [acme, 'studio-*']}}\n  \
         - {{name: b, sha256: {other}, scopes: admin, expires: 2026-03-01T12:00:01Z}}\n\
         certificates:\n  - {{name: c, san: 'spiffe://cluster/gateway', scopes: gateway}}\n\
         peers:\n  - {{name: d, uid: 65532, scopes: gateway}}\n"
    ));
    let a = identify(&access, "one").unwrap();
    assert_eq!(a.name(), "a");
    assert!(a.may(Scope::Observer, Some("studio-1")).is_ok() && a.may(Scope::Observer, Some("other")).is_err());
    assert!(identify(&access, "other").unwrap().may(Scope::Admin, None).is_ok());
    let later = now() + SignedDuration::from_secs(1);
    assert_eq!(access.identify(Some("other"), &Peer::default(), later), Err(Unknown::Token(Reason::Expired)));
    assert_eq!(reason(&access, "nothing"), Reason::NotFound);
    assert_eq!(reason(&access, &one), Reason::NotFound);

    let peer = |names: &[&str], user| Peer { names: names.iter().map(|name| Box::from(*name)).collect(), user };
    let by_peer = |peer: &Peer| access.identify(None, peer, now()).map(|principal| principal.name().to_owned());
    assert_eq!(by_peer(&peer(&["gateway", "spiffe://cluster/gateway"], None)).as_deref(), Ok("c"));
    assert_eq!(by_peer(&peer(&[], Some(65532))).as_deref(), Ok("d"));
    assert_eq!(by_peer(&peer(&["spiffe://cluster/gateway2"], None)), Err(Unknown::Peer));
    assert_eq!(by_peer(&peer(&[], Some(0))), Err(Unknown::Peer));
    assert_eq!(by_peer(&Peer::default()), Err(Unknown::Nothing));
    // A wrong token is not made good by what the connection says.
    assert!(access.identify(Some("nothing"), &peer(&[], Some(65532)), now()).is_err());
}

#[test]
fn every_problem_of_the_file_is_told_with_its_place() {
    let text = "\
tokens:
  - name: 'a b'
    sha256: abc
    scopes: [gatway]
    subjects: ['*x', '']
    expires: tomorrow
    scope: admin
certificates:
  - {name: c, san: '*.example', scopes: gateway}
  - {name: d, san: s, scopes: gateway, subjects: []}
  - {name: e, san: s, scopes: gateway}
peers:
  - {name: p, uid: -1, scopes: gateway}
";
    let (access, told) = Folder::new().check(text);
    assert!(access.is_none());
    for line in [
        "access.yaml:2:11: tokens[0].name: has ' ' at byte 1",
        "access.yaml:3:13: tokens[0].sha256: must be the 64 hexadecimal digits of a SHA-256",
        "access.yaml:4:14: tokens[0].scopes[0]: no such scope: `gatway`\n  hint: known are `gateway`, `observer` and `admin`",
        "access.yaml:5:16: tokens[0].subjects[0]: no subject: `*x`",
        "access.yaml:5:22: tokens[0].subjects[1]",
        "access.yaml:6:14: tokens[0].expires: must be an instant: got `tomorrow`",
        "access.yaml:7:5: tokens[0].scope: ",
        "access.yaml:9:20: certificates[0].san: must be one DNS or URI name",
        "certificates[1].subjects: is an empty list\n  hint: leave it out to allow every subject",
        "certificates[2].san: the same name as in line 10",
        "access.yaml:13:20: peers[0].uid: ",
    ] {
        assert!(told.contains(line), "{line}\nis not in\n{told}");
    }
}

#[test]
fn a_file_that_names_nobody_is_refused_and_one_with_an_expired_entry_warned_of() {
    let folder = Folder::new();
    for text in ["{}", "tokens: []\n"] {
        let (access, told) = folder.check(text);
        assert!(access.is_none() && told.contains("names nobody"), "{text}: {told}");
    }
    let hash = TokenHash::of("one").hex();
    let (access, told) = folder.check(&format!("tokens:\n  - {{name: a, sha256: {hash}, scopes: admin, expires: 2026-03-01T12:00:00Z}}\n"));
    assert!(access.is_some() && told.contains("warning") && told.contains("`a` has expired"), "{told}");
}

#[test]
fn a_made_entry_is_valid_and_lets_its_token_in() {
    let token = NewToken::make().unwrap();
    let scopes = [Scope::Gateway, Scope::Observer].into_iter().collect();
    let expires = "2027-01-01T00:00:00Z".parse().unwrap();
    let entry = entry("gateway-a", &token.hash(), scopes, &["acme".to_owned(), "studio-*".to_owned()], Some(expires));
    let access = Folder::new().valid(&format!("tokens:\n{entry}"));
    let principal = identify(&access, token.expose()).unwrap();
    assert!(principal.may(Scope::Gateway, Some("studio-1")).is_ok() && principal.may(Scope::Admin, Some("acme")).is_err());
    assert!(access.identify(Some(token.expose()), &Peer::default(), expires).is_err());
}

#[test]
fn a_jwt_counts_with_its_signature_issuer_audience_and_time_and_allows_what_its_claims_say() {
    let (p256, p384) = (Signer::es256("one"), Signer::new("", &PKCS_ECDSA_P384_SHA384, Algorithm::ES384));
    let access = Folder::new().jwt(&[p256.public(), p384.public()]);
    for signer in [&p256, &p384] {
        let principal = identify(&access, &signer.sign(&claims(json!({})))).unwrap();
        assert_eq!(principal.name(), "ci");
        assert!(principal.may(Scope::Gateway, None).is_ok() && principal.may(Scope::Observer, None).is_err());
    }
    let restricted = claims(json!({"aud": ["other", "genquota"], "scope": "genquota.admin", "genquota_subjects": ["acme", "studio-*"]}));
    let principal = identify(&access, &p256.sign(&restricted)).unwrap();
    assert!(principal.may(Scope::Admin, Some("studio-2")).is_ok() && principal.may(Scope::Admin, Some("foreign")).is_err());
    let without = identify(&access, &p256.sign(&claims(json!({"scope": null})))).unwrap();
    assert!(without.may(Scope::Gateway, Some("acme")).is_err());
    let second = now().as_second();
    for (changes, expected) in [
        (json!({"iss": "https://other.example"}), Reason::Claims),
        (json!({"iss": null}), Reason::Claims),
        (json!({"aud": "other"}), Reason::Claims),
        (json!({"aud": null}), Reason::Claims),
        (json!({"sub": null}), Reason::Claims),
        (json!({"sub": "a\nb"}), Reason::Claims),
        (json!({"exp": null}), Reason::Claims),
        (json!({"exp": "never"}), Reason::Claims),
        (json!({"genquota_subjects": "acme"}), Reason::Claims),
        (json!({"genquota_subjects": ["a b"]}), Reason::Claims),
        (json!({"exp": second - 31}), Reason::Expired),
        (json!({"nbf": second + 31}), Reason::NotYet),
    ] {
        let token = p256.sign(&claims(changes.clone()));
        assert_eq!(reason(&access, &token), expected, "{changes}");
    }
    // Such as an issuer writes it for somebody who lacks the attribute behind it: that is not everybody.
    let mut nobody = claims(json!({}));
    nobody["genquota_subjects"] = Value::Null;
    assert_eq!(reason(&access, &p256.sign(&nobody)), Reason::Claims);
    for within_leeway in [json!({"exp": second - 29}), json!({"nbf": second + 29}), json!({"exp": second + 1, "nbf": second - 5})] {
        assert!(identify(&access, &p256.sign(&claims(within_leeway))).is_ok());
    }
}

#[test]
fn the_key_says_which_algorithm_counts_and_never_the_token() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (known, stranger) = (Signer::es256("one"), Signer::es256("one"));
    let access = Folder::new().jwt(&[known.public()]);
    assert_eq!(reason(&access, &stranger.sign(&claims(json!({})))), Reason::Signature);
    assert_eq!(reason(&access, &Signer::es256("other").sign(&claims(json!({})))), Reason::NoKey);
    let token = known.sign(&claims(json!({"scope": "genquota.admin"})));
    let (header, rest) = token.split_once('.').unwrap();
    let payload = rest.split_once('.').unwrap().0;
    let with_header = |header: &str| URL_SAFE_NO_PAD.encode(header);
    for none in ["none", "None", "NONE"] {
        let header = with_header(&format!(r#"{{"alg":"{none}","kid":"one"}}"#));
        for token in [format!("{header}.{payload}."), format!("{header}.{payload}"), format!("{header}.{payload}.AAAA")] {
            assert_eq!(reason(&access, &token), Reason::NotFound, "{token}");
        }
    }
    // A public key that is taken for a shared secret: the oldest trick there is.
    let shared = EncodingKey::from_secret(known.public()["x"].as_str().unwrap().as_bytes()).unwrap();
    let forged = jsonwebtoken::encode(&Header { kid: Some("one".into()), ..Header::new(Algorithm::HS256) }, &claims(json!({})), &shared);
    assert_eq!(reason(&access, &forged.unwrap()), Reason::NoKey);
    let changed = URL_SAFE_NO_PAD.encode(claims(json!({"sub": "root"})).to_string());
    assert_eq!(reason(&access, &format!("{header}.{changed}.{}", rest.split_once('.').unwrap().1)), Reason::Signature);
}

#[test]
fn signatures_of_published_examples_are_good_and_their_claims_are_not_for_us() {
    // RFC 7515, A.2.
    const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let access = Folder::new().jwt(&[json!({"kty": "RSA", "n": N, "e": "AQAB", "use": "sig", "alg": "RS256"})]);
    let token = |payload: &str| format!("eyJhbGciOiJSUzI1NiJ9.{payload}.{SIGNATURE}");
    assert_eq!(reason(&access, &token(PAYLOAD)), Reason::Claims);
    assert_eq!(reason(&access, &token(&PAYLOAD.replace("qb2Ui", "qb2Vi"))), Reason::Signature);
    // RFC 8037, A.4.
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let access = Folder::new().jwt(&[key]);
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    for (payload, expected) in
        [("RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", Reason::Claims), ("RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmd", Reason::Signature)]
    {
        assert_eq!(reason(&access, &format!("eyJhbGciOiJFZERTQSJ9.{payload}.{signature}")), expected);
    }
}

#[test]
fn key_sets_that_are_not_safe_or_not_there_are_refused_with_the_reason() {
    let folder = Folder::new();
    let check = |jwks: &str| {
        let keys = folder.write("jwks.json", jwks);
        folder.check(&format!("jwt:\n  jwks: {}\n  issuer: i\n  audience: a\n", keys.display()))
    };
    let many = json!({"keys": vec![Signer::es256("").public(); 17]}).to_string();
    for (jwks, told) in [
        ("{", "not a JSON Web Key Set"),
        ("[]", "not a JSON Web Key Set"),
        (r#"{"keys": []}"#, "has no key"),
        (r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}]}"#, "the key `s` is a shared secret"),
        (r#"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#, "the RSA key number 1 is too short"),
        (many.as_str(), "has 17 keys"),
    ] {
        let (access, problems) = check(jwks);
        assert!(access.is_none() && problems.contains(told) && problems.contains("access.yaml:2:9: jwt.jwks"), "{jwks}: {problems}");
    }
    let encrypting = json!({"keys": [{"kty": "unheard-of"}, Signer::es256("").public()]}).to_string();
    assert!(check(&encrypting).0.is_some(), "keys of other kinds are left alone");
    let (access, problems) = folder.check("jwt: {jwks: no/such/file, issuer: i, audience: a}\n");
    assert!(access.is_none() && problems.contains("`no/such/file` cannot be read"), "{problems}");
}

#[tokio::test]
async fn whoever_stays_leaves_when_the_token_expires_or_another_file_is_in_force() {
    let folder = Folder::new();
    let hash = TokenHash::of("one").hex();
    let text = format!("tokens:\n  - {{name: a, sha256: {hash}, scopes: admin, expires: 2026-03-01T12:00:05Z}}\n");
    let clock = Arc::new(ManualClock::at(now()));
    let gate = Gate::guarded(folder.valid(&text), clock.clone());
    let stay = || gate.identify_for_long(Some("one"), &Peer::default()).unwrap().1;
    let staying = tokio::spawn(stay().over());
    clock.advance(SignedDuration::from_secs(5));
    staying.await.unwrap();
    clock.set(now());
    let staying = tokio::spawn(stay().over());
    gate.replace(folder.valid(&text));
    staying.await.unwrap();
    assert!(Gate::open().identify(Some("whatever"), &Peer::default()).unwrap().may(Scope::Admin, None).is_ok());
}
