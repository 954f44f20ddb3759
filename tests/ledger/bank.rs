//! A ledger under audit: every call goes through here and is checked against the invariants before its answer counts.
//!
//! A [`Bank`] also plays the little that a service adds: it looks at the reservation before it settles, and knows a repeat by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use genquota::domain::ids::{ReservationId, SubjectId};
use genquota::domain::ledger::{Answer, Changes, Correction, EventKind, Fingerprint, HistoryPlace, Ledger, Row, State, Transaction};
use jiff::{SignedDuration, Timestamp};

use crate::audit::{Contents, Spent, check_step};
use crate::requests::{minutes, start};

pub struct Bank {
    pub ledger: Ledger,
    pub now: Timestamp,
    /// Folded from changes alone.
    pub books: Contents,
    pub events: Vec<EventKind>,
    spent: Spent,
    retention: SignedDuration,
}

/// What a service says to a request about a reservation it has looked at.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Answer(Answer),
    /// This very request ended it.
    Repeated(Arc<Row>),
    /// Something else ended it.
    Ended(Arc<Row>),
    Unknown,
}

impl Bank {
    /// Remembers ended reservations for a day.
    pub fn open() -> Self {
        let retention = minutes(24 * 60);
        Self {
            ledger: Ledger::new(retention),
            now: start(),
            books: Contents::default(),
            events: Vec::new(),
            spent: Spent::default(),
            retention,
        }
    }

    pub fn execute(&mut self, transaction: &Transaction) -> Answer {
        let correction = if transaction.dry_run { None } else { transaction.correction.as_ref() };
        let answer = self.audited(correction, |ledger, now, changes| {
            let answer = ledger.execute(now, transaction, changes);
            let applied = matches!(answer, Answer::Done(_)) && !transaction.dry_run;
            // A hold whose time is over expires whatever is asked of it. Beside that a refusal and a dry run change nothing (I18, I19).
            let by_time = changes.events.iter().filter(|event| event.kind == EventKind::Expired).count();
            assert_eq!(changes.events.len() - by_time, usize::from(applied), "one event for what was done");
            assert!(by_time <= 1 && (applied || by_time == 1 || changes.is_empty()), "refused, and changed: {changes:?}");
            answer
        });
        self.check_accounts_told(transaction, &answer);
        answer
    }

    /// One bounded step.
    pub fn sweep(&mut self) -> bool {
        self.audited(None, |ledger, now, changes| ledger.sweep(now, changes))
    }

    /// Until nothing more is due. Then no hold is left whose time is over (I9).
    pub fn sweep_all(&mut self) {
        while self.sweep() {}
        let (_, time) = self.ledger.position();
        assert!(self.books.rows.values().all(|row| row.state != State::Held || row.deadline > time), "a hold outlived its deadline");
        assert!(self.ledger.next_due().is_none_or(|due| due > time));
    }

    pub fn row(&mut self, subject: &SubjectId, id: &ReservationId) -> Option<Arc<Row>> {
        self.audited(None, |ledger, now, changes| ledger.reservation(subject, id, now, changes))
    }

    /// Looks at a reservation and settles it, if there is something left to settle.
    pub fn settle(
        &mut self,
        subject: &SubjectId,
        id: &ReservationId,
        print: Fingerprint,
        to: State,
        request: impl FnOnce(&Row) -> Transaction,
    ) -> Said {
        let Some(row) = self.row(subject, id) else { return Said::Unknown };
        match (row.state, to) {
            (State::Held, _) | (State::Expired, State::Committed) => Said::Answer(self.execute(&request(&row))),
            (state, to) if state == to && row.settled_by == Some(print) => Said::Repeated(row),
            _ => Said::Ended(row),
        }
    }

    /// Looks at a reservation and refunds of it, if it is committed and this very request was not made before.
    pub fn refund(
        &mut self,
        subject: &SubjectId,
        id: &ReservationId,
        print: Fingerprint,
        request: impl FnOnce(&Row) -> Transaction,
    ) -> Said {
        let Some(row) = self.row(subject, id) else { return Said::Unknown };
        match row.state {
            State::Committed if row.detail.refunds.iter().any(|refund| refund.fingerprint == print) => Said::Repeated(row),
            State::Committed => Said::Answer(self.execute(&request(&row))),
            _ => Said::Ended(row),
        }
    }

