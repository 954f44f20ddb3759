//! The invariants of proof.md, checked on whole contents: before a call, what it changed, and after it.
//!
//! [`Contents`] is also the fold (I13): what a store would keep if all it had was the changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use genquota::domain::ids::{ReservationId, SubjectId};
use genquota::domain::ledger::{Account, AccountKey, Changes, EventKind, Ledger, Row, State};
use genquota::domain::subject::Document;
use jiff::{SignedDuration, Timestamp};

/// Everything a ledger holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Contents {
    pub accounts: BTreeMap<(SubjectId, AccountKey), Account>,
    pub rows: BTreeMap<(SubjectId, ReservationId), Arc<Row>>,
    pub documents: BTreeMap<SubjectId, Arc<Document>>,
}

impl Contents {
    pub fn of(ledger: &Ledger) -> Self {
        let mut all = Self::default();
        for (subject, accounts, rows) in ledger.contents() {
            all.accounts.extend(accounts.iter().map(|(key, account)| ((subject.clone(), key.clone()), *account)));
            all.rows.extend(rows.iter().map(|(id, row)| ((subject.clone(), id.clone()), row.clone())));
        }
        all.documents.extend(ledger.documents(None, usize::MAX).into_iter().map(|document| (document.subject.clone(), document)));
        all
    }

    /// Writes down a change as a store does.
    pub fn apply(&mut self, changes: &Changes) {
        for (subject, key, account) in &changes.accounts {
            let key = (subject.clone(), key.clone());
            if account.is_empty() {
                self.accounts.remove(&key);
            } else {
                self.accounts.insert(key, *account);
            }
        }
        for (subject, row) in &changes.rows {
            self.rows.insert((subject.clone(), row.id.clone()), row.clone());
        }
        for forgotten in &changes.forgotten {
            self.rows.remove(forgotten);
        }
        for document in &changes.documents {
            self.documents.insert(document.subject.clone(), document.clone());
        }
    }

    /// A ledger that begins where another stopped.
    pub fn restored(&self, position: (u64, Timestamp), retention: SignedDuration) -> Ledger {
        let kept = Changes {
            accounts: self.accounts.iter().map(|((subject, key), account)| (subject.clone(), key.clone(), *account)).collect(),
            rows: self.rows.iter().map(|((subject, _), row)| (subject.clone(), row.clone())).collect(),
            documents: self.documents.values().cloned().collect(),
            ..Changes::default()
        };
        let mut ledger = Ledger::new(retention);
        ledger.restore(position, kept);
        ledger
    }

    /// The accounts of one subject.
    pub fn of_subject(&self, subject: &SubjectId) -> impl Iterator<Item = (&AccountKey, &Account)> {
        self.accounts.iter().filter(move |((whose, _), _)| whose == subject).map(|((_, key), account)| (key, account))
    }
}

/// What all settlements ever used, by account: the books kept a second time.
#[derive(Debug, Default)]
pub struct Spent(BTreeMap<(SubjectId, AccountKey), i64>);

impl Spent {
    /// `before` is what there was before the changes.
    pub fn note(&mut self, before: &Contents, changes: &Changes) {
        for event in &changes.events {
            if event.kind == EventKind::Refunded {
                self.refund(before, &event.subject, event.row.as_ref().expect("a refund is of a reservation"));
                continue;
            }
            let Some(row) = event.row.as_ref().filter(|row| matches!(row.state, State::Committed | State::Released)) else { continue };
            for leg in row.legs.iter().filter(|leg| !leg.used.is_zero()) {
                *self.0.entry((event.subject.clone(), leg.account.clone())).or_default() += leg.used.get();
            }
        }
    }

    /// What went back is no longer spent. Beside what was corrected before, nothing falls below nothing.
    fn refund(&mut self, before: &Contents, subject: &SubjectId, row: &Row) {
        let earlier = &before.rows[&(subject.clone(), row.id.clone())];
        for (was, is) in earlier.legs.iter().zip(&row.legs) {
            if let Some(spent) = self.0.get_mut(&(subject.clone(), is.account.clone())) {
                *spent = (*spent - was.used.get() + is.used.get()).max(0);
            }
        }
    }

    /// What an administrator corrected: by so much in all, whichever accounts it took.
    pub fn correct(&mut self, before: &Contents, changes: &Changes, by: i64) {
        let mut corrected = 0;
        for (subject, key, account) in &changes.accounts {
            let key = (subject.clone(), key.clone());
            let difference = account.committed.get() - before.accounts.get(&key).copied().unwrap_or_default().committed.get();
            *self.0.entry(key).or_default() += difference;
            corrected += difference;
        }
        assert_eq!(corrected, by, "a correction is by what it says");
    }

    /// I1: what sources paid is what settlements used, no more and no less.
    pub fn check(&self, contents: &Contents) {
        let paid = |key: &AccountKey| key.kind().pays();
        for (key, used) in self.0.iter().filter(|((_, key), _)| paid(key)) {
            assert_eq!(contents.accounts.get(key).copied().unwrap_or_default().committed.get(), *used, "{key:?} paid what was used of it");
        }
        for (key, account) in contents.accounts.iter().filter(|((_, key), _)| paid(key)) {
            assert_eq!(self.0.get(key).copied().unwrap_or_default(), account.committed.get(), "{key:?} paid for something");
        }
    }
}

