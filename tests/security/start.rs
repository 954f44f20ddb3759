//! Starts that are refused, and what is said then.

use std::process::Output;

use crate::lab::Authority;
use crate::sidecar::{Setup, tokens};

fn refused(setup: &Setup) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = setup.command().stderr(std::process::Stdio::piped()).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn an_open_address_without_tls_and_access_keeps_the_process_from_starting() {
    let authority = Authority::new();
    for flag in ["--listen", "--http"] {
        let open = || Setup::new().with(flag, "0.0.0.0:0");
        for (setup, missing) in [
            (open(), "nothing protects it"),
            (open().access(&tokens()), "without `tls.cert` tokens and answers travel in clear"),
            (open().tls(&authority), "without `access` anybody may call"),
        ] {
            let (code, told) = refused(&setup);
            assert_eq!(code, Some(64), "{told}");
            assert!(told.contains(missing) && told.contains("set `tls.cert`, `tls.key` and `access`"), "{told}");
        }
        open().tls(&authority).access(&tokens()).start();
    }
    let sidecar = Setup::new().with("--listen", "0.0.0.0:0").switch("--insecure").start();
    let warned = sidecar.log().into_iter().any(|line| line.to_string().contains("other hosts can reach what is not protected"));
    assert!(warned, "{:?}", sidecar.log());
}

#[test]
fn files_that_are_wrong_keep_the_process_from_starting_and_say_where() {
    let (one, other) = (Authority::new(), Authority::new());
    let wrong_key = Setup::new().tls(&one);
    std::fs::copy(other.issue("other").key, wrong_key.path("tls.key")).unwrap();
    let no_certificate = Setup::new().tls(&one);
    std::fs::write(no_certificate.path("tls.crt"), "none").unwrap();
    let no_file = Setup::new().tls(&one).with("--tls-key", "missing.key");
    for (setup, expected, told) in [
        (wrong_key, 1, "`tls.crt` and `tls.key` do not fit"),
        (no_certificate, 1, "no certificate in `tls.crt`"),
        (no_file, 1, "cannot read `missing.key`"),
        (Setup::new().access("tokens: [{name: a}]"), 64, "access.yaml:1:"),
        (Setup::new().with("--access", "missing.yaml"), 64, "missing.yaml: cannot be read"),
    ] {
        let (code, text) = refused(&setup);
        assert_eq!(code, Some(expected), "{text}");
        assert!(text.contains(told), "{told} is not in {text}");
    }
}
