//! The Redis store as the source or target of a transfer. Nothing is decided here: it reads every key of a ledger, or fills an empty one.
//!
//! An export is consistent only while nobody writes, which the positions of all partitions tell before and after. An import begins a
//! generation in every partition and announces it only at its end: until then no sidecar can open the ledger or go on with it.

mod export;
mod import;

pub(super) use self::import::{IMPORT, is_unfinished};

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Value};

use super::guard::{self, Genesis};
use super::keys::Keys;
use super::lineage::{Identity, LAYOUT};
use super::link::{Failure, Link, LinkState};
use crate::store::transfer::TransferError;

/// Tries of one command: a server that restarts or a replica that takes over is waited for.
const TRIES_MAX: u32 = 8;
/// Between two tries, doubled each time: about a minute in all.
const PAUSE: Duration = Duration::from_millis(250);
/// Commands in flight on the connection.
const CALLS_MAX: usize = 32;

/// A ledger to read from or to fill.
pub struct RedisArchive {
    link: Arc<Link>,
    instance: String,
    /// For a ledger that there is not yet.
    partitions: u32,
    allow_changes: bool,
    filling: Option<import::Filling>,
}

impl RedisArchive {
    /// Of an instance, a checked name.
    pub fn new(link: Arc<Link>, instance: &str) -> Self {
        Self {
            link,
            instance: instance.to_owned(),
            partitions: super::Options::new(instance).partitions,
            allow_changes: false,
            filling: None,
        }
    }

    /// Into how many partitions a ledger is laid out that does not exist yet.
    pub fn with_partitions(self, partitions: u32) -> Self {
        Self { partitions, ..self }
    }

    /// An export goes on although the ledger is changed: its subjects are each as they were at one moment, and not all at the same.
    pub fn allow_changes(self) -> Self {
        Self { allow_changes: true, ..self }
    }

    /// Keys of a ledger, of which only the instance is known.
    fn outer_keys(&self) -> Keys {
        Keys::new(&self.instance, 1)
    }

    /// Who the ledger is, if there is one that this program can read.
    async fn identity(&self) -> Result<Option<Identity>, TransferError> {
        let found =
            guard::read_genesis(&self.link, &self.outer_keys()).await.map_err(|trouble| TransferError::Store(trouble.to_string()))?;
        match found {
            Some(Genesis { identity, .. }) if identity.layout != LAYOUT => {
                Err(TransferError::Store(super::OpenError::Layout { found: identity.layout }.to_string()))
            }
            found => Ok(found.map(|genesis| genesis.identity)),
        }
    }

    /// The answer to a command that is safe to repeat.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, TransferError> {
        let value = self.value(command).await?;
        redis::from_redis_value(value).map_err(|problem| TransferError::Store(problem.to_string()))
    }

    /// The answer of the node of a cluster that serves a key, to a command that names none.
    async fn ask_owner<T: FromRedisValue>(&self, key: &str, command: &Cmd) -> Result<T, TransferError> {
        let call = || async {
            let owner = self.link.node_of(key.as_bytes());
            let answers = self.link.call_each_primary(command).await;
            let answer = answers.into_iter().find(|(node, _)| Some(node) == owner.as_ref());
            let away = Failure::NotApplied { code: Failure::DOWN.to_owned(), message: format!("no node serves `{key}`"), retry: true };
            answer.map_or(Err(away), |(_, answer)| answer)
        };
        let value = self.try_often(call).await.map_err(|failure| TransferError::Store(failure.to_string()))?;
        redis::from_redis_value(value).map_err(|problem| TransferError::Store(problem.to_string()))
    }

    async fn value(&self, command: &Cmd) -> Result<Value, TransferError> {
        self.try_often(|| self.link.call(command)).await.map_err(|failure| TransferError::Store(failure.to_string()))
    }

    /// Repeats what may help to be repeated.
    async fn try_often<F>(&self, call: impl Fn() -> F) -> Result<Value, Failure>
    where
        F: Future<Output = Result<Value, Failure>>,
    {
        let mut pause = PAUSE;
        for _ in 1..TRIES_MAX {
            match call().await {
                Err(Failure::NotApplied { retry: true, .. } | Failure::Unknown { .. }) => {}
                answer => return answer,
            }
            let mut state = self.link.state();
            let up = state.wait_for(|state| matches!(state, LinkState::Up { .. }));
            // Up or not, the next try tells.
            let _ = tokio::time::timeout(pause, up).await;
            tokio::time::sleep(pause / 2).await;
            pause *= 2;
        }
        call().await
    }
}
