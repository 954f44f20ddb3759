//! Every answer the ledger has, in order of precedence, and that none but `Done` changes anything (L1, L10).

use genquota::domain::ledger::Answer;

use crate::bank::Bank;
use crate::requests::{fingerprint, minutes, reservation, reserve, source, subject, take};
use crate::statement::{statement, told};

#[test]
fn the_same_request_with_the_same_id_gets_the_stored_answer() {
    statement(
        "reserve r1 5 from a:10             -> done                  | a 5+0
         reserve r1 5 from a:10             -> replayed: held        | a 5+0
         reserve r1 6 from a:10             -> id reused: held       | a 5+0
         record r1 5 from a:10              -> id reused: held       | a 5+0
         commit r1 5                        -> done                  | a 0+5
         reserve r1 5 from a:10             -> replayed: committed   | a 0+5",
    );
}

#[test]
fn a_replay_returns_the_row_of_the_first_answer() {
    let mut bank = Bank::open();
    let transaction =
        reserve(&subject("one"), &reservation("r1"), fingerprint("r1"), take(5, vec![source("a", 10)], Vec::new()), minutes(15));
    let Answer::Done(done) = bank.execute(&transaction) else { panic!("granted") };
    bank.now += minutes(1);
    assert_eq!(bank.execute(&transaction), Answer::Replayed(done.row.expect("a row")));
}

#[test]
fn a_denied_id_is_not_remembered() {
    statement(
        "reserve r1 11 from a:10            -> denied: short         | nothing
         show r1                            -> unknown
         reserve r1 11 from a:20            -> done                  | a 11+0
         reserve r2 11 from a:20            -> denied: short         | a 11+0
         release r1                         -> done                  | nothing
         reserve r2 11 from a:20            -> done                  | a 11+0",
    );
}

#[test]
fn a_request_that_saw_an_earlier_reservation_is_stale() {
    statement(
        "reserve r1 5 from a:10             -> done                  | a 5+0
         commit r1 5 version 2              -> stale: held           | a 5+0
         extend r1 ttl 1h                   -> done                  | a 5+0
         commit r1 5 version 1              -> stale: held           | a 5+0
         release r1 version 1               -> stale: held           | a 5+0
         extend r1 ttl 2h version 1         -> stale: held           | a 5+0
         commit r1 5 version 2              -> done                  | a 0+5
         commit r1 5 version 2              -> stale: committed      | a 0+5
         release r1 version 2               -> stale: committed      | a 0+5
         reserve r2 5 from a:10             -> done                  | a 5+5
         later 15m
         commit r2 5 version 1              -> stale: expired        | a 0+5
         commit r3 5 version 1              -> stale: unknown        | a 0+5
         reserve r4 1 from a:10 version 1   -> stale: unknown        | a 0+5",
    );
}

#[test]
fn a_request_judged_by_another_document_is_stale() {
    statement(
        "reserve r1 5 from a:10 judged 1    -> stale document        | nothing
         reserve r1 5 from a:10 judged 0    -> done                  | a 5+0",
    );
}

#[test]
fn a_request_outside_its_time_is_stale_and_the_end_is_outside() {
    statement(
        "reserve r1 5 from a:10 valid 1 60  -> stale period          | nothing
         later 1m
         reserve r1 5 from a:10 valid 1 60  -> done                  | a 5+0
         later 58m
         reserve r2 5 from a:10 valid 1 60  -> done
         later 1m
         reserve r3 5 from a:10 valid 1 60  -> stale period",
    );
}

#[test]
fn an_account_never_exceeds_the_largest_amount() {
    statement(
        "reserve r1 max from a:*                            -> done          | a max+0
         reserve r2 1 from a:*                              -> full: a       | a max+0
         commit r1 max                                      -> done          | a 0+max
         record u1 1 from a:*                               -> full: a       | a 0+max
         record u1 1 from b:5                               -> done          | a 0+max, b 0+1
         record u2 5 from b:5 under cap:*=max               -> done          | a 0+max, b 0+5, cap 0+max, over 0+1
         record u3 1 from b:9 under cap:*=1                 -> full: cap     | a 0+max, b 0+5, cap 0+max, over 0+1
         record u4 max                                      -> full: a
         record u4 max from b:5                             -> full: over    | a 0+max, b 0+5, cap 0+max, over 0+1",
    );
}

#[test]
fn answers_have_an_order() {
    statement(
        "reserve r1 5 from a:9 under cap:5=5                                 -> done
         # Known before anything else.
         reserve r1 5 from a:9 under cap:5=5                                 -> replayed: held
         reserve r1 99 from a:9 judged 7 valid 9 9                           -> id reused: held
         commit r1 99 version 9 judged 7 valid 9 9                           -> stale: held
         # Then what it was judged by, then when, then whether it fits at all, then limits.
         reserve r2 99 from a:9 judged 7 valid 9 9                           -> stale document
         reserve r2 99 from a:9 judged 0 valid 9 9                           -> stale period
         record u1 max from b:*                                              -> done
         reserve r2 1 from b:* under cap:5=5 judged 0 valid 0 9              -> full: b
         reserve r2 99 from a:9 under cap:5=5 judged 0 valid 0 9             -> denied: short, caps 0",
    );
}

#[test]
fn a_dry_run_decides_and_changes_nothing() {
    statement(
        "reserve r1 5 from a:10 under cap:9~10 dry          -> done, warned 0  | nothing
         reserve r1 15 from a:10 under cap:9=10 dry         -> denied: short, caps 0 | nothing
         show r1                                            -> unknown
         reserve r1 5 from a:10                             -> done            | a 5+0
         reserve r1 5 from a:10 dry                         -> id reused: held | a 5+0
         commit r1 3 dry                                    -> done            | a 5+0
         release r1 dry                                     -> done            | a 5+0
         extend r1 ttl 9h dry                               -> done            | a 5+0
         show r1                                            -> held v1: a 5/0
         later 15m
         show r1                                            -> expired v2: a 5/0",
    );
}

#[test]
fn a_dry_run_tells_the_accounts_as_they_are() {
    let mut bank = Bank::open();
    let mut transaction =
        reserve(&subject("one"), &reservation("r1"), fingerprint("r1"), take(5, vec![source("a", 10)], Vec::new()), minutes(15));
    transaction.dry_run = true;
    let Answer::Done(done) = bank.execute(&transaction) else { panic!("it would be granted") };
    assert_eq!((done.document, done.sequence), (None, 0));
    assert!(done.accounts[0].is_empty());
    transaction.dry_run = false;
    let answer = bank.execute(&transaction);
    assert_eq!(told(&answer), "done");
    let Answer::Done(done) = answer else { panic!("granted") };
    assert_eq!((done.sequence, done.accounts[0].reserved.get()), (1, 5));
}
