//! Certificates that are replaced while calls are made, and files that are wrong.

use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tonic::Code;

use crate::caller::{Caller, code, handshake, tls};
use crate::lab::Authority;
use crate::sidecar::{Setup, Sidecar, tokens, until};

/// Rotations under load.
const ROTATIONS: usize = 5;
/// Clients that call without a pause, half of them with a connection for each call.
const CLIENTS: usize = 6;

/// The certificate that a new connection is shown.
async fn shown(sidecar: &Sidecar, authority: &Authority) -> std::io::Result<Vec<u8>> {
    let stream = handshake(&sidecar.served.grpc, tls(authority, None)).await?;
    Ok(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
}

async fn is_renewed(sidecar: &Sidecar, authority: &Authority, before: &[u8]) -> Vec<u8> {
    until("another certificate", async || shown(sidecar, authority).await.ok().filter(|now| now != before)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_rotate_under_load_without_a_failed_call() {
    let authority = Authority::new();
    let sidecar = Setup::new().tls(&authority).access(&tokens()).start();
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let (address, config) = (sidecar.served.grpc.clone(), tls(&authority, None));
        let (stop, calls) = (stop.clone(), calls.clone());
        clients.push(tokio::spawn(async move {
            let connected = Caller::dial(&address, Some(config.clone())).await.unwrap().with("gateway");
            while !stop.load(Ordering::Relaxed) {
                if number % 2 == 0 {
                    connected.balance("acme").await.unwrap();
                } else {
                    let new = Caller::dial(&address, Some(config.clone())).await.unwrap();
                    new.with("gateway").balance("acme").await.unwrap();
                }
                calls.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let mut certificate = shown(&sidecar, &authority).await.unwrap();
    for _ in 0..ROTATIONS {
        let before = calls.load(Ordering::Relaxed);
        sidecar.renew_certificate(&authority);
        certificate = is_renewed(&sidecar, &authority, &certificate).await;
        until("calls under the new certificate", async || (calls.load(Ordering::Relaxed) > before + 20).then_some(())).await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(sidecar.reasons_over_tls(&authority), [""; 0]);
}

#[tokio::test]
async fn files_that_are_wrong_keep_the_certificate_before_them_and_are_told() {
    let authority = Authority::new();
    let sidecar = Setup::new().tls(&authority).access(&tokens()).with("--http", "127.0.0.1:0").start();
    let certificate = shown(&sidecar, &authority).await.unwrap();
    let is_kept = async |reason: &str| {
        until(reason, async || (sidecar.reasons_over_tls(&authority) == [reason]).then_some(())).await;
        assert_eq!(shown(&sidecar, &authority).await.unwrap(), certificate, "{reason}");
    };
    sidecar.write("tls.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    is_kept("certificates_rejected").await;
    std::fs::remove_file(sidecar.path("tls.crt")).unwrap();
    is_kept("certificates_unreadable").await;
    // The certificate of one pair and the key of another.
    std::fs::copy(authority.issue("other").certificate, sidecar.path("tls.crt")).unwrap();
    is_kept("certificates_rejected").await;
    let errors = sidecar.log().into_iter().filter(|line| line["level"] == "ERROR").count();
    assert_eq!(errors, 3, "each content is told once");
    sidecar.renew_certificate(&authority);
    is_renewed(&sidecar, &authority, &certificate).await;
    until("all is well", async || sidecar.reasons_over_tls(&authority).is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_mount_whose_links_are_swapped_as_kubernetes_does_it_is_followed() {
    let authority = Authority::new();
    let setup = Setup::new();
    // What is mounted is `tls.crt` -> `..data/tls.crt`, and `..data` points to another directory after each change.
    let version = |name: &str| {
        let (dir, issued) = (setup.path(name), authority.issue("server"));
        std::fs::create_dir(&dir).unwrap();
        std::fs::copy(issued.certificate, dir.join("tls.crt")).unwrap();
        std::fs::copy(issued.key, dir.join("tls.key")).unwrap();
    };
    version("..1");
    version("..2");
    symlink("..1", setup.path("..data")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{file}"), setup.path(file)).unwrap();
    }
    let sidecar = setup.with("--tls-cert", "tls.crt").with("--tls-key", "tls.key").start();
    let certificate = shown(&sidecar, &authority).await.unwrap();
    symlink("..2", sidecar.path("..next")).unwrap();
    std::fs::rename(sidecar.path("..next"), sidecar.path("..data")).unwrap();
    is_renewed(&sidecar, &authority, &certificate).await;
    assert_eq!(sidecar.reasons_over_tls(&authority), [""; 0]);
}

#[tokio::test]
async fn another_authority_of_clients_counts_for_new_connections_and_a_hangup_is_enough() {
    let (server, old, new) = (Authority::new(), Authority::new(), Authority::new());
    let entry = "certificates:\n  - {name: g, san: 'urn:gateway', scopes: [gateway]}\n";
    let setup = Setup::new().with("--catalog-reload", "1d").tls(&server).client_authority(&old).access(entry);
    let sidecar = setup.start();
    let dial = async |authority: &Authority| {
        let own = authority.issue_to("gateway", "urn:gateway");
        let caller = Caller::dial(&sidecar.served.grpc, Some(tls(&server, Some(&own)))).await.ok()?;
        caller.balance("acme").await.is_ok().then_some(caller)
    };
    let connected = dial(&old).await.unwrap();
    assert!(dial(&new).await.is_none());
    std::fs::copy(new.file(), sidecar.path("clients.crt")).unwrap();
    sidecar.signal("HUP");
    until("the new authority", async || dial(&new).await).await;
    assert!(dial(&old).await.is_none());
    assert_eq!(code(&connected.balance("acme").await), Code::Ok, "what is connected goes on");
}
