//! Adjustments: an administrator corrects what an account has committed.
//!
//! The account is named as an answer shows it, and found among those that the subject has or had: an account that never was is a bad field,
//! not a new one. What a source cannot take is booked as overage, like usage.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::administration::{AdministrationError as Error, Request, begun};
use super::amount::Micros;
use super::cap::{Cap, CapOf};
use super::catalog::Catalog;
use super::charge::InvalidField;
use super::ids::{MeterId, SubjectId, UserId};
use super::ledger::{AccountKey, AccountKind, CapLeg, Correction, Share, Source, Take, Transaction};
use super::period::{Anchor, Cadence, OutOfCalendar, PeriodName};
use super::plan::AllowancePer;
use super::subject::{Change, Document};
use super::subscription::Subscription;
use super::view::{Seat, View};

/// The field that names an unknown source.
const SOURCE: &str = "account.source_id";

/// A correction, and the id it is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    pub request: Request,
    pub account: NamedAccount,
    pub by: Correcting,
}

/// By how much, more than nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correcting {
    Raise(Micros),
    /// At most by what is committed.
    Lower(Micros),
}

/// An account in a caller's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedAccount {
    pub kind: NamedKind,
    /// The allowance, add-on, grant or cap; of overage the meter.
    pub id: Box<str>,
    /// Whose own account it is.
    pub user: Option<UserId>,
    /// What splits a cap.
    pub dimensions: BTreeMap<Box<str>, Box<str>>,
    /// `None`: the current one.
    pub period: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedKind {
    Allowance,
    AddOn,
    Grant,
    Overage,
    Cap,
}

/// What a correction comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adjusted {
    /// It took effect before.
    Before,
    Now(Box<Transaction>),
}

/// An account that there is, and how more is booked to it.
struct Found {
    account: AccountKey,
    /// Of all but the amount.
    take: Take,
    /// For which instants it is the one that was named; `None`: for all.
    valid: Option<(Timestamp, Timestamp)>,
}

impl Adjustment {
    /// Works out the transaction that corrects the account and remembers the request.
    pub fn work_out(&self, catalog: &Catalog, subject: &SubjectId, document: Option<&Document>, now: Timestamp) -> Result<Adjusted, Error> {
        let document = document.ok_or(Error::SubjectNotFound)?;
        match document.request(&self.request.id) {
            Some(known) if known == self.request.fingerprint => return Ok(Adjusted::Before),
            Some(_) => return Err(Error::IdReused("request_id")),
            None => {}
        }
        let (mut next, now) = begun(document, now);
        let found = self.account.find(catalog, document, now)?;
        let about = format!("{} {}", self.by, found.account);
        let correction = match self.by {
            Correcting::Raise(units) => Correction::Raise(found.raise(units)),
            Correcting::Lower(amount) => Correction::Lower(Share { account: found.account, amount }),
        };
        next.remember(self.request.id.clone(), self.request.fingerprint);
        next.changed(Change::new("AdjustUsage", Some(self.request.id.clone()), &about, &self.request.detail), now);
        Ok(Adjusted::Now(Box::new(Transaction {
            subject: subject.clone(),
            judged_by: Some(document.version),
            valid: found.valid,
            dry_run: false,
            document: Some(next.into()),
            step: None,
            correction: Some(correction),
        })))
    }
}

impl fmt::Display for Correcting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raise(units) => write!(f, "+{units}"),
            Self::Lower(units) => write!(f, "-{units}"),
        }
    }
}

impl Found {
    /// The take that books so much more.
    fn raise(&self, units: Micros) -> Take {
        let mut take = self.take.clone();
        match take.caps.first_mut() {
            Some(cap) => cap.amount = units,
            None => take.units = units,
        }
        take
    }
}

impl NamedAccount {
    fn find(&self, catalog: &Catalog, document: &Document, now: Timestamp) -> Result<Found, InvalidField> {
        if self.kind != NamedKind::Cap && !self.dimensions.is_empty() {
            return Err(bad("dimensions", "split caps, and this is none"));
        }
        if self.user.is_some() && !matches!(self.kind, NamedKind::Allowance | NamedKind::AddOn) {
            return Err(bad("user", "must be empty: only allowances and add-ons have accounts of users; a cap has `dimensions`"));
        }
        match self.kind {
            NamedKind::Allowance => self.source(AccountKind::Allowance, catalog, document, now),
            NamedKind::AddOn => self.source(AccountKind::AddOn, catalog, document, now),
            NamedKind::Grant => self.grant(catalog, document, now),
            NamedKind::Overage => self.overage(catalog, document, now),
            NamedKind::Cap => self.cap(catalog, document, now),
        }
    }

