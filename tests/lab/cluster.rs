//! A cluster of real nodes: primaries that share the slots evenly, and replicas that take over.
//!
//! What a node believes is asked through its unix socket. A method that waits for the cluster to agree asks every node that runs, so a node
//! that is frozen must be woken or killed first.

use std::time::Duration;

use super::{Kind, LOOK_EVERY, Reply, Server, Settings, wait_for, wait_for_async};

/// Hash slots of a cluster.
pub(crate) const SLOTS: u16 = 16384;
/// Keys that one step of a migration moves: few, so that many requests meet a slot of which one part is here and one there.
const KEYS_PER_STEP: &str = "4";
/// How long a node may take to move them, in milliseconds.
const STEP_MAX_MS: &str = "5000";

/// The slot of a key: of what stands in its first braces, if anything does.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    })
}

pub(crate) struct Cluster {
    nodes: Vec<Server>,
    /// How the nodes name one another, in the same order.
    ids: Vec<String>,
    settings: Settings,
}

/// Slots, both ends among them, and the node that serves them.
struct Range {
    first: u16,
    last: u16,
    node: usize,
}

impl Cluster {
    /// Starts the nodes and waits until each knows all of the others and every replica follows its primary.
    pub(crate) fn start(kind: Kind, primaries: usize, replicas_each: usize) -> Self {
        Self::start_with(kind, primaries, replicas_each, Settings::default())
    }

    /// The same with these settings for every node.
    pub(crate) fn start_with(kind: Kind, primaries: usize, replicas_each: usize, settings: Settings) -> Self {
        let settings = settings.cluster_node();
        let nodes: Vec<Server> = (0..primaries * (1 + replicas_each)).map(|_| Server::start(kind, settings.clone())).collect();
        let ids = nodes.iter().map(|node| node.command(&["CLUSTER", "MYID"])).collect();
        let cluster = Self { nodes, ids, settings };
        cluster.share_slots(primaries);
        cluster.introduce();
        cluster.attach_replicas(primaries);
        wait_for("the nodes to agree", || cluster.is_well().then_some(()));
        cluster
    }

    fn share_slots(&self, primaries: usize) {
        let share = |part: usize| usize::from(SLOTS) * part / primaries;
        for (at, node) in self.nodes.iter().enumerate() {
            // Otherwise all begin at zero, and have to settle who comes first.
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
            if at < primaries {
                node.command(&["CLUSTER", "ADDSLOTSRANGE", &share(at).to_string(), &(share(at + 1) - 1).to_string()]);
            }
        }
    }

