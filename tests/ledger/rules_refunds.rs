//! Refunds and corrections: what is committed falls by these alone (L9, I4).

use crate::statement::statement;

#[test]
fn a_refund_goes_back_to_the_very_accounts_that_paid() {
    statement(
        "reserve r1 12 from a:10 b:1                -> denied: short | nothing
         reserve r1 11 from a:10 b:20               -> done          | a 10+0, b 1+0
         commit r1 14 from a:10 b:3                 -> done          | a 0+10, b 0+3, over 0+1
         refund r1 over=1 b=2                       -> done          | a 0+10, b 0+1
         show r1                                    -> committed v3: a 10/10, b 1/1, over 0/0
         refund r1 b=1 a=10                         -> done          | nothing
         show r1                                    -> committed v4: a 10/0, b 1/0, over 0/0",
    );
}

#[test]
fn no_more_goes_back_than_the_receipt_says() {
    statement(
        "reserve r1 4 from a:10                     -> done          | a 4+0
         commit r1 4                                -> done          | a 0+4
         record r2 3 from a:10                      -> done          | a 0+7
         refund r1 a=9                              -> done          | a 0+3
         refund r1 a=1                              -> done          | a 0+3
         # An account that gave nothing has nothing to get.
         refund r2 b=3                              -> done          | a 0+3
         show r2                                    -> committed v2: a 0/3",
    );
}

#[test]
fn a_refund_after_the_period_goes_to_the_period_that_paid() {
    statement(
        "reserve r1 6 from jan:10 ttl 2h            -> done          | jan 6+0
         later 90m
         commit r1 6 from feb:10                    -> done          | jan 0+6
         record r2 3 from feb:10                    -> done          | feb 0+3, jan 0+6
         refund r1 jan=6                            -> done          | feb 0+3",
    );
}

#[test]
fn only_what_is_committed_is_refunded_and_a_repeat_is_known() {
    statement(
        "reserve r1 4 from a:10                     -> done                    | a 4+0
         refund r1 a=4                              -> not committed: held     | a 4+0
         release r1                                 -> done                    | nothing
         refund r1 a=4                              -> not committed: released | nothing
         reserve r2 4 from a:10                     -> done                    | a 4+0
         later 15m
         refund r2 a=4                              -> not committed: expired  | nothing
         refund r3 a=4                              -> unknown
         commit r2 4 from a:10                      -> done                    | a 0+4
         refund r2 a=3                              -> done                    | a 0+1
         refund r2 a=3                              -> repeated: committed     | a 0+1
         show r2                                    -> committed v4 late: a 4/1",
    );
}

#[test]
fn a_refund_is_no_other_end_and_lengthens_no_memory() {
    statement(
        "reserve r1 4 from a:10                     -> done                | a 4+0
         commit r1 4                                -> done                | a 0+4
         later 23h
         refund r1 a=1                              -> done                | a 0+3
         commit r1 4                                -> repeated: committed | a 0+3
         release r1                                 -> ended: committed    | a 0+3
         later 1h
         sweep
         show r1                                    -> unknown
         refund r1 a=3                              -> unknown             | a 0+3",
    );
}

#[test]
fn caps_get_their_count_back_while_their_window_is_there() {
    statement(
        "reserve r1 4 from a:10 under cap:9=4@30m flight:2=1  -> done      | a 4+0, cap 4+0, flight 1+0
         commit r1 4 from a:10 under cap:*=4@30m              -> done      | a 0+4, cap 0+4
         refund r1 a=1 cap=1                                  -> done      | a 0+3, cap 0+3
         later 30m
         sweep
         refund r1 a=2 cap=2                                  -> done      | a 0+1
         show r1                                    -> committed v4: a 4/1, cap 4/1, flight 1/0",
    );
}

#[test]
fn more_that_is_booked_by_hand_is_overage_where_the_source_is_used_up() {
    statement(
        "record r1 7 from a:10                      -> done          | a 0+7
         raise 5 from a:10                          -> done          | a 0+10, over 0+2
         reserve r2 1 from a:10                     -> denied: short | a 0+10, over 0+2
         raise 0 under cap:*=3                      -> done          | a 0+10, cap 0+3, over 0+2",
    );
}

#[test]
fn no_more_is_taken_off_than_is_committed() {
    statement(
        "record r1 7 from a:10                      -> done          | a 0+7
         reserve r2 2 from a:10                     -> done          | a 2+7
         lower a=8                                  -> denied: short | a 2+7
         lower a=7                                  -> done          | a 2+0
         lower b=1                                  -> denied: short | a 2+0",
    );
}

#[test]
fn what_was_taken_off_by_hand_is_not_given_back_twice() {
    statement(
        "record r1 7 from a:10                      -> done          | a 0+7
         lower a=5                                  -> done          | a 0+2
         refund r1 a=7                              -> done          | nothing
         show r1                                    -> committed v2: a 0/0",
    );
}
