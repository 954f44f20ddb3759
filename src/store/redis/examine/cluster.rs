//! Of a cluster: whether it serves every slot, and how the ledger lies on it.

use std::collections::BTreeMap;

use super::{Finding, Keys, Link, read};
use crate::store::redis::address::Node;
use crate::store::redis::link::Failure;
use crate::store::redis::slots::{self, Range, SLOTS};

pub(super) async fn findings(link: &Link, keys: &Keys) -> Vec<Finding> {
    const WHY: &str = "subjects in a slot that is not served are not decided on";
    match view(link).await {
        Err(failure) => vec![Finding::unexamined("cluster", &failure, WHY)],
        Ok((unwell, ranges)) => {
            let holders = (0..keys.count()).map(|number| link.node_of(keys.partition(number).meta.as_bytes()));
            vec![state(&unwell, &ranges, WHY), spare(&ranges), spread(&ranges, holders)]
        }
    }
}

/// The nodes that do not hold the cluster to be well, or do not answer; and the slots as most nodes know them.
async fn view(link: &Link) -> Result<(Vec<String>, Vec<Range>), Failure> {
    let mut unwell = Vec::new();
    for (node, reply) in link.call_each_primary(redis::cmd("CLUSTER").arg("INFO")).await {
        match reply.and_then(read::<String>) {
            Ok(text) if text.lines().any(|line| line.trim_end() == "cluster_state:ok") => {}
            Ok(_) => unwell.push(format!("{node} (not ok)")),
            Err(failure) => unwell.push(format!("{node} ({})", failure.to_string().lines().next().unwrap_or_default())),
        }
    }
    let mut views = Vec::new();
    let mut trouble = None;
    for (name, reply) in link.call_each_primary(redis::cmd("CLUSTER").arg("SLOTS")).await {
        match reply {
            Ok(reply) => views.extend(node(&name).and_then(|from| slots::read(&reply, &from))),
            Err(failure) => trouble = Some(failure),
        }
    }
    match (slots::most(views), trouble) {
        (Some(ranges), _) => Ok((unwell, ranges)),
        (None, Some(failure)) => Err(failure),
        (None, None) => Err(Failure::Unknown { reason: "no node tells its slots".to_owned() }),
    }
}

fn node(name: &str) -> Option<Node> {
    let (host, port) = name.rsplit_once(':')?;
    Some(Node { host: host.trim_matches(['[', ']']).to_owned(), port: port.parse().ok()? })
}

/// The primaries, and with how many replicas each.
fn primaries(ranges: &[Range]) -> BTreeMap<String, usize> {
    ranges.iter().map(|range| (range.primary.to_string(), range.replicas)).collect()
}

fn state(unwell: &[String], ranges: &[Range], why: &'static str) -> Finding {
    let served = slots::served(ranges);
    let found = format!("{served} of {SLOTS} slots on {} primaries", primaries(ranges).len());
    if !unwell.is_empty() {
        let found = format!("{found}; not well: {}", unwell.join(", "));
        return Finding::fail("cluster", found, why, "`redis-cli --cluster check HOST:PORT` says what is wrong");
    }
    if served < usize::from(SLOTS) {
        return Finding::fail("cluster", found, why, "`redis-cli --cluster fix HOST:PORT` gives the slots that are left over to a node");
    }
    Finding::ok("cluster", found, why)
}

fn spare(ranges: &[Range]) -> Finding {
    const WHY: &str = "the part of the ledger on a primary without a replica is away when that is";
    let bare: Vec<String> = primaries(ranges).into_iter().filter(|(_, replicas)| *replicas == 0).map(|(name, _)| name).collect();
    if bare.is_empty() {
        return Finding::ok("cluster-replicas", "every primary has a replica".to_owned(), WHY);
    }
    let hint = "add one to each: `redis-cli --cluster add-node NEW:PORT HOST:PORT --cluster-slave`";
    Finding::warn("cluster-replicas", format!("no replica: {}", bare.join(", ")), WHY, hint)
}

/// How the partitions lie on the primaries.
fn spread(ranges: &[Range], holders: impl Iterator<Item = Option<String>>) -> Finding {
    const WHY: &str = "each primary decides for the subjects of its partitions";
    let mut counts: BTreeMap<String, usize> = primaries(ranges).into_keys().map(|name| (name, 0)).collect();
    let mut all = 0;
    for holder in holders {
        all += 1;
        *counts.entry(holder.unwrap_or_else(|| "nobody".to_owned())).or_default() += 1;
    }
    let list: Vec<String> = counts.iter().map(|(name, count)| format!("{count} on {name}")).collect();
    let found = format!("{all} partitions: {}", list.join(", "));
    let most = counts.values().copied().max().unwrap_or(0);
    // Chance alone makes some uneven; with twice its share a primary tires long before the others.
    if counts.len() > 1 && most > 2 * usize::div_ceil(all, counts.len()) {
        Finding::warn("cluster-spread", found, WHY, "spread the slots evenly: `redis-cli --cluster rebalance HOST:PORT`")
    } else {
        Finding::ok("cluster-spread", found, WHY)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn ranges() -> Vec<Range> {
        let range = |first, last, port, replicas| Range { first, last, primary: Node { host: "h".to_owned(), port }, replicas };
        vec![range(0, 5460, 1, 1), range(5461, 10922, 2, 0), range(10923, 16383, 3, 2)]
    }

    #[test]
    fn slots_that_nobody_serves_and_nodes_that_are_not_well_fail() {
        assert_eq!(state(&[], &ranges(), "why").verdict, Verdict::Ok);
        assert_eq!(state(&["h:1 (not ok)".to_owned()], &ranges(), "why").verdict, Verdict::Fail);
        let finding = state(&[], &ranges()[1..], "why");
        assert_eq!((finding.verdict, finding.found.as_str()), (Verdict::Fail, "10923 of 16384 slots on 2 primaries"));
    }

    #[test]
    fn primaries_without_a_replica_are_named() {
        assert_eq!(spare(&ranges()).found, "no replica: h:2");
        assert_eq!(spare(&ranges()[2..]).verdict, Verdict::Ok);
    }

    #[test]
    fn a_primary_with_more_than_twice_its_share_is_told() {
        let of = |first, second| {
            let holders = std::iter::repeat_n("h:1", first).chain(std::iter::repeat_n("h:2", second));
            spread(&ranges(), holders.map(|name| Some(name.to_owned())))
        };
        assert_eq!((of(5, 4).verdict, of(5, 4).found.as_str()), (Verdict::Ok, "9 partitions: 5 on h:1, 4 on h:2, 0 on h:3"));
        assert_eq!(of(8, 1).verdict, Verdict::Warn);
    }
}
