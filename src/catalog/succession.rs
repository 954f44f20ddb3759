//! Whether a catalog may follow the one in force: what was issued is never taken away, nor given a second time (P14).
//!
//! Pure: two catalogs and an instant in, problems out. Compared is what can still be used: the terms of every day on which a period may have
//! begun that runs now, somewhere on earth, or that such a period carries units over from. Terms of later days are free, and so is whatever
//! gives more. The check of a file and its reload call it.

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone, offset};
use jiff::{Span, Timestamp, ToSpan};

use crate::domain::amount::{Micros, RoundingMode};
use crate::domain::cap::{Cap, CapOf};
use crate::domain::catalog::Catalog;
use crate::domain::ids::MeterId;
use crate::domain::period::Cadence;
use crate::domain::plan::{AddOn, Allowance, AllowancePer, Bundle, Issue, Plan, Proration, ProrationKind, Terms};
use crate::yaml::{Places, Problem};

/// The zones in which a day begins first and last.
const EASTERNMOST: Offset = offset(14);
const WESTERNMOST: Offset = offset(-12);
/// How long ago a period may have begun that still counts: one of a year that runs, and the one before it, which may roll over.
const YEARS_BACK: i64 = 2;

/// What `new` takes away from those who have what `old` issued. `places` are those of the new text.
pub(super) fn problems(old: &Catalog, new: &Catalog, places: &Places, now: Timestamp) -> Vec<Problem> {
    let mut succession = Succession { places, days: Days::that_count(now), problems: Vec::new() };
    succession.compare(old, new);
    succession.problems
}

struct Succession<'a> {
    places: &'a Places,
    days: Days,
    problems: Vec<Problem>,
}

/// First days of periods that still count.
struct Days {
    first: Date,
    /// Today, where it is latest.
    last: Date,
}

/// A stretch of days on which neither of two plans changes its terms.
#[derive(Clone, Copy)]
struct Stretch {
    first: Date,
    /// The day after it; `None`: it lasts.
    next: Option<Date>,
}

/// What an allowance or add-on gives.
struct Gives<'c> {
    /// `allowances` or `add_ons`.
    kind: &'static str,
    id: &'c str,
    meter: &'c MeterId,
    per: AllowancePer,
    monthly: Issue,
    yearly: Issue,
    /// The most that may roll over.
    carried: Micros,
}

