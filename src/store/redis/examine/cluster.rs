//! Of a cluster: whether it serves every slot, and how the ledger lies on it.

use std::collections::BTreeMap;

use super::{Finding, Keys, Link, read};
use crate::store::redis::link::Failure;

/// Of every cluster.
const SLOTS: u16 = 16384;

/// A primary, and which slots it serves.
#[derive(Debug, PartialEq, Eq)]
struct Primary {
    address: String,
    /// First and last.
    slots: Vec<(u16, u16)>,
    /// Replicas that are connected to the cluster.
    replicas: usize,
}

impl Primary {
    fn serves(&self, slot: u16) -> bool {
        self.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }

    fn count(&self) -> u32 {
        self.slots.iter().map(|(first, last)| u32::from(last - first) + 1).sum()
    }
}

pub(super) async fn findings(link: &Link, keys: &Keys) -> Vec<Finding> {
    const WHY: &str = "subjects in a slot that is not served are not decided on";
    match primaries(link).await {
        Err(failure) => vec![Finding::unexamined("cluster", &failure, WHY)],
        Ok((unwell, primaries)) => vec![state(&unwell, &primaries, WHY), spare(&primaries), spread(&primaries, keys)],
    }
}

/// The nodes that do not hold the cluster to be well, and the primaries as one node knows them.
async fn primaries(link: &Link) -> Result<(Vec<String>, Vec<Primary>), Failure> {
    let mut unwell = Vec::new();
    for (node, value) in link.call_every_primary(redis::cmd("CLUSTER").arg("INFO")).await? {
        let text: String = read(value)?;
        if !text.lines().any(|line| line.trim_end() == "cluster_state:ok") {
            unwell.push(node);
        }
    }
    let nodes = link.call_every_primary(redis::cmd("CLUSTER").arg("NODES")).await?;
    let text: String = nodes.into_iter().next().map(|(_, value)| read(value)).transpose()?.unwrap_or_default();
    Ok((unwell, parsed(&text)))
}

/// Reads what `CLUSTER NODES` tells: a line for each node, with its id, address, flags, primary, three numbers, link and slots.
fn parsed(text: &str) -> Vec<Primary> {
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).filter(|row: &Vec<&str>| row.len() >= 8).collect();
    let is = |row: &[&str], flag: &str| row[2].split(',').any(|one| one == flag);
    let well = |row: &[&str]| !is(row, "fail") && !is(row, "fail?") && !is(row, "noaddr");
    let primaries = rows.iter().filter(|row| is(row, "master") && !is(row, "fail") && row.len() > 8).map(|row| {
        let slots = row[8..].iter().filter(|slots| !slots.starts_with('[')).filter_map(|slots| {
            let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
            Some((first.parse().ok()?, last.parse().ok()?))
        });
        Primary {
            address: row[1].split('@').next().unwrap_or_default().to_owned(),
            slots: slots.collect(),
            replicas: rows.iter().filter(|other| other[3] == row[0] && well(other)).count(),
        }
    });
    primaries.collect()
}

fn state(unwell: &[String], primaries: &[Primary], why: &'static str) -> Finding {
    let covered: u32 = primaries.iter().map(Primary::count).sum();
    let found = format!("{covered} of {SLOTS} slots on {} primaries", primaries.len());
    if !unwell.is_empty() {
        let found = format!("{found}; not well by {}", unwell.join(", "));
        return Finding::fail("cluster", found, why, "`redis-cli --cluster check HOST:PORT` says what is wrong");
    }
    if covered < u32::from(SLOTS) {
        return Finding::fail("cluster", found, why, "`redis-cli --cluster fix HOST:PORT` assigns the slots that are left over");
    }
    Finding::ok("cluster", found, why)
}

fn spare(primaries: &[Primary]) -> Finding {
    const WHY: &str = "the part of the ledger on a primary without a replica is away with it";
    let bare: Vec<&str> = primaries.iter().filter(|primary| primary.replicas == 0).map(|primary| primary.address.as_str()).collect();
    if bare.is_empty() {
        Finding::ok("cluster-replicas", "every primary has a replica".to_owned(), WHY)
    } else {
        Finding::warn(
            "cluster-replicas",
            format!("no replica: {}", bare.join(", ")),
            WHY,
            "add one to each: `redis-cli --cluster add-node ... --cluster-slave`",
        )
    }
}

/// How the partitions lie on the primaries.
fn spread(primaries: &[Primary], keys: &Keys) -> Finding {
    const WHY: &str = "each primary decides for the subjects of its partitions";
    let mut counts: BTreeMap<&str, usize> = primaries.iter().map(|primary| (primary.address.as_str(), 0)).collect();
    for number in 0..keys.count() {
        let slot = slot_of(&keys.partition(number).meta);
        if let Some(primary) = primaries.iter().find(|primary| primary.serves(slot)) {
            *counts.entry(primary.address.as_str()).or_default() += 1;
        }
    }
    let list: Vec<String> = counts.iter().map(|(address, count)| format!("{count} on {address}")).collect();
    let found = format!("{} partitions: {}", keys.count(), list.join(", "));
    let most = counts.values().copied().max().unwrap_or(0);
    // Chance alone makes some uneven; twice the share of each is a primary that tires long before the others.
    if primaries.len() > 1 && most > 2 * keys.count().div_ceil(primaries.len()) {
        Finding::warn("cluster-spread", found, WHY, "spread the slots evenly: `redis-cli --cluster rebalance HOST:PORT`")
    } else {
        Finding::ok("cluster-spread", found, WHY)
    }
}

/// The slot of a key with a hash tag: CRC-16/XMODEM of the tag, as every cluster computes it.
fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or(key, |(tag, _)| tag);
    let crc = tag.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    const NODES: &str = "\
aa 10.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5460 [93-<-bb]
bb 10.0.0.2:7000@17000,two.example master - 0 1 2 connected 5461-10922
cc 10.0.0.3:7000@17000 master - 0 1 3 connected 10923-16382 16383
dd 10.0.0.4:7000@17000 slave aa 0 1 1 connected
ee 10.0.0.5:7000@17000 slave,fail bb 0 1 2 disconnected
ff 10.0.0.6:7000@17000 master,fail - 0 1 2 disconnected 1-2
gg 10.0.0.7:7000@17000 master - 0 1 4 connected
";

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(
            [slot_of("foo"), slot_of("{foo}bar"), slot_of("123456789"), slot_of("{user1000}.following")],
            [12182, 12182, 12739, 3443]
        );
    }

    #[test]
    fn primaries_are_read_with_their_slots_and_replicas() {
        let primaries = parsed(NODES);
        let told: Vec<_> = primaries.iter().map(|one| (one.address.as_str(), one.count(), one.replicas)).collect();
        assert_eq!(told, [("10.0.0.1:7000", 5461, 1), ("10.0.0.2:7000", 5462, 0), ("10.0.0.3:7000", 5461, 0)]);
        assert_eq!(state(&[], &primaries, "why").verdict, Verdict::Ok);
        assert_eq!(state(&["a".to_owned()], &primaries, "why").verdict, Verdict::Fail);
        assert_eq!(state(&[], &primaries[1..], "why").found, "10923 of 16384 slots on 2 primaries");
        assert_eq!(spare(&primaries).found, "no replica: 10.0.0.2:7000, 10.0.0.3:7000");
        assert!(spread(&primaries, &Keys::new("main", 64)).found.starts_with("64 partitions: "));
    }
}
