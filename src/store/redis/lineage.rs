//! Which ledger this is, and how far it was seen to be: what tells a store that came back empty, behind, or as another one (W3).
//!
//! Every call carries the identity and the highest number seen of its partition, and the script refuses before it writes if either does not
//! fit. A partition that does not fit is fenced here too, until an administrator or the declared policy begins a new generation of it.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

/// Layout of keys and values. Raised when a program that knows the old one could misread the new one.
pub(super) const LAYOUT: u32 = 2;

/// Who a ledger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: Uuid,
    pub(super) layout: u32,
    pub(super) partitions: u32,
    /// Rises when a loss of data is accepted: a number of an event names it only together with this.
    pub(super) generation: u64,
}

impl Identity {
    pub(super) fn new(partitions: u32) -> Self {
        Self { id: Uuid::now_v7(), layout: LAYOUT, partitions, generation: 1 }
    }

    pub(super) fn next_generation(self) -> Self {
        Self { generation: self.generation + 1, ..self }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.id, self.layout, self.partitions, self.generation)
    }
}

/// A text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no identity of a ledger: `{0}`")]
pub struct NoIdentity(String);

impl FromStr for Identity {
    type Err = NoIdentity;

    fn from_str(text: &str) -> Result<Self, NoIdentity> {
        let parse = || {
            let mut parts = text.split(':');
            let identity = Self {
                id: parts.next()?.parse().ok()?,
                layout: parts.next()?.parse().ok()?,
                partitions: parts.next()?.parse().ok().filter(|partitions| *partitions > 0)?,
                generation: parts.next()?.parse().ok()?,
            };
            parts.next().is_none().then_some(identity)
        };
        parse().ok_or_else(|| NoIdentity(text.to_owned()))
    }
}

/// The identity this process works under, and what it has seen of each partition.
#[derive(Debug)]
pub(super) struct Lineage {
    identity: Mutex<Identity>,
    marks: Vec<Mutex<Mark>>,
}

/// Of one partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Mark {
    /// The last change that was seen, and its time in microseconds; 0 before any was.
    pub(super) sequence: u64,
    pub(super) time: i64,
    /// Why nothing may be asked of it.
    pub(super) fenced: Option<Arc<str>>,
}

impl Lineage {
    pub(super) fn new(identity: Identity) -> Self {
        let marks = (0..identity.partitions).map(|_| Mutex::default()).collect();
        Self { identity: Mutex::new(identity), marks }
    }

    pub(super) fn identity(&self) -> Identity {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn mark(&self, partition: usize) -> Mark {
        self.lock(partition).clone()
    }

    /// A change of this number was made or seen under a generation. What comes late, from an earlier one, is no measure.
    pub(super) fn seen(&self, partition: usize, generation: u64, sequence: u64, time: i64) {
        let mut mark = self.lock(partition);
        if sequence > mark.sequence && generation == self.identity().generation {
            (mark.sequence, mark.time) = (sequence, time);
        }
    }

    /// Says whether it is fenced only now.
    pub(super) fn fence(&self, partition: usize, reason: &str) -> bool {
        let mut mark = self.lock(partition);
        let new = mark.fenced.is_none();
        mark.fenced.get_or_insert_with(|| Arc::from(reason));
        new
    }

    pub(super) fn fenced(&self) -> Vec<(usize, Arc<str>)> {
        (0..self.marks.len()).filter_map(|partition| Some((partition, self.lock(partition).fenced.clone()?))).collect()
    }

    /// Goes on under a new generation: what was seen before is no measure any more.
    pub(super) fn adopt(&self, identity: Identity) {
        // Released at once: whoever holds a mark may ask for the identity.
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
        for partition in 0..self.marks.len() {
            *self.lock(partition) = Mark::default();
        }
    }

    fn lock(&self, partition: usize) -> MutexGuard<'_, Mark> {
        self.marks[partition].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_is_written_and_nothing_else_is() {
        let identity = Identity::new(64).next_generation();
        assert_eq!(identity.to_string().parse(), Ok(identity));
        for text in ["", "x:1:64:1", &format!("{identity}:1"), "0193b2c4-7d1e-7000-8000-000000000000:1:0:1"] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_mark_only_rises_until_a_new_generation() {
        let lineage = Lineage::new(Identity::new(2));
        lineage.seen(1, 1, 7, 70);
        lineage.seen(1, 1, 6, 60);
        assert_eq!((lineage.mark(1).sequence, lineage.mark(1).time, lineage.mark(0).sequence), (7, 70, 0));
        assert!(lineage.fence(1, "lost"));
        assert!(!lineage.fence(1, "lost again"));
        assert_eq!(lineage.fenced(), [(1, Arc::from("lost"))]);
        lineage.adopt(lineage.identity().next_generation());
        lineage.seen(1, 1, 8, 80);
        assert_eq!((lineage.mark(1).sequence, lineage.fenced().len(), lineage.identity().generation), (0, 0, 2));
    }
}
