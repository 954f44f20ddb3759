//! Settlements: commit, release, overage, late commits, and usage without a hold (L3, L4, L6, L13, P5).

use crate::statement::statement;

#[test]
fn a_commit_of_what_was_held_moves_it_to_committed() {
    statement(
        "reserve r1 12 from a:10 b:20       -> done                  | a 10+0, b 2+0
         commit r1 12                       -> done                  | a 0+10, b 0+2
         show r1                            -> committed v2: a 10/10, b 2/2",
    );
}

#[test]
fn what_was_held_and_not_used_goes_back_to_the_very_accounts_it_came_from() {
    statement(
        "reserve r1 12 from a:10 b:20       -> done                  | a 10+0, b 2+0
         reserve r2 3 from a:10 b:20        -> done                  | a 10+0, b 5+0
         commit r1 7                        -> done                  | a 0+7, b 3+0
         show r1                            -> committed v2: a 10/7, b 2/0
         commit r2 0                        -> done                  | a 0+7",
    );
}

#[test]
fn a_hold_of_a_period_that_is_over_is_charged_to_that_period() {
    statement(
        "reserve r1 6 from jan:10 ttl 2h            -> done          | jan 6+0
         later 90m
         reserve r2 3 from feb:10                   -> done          | feb 3+0, jan 6+0
         # Today's sources are February's; January gives what was held, and takes back what was not used.
         commit r1 4 from feb:10                    -> done          | feb 3+0, jan 0+4
         release r2                                 -> done          | jan 0+4",
    );
}

#[test]
fn more_than_held_is_taken_from_own_accounts_then_todays_sources_then_overage() {
    statement(
        "reserve r1 4 from jan:4                    -> done          | jan 4+0
         commit r1 20 from feb:10 c:3               -> done          | c 0+3, feb 0+10, jan 0+4, over 0+3
         show r1                                    -> committed v2: jan 4/4, feb 0/10, c 0/3, over 0/3",
    );
}

#[test]
fn a_commit_may_take_more_of_the_account_it_was_held_from() {
    statement(
        "reserve r1 4 from a:10                     -> done          | a 4+0
         reserve r2 4 from a:10                     -> done          | a 8+0
         # Four were held, two are free, the rest is held by another.
         commit r1 9 from a:10                      -> done          | a 4+6, over 0+3
         show r1                                    -> committed v2: a 4/6, over 0/3
         commit r2 4                                -> done          | a 0+10, over 0+3",
    );
}

#[test]
fn what_is_held_is_promised_even_when_the_limit_has_fallen_since() {
    statement(
        "reserve r1 8 from a:10                     -> done          | a 8+0
         commit r1 10 from a:5 b:1                  -> done          | a 0+8, b 0+1, over 0+1",
    );
}

#[test]
fn a_release_gives_everything_back_and_books_the_cost() {
    statement(
        "reserve r1 12 from a:10 b:20 under cap_cost:100=40 flight:2=1  -> done | a 10+0, b 2+0, cap_cost 40+0, flight 1+0
         release r1 under cap_cost:*=25                                 -> done | cap_cost 0+25
         show r1 -> released v2: a 10/0, b 2/0, cap_cost 40/25, flight 1/0
         reserve r2 5 from a:10                                         -> done | a 5+0, cap_cost 0+25
         release r2                                                     -> done | cap_cost 0+25",
    );
}

#[test]
fn a_settlement_books_a_cost_that_is_higher_than_its_cap() {
    statement(
        "reserve r1 1 from a:10 under cap_cost:50=40                    -> done | a 1+0, cap_cost 40+0
         commit r1 1 under cap_cost:*=70                                -> done | a 0+1, cap_cost 0+70
         reserve r2 1 from a:10 under cap_cost:50=1                     -> denied: caps 0 | a 0+1, cap_cost 0+70",
    );
}

#[test]
fn a_repeated_settlement_is_known_and_another_one_changes_nothing() {
    statement(
        "reserve r1 5 from a:10             -> done                  | a 5+0
         commit r1 3                        -> done                  | a 0+3
         commit r1 3                        -> repeated: committed   | a 0+3
         commit r1 4                        -> ended: committed      | a 0+3
         release r1                         -> ended: committed      | a 0+3
         extend r1 ttl 1h                   -> ended: committed      | a 0+3
         reserve r2 5 from a:10             -> done                  | a 5+3
         release r2                         -> done                  | a 0+3
         release r2                         -> repeated: released    | a 0+3
         commit r2 5                        -> ended: released       | a 0+3
         commit r9 5                        -> unknown               | a 0+3",
    );
}

#[test]
fn a_commit_after_expiry_is_charged_and_late() {
    statement(
        "reserve r1 5 from a:10             -> done                  | a 5+0
         later 15m
         sweep                              -> done                  | nothing
         commit r1 5                        -> done                  | a 0+5
         show r1                            -> committed v3 late: a 5/5
         commit r1 5                        -> repeated: committed   | a 0+5",
    );
}

#[test]
fn a_late_commit_gets_what_is_left_now_and_the_rest_is_overage() {
    statement(
        "reserve r1 8 from a:10             -> done                  | a 8+0
         later 15m
         # Nobody has swept: the commit itself finds that the hold is over, and gives it back first.
         show r1                            -> expired v2: a 8/0     | nothing
         reserve r2 7 from a:10             -> done                  | a 7+0
         commit r1 8 from a:10              -> done                  | a 7+3, over 0+5
         show r1                            -> committed v3 late: a 8/3, over 0/5",
    );
}

#[test]
fn usage_without_a_hold_is_always_recorded() {
    statement(
        "record u1 4 from a:10              -> done                  | a 0+4
         record u2 9 from a:10 b:1          -> done                  | a 0+10, b 0+1, over 0+2
         record u2 9 from a:10 b:1          -> replayed: committed   | a 0+10, b 0+1, over 0+2
         record u2 8 from a:10 b:1          -> id reused: committed  | a 0+10, b 0+1, over 0+2
         record u3 5                        -> done                  | a 0+10, b 0+1, over 0+7
         show u2                            -> committed v1: a 0/6, b 0/1, over 0/2
         release u3                         -> ended: committed      | a 0+10, b 0+1, over 0+7",
    );
}
