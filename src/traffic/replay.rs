//! Traffic again, under another catalog: what it would have counted and cost, and who would have been denied.
//!
//! Every reservation goes the way of a real one: judged by the domain, held, retried and settled in a ledger of its own, at the instants the
//! events tell. What was denied is not charged, and what would have followed it is not asked.

mod result;
mod subjects;
mod timeline;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

pub use self::result::{DeniedSubject, Replayed, Totals};
use self::subjects::Subjects;
use self::timeline::{Close, Moment, Open, timeline};
use super::{Attempted, Traffic};
use crate::domain::alternative::Alternatives;
use crate::domain::amount::Micros;
use crate::domain::balance::Snapshot;
use crate::domain::catalog::Catalog;
use crate::domain::charge::{Ask, Charge, Opening};
use crate::domain::denial::Denial;
use crate::domain::ids::{GenerationId, PlanId, ReservationId, SubjectId};
use crate::domain::ledger::{AccountKey, Answer, Changes, Fingerprint, Ledger, Row, Source, State, Transaction};
use crate::domain::remedy::Judged;
use crate::domain::reservation::Outcome;
use crate::domain::retry::{NextAttempt, Retry};
use crate::domain::settlement::{self, Ending, Settlement, own_left};
use crate::domain::subject::Document;
use crate::domain::view::View;
use crate::store::transfer::Progress;

/// Ended reservations are kept for so long: a commit may come after an expiry, and nothing else asks for one.
const RETENTION: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Every id is used once, so nothing is ever a repeat.
const FINGERPRINT: Fingerprint = Fingerprint([0; 16]);

/// Why there is nothing to replay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("the catalog has no plan {}\nhint: say which plan takes its place: `--plan {}=NEW`", .0.join(" and none "), .0[0].trim_matches('`'))]
    UnknownPlans(Vec<String>),
    #[error("the catalog has no plan `{0}` that `--plan` could name")]
    UnknownReplacement(PlanId),
    #[error("the events are in {events} and the catalog is in {catalog}")]
    Currency { events: String, catalog: String },
}

/// A replay under way.
pub struct Replay<'c> {
    catalog: &'c Catalog,
    ledger: Ledger,
    changes: Changes,
    subjects: Subjects,
    /// What became of each reservation so far.
    running: HashMap<(SubjectId, ReservationId), Running>,
    opened: u64,
    result: Replayed,
}

/// A reservation of the traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Running {
    /// Under the name it has here.
    Held(ReservationId),
    /// It was denied or could not be judged; what follows of it did not happen.
    Over,
}

/// Why an attempt is not charged.
enum Stop {
    /// Why is worked out for the first denial of a subject alone: that is the one that is told, and finding its remedies judges it many times.
    Denied(Option<Box<Denial>>),
    /// What it asks makes no sense under this catalog.
    Refused(String),
}

impl<'c> Replay<'c> {
    /// Plays all traffic. `plans` says which plan takes the place of another.
    pub fn play(
        traffic: &Traffic,
        catalog: &'c Catalog,
        plans: BTreeMap<PlanId, PlanId>,
        progress: &dyn Progress,
    ) -> Result<Replayed, ReplayError> {
        check(traffic, catalog, &plans)?;
        let mut replay = Self {
            catalog,
            ledger: Ledger::new(RETENTION),
            changes: Changes::default(),
            subjects: Subjects::of(traffic, plans),
            running: HashMap::new(),
            opened: 0,
            result: Replayed::default(),
        };
        for document in replay.subjects.at_first() {
            replay.put_document(Timestamp::MIN, document);
        }
        let moments = timeline(traffic);
        progress.begin("replaying", Some(u64::try_from(moments.len()).unwrap_or(u64::MAX)));
        for (time, moment) in moments {
            replay.step(time, moment);
            progress.advance(1);
        }
        Ok(replay.result)
    }

