//! The journal's contents in memory: what is queued, in order, by subject and by reservation; and what is dead.
//!
//! Everything in it is durable. It is read by every settlement and changed by the journal's thread, save that an entry which the store
//! took leaves at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{DeadEntry, Entry, Number};

#[derive(Debug, Clone)]
pub(super) struct Index<E: Entry> {
    queued: BTreeMap<Number, Arc<E>>,
    by_line: HashMap<E::Line, BTreeSet<Number>>,
    by_place: HashMap<E::Place, Arc<E>>,
    dead: BTreeMap<Number, Arc<DeadEntry<E>>>,
    store: Option<Arc<str>>,
    /// The largest that was ever given.
    last: Number,
}

impl<E: Entry> Default for Index<E> {
    fn default() -> Self {
        Self { queued: BTreeMap::new(), by_line: HashMap::new(), by_place: HashMap::new(), dead: BTreeMap::new(), store: None, last: 0 }
    }
}

impl<E: Entry> Index<E> {
    pub(super) fn queued(&self) -> &BTreeMap<Number, Arc<E>> {
        &self.queued
    }

    pub(super) fn dead(&self) -> &BTreeMap<Number, Arc<DeadEntry<E>>> {
        &self.dead
    }

    pub(super) fn dead_mut(&mut self) -> &mut BTreeMap<Number, Arc<DeadEntry<E>>> {
        &mut self.dead
    }

    pub(super) fn store(&self) -> Option<Arc<str>> {
        self.store.clone()
    }

    pub(super) fn set_store(&mut self, identity: Option<Arc<str>>) {
        self.store = identity;
    }

    pub(super) fn last(&self) -> Number {
        self.last
    }

    /// Entries of either kind: what counts against the bound.
    pub(super) fn len(&self) -> usize {
        self.queued.len() + self.dead.len()
    }

    pub(super) fn insert(&mut self, number: Number, entry: Arc<E>) {
        self.last = self.last.max(number);
        self.by_line.entry(entry.line().clone()).or_default().insert(number);
        self.by_place.insert(entry.place(), entry.clone());
        self.queued.insert(number, entry);
    }

    pub(super) fn remove(&mut self, number: Number) -> Option<Arc<E>> {
        let entry = self.queued.remove(&number)?;
        if let Some(numbers) = self.by_line.get_mut(entry.line()) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_line.remove(entry.line());
            }
        }
        self.by_place.remove(&entry.place());
        Some(entry)
    }

    pub(super) fn bury(&mut self, number: Number, dead: Arc<DeadEntry<E>>) {
        self.last = self.last.max(number);
        self.remove(number);
        self.dead.insert(number, dead);
    }

    pub(super) fn has(&self, line: &E::Line) -> bool {
        self.by_line.contains_key(line)
    }

    /// The queued entry of a place.
    pub(super) fn at(&self, place: &E::Place) -> Option<&Arc<E>> {
        self.by_place.get(place)
    }

    /// The oldest entry of a line.
    pub(super) fn first(&self, line: &E::Line) -> Option<(Number, Arc<E>)> {
        let number = *self.by_line.get(line)?.first()?;
        self.queued.get(&number).map(|entry| (number, entry.clone()))
    }

    /// Lines with something queued, the one that waits longest first.
    pub(super) fn lines(&self) -> Vec<E::Line> {
        let mut lines: Vec<_> = self.by_line.iter().filter_map(|(line, numbers)| Some((*numbers.first()?, line))).collect();
        lines.sort_unstable_by_key(|(number, _)| *number);
        lines.into_iter().map(|(_, line)| line.clone()).collect()
    }
}
