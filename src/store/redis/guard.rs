//! The guard of a ledger's lineage: makes sure, after every new connection, that it leads to the ledger that was seen, and ends a fence
//! when a new generation begins (W3).
//!
//! A loss is accepted by an administrator (`genquota store accept-loss`), or by this process where that is its declared policy. Either
//! way it begins a new generation in every partition, so that no process goes on under the old one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use uuid::Uuid;

use super::caller::{Caller, Trouble, position};
use super::examine::{self, Fitness};
use super::keys::Keys;
use super::lineage::{Identity, NoIdentity};
use super::link::{Link, LinkState};
use super::loss::Claims;
use super::request::Operation;
use super::script::Flavour;
use super::{OnLoss, Texts, archive};

/// How often a fence is looked at again, and a connection that could not be verified.
const INTERVAL: Duration = Duration::from_millis(250);

/// Guards for as long as it is polled. Whether the server is still fit is looked at every `examine_interval`, and on each connection.
pub(super) async fn guard(caller: Arc<Caller>, on_loss: OnLoss, examine_interval: Duration, texts: Arc<Texts>) {
    let mut state = caller.link.state();
    let mut examined = Instant::now();
    let mut all_told = true;
    loop {
        let now = state.borrow_and_update().clone();
        if let LinkState::Up { epoch } = now {
            let new = *caller.verified.borrow() < epoch;
            if new || !all_told || examined.elapsed() >= examine_interval {
                all_told = examine_again(&caller).await;
                examined = Instant::now();
            }
            if new {
                match verify(&caller).await {
                    Ok(()) => {
                        caller.verified.send_replace(epoch);
                    }
                    Err(trouble) => tracing::warn!(%trouble, "the store cannot be verified yet"),
                }
            }
            if !caller.lineage.fenced().is_empty()
                && let Err(trouble) = end_fence(&caller, on_loss, &texts).await
            {
                tracing::warn!(%trouble, "the loss cannot be dealt with yet");
            }
        }
        // The link is gone with the store: nothing is left to guard.
        if let Ok(Err(_)) = tokio::time::timeout(INTERVAL, state.changed()).await {
            return;
        }
    }
}

/// A server that was fit at the start may be set up otherwise since, and another one may have taken its place. False: not all told.
async fn examine_again(caller: &Caller) -> bool {
    let unfit = match examine::still_fit(&caller.link, &caller.keys, u32::from(caller.replication.is_some())).await {
        Fitness::Fit => None,
        Fitness::Unfit(reason) => Some(reason),
        // What was found before holds until it is found to be otherwise.
        Fitness::Unknown => return false,
    };
    let before = caller.unfit.send_replace(unfit.as_deref().map(Arc::from));
    match (unfit, before) {
        (Some(reason), None) => tracing::error!(reason, "the store cannot be trusted; nothing is decided until that is set right"),
        (None, Some(_)) => tracing::warn!("the store is set right again"),
        _ => {}
    }
    true
}

/// Asks every partition whether its last change that was seen is still there. Those where it is not are fenced.
async fn verify(caller: &Caller) -> Result<(), Trouble> {
    let checks = (0..caller.keys.count()).map(|partition| async move {
        let mark = caller.lineage.mark(partition);
        if mark.fenced.is_some() {
            return Ok(());
        }
        let operation = Operation::verify(mark.sequence, mark.time);
        let replies = match caller.call_unverified(partition, Flavour::Always, &[&operation], true).await {
            // Who is away cannot be asked anything either, and comes back on a connection of a later number.
            Err(Trouble::Lost(_) | Trouble::Away(_)) => return Ok(()),
            replies => replies?,
        };
        let found = replies.first().and_then(|reply| reply.text(1).ok()).unwrap_or_default();
        if mark.sequence > 0 && !matches!(found, "same" | "trimmed") {
            let reason = format!("change number {} is not the one that was seen", mark.sequence);
            let _ = caller.lost(partition, &reason);
        }
        Ok::<(), Trouble>(())
    });
    try_join_all(checks).await.map(|_| ())
}

