//! The order of a subject's history: generations by when they began, and all reservations of one side by side.
//!
//! It is an index and nothing more: what it holds follows from the rows alone. A generation keeps its place for as long as any of its
//! reservations is remembered, whatever is reserved for it later, so whoever reads page by page misses none and meets none twice.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::row::Row;
use crate::domain::ids::{GenerationId, ReservationId};

/// A place in a history: a reservation's, or a boundary between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HistoryPlace {
    began: Timestamp,
    /// `None` stands before every generation that began then.
    generation: Option<GenerationId>,
    /// `None` for the reservation that has its generation's id, and before all others of it.
    reservation: Option<ReservationId>,
}

/// All reservations of one subject, in order.
#[derive(Debug, Default)]
pub(super) struct History {
    places: BTreeSet<HistoryPlace>,
    /// When each generation began, and how many of its reservations are remembered.
    generations: HashMap<GenerationId, (Timestamp, usize)>,
}

impl HistoryPlace {
    /// After everything there can be.
    pub const END: Self = Self::begin(Timestamp::MAX);

    /// Before every generation that began at an instant.
    pub const fn begin(began: Timestamp) -> Self {
        Self { began, generation: None, reservation: None }
    }

    /// Before every reservation of a generation.
    pub fn before_generation(began: Timestamp, generation: GenerationId) -> Self {
        Self { began, generation: Some(generation), reservation: None }
    }

    /// Where a reservation stands.
    pub fn of(row: &Row) -> Self {
        let generation = &row.detail.generation;
        let reservation = (row.id.as_str() != generation.as_str()).then(|| row.id.clone());
        Self { began: row.began, generation: Some(generation.clone()), reservation }
    }

    /// When its generation began.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    /// `None` for an instant before whatever began then.
    pub fn generation(&self) -> Option<&GenerationId> {
        self.generation.as_ref()
    }
}

impl History {
    /// When a generation began of which something is remembered.
    pub(super) fn began(&self, generation: &GenerationId) -> Option<Timestamp> {
        self.generations.get(generation).map(|(began, _)| *began)
    }

    /// Takes up a reservation that is not in it.
    pub(super) fn enter(&mut self, row: &Row) {
        if self.places.insert(HistoryPlace::of(row)) {
            self.generations.entry(row.detail.generation.clone()).or_insert((row.began, 0)).1 += 1;
        }
    }

    pub(super) fn leave(&mut self, row: &Row) {
        if !self.places.remove(&HistoryPlace::of(row)) {
            return;
        }
        let generation = &row.detail.generation;
        if let Some((_, count)) = self.generations.get_mut(generation) {
            *count -= 1;
            if *count == 0 {
                self.generations.remove(generation);
            }
        }
    }

    /// Ids of the reservations before a place, the last of them first.
    pub(super) fn before<'h>(&'h self, place: &HistoryPlace) -> impl Iterator<Item = &'h str> {
        let places = self.places.range(..place).rev();
        places.filter_map(|place| match &place.reservation {
            Some(reservation) => Some(reservation.as_str()),
            None => place.generation.as_ref().map(GenerationId::as_str),
        })
    }
}
