//! Subscriptions: which plan holds when, how many seats and add-ons there are, and who sits (P6, P7, P11, P12).
//!
//! Everything is a timeline over one anchor, so what is to change at a period's end stands here already, and nothing has to run for it.
//! A subscription that has ended keeps its anchor until its last period would have been over: whoever comes back before goes on in it.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::ids::{AddOnId, PlanId, UserId};
use super::period::{Anchor, Cadence, OutOfCalendar};
use super::timeline::Timeline;

/// How long what held before is remembered: two years and a month.
const REMEMBERED: SignedDuration = SignedDuration::from_hours((2 * 366 + 31) * 24);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub billing: Cadence,
    /// The anchor of every period, in `zone`.
    pub start_time: Timestamp,
    pub zone: TimeZone,
    /// `None` where it has ended.
    pub plans: Timeline<Option<PlanId>>,
    pub seats: Timeline<u32>,
    pub add_ons: BTreeMap<AddOnId, Timeline<u32>>,
    /// Who sits. Occupied by first use (P6).
    pub occupied: BTreeMap<UserId, Occupancy>,
    /// The accounts of seats that were left, longest vacant first: what was used there stays used for the next occupant.
    pub vacated: Vec<UserId>,
}

/// A seat that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupancy {
    pub since: Timestamp,
    /// Names the seat's accounts: whoever sat there first.
    pub account: UserId,
}

impl Subscription {
    pub fn new(plan: PlanId, billing: Cadence, start_time: Timestamp, zone: TimeZone, seats: u32) -> Self {
        Self {
            billing,
            start_time,
            zone,
            plans: Timeline::from(start_time, Some(plan)),
            seats: Timeline::from(start_time, seats),
            add_ons: BTreeMap::new(),
            occupied: BTreeMap::new(),
            vacated: Vec::new(),
        }
    }

    pub fn anchor(&self) -> Anchor {
        Anchor::at(self.start_time, self.zone.clone())
    }

    /// The plan that holds at an instant.
    pub fn plan(&self, at: Timestamp) -> Option<&PlanId> {
        self.plans.at(at)?.as_ref()
    }

    pub fn seats(&self, at: Timestamp) -> u32 {
        self.seats.at(at).copied().unwrap_or_default()
    }

    /// When it ends, or has ended; `None` while it goes on.
    pub fn end_time(&self) -> Option<Timestamp> {
        self.plans.steps().last().filter(|(_, plan)| plan.is_none()).map(|(end, _)| *end)
    }

    /// When the billing period of an instant ends: what is taken less of acts then (P12).
    pub fn term_end(&self, at: Timestamp) -> Result<Timestamp, OutOfCalendar> {
        Ok(self.anchor().period(self.billing, at)?.end)
    }

    /// The seat a user sits on. Where there are more occupants than seats, those who have sat for longest stay.
    pub fn seat(&self, user: &UserId, at: Timestamp) -> Option<&Occupancy> {
        let own = self.occupied.get(user)?;
        let seats = self.seats(at) as usize;
        if self.occupied.len() <= seats {
            return Some(own);
        }
        let before = self.occupied.iter().filter(|(other, taken)| (taken.since, *other) < (own.since, user)).count();
        (before < seats).then_some(own)
    }

    /// Whether there is a seat that nobody sits on.
    pub fn has_free_seat(&self, at: Timestamp) -> bool {
        self.occupied.len() < self.seats(at) as usize
    }

    /// Seats a user, on the seat they left if it is still there, on one that nobody had, or on the one that is longest vacant.
    pub fn take_seat(&mut self, user: &UserId, now: Timestamp) {
        let account = self.account_for(user, now);
        self.vacated.retain(|vacant| *vacant != account);
        self.occupied.insert(user.clone(), Occupancy { since: now, account });
    }

    /// The account of the seat that a user is about to take.
    pub fn account_for(&self, user: &UserId, at: Timestamp) -> UserId {
        let free = (self.seats(at) as usize).saturating_sub(self.occupied.len());
        let vacated = &self.vacated[..self.vacated.len().min(free)];
        match vacated.first() {
            Some(_) if vacated.contains(user) => user.clone(),
            Some(vacant) if vacated.len() == free => vacant.clone(),
            _ => self.fresh_account(user),
        }
    }

    /// Frees a user's seat; nothing where they have none.
    pub fn vacate(&mut self, user: &UserId) {
        if let Some(seat) = self.occupied.remove(user) {
            self.vacated.push(seat.account);
        }
    }

    /// Closes the seats that are gone by now, those who sat down last first.
    pub fn close_seats(&mut self, now: Timestamp) {
        let mut by_time: Vec<_> = self.occupied.iter().map(|(user, seat)| (seat.since, user.clone())).collect();
        by_time.sort();
        for (_, user) in by_time.into_iter().skip(self.seats(now) as usize) {
            self.occupied.remove(&user);
        }
        self.vacated.truncate((self.seats(now) as usize).saturating_sub(self.occupied.len()));
    }

