//! All 5,040 orders of seven operations on one hold, twice over: by callers who look first, and by callers who all saw the fresh hold.
//!
//! The oracle is a table of what may follow on what (I5). Each order is then sent once more: a repeat must find what it did.

use genquota::domain::ledger::{Row, State, Transaction};

use crate::bank::{Bank, Said};
use crate::requests::{commit, extend, fingerprint, minutes, refund, release, reservation, reserve, share, source, subject, take};
use crate::statement::told;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Reserve,
    Commit,
    OtherCommit,
    Release,
    Extend,
    Refund,
    Expire,
}

/// What is known of the hold, with the settlement that ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Absent,
    Held,
    Expired,
    Ended(Act),
    /// Committed, and some of it refunded.
    Refunded(Act),
}

use Act::{Commit, Expire, Extend, OtherCommit, Refund, Release, Reserve};

const ACTS: [Act; 7] = [Reserve, Commit, OtherCommit, Release, Extend, Refund, Expire];

/// The legal transitions: what an act makes of a hold, and what is said.
fn legal(fate: Fate, act: Act) -> (Fate, &'static str) {
    match (fate, act) {
        (Fate::Absent, Reserve) => (Fate::Held, "done"),
        (Fate::Held, Commit | OtherCommit | Release) => (Fate::Ended(act), "done"),
        (Fate::Held, Extend) => (Fate::Held, "done"),
        (Fate::Held, Expire) => (Fate::Expired, ""),
        (Fate::Expired, Commit | OtherCommit) => (Fate::Ended(act), "done"),
        // From here on nothing moves any more.
        (fate, Expire) => (fate, ""),
        (Fate::Absent, _) => (fate, "unknown"),
        (Fate::Ended(by @ (Commit | OtherCommit)), Refund) => (Fate::Refunded(by), "done"),
        (Fate::Refunded(_), Refund) => (fate, "repeated: committed"),
        (Fate::Held, Refund) => (fate, "not committed: held"),
        (Fate::Expired, Refund) => (fate, "not committed: expired"),
        (Fate::Ended(_), Refund) => (fate, "not committed: released"),
        (Fate::Held, Reserve) => (fate, "replayed: held"),
        (Fate::Expired, Reserve) => (fate, "replayed: expired"),
        (Fate::Expired, Release | Extend) => (fate, "ended: expired"),
        (Fate::Ended(by), Reserve) => (fate, if by == Release { "replayed: released" } else { "replayed: committed" }),
        (Fate::Ended(Release), Release) => (fate, "repeated: released"),
        (Fate::Ended(Release), _) => (fate, "ended: released"),
        (Fate::Refunded(_), Reserve) => (fate, "replayed: committed"),
        (Fate::Ended(by) | Fate::Refunded(by), act) => (fate, if by == act { "repeated: committed" } else { "ended: committed" }),
    }
}

/// Reserved and committed of the one account.
fn balance(fate: Fate) -> (i64, i64) {
    match fate {
        Fate::Held => (5, 0),
        Fate::Ended(Commit) => (0, 7),
        Fate::Ended(OtherCommit) => (0, 3),
        Fate::Refunded(Commit) => (0, 5),
        Fate::Refunded(OtherCommit) => (0, 1),
        _ => (0, 0),
    }
}

fn request(act: Act, row: &Row) -> Transaction {
    let (who, print) = (subject("one"), fingerprint(&format!("{act:?}")));
    let today = |units| take(units, vec![source("a", 10)], Vec::new());
    match act {
        Reserve => reserve(&who, &row.id, print, today(5), minutes(15)),
        Commit => commit(&who, row, print, today(7)),
        OtherCommit => commit(&who, row, print, today(3)),
        Release => release(&who, row, print, Vec::new()),
        Extend => extend(&who, row, print, minutes(30)),
        Refund => refund(&who, row, print, vec![share("a", 2)]),
        Expire => panic!("time asks nobody"),
    }
}

/// The hold as it is fresh.
fn fresh() -> Row {
    let mut bank = Bank::open();
    let opening =
        reserve(&subject("one"), &reservation("r1"), fingerprint("Reserve"), take(5, vec![source("a", 10)], Vec::new()), minutes(15));
    bank.execute(&opening);
    (*bank.row(&subject("one"), &reservation("r1")).expect("just made")).clone()
}

