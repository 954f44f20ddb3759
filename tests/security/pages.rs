//! The HTTP port: probes for everybody, metrics for those who may see everything.

use base64::Engine as _;

use crate::lab::Authority;
use crate::sidecar::{Setup, token, tokens, value};

fn basic(token: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("somebody:{token}")))
}

#[test]
fn metrics_on_an_open_port_are_for_observers_of_everything_and_probes_for_everybody() {
    let authority = Authority::new();
    let some = token("some", "observer", ", subjects: [acme]");
    let sidecar = Setup::new()
        .with("--http", "0.0.0.0:0")
        .tls(&authority)
        .client_authority(&authority)
        .access(&format!("{}{some}", tokens()))
        .start();
    for probe in ["/livez", "/readyz"] {
        assert_eq!(sidecar.ask(&authority, probe, None).0, 200, "{probe}");
    }
    let (status, text) = sidecar.ask(&authority, "/metrics", None);
    assert_eq!(status, 401);
    assert!(text.to_lowercase().contains("www-authenticate: basic realm="), "{text}");
    for (authorization, expected) in [
        ("Bearer observer".to_owned(), 200),
        ("Bearer admin".to_owned(), 200),
        (basic("observer"), 200),
        ("Bearer gateway".to_owned(), 403),
        ("Bearer some".to_owned(), 403),
        ("Bearer nobody".to_owned(), 401),
        (basic("nobody"), 401),
        ("Basic !".to_owned(), 401),
        ("observer".to_owned(), 401),
    ] {
        let (status, text) = sidecar.ask(&authority, "/metrics", Some(&authorization));
        assert_eq!(status, expected, "{authorization}: {text}");
    }
    let text = sidecar.ask(&authority, "/metrics", Some("Bearer observer")).1;
    assert_eq!(value(&text, "genquota_refused_total{reason=\"scope\"}"), 1.0);
    assert_eq!(value(&text, "genquota_refused_total{reason=\"subject\"}"), 1.0);
    assert!(value(&text, "genquota_certificate_expiry_seconds") > 1.7e9);
}

#[test]
fn metrics_may_be_left_open_and_on_loopback_they_are() {
    let authority = Authority::new();
    let sidecar = Setup::new().with("--http", "0.0.0.0:0").tls(&authority).access(&tokens()).switch("--metrics-public").start();
    assert_eq!(sidecar.ask(&authority, "/metrics", None).0, 200);
    let local = Setup::new().access(&tokens()).start();
    assert_eq!(local.get("/metrics").0, 200);
}
