//! Where a server listens: ports that the system chooses, unix sockets, and how many connections at once.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use genquota::app::App;
use genquota::clock::SystemClock;

use super::NOON;
use crate::ask::images;
use crate::caller::Caller;
use crate::catalogs::monthly;
use crate::harness::{PATIENCE, Setup, connect};

#[tokio::test]
async fn several_listeners_serve_one_ledger() {
    let setup = Setup::new(&monthly("10"), NOON);
    let socket = format!("unix:{}", setup.path("q.sock").display());
    let server = setup.with("listen", &["127.0.0.1:0", "127.0.0.1:0", &socket]).start().await;
    let ports: Vec<String> = server.listen.iter().map(ToString::to_string).collect();
    assert!(ports[0] != ports[1] && ports.iter().all(|port| !port.ends_with(":0")), "{ports:?}");
    server.customer("acme", "pro").await;
    for address in &server.listen {
        let acme = Caller::new(connect(address).await, "acme");
        acme.used(&images(3)).await;
    }
    assert_eq!(server.stranger("acme").left().await, "1");
}

#[tokio::test]
async fn a_unix_socket_is_for_owner_and_group_and_goes_with_its_server() {
    let setup = Setup::new(&monthly("10"), NOON);
    let path = setup.path("q.sock");
    let setup = setup.with("listen", &[&format!("unix:{}", path.display())]);
    let server = setup.start().await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    server.customer("acme", "pro").await.held(&images(1)).await;
    // A second server does not take a live one's socket, and does it no harm.
    let second = App::build(setup.config(), std::sync::Arc::new(SystemClock)).await;
    let error = format!("{:#}", second.err().unwrap());
    assert!(error.contains("q.sock") && error.contains("another process"), "{error}");
    server.stranger("acme").held(&images(1)).await;
    server.begin_stop();
    server.stopped().await.unwrap();
    crate::harness::eventually("the socket is gone", async || (!path.exists()).then_some(())).await;
}

#[tokio::test]
async fn a_socket_that_a_dead_process_left_is_taken_over() {
    let setup = Setup::new(&monthly("10"), NOON);
    let path = setup.path("q.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = setup.with("listen", &[&format!("unix:{}", path.display())]).start().await;
    server.customer("acme", "pro").await.held(&images(1)).await;
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let setup = Setup::new(&monthly("10"), NOON);
    let path = setup.path("q.sock");
    std::fs::write(&path, "precious").unwrap();
    let setup = setup.with("listen", &[&format!("unix:{}", path.display())]);
    assert!(App::build(setup.config(), std::sync::Arc::new(SystemClock)).await.is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let setup = Setup::new(&monthly("10"), NOON).with("listen", &[&address]);
    let error = format!("{:#}", App::build(setup.config(), std::sync::Arc::new(SystemClock)).await.err().unwrap());
    assert!(error.contains(&address) && error.contains("listen"), "{error}");
}

#[tokio::test]
async fn one_connection_above_the_limit_waits_until_another_ends() {
    let server = Setup::new(&monthly("unlimited"), NOON).with("limits.connections", &["1"]).start().await;
    let acme = server.customer("acme", "pro").await;
    let address = server.listen[0].clone();
    let second = tokio::spawn(async move {
        let acme = Caller::new(connect(&address).await, "acme");
        acme.held(&images(1)).await
    });
    // The first is served all the while, the second is not.
    for _ in 0..100 {
        acme.held(&images(1)).await;
    }
    assert!(!second.is_finished());
    drop((acme, server.channel));
    assert_eq!(tokio::time::timeout(PATIENCE, second).await.unwrap().unwrap().units_reserved, "1");
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused() {
    let setup = Setup::new(&monthly("10"), NOON).embedded();
    let server = setup.start().await;
    let error = format!("{:#}", App::build(setup.config(), std::sync::Arc::new(SystemClock)).await.err().unwrap());
    assert!(error.contains("in use by another process"), "{error}");
    server.customer("acme", "pro").await.held(&images(1)).await;
}
