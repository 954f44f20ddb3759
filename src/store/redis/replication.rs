//! Waiting for replicas: an answer is told only when so many of them have what it says (durability class `replicated(n)`).
//!
//! A failover promotes a replica, and what that one never received is lost. `WAIT` covers the writes of its own connection alone, and must
//! not hold up the shared one, so a connection of its own writes a mark after the calls it is to cover and waits for that. All answers that
//! come in meanwhile share the next round: one round costs a round trip to a replica, however many wait for it.

use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::caller::Trouble;
use super::link::{Link, LinkState};

/// What a waiting call is told.
type Confirmed = Result<(), Trouble>;

/// Where calls wait.
#[derive(Debug)]
pub(super) struct Replication(mpsc::UnboundedSender<oneshot::Sender<Confirmed>>);

/// What makes the rounds.
struct Rounds {
    /// The shared connection, and the one of its own.
    shared: Arc<Link>,
    own: Arc<Link>,
    replicas: u32,
    timeout: Duration,
    mark: String,
}

impl Replication {
    /// Starts the rounds; they end with the value. `mark` is a key of their own on the shared connection's server.
    pub(super) fn start(shared: Arc<Link>, own: Arc<Link>, replicas: u32, timeout: Duration, mark: String) -> Self {
        let (waiting, mut called) = mpsc::unbounded_channel();
        let rounds = Rounds { shared, own, replicas, timeout, mark };
        tokio::spawn(async move {
            let mut callers = Vec::new();
            while called.recv_many(&mut callers, usize::MAX).await > 0 {
                let confirmed = rounds.round().await;
                for caller in callers.drain(..) {
                    let caller: oneshot::Sender<Confirmed> = caller;
                    let _ = caller.send(confirmed.clone());
                }
            }
            rounds.own.close().await;
        });
        Self(waiting)
    }

    /// Returns when everything that was answered before is with the replicas.
    pub(super) async fn confirm(&self) -> Confirmed {
        let (caller, confirmed) = oneshot::channel();
        let gone = || Trouble::Unknown("the replicas are not asked any more".to_owned());
        self.0.send(caller).map_err(|_| gone())?;
        confirmed.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Rounds {
    async fn round(&self) -> Confirmed {
        let doubt = |what: &str| Trouble::Unknown(format!("not confirmed by {} replicas: {what}", self.replicas));
        let before = epoch(&self.own);
        // Both connections must lead to the same server: what one writes, the other reads.
        let nonce = Uuid::now_v7().to_string();
        self.shared.call(&set(&self.mark, &nonce)).await?;
        let read = self.own.call(redis::cmd("GET").arg(&self.mark)).await?;
        if redis::from_redis_value::<Option<String>>(read).ok().flatten().as_deref() != Some(&*nonce) {
            return Err(doubt("the connections lead to different servers"));
        }
        self.own.call(&set(&self.mark, "confirmed")).await?;
        let wait = redis::cmd("WAIT").arg(self.replicas).arg(self.timeout.as_millis().to_string()).to_owned();
        let reached: u32 = redis::from_redis_value(self.own.call(&wait).await?).unwrap_or(0);
        // On another connection there is nothing to wait for, and the answer means nothing.
        if before.is_none() || epoch(&self.own) != before {
            return Err(doubt("the connection was replaced"));
        }
        if reached < self.replicas { Err(doubt(&format!("{reached} have it"))) } else { Ok(()) }
    }
}

fn set(key: &str, value: &str) -> Cmd {
    redis::cmd("SET").arg(key).arg(value).to_owned()
}

fn epoch(link: &Link) -> Option<u64> {
    match *link.state().borrow() {
        LinkState::Up { epoch } => Some(epoch),
        LinkState::Down { .. } => None,
    }
}
