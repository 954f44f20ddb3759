//! What time brings about: deadlines, extension, expiry, forgetting, bounded sweeps, and clocks that step back (L2, L5, L7).

use genquota::domain::ledger::{Changes, EventKind, Ledger};

use crate::bank::Bank;
use crate::requests::{cap, fingerprint, minutes, reservation, reserve, source, start, subject, take};
use crate::statement::statement;

#[test]
fn an_expired_hold_goes_back_to_the_same_accounts_and_only_once() {
    statement(
        "reserve r1 12 from jan:10 b:20 under cap:50=7 flight:1=1   -> done | b 2+0, cap 7+0, flight 1+0, jan 10+0
         later 14m
         sweep                              -> done                  | b 2+0, cap 7+0, flight 1+0, jan 10+0
         later 1m
         sweep                              -> done                  | nothing
         show r1                            -> expired v2: jan 10/0, b 2/0, cap 7/0, flight 1/0
         sweep                              -> done                  | nothing
         show r1                            -> expired v2: jan 10/0, b 2/0, cap 7/0, flight 1/0
         release r1                         -> ended: expired        | nothing
         extend r1 ttl 1h                   -> ended: expired        | nothing
         reserve r1 12 from jan:10          -> id reused: expired    | nothing",
    );
}

#[test]
fn a_look_at_a_hold_whose_time_is_over_expires_it() {
    statement(
        "reserve r1 5 from a:10 ttl 20m     -> done                  | a 5+0
         later 20m
         show r1                            -> expired v2: a 5/0     | nothing",
    );
}

#[test]
fn the_repeat_of_a_reserve_whose_hold_is_over_says_so() {
    statement(
        "reserve r1 5 from a:10             -> done                  | a 5+0
         later 15m
         reserve r1 5 from a:10             -> replayed: expired     | nothing",
    );
}

#[test]
fn a_hold_that_gets_no_time_is_over_at_once() {
    statement(
        "reserve r1 5 from a:10 ttl 0m      -> done                  | a 5+0
         sweep                              -> done                  | nothing",
    );
}

#[test]
fn an_extension_lengthens_and_never_shortens_a_deadline() {
    statement(
        "reserve r1 5 from a:10 ttl 30m     -> done                  | a 5+0
         extend r1 ttl 10m                  -> done                  | a 5+0
         later 29m
         show r1                            -> held v2: a 5/0
         extend r1 ttl 10m                  -> done                  | a 5+0
         later 9m
         show r1                            -> held v3: a 5/0
         later 1m
         show r1                            -> expired v4: a 5/0     | nothing",
    );
}

#[test]
fn an_ended_reservation_is_forgotten_after_its_retention_and_its_id_is_new_again() {
    statement(
        "reserve r1 5 from a:10             -> done                  | a 5+0
         commit r1 5                        -> done                  | a 0+5
         later 23h
         sweep                              -> done
         reserve r1 5 from a:10             -> replayed: committed   | a 0+5
         later 1h
         # Only a sweep forgets.
         reserve r1 5 from a:10             -> replayed: committed   | a 0+5
         sweep                              -> done                  | a 0+5
         show r1                            -> unknown
         reserve r1 5 from a:10             -> done                  | a 5+5",
    );
}

#[test]
fn a_late_commit_is_remembered_from_its_own_time_on() {
    statement(
        "reserve r1 5 from a:10             -> done                  | a 5+0
         later 20h
         sweep                              -> done                  | nothing
         later 20h
         commit r1 5                        -> done                  | a 0+5
         later 20h
         sweep                              -> done                  | a 0+5
         show r1                            -> committed v3 late: a 5/5
         later 4h
         sweep                              -> done                  | a 0+5
         show r1                            -> unknown",
    );
}

#[test]
fn a_clock_that_steps_back_does_not_move_time_back() {
    let bank = statement(
        "reserve r1 5 from a:10             -> done                  | a 5+0
         later 10m
         reserve r2 1 from a:10 ttl 30m     -> done                  | a 6+0
         earlier 5h
         # Time stands still: nothing is judged by an instant that has passed, and a new hold counts from where time stands.
         reserve r3 1 from a:10 valid 0 10  -> stale period          | a 6+0
         reserve r3 1 from a:10 valid 10 11 -> done                  | a 7+0
         later 5h
         later 5m
         sweep                              -> done                  | a 2+0
         later 10m
         sweep                              -> done                  | a 1+0",
    );
    assert_eq!(bank.events.iter().filter(|kind| **kind == EventKind::Expired).count(), 3);
}

#[test]
fn a_sweep_is_bounded_and_says_whether_more_is_due() {
    // Without the audit after every call, which would look at hundreds of holds hundreds of times.
    let sweeps = |holds: usize| {
        let mut ledger = Ledger::new(minutes(60));
        for n in 0..holds {
            let take = take(1, vec![source("a", 10_000)], vec![cap("flight", 1, None)]);
            let transaction = reserve(&subject("one"), &reservation(&format!("r{n}")), fingerprint("r"), take, minutes(15));
            ledger.execute(start(), &transaction, &mut Changes::default());
        }
        let mut expired = Vec::new();
        loop {
            let mut changes = Changes::default();
            let more = ledger.sweep(start() + minutes(15), &mut changes);
            expired.push(changes.events.len());
            if !more {
                return expired;
            }
        }
    };
    let most = Ledger::SWEEP_MAX;
    assert_eq!(sweeps(0), [0]);
    assert_eq!(sweeps(most - 1), [most - 1]);
    assert_eq!(sweeps(most), [most], "all that was due is done, and nothing more is");
    assert_eq!(sweeps(2 * most + 1), [most, most, 1]);
}

#[test]
fn the_next_thing_due_is_known() {
    let mut bank = Bank::open();
    assert_eq!(bank.ledger.next_due(), None);
    let transaction = |id, ttl| {
        let take = take(1, vec![source("a", 10)], Vec::new());
        reserve(&subject("one"), &reservation(id), fingerprint(id), take, minutes(ttl))
    };
    bank.execute(&transaction("r1", 20));
    bank.execute(&transaction("r2", 10));
    assert_eq!(bank.ledger.next_due(), Some(start() + minutes(10)));
    bank.now += minutes(10);
    bank.sweep_all();
    assert_eq!(bank.ledger.next_due(), Some(start() + minutes(20)));
}
