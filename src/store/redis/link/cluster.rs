//! The primaries of a cluster, each on a line of its own, and who serves which slot.
//!
//! A node that is away takes down what is asked of it and nothing else. Redirections are followed within the command's time: they say for
//! certain that nothing was carried out. What may have been carried out is never sent again from here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::{Cmd, Value, cmd};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::map::{Map, Member};
use super::LinkState;
use super::dial::{Dialer, Party, Target};
use super::error::Obstacle;
use super::failure::Failure;
use super::finder::Finder;
use super::key::{key_of, slot_of};
use super::line::Line;
use crate::store::redis::address::Node;
use crate::store::redis::slots::{self, Range, SLOTS};

mod map;

/// Redirections that one command follows. A slot moves once; more than a few are a cluster that does not know what it wants.
const HOPS_MAX: usize = 8;
/// Before a command is sent again to a node that has only some of its keys yet.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// How often the cluster is asked who serves what, while all is well. Changes are learned from redirections at once.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The same while a node is away, and the least time between two looks.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);

pub(super) struct Cluster {
    dialer: Dialer,
    seeds: Vec<Node>,
    epochs: Arc<AtomicU64>,
    map: RwLock<Map>,
    state: watch::Sender<LinkState>,
    /// Something says that the map is old.
    outdated: Arc<Notify>,
    stop: CancellationToken,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Cluster {
    pub(super) async fn open(dialer: Dialer, seeds: Vec<Node>, epochs: Arc<AtomicU64>) -> Result<Arc<Self>, Obstacle> {
        let ranges = ask_seeds(&dialer, &seeds).await?;
        let served = slots::served(&ranges);
        if served < usize::from(SLOTS) {
            return Err(Obstacle::Slots { served });
        }
        let cluster = Arc::new(Self {
            dialer,
            seeds,
            epochs,
            map: RwLock::default(),
            state: watch::Sender::new(LinkState::Down { reason: Arc::from(Line::CONNECTING) }),
            outdated: Arc::default(),
            stop: CancellationToken::new(),
            keeper: Mutex::default(),
        });
        cluster.adopt(&ranges);
        if let Err(reasons) = cluster.wait_for_first_tries().await {
            cluster.close().await;
            return Err(Obstacle::Cluster { reasons });
        }
        let keeper = tokio::spawn(keep(Arc::downgrade(&cluster), cluster.outdated.clone(), cluster.stop.clone()));
        *cluster.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        Ok(cluster)
    }

    /// Waits until every node was tried once. An error where none answers.
    async fn wait_for_first_tries(&self) -> Result<(), Vec<String>> {
        let nodes = self.nodes();
        let tried = nodes.iter().map(|node| async {
            // Its keeper lives as long as the line, and changes the state after its first try.
            let _ = node.line.state().wait_for(|state| !is_first(state)).await;
        });
        let longest = self.dialer.connect_timeout + self.dialer.command_timeout;
        let _ = timeout(longest, join_all(tried)).await;
        if nodes.iter().any(|node| is_up(&node.line)) {
            return Ok(());
        }
        let reason = |node: &Arc<Member>| match &*node.line.state().borrow() {
            LinkState::Down { reason } => Some(reason.to_string()),
            LinkState::Up { .. } => None,
        };
        Err(nodes.iter().filter_map(reason).collect())
    }

    pub(super) async fn call(self: &Arc<Self>, command: &Cmd) -> Result<Value, Failure> {
        let deadline = Instant::now() + self.dialer.command_timeout;
        let slot = key_of(command).map(slot_of);
        let mut node = self.node_for(slot)?;
        let mut asking = false;
        let mut last = None;
        for _ in 0..HOPS_MAX {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let failure = match node.line.call_within(command, left, asking).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let Failure::NotApplied { code, message, .. } = &failure else { return Err(failure) };
            match (code.as_str(), redirection(message, &node.endpoint)) {
                ("MOVED", Some((slot, endpoint))) => {
                    node = self.moved(slot, endpoint);
                    asking = false;
                    self.outdated.notify_one();
                    node.wait_until_up(deadline).await;
                }
                ("ASK", Some((_, endpoint))) => {
                    node = self.node_at(endpoint);
                    asking = true;
                    node.wait_until_up(deadline).await;
                }
                ("TRYAGAIN", _) => {
                    sleep(TRY_AGAIN_AFTER.min(left)).await;
                    // By now it may be elsewhere.
                    node = self.node_for(slot)?;
                    asking = false;
                }
                _ => {
                    self.outdated.notify_one();
                    return Err(failure);
                }
            }
            last = Some(failure);
        }
        Err(last.unwrap_or_else(|| Failure::down("there was no time left to ask")))
    }

    pub(super) async fn call_each(&self, command: &Cmd) -> Vec<(String, Result<Value, Failure>)> {
        let nodes: Vec<_> = self.map.read().unwrap_or_else(PoisonError::into_inner).owners();
        join_all(nodes.iter().map(|node| async { (node.endpoint.to_string(), node.line.call(command).await) })).await
    }

    pub(super) async fn wait_until_up(&self, key: &[u8]) -> bool {
        let mut state = self.state.subscribe();
        loop {
            state.mark_unchanged();
            if self.node_for(Some(slot_of(key))).is_ok_and(|node| is_up(&node.line)) {
                return true;
            }
            // A new connection changes the state; a slot that came to a node which is up all along does not.
            if let Ok(Err(_)) = timeout(LOOK_AGAIN_AFTER, state.changed()).await {
                return false;
            }
        }
    }

    pub(super) fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    pub(super) fn node_of(&self, key: &[u8]) -> Option<Node> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).owner(slot_of(key)).map(|node| node.endpoint.clone())
    }

    pub(super) async fn close(&self) {
        self.stop.cancel();
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            // It cannot panic, and there is nothing to do if it did.
            let _ = keeper.await;
        }
        let nodes = self.nodes();
        join_all(nodes.iter().map(|node| node.line.close())).await;
        self.sum_up();
    }

    fn nodes(&self) -> Vec<Arc<Member>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).nodes()
    }

    /// Who serves a slot, or anybody where there is none.
    fn node_for(&self, slot: Option<u16>) -> Result<Arc<Member>, Failure> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let node = match slot {
            Some(slot) => map.owner(slot),
            None => {
                let owners = map.owners();
                owners.iter().find(|node| is_up(&node.line)).or(owners.first()).cloned()
            }
        };
        node.ok_or_else(|| Failure::down("no node serves the slot of this key"))
    }

    /// A node said that this one serves a slot now.
    fn moved(self: &Arc<Self>, slot: u16, endpoint: Node) -> Arc<Member> {
        self.map.write().unwrap_or_else(PoisonError::into_inner).set_owner(slot, endpoint, |endpoint| self.node(endpoint))
    }

    fn node_at(self: &Arc<Self>, endpoint: Node) -> Arc<Member> {
        self.map.write().unwrap_or_else(PoisonError::into_inner).node_at(endpoint, |endpoint| self.node(endpoint))
    }

    /// Begins a line to a node.
    fn node(self: &Arc<Self>, endpoint: Node) -> Arc<Member> {
        let cluster = Arc::downgrade(self);
        let on_change = Box::new(move || {
            if let Some(cluster) = cluster.upgrade() {
                cluster.sum_up();
                cluster.outdated.notify_one();
            }
        });
        let finder = Finder::Fixed(Target::Host(endpoint.clone()));
        let line = Line::start(finder, self.dialer.clone(), self.epochs.clone(), None, on_change);
        Arc::new(Member { endpoint, line })
    }

    fn adopt(self: &Arc<Self>, ranges: &[Range]) {
        // What is left over is dropped outside of the lock, and closes when what was asked there is answered.
        let _left = self.map.write().unwrap_or_else(PoisonError::into_inner).adopt(ranges, |endpoint| self.node(endpoint));
        self.sum_up();
    }

    /// Asks the nodes who serves what. True: all is well.
    async fn look(self: &Arc<Self>) -> bool {
        let nodes = self.nodes();
        let up: Vec<_> = nodes.iter().filter(|node| is_up(&node.line)).collect();
        let slots = cmd("CLUSTER").arg("SLOTS").to_owned();
        let views = join_all(up.iter().map(|node| async {
            let reply = node.line.call(&slots).await.ok()?;
            slots::read(&reply, &node.endpoint)
        }));
        let mut view = slots::most(views.await.into_iter().flatten().collect());
        if view.is_none() {
            view = ask_seeds(&self.dialer, &self.seeds).await.ok();
        }
        // An answer of a node that knows nothing yet is none.
        let Some(view) = view.filter(|view| !view.is_empty()) else { return false };
        self.adopt(&view);
        slots::served(&view) == usize::from(SLOTS) && self.nodes().iter().all(|node| is_up(&node.line))
    }

    /// The state of the whole: up as long as one node is.
    fn sum_up(&self) {
        let states: Vec<LinkState> = self.nodes().iter().map(|node| node.line.state().borrow().clone()).collect();
        let up = states.iter().any(|state| matches!(state, LinkState::Up { .. }));
        let reason = states.into_iter().find_map(|state| match state {
            LinkState::Down { reason } => Some(reason),
            LinkState::Up { .. } => None,
        });
        let latest = self.epochs.load(Ordering::Relaxed);
        self.state.send_if_modified(|state| match (&mut *state, up) {
            (LinkState::Up { epoch }, true) => std::mem::replace(epoch, latest) != latest,
            (LinkState::Down { .. }, true) => {
                *state = LinkState::Up { epoch: latest };
                true
            }
            (LinkState::Up { .. }, false) => {
                let reason = reason.unwrap_or_else(|| Arc::from("no node"));
                *state = LinkState::Down { reason };
                true
            }
            (LinkState::Down { reason: before }, false) => match reason {
                Some(reason) if *before != reason => {
                    *before = reason;
                    true
                }
                _ => false,
            },
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Keeps the map for as long as somebody holds the cluster.
async fn keep(cluster: Weak<Cluster>, outdated: Arc<Notify>, stop: CancellationToken) {
    let mut wait = LOOK_EVERY;
    loop {
        // Many callers find out the same at the same time.
        let told = async {
            outdated.notified().await;
            sleep(LOOK_AGAIN_AFTER.min(wait)).await;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(wait) => {}
            () = told => {}
        }
        let Some(cluster) = cluster.upgrade() else { return };
        let well = tokio::select! {
            () = stop.cancelled() => return,
            well = cluster.look() => well,
        };
        wait = if well { LOOK_EVERY } else { LOOK_AGAIN_AFTER };
    }
}

/// Who serves what, as most of the seeds that answer see it.
async fn ask_seeds(dialer: &Dialer, seeds: &[Node]) -> Result<Vec<Range>, Obstacle> {
    let answers = join_all(seeds.iter().map(|seed| async {
        let mut connection = dialer.dial_briefly(&Target::Host(seed.clone()), Party::Server).await?;
        let reply = connection.ask("CLUSTER SLOTS", cmd("CLUSTER").arg("SLOTS")).await?;
        let unclear = || Obstacle::Protocol { host: seed.to_string(), reason: "`CLUSTER SLOTS` is not a list of slots".to_owned() };
        slots::read(&reply, seed).ok_or_else(unclear)
    }));
    let (views, mut errors) = answers.await.into_iter().fold((Vec::new(), Vec::new()), |(mut views, mut errors), answer| {
        match answer {
            Ok(view) => views.push(view),
            Err(error) => errors.push(error),
        }
        (views, errors)
    });
    if let Some(view) = slots::most(views) {
        return Ok(view);
    }
    // A node that answers and refuses tells more than those that are away.
    let telling = errors.iter().position(|error| !matches!(error, Obstacle::Connect { .. } | Obstacle::Silent { .. }));
    match telling {
        Some(at) => Err(errors.swap_remove(at)),
        None => Err(Obstacle::Cluster { reasons: errors.iter().map(ToString::to_string).collect() }),
    }
}

fn is_up(line: &Line) -> bool {
    matches!(*line.state().borrow(), LinkState::Up { .. })
}

fn is_first(state: &LinkState) -> bool {
    matches!(state, LinkState::Down { reason } if **reason == *Line::CONNECTING)
}

/// The slot and the node of a `MOVED` or `ASK`. Without a host it is the one that says so.
fn redirection(message: &str, from: &Node) -> Option<(u16, Node)> {
    let mut words = message.split(' ');
    let slot = words.next()?.parse().ok().filter(|slot| *slot < SLOTS)?;
    let (host, port) = words.next()?.rsplit_once(':')?;
    let host = if host.is_empty() { &from.host } else { host };
    Some((slot, Node { host: host.to_owned(), port: port.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_names_slot_and_node() {
        let from = Node { host: "here".to_owned(), port: 1 };
        let read = |text: &str| redirection(text, &from).map(|(slot, node)| (slot, node.to_string()));
        assert_eq!(read("3999 127.0.0.1:6381"), Some((3999, "127.0.0.1:6381".to_owned())));
        assert_eq!(read("3999 ::1:6381"), Some((3999, "[::1]:6381".to_owned())));
        assert_eq!(read("0 :6381"), Some((0, "here:6381".to_owned())));
        for text in ["", "x a:1", "16384 a:1", "1", "1 a", "1 a:x"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
