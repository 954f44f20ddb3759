//! Who serves which slot, as far as is known.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::timeout_at;

use crate::store::redis::address::Node;
use crate::store::redis::link::LinkState;
use crate::store::redis::link::line::Line;
use crate::store::redis::slots::{Range, SLOTS};

/// A primary, or what was named as one.
pub(super) struct Member {
    pub(super) endpoint: Node,
    pub(super) line: Line,
}

#[derive(Default)]
pub(super) struct Map {
    /// By slot, the place of its node in `nodes`. Empty before the first view.
    owners: Vec<Option<usize>>,
    nodes: Vec<Arc<Member>>,
}

impl Member {
    /// Waits for a line that was just begun, as long as there is time. Whether it is up then, the next call tells.
    pub(super) async fn wait_until_up(&self, deadline: Instant) {
        let mut state = self.line.state();
        let up = state.wait_for(|state| matches!(state, LinkState::Up { .. }));
        let _ = timeout_at(deadline.into(), up).await;
    }
}

impl Map {
    pub(super) fn nodes(&self) -> Vec<Arc<Member>> {
        self.nodes.clone()
    }

    pub(super) fn owner(&self, slot: u16) -> Option<Arc<Member>> {
        let at = (*self.owners.get(usize::from(slot))?)?;
        self.nodes.get(at).cloned()
    }

    /// Those that serve at least one slot.
    pub(super) fn owners(&self) -> Vec<Arc<Member>> {
        let mut serves = vec![false; self.nodes.len()];
        for at in self.owners.iter().flatten() {
            serves[*at] = true;
        }
        self.nodes.iter().zip(serves).filter(|(_, serves)| *serves).map(|(node, _)| node.clone()).collect()
    }

    pub(super) fn node_at(&mut self, endpoint: Node, begin: impl FnOnce(Node) -> Arc<Member>) -> Arc<Member> {
        let at = self.place_of(endpoint, begin);
        self.nodes[at].clone()
    }

    pub(super) fn set_owner(&mut self, slot: u16, endpoint: Node, begin: impl FnOnce(Node) -> Arc<Member>) -> Arc<Member> {
        let at = self.place_of(endpoint, begin);
        self.owners[usize::from(slot)] = Some(at);
        self.nodes[at].clone()
    }

    /// Takes over a view of the whole, and hands out the nodes that are in it no more.
    pub(super) fn adopt(&mut self, ranges: &[Range], mut begin: impl FnMut(Node) -> Arc<Member>) -> Vec<Arc<Member>> {
        let mut left = std::mem::take(&mut self.nodes);
        let mut owners = vec![None; usize::from(SLOTS)];
        for range in ranges {
            let at = self.nodes.iter().position(|node| node.endpoint == range.primary).unwrap_or_else(|| {
                let known = left.iter().position(|node| node.endpoint == range.primary);
                self.nodes.push(known.map_or_else(|| begin(range.primary.clone()), |at| left.swap_remove(at)));
                self.nodes.len() - 1
            });
            owners[usize::from(range.first)..=usize::from(range.last)].fill(Some(at));
        }
        self.owners = owners;
        left
    }

    fn place_of(&mut self, endpoint: Node, begin: impl FnOnce(Node) -> Arc<Member>) -> usize {
        self.nodes.iter().position(|node| node.endpoint == endpoint).unwrap_or_else(|| {
            self.nodes.push(begin(endpoint));
            self.nodes.len() - 1
        })
    }
}
