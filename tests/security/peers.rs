//! Unix sockets: the kernel says who is at the other end.

use tonic::Code;

use crate::caller::{Caller, code};
use crate::sidecar::{Setup, Sidecar, token};

fn start(user: impl Fn(u32) -> u32) -> Sidecar {
    let setup = Setup::new().with("--listen", "unix:quota.sock");
    let peer = format!("peers:\n  - {{name: sidecar-pod, uid: {}, scopes: [gateway]}}\n", user(setup.user()));
    setup.access(&format!("tokens:\n{}{peer}", token("admin", "admin", ""))).start()
}

#[tokio::test]
async fn a_known_user_needs_no_token_on_a_unix_socket_and_may_what_the_file_says() {
    let sidecar = start(|own| own);
    let local = Caller::over_unix(&sidecar.path("quota.sock")).await;
    assert_eq!(code(&local.balance("acme").await), Code::Ok);
    assert_eq!(code(&local.create("acme").await), Code::PermissionDenied);
    // A token decides where there is one.
    assert_eq!(code(&local.with("admin").create("acme").await), Code::Ok);
    assert_eq!(code(&local.with("wrong").balance("acme").await), Code::Unauthenticated);
    // Over TCP nobody knows which user it is.
    assert_eq!(code(&Caller::new(&sidecar).await.balance("acme").await), Code::Unauthenticated);
}

#[tokio::test]
async fn another_user_is_nobody() {
    let sidecar = start(|own| own + 1);
    let status = Caller::over_unix(&sidecar.path("quota.sock")).await.balance("acme").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("user is not in the access file"), "{}", status.message());
}
