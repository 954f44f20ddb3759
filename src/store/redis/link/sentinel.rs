//! What sentinels say of the primary. All of them are asked: one may be away, and one that was cut off may tell of a primary that is none.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{Value, cmd};

use super::dial::{Dialer, Party, Target};
use super::error::Obstacle;
use crate::store::redis::address::Node;

/// How often the sentinels are asked while a connection works. A primary that was cut off from them, and not from us, is left after so long.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// Who was named, how often, and by the newest configuration of which age.
#[derive(Debug, Default)]
pub(super) struct Heard {
    named: HashMap<Node, Named>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Named {
    /// Rises with every failover.
    age: u64,
    votes: usize,
}

impl Heard {
    fn add(&mut self, primary: Node, age: u64) {
        let named = self.named.entry(primary).or_default();
        named.age = named.age.max(age);
        named.votes += 1;
    }

    /// Those that were named: of the newest configuration first, then by votes.
    pub(super) fn by_age(self) -> Vec<Node> {
        let mut named: Vec<_> = self.named.into_iter().collect();
        named.sort_by_key(|(primary, Named { age, votes })| (Reverse((*age, *votes)), primary.clone()));
        named.into_iter().map(|(primary, _)| primary).collect()
    }

    /// The one that more than half of `all` sentinels name.
    pub(super) fn most(&self, all: usize) -> Option<&Node> {
        self.named.iter().find(|(_, named)| named.votes * 2 > all).map(|(primary, _)| primary)
    }
}

/// Asks all at once. An error where none names a primary.
pub(super) async fn ask_all(dialer: &Dialer, sentinels: &[Node], service: &str) -> Result<Heard, Obstacle> {
    let mut heard = Heard::default();
    let mut reasons = Vec::new();
    for answer in join_all(sentinels.iter().map(|sentinel| ask_one(dialer, sentinel, service))).await {
        match answer {
            Ok((primary, age)) => heard.add(primary, age),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    if heard.named.is_empty() { Err(Obstacle::Sentinels { service: service.to_owned(), reasons }) } else { Ok(heard) }
}

async fn ask_one(dialer: &Dialer, sentinel: &Node, service: &str) -> Result<(Node, u64), Obstacle> {
    let mut connection = dialer.dial_briefly(&Target::Host(sentinel.clone()), Party::Sentinel).await?;
    let reply = connection.ask("SENTINEL MASTER", cmd("SENTINEL").arg("MASTER").arg(service)).await?;
    let unclear = || Obstacle::Protocol { host: sentinel.to_string(), reason: "`SENTINEL MASTER` does not name a primary".to_owned() };
    let Value::Array(parts) = reply else { return Err(unclear()) };
    let fields: HashMap<String, String> = parts.chunks_exact(2).map(|pair| (super::text(&pair[0]), super::text(&pair[1]))).collect();
    let field = |name: &str| fields.get(name).map(String::as_str);
    let host = field("ip").filter(|host| !host.is_empty()).ok_or_else(unclear)?.to_owned();
    let port = field("port").and_then(|port| port.parse().ok()).filter(|port| *port > 0).ok_or_else(unclear)?;
    let age = field("config-epoch").and_then(|age| age.parse().ok()).unwrap_or_default();
    Ok((Node { host, port }, age))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(named: &[(u16, u64)]) -> Heard {
        let mut heard = Heard::default();
        for (port, age) in named {
            heard.add(Node { host: "h".to_owned(), port: *port }, *age);
        }
        heard
    }

    #[test]
    fn the_newest_configuration_counts_and_not_the_number_of_voices() {
        let ports = |heard: Heard| heard.by_age().iter().map(|named| named.port).collect::<Vec<_>>();
        assert_eq!(ports(heard(&[(1, 3), (1, 3), (2, 4)])), [2, 1]);
        assert_eq!(ports(heard(&[(1, 3), (2, 3), (2, 1)])), [2, 1]);
        assert_eq!(ports(heard(&[])), [0; 0]);
    }

    #[test]
    fn a_connection_is_left_only_for_what_most_of_all_sentinels_name() {
        let most = |named: &[(u16, u64)]| heard(named).most(3).map(|named| named.port);
        assert_eq!(most(&[(1, 1), (1, 1)]), Some(1));
        assert_eq!(most(&[(1, 9)]), None);
        assert_eq!(most(&[(1, 1), (2, 1), (3, 1)]), None);
    }
}
