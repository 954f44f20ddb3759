//! Timelines: a value that holds from an instant on, until the next one does. What will change stands there beside what has.

use jiff::Timestamp;

/// Values in the order of their instants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline<T>(Vec<(Timestamp, T)>);

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> Timeline<T> {
    /// One value, from an instant on.
    pub fn from(start: Timestamp, value: T) -> Self {
        Self(vec![(start, value)])
    }

    /// Takes steps as a store kept them; `None` where they are not in order.
    pub fn of_steps(steps: Vec<(Timestamp, T)>) -> Option<Self> {
        steps.is_sorted_by(|(earlier, _), (later, _)| earlier < later).then_some(Self(steps))
    }

    /// Every value with the instant from which it holds, earliest first.
    pub fn steps(&self) -> &[(Timestamp, T)] {
        &self.0
    }

    /// What holds at an instant; `None` before the first step.
    pub fn at(&self, at: Timestamp) -> Option<&T> {
        self.0[..self.begun(at)].last().map(|(_, value)| value)
    }

    /// The first step after an instant.
    pub fn next(&self, after: Timestamp) -> Option<&(Timestamp, T)> {
        self.0.get(self.begun(after))
    }

    /// Lets a value hold from an instant on, in place of whatever was to come.
    pub fn set(&mut self, from: Timestamp, value: T) {
        self.0.truncate(self.0.partition_point(|(start, _)| *start < from));
        if self.0.last().is_none_or(|(_, last)| *last != value) {
            self.0.push((from, value));
        }
    }

    /// Drops whatever was to come after an instant.
    pub fn settle(&mut self, now: Timestamp) {
        self.0.truncate(self.begun(now));
    }

    /// Forgets values that another one had replaced by an instant.
    pub fn forget_before(&mut self, horizon: Timestamp) {
        let replaced = self.begun(horizon).saturating_sub(1);
        self.0.drain(..replaced);
    }

    /// Puts another value in the place of each.
    pub fn map(&mut self, mut change: impl FnMut(T) -> T)
    where
        T: Clone,
    {
        self.0.iter_mut().for_each(|(_, value)| *value = change(value.clone()));
    }

    /// How many steps have begun at an instant.
    fn begun(&self, at: Timestamp) -> usize {
        self.0.partition_point(|(start, _)| *start <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_value_holds_from_its_instant_until_the_next_one() {
        let mut line = Timeline::from(at(10), "a");
        line.set(at(20), "b");
        assert_eq!([9, 10, 19, 20, 99].map(|second| line.at(at(second)).copied()), [None, Some("a"), Some("a"), Some("b"), Some("b")]);
        assert_eq!(line.next(at(10)), Some(&(at(20), "b")));
        assert_eq!(line.next(at(20)), None);
    }

    #[test]
    fn what_is_set_takes_the_place_of_what_was_to_come() {
        let mut line = Timeline::from(at(10), "a");
        line.set(at(30), "c");
        line.set(at(20), "b");
        assert_eq!(line.steps(), [(at(10), "a"), (at(20), "b")]);
        line.set(at(40), "d");
        line.settle(at(25));
        assert_eq!(line.steps(), [(at(10), "a"), (at(20), "b")]);
        // The same again is no step.
        line.set(at(25), "b");
        assert_eq!(line.steps().len(), 2);
    }

    #[test]
    fn what_is_long_past_is_forgotten_but_for_the_value_that_holds() {
        let mut line = Timeline::from(at(10), "a");
        line.set(at(20), "b");
        line.set(at(30), "c");
        line.forget_before(at(25));
        assert_eq!(line.steps(), [(at(20), "b"), (at(30), "c")]);
        assert_eq!(Timeline::of_steps(vec![(at(2), 1), (at(2), 2)]), None);
    }
}
