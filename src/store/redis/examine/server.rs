//! Of a server by itself: how far it is, what it is, what it keeps, and what it may throw away.

use std::time::{Duration, Instant};

use super::{Finding, Info, Link, info, merged, read, settings};
use crate::clock::{Clock as _, SystemClock};
use crate::store::redis::link::Failure;

/// Enough for a 99th of a hundred, and over in a moment.
const PINGS: usize = 100;
/// A server beside the sidecar answers in a tenth of it; every decision waits for at least one round trip.
const ROUND_TRIP_WARN: Duration = Duration::from_millis(10);
/// The one of some samples that was answered fastest tells the most.
const CLOCK_SAMPLES: usize = 5;
/// The store's clock ends holds and periods; people compare them with their own.
const CLOCK_WARN: Duration = Duration::from_secs(1);
/// Of its memory, beyond which a server is near its end: in hundredths.
const MEMORY_WARN: u64 = 80;

/// Oldest of each kind: the first with scripts that say how they may run, and the first release of the fork that is looked after.
const REDIS_OLDEST: (u32, u32) = (7, 0);
const VALKEY_OLDEST: (u32, u32) = (8, 0);

pub(super) async fn round_trip(link: &Link, command_timeout: Duration) -> Finding {
    const WHY: &str = "every decision waits for at least one round trip";
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let began = Instant::now();
        match link.call(&redis::cmd("PING")).await {
            Ok(_) => times.push(began.elapsed()),
            Err(failure) => return Finding::unexamined("round-trip", &failure, WHY),
        }
    }
    times.sort_unstable();
    let (min, median, p99) = (times[0], times[PINGS / 2], times[PINGS * 99 / 100]);
    let found = format!("{} at best, {} in the middle, {} at the 99th of {PINGS}", shown(min), shown(median), shown(p99));
    if median > ROUND_TRIP_WARN || p99 > command_timeout / 2 {
        let hint = "bring the server nearer, or look at what else keeps it busy: `redis-cli --latency`, `SLOWLOG GET`";
        Finding::warn("round-trip", found, WHY, hint)
    } else {
        Finding::ok("round-trip", found, WHY)
    }
}

fn shown(time: Duration) -> String {
    let micros = time.as_micros();
    format!("{}.{:03} ms", micros / 1000, micros % 1000)
}

pub(super) async fn version(link: &Link) -> Vec<Finding> {
    const WHY: &str = "the ledger's script says how it may run, which older servers do not understand";
    match info(link, "server").await {
        Ok(nodes) => merged(nodes.into_iter().map(|(node, info)| (node, version_of(&info, WHY))).collect()),
        Err(failure) => vec![Finding::unexamined("version", &failure, WHY)],
    }
}

fn version_of(info: &Info, why: &'static str) -> Finding {
    let valkey = info.get("valkey_version");
    let (name, version, oldest) = match valkey {
        Some(version) => ("Valkey", version, VALKEY_OLDEST),
        None => ("Redis", info.get("redis_version").unwrap_or("?"), REDIS_OLDEST),
    };
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    let number = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    let found = format!("{name} {version}, {}", mode_of(info));
    match info.get("server_name").filter(|other| valkey.is_none() && *other != "redis") {
        Some(other) => {
            let hint = "use Redis 7.0 or later, or Valkey 8 or later: others are not tested";
            Finding::warn("version", format!("{other}, which says to be {found}"), why, hint)
        }
        None if number < oldest => Finding::fail("version", found, why, "upgrade to Redis 7.0 or later, or to Valkey 8 or later"),
        None => Finding::ok("version", found, why),
    }
}

/// A server that is not what its address says.
pub(super) async fn mode(link: &Link) -> Option<Finding> {
    const WHY: &str = "a node of a cluster serves a part of the keys alone";
    let nodes = info(link, "server").await.ok().filter(|_| !link.address().is_cluster())?;
    let (node, _) = nodes.iter().find(|(_, info)| mode_of(info) == "cluster")?;
    Some(Finding::fail("mode", format!("{node} is a node of a cluster"), WHY, "name the cluster: `redis-cluster://HOST:PORT,...`"))
}