    fn introduce(&self) {
        for node in &self.nodes[1..] {
            let bus_port = node.bus_port().expect("it is a node of a cluster").to_string();
            self.nodes[0].command(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), &bus_port]);
        }
        wait_for("the nodes to know one another", || {
            let knows_all = |node: &Server| {
                let known = node.command(&["CLUSTER", "NODES"]);
                known.lines().count() == self.nodes.len() && !known.contains("handshake")
            };
            self.nodes.iter().all(knows_all).then_some(())
        });
    }

    fn attach_replicas(&self, primaries: usize) {
        for (at, replica) in self.nodes.iter().enumerate().skip(primaries) {
            replica.command(&["CLUSTER", "REPLICATE", &self.ids[at % primaries]]);
        }
    }

    pub(crate) fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    pub(crate) fn node(&self, at: usize) -> &Server {
        &self.nodes[at]
    }

    pub(crate) fn node_mut(&mut self, at: usize) -> &mut Server {
        &mut self.nodes[at]
    }

    /// Names every node, also those that do not run.
    pub(crate) fn url(&self) -> String {
        format!("{}-cluster://{}{}", self.settings.scheme(), self.settings.login(), self.addresses())
    }

    /// Of every node, with commas between.
    pub(crate) fn addresses(&self) -> String {
        self.nodes.iter().map(Server::address).collect::<Vec<_>>().join(",")
    }

    /// The node that serves a slot, if the nodes that run agree about it.
    pub(crate) fn primary_of(&self, slot: u16) -> Option<usize> {
        let mut seen = self
            .running()
            .map(|(at, _)| self.seen_by(at).iter().find(|range| (range.first..=range.last).contains(&slot)).map(|range| range.node));
        let first = seen.next()??;
        seen.all(|other| other == Some(first)).then_some(first)
    }

    /// Kills the node that serves a slot, and says which it was.
    pub(crate) fn kill_primary_of(&mut self, slot: u16) -> usize {
        let primary = wait_for("the nodes to agree", || self.primary_of(slot));
        self.nodes[primary].kill();
        primary
    }

    /// Waits until all nodes that run agree that another node serves a slot, and serve all slots; says which it is.
    pub(crate) async fn wait_for_failover(&self, slot: u16, from: usize) -> usize {
        let others = || self.primary_of(slot).filter(|primary| *primary != from && self.running().all(|(_, node)| is_ok(node)));
        wait_for_async("a replica to take over", others).await
    }

    /// Waits until all nodes run and agree, and every replica follows its primary.
    pub(crate) async fn wait_until_well(&self) {
        wait_for_async("the cluster to be well", || self.is_well().then_some(())).await;
    }

    /// Moves a slot with its keys to another primary, a few keys at a time, and waits until all nodes know of it.
    ///
    /// After each step it calls `between` with the number of keys moved by then, so a test can put requests where it wants them.
    /// Returns the number of keys moved.
    pub(crate) async fn migrate_slot(&self, slot: u16, to: usize, mut between: impl AsyncFnMut(usize)) -> usize {
        let from = self.primary_of(slot).expect("the nodes agree");
        assert_ne!(from, to, "slot {slot} is there already");
        let name = slot.to_string();
        self.nodes[to].command(&["CLUSTER", "SETSLOT", &name, "IMPORTING", &self.ids[from]]);
        self.nodes[from].command(&["CLUSTER", "SETSLOT", &name, "MIGRATING", &self.ids[to]]);
        between(0).await;
        let mut moved = 0;
        loop {
            let keys = self.nodes[from].ask(&["CLUSTER", "GETKEYSINSLOT", &name, KEYS_PER_STEP]).unwrap().array();
            if keys.is_empty() {
                break;
            }
            moved += keys.len();
            self.migrate_keys(from, to, keys.into_iter().map(Reply::bytes).collect());
            between(moved).await;
            // Others have their turn, also where the test has nothing to do in between.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The new one first: between the two, the old one still redirects to it.
        for at in [to, from] {
            self.nodes[at].command(&["CLUSTER", "SETSLOT", &name, "NODE", &self.ids[to]]);
        }
        wait_for_async("the nodes to know of the move", || (self.primary_of(slot) == Some(to)).then_some(())).await;
        moved
    }

    fn migrate_keys(&self, from: usize, to: usize, keys: Vec<Vec<u8>>) {
        let port = self.nodes[to].port().to_string();
        let mut command: Vec<Vec<u8>> = ["MIGRATE", "127.0.0.1", &port, "", "0", STEP_MAX_MS].map(|part| part.as_bytes().to_vec()).to_vec();
        if let Some(password) = self.settings.password_set() {
            command.extend([b"AUTH".to_vec(), password.as_bytes().to_vec()]);
        }
        command.push(b"KEYS".to_vec());
        command.extend(keys);
        // A key may be gone by now.
        let reply = self.nodes[from].ask(&command).unwrap().to_string();
        assert!(["OK", "NOKEY"].contains(&reply.as_str()), "{reply}");
    }

    fn running(&self) -> impl Iterator<Item = (usize, &Server)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.is_running())
    }

    /// What a node believes. Empty if it does not answer.
    fn seen_by(&self, at: usize) -> Vec<Range> {
        let Ok(Reply::Array(ranges)) = self.nodes[at].ask(&["CLUSTER", "SLOTS"]) else { return Vec::new() };
        let port_of = |node: Reply| node.array().get(1).map(Reply::to_string);
        let known = ranges.into_iter().filter_map(|range| {
            let mut range = range.array().into_iter();
            let (first, last, primary) = (range.next()?, range.next()?, port_of(range.next()?)?);
            let node = self.nodes.iter().position(|node| node.port().to_string() == primary)?;
            Some(Range { first: first.to_string().parse().ok()?, last: last.to_string().parse().ok()?, node })
        });
        known.collect()
    }

    fn is_well(&self) -> bool {
        let followers: usize = self.nodes.iter().map(Server::replicas_following).sum();
        let replicas = self.nodes.iter().filter(|node| node.info("role").as_deref() == Some("slave")).count();
        // A node whose word is not heard yet may still take a replica for a primary.
        let knows_replicas = |node: &Server| {
            let known = node.command(&["CLUSTER", "NODES"]);
            known.matches("slave ").count() == replicas && !known.contains("fail")
        };
        followers == replicas && self.nodes.iter().all(|node| is_ok(node) && knows_replicas(node))
    }
}

fn is_ok(node: &Server) -> bool {
    node.command(&["CLUSTER", "INFO"]).lines().any(|line| line.trim_end() == "cluster_state:ok")
}
