//! One connection in use: what is asked on it, and how it is found to be of no more use.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult, Value, cmd};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::dial::Dialled;
use super::failure::Failure;
use super::finder::Standing;
use super::key;

/// So many commands without an answer in a row, and none between them, and the connection is given up: one may be the command's fault.
const MISSES_MAX: u32 = 2;

/// A connection that somebody drives.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) host: String,
    standing: Mutex<Standing>,
    connection: MultiplexedConnection,
    misses: AtomicU32,
    fate: Arc<Fate>,
    retired: CancellationToken,
}

/// Whether it is given up, and why.
#[derive(Debug, Default)]
struct Fate {
    given_up: CancellationToken,
    reason: OnceLock<String>,
}

impl Fate {
    fn give_up(&self, reason: String) {
        // The first reason is the cause of all others.
        let _ = self.reason.set(reason);
        self.given_up.cancel();
    }
}

impl Live {
    /// `linger`: how long a retired connection may still answer what was asked on it.
    pub(super) fn start(dialled: Dialled, linger: Duration) -> Self {
        let Dialled { host, standing, connection, driver, .. } = dialled;
        let fate = Arc::new(Fate::default());
        let retired = CancellationToken::new();
        let live = Self {
            host,
            standing: Mutex::new(standing),
            connection,
            misses: AtomicU32::new(0),
            fate: fate.clone(),
            retired: retired.clone(),
        };
        tokio::spawn(async move {
            let leave = async {
                retired.cancelled().await;
                sleep(linger).await;
            };
            tokio::select! {
                () = driver => fate.give_up("the connection was closed".to_owned()),
                () = leave => {}
            }
        });
        live
    }

    /// Asks for one thing. `asking`: in a cluster, from a node that only begins to have the key.
    pub(super) async fn ask(&self, command: &Cmd, within: Duration, asking: bool) -> Result<Value, Failure> {
        if let Some(reason) = self.fate.reason.get() {
            return Err(Failure::down(reason));
        }
        let reply = match timeout(within, self.send(command, asking)).await {
            Ok(reply) => reply,
            Err(_) => {
                let misses = self.misses.fetch_add(1, Ordering::Relaxed) + 1;
                if misses >= MISSES_MAX {
                    self.give_up(format!("{misses} commands in a row were not answered"));
                }
                return Err(Failure::Unknown { reason: format!("none within {within:?}") });
            }
        };
        let error = match reply {
            Ok(Value::ServerError(error)) => error,
            Ok(value) => {
                self.misses.store(0, Ordering::Relaxed);
                return Ok(value);
            }
            Err(error) => {
                self.give_up(error.to_string());
                return Err(Failure::of_client(&error));
            }
        };
        self.misses.store(0, Ordering::Relaxed);
        let failure = Failure::of_reply(&error, key::runs_script(command));
        if failure.asks_for_another_connection() {
            self.give_up(failure.to_string());
        }
        Err(failure)
    }

    async fn send(&self, command: &Cmd, asking: bool) -> RedisResult<Value> {
        let mut connection = self.connection.clone();
        if !asking {
            return connection.send_packed_command(command).await;
        }
        // Both in one piece, so that nobody else's command comes between them.
        let mut both = redis::pipe();
        both.add_command(cmd("ASKING")).add_command(command.clone());
        let mut replies = connection.send_packed_commands(&both, 1, 1).await?;
        Ok(replies.pop().unwrap_or(Value::Nil))
    }

    /// Makes sure that it is still a primary that answers; if not, that is seen by [`Live::given_up`]. True: it may have other data now.
    pub(super) async fn look(&self, within: Duration) -> bool {
        match self.ask(&Standing::question(), within, false).await {
            Ok(reply) => {
                let now = Standing::read(&reply);
                if !now.is_primary() {
                    self.give_up(format!("the server is no primary any more: its role is `{}`", now.role));
                    return false;
                }
                let mut before = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
                return std::mem::replace(&mut *before, now.clone()) != now;
            }
            Err(Failure::NotApplied { code, message, .. }) => self.give_up(format!("{code}: {message}")),
            // Counted already.
            Err(_) => {}
        }
        false
    }

    fn give_up(&self, reason: String) {
        self.fate.give_up(reason);
    }

    /// Ends when it is of no more use, and says why.
    pub(super) async fn given_up(&self) -> String {
        self.fate.given_up.cancelled().await;
        self.fate.reason.get().cloned().unwrap_or_default()
    }

    /// Takes no more, and closes when what was asked is answered or should have been.
    pub(super) fn retire(&self, reason: &str) {
        self.give_up(reason.to_owned());
        self.retired.cancel();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.retired.cancel();
    }
}