fn mode_of(info: &Info) -> &str {
    info.get("server_mode").or_else(|| info.get("redis_mode")).unwrap_or("standalone")
}

/// What is done when memory is full.
const POLICY_WHY: &str = "a server that evicts keys deletes accounts and reservations without a word";

/// What a server's `maxmemory-policy` means, if it tells it.
pub(super) fn policy_of(policy: Option<&str>) -> Finding {
    const WHY: &str = POLICY_WHY;
    match policy {
        Some("noeviction") => Finding::ok("maxmemory-policy", "noeviction".to_owned(), WHY),
        Some(policy) => {
            let hint = "set it: `CONFIG SET maxmemory-policy noeviction`, and in the server's configuration file";
            Finding::fail("maxmemory-policy", format!("it may evict keys: its maxmemory-policy is `{policy}`"), WHY, hint)
        }
        None => {
            let hint = "make sure that `maxmemory-policy` is `noeviction`";
            Finding::warn("maxmemory-policy", "the server does not tell it".to_owned(), WHY, hint)
        }
    }
}

pub(super) async fn policy(link: &Link) -> Vec<Finding> {
    match info(link, "memory").await {
        Ok(nodes) => merged(nodes.iter().map(|(node, info)| (node.clone(), policy_of(info.get("maxmemory_policy")))).collect()),
        Err(forbidden) => match settings(link, "maxmemory-policy").await {
            Ok(nodes) => {
                let nodes = nodes.iter().map(|(node, found)| (node.clone(), policy_of(found.get("maxmemory-policy").map(String::as_str))));
                merged(nodes.collect())
            }
            Err(_) => vec![Finding::unexamined("maxmemory-policy", &forbidden, POLICY_WHY)],
        },
    }
}

pub(super) async fn memory(link: &Link) -> Vec<Finding> {
    const WHY: &str = "a full server refuses new holds; settlements go on";
    let of = |info: &Info| {
        let used = info.number("used_memory").unwrap_or(0);
        let (limit, whose) = match (info.number("maxmemory").unwrap_or(0), info.number("total_system_memory").unwrap_or(0)) {
            (0, total) => (total, "the machine's, for `maxmemory` is not set"),
            (limit, _) => (limit, "`maxmemory`"),
        };
        // Of a server that tells neither, nothing can be said.
        let part = used.saturating_mul(100).checked_div(limit);
        let found = format!("{} MiB used of {} MiB ({whose})", used >> 20, limit >> 20);
        match part {
            Some(part) if part >= MEMORY_WARN => {
                Finding::warn("memory", format!("{found}: {part} %"), WHY, "raise `maxmemory`, or add primaries to a cluster")
            }
            _ => Finding::ok("memory", found, WHY),
        }
    };
    match info(link, "memory").await {
        Ok(nodes) => merged(nodes.into_iter().map(|(node, info)| (node, of(&info))).collect()),
        Err(failure) => vec![Finding::unexamined("memory", &failure, WHY)],
    }
}

pub(super) async fn persistence(link: &Link) -> Vec<Finding> {
    const WHY: &str = "what the server does not write to disk is lost when it ends";
    let nodes = match info(link, "persistence").await {
        Ok(nodes) => nodes,
        Err(failure) => return vec![Finding::unexamined("persistence", &failure, WHY)],
    };
    // Forbidden in many places; without it, how often is written is not known.
    let flushes = settings(link, "appendfsync").await.unwrap_or_default();
    let saves = settings(link, "save").await.unwrap_or_default();
    let of_node = |(node, info): (String, Info)| {
        let setting = |all: &std::collections::BTreeMap<String, std::collections::BTreeMap<String, String>>, name: &str| {
            all.get(&node).and_then(|found| found.get(name)).cloned()
        };
        let finding = persistence_of(&info, setting(&flushes, "appendfsync").as_deref(), setting(&saves, "save").as_deref(), WHY);
        (node, finding)
    };
    merged(nodes.into_iter().map(of_node).collect())
}

