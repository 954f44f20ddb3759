//! The journal's contents in memory: what is queued, in order, by subject and by reservation; and what is dead.
//!
//! Everything in it is durable. It is read by every settlement and changed by the journal's thread, save that an entry which the store
//! took leaves at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{DeadEntry, Entry, Number, Queued};
use crate::domain::ids::{ReservationId, SubjectId};

#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    queued: BTreeMap<Number, Arc<Entry>>,
    by_subject: HashMap<SubjectId, BTreeSet<Number>>,
    by_id: HashMap<(SubjectId, ReservationId), Queued>,
    dead: BTreeMap<Number, Arc<DeadEntry>>,
    store: Option<Arc<str>>,
    /// The largest that was ever given.
    last: Number,
}

impl Index {
    pub(super) fn queued(&self) -> &BTreeMap<Number, Arc<Entry>> {
        &self.queued
    }

    pub(super) fn dead(&self) -> &BTreeMap<Number, Arc<DeadEntry>> {
        &self.dead
    }

    pub(super) fn dead_mut(&mut self) -> &mut BTreeMap<Number, Arc<DeadEntry>> {
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

    pub(super) fn insert(&mut self, number: Number, entry: Arc<Entry>) {
        self.last = self.last.max(number);
        self.by_subject.entry(entry.subject.clone()).or_default().insert(number);
        let queued = self.by_id.entry(key(&entry)).or_default();
        *queued.place(&entry) = Some(entry.clone());
        self.queued.insert(number, entry);
    }

    pub(super) fn remove(&mut self, number: Number) -> Option<Arc<Entry>> {
        let entry = self.queued.remove(&number)?;
        if let Some(numbers) = self.by_subject.get_mut(&entry.subject) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_subject.remove(&entry.subject);
            }
        }
        let key = key(&entry);
        if let Some(queued) = self.by_id.get_mut(&key) {
            *queued.place(&entry) = None;
            if queued.is_empty() {
                self.by_id.remove(&key);
            }
        }
        Some(entry)
    }

    pub(super) fn bury(&mut self, number: Number, dead: Arc<DeadEntry>) {
        self.last = self.last.max(number);
        self.remove(number);
        self.dead.insert(number, dead);
    }

    pub(super) fn has(&self, subject: &SubjectId) -> bool {
        self.by_subject.contains_key(subject)
    }

    pub(super) fn about(&self, subject: &SubjectId, id: &ReservationId) -> Queued {
        self.by_id.get(&(subject.clone(), id.clone())).cloned().unwrap_or_default()
    }

    /// The queued entry that stands in the place this one would take.
    pub(super) fn rival(&self, entry: &Entry) -> Option<Arc<Entry>> {
        self.by_id.get(&key(entry)).and_then(|queued| queued.of_kind(entry)).cloned()
    }

    /// The oldest entry of a subject.
    pub(super) fn first(&self, subject: &SubjectId) -> Option<(Number, Arc<Entry>)> {
        let number = *self.by_subject.get(subject)?.first()?;
        self.queued.get(&number).map(|entry| (number, entry.clone()))
    }

    /// Subjects with something queued, the one that waits longest first.
    pub(super) fn subjects(&self) -> Vec<SubjectId> {
        let mut subjects: Vec<_> = self.by_subject.iter().filter_map(|(subject, numbers)| Some((*numbers.first()?, subject))).collect();
        subjects.sort_unstable_by_key(|(number, _)| *number);
        subjects.into_iter().map(|(_, subject)| subject.clone()).collect()
    }
}

impl Queued {
    fn place(&mut self, entry: &Entry) -> &mut Option<Arc<Entry>> {
        if entry.is_settlement() { &mut self.settlement } else { &mut self.opening }
    }

    fn of_kind(&self, entry: &Entry) -> Option<&Arc<Entry>> {
        if entry.is_settlement() { self.settlement.as_ref() } else { self.opening.as_ref() }
    }
}

fn key(entry: &Entry) -> (SubjectId, ReservationId) {
    (entry.subject.clone(), entry.id().clone())
}
