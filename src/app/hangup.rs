//! SIGHUP, by which an operator says that files are ready to be read anew. It never ends the process.
//!
//! Listened for before anything is built, so that one which comes early waits, and until the very end.

use std::io;

use super::AllReloads;

/// Takes every SIGHUP from now on.
#[cfg(unix)]
pub(super) fn listen() -> io::Result<Hangups> {
    use tokio::signal::unix::{SignalKind, signal};
    Ok(Hangups(signal(SignalKind::hangup())?))
}

#[cfg(unix)]
pub(super) struct Hangups(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangups {
    /// Asks for a reload at every signal. Those that come during one become one.
    pub(super) async fn forward(mut self, reloads: AllReloads) {
        while self.0.recv().await.is_some() {
            tracing::info!(signal = "SIGHUP", "asked to reload the catalog, the access file and the TLS certificate");
            reloads.reload().await;
        }
    }
}

#[cfg(not(unix))]
pub(super) fn listen() -> io::Result<Hangups> {
    Ok(Hangups)
}

#[cfg(not(unix))]
pub(super) struct Hangups;

#[cfg(not(unix))]
impl Hangups {
    pub(super) async fn forward(self, _: AllReloads) {}
}
