//! One order for the events of several partitions: by time, then by the number each had in its partition; numbered anew without a gap, from
//! the number of the first, or higher where a partition has come further.
//!
//! Events that came from one order keep their numbers by this rule, so a ledger that is moved twice is the same as one moved once.

use std::collections::HashMap;

use jiff::Timestamp;

/// The numbers that events of partitions get. Holds 16 bytes for each.
#[derive(Debug, Default)]
pub(in crate::store) struct Numbers {
    /// By partition: old numbers in rising order, each with its new one.
    of: HashMap<usize, Vec<(u64, u64)>>,
    first: u64,
    count: u64,
}

/// An event before it has its number: its time, generation, old number and partition.
pub(in crate::store) type Unnumbered = (Timestamp, u64, u64, usize);

impl Numbers {
    /// Puts events in order. Within a partition time and number never fall. `furthest`: the highest number that any partition has come to.
    pub(in crate::store) fn new(mut events: Vec<Unnumbered>, furthest: u64) -> (Self, Vec<Unnumbered>) {
        events.sort_unstable();
        let count = events.len() as u64;
        let first = events.first().map_or(0, |(_, _, number, _)| *number).max((furthest + 1).saturating_sub(count));
        let mut numbers = Self { of: HashMap::new(), first, count };
        for (new, (_, _, old, partition)) in (first..).zip(&events) {
            numbers.of.entry(*partition).or_default().push((*old, new));
        }
        (numbers, events)
    }

    /// Of the last event.
    pub(in crate::store) fn last(&self) -> u64 {
        (self.first + self.count).saturating_sub(1)
    }

    /// The new number of what an event of a partition changed. One that is not kept any more was before all that are.
    pub(in crate::store) fn of(&self, partition: usize, old: u64) -> u64 {
        let known = self.of.get(&partition);
        let place = known.and_then(|numbers| numbers.binary_search_by_key(&old, |(old, _)| *old).ok().map(|place| numbers[place].1));
        place.unwrap_or_else(|| old.min(self.first.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64, number: u64, partition: usize) -> Unnumbered {
        (Timestamp::from_second(second).unwrap(), 1, number, partition)
    }

    #[test]
    fn events_of_partitions_are_numbered_by_time() {
        let (numbers, order) = Numbers::new(vec![at(10, 1, 0), at(30, 2, 0), at(20, 1, 1), at(20, 2, 1)], 2);
        assert_eq!(order, [at(10, 1, 0), at(20, 1, 1), at(20, 2, 1), at(30, 2, 0)]);
        assert_eq!((numbers.of(0, 1), numbers.of(1, 1), numbers.of(1, 2), numbers.of(0, 2)), (1, 2, 3, 4));
        assert_eq!(numbers.last(), 4);
    }

    #[test]
    fn events_that_were_in_one_order_keep_their_numbers() {
        // Spread over partitions, the first ones deleted: a reservation may still name one of those.
        let (numbers, _) = Numbers::new(vec![at(10, 501, 3), at(10, 502, 0), at(10, 503, 3), at(11, 504, 0)], 504);
        assert_eq!([numbers.of(3, 501), numbers.of(0, 502), numbers.of(3, 503), numbers.of(0, 504)], [501, 502, 503, 504]);
        assert_eq!((numbers.of(3, 17), numbers.last()), (17, 504));
        // Two partitions went on, each by itself.
        let (numbers, _) = Numbers::new(vec![at(10, 501, 3), at(10, 502, 0), at(12, 503, 3), at(13, 503, 0), at(14, 504, 0)], 504);
        assert_eq!([numbers.of(3, 503), numbers.of(0, 503), numbers.of(0, 504), numbers.last()], [503, 504, 505, 505]);
    }

    #[test]
    fn numbers_go_on_without_a_gap_from_the_partition_that_came_furthest() {
        let (numbers, _) = Numbers::new(vec![at(10, 1, 1), at(20, 99, 0), at(30, 100, 0)], 100);
        assert_eq!([numbers.of(1, 1), numbers.of(0, 99), numbers.of(0, 100), numbers.last()], [98, 99, 100, 100]);
    }

    #[test]
    fn without_events_there_is_no_number() {
        let (numbers, order) = Numbers::new(Vec::new(), 0);
        assert_eq!((numbers.last(), numbers.of(0, 9), order.len()), (0, 0, 0));
        let (numbers, _) = Numbers::new(Vec::new(), 500);
        assert_eq!((numbers.last(), numbers.of(0, 300)), (500, 300));
    }
}