    /// I13: what a store kept gives an equal ledger, which also goes on alike.
    pub fn check_restored(&mut self) {
        let mut twin = self.books.restored(self.ledger.position(), self.retention);
        assert_eq!(Contents::of(&twin), self.books);
        assert_eq!(twin.position(), self.ledger.position());
        self.check_histories();
        self.now += minutes(100_000);
        self.sweep_all();
        while twin.sweep(self.now, &mut Changes::default()) {}
        assert_eq!(Contents::of(&twin), self.books, "the restored ledger ends like the first");
        assert_eq!(twin.position(), self.ledger.position());
    }

    /// A history is what the rows say, in its order, however the ledger came by them.
    fn check_histories(&self) {
        let mut ledger = self.books.restored(self.ledger.position(), self.retention);
        let mut places = BTreeMap::<_, Vec<_>>::new();
        for ((subject, id), row) in &self.books.rows {
            places.entry(subject).or_default().push((HistoryPlace::of(row), id));
        }
        for (subject, mut places) in places {
            places.sort_unstable_by(|a, b| b.cmp(a));
            let told = ledger.history(subject, &HistoryPlace::END, usize::MAX, self.ledger.position().1, &mut Changes::default());
            assert_eq!(told.iter().map(|row| &row.id).collect::<Vec<_>>(), places.iter().map(|(_, id)| *id).collect::<Vec<_>>());
        }
    }

    fn audited<T>(&mut self, correction: Option<&Correction>, call: impl FnOnce(&mut Ledger, Timestamp, &mut Changes) -> T) -> T {
        let (before, position) = (self.books.clone(), self.ledger.position());
        let mut changes = Changes::default();
        let answer = call(&mut self.ledger, self.now, &mut changes);
        self.books.apply(&changes);
        let after = Contents::of(&self.ledger);
        assert_eq!(after, self.books, "the changes tell everything (I13)");
        let corrected = correction.filter(|_| !changes.accounts.is_empty()).map(|correction| match correction {
            Correction::Raise(take) => take.units.get() + take.caps.iter().map(|cap| cap.amount.get()).sum::<i64>(),
            Correction::Lower(share) => -share.amount.get(),
        });
        check_step(&before, &changes, &after, position, -corrected.unwrap_or(0).min(0));
        self.spent.note(&before, &changes);
        if let Some(by) = corrected {
            self.spent.correct(&before, &changes, by);
        }
        self.spent.check(&after);
        self.events.extend(changes.events.iter().map(|event| event.kind));
        assert_eq!(usize::try_from(self.ledger.position().0), Ok(self.events.len()));
        answer
    }

    /// What an answer says of accounts is what they are.
    fn check_accounts_told(&self, transaction: &Transaction, answer: &Answer) {
        let told = match answer {
            Answer::Done(done) => &done.accounts,
            Answer::Denied(denied) => &denied.accounts,
            _ => return,
        };
        let keys = transaction.keys();
        let mut stored = self.ledger.accounts(&transaction.subject, &keys);
        if matches!(answer, Answer::Denied(_)) {
            // A resize that is denied was judged without what the reservation itself holds.
            let step = transaction.step.as_ref();
            let row = step.and_then(|step| self.books.rows.get(&(transaction.subject.clone(), step.id.clone())));
            let row = row.filter(|row| row.state == State::Held);
            for leg in row.iter().flat_map(|row| &row.legs) {
                for (account, _) in stored.iter_mut().zip(&keys).filter(|(_, key)| **key == leg.account) {
                    account.reserved = account.reserved.checked_sub(leg.held).expect("held");
                }
            }
            let plain = |accounts: &[genquota::domain::ledger::Account]| -> Vec<_> {
                accounts.iter().map(|account| (account.reserved, account.committed)).collect()
            };
            assert_eq!(plain(told), plain(&stored));
            return;
        }
        assert_eq!(*told, stored);
    }
}
