//! The state machine. It checks everything before it changes anything; from then on nothing can fail.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::account::{Account, AccountKey};
use super::history::{History, HistoryPlace};
use super::row::{Event, EventKind, Leg, Row, State};
use super::take::{Working, receipt};
use super::transaction::{Answer, Correction, Done, Expected, Movement, Side, Step, Take, Transaction};
use crate::domain::ids::{ReservationId, SubjectId};
use crate::domain::subject::Document;

/// All subjects of one store.
#[derive(Debug, Default)]
pub struct Ledger {
    subjects: HashMap<SubjectId, Subject>,
    /// Subjects with a document, in order.
    documented: BTreeSet<SubjectId>,
    /// Holds by their deadlines.
    holds_due: BTreeSet<(Timestamp, Due)>,
    /// What else time brings about. It waits for the holds: they free units, this frees memory.
    rest_due: BTreeSet<(Timestamp, Due)>,
    /// Of the last event.
    sequence: u64,
    /// Of the last change.
    last_time: Timestamp,
    /// How long an ended reservation and its id are remembered.
    retention: SignedDuration,
}

#[derive(Debug, Default)]
struct Subject {
    document: Option<Arc<Document>>,
    accounts: HashMap<AccountKey, Account>,
    reservations: HashMap<ReservationId, Arc<Row>>,
    /// What `reservations` holds, in order.
    history: History,
}

/// What time alone brings about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Expire(SubjectId, ReservationId),
    Forget(SubjectId, ReservationId),
    Lapse(SubjectId, AccountKey),
}

/// What a call changed, for a store to write down before it answers.
#[derive(Debug, Default)]
pub struct Changes {
    /// An account that is empty now is to be deleted.
    pub accounts: Vec<(SubjectId, AccountKey, Account)>,
    pub rows: Vec<(SubjectId, Arc<Row>)>,
    pub forgotten: Vec<(SubjectId, ReservationId)>,
    pub documents: Vec<Arc<Document>>,
    pub events: Vec<Event>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.rows.is_empty() && self.forgotten.is_empty() && self.documents.is_empty() && self.events.is_empty()
    }
}

impl Ledger {
    /// Most things one call to [`Ledger::sweep`] deals with, so that a backlog never delays a decision for long.
    pub const SWEEP_MAX: usize = 256;

    pub fn new(retention: SignedDuration) -> Self {
        Self { retention, last_time: Timestamp::MIN, ..Self::default() }
    }

    /// Decides a transaction at `now`, and carries it out if the answer is [`Answer::Done`] and it is no dry run.
    pub fn execute(&mut self, now: Timestamp, transaction: &Transaction, changes: &mut Changes) -> Answer {
        let now = self.not_before_last(now);
        if let Some(step) = &transaction.step {
            self.expire_if_due(&transaction.subject, &step.id, now, changes);
        }
        match self.decide(now, transaction) {
            Ok(Decided { accounts, row, done }) if !transaction.dry_run => self.carry_out(now, transaction, accounts, row, done, changes),
            Ok(Decided { done, .. }) => Answer::Done(done),
            Err(answer) => answer,
        }
    }

    /// Expires holds, forgets ended reservations and lapsed accounts, at most [`Self::SWEEP_MAX`] of them. Says whether more are due.
    pub fn sweep(&mut self, now: Timestamp, changes: &mut Changes) -> bool {
        let now = self.not_before_last(now);
        for _ in 0..Self::SWEEP_MAX {
            match self.pop_due(now) {
                Some(Due::Expire(subject, id)) => self.expire(&subject, &id, now, changes),
                Some(Due::Forget(subject, id)) => self.forget(&subject, &id, now, changes),
                Some(Due::Lapse(subject, account)) => self.lapse(&subject, account, now, changes),
                None => return false,
            }
        }
        self.next_due().is_some_and(|at| at <= now)
    }

    /// A reservation as it stands at `now`: one whose deadline has passed is expired first.
    pub fn reservation(&mut self, subject: &SubjectId, id: &ReservationId, now: Timestamp, changes: &mut Changes) -> Option<Arc<Row>> {
        let now = self.not_before_last(now);
        self.expire_if_due(subject, id, now, changes);
        self.subjects.get(subject)?.reservations.get(id).cloned()
    }

