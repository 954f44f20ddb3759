//! What export and import share: which store and which file.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::cli::Failure;
use crate::config::{Config, StoreAddress};
use crate::store::redis::{Link, LinkOptions, RedisArchive};
use crate::store::transfer::{Counts, TransferError};

/// The longest that one command may take here: reading or writing all of a large subject takes longer than a decision may.
const COMMAND_TIMEOUT_MIN: Duration = Duration::from_secs(60);

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        match error {
            // What was asked makes no sense; nothing was tried.
            TransferError::Instance { .. } | TransferError::Format { .. } => Self::Usage(anyhow::Error::new(error)),
            error => Self::Other(anyhow::Error::new(error)),
        }
    }
}

/// A store that keeps nothing has nothing to move.
pub(super) fn refuse_memory(config: &Config) -> Result<(), Failure> {
    match config.store {
        StoreAddress::Memory => Err(Failure::Usage(anyhow!("`memory:` keeps nothing\nhint: name a directory or a Redis"))),
        StoreAddress::Embedded(_) | StoreAddress::Redis(_) => Ok(()),
    }
}

/// A connection on which a command may take its time.
pub(super) async fn link(address: &crate::store::redis::Address, config: &Config) -> Result<Arc<Link>, Failure> {
    let options = config.redis.link();
    let command_timeout = options.command_timeout.max(COMMAND_TIMEOUT_MIN);
    Ok(Link::open(address.clone(), LinkOptions { command_timeout, ..options }).await.map_err(anyhow::Error::new)?)
}

pub(super) fn archive(link: Arc<Link>, config: &Config) -> RedisArchive {
    RedisArchive::new(link, &config.instance).with_partitions(config.redis.partitions)
}

/// How much there is of each, for people.
pub(super) fn in_words(counts: &Counts) -> String {
    let Counts { catalogs, subjects, accounts, reservations, costs, events } = counts;
    format!(
        "{catalogs} catalogs, {subjects} subjects with {accounts} accounts and {reservations} reservations, {costs} sums of costs, {events} events"
    )
}

pub(super) fn as_json(counts: &Counts) -> Value {
    let Counts { catalogs, subjects, accounts, reservations, costs, events } = counts;
    json!({
        "catalogs": catalogs,
        "subjects": subjects,
        "accounts": accounts,
        "reservations": reservations,
        "costs": costs,
        "events": events,
    })
}
