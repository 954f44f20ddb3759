//! What became of a ledger whose data are lost, and going on from there (W3).
//!
//! A process that misses its ledger leaves a claim: who it was, in a hash beside the genesis. So nobody lays out a new ledger in silence
//! while others still work under the old one, and whoever accepts the loss knows which ledger to go on with, under which generation.
//! Nothing is given back by this: it only says that counting goes on from what is there.

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

use super::OpenError;
use super::caller::Trouble;
use super::guard::{self, Genesis};
use super::keys::Keys;
use super::lineage::Identity;
use super::link::Link;
use crate::clock::{Clock as _, SystemClock};

/// The ledgers that processes miss, by their ids.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<Uuid, Identity>);

impl Claims {
    pub(super) async fn read(link: &Link, keys: &Keys) -> Result<Self, Trouble> {
        let value = link.call(redis::cmd("HGETALL").arg(keys.missed())).await?;
        let fields: BTreeMap<String, String> = guard::read(value)?;
        let identities = fields.values().filter_map(|text| text.parse::<Identity>().ok());
        Ok(Self(identities.map(|identity| (identity.id, identity)).collect()))
    }

    /// Says that a ledger is missed. Safe to repeat.
    pub(super) async fn lay(link: &Link, keys: &Keys, missed: Identity) -> Result<(), Trouble> {
        link.call(redis::cmd("HSET").arg(keys.missed()).arg(missed.id.to_string()).arg(missed.to_string())).await?;
        Ok(())
    }

    /// It is missed no longer.
    pub(super) async fn withdraw(link: &Link, keys: &Keys, missed: Uuid) -> Result<(), Trouble> {
        link.call(redis::cmd("HDEL").arg(keys.missed()).arg(missed.to_string())).await?;
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.0.values().map(|identity| format!("{} in generation {}", identity.id, identity.generation));
        f.write_str(&told.collect::<Vec<_>>().join(", "))
    }
}

/// What is lost of a ledger, and how it would go on.
#[derive(Debug)]
pub struct Loss {
    keys: Keys,
    facts: Vec<String>,
    next: Identity,
    /// Other ledgers that are over by this: who works under one goes on under `next`.
    replaced: Vec<Uuid>,
    claimed: Vec<Uuid>,
}

impl Loss {
    /// Looks at what is there of an instance's ledger. Nothing is changed.
    ///
    /// `partitions` is for a ledger of which nothing is left, and `ledger` names the one to go on with then, where no running process does.
    pub async fn examine(link: &Link, instance: &str, partitions: u32, ledger: Option<Uuid>) -> Result<Self, OpenError> {
        let keys = Keys::new(instance, partitions);
        let Claims(claims) = Claims::read(link, &keys).await?;
        let mut facts: Vec<String> = claims
            .values()
            .map(|identity| format!("a running process misses ledger {} in generation {}", identity.id, identity.generation))
            .collect();
        let genesis = guard::read_genesis(link, &keys).await?;
        let known = genesis.as_ref().map(|genesis| genesis.identity).or_else(|| claims.values().copied().max_by_key(|one| one.generation));
        let keys = Keys::new(instance, known.map_or(partitions, |known| known.partitions));
        let left = partitions_left(link, &keys).await?;
        let missing = left.iter().filter(|one| one.is_none()).count();
        let newest = left.iter().flatten().copied().max_by_key(|one| one.generation);
        let mut replaced = genesis.as_ref().map(|genesis| genesis.accepted.clone()).unwrap_or_default();
        let next = match (&genesis, newest, known, ledger) {
            (Some(Genesis { identity, .. }), newest, ..) => {
                facts.push(format!("ledger {} is there, in generation {}", identity.id, identity.generation));
                let latest = newest.filter(|newest| newest.id == identity.id).map_or(0, |newest| newest.generation);
                Identity { generation: identity.generation.max(latest) + 1, ..*identity }
            }
            (None, Some(newest), ..) => {
                facts.push(format!("the genesis is gone; what is left is of ledger {}, generation {}", newest.id, newest.generation));
                newest.next_generation()
            }
            (None, None, Some(claimed), _) => {
                facts.push("nothing is left of the ledger".to_owned());
                claimed.next_generation()
            }
            (None, None, None, Some(id)) => {
                facts.push("nothing is left of the ledger".to_owned());
                // How often it began anew is not known: seconds since 1970 are more.
                let generation = u64::try_from(SystemClock.now().as_second()).unwrap_or(1);
                Identity { id, generation, ..Identity::new(partitions) }
            }
            (None, None, None, None) => {
                facts.push(format!("there is no ledger of instance `{instance}`, and nobody misses one"));
                Identity::new(partitions)
            }
        };
        if let Some(other) = left.iter().flatten().find(|one| one.id != next.id) {
            return Err(OpenError::Lost(format!("partitions of ledgers {} and {} lie here together", next.id, other.id)));
        }
        if missing > 0 && missing < left.len() {
            facts.push(format!("{missing} of {} partitions are gone", left.len()));
        } else if missing == 0 {
            facts.push(format!("all {} partitions are there; the last changes of some may be lost", left.len()));
        }
        for id in claims.keys().copied().chain(ledger) {
            if id != next.id && !replaced.contains(&id) {
                replaced.push(id);
            }
        }
        for other in claims.values().filter(|other| other.partitions != next.partitions) {
            facts.push(format!("whoever works under {} with its {} partitions must be started anew", other.id, other.partitions));
        }
        Ok(Self { keys, facts, next, replaced, claimed: claims.into_keys().collect() })
    }

    /// What was found, a sentence each.
    pub fn facts(&self) -> &[String] {
        &self.facts
    }

    /// The ledger to go on with.
    pub fn ledger(&self) -> String {
        self.next.id.to_string()
    }

    /// Under which number it goes on.
    pub const fn generation(&self) -> u64 {
        self.next.generation
    }

    /// Goes on with what is there: every process that waits for that does within a moment. Safe to repeat.
    pub async fn accept(&self, link: &Link) -> Result<(), OpenError> {
        guard::begin_generation(link, &self.keys, self.next).await?;
        if !self.replaced.is_empty() {
            let replaced: Vec<String> = self.replaced.iter().map(Uuid::to_string).collect();
            let command = redis::cmd("HSET").arg(self.keys.genesis()).arg("accepted").arg(replaced.join(",")).to_owned();
            link.call(&command).await.map_err(Trouble::from)?;
        }
        for claimed in &self.claimed {
            Claims::withdraw(link, &self.keys, *claimed).await?;
        }
        Ok(())
    }
}

/// Under which identity each partition is laid out.
async fn partitions_left(link: &Link, keys: &Keys) -> Result<Vec<Option<Identity>>, OpenError> {
    let positions = guard::positions(link, keys).await?;
    let parsed = positions
        .into_iter()
        .map(|found| found.map(|(text, _)| text.parse().map_err(|problem| OpenError::Trouble(format!("{problem}")))).transpose());
    parsed.collect::<Result<Vec<Option<Identity>>, OpenError>>()
}