    /// Reservations that stand before a place in a subject's history, as they stand at `now`, the last first.
    pub fn history(
        &mut self,
        subject: &SubjectId,
        before: &HistoryPlace,
        limit: usize,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Vec<Arc<Row>> {
        let Some(state) = self.subjects.get(subject) else { return Vec::new() };
        let found = state.history.before(before).take(limit).filter_map(|id| state.reservations.get(id));
        let ids: Vec<ReservationId> = found.map(|row| row.id.clone()).collect();
        ids.iter().filter_map(|id| self.reservation(subject, id, now, changes)).collect()
    }

    pub fn document(&self, subject: &SubjectId) -> Option<Arc<Document>> {
        self.subjects.get(subject)?.document.clone()
    }

    /// The accounts with these keys; one that does not exist is empty.
    pub fn accounts(&self, subject: &SubjectId, keys: &[AccountKey]) -> Vec<Account> {
        let subject = self.subjects.get(subject);
        keys.iter().map(|key| subject.and_then(|subject| subject.accounts.get(key)).copied().unwrap_or_default()).collect()
    }

    /// Documents in the order of their subjects, those after `after`.
    pub fn documents(&self, after: Option<&SubjectId>, limit: usize) -> Vec<Arc<Document>> {
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let subjects = self.documented.range::<SubjectId, _>((from, std::ops::Bound::Unbounded));
        subjects.filter_map(|subject| self.document(subject)).take(limit).collect()
    }

    /// When time next brings something about.
    pub fn next_due(&self) -> Option<Timestamp> {
        [&self.holds_due, &self.rest_due].into_iter().filter_map(|due| due.first()).map(|(at, _)| *at).min()
    }

    /// The number of the last event, and the instant before which nothing happens any more.
    pub fn position(&self) -> (u64, Timestamp) {
        (self.sequence, self.last_time)
    }

    /// Puts back what a store kept. Only for a ledger that has decided nothing yet.
    pub fn restore(&mut self, position: (u64, Timestamp), kept: Changes) {
        (self.sequence, self.last_time) = position;
        for document in kept.documents {
            self.put_document(document);
        }
        for (subject, key, account) in kept.accounts {
            self.put_account(&subject, key, account);
        }
        for (subject, row) in kept.rows {
            self.put_row(&subject, row);
        }
    }

    /// Every account and reservation of every subject, for audits and tests.
    pub fn contents(&self) -> impl Iterator<Item = (&SubjectId, &HashMap<AccountKey, Account>, &HashMap<ReservationId, Arc<Row>>)> {
        self.subjects.iter().map(|(id, subject)| (id, &subject.accounts, &subject.reservations))
    }

    /// Time never runs back behind a change, whatever the clock does (I15).
    fn not_before_last(&self, now: Timestamp) -> Timestamp {
        self.last_time.max(now)
    }

    /// Checks a transaction against the present state and works out what it leads to. Reads only.
    fn decide(&self, now: Timestamp, transaction: &Transaction) -> Result<Decided, Answer> {
        let subject = self.subjects.get(&transaction.subject);
        let row = transaction.step.as_ref().map(|step| expected_row(subject, step)).transpose()?.flatten();
        if let Some(version) = transaction.judged_by
            && version != subject.and_then(|subject| subject.document.as_ref()).map_or(0, |document| document.version)
        {
            return Err(Answer::StaleDocument);
        }
        if let Some((from, until)) = transaction.valid
            && !(from <= now && now < until)
        {
            return Err(Answer::StalePeriod { now });
        }
        let mut accounts = Working::over(subject.map(|subject| &subject.accounts));
        let mut done = Done {
            row: None,
            document: transaction.document.clone(),
            accounts: Vec::new(),
            caps_warned: Vec::new(),
            sequence: self.sequence,
            now,
        };
        let mut taken = |accounts: &mut Working<'_>, take: &Take, into: Side| {
            accounts.take(take, into, now).map(|taken| {
                done.caps_warned = taken.caps_warned;
                taken.legs
            })
        };
        let next = match (&transaction.step, &transaction.correction) {
            (Some(step), _) => {
                let legs = match &step.movement {
                    Movement::Keep => row.map_or_else(Vec::new, |row| row.legs.clone()),
                    Movement::Move { take, into } => {
                        if let Some(row) = row.filter(|row| row.state == State::Held) {
                            accounts.give_back(row);
                        }
                        receipt(row, taken(&mut accounts, take, *into)?, *into)?
                    }
                    Movement::Refund(refunding) => row.map_or_else(Vec::new, |row| accounts.refund(row, &refunding.shares)),
                };
                let began = subject.and_then(|subject| subject.history.began(&step.next.detail.generation));
                Some(Arc::new(Row { sequence: self.sequence + 1, ..next_row(row, step, legs, now, began.unwrap_or(now)) }))
            }
            (None, Some(Correction::Raise(take))) => taken(&mut accounts, take, Side::Committed).map(|_| None)?,
            (None, Some(Correction::Lower(share))) => accounts.lower(share, now).map(|()| None)?,
            (None, None) => None,
        };
        let read_after = |key| if transaction.dry_run { accounts.stored(key) } else { accounts.get(key) };
        done.accounts = transaction.told().map(read_after).collect();
        done.row = next.clone();
        Ok(Decided { row: next, accounts: accounts.changed, done })
    }

