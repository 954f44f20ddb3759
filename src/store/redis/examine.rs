//! Looks at a server as an operator would: whether it can keep a ledger, what it would lose, and what to do about it.
//!
//! `genquota store check` tells everything that is found; a store refuses to open where something fails of what a ledger cannot do without
//! ([`fitness`]), and looks at that again for as long as it is open. Nothing here writes, and a server that forbids to look at something is
//! said to: that alone is no failure.

mod access;
mod cluster;
mod ledger;
mod server;

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{FromRedisValue, Value};

use super::Link;
use super::keys::Keys;
use super::link::Failure;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: the same word in every release.
    pub check: &'static str,
    pub verdict: Verdict,
    pub found: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do about it.
    pub hint: Option<String>,
}

/// In the order of weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Ok,
    /// It works, and something may be lost or late that need not be.
    Warn,
    /// A ledger must not be kept here as it is.
    Fail,
}

/// What is to be examined beside the server.
#[derive(Debug, Clone)]
pub struct Examined {
    /// Of which ledger.
    pub instance: String,
    /// Into how many partitions a new one would be laid out.
    pub partitions: u32,
    /// How many replicas an answer waits for.
    pub replicas: u32,
    /// The longest a command may take.
    pub command_timeout: Duration,
}

impl Finding {
    const fn new(check: &'static str, verdict: Verdict, found: String, why: &'static str) -> Self {
        Self { check, verdict, found, why, hint: None }
    }

    const fn ok(check: &'static str, found: String, why: &'static str) -> Self {
        Self::new(check, Verdict::Ok, found, why)
    }

    fn warn(check: &'static str, found: String, why: &'static str, hint: &str) -> Self {
        Self { hint: Some(hint.to_owned()), ..Self::new(check, Verdict::Warn, found, why) }
    }

    fn fail(check: &'static str, found: String, why: &'static str, hint: &str) -> Self {
        Self { hint: Some(hint.to_owned()), ..Self::new(check, Verdict::Fail, found, why) }
    }

    /// It could not be looked at. That the server forbids it is no fault of the server.
    fn unexamined(check: &'static str, failure: &Failure, why: &'static str) -> Self {
        let forbidden = matches!(failure, Failure::NotApplied { code, .. } if code == "NOPERM");
        let text = failure.to_string();
        let (found, hint) = text.split_once("\nhint: ").map_or((text.as_str(), None), |(found, hint)| (found, Some(hint)));
        let hint = if forbidden { Some("allow the user the command, or make sure of it by hand") } else { hint };
        let verdict = if forbidden { Verdict::Warn } else { Verdict::Fail };
        Self { hint: hint.map(str::to_owned), ..Self::new(check, verdict, format!("could not be examined: {found}"), why) }
    }
}

/// Everything there is to find.
pub async fn examine(link: &Link, examined: &Examined) -> Vec<Finding> {
    let keys = Keys::new(&examined.instance, examined.partitions);
    let mut findings = vec![server::round_trip(link, examined.command_timeout).await];
    findings.extend(properties(link).await);
    findings.extend(server::memory(link).await);
    findings.extend(server::replicas(link).await);
    if link.address().is_cluster() {
        findings.extend(cluster::findings(link, &keys).await);
    }
    findings.push(access::script(link).await);
    findings.extend(access::commands(link, &keys, examined.replicas).await);
    findings.push(server::clock(link).await);
    findings.push(ledger::finding(link, examined).await);
    findings
}

/// What a ledger cannot do without, and what it may lose: looked at by every store that opens.
pub(super) async fn fitness(link: &Link, keys: &Keys, replicas: u32) -> Vec<Finding> {
    let mut findings = properties(link).await;
    findings.extend(access::forbidden(link, keys, replicas).await);
    findings
}

async fn properties(link: &Link) -> Vec<Finding> {
    let mut findings = server::version(link).await;
    findings.extend(server::mode(link).await);
    findings.extend(server::policy(link).await);
    findings.extend(server::persistence(link).await);
    findings
}

/// Why no decision may be left to a server that was fit before: it may evict keys, or stop the script half way. None where it could not be
/// examined.
pub(super) async fn unfit(link: &Link, keys: &Keys, replicas: u32) -> Option<String> {
    let mut findings = server::policy(link).await;
    findings.extend(access::forbidden(link, keys, replicas).await);
    findings.into_iter().find(|finding| finding.verdict == Verdict::Fail).map(|finding| finding.found)
}

/// What a server says of itself, by field.
struct Info(BTreeMap<String, String>);

impl Info {
    fn get(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    fn number(&self, field: &str) -> Option<u64> {
        self.get(field)?.parse().ok()
    }
}

/// Of every primary.
async fn info(link: &Link, section: &str) -> Result<Vec<(String, Info)>, Failure> {
    let replies = link.call_every_primary(redis::cmd("INFO").arg(section)).await?;
    let parsed = replies.into_iter().map(|(node, value)| {
        let text: String = read(value)?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Ok((node, Info(fields.map(|(field, value)| (field.to_owned(), value.trim_end().to_owned())).collect())))
    });
    parsed.collect()
}

/// Settings of every primary by their names; one that a server does not know, or will not tell, is missing.
async fn settings(link: &Link, pattern: &str) -> Result<BTreeMap<String, BTreeMap<String, String>>, Failure> {
    let replies = link.call_every_primary(redis::cmd("CONFIG").arg("GET").arg(pattern)).await?;
    replies.into_iter().map(|(node, value)| Ok((node, read(value)?))).collect()
}

fn read<T: FromRedisValue>(value: Value) -> Result<T, Failure> {
    redis::from_redis_value(value).map_err(|problem| Failure::Script { message: format!("cannot be read: {problem}") })
}

/// One finding where all nodes are alike; else one for each kind, with the nodes it is of.
fn merged(of_nodes: Vec<(String, Finding)>) -> Vec<Finding> {
    let mut groups: Vec<(Vec<String>, Finding)> = Vec::new();
    for (node, finding) in of_nodes {
        match groups.iter_mut().find(|(_, known)| *known == finding) {
            Some((nodes, _)) => nodes.push(node),
            None => groups.push((vec![node], finding)),
        }
    }
    let alike = groups.len() < 2;
    let told = groups.into_iter().map(|(nodes, finding)| {
        let found = if alike { finding.found } else { format!("{}: {}", nodes.join(", "), finding.found) };
        Finding { found, ..finding }
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_only_where_they_differ() {
        let of = |node: &str, found: &str| (node.to_owned(), Finding::ok("version", found.to_owned(), "why"));
        let found = |nodes| merged(nodes).into_iter().map(|finding| finding.found).collect::<Vec<_>>();
        assert_eq!(found(vec![of("a", "7"), of("b", "7")]), ["7"]);
        assert_eq!(found(vec![of("a", "7"), of("b", "8"), of("c", "7")]), ["a, c: 7", "b: 8"]);
    }

    #[test]
    fn what_is_forbidden_to_look_at_is_no_failure() {
        let failure = |code: &str| Failure::NotApplied { code: code.to_owned(), message: "no".to_owned(), retry: false };
        let finding = Finding::unexamined("policy", &failure("NOPERM"), "why");
        assert_eq!((finding.verdict, finding.found.lines().count()), (Verdict::Warn, 1));
        assert_eq!(Finding::unexamined("policy", &failure("DOWN"), "why").verdict, Verdict::Fail);
    }
}