    fn step(&mut self, time: Timestamp, moment: Moment<'_>) {
        // Nothing of the past is read again.
        self.changes = Changes::default();
        while self.ledger.sweep(time, &mut self.changes) {}
        match moment {
            Moment::Document(document) => {
                let current = self.ledger.document(&document.subject);
                let document = self.subjects.changed(document, current.as_deref());
                self.put_document(time, document);
            }
            Moment::Record(attempt) => self.record(time, attempt),
            Moment::Open(open) => self.open(time, open),
            Moment::Close(close) => self.close(time, close),
            Moment::Whole(open, close) => {
                self.open(time, open);
                self.close(time, close);
            }
        }
    }

    fn put_document(&mut self, time: Timestamp, document: Document) {
        let transaction = Transaction {
            subject: document.subject.clone(),
            judged_by: None,
            valid: None,
            dry_run: false,
            document: Some(Arc::new(document)),
            step: None,
            correction: None,
        };
        self.ledger.execute(time, &transaction, &mut self.changes);
    }

    /// Puts the subject on the plan that its events name, where nothing else tells.
    fn assume_plan(&mut self, time: Timestamp, attempt: &Attempted) -> Option<Arc<Document>> {
        let current = self.ledger.document(&attempt.subject);
        match self.subjects.assumed(attempt, current.as_deref()) {
            Some(document) => {
                self.put_document(time, document);
                self.ledger.document(&attempt.subject)
            }
            None => current,
        }
    }

    fn open(&mut self, time: Timestamp, open: Open<'_>) {
        let attempt = open.attempt;
        let document = self.assume_plan(time, attempt);
        let running = match self.hold(time, open, document.as_deref()) {
            Ok(id) => Running::Held(id),
            Err(stop) => {
                self.note_stop(time, attempt, stop);
                Running::Over
            }
        };
        self.running.insert((attempt.subject.clone(), attempt.reservation.clone()), running);
    }

    fn hold(&mut self, time: Timestamp, open: Open<'_>, document: Option<&Document>) -> Result<ReservationId, Stop> {
        let attempt = open.attempt;
        let view = View::new(self.catalog, document, time).map_err(|error| Stop::refused(&error))?;
        let ask = ask(attempt);
        let charge = Charge::judge(self.catalog, &view, &ask).map_err(|error| Stop::refused(&error))?;
        if !charge.violations.is_empty() {
            return Err(Stop::Denied(Some(Box::new(Denial::of(charge.violations.clone())))));
        }
        let ttl = open.deadline.duration_since(time);
        let transaction = charge.hold(self.opening(attempt, &charge, &ask), &view, ttl);
        match self.ledger.execute(time, &transaction, &mut self.changes) {
            Answer::Done(done) => done.row.map(|row| row.id.clone()).ok_or_else(|| Stop::Refused("the ledger lost it".to_owned())),
            Answer::Denied(_) if self.result.denied.contains_key(&attempt.subject) => Err(Stop::Denied(None)),
            Answer::Denied(denied) => {
                let judged = Judged { catalog: self.catalog, view: &view, ask: &ask, charge: &charge };
                let denial =
                    judged.denial(&denied, &judged.snapshot(&denied), &Alternatives::default()).map_err(|error| Stop::refused(&error))?;
                Err(Stop::Denied(Some(Box::new(denial))))
            }
            answer => Err(Stop::unexpected(&answer)),
        }
    }

    fn opening(&mut self, attempt: &Attempted, charge: &Charge<'_>, ask: &Ask<'_>) -> Opening {
        self.opened += 1;
        let number = self.opened.to_string();
        Opening {
            subject: attempt.subject.clone(),
            user: attempt.user.clone(),
            id: ReservationId::new(&number).expect("digits are an id"),
            fingerprint: FINGERPRINT,
            detail: charge.detail(self.catalog, ask, GenerationId::new(&number).expect("digits are an id")),
            dry_run: false,
            trace: None,
        }
    }