    fn carry_out(
        &mut self,
        now: Timestamp,
        transaction: &Transaction,
        accounts: Vec<(AccountKey, Account)>,
        row: Option<Arc<Row>>,
        mut done: Done,
        changes: &mut Changes,
    ) -> Answer {
        let subject = &transaction.subject;
        for (key, account) in accounts {
            self.put_account(subject, key.clone(), account);
            changes.accounts.push((subject.clone(), key, account));
        }
        let document = transaction.document.as_ref().map(|document| {
            let version = self.document(subject).map_or(0, |document| document.version) + 1;
            Arc::new(Document { version, ..(**document).clone() })
        });
        if let Some(document) = &document {
            self.put_document(document.clone());
            changes.documents.push(document.clone());
        }
        if let Some(row) = &row {
            self.put_row(subject, row.clone());
            changes.rows.push((subject.clone(), row.clone()));
        }
        let kind = transaction.step.as_ref().map_or(EventKind::SubjectChanged, |step| step.next.event);
        done.sequence = self.note(kind, subject, row.clone(), document.clone(), now, changes);
        done.document = document;
        Answer::Done(done)
    }

    fn note(
        &mut self,
        kind: EventKind,
        subject: &SubjectId,
        row: Option<Arc<Row>>,
        document: Option<Arc<Document>>,
        time: Timestamp,
        changes: &mut Changes,
    ) -> u64 {
        self.sequence += 1;
        self.last_time = time;
        changes.events.push(Event { sequence: self.sequence, time, kind, subject: subject.clone(), row, document });
        self.sequence
    }

    fn pop_due(&mut self, now: Timestamp) -> Option<Due> {
        let is_due = |due: &BTreeSet<(Timestamp, Due)>| due.first().is_some_and(|(at, _)| *at <= now);
        let first = if is_due(&self.holds_due) { &mut self.holds_due } else { &mut self.rest_due };
        if is_due(first) { first.pop_first().map(|(_, due)| due) } else { None }
    }

    fn expire_if_due(&mut self, subject: &SubjectId, id: &ReservationId, now: Timestamp, changes: &mut Changes) {
        let row = self.subjects.get(subject).and_then(|subject| subject.reservations.get(id));
        if row.is_some_and(|row| row.state == State::Held && row.deadline <= now) {
            self.expire(subject, id, now, changes);
        }
    }

    /// Gives back what a hold set aside, to the very accounts it came from (L5).
    fn expire(&mut self, subject: &SubjectId, id: &ReservationId, now: Timestamp, changes: &mut Changes) {
        let Some(state) = self.subjects.get(subject) else { return };
        let Some(row) = state.reservations.get(id).filter(|row| row.state == State::Held && row.deadline <= now).cloned() else { return };
        let mut accounts = Working::over(Some(&state.accounts));
        accounts.give_back(&row);
        for (key, account) in accounts.changed {
            self.put_account(subject, key.clone(), account);
            changes.accounts.push((subject.clone(), key, account));
        }
        let expired =
            Row { version: row.version + 1, sequence: self.sequence + 1, state: State::Expired, settle_time: Some(now), ..(*row).clone() };
        let expired = Arc::new(expired);
        self.put_row(subject, expired.clone());
        changes.rows.push((subject.clone(), expired.clone()));
        self.note(EventKind::Expired, subject, Some(expired), None, now, changes);
    }

    fn forget(&mut self, subject: &SubjectId, id: &ReservationId, now: Timestamp, changes: &mut Changes) {
        let Some(state) = self.subjects.get_mut(subject) else { return };
        if let Some(row) = state.reservations.remove(id) {
            state.history.leave(&row);
            self.last_time = now;
            changes.forgotten.push((subject.clone(), id.clone()));
        }
        self.drop_if_empty(subject);
    }

    /// Forgets the account of a cap's window that is over. One that still holds something waits for that to end.
    fn lapse(&mut self, subject: &SubjectId, key: AccountKey, now: Timestamp, changes: &mut Changes) {
        let Some(account) = self.subjects.get(subject).and_then(|state| state.accounts.get(&key)).copied() else { return };
        if account.lapses.is_some_and(|lapses| now < lapses) {
            // Its window was lengthened, and the end of the longer one is due in its turn.
            return;
        }
        if !account.reserved.is_zero() {
            let later = now.checked_add(SignedDuration::from_mins(10)).unwrap_or(Timestamp::MAX);
            self.rest_due.insert((later, Due::Lapse(subject.clone(), key)));
            return;
        }
        self.put_account(subject, key.clone(), Account::default());
        self.last_time = now;
        changes.accounts.push((subject.clone(), key, Account::default()));
        self.drop_if_empty(subject);
    }

