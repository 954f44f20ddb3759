//! The HTTP port: probes for everybody, metrics and costs for those who may see everything, a subject for those who may see it.

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

#[test]
fn the_operations_page_on_an_open_port_shows_each_observer_what_it_may_see() {
    let authority = Authority::new();
    let some = token("some", "observer", ", subjects: [acme]");
    let sidecar = Setup::new().with("--http", "0.0.0.0:0").tls(&authority).access(&format!("{}{some}", tokens())).start();
    for (path, authorization, expected) in [
        ("/operations", None, 401),
        ("/operations.json", None, 401),
        ("/operations/subjects", None, 401),
        ("/operations/subjects?subject=acme", Some("Bearer gateway".to_owned()), 403),
        ("/operations", Some(basic("observer")), 200),
        ("/operations.json", Some("Bearer observer".to_owned()), 200),
        ("/operations/subjects", Some("Bearer admin".to_owned()), 200),
        // Everybody's costs are not for who may see one subject; of that one it is told that it is not known.
        ("/operations", Some("Bearer some".to_owned()), 403),
        ("/operations.json", Some("Bearer some".to_owned()), 403),
        ("/operations/subjects?subject=acme", Some("Bearer some".to_owned()), 404),
        ("/operations/subjects?subject=other", Some("Bearer some".to_owned()), 403),
        ("/operations/subjects?subject=acme&subject=other", Some("Bearer some".to_owned()), 400),
        // Nothing is told by how it looks.
        ("/operations/style.css", None, 200),
    ] {
        let (status, text) = sidecar.ask(&authority, path, authorization.as_deref());
        assert_eq!(status, expected, "{path} {authorization:?}: {text}");
        // Of an answer that is refused the head is told too.
        let has_policy = text.to_lowercase().contains("content-security-policy: default-src 'none'");
        assert!(has_policy || status == 200, "{path}: {text}");
    }
    let list = sidecar.ask(&authority, "/operations/subjects", Some("Bearer some")).1;
    assert!(list.contains("This token sees some subjects only") && !list.contains("Nobody has made a subject yet"), "{list}");
}
