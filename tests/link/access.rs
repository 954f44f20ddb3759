//! Who is let in: passwords, users, certificates.

use std::path::Path;
use std::time::Duration;

use genquota::store::redis::{Credentials, LinkOptions, Obstacle, Password, TlsFiles};
use tempfile::TempDir;

use crate::harness::{down, open, open_with, options, refusal, set, up_after, value};
use crate::lab::{Authority, Certificate, Clients, Cluster, Kind, Sentinels, Server, Settings};

fn with_credentials(credentials: Credentials) -> LinkOptions {
    LinkOptions { credentials, ..options() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_comes_from_the_address_a_setting_or_a_file() {
    let server = Server::start(Kind::Redis7, Settings::default().password("s3cret"));
    let bare = format!("redis://{}", server.address());
    open(&server.url()).await.call(&set("k", "v")).await.unwrap();
    let given = Credentials { password: Some(Password::Value("s3cret".to_owned())), ..Credentials::default() };
    open_with(&bare, with_credentials(given.clone())).await.unwrap();
    // A setting wins over the address.
    open_with(&format!("redis://:wrong@{}", server.address()), with_credentials(given)).await.unwrap();
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "s3cret\n").unwrap();
    let given = Credentials { password: Some(Password::File(file.clone())), ..Credentials::default() };
    open_with(&bare, with_credentials(given.clone())).await.unwrap();
    std::fs::write(&file, "\n").unwrap();
    let error = refusal(&bare, with_credentials(given.clone())).await;
    assert_eq!(error, Obstacle::EmptyFile { what: "password", path: file.clone() });
    std::fs::remove_file(&file).unwrap();
    let error = refusal(&bare, with_credentials(given)).await;
    assert!(matches!(error, Obstacle::File { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_is_told_so_and_the_password_is_not_repeated() {
    let server = Server::start(Kind::Redis7, Settings::default().password("right"));
    let error = refusal(&format!("redis://:s3cret@{}", server.address()), options()).await;
    assert!(matches!(&error, Obstacle::Login { code, .. } if code == "WRONGPASS"), "{error}");
    assert!(!format!("{error} {error:?} {}", error.hint()).contains("s3cret"));
    let error = refusal(&format!("redis://{}", server.address()), options()).await;
    assert!(matches!(&error, Obstacle::Refused { code, .. } if code == "NOAUTH"), "{error}");
    assert!(error.hint().contains("redis.password"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_may_lack_the_right_to_ask_for_the_role() {
    let server = Server::start(Kind::Redis7, Settings::default());
    server.command(&["ACL", "SETUSER", "app", "on", ">s3cret", "~*", "+@all", "-info"]);
    let error = refusal(&format!("redis://app:s3cret@{}", server.address()), options()).await;
    assert!(matches!(&error, Obstacle::Refused { command: "INFO", code, .. } if code == "NOPERM"), "{error}");
    server.command(&["ACL", "SETUSER", "app", "+info"]);
    open(&format!("redis://app:s3cret@{}", server.address())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_password_file_is_read_again() {
    let server = Server::start(Kind::Redis7, Settings::default());
    server.command(&["ACL", "SETUSER", "app", "on", ">old", "~*", "+@all"]);
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "old").unwrap();
    let credentials = Credentials { user: Some("app".to_owned()), password: Some(Password::File(file.clone())) };
    let link = open_with(&format!("redis://{}", server.address()), with_credentials(credentials)).await.unwrap();
    let first = up_after(&link, 0).await;
    server.command(&["ACL", "SETUSER", "app", "resetpass", ">new"]);
    server.command(&["CLIENT", "KILL", "USER", "app"]);
    let reason = down(&link).await;
    assert!(!reason.is_empty());
    let mut state = link.state();
    let refused = state.wait_for(|state| format!("{state:?}").contains("WRONGPASS"));
    tokio::time::timeout(crate::lab::PATIENCE, refused).await.unwrap().unwrap();
    std::fs::write(&file, "new").unwrap();
    up_after(&link, first).await;
    link.call(&set("k", "v")).await.unwrap();
}

fn trusting(authority: &Authority, own: Option<&Certificate>) -> LinkOptions {
    let tls =
        TlsFiles { ca: Some(authority.file()), certificate: own.map(|own| own.certificate.clone()), key: own.map(|own| own.key.clone()) };
    // A handshake of an unoptimised build on a busy machine.
    LinkOptions { tls, connect_timeout: Duration::from_secs(5), ..options() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_believed_if_the_authority_signed_its_name() {
    let authority = Authority::new();
    let server = Server::start(Kind::Redis7, Settings::default().tls(&authority, Clients::Any));
    let link = open_with(&server.url(), trusting(&authority, None)).await.unwrap();
    link.call(&set("k", "v")).await.unwrap();
    assert_eq!(value(&link, "k").await.as_deref(), Some("v"));
    let error = refusal(&server.url(), trusting(&Authority::new(), None)).await;
    assert!(matches!(&error, Obstacle::Tls { .. }), "{error}");
    assert!(error.hint().contains("redis.tls_ca"));
    // The system's authorities know nothing of ours.
    let error = refusal(&server.url(), options()).await;
    assert!(matches!(&error, Obstacle::Tls { .. } | Obstacle::NoAuthorities), "{error}");
    // The certificate is for `localhost` and `127.0.0.1`.
    let error = refusal(&format!("rediss://127.0.0.2:{}", server.port()), trusting(&authority, None)).await;
    assert!(matches!(&error, Obstacle::Tls { .. } | Obstacle::Connect { .. }), "{error}");
    // Without TLS where it is expected, and with it where it is not.
    let error = refusal(&format!("redis://{}", server.address()), options()).await;
    assert_eq!(error, Obstacle::HungUp { host: server.address(), encrypted: false });
    assert!(error.hint().contains("rediss://"), "{error:?}");
    let plain = Server::start(Kind::Redis7, Settings::default());
    let error = refusal(&format!("rediss://{}", plain.address()), trusting(&authority, None)).await;
    assert!(matches!(&error, Obstacle::Tls { .. } | Obstacle::Silent { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let server = Server::start(Kind::Redis7, Settings::default().tls(&authority, Clients::Any).line("bind", "127.0.0.1 127.0.0.2"));
    let error = refusal(&format!("rediss://127.0.0.2:{}", server.port()), trusting(&authority, None)).await;
    assert!(matches!(&error, Obstacle::Tls { .. }), "{error}");
    open_with(&format!("rediss://localhost:{}", server.port()), trusting(&authority, None)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_want_our_certificate_and_we_may_replace_it() {
    let authority = Authority::new();
    let server = Server::start(Kind::Redis7, Settings::default().tls(&authority, Clients::Certified));
    let own = authority.issue("client");
    let link = open_with(&server.url(), trusting(&authority, Some(&own))).await.unwrap();
    let first = up_after(&link, 0).await;
    let error = refusal(&server.url(), trusting(&authority, None)).await;
    assert!(matches!(&error, Obstacle::Tls { .. } | Obstacle::HungUp { .. }), "{error}");
    assert!(error.hint().contains("redis.tls_cert"), "{error}");
    // Half written, and then another one in the same files.
    std::fs::write(&own.certificate, "").unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    let mut state = link.state();
    let refused = state.wait_for(|state| format!("{state:?}").contains("no certificate in the file"));
    tokio::time::timeout(crate::lab::PATIENCE, refused).await.unwrap().unwrap();
    authority.issue("client");
    up_after(&link, first).await;
    link.call(&set("k", "v")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_clusters_are_reached_in_tls() {
    let authority = Authority::new();
    let settings = Settings::default().tls(&authority, Clients::Certified);
    let own = authority.issue("client");
    let sentinels = Sentinels::start_with(Kind::Redis7, 1, settings.clone());
    open_with(&sentinels.url(), trusting(&authority, Some(&own))).await.unwrap().call(&set("k", "v")).await.unwrap();
    drop(sentinels);
    let cluster = Cluster::start_with(Kind::Redis7, 3, 0, settings);
    let link = open_with(&cluster.url(), trusting(&authority, Some(&own))).await.unwrap();
    for key in ["a", "b", "c", "d"] {
        link.call(&set(key, "v")).await.unwrap();
    }
    assert_eq!(link.call_every_primary(&redis::cmd("PING")).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_file_that_is_none_is_named() {
    let authority = Authority::new();
    let server = Server::start(Kind::Redis7, Settings::default().tls(&authority, Clients::Any));
    let with_ca = |ca: &Path| LinkOptions { tls: TlsFiles { ca: Some(ca.to_owned()), ..TlsFiles::default() }, ..options() };
    let (nowhere, empty) = (server.dir().join("nowhere.pem"), server.dir().join("empty.pem"));
    let error = refusal(&server.url(), with_ca(&nowhere)).await;
    assert!(matches!(&error, Obstacle::File { path, .. } if *path == nowhere), "{error}");
    std::fs::write(&empty, "nothing").unwrap();
    let error = refusal(&server.url(), with_ca(&empty)).await;
    assert_eq!(error, Obstacle::EmptyFile { what: "certificate", path: empty });
}
