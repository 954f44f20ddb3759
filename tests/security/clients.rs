//! Clients that show a certificate: the right one, a wrong one, and none.

use tonic::Code;

use crate::caller::{Caller, code, tls};
use crate::lab::Authority;
use crate::sidecar::{Setup, Sidecar, token};

const GATEWAY: &str = "spiffe://cluster/gateway";

fn start(authority: &Authority) -> Sidecar {
    let entries = format!(
        "certificates:\n  - {{name: gateway-b, san: \"{GATEWAY}\", scopes: [gateway], subjects: [acme]}}\ntokens:\n{}",
        token("admin", "admin", "")
    );
    Setup::new().tls(authority).client_authority(authority).access(&entries).start()
}

#[tokio::test]
async fn a_client_is_known_by_a_name_of_its_certificate_and_may_what_the_file_says() {
    let authority = Authority::new();
    let sidecar = start(&authority);
    let address = &sidecar.served.grpc;
    let gateway = authority.issue_to("gateway", GATEWAY);
    let caller = Caller::dial(address, Some(tls(&authority, Some(&gateway)))).await.unwrap();
    assert_eq!(code(&caller.balance("acme").await), Code::Ok);
    assert_eq!(code(&caller.balance("other").await), Code::PermissionDenied);
    assert_eq!(code(&caller.create("acme").await), Code::PermissionDenied);
    assert_eq!(code(&caller.with("admin").create("acme").await), Code::Ok);
    assert_eq!(code(&caller.with("wrong").balance("acme").await), Code::Unauthenticated);
    // Whoever holds a certificate of the authority is not yet somebody.
    let stranger = authority.issue_to("stranger", "spiffe://cluster/gateway2");
    let caller = Caller::dial(address, Some(tls(&authority, Some(&stranger)))).await.unwrap();
    assert_eq!(code(&caller.balance("acme").await), Code::Unauthenticated);
    assert_eq!(code(&caller.with("admin").balance("acme").await), Code::Ok);
}

#[tokio::test]
async fn without_a_certificate_of_the_authority_there_is_no_connection() {
    let (authority, other) = (Authority::new(), Authority::new());
    let sidecar = start(&authority);
    let foreign = other.issue_to("gateway", GATEWAY);
    for own in [None, Some(&foreign)] {
        // With TLS 1.3 a client hears of it by its first call.
        let answer = match Caller::dial(&sidecar.served.grpc, Some(tls(&authority, own))).await {
            Ok(caller) => caller.with("admin").balance("acme").await.err().map(|status| status.code()),
            Err(_) => Some(Code::Unavailable),
        };
        // Whatever becomes of its call, it is not this server that has answered it.
        assert!(matches!(answer, Some(Code::Unavailable | Code::Unknown | Code::Cancelled)), "{answer:?}");
    }
    // In clear nobody is understood.
    let in_clear = match Caller::dial(&sidecar.served.grpc, None).await {
        Ok(caller) => caller.with("admin").balance("acme").await.is_err(),
        Err(_) => true,
    };
    assert!(in_clear);
    // A client finds a server out that has another authority's certificate.
    assert!(Caller::dial(&sidecar.served.grpc, Some(tls(&other, None))).await.is_err());
    assert!(sidecar.reasons_over_tls(&authority).is_empty());
}
