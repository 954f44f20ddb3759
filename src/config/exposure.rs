//! What other hosts can reach must be protected, or the risk accepted (`insecure`).

use std::collections::BTreeMap;

use super::{Config, Origin, Problem};

/// What to do about an address that is not protected.
const HINT: &str =
    "set `tls.cert`, `tls.key` and `access`, keep it on `127.0.0.1` or `unix:PATH`, or accept the risk with `insecure: true`";
/// The same for the HTTP port, which probes want to reach.
const HTTP_HINT: &str = "set `tls.cert`, `tls.key` and `access`, keep it on `127.0.0.1`, or accept the risk with `insecure: true`; \
                         for probes of gRPC health alone there is `health`";

/// Adds what of TLS contradicts itself, and every address that is open to others.
pub(super) fn check(config: &Config, origins: &BTreeMap<&'static str, Origin>, problems: &mut Vec<Problem>) {
    let wrong = |key: &'static str, text: &str| Problem::new(key, origins[key].clone(), text);
    let tls = &config.tls;
    match (&tls.certificate, &tls.key) {
        (Some(_), None) => problems.push(wrong("tls.cert", "a certificate without its key").hint("set `tls.key` too")),
        (None, Some(_)) => problems.push(wrong("tls.key", "a key without its certificate").hint("set `tls.cert` too")),
        (None, None) if tls.client_authorities.is_some() => {
            let problem = wrong("tls.client_ca", "without `tls.cert` no listener speaks TLS, and no client shows a certificate");
            problems.push(problem.hint("set `tls.cert` and `tls.key` too"));
        }
        _ => {}
    }
    if config.insecure {
        return;
    }
    let Some(missing) = missing(config) else { return };
    for address in config.listen.iter().filter(|address| !address.is_local()) {
        let text = format!("other hosts can reach this listener, and {missing}: `{address}`");
        problems.push(wrong("listen", &text).hint(HINT));
    }
    if !config.http.is_loopback() {
        let address = &config.http;
        let text = format!("other hosts can reach this port, and {missing}: `{address}`");
        problems.push(wrong("http", &text).hint(HTTP_HINT));
    }
}

/// What it takes for an address to be protected and is not there.
fn missing(config: &Config) -> Option<&'static str> {
    match (config.tls.certificate.is_some() || config.tls.key.is_some(), config.access.is_some()) {
        (true, true) => None,
        (true, false) => Some("without `access` anybody may call"),
        (false, true) => Some("without `tls.cert` tokens and answers travel in clear"),
        (false, false) => Some("nothing protects it"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigError, Given, Layers, load};
    use super::*;

    fn loaded(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let given = |(key, value): &(&str, &str)| Given {
            key: (*key).to_owned(),
            values: vec![(*value).to_owned()],
            origin: Origin::Flag(format!("--{key}")),
        };
        let flags = [("store", "memory:")].iter().chain(settings).map(given).collect();
        load(&Layers { flags, ..Layers::default() }).map(|loaded| loaded.config)
    }

    fn keys(settings: &[(&str, &str)]) -> Vec<String> {
        loaded(settings).err().map(|error| error.problems.into_iter().map(|problem| problem.key).collect()).unwrap_or_default()
    }

    const PROTECTED: [(&str, &str); 3] = [("tls.cert", "c.pem"), ("tls.key", "k.pem"), ("access", "access.yaml")];

    #[test]
    fn what_other_hosts_can_reach_needs_tls_and_access_or_the_risk_accepted() {
        for open in ["0.0.0.0:7070", "[::]:7070", "sidecar.example:7070", "10.1.2.3:0"] {
            for key in ["listen", "http"] {
                assert_eq!(keys(&[(key, open)]), [key], "{open}");
                assert_eq!(keys(&[(key, open), ("insecure", "true")]), [""; 0], "{open}");
                assert_eq!(keys(&[(key, open), PROTECTED[0], PROTECTED[1]]), [key], "{open}");
                assert_eq!(keys(&[(key, open), PROTECTED[2]]), [key], "{open}");
                assert_eq!(keys(&[(key, open), PROTECTED[0], PROTECTED[1], PROTECTED[2]]), [""; 0], "{open}");
            }
            assert_eq!(keys(&[("health", open)]), [""; 0], "{open}");
        }
        for local in ["127.0.0.1:7072", "127.8.8.8:0", "[::1]:7072", "localhost:7072"] {
            assert_eq!(keys(&[("listen", local)]), [""; 0], "{local}");
            assert_eq!(keys(&[("http", local)]), [""; 0], "{local}");
        }
        assert_eq!(keys(&[("listen", "unix:/run/q.sock")]), [""; 0]);
    }

    #[test]
    fn every_refusal_says_what_is_missing_and_what_to_do() {
        let text = loaded(&[("listen", "0.0.0.0:1"), ("http", "0.0.0.0:2"), ("access", "a.yaml")]).unwrap_err().to_string();
        assert_eq!(text.matches("without `tls.cert` tokens and answers travel in clear").count(), 2, "{text}");
        assert_eq!(text.matches("hint: set `tls.cert`, `tls.key` and `access`").count(), 2, "{text}");
    }

    #[test]
    fn half_of_what_tls_needs_is_refused() {
        assert_eq!(keys(&[PROTECTED[0]]), ["tls.cert"]);
        assert_eq!(keys(&[PROTECTED[1]]), ["tls.key"]);
        assert_eq!(keys(&[("tls.client_ca", "ca.pem")]), ["tls.client_ca"]);
        assert_eq!(keys(&[("tls.client_ca", "ca.pem"), PROTECTED[0], PROTECTED[1]]), [""; 0]);
    }
}