    /// An allowance or add-on, in the period that was named.
    fn source(&self, kind: AccountKind, catalog: &Catalog, document: &Document, now: Timestamp) -> Result<Found, InvalidField> {
        let found = self.then(document, now, |at| self.source_in(kind, catalog, &View::new(catalog, Some(document), at).map_err(beyond)?));
        let period = self.period.as_ref().filter(|_| matches!(&found, Err(problem) if problem.field == SOURCE));
        match period {
            Some(period) if (Self { period: None, ..self.clone() }).source(kind, catalog, document, now).is_ok() => {
                Err(bad("period", format!("the subject had no `{}` in period `{period}`", self.id)))
            }
            _ => found,
        }
    }

    fn source_in(&self, kind: AccountKind, catalog: &Catalog, view: &View<'_>) -> Result<Found, InvalidField> {
        let mut is_shared = false;
        for meter in catalog.meters.keys() {
            let (sources, until) = view.sources(meter, self.user.as_ref()).map_err(beyond)?;
            let named = |account: &AccountKey| account.kind() == kind && account.source() == &*self.id;
            for source in sources.into_iter().filter(|source| named(&source.source.account)) {
                if source.user != self.user {
                    is_shared = true;
                    continue;
                }
                if view.seat(meter, self.user.as_ref()) == Seat::Taken {
                    return Err(bad("user", "has no seat"));
                }
                let account = source.source.account.clone();
                self.check_period(&account)?;
                let take = Take { sources: vec![source.source], overage: Some(view.overage(meter)), ..Take::default() };
                return Ok(Found { account, take, valid: self.current(view, until) });
            }
        }
        Err(if is_shared { bad("user", format!("must be empty: `{}` is shared by the subject", self.id)) } else { self.missing(view) })
    }

    /// Why none was found: it may have accounts of users alone.
    fn missing(&self, view: &View<'_>) -> InvalidField {
        let terms = view.plan.as_ref().map(|active| active.terms);
        let allowances = terms.iter().flat_map(|terms| &terms.allowances).map(|allowance| (allowance.id.as_str(), allowance.per));
        let add_ons = terms.iter().flat_map(|terms| &terms.add_ons).map(|add_on| (add_on.id.as_str(), add_on.per));
        let personal = allowances.chain(add_ons).any(|(id, per)| *id == *self.id && matches!(per, AllowancePer::User | AllowancePer::Seat));
        match (personal, &self.user) {
            (true, None) => bad("user", format!("is missing: `{}` has an account for each user", self.id)),
            (true, Some(_)) => bad("user", "has no seat"),
            (false, _) => bad("source_id", format!("the subject has no `{}`", self.id)),
        }
    }

    /// A grant, whatever became of it. Only one that pays can take anything.
    fn grant(&self, catalog: &Catalog, document: &Document, now: Timestamp) -> Result<Found, InvalidField> {
        let grant = document.grants.iter().find(|grant| grant.id.as_str() == &*self.id);
        let grant = grant.ok_or_else(|| bad("source_id", format!("the subject has no grant `{}`", self.id)))?;
        let view = View::new(catalog, Some(document), now).map_err(beyond)?;
        let account = AccountKey::grant(&grant.id);
        self.check_period(&account)?;
        let (sources, until) = view.sources(&grant.meter, None).map_err(beyond)?;
        let paying = sources.into_iter().map(|source| source.source).find(|source| source.account == account);
        let source = paying.unwrap_or_else(|| Source::limited(account.clone(), Some(Micros::ZERO)));
        let take = Take { sources: vec![source], overage: Some(view.overage(&grant.meter)), ..Take::default() };
        Ok(Found { account, take, valid: self.current(&view, until) })
    }

    fn overage(&self, catalog: &Catalog, document: &Document, now: Timestamp) -> Result<Found, InvalidField> {
        let meter = MeterId::new(&self.id).ok().filter(|meter| catalog.meters.contains_key(meter));
        let meter = meter.ok_or_else(|| bad("source_id", format!("meter `{}` is not in the catalog", self.id)))?;
        self.then(document, now, |at| {
            let view = View::new(catalog, Some(document), at).map_err(beyond)?;
            let account = view.overage(&meter);
            self.check_period(&account)?;
            let take = Take { overage: Some(account.clone()), ..Take::default() };
            Ok(Found { account, take, valid: self.current(&view, None) })
        })
    }

