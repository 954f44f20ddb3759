//! `genquota serve`.

use clap::Args;
use serde_json::json;

use super::exit::{self, Exit};
use super::settings::{LAYERS, SettingFlags};
use super::{Failure, config, output};
use crate::app::{self, Bound};
use crate::config::{CatalogSource, ListenAddress};
use crate::telemetry::logs;

const EXAMPLES: &str = "\
Examples:
  genquota serve
  genquota serve --listen unix:/run/genquota/quota.sock --health 0.0.0.0:7072 --catalog catalog.yaml
  genquota serve --listen 0.0.0.0:7070 --tls-cert tls.crt --tls-key tls.key --access access.yaml
  genquota serve --listen 127.0.0.1:0 --store memory: --json

SIGTERM or SIGINT stops it after what is in flight is finished; a second one stops it at once.
SIGHUP reloads the catalog, the access file and the TLS certificate; their files are looked at every few
seconds, too (`--catalog-reload`).";

/// Start a sidecar and serve until it is told to stop
#[derive(Debug, Args)]
#[command(after_help = format!("{LAYERS}\n\n{EXAMPLES}"))]
pub(super) struct Serve {
    /// Print where it listens as one line of JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

impl Serve {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let loaded = self.settings.load()?;
        config::warn(&loaded);
        logs::install(&loaded.config.log)?;
        let call = first_call(&loaded.config.catalog);
        let is_tls = loaded.config.tls.certificate.is_some();
        app::run(loaded.config, |bound| {
            let text = if self.json { as_json(bound) } else { as_text(bound, call, is_tls) };
            // Nobody may be reading; that is no reason not to serve.
            let _ = output::line(&text);
        })?;
        Ok(exit::DONE)
    }
}

fn as_json(bound: &Bound) -> String {
    let listen: Vec<String> = bound.listen.iter().map(ToString::to_string).collect();
    let port = |address: Option<std::net::SocketAddr>| address.map(|address| address.to_string());
    let mut told = json!({"listen": listen, "http": port(bound.http)});
    if let Some(health) = port(bound.health) {
        told["health"] = health.into();
    }
    told.to_string()
}

/// A call that works on a fresh server.
fn first_call(catalog: &CatalogSource) -> &'static str {
    match catalog {
        CatalogSource::Bundled => "genquota reserve acme --action image.generate --target fal/flux-schnell --count 4",
        CatalogSource::File(_) => "genquota subject create acme",
    }
}

fn as_text(bound: &Bound, call: &str, is_tls: bool) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    let mut text = String::new();
    for address in &bound.listen {
        text.push_str(&format!("gRPC  {address}\n"));
    }
    if let Some(http) = bound.http {
        text.push_str(&format!("HTTP  {scheme}://{http}/operations\n"));
    }
    if let Some(health) = bound.health {
        text.push_str(&format!("health alone  {health}\n"));
    }
    text.push_str(&format!("\nTry it:\n  {call}{}", server_flag(bound.listen.first(), is_tls)));
    text
}

/// What the client commands need to reach this server; nothing where it is their default.
fn server_flag(address: Option<&ListenAddress>, is_tls: bool) -> String {
    match address.map(ToString::to_string) {
        Some(address) if is_tls && !address.starts_with("unix:") => format!(" --server https://{address}"),
        Some(address) if address != "127.0.0.1:7070" => format!(" --server {address}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_addresses_are_told_with_a_call_that_reaches_them() {
        let at =
            |address: &str| Bound { listen: vec![address.parse().unwrap()], http: Some("127.0.0.1:7071".parse().unwrap()), health: None };
        assert!(as_text(&at("127.0.0.1:7070"), "call", false).ends_with("  call"));
        assert!(as_text(&at("unix:/q.sock"), "call", true).ends_with("  call --server unix:/q.sock"));
        let text = as_text(&at("127.0.0.1:7070"), "call", true);
        assert!(text.contains("https://127.0.0.1:7071/operations") && text.ends_with("  call --server https://127.0.0.1:7070"), "{text}");
        assert_eq!(as_json(&at("127.0.0.1:4711")), r#"{"http":"127.0.0.1:7071","listen":["127.0.0.1:4711"]}"#);
    }
}