    /// Forgets what cannot matter any more: the periods of the longest cadence reach back one year, and what rolls over another.
    pub fn forget(&mut self, now: Timestamp) {
        let horizon = now.checked_sub(REMEMBERED).unwrap_or(Timestamp::MIN);
        self.seats.forget_before(horizon);
        self.add_ons.values_mut().for_each(|units| units.forget_before(horizon));
        self.add_ons.retain(|_, units| units.steps().last().is_some_and(|(from, count)| *count > 0 || horizon < *from));
        // Whether an add-on is still there is told by every plan since it was bought.
        let bought = self.add_ons.values().filter_map(|units| units.steps().first()).map(|(from, _)| *from).min();
        self.plans.forget_before(bought.map_or(horizon, |bought| bought.min(horizon)));
    }

    /// A name for the accounts of a seat that nobody had: the user's own, unless somebody else sits where they once did.
    fn fresh_account(&self, user: &UserId) -> UserId {
        let is_taken = |name: &UserId| self.vacated.contains(name) || self.occupied.values().any(|seat| seat.account == *name);
        if !is_taken(user) {
            return user.clone();
        }
        let numbered = (2_u32..).map(|number| {
            let number = number.to_string();
            let room = super::ids::ID_BYTES_MAX - number.len() - 1;
            let name = &user.as_str()[..user.as_str().len().min(room)];
            UserId::new(&format!("{name}/{number}")).expect("a shorter id with letters of ids is one")
        });
        numbered.into_iter().find(|name| !is_taken(name)).expect("there are more numbers than seats")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn subscription(seats: u32) -> Subscription {
        Subscription::new(PlanId::new("team").unwrap(), Cadence::Month, at(0), TimeZone::UTC, seats)
    }

    fn accounts(of: &Subscription) -> Vec<(&str, &str)> {
        of.occupied.iter().map(|(user, seat)| (user.as_str(), seat.account.as_str())).collect()
    }

    #[test]
    fn a_seat_that_was_left_is_taken_again_only_when_no_other_is_unused() {
        let mut team = subscription(2);
        team.take_seat(&user("ann"), at(1));
        team.vacate(&user("ann"));
        team.take_seat(&user("bob"), at(2));
        team.take_seat(&user("cid"), at(3));
        assert_eq!(accounts(&team), [("bob", "bob"), ("cid", "ann")]);
        // Ann comes back where Bob sat, for somebody else has her seat.
        team.vacate(&user("bob"));
        team.take_seat(&user("ann"), at(4));
        assert_eq!(accounts(&team), [("ann", "bob"), ("cid", "ann")]);
    }

    #[test]
    fn who_comes_back_has_their_own_seat() {
        let mut team = subscription(3);
        team.take_seat(&user("ann"), at(1));
        team.vacate(&user("ann"));
        team.take_seat(&user("ann"), at(2));
        assert_eq!(accounts(&team), [("ann", "ann")]);
        assert!(team.vacated.is_empty());
    }

    #[test]
    fn a_new_seat_never_shares_an_account() {
        let mut team = subscription(1);
        team.take_seat(&user("ann"), at(1));
        team.vacate(&user("ann"));
        team.take_seat(&user("bob"), at(2));
        team.seats.set(at(3), 3);
        team.take_seat(&user("ann"), at(3));
        team.take_seat(&user("ann/2"), at(4));
        assert_eq!(accounts(&team), [("ann", "ann/2"), ("ann/2", "ann/2/2"), ("bob", "ann")]);
    }

    #[test]
    fn when_seats_close_those_who_sat_longest_stay() {
        let mut team = subscription(3);
        for (second, name) in [(3, "ann"), (1, "bob"), (2, "cid")] {
            team.take_seat(&user(name), at(second));
        }
        team.seats.set(at(10), 2);
        let sits = |team: &Subscription, at| ["ann", "bob", "cid"].map(|name| team.seat(&user(name), at).is_some());
        assert_eq!((sits(&team, at(9)), sits(&team, at(10))), ([true; 3], [false, true, true]));
        team.close_seats(at(11));
        assert_eq!(accounts(&team), [("bob", "bob"), ("cid", "cid")]);
    }

    #[test]
    fn a_plan_is_remembered_as_long_as_an_add_on_that_was_renewed_under_it() {
        let year = |years: i64| at(years * 366 * 24 * 3600);
        let changed = |add_on: bool| {
            let mut team = subscription(1);
            if add_on {
                team.add_ons.insert(AddOnId::new("reel").unwrap(), Timeline::from(year(0), 2));
            }
            team.plans.set(year(1), Some(PlanId::new("studio").unwrap()));
            team.forget(year(4));
            team.plan(year(0)).map(PlanId::to_string)
        };
        assert_eq!((changed(true), changed(false)), (Some("team".to_owned()), None));
    }
}