    fn close(&mut self, time: Timestamp, close: Close<'_>) {
        let attempt = close.attempt;
        let key = (attempt.subject.clone(), attempt.reservation.clone());
        let Some(Running::Held(id)) = self.running.get(&key).cloned() else {
            self.result.not_charged(attempt);
            return;
        };
        if let Some(next) = close.next {
            match self.retry(time, attempt, next, &id) {
                Ok(row) => return self.result.retried(attempt, &row),
                Err(stop) => {
                    // The attempt was made all the same: it is released with its cost, and no other follows.
                    self.note_stop(time, next, stop);
                    self.running.insert(key, Running::Over);
                }
            }
        }
        match self.settle(time, attempt, &id) {
            Ok(row) => self.result.charged(attempt, &row),
            Err(stop) => {
                self.note_stop(time, attempt, stop);
                self.result.not_charged(attempt);
            }
        }
    }

    /// Closes an attempt and opens the next one, in one step (L8).
    fn retry(&mut self, time: Timestamp, attempt: &Attempted, next: &Attempted, id: &ReservationId) -> Result<Arc<Row>, Stop> {
        let row = self.found(time, attempt, id)?;
        if row.state != State::Held {
            return Err(Stop::Refused("it was retried after it had expired".to_owned()));
        }
        let (billing, work) = (attempt.billing(), Some(next.asked.clone()));
        let next = NextAttempt { target: next.target.clone(), work, reason: None };
        let (subject, outcome) = (&attempt.subject, attempt.outcome);
        let retry = Retry { subject, row: &row, outcome, billing: &billing, next: &next, fingerprint: FINGERPRINT, trace: None };
        let document = self.ledger.document(subject);
        let (now, then) = self.views(document.as_deref(), time, &row)?;
        let retrial = retry.work_out(self.catalog, &now, &then).map_err(|error| Stop::refused(&error))?;
        if !retrial.violations.is_empty() {
            return Err(Stop::Denied(Some(Box::new(retrial.refusal()))));
        }
        match self.ledger.execute(time, &retrial.transaction, &mut self.changes) {
            Answer::Done(done) => done.row.ok_or_else(|| Stop::Refused("the ledger lost it".to_owned())),
            Answer::Denied(denied) => Err(Stop::Denied(Some(Box::new(retrial.denial(&denied))))),
            answer => Err(Stop::unexpected(&answer)),
        }
    }

    /// A reservation as it stands.
    fn found(&mut self, time: Timestamp, attempt: &Attempted, id: &ReservationId) -> Result<Arc<Row>, Stop> {
        let row = self.ledger.reservation(&attempt.subject, id, time, &mut self.changes);
        row.ok_or_else(|| Stop::Refused("it was settled more than a week after it had ended".to_owned()))
    }