/// `flush` and `save` are None where the server does not tell them.
fn persistence_of(info: &Info, flush: Option<&str>, save: Option<&str>, why: &'static str) -> Finding {
    const HINT: &str = "set `appendonly yes` and `appendfsync everysec`, or `always`";
    let failed = ["aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status"];
    let failed: Vec<&str> = failed.into_iter().filter(|field| info.get(field).is_some_and(|status| status != "ok")).collect();
    let log = info.get("aof_enabled") == Some("1");
    let (verdict, found) = match (log, flush, save) {
        (true, Some("always"), _) => (super::Verdict::Ok, "a log, flushed before each answer: nothing acknowledged is lost".to_owned()),
        (true, Some("everysec"), _) => (super::Verdict::Ok, "a log, flushed each second: a power failure loses up to two".to_owned()),
        (true, Some(other), _) => (super::Verdict::Warn, format!("a log, flushed when the system likes to: appendfsync is `{other}`")),
        (true, None, _) => (super::Verdict::Ok, "a log; how often it is flushed could not be examined".to_owned()),
        (false, _, Some("")) => (super::Verdict::Warn, "none: a restart loses the ledger".to_owned()),
        (false, _, Some(save)) => {
            (super::Verdict::Warn, format!("snapshots alone (save {save}): a restart loses what came after the last"))
        }
        (false, _, None) => (super::Verdict::Warn, "no log, and whether there are snapshots could not be examined".to_owned()),
    };
    match verdict {
        _ if !failed.is_empty() => {
            let hint = "free space on the server's disk; its log says what is wrong";
            Finding::warn("persistence", format!("{found}; writing fails: {}", failed.join(", ")), why, hint)
        }
        super::Verdict::Ok => Finding::ok("persistence", found, why),
        super::Verdict::Warn | super::Verdict::Fail => Finding::warn("persistence", found, why, HINT),
    }
}

pub(super) async fn replicas(link: &Link) -> Vec<Finding> {
    const WHY: &str = "a primary that is lost takes the ledger with it unless a replica takes over";
    let nodes = match info(link, "replication").await {
        Ok(nodes) => nodes,
        Err(failure) => return vec![Finding::unexamined("replicas", &failure, WHY)],
    };
    let least = settings(link, "min-replicas-to-write").await.unwrap_or_default();
    let of_node = |(node, info): (String, Info)| {
        let replicas = info.number("connected_slaves").unwrap_or(0);
        let least = least.get(&node).and_then(|found| found.get("min-replicas-to-write")).map(String::as_str);
        let role = if info.get("role") == Some("master") { "a primary" } else { "not a primary" };
        let found = format!("{role} with {replicas} replicas; min-replicas-to-write is {}", least.unwrap_or("not known"));
        let finding = match (info.get("role"), replicas, least) {
            (Some("master"), 0, _) => Finding::warn(
                "replicas",
                found,
                WHY,
                "add a replica, with sentinels or in a cluster, if an outage must not wait for repair",
            ),
            (Some("master"), _, Some("0")) => {
                let hint = "set `min-replicas-to-write 1`: a primary that is cut off from its replicas then stops instead of taking what is lost later";
                Finding::warn("replicas", found, WHY, hint)
            }
            (Some("master"), ..) => Finding::ok("replicas", found, WHY),
            _ => Finding::fail("replicas", found, WHY, "name the primary, or the sentinels with `redis+sentinel://`"),
        };
        (node, finding)
    };
    merged(nodes.into_iter().map(of_node).collect())
}

/// Each server's clock against this host's.
pub(super) async fn clock(link: &Link) -> Finding {
    const WHY: &str = "the store's clock ends holds and periods; people compare them with their own";
    match offset(link).await {
        Err(failure) => Finding::unexamined("clock", &failure, WHY),
        Ok((offset, error)) => {
            let ahead = if offset < 0 { "behind" } else { "ahead of" };
            let millis = |micros: u128| format!("{}.{:03} s", micros / 1_000_000, micros / 1000 % 1000);
            let found = format!("{} {ahead} this host's, give or take {}", millis(offset.unsigned_abs()), millis(error.as_micros()));
            if offset.unsigned_abs() > CLOCK_WARN.as_micros() + error.as_micros() {
                Finding::warn("clock", found, WHY, "set both hosts' clocks by NTP")
            } else {
                Finding::ok("clock", found, WHY)
            }
        }
    }
}