fn pass_time(bank: &mut Bank) {
    bank.now += minutes(120);
    bank.sweep_all();
}

fn check(bank: &Bank, fate: Fate, order: &[Act]) {
    let account = bank.ledger.accounts(&subject("one"), &[source("a", 10).account])[0];
    assert_eq!((account.reserved.get(), account.committed.get()), balance(fate), "{order:?}");
    let state = bank.books.rows.values().next().map(|row| row.state);
    let expected = match fate {
        Fate::Absent => None,
        Fate::Held => Some(State::Held),
        Fate::Expired => Some(State::Expired),
        Fate::Ended(Release) => Some(State::Released),
        Fate::Ended(_) | Fate::Refunded(_) => Some(State::Committed),
    };
    assert_eq!(state, expected, "{order:?}");
}

fn orders(acts: &[Act]) -> Vec<Vec<Act>> {
    if acts.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, first) in acts.iter().enumerate() {
        let rest: Vec<Act> = acts.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, act)| *act).collect();
        all.extend(orders(&rest).into_iter().map(|order| [vec![*first], order].concat()));
    }
    all
}

#[test]
fn every_order_of_seven_operations_reaches_a_legal_end_and_a_repeat_moves_nothing_illegal() {
    let (row, all) = (fresh(), orders(&ACTS));
    assert_eq!(all.len(), 5040);
    for order in all {
        let (mut bank, mut fate, mut moves) = (Bank::open(), Fate::Absent, 0);
        for act in order.iter().chain(&order) {
            let (next, expected) = legal(fate, *act);
            moves += usize::from(next != fate || (*act, expected) == (Extend, "done"));
            let print = fingerprint(&format!("{act:?}"));
            let mut settle = |to| bank.settle(&subject("one"), &row.id, print, to, |row| request(*act, row));
            let said = match act {
                Expire => {
                    pass_time(&mut bank);
                    Said::Unknown
                }
                Reserve => Said::Answer(bank.execute(&request(Reserve, &row))),
                Commit | OtherCommit => settle(State::Committed),
                Release => settle(State::Released),
                Extend => settle(State::Held),
                Refund => bank.refund(&subject("one"), &row.id, print, |row| request(Refund, row)),
            };
            let said = match said {
                _ if *act == Expire => String::new(),
                Said::Answer(answer) => told(&answer),
                Said::Repeated(row) => format!("repeated: {:?}", row.state).to_lowercase(),
                Said::Ended(row) if *act == Refund => format!("not committed: {:?}", row.state).to_lowercase(),
                Said::Ended(row) => format!("ended: {:?}", row.state).to_lowercase(),
                Said::Unknown => "unknown".to_owned(),
            };
            assert_eq!(said, expected, "{act:?} on {fate:?} in {order:?}");
            fate = next;
            check(&bank, fate, &order);
        }
        assert_eq!(bank.events.len(), moves, "one event for each move of {order:?}");
        bank.check_restored();
    }
}

#[test]
fn of_callers_who_all_saw_the_fresh_hold_exactly_one_gets_its_way() {
    let row = fresh();
    // Who sees a hold asks for no refund.
    let acts: Vec<Act> = ACTS.into_iter().filter(|act| *act != Refund).collect();
    for order in orders(&acts) {
        let (mut bank, mut fate, mut version) = (Bank::open(), Fate::Absent, 0);
        for act in &order {
            if *act == Expire {
                pass_time(&mut bank);
                // Time does not care who saw what.
                if fate == Fate::Held {
                    (fate, version) = (Fate::Expired, version + 1);
                }
            } else {
                let wins = if *act == Reserve { fate == Fate::Absent } else { version == 1 && fate == Fate::Held };
                let answer = told(&bank.execute(&request(*act, &row)));
                assert_eq!(answer == "done", wins, "{act:?} on {fate:?} in {order:?}: {answer}");
                assert!(wins || answer.starts_with("stale:"), "{act:?} on {fate:?} in {order:?}: {answer}");
                if wins {
                    (fate, version) = (legal(fate, *act).0, version + 1);
                }
            }
            check(&bank, fate, &order);
        }
        assert_eq!(u64::try_from(bank.events.len()), Ok(version));
    }
}