    /// A cap's account in the window that runs: those that are over are forgotten.
    fn cap(&self, catalog: &Catalog, document: &Document, now: Timestamp) -> Result<Found, InvalidField> {
        let view = View::new(catalog, Some(document), now).map_err(beyond)?;
        let of_plan = view.plan.iter().flat_map(|active| &active.terms.caps);
        let cap = catalog.caps.iter().chain(of_plan).find(|cap| cap.id.as_str() == &*self.id);
        let cap = cap.ok_or_else(|| bad("source_id", format!("no cap `{}` applies to the subject", self.id)))?;
        if cap.of == CapOf::InFlight {
            return Err(bad("source_id", format!("cap `{}` counts what is held, and commits nothing", self.id)));
        }
        let values = self.values(cap)?;
        let window = cap.window(view.plan.as_ref().map(|active| active.period), now, &view.zone).map_err(beyond)?;
        let account = cap.account(window, values.into_iter());
        self.check_period(&account)?;
        let leg = CapLeg { lapses: window.map(|(_, end)| end), ..CapLeg::watch(account.clone()) };
        let valid = window.or_else(|| self.current(&view, None));
        Ok(Found { account, take: Take { caps: vec![leg], ..Take::default() }, valid })
    }

    /// The values of a cap's dimensions, in its order.
    fn values<'a>(&'a self, cap: &Cap) -> Result<Vec<&'a str>, InvalidField> {
        let extra = self.dimensions.keys().find(|name| !cap.by.iter().any(|dimension| dimension.name() == &***name));
        if let Some(name) = extra {
            return Err(bad(&format!("dimensions.{name}"), format!("does not split cap `{}`", cap.id)));
        }
        let value = |name: &str| self.dimensions.get(name).map(|value| &**value);
        let values = cap.by.iter().map(|dimension| {
            let name = dimension.name();
            value(name).ok_or_else(|| bad(&format!("dimensions.{name}"), format!("is missing: it splits cap `{}`", cap.id)))
        });
        values.collect()
    }

    /// Looks now, or within the period that was named: as late as the period goes, and so with all that was changed in it.
    fn then(
        &self,
        document: &Document,
        now: Timestamp,
        look: impl Fn(Timestamp) -> Result<Found, InvalidField>,
    ) -> Result<Found, InvalidField> {
        let found = look(now);
        let Some(period) = self.period.as_deref().filter(|_| found.is_err()) else { return found };
        let first = self.first_day(period, document, now)?;
        let anchor = document.subscription_at(first).map_or_else(|| Anchor::calendar(document.zone.clone()), Subscription::anchor);
        let last = |cadence| anchor.period(cadence, first).map(|period| before(period.end).min(now)).map_err(beyond);
        let instants = [last(Cadence::Year)?, last(Cadence::Month)?, first];
        let mut found = found;
        for at in instants {
            found = look(at);
            if found.is_ok() {
                break;
            }
        }
        found
    }

    /// The last instant of a period's first day, which names it, if that has begun.
    fn first_day(&self, period: &str, document: &Document, now: Timestamp) -> Result<Timestamp, InvalidField> {
        let day = PeriodName::parse(period).ok_or_else(|| bad("period", format!("`{period}` is no period of `{}`", self.id)))?.day;
        let start = |day: Date, zone: &TimeZone| day.to_zoned(zone.clone()).map(|start| start.timestamp());
        let next = day.tomorrow().map_err(|_| beyond(OutOfCalendar))?;
        let outside = |_| beyond(OutOfCalendar);
        let subscription = document.subscription_at(start(next, &document.zone).map_err(outside)?.min(now));
        let zone = subscription.map_or(&document.zone, |subscription| &subscription.zone);
        if start(day, zone).map_err(outside)? > now {
            return Err(bad("period", format!("`{period}` has not begun")));
        }
        Ok(before(start(next, zone).map_err(outside)?).min(now))
    }

    /// An account that was found has the period that was named.
    fn check_period(&self, account: &AccountKey) -> Result<(), InvalidField> {
        let Some(named) = self.period.as_deref() else { return Ok(()) };
        match account.period() {
            Some(period) if period == named => Ok(()),
            Some(period) => Err(bad("period", format!("`{named}` is no period of `{}`; the one there is, is `{period}`", self.id))),
            None => Err(bad("period", format!("must be empty: `{}` has no periods", self.id))),
        }
    }

    /// For how long the current period is that. One that was named stays what it is.
    fn current(&self, view: &View<'_>, until: Option<Timestamp>) -> Option<(Timestamp, Timestamp)> {
        if self.period.is_some() {
            return None;
        }
        let (from, before) = view.plan.as_ref().map_or((Timestamp::MIN, Timestamp::MAX), |active| (active.period.start, active.period.end));
        Some((from, until.map_or(before, |until| before.min(until))))
    }
}

/// The last millisecond before an instant.
fn before(instant: Timestamp) -> Timestamp {
    instant.checked_sub(SignedDuration::from_millis(1)).unwrap_or(instant)
}

fn bad(field: &str, problem: impl Into<String>) -> InvalidField {
    InvalidField::new(format!("account.{field}"), problem)
}

fn beyond(error: OutOfCalendar) -> InvalidField {
    bad("period", error.to_string())
}