/// Checks one step from `before` to `after`.
/// `lowered` is by how much an administrator lowers what is committed.
pub fn check_step(before: &Contents, changes: &Changes, after: &Contents, position: (u64, Timestamp), lowered: i64) {
    check_holds(after);
    check_falls(before, changes, after, lowered);
    for ((subject, id), row) in &after.rows {
        if let Some(earlier) = before.rows.get(&(subject.clone(), id.clone())) {
            check_transition(earlier, row);
        }
    }
    check_events(changes, position);
}

/// I2, I20: what an account holds is what its held reservations set aside, and every account is in range.
fn check_holds(contents: &Contents) {
    let mut held: BTreeMap<(SubjectId, AccountKey), i64> = BTreeMap::new();
    for ((subject, _), row) in contents.rows.iter().filter(|(_, row)| row.state == State::Held) {
        for leg in &row.legs {
            assert!(leg.used.is_zero() || !leg.account.kind().pays(), "what is held is not paid");
            *held.entry((subject.clone(), leg.account.clone())).or_default() += leg.held.get();
        }
    }
    for (key, account) in &contents.accounts {
        assert_eq!(account.reserved.get(), held.remove(key).unwrap_or_default(), "{key:?} holds what is held of it (I2)");
        assert!(account.total().is_some(), "{key:?} is in range (I20)");
        assert!(!account.is_empty(), "{key:?} holds nothing and is kept");
    }
    assert!(held.values().all(|amount| *amount == 0), "held of no account: {held:?}");
}

/// I4: what is committed falls by refunds, at most by what the receipt says was used, and by corrections alone. A cap's account may go when
/// its window is over; a source never.
fn check_falls(before: &Contents, changes: &Changes, after: &Contents, lowered: i64) {
    for (key, earlier) in &before.accounts {
        let later = after.accounts.get(key).copied().unwrap_or_default();
        let lapsed = earlier.lapses.is_some() && later.is_empty();
        let used = |row: &Row| row.legs.iter().filter(|leg| leg.account == key.1).map(|leg| leg.used.get()).sum::<i64>();
        let given = |row: &Arc<Row>| used(&before.rows[&(key.0.clone(), row.id.clone())]) - used(row);
        let refunds = changes.events.iter().filter(|event| event.kind == EventKind::Refunded && event.subject == key.0);
        let fell = earlier.committed.get() - later.committed.get();
        let may_fall = refunds.filter_map(|event| event.row.as_ref()).map(given).sum::<i64>() + lowered;
        assert!(fell <= may_fall || lapsed, "{key:?} was used {} and now {}", earlier.committed, later.committed);
    }
}

/// I5: what may follow on what. Versions count the changes of one row.
fn check_transition(earlier: &Row, later: &Row) {
    if earlier == later || later.create_time > earlier.create_time {
        return;
    }
    let legal = match (earlier.state, later.state) {
        (State::Held, _) => true,
        (State::Expired, State::Committed) => later.late,
        (State::Committed, State::Committed) => is_refunded(earlier, later),
        _ => false,
    };
    assert!(legal, "{:?} became {:?}", earlier.state, later.state);
    // One call may expire a hold and then commit it late.
    assert!(later.version == earlier.version + 1 || later.late && later.version == earlier.version + 2);
    assert!(later.deadline >= earlier.deadline && later.opened_by == earlier.opened_by && later.create_time == earlier.create_time);
}

/// A refund lowers what was used, and changes nothing about the end.
fn is_refunded(earlier: &Row, later: &Row) -> bool {
    let ends = |row: &Row| (row.settled_by, row.settle_time, row.late);
    let mut legs = earlier.legs.iter().zip(&later.legs);
    ends(earlier) == ends(later)
        && earlier.legs.len() == later.legs.len()
        && legs.all(|(was, is)| was.account == is.account && was.held == is.held && is.used <= was.used)
}

/// I11, I12, I15: numbers without gaps, times that never fall, one event for every change of a row or document.
fn check_events(changes: &Changes, position: (u64, Timestamp)) {
    let (mut sequence, mut time) = position;
    for event in &changes.events {
        assert_eq!(event.sequence, sequence + 1, "no gap");
        assert!(event.time >= time, "time never falls");
        (sequence, time) = (event.sequence, event.time);
        match (event.kind, event.row.as_ref().map(|row| row.state)) {
            (EventKind::Reserved | EventKind::Extended, Some(State::Held))
            | (EventKind::Committed | EventKind::Recorded, Some(State::Committed))
            // Usage that gave nothing books its cost.
            | (EventKind::Recorded, Some(State::Released))
            | (EventKind::Released, Some(State::Released))
            | (EventKind::Expired, Some(State::Expired))
            | (EventKind::Refunded, Some(State::Committed))
            | (EventKind::SubjectChanged, None) => {}
            other => panic!("an event that tells of something else: {other:?}"),
        }
    }
    let rows: Vec<_> = changes.rows.iter().map(|(_, row)| row).collect();
    assert_eq!(changes.events.iter().filter_map(|event| event.row.as_ref()).collect::<Vec<_>>(), rows);
    let documents: Vec<_> = changes.documents.iter().collect();
    assert_eq!(changes.events.iter().filter_map(|event| event.document.as_ref()).collect::<Vec<_>>(), documents);
}
