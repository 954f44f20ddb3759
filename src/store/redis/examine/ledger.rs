//! Of the ledger itself: whether it is there, and whole.

use super::{Examined, Finding, Link};
use crate::store::redis::guard::{self, Genesis};
use crate::store::redis::keys::Keys;
use crate::store::redis::lineage::LAYOUT;
use crate::store::redis::loss::Claims;

pub(super) async fn finding(link: &Link, examined: &Examined) -> Finding {
    const WHY: &str = "a ledger that is not whole is not counted on";
    const ACCEPT: &str = "restore it, or accept the loss: `genquota store accept-loss`";
    const CONFIGURE: &str = "set `redis.partitions` to what the ledger has: it cannot be changed";
    let instance = &examined.instance;
    let keys = Keys::new(instance, examined.partitions);
    let genesis = match guard::read_genesis(link, &keys).await {
        Ok(genesis) => genesis,
        Err(trouble) => return Finding::fail("ledger", trouble.to_string(), WHY, ACCEPT),
    };
    let claims = Claims::read(link, &keys).await.unwrap_or_default();
    let Some(Genesis { identity, ready, .. }) = genesis else {
        let left = guard::positions(link, &keys).await.unwrap_or_default().iter().flatten().count();
        return if left > 0 {
            Finding::fail("ledger", format!("its genesis is gone, and {left} partitions of `{instance}` are still there"), WHY, ACCEPT)
        } else if !claims.is_empty() {
            Finding::fail("ledger", format!("it is gone: sidecars of `{instance}` miss ledger {claims}"), WHY, ACCEPT)
        } else {
            Finding::ok("ledger", format!("none of instance `{instance}` yet; the first start lays it out"), WHY)
        };
    };
    let found = format!("{}: {} partitions, generation {}", identity.id, identity.partitions, identity.generation);
    if identity.layout != LAYOUT {
        let hint = "run the version of the program that wrote it";
        return Finding::fail("ledger", format!("{found}; layout {}, and this program knows {LAYOUT}", identity.layout), WHY, hint);
    }
    let keys = Keys::new(instance, identity.partitions);
    let positions = match guard::positions(link, &keys).await {
        Ok(positions) => positions,
        Err(trouble) => return Finding::fail("ledger", format!("{found}; {trouble}"), WHY, ACCEPT),
    };
    let missing = positions.iter().filter(|position| position.is_none()).count();
    let other = positions.iter().flatten().filter(|(of, _)| *of != identity.to_string()).count();
    let changes: u64 = positions.iter().flatten().map(|(_, sequence)| sequence).sum();
    if ready && missing > 0 {
        Finding::fail("ledger", format!("{found}; {missing} partitions are not there"), WHY, ACCEPT)
    } else if other > 0 {
        Finding::fail("ledger", format!("{found}; {other} partitions are of another ledger or generation"), WHY, ACCEPT)
    } else if !claims.is_empty() {
        Finding::warn("ledger", format!("{found}; sidecars miss another ledger here: {claims}"), WHY, ACCEPT)
    } else if identity.partitions != examined.partitions {
        Finding::warn("ledger", format!("{found}; {} partitions are configured here", examined.partitions), WHY, CONFIGURE)
    } else if !ready {
        Finding::warn("ledger", format!("{found}; it is not laid out to its end"), WHY, "start a sidecar: it goes on with that")
    } else {
        Finding::ok("ledger", format!("{found}, {changes} changes"), WHY)
    }
}
