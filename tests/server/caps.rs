//! Caps (chapter 4).

use crate::caller::Caller;
use crate::catalogs::plans;
use crate::harness::Server;

mod dimensions;
mod kinds;
mod modes;
mod windows;

const NOON: &str = "2026-03-10T12:00:00Z";

/// A subject whose plan has no end of units, and this cap.
async fn capped(cap: &str) -> (Server, Caller) {
    capped_by(&[("limit", cap)]).await
}

async fn capped_by(caps: &[(&str, &str)]) -> (Server, Caller) {
    let caps = caps.iter().map(|(name, cap)| format!("{name}: {cap}")).collect::<Vec<_>>().join(", ");
    let plan = format!("pro: {{allowances: [{{meter: units, amount: unlimited, per: subject}}], caps: {{{caps}}}}}");
    let server = Server::start(&plans(&[&plan]), NOON).await;
    let acme = server.customer("acme", "pro").await;
    (server, acme)
}