/// The largest offset of any server, in microseconds, above zero where it is ahead; and half the round trip it was measured in.
async fn offset(link: &Link) -> Result<(i128, Duration), Failure> {
    let mut best: Option<(i128, Duration)> = None;
    for _ in 0..CLOCK_SAMPLES {
        let (before, began) = (SystemClock.now(), Instant::now());
        let replies = link.call_every_primary(&redis::cmd("TIME")).await?;
        let half = began.elapsed() / 2;
        let here = i128::from(before.as_microsecond()) + i128::try_from(half.as_micros()).unwrap_or(i128::MAX);
        let mut largest = 0;
        for (_, value) in replies {
            let (seconds, micros): (i64, i64) = read(value)?;
            let offset = i128::from(seconds) * 1_000_000 + i128::from(micros) - here;
            if offset.unsigned_abs() > i128::unsigned_abs(largest) {
                largest = offset;
            }
        }
        if best.is_none_or(|(_, known)| half < known) {
            best = Some((largest, half));
        }
    }
    let (offset, half) = best.unwrap_or_default();
    // This host's clock tells whole milliseconds.
    Ok((offset, half + Duration::from_millis(1)))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn info_of(fields: &[(&str, &str)]) -> Info {
        Info(fields.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn servers_are_told_by_name_and_version() {
        for (fields, verdict, found) in [
            (&[("redis_version", "7.0.15"), ("redis_mode", "standalone")][..], Verdict::Ok, "Redis 7.0.15, standalone"),
            (&[("redis_version", "6.2.14")], Verdict::Fail, "Redis 6.2.14, standalone"),
            (&[("redis_version", "8.2.1"), ("redis_mode", "cluster")], Verdict::Ok, "Redis 8.2.1, cluster"),
            (
                &[("redis_version", "7.2.4"), ("server_name", "valkey"), ("valkey_version", "9.1.0"), ("server_mode", "standalone")],
                Verdict::Ok,
                "Valkey 9.1.0, standalone",
            ),
            (
                &[("redis_version", "7.2.4"), ("server_name", "valkey"), ("valkey_version", "7.2.5")],
                Verdict::Fail,
                "Valkey 7.2.5, standalone",
            ),
            (&[("redis_version", "7.2.0"), ("server_name", "keen")], Verdict::Warn, "keen, which says to be Redis 7.2.0, standalone"),
            (&[], Verdict::Fail, "Redis ?, standalone"),
        ] {
            let finding = version_of(&info_of(fields), "why");
            assert_eq!((finding.verdict, finding.found.as_str()), (verdict, found));
        }
    }

    #[test]
    fn persistence_is_told_by_what_it_loses() {
        for (fields, flush, save, verdict, part) in [
            (&[("aof_enabled", "1")][..], Some("always"), Some(""), Verdict::Ok, "nothing acknowledged"),
            (&[("aof_enabled", "1")], Some("everysec"), None, Verdict::Ok, "each second"),
            (&[("aof_enabled", "1")], Some("no"), None, Verdict::Warn, "`no`"),
            (&[("aof_enabled", "1")], None, None, Verdict::Ok, "could not be examined"),
            (&[("aof_enabled", "0")], None, Some("3600 1"), Verdict::Warn, "snapshots alone (save 3600 1)"),
            (&[("aof_enabled", "0")], Some("everysec"), Some(""), Verdict::Warn, "loses the ledger"),
            (&[("aof_enabled", "1"), ("aof_last_write_status", "err")], Some("always"), None, Verdict::Warn, "writing fails"),
        ] {
            let finding = persistence_of(&info_of(fields), flush, save, "why");
            assert_eq!(finding.verdict, verdict, "{}", finding.found);
            assert!(finding.found.contains(part), "{}", finding.found);
            assert_eq!(finding.hint.is_some(), verdict != Verdict::Ok);
        }
    }
}