    /// The subject now, and at the instant a reservation was judged.
    fn views<'v>(&self, document: Option<&'v Document>, time: Timestamp, row: &Row) -> Result<(View<'v>, View<'v>), Stop>
    where
        'c: 'v,
    {
        let view = |at| View::new(self.catalog, document, at).map_err(|error| Stop::refused(&error));
        Ok((view(time)?, view(row.detail.judged_at)?))
    }

    fn settle(&mut self, time: Timestamp, attempt: &Attempted, id: &ReservationId) -> Result<Arc<Row>, Stop> {
        let row = self.found(time, attempt, id)?;
        if attempt.outcome == Outcome::Expired {
            return Ok(row);
        }
        if row.state == State::Expired && attempt.outcome != Outcome::Accepted {
            return Err(Stop::Refused("it was released after it had expired".to_owned()));
        }
        let ending = match attempt.outcome {
            Outcome::Accepted => Ending::Commit { delivered: attempt.delivered.clone() },
            outcome => Ending::Release { outcome, note: Box::default() },
        };
        let billing = attempt.billing();
        let subject = &attempt.subject;
        let left = Micros::ZERO;
        let mut settlement =
            Settlement { subject, row: &row, ending: &ending, billing: &billing, fingerprint: FINGERPRINT, trace: None, left };
        let document = self.ledger.document(subject);
        let (now, then) = self.views(document.as_deref(), time, &row)?;
        let own = settlement.own_to_read(&now, &then).map_err(|error| Stop::refused(&error))?;
        let keys: Vec<AccountKey> = own.iter().flat_map(Source::accounts).cloned().collect();
        let accounts = self.ledger.accounts(subject, &keys);
        settlement.left = own_left(&own, &Snapshot::new(keys.into_iter().zip(accounts)));
        let settled = settlement.work_out(self.catalog, &now, &then).map_err(|error| Stop::refused(&error))?;
        self.carry_out(time, &settled.transaction)
    }

    /// Usage that never had a hold: always booked (L13).
    fn record(&mut self, time: Timestamp, attempt: &Attempted) {
        let document = self.assume_plan(time, attempt);
        match self.book(time, attempt, document.as_deref()) {
            Ok(row) => self.result.charged(attempt, &row),
            Err(stop) => {
                self.note_stop(time, attempt, stop);
                self.result.not_charged(attempt);
            }
        }
    }

    fn book(&mut self, time: Timestamp, attempt: &Attempted, document: Option<&Document>) -> Result<Arc<Row>, Stop> {
        let view = View::new(self.catalog, document, time).map_err(|error| Stop::refused(&error))?;
        let ask = ask(attempt);
        let mut charge = Charge::judge(self.catalog, &view, &ask).map_err(|error| Stop::refused(&error))?;
        let opening = self.opening(attempt, &charge, &ask);
        let transaction = settlement::record(self.catalog, &view, &mut charge, attempt.outcome, &attempt.billing(), opening);
        self.carry_out(time, &transaction.map_err(|error| Stop::refused(&error))?)
    }

    fn carry_out(&mut self, time: Timestamp, transaction: &Transaction) -> Result<Arc<Row>, Stop> {
        match self.ledger.execute(time, transaction, &mut self.changes) {
            Answer::Done(done) => done.row.ok_or_else(|| Stop::Refused("the ledger lost it".to_owned())),
            answer => Err(Stop::unexpected(&answer)),
        }
    }

    fn note_stop(&mut self, time: Timestamp, attempt: &Attempted, stop: Stop) {
        match stop {
            Stop::Denied(denial) => self.result.denied(time, attempt, denial.as_deref()),
            Stop::Refused(problem) => self.result.refused(problem),
        }
    }
}

impl Stop {
    fn refused(problem: &impl std::fmt::Display) -> Self {
        Self::Refused(problem.to_string())
    }

    fn unexpected(answer: &Answer) -> Self {
        match answer {
            Answer::AccountFull(account) => Self::Refused(format!("account `{account}` would hold more than {}", Micros::MAX)),
            other => Self::Refused(format!("the ledger gave an answer that cannot be: {other:?}")),
        }
    }
}

fn ask(attempt: &Attempted) -> Ask<'_> {
    Ask {
        user: attempt.user.as_ref(),
        action: &attempt.action,
        target: attempt.target.as_ref(),
        planned_target: attempt.planned.as_ref(),
        fallbacks: &attempt.fallbacks,
        work: &attempt.asked,
        labels: &attempt.labels,
    }
}

/// A replay that could only deny everybody, or add up two currencies, is none.
fn check(traffic: &Traffic, catalog: &Catalog, plans: &BTreeMap<PlanId, PlanId>) -> Result<(), ReplayError> {
    if let Some(plan) = plans.values().find(|plan| !catalog.plans.contains_key(*plan)) {
        return Err(ReplayError::UnknownReplacement(plan.clone()));
    }
    let unknown = subjects::plans_of(traffic).into_iter().filter(|plan| !catalog.plans.contains_key(plans.get(plan).unwrap_or(plan)));
    let unknown: Vec<String> = unknown.map(|plan| format!("`{plan}`")).collect();
    if !unknown.is_empty() {
        return Err(ReplayError::UnknownPlans(unknown));
    }
    let ours = &catalog.price_book.currency;
    match traffic.attempts.iter().find(|attempt| attempt.currency != *ours) {
        Some(other) => Err(ReplayError::Currency { events: other.currency.to_string(), catalog: ours.to_string() }),
        None => Ok(()),
    }
}