    fn put_account(&mut self, subject: &SubjectId, key: AccountKey, account: Account) {
        let state = self.subjects.entry(subject.clone()).or_default();
        if account.is_empty() {
            state.accounts.remove(&key);
            return;
        }
        let known = state.accounts.insert(key.clone(), account).and_then(|before| before.lapses);
        if let Some(lapses) = account.lapses.filter(|lapses| known != Some(*lapses)) {
            self.rest_due.insert((lapses, Due::Lapse(subject.clone(), key)));
        }
    }

    fn put_document(&mut self, document: Arc<Document>) {
        let subject = document.subject.clone();
        self.documented.insert(subject.clone());
        self.subjects.entry(subject).or_default().document = Some(document);
    }

    fn put_row(&mut self, subject: &SubjectId, row: Arc<Row>) {
        let state = self.subjects.entry(subject.clone()).or_default();
        let before = state.reservations.insert(row.id.clone(), row.clone());
        if before.is_none() {
            state.history.enter(&row);
        }
        if let Some(before) = before {
            let due = due_of(subject, &before, self.retention);
            self.dues_of(&before).remove(&due);
        }
        let due = due_of(subject, &row, self.retention);
        self.dues_of(&row).insert(due);
    }

    fn dues_of(&mut self, row: &Row) -> &mut BTreeSet<(Timestamp, Due)> {
        if row.state == State::Held { &mut self.holds_due } else { &mut self.rest_due }
    }

    fn drop_if_empty(&mut self, subject: &SubjectId) {
        let empty = |state: &Subject| state.document.is_none() && state.accounts.is_empty() && state.reservations.is_empty();
        if self.subjects.get(subject).is_some_and(empty) {
            self.subjects.remove(subject);
        }
    }
}

/// What a transaction leads to, worked out and not yet done.
struct Decided {
    accounts: Vec<(AccountKey, Account)>,
    row: Option<Arc<Row>>,
    done: Done,
}

/// The reservation a step is about, if it is as the step expects.
fn expected_row<'s>(subject: Option<&'s Subject>, step: &Step) -> Result<Option<&'s Row>, Answer> {
    let row = subject.and_then(|subject| subject.reservations.get(&step.id));
    match (step.expected, row) {
        (Expected::Absent, None) => Ok(None),
        (Expected::Absent, Some(row)) if row.opened_by == step.fingerprint => Err(Answer::Replayed(row.clone())),
        (Expected::Absent, Some(row)) => Err(Answer::IdReused(row.clone())),
        (Expected::Version(version), Some(row)) if row.version == version => Ok(Some(row)),
        (Expected::Version(_), row) => Err(Answer::StaleReservation(row.cloned())),
    }
}

/// The reservation after a step. `began`: when the generation began that a new one belongs to.
fn next_row(row: Option<&Row>, step: &Step, legs: Vec<Leg>, now: Timestamp, began: Timestamp) -> Row {
    let ended = step.next.state != State::Held;
    // A refund changes nothing about the end.
    let settled = row.filter(|_| matches!(step.movement, Movement::Refund(_)));
    let deadline = row.map_or(now, |row| row.deadline);
    Row {
        id: step.id.clone(),
        version: row.map_or(1, |row| row.version + 1),
        sequence: row.map_or(0, |row| row.sequence),
        state: step.next.state,
        opened_by: row.map_or(step.fingerprint, |row| row.opened_by),
        settled_by: settled.map_or(ended.then_some(step.fingerprint), |row| row.settled_by),
        create_time: row.map_or(now, |row| row.create_time),
        began: row.map_or(began, |row| row.began),
        deadline: step.next.ttl.map_or(deadline, |ttl| deadline.max(now.checked_add(ttl).unwrap_or(Timestamp::MAX))),
        settle_time: settled.map_or(ended.then_some(now), |row| row.settle_time),
        legs,
        late: step.next.state == State::Committed && row.is_some_and(|row| row.late || row.state == State::Expired),
        detail: step.next.detail.clone(),
    }
}

fn due_of(subject: &SubjectId, row: &Row, retention: SignedDuration) -> (Timestamp, Due) {
    match (row.state, row.settle_time) {
        (State::Held, _) => (row.deadline, Due::Expire(subject.clone(), row.id.clone())),
        (_, settled) => {
            let forgotten = settled.unwrap_or(row.create_time).checked_add(retention).unwrap_or(Timestamp::MAX);
            (forgotten, Due::Forget(subject.clone(), row.id.clone()))
        }
    }
}