/// Goes on under a new generation, if there is one or this process may begin it.
async fn end_fence(caller: &Caller, on_loss: OnLoss, texts: &Texts) -> Result<(), Trouble> {
    let current = caller.lineage.identity();
    let (link, keys) = (&caller.link, &caller.keys);
    let next = match read_genesis(link, keys).await? {
        Some(found) if found.identity.id != current.id => {
            // Another ledger is never gone on with, unless somebody has said that it takes the place of this one.
            if !found.accepted.contains(&current.id) || found.identity.partitions != current.partitions {
                return Claims::lay(link, keys, current).await;
            }
            found.identity
        }
        Some(found) if found.identity.generation > current.generation => found.identity,
        _ if on_loss == OnLoss::Accept => begin_generation(link, keys, current.next_generation()).await?,
        Some(_) => return Ok(()),
        None => return Claims::lay(link, keys, current).await,
    };
    caller.lineage.adopt(next);
    Claims::withdraw(link, keys, current.id).await?;
    texts.keep_again(caller).await?;
    tracing::warn!(generation = next.generation, "the store's loss is accepted; counting goes on from what is there");
    Ok(())
}

/// What a store says of its ledger.
#[derive(Debug, Clone)]
pub(super) struct Genesis {
    pub(super) identity: Identity,
    /// Every partition was laid out under it.
    pub(super) ready: bool,
    /// Ledgers that are over since their loss was accepted in favour of this one.
    pub(super) accepted: Vec<Uuid>,
}

/// The genesis that the store keeps, if it keeps one.
pub(super) async fn read_genesis(link: &Link, keys: &Keys) -> Result<Option<Genesis>, Trouble> {
    let fields = ["identity", "ready", "accepted", archive::IMPORT];
    let value = link.call(redis::cmd("HMGET").arg(keys.genesis()).arg(&fields)).await?;
    let (identity, ready, accepted, import): (Option<String>, Option<String>, Option<String>, Option<String>) = read(value)?;
    if import.as_deref().is_some_and(archive::is_unfinished) {
        let what = "an import into it has not come to its end\nhint: run `genquota store import` with the same file again";
        return Err(Trouble::Refused(what.to_owned()));
    }
    let Some(identity) = identity else { return Ok(None) };
    let identity = identity.parse().map_err(|problem: NoIdentity| Trouble::Refused(problem.to_string()))?;
    let accepted = accepted.unwrap_or_default().split(',').filter_map(|id| id.parse().ok()).collect();
    Ok(Some(Genesis { identity, ready: ready.is_some(), accepted }))
}

/// Under which identity each partition is laid out, and the number of its last change; `None` for one that is not.
pub(super) async fn positions(link: &Link, keys: &Keys) -> Result<Vec<Option<(String, u64)>>, Trouble> {
    let read_one = |partition| async move {
        let meta = &keys.partition(partition).meta;
        let value = link.call(redis::cmd("HMGET").arg(meta).arg("genesis").arg("position")).await?;
        let found: (Option<String>, Option<String>) = read(value)?;
        Ok::<_, Trouble>(match found {
            (Some(genesis), Some(text)) => {
                let (sequence, _) = position(&text).ok_or_else(|| Trouble::Refused(format!("no position: `{text}`")))?;
                Some((genesis, sequence))
            }
            _ => None,
        })
    };
    try_join_all((0..keys.count()).map(read_one)).await
}

pub(super) fn read<T: redis::FromRedisValue>(value: redis::Value) -> Result<T, Trouble> {
    redis::from_redis_value(value).map_err(|problem| Trouble::Refused(problem.to_string()))
}

/// Begins a generation in every partition, then says so in the genesis. Safe to repeat, and for several at once.
pub(super) async fn begin_generation(link: &Link, keys: &Keys, identity: Identity) -> Result<Identity, Trouble> {
    let found = try_join_all((0..keys.count()).map(|partition| Caller::lay_out(link, keys, partition, identity))).await?;
    // Somebody else may have begun another ledger, or a later generation, meanwhile: theirs stands.
    if let Some((other, _)) = found.into_iter().find(|(found, _)| *found != identity.to_string()) {
        return Err(Trouble::Refused(format!("a partition is of {other} by now")));
    }
    link.call(redis::cmd("HSET").arg(keys.genesis()).arg("identity").arg(identity.to_string()).arg("ready").arg(1)).await?;
    Ok(identity)
}
