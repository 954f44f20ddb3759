//! A sidecar that asks who is there: the client shows a token over TLS and on a unix socket, and what is refused for it is not lost.

use std::path::Path;

use genquota::client::v1::State;
use genquota::client::{Booking, Client, Connector, Decision, Delivered, Journal, Token};
use sha2::{Digest as _, Sha256};

use crate::lab::Authority;
use crate::sidecar::{ALLOWANCE, Sidecar, ask, balance, look};
use crate::until;

/// Lets the holder of one token in, as a gateway.
fn admit(dir: &Path, token: &str) {
    let hash: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
    let next = dir.join("access.next");
    std::fs::write(&next, format!("tokens:\n  - {{name: gateway, sha256: {hash}, scopes: [gateway]}}\n")).unwrap();
    std::fs::rename(next, dir.join("access.yaml")).unwrap();
}

/// The path of a file as a setting has it.
fn setting(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

#[tokio::test]
async fn a_generation_is_settled_over_tls_with_a_token() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    admit(dir.path(), "first-token-of-a-gateway");
    let issued = authority.issue("server");
    let (access, cert, key) = (setting(dir.path().join("access.yaml")), setting(issued.certificate), setting(issued.key));
    let settings = [("store", "memory:"), ("access", access.as_str()), ("tls.cert", &cert), ("tls.key", &key)];
    let sidecar = Sidecar::start_with(dir, &settings);
    let connector = || Connector::new(format!("https://{}", sidecar.tcp()).parse().unwrap()).tls_ca(authority.file());
    let client = Client::new(connector().token(Token::Value("first-token-of-a-gateway".to_owned())).connect().await.unwrap());
    let Decision::Held(guard) = client.reserve(ask(4)).await.unwrap() else { panic!("denied") };
    guard.commit(Delivered::as_reserved()).await.unwrap();
    assert_eq!(balance(&client, "acme").await, (ALLOWANCE - 4, 4));
    let refused = Client::new(connector().connect().await.unwrap()).reserve(ask(1)).await.unwrap_err();
    assert_eq!(refused.refusal().unwrap().code, tonic::Code::Unauthenticated);
}

#[tokio::test]
async fn a_settlement_whose_token_is_refused_waits_for_a_better_one() {
    let dir = tempfile::tempdir().unwrap();
    let (token, access) = (dir.path().join("token"), setting(dir.path().join("access.yaml")));
    admit(dir.path(), "first-token-of-a-gateway");
    std::fs::write(&token, "first-token-of-a-gateway").unwrap();
    let sidecar = Sidecar::start_with(dir, &[("store", "memory:"), ("access", &access), ("catalog_reload", "100ms")]);
    let connector = Connector::new(sidecar.address().parse().unwrap()).token(Token::File(token.clone()));
    let client = Client::journalled(connector.connect_lazy().unwrap(), Journal::open(sidecar.path("journal")).unwrap());
    let Decision::Held(guard) = client.reserve(ask(4).reservation_id("refused")).await.unwrap() else { panic!("denied") };

    admit(sidecar.path("").as_path(), "second-token-of-a-gateway");
    until("the first token to be refused", async || look(&client, "refused").await.is_none().then_some(())).await;
    assert_eq!(guard.commit(Delivered::as_reserved()).await.unwrap().booking, Booking::Journalled);
    std::fs::write(&token, "second-token-of-a-gateway").unwrap();
    until("the journal to be drained", async || (client.journal().unwrap().waiting() == 0).then_some(())).await;
    assert_eq!(look(&client, "refused").await.unwrap().state(), State::Committed);
    assert!(client.journal().unwrap().dead_letters().is_empty());
}
