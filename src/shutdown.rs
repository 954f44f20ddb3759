//! The signals that end the process.
//!
//! Owns SIGTERM and SIGINT: the first asks everything to finish, a second one ends the process at once. Decides nothing about how long
//! finishing may take; that is `app`'s.

use std::io;

use tokio_util::sync::CancellationToken;

/// Exit code of a process ended by SIGINT, as shells count it.
const EXIT_INTERRUPTED: i32 = 130;
/// Exit code of a process ended by SIGTERM, as shells count it.
const EXIT_TERMINATED: i32 = 143;

/// Begins to listen for signals. The token is cancelled by the first one. Must be called inside a runtime, once.
pub fn listen() -> io::Result<CancellationToken> {
    let mut signals = Signals::new()?;
    let token = CancellationToken::new();
    let stopping = token.clone();
    tokio::spawn(async move {
        let (name, _) = signals.next().await;
        tracing::info!(signal = name, "stopping: finishing what is in flight");
        stopping.cancel();
        let (name, exit_code) = signals.next().await;
        tracing::warn!(signal = name, "stopped by a second signal: what was in flight is cut off");
        std::process::exit(exit_code);
    });
    Ok(token)
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            Some(()) = self.terminate.recv() => ("SIGTERM", EXIT_TERMINATED),
            Some(()) = self.interrupt.recv() => ("SIGINT", EXIT_INTERRUPTED),
            else => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> (&'static str, i32) {
        match tokio::signal::ctrl_c().await {
            Ok(()) => ("ctrl-c", EXIT_INTERRUPTED),
            Err(_) => std::future::pending().await,
        }
    }
}
