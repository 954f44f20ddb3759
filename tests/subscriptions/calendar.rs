//! Months and years counted from an anchor, by hand: the day of the month, or the month's last one (P3).

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::plans::Every;

#[derive(Debug, Clone)]
pub struct Anchor {
    pub day: Date,
    pub zone: TimeZone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    pub every: Every,
    pub start: Timestamp,
    pub end: Timestamp,
    /// The day it begins on in the zone.
    pub day: Date,
    /// How many such periods came before it.
    pub number: i32,
}

impl Anchor {
    pub fn at(start: Timestamp, zone: TimeZone) -> Self {
        Self { day: start.to_zoned(zone.clone()).date(), zone }
    }

    /// Calendar months and years.
    pub fn of_nobody(zone: TimeZone) -> Self {
        Self { day: Date::constant(2000, 1, 1), zone }
    }

    /// The day that lies so many periods behind the anchor, and its first instant.
    fn nth(&self, every: Every, number: i32) -> (Date, Timestamp) {
        let months = i32::from(self.day.year()) * 12 + i32::from(self.day.month()) - 1 + number * if every == Every::Year { 12 } else { 1 };
        let (year, month) = (i16::try_from(months / 12).unwrap(), i8::try_from(months % 12 + 1).unwrap());
        let last = Date::new(year, month, 1).unwrap().days_in_month();
        let day = Date::new(year, month, self.day.day().min(last)).unwrap();
        (day, day.to_zoned(self.zone.clone()).unwrap().timestamp())
    }

    /// The period that holds an instant, looked for one by one from shortly before it.
    pub fn period(&self, every: Every, at: Timestamp) -> Period {
        let today = at.to_zoned(self.zone.clone()).date();
        let months = (i32::from(today.year()) - i32::from(self.day.year())) * 12 + i32::from(today.month()) - i32::from(self.day.month());
        let mut number = (months / if every == Every::Year { 12 } else { 1 } - 1).max(0);
        while self.nth(every, number + 1).1 <= at {
            number += 1;
        }
        let ((day, start), (_, end)) = (self.nth(every, number), self.nth(every, number + 1));
        Period { every, start, end, day, number }
    }
}
