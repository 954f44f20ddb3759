//! Periods and calendar windows: from which instant to which an account lives (P2, P3, chapter 4).
//!
//! A boundary is computed from the anchor, never from the boundary before it, so a clamp to a short month does not stick and nothing
//! has to run at midnight for a period to begin.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};

/// How often periods begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cadence {
    Month,
    Year,
}

/// Calendar windows in the subject's zone; weeks start on Monday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Window {
    #[default]
    Always,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    /// The period of the subscription.
    Period,
}

/// Where the periods of a subscription are counted from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The first day, in `zone`.
    pub day: Date,
    pub zone: TimeZone,
}

/// `start <= t < end`: the boundary instant belongs to the new period (P3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub start: Timestamp,
    pub end: Timestamp,
    /// The day `start` falls on in the zone.
    pub day: Date,
    /// 0 for the period of the anchor day.
    pub index: i64,
}

/// What a period is called in account keys and on the wire: its first day, and for a year how long it is, as ISO 8601 writes intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeriodName {
    pub day: Date,
    pub every: Cadence,
}

/// How a year is told from the month that begins on the same day.
const YEAR: &str = "/P1Y";

/// Why a calendar computation gave nothing: the instant lies outside the years the calendar covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("lies outside the calendar")]
pub struct OutOfCalendar;

impl Cadence {
    pub const fn months(self) -> i64 {
        match self {
            Self::Month => 1,
            Self::Year => 12,
        }
    }
}

impl PeriodName {
    /// Takes a name apart again; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (day, every) = text.strip_suffix(YEAR).map_or((text, Cadence::Month), |day| (day, Cadence::Year));
        Some(Self { day: day.parse().ok()?, every })
    }
}

impl fmt::Display for PeriodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.every {
            Cadence::Month => self.day.fmt(f),
            Cadence::Year => write!(f, "{}{YEAR}", self.day),
        }
    }
}

impl From<Date> for PeriodName {
    /// The month that begins on a day.
    fn from(day: Date) -> Self {
        Self { day, every: Cadence::Month }
    }
}

impl Period {
    /// What it is called as a period of a cadence.
    pub const fn name(&self, every: Cadence) -> PeriodName {
        PeriodName { day: self.day, every }
    }
}

impl Anchor {
    /// The anchor of a subscription that starts at `start`.
    pub fn at(start: Timestamp, zone: TimeZone) -> Self {
        Self { day: start.to_zoned(zone.clone()).date(), zone }
    }

    /// The anchor of calendar months, for subjects that nobody has subscribed.
    pub fn calendar(zone: TimeZone) -> Self {
        Self { day: Date::constant(1970, 1, 1), zone }
    }

    /// The period that contains `now`.
    pub fn period(&self, cadence: Cadence, now: Timestamp) -> Result<Period, OutOfCalendar> {
        let today = now.to_zoned(self.zone.clone()).date();
        let months = (i64::from(today.year()) - i64::from(self.day.year())) * 12 + i64::from(today.month()) - i64::from(self.day.month());
        // The guess may be one too late, when today lies before the anchor's day of the month.
        let mut index = months.div_euclid(cadence.months());
        if now < self.boundary(cadence, index)?.1 {
            index -= 1;
        }
        self.nth(cadence, index)
    }

    /// The period `index` steps from the anchor's own.
    pub fn nth(&self, cadence: Cadence, index: i64) -> Result<Period, OutOfCalendar> {
        let (day, start) = self.boundary(cadence, index)?;
        let (_, end) = self.boundary(cadence, index + 1)?;
        Ok(Period { start, end, day, index })
    }

    /// The first instant of the period `index`: midnight of the anchor's day plus so many months, clamped to the month's end. Where
    /// daylight saving skips midnight, the first instant that exists.
    fn boundary(&self, cadence: Cadence, index: i64) -> Result<(Date, Timestamp), OutOfCalendar> {
        let span = Span::new().try_months(index * cadence.months()).map_err(|_| OutOfCalendar)?;
        let day = self.day.checked_add(span).map_err(|_| OutOfCalendar)?;
        let start = day.to_zoned(self.zone.clone()).map_err(|_| OutOfCalendar)?;
        Ok((day, start.timestamp()))
    }
}

/// The calendar window of `now` in a zone, `None` for a window that never ends. `Period` is the caller's to resolve.
pub fn window(window: Window, now: Timestamp, zone: &TimeZone) -> Result<Option<(Timestamp, Timestamp)>, OutOfCalendar> {
    let local = now.to_zoned(zone.clone());
    let (start, length) = match window {
        Window::Always | Window::Period => return Ok(None),
        // Zones shift by whole minutes, so these windows are cut on the local clock and are never an hour of two hours.
        Window::Minute => (aligned(&local, 60)?, 1.minute()),
        Window::Hour => (aligned(&local, 3600)?, 1.hour()),
        Window::Day => (local.start_of_day().map_err(|_| OutOfCalendar)?, 1.day()),
        Window::Week => {
            let back = i64::from(local.weekday().to_monday_zero_offset());
            let monday = local.date().checked_sub(Span::new().days(back)).map_err(|_| OutOfCalendar)?;
            (monday.to_zoned(zone.clone()).map_err(|_| OutOfCalendar)?, 1.week())
        }
        Window::Month => (local.first_of_month().and_then(|first| first.start_of_day()).map_err(|_| OutOfCalendar)?, 1.month()),
    };
    let end = start.checked_add(length).map_err(|_| OutOfCalendar)?;
    Ok(Some((start.timestamp(), end.timestamp())))
}

