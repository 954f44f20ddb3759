//! One line: the connection to one primary, kept by one task that finds it, watches it and replaces it.
//!
//! While there is none, nothing is sent and whoever calls is told so at once. The task ends with [`Line::close`], or with the line.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::{Cmd, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::LinkState;
use super::dial::{Dialer, Dialled};
use super::failure::Failure;
use super::finder::Finder;
use super::live::Live;

/// How often a connection that works is looked at. A server that says nothing is noticed after two looks even if nobody asks anything.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The first wait before connecting again is at most this, and each that follows twice as long as the one before.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest wait: a server that is back is found within a second.
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A connection that lasted so long was good: waits begin anew after it.
const STEADY: Duration = Duration::from_secs(2);

/// Told after every change of a line's state.
pub(super) type OnChange = Box<dyn Fn() + Send + Sync>;

pub(super) struct Line {
    shared: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    finder: Finder,
    dialer: Dialer,
    /// Counts the connections of the whole link.
    epochs: Arc<AtomicU64>,
    live: RwLock<Option<Arc<Live>>>,
    state: watch::Sender<LinkState>,
    stop: CancellationToken,
    on_change: OnChange,
}

/// Waits that grow, each drawn at random so that many sidecars do not come at once.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let most = BACKOFF_MIN.saturating_mul(2_u32.saturating_pow(self.failures)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(fastrand::u64(most / 2..=most))
    }
}

impl Line {
    /// Why it is down before the first try.
    pub(super) const CONNECTING: &str = "connecting";

    /// Keeps a line from now on, beginning with a connection if there is one.
    pub(super) fn start(finder: Finder, dialer: Dialer, epochs: Arc<AtomicU64>, first: Option<Dialled>, on_change: OnChange) -> Self {
        let state = watch::Sender::new(LinkState::Down { reason: Arc::from(Self::CONNECTING) });
        let shared = Arc::new(Shared { finder, dialer, epochs, live: RwLock::default(), state, stop: CancellationToken::new(), on_change });
        let first = first.map(|dialled| shared.up(dialled));
        let keeper = tokio::spawn(shared.clone().keep(first));
        Self { shared, keeper: Mutex::new(Some(keeper)) }
    }

    pub(super) async fn call(&self, command: &Cmd) -> Result<Value, Failure> {
        self.call_within(command, self.shared.dialer.command_timeout, false).await
    }

    pub(super) async fn call_within(&self, command: &Cmd, within: Duration, asking: bool) -> Result<Value, Failure> {
        let live = self.shared.live();
        match live {
            Some(live) => live.ask(command, within, asking).await,
            None => Err(match &*self.shared.state.borrow() {
                LinkState::Down { reason } => Failure::down(reason),
                LinkState::Up { .. } => Failure::down(Self::CONNECTING),
            }),
        }
    }

    pub(super) fn state(&self) -> watch::Receiver<LinkState> {
        self.shared.state.subscribe()
    }

    /// The server at the other end, or the one that is looked for.
    pub(super) fn name(&self) -> String {
        self.shared.live().map_or_else(|| self.shared.finder.name(), |live| live.host.clone())
    }

    /// Ends the keeper; the connection closes when what was asked is answered.
    pub(super) async fn close(&self) {
        self.shared.stop.cancel();
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            // It cannot panic, and there is nothing to do if it did.
            let _ = keeper.await;
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    fn live(&self) -> Option<Arc<Live>> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_live(&self, live: Option<Arc<Live>>) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
    }

    async fn keep(self: Arc<Self>, first: Option<Arc<Live>>) {
        let mut next = first;
        let mut backoff = Backoff::default();
        while !self.stop.is_cancelled() {
            let Some(live) = next.take() else {
                let found = tokio::select! {
                    found = self.finder.find(&self.dialer) => found,
                    () = self.stop.cancelled() => break,
                };
                match found {
                    Ok(dialled) => next = Some(self.up(dialled)),
                    Err(error) => {
                        self.down(&error.to_string());
                        self.wait(backoff.next()).await;
                    }
                }
                continue;
            };
            let since = Instant::now();
            let reason = self.watch(&live).await;
            self.set_live(None);
            self.down(&reason);
            live.retire(&reason);
            if since.elapsed() >= STEADY {
                backoff = Backoff::default();
            }
            self.wait(backoff.next()).await;
        }
    }

    /// Ends when the connection is of no more use or nobody wants it, and says why.
    async fn watch(&self, live: &Live) -> String {
        tokio::select! {
            reason = live.given_up() => format!("{}: {reason}", live.host),
            reason = self.finder.another(&self.dialer, &live.host) => reason,
            () = self.stop.cancelled() => "the link is closed".to_owned(),
            never = self.look_every(LOOK_EVERY, live) => match never {},
        }
    }

    async fn look_every(&self, time: Duration, live: &Live) -> Infallible {
        loop {
            sleep(time).await;
            if live.look(self.dialer.command_timeout).await {
                tracing::warn!(host = live.host, "the data of the store have another history now");
                self.renumber();
            }
        }
    }

    async fn wait(&self, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            () = self.stop.cancelled() => {}
        }
    }

    fn up(&self, dialled: Dialled) -> Arc<Live> {
        let epoch = self.epochs.fetch_add(1, Ordering::Relaxed) + 1;
        let live = Arc::new(Live::start(dialled, self.dialer.command_timeout));
        // Nobody gets hold of it before its number is known: who asks must have had the chance to look where it leads.
        let mut current = self.live.write().unwrap_or_else(PoisonError::into_inner);
        self.state.send_replace(LinkState::Up { epoch });
        (self.on_change)();
        *current = Some(live.clone());
        drop(current);
        tracing::info!(host = live.host, epoch, "connected to the store");
        live
    }

    /// The same connection, as if it were a new one: whoever asks must look where it leads.
    fn renumber(&self) {
        let epoch = self.epochs.fetch_add(1, Ordering::Relaxed) + 1;
        self.state.send_replace(LinkState::Up { epoch });
        (self.on_change)();
    }

    fn down(&self, reason: &str) {
        let mut news = false;
        self.state.send_modify(|state| match state {
            LinkState::Down { reason: before } => {
                news = **before != *reason;
                *before = Arc::from(reason);
            }
            LinkState::Up { .. } => {
                news = true;
                *state = LinkState::Down { reason: Arc::from(reason) };
            }
        });
        // A server that stays away is told once, not at every try.
        if news && !self.stop.is_cancelled() {
            tracing::warn!(host = self.finder.name(), reason, "no connection to the store");
        }
        (self.on_change)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_bounded() {
        let mut backoff = Backoff::default();
        assert!(backoff.next() <= BACKOFF_MIN);
        for _ in 0..40 {
            assert!(backoff.next() <= BACKOFF_MAX);
        }
        assert!(backoff.next() >= BACKOFF_MAX / 2);
    }
}