impl Succession<'_> {
    fn compare(&mut self, old: &Catalog, new: &Catalog) {
        let (before, after) = (&old.price_book.currency, &new.price_book.currency);
        if before != after {
            let message = format!("is {after}, and what is booked already is in {before}");
            self.problem(&["currency"], message, "another currency needs another `instance`");
        }
        for meter in old.meters.keys().filter(|meter| !new.meters.contains_key(*meter)) {
            let hint = "keep the meter; nothing need be charged in it";
            self.problem(&["meters", meter.as_str()], "is gone, and accounts and grants are kept in it", hint);
        }
        for (id, plan) in &old.plans {
            let path = ["plans", id.as_str()];
            match new.plans.get(id) {
                Some(follower) => {
                    self.plan(&path, plan, follower);
                    self.prorations(&path, plan, follower);
                }
                None => self.problem(&path, "is gone, and whoever is subscribed to it would have no plan", "keep the plan"),
            }
        }
        match (default_plan(old), default_plan(new)) {
            (Some(before), Some(after)) if before.id != after.id => self.plan(&["default_plan"], before, after),
            (Some(before), None) => {
                let message = format!("is gone, and whoever has no subscription has what `{}` gives", before.id);
                let hint = format!("let `{}` give less, or nothing, by {}", before.id, self.days.remedy());
                self.problem(&["default_plan"], message, &hint);
            }
            _ => {}
        }
        self.caps(&["caps"], old.caps.iter().collect(), new.caps.iter().collect());
    }

    fn plan(&mut self, path: &[&str], old: &Plan, new: &Plan) {
        for stretch in self.days.stretches(old, new) {
            let (before, after) = (Gives::of_terms(old.terms_on(stretch.first)), Gives::of_terms(new.terms_on(stretch.first)));
            for given in &before {
                self.source(path, stretch, given, after.iter().find(|after| (after.kind, after.id) == (given.kind, given.id)));
            }
        }
        self.caps(&[path, &["caps"]].concat(), caps_of(old), caps_of(new));
    }

    fn source(&mut self, path: &[&str], stretch: Stretch, old: &Gives<'_>, new: Option<&Gives<'_>>) {
        let path = [path, &[old.kind, old.id]].concat();
        for message in new.map_or_else(|| vec!["is gone".to_owned()], |new| old.losses(new)) {
            self.loss(&path, stretch, &message);
        }
    }

    /// What a change of plan added to a period that runs is worked out anew from the terms, whenever it is used.
    fn prorations(&mut self, path: &[&str], old: &Plan, new: &Plan) {
        for stretch in self.days.stretches(old, new) {
            if is_less(old.terms_on(stretch.first).proration, new.terms_on(stretch.first).proration) {
                self.loss(&[path, &["proration"]].concat(), stretch, "may give less to whoever has changed to this plan");
            }
        }
    }

    fn loss(&mut self, path: &[&str], stretch: Stretch, message: &str) {
        let when = stretch.next.map(|next| format!(", in periods that began before {next}")).unwrap_or_default();
        let hint = format!("keep it, and let what is new begin by {}", self.days.remedy());
        self.problem(path, format!("{message}{when}"), &hint);
    }

    /// A cap's account is known by the cap's name: under another unit, what it holds would mean something else.
    fn caps(&mut self, path: &[&str], old: Vec<&Cap>, new: Vec<&Cap>) {
        for cap in new {
            let mut namesakes = old.iter().filter(|before| before.id == cap.id).peekable();
            if namesakes.peek().is_some() && namesakes.all(|before| mixes(&before.of, &cap.of)) {
                let path = [path, &[cap.id.as_str()]].concat();
                self.problem(&path, "limits something else than before under one name", "give the new cap another name");
            }
        }
    }

    fn problem(&mut self, path: &[&str], message: impl Into<String>, hint: &str) {
        let problem = self.places.problem_below_root(path, message).hint(hint);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

impl Days {
    fn that_count(now: Timestamp) -> Self {
        let day = |offset: Offset| now.to_zoned(TimeZone::fixed(offset)).date();
        // A day more: a period may begin late in its month, clamped to the end of a shorter one.
        let back: Span = YEARS_BACK.years().days(1);
        Self { first: day(WESTERNMOST).saturating_sub(back), last: day(EASTERNMOST) }
    }

    fn stretches(&self, old: &Plan, new: &Plan) -> Vec<Stretch> {
        let changes = old.terms.iter().chain(&new.terms).filter_map(|terms| terms.from);
        let firsts: BTreeSet<Date> = changes.filter(|day| (self.first..=self.last).contains(day)).chain([self.first]).collect();
        let nexts = firsts.iter().copied().map(Some).skip(1).chain([None]);
        firsts.iter().copied().zip(nexts).map(|(first, next)| Stretch { first, next }).collect()
    }

    /// What makes a change possible.
    fn remedy(&self) -> String {
        format!("dated `terms`: `from: {}` or later", self.last.saturating_add(1.day()))
    }
}

impl<'c> Gives<'c> {
    fn of_terms(terms: &'c Terms) -> Vec<Self> {
        terms.allowances.iter().map(Self::of_allowance).chain(terms.add_ons.iter().map(Self::of_add_on)).collect()
    }

    fn of_allowance(allowance: &'c Allowance) -> Self {
        Self {
            kind: "allowances",
            id: allowance.id.as_str(),
            meter: &allowance.meter,
            per: allowance.per,
            monthly: allowance.monthly,
            yearly: allowance.yearly,
            carried: allowance.rollover.map_or(Micros::ZERO, |rollover| rollover.cap),
        }
    }

    fn of_add_on(add_on: &'c AddOn) -> Self {
        let issue = |bundle: Bundle| Issue { amount: Some(bundle.amount), every: bundle.every };
        Self {
            kind: "add_ons",
            id: add_on.id.as_str(),
            meter: &add_on.meter,
            per: add_on.per,
            monthly: issue(add_on.monthly),
            yearly: issue(add_on.yearly),
            carried: Micros::ZERO,
        }
    }

    /// What is lost when this becomes that.
    fn losses(&self, new: &Self) -> Vec<String> {
        let mut losses = Vec::new();
        if self.meter != new.meter {
            losses.push(format!("is in `{}` instead of `{}`", new.meter, self.meter));
        }
        if self.per != new.per {
            losses.push(format!("is {} instead of {}", per(new.per), per(self.per)));
        }
        losses.extend(lost(self.monthly, new.monthly));
        if (self.monthly, new.monthly) != (self.yearly, new.yearly) {
            losses.extend(lost(self.yearly, new.yearly).map(|loss| format!("{loss}, where billed yearly")));
        }
        if new.carried < self.carried {
            losses.push(format!("rolls over {} instead of {}", new.carried, self.carried));
        }
        losses
    }
}

fn default_plan(catalog: &Catalog) -> Option<&Plan> {
    catalog.default_plan.as_ref().and_then(|id| catalog.plans.get(id))
}

/// Those of all terms.
fn caps_of(plan: &Plan) -> Vec<&Cap> {
    plan.terms.iter().flat_map(|terms| &terms.caps).collect()
}

/// What is lost between two issues. Another cadence begins other accounts, so it is no matter of the amount.
fn lost(old: Issue, new: Issue) -> Option<String> {
    let amount = |issue: Issue| issue.amount.map_or_else(|| "unlimited".to_owned(), |amount| amount.to_string());
    if old.every != new.every {
        return Some(format!("is given every {} instead of every {}", every(new.every), every(old.every)));
    }
    let is_less = match (old.amount, new.amount) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(new)) => new < old,
    };
    is_less.then(|| format!("gives {} instead of {}", amount(new), amount(old)))
}

/// Whether a change of plan may add less by another proration, its rounding included.
fn is_less(old: Proration, new: Proration) -> bool {
    let direction = |mode: RoundingMode| match mode {
        RoundingMode::None | RoundingMode::Down => 0,
        RoundingMode::HalfUp => 1,
        RoundingMode::Up => 2,
    };
    match (old.kind, new.kind) {
        (ProrationKind::None, _) | (_, ProrationKind::Full) => false,
        (ProrationKind::Prorated, ProrationKind::Prorated) => old.step != new.step || direction(new.mode) < direction(old.mode),
        (ProrationKind::Full | ProrationKind::Prorated, ProrationKind::None) | (ProrationKind::Full, ProrationKind::Prorated) => true,
    }
}

/// Whether two caps of one name count different things in one account. What is in flight has accounts of another kind.
fn mixes(old: &CapOf, new: &CapOf) -> bool {
    old != new && *old != CapOf::InFlight && *new != CapOf::InFlight
}

fn per(per: AllowancePer) -> &'static str {
    match per {
        AllowancePer::User => "`per: user`",
        AllowancePer::Seat => "`per: seat`",
        AllowancePer::SeatsPooled => "`per: seat, pool: shared`",
        AllowancePer::Subject => "`per: subject`",
    }
}

fn every(every: Cadence) -> &'static str {
    match every {
        Cadence::Month => "month",
        Cadence::Year => "year",
    }
}