/// The last instant, not after `local`, whose local clock shows a whole multiple of `seconds`.
fn aligned(local: &Zoned, seconds: i64) -> Result<Zoned, OutOfCalendar> {
    let shown = local.timestamp().as_second() + i64::from(local.offset().seconds());
    let start = Timestamp::from_second(local.timestamp().as_second() - shown.rem_euclid(seconds)).map_err(|_| OutOfCalendar)?;
    Ok(start.to_zoned(local.time_zone().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn starts(anchor: &Anchor, cadence: Cadence, count: i64) -> Vec<String> {
        (0..count).map(|n| anchor.nth(cadence, n).unwrap().day.to_string()).collect()
    }

    #[test]
    fn a_period_begins_on_the_start_day_of_every_month() {
        let anchor = Anchor::at(at("2026-01-18T15:30:00Z"), TimeZone::UTC);
        assert_eq!(starts(&anchor, Cadence::Month, 4), ["2026-01-18", "2026-02-18", "2026-03-18", "2026-04-18"]);
        let first = anchor.period(Cadence::Month, at("2026-01-18T15:30:00Z")).unwrap();
        assert_eq!((first.start, first.end), (at("2026-01-18T00:00:00Z"), at("2026-02-18T00:00:00Z")));
    }

    #[test]
    fn a_year_and_the_month_that_begins_with_it_have_names_of_their_own() {
        let anchor = Anchor::at(at("2026-01-18T15:30:00Z"), TimeZone::UTC);
        let first = |every| anchor.nth(every, 0).unwrap().name(every);
        assert_eq!([first(Cadence::Month).to_string(), first(Cadence::Year).to_string()], ["2026-01-18", "2026-01-18/P1Y"]);
        for every in [Cadence::Month, Cadence::Year] {
            assert_eq!(PeriodName::parse(&first(every).to_string()), Some(first(every)));
        }
        assert_eq!(["", "2026", "2026-02-30", "2026-01-18/P1M"].map(PeriodName::parse), [None; 4]);
    }

    #[test]
    fn a_clamp_to_the_month_end_does_not_stick() {
        let anchor = Anchor::at(at("2026-01-31T00:00:00Z"), TimeZone::UTC);
        assert_eq!(starts(&anchor, Cadence::Month, 5), ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]);
        let leap = Anchor::at(at("2024-02-29T12:00:00Z"), TimeZone::UTC);
        assert_eq!(starts(&leap, Cadence::Year, 5), ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]);
    }

    #[test]
    fn the_boundary_instant_belongs_to_the_new_period() {
        let anchor = Anchor::at(at("2026-01-18T09:00:00Z"), zone("America/New_York"));
        let before = anchor.period(Cadence::Month, at("2026-02-18T04:59:59.999999999Z")).unwrap();
        let after = anchor.period(Cadence::Month, at("2026-02-18T05:00:00Z")).unwrap();
        assert_eq!((before.index, after.index), (0, 1));
        assert_eq!(before.end, after.start);
    }

    #[test]
    fn a_boundary_follows_daylight_saving() {
        let anchor = Anchor::at(at("2026-02-15T12:00:00Z"), zone("America/New_York"));
        assert_eq!(anchor.nth(Cadence::Month, 0).unwrap().start, at("2026-02-15T05:00:00Z"));
        assert_eq!(anchor.nth(Cadence::Month, 1).unwrap().start, at("2026-03-15T04:00:00Z"));
        // In Beirut clocks went from 00:00 to 01:00 on 27 March 2022: the day begins at one.
        let beirut = Anchor::at(at("2022-02-27T12:00:00Z"), zone("Asia/Beirut"));
        assert_eq!(beirut.nth(Cadence::Month, 1).unwrap().start, at("2022-03-26T22:00:00Z"));
    }

    #[test]
    fn periods_tile_time_for_every_anchor_day_over_decades() {
        for name in ["UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "America/Sao_Paulo", "Australia/Lord_Howe"] {
            for day in 1..=31 {
                let anchor = Anchor { day: Date::new(2020, 1, day).unwrap(), zone: zone(name) };
                let mut previous: Option<Period> = None;
                for index in 0..500 {
                    let period = anchor.nth(Cadence::Month, index).unwrap();
                    if let Some(previous) = previous {
                        assert_eq!(previous.end, period.start, "{name} {day} {index}");
                    }
                    assert_eq!(anchor.period(Cadence::Month, period.start).unwrap(), period);
                    assert_eq!(anchor.period(Cadence::Month, period.end - 1.nanosecond()).unwrap(), period);
                    previous = Some(period);
                }
            }
        }
    }

    #[test]
    fn windows_are_those_of_the_subject_s_calendar() {
        let kathmandu = zone("Asia/Kathmandu");
        let now = at("2026-11-22T10:20:30Z"); // 16:05:30 local, a Sunday
        let span = |w| window(w, now, &kathmandu).unwrap().unwrap();
        assert_eq!(span(Window::Minute), (at("2026-11-22T10:20:00Z"), at("2026-11-22T10:21:00Z")));
        assert_eq!(span(Window::Hour), (at("2026-11-22T10:15:00Z"), at("2026-11-22T11:15:00Z")));
        assert_eq!(span(Window::Day), (at("2026-11-21T18:15:00Z"), at("2026-11-22T18:15:00Z")));
        assert_eq!(span(Window::Week), (at("2026-11-15T18:15:00Z"), at("2026-11-22T18:15:00Z")));
        assert_eq!(span(Window::Month), (at("2026-10-31T18:15:00Z"), at("2026-11-30T18:15:00Z")));
        assert_eq!(window(Window::Always, now, &kathmandu).unwrap(), None);
        // The day the clocks go back has 25 hours.
        let (start, end) = window(Window::Day, at("2026-11-01T12:00:00Z"), &zone("America/New_York")).unwrap().unwrap();
        assert_eq!(end.as_second() - start.as_second(), 25 * 3600);
    }
}
