//! Caps: ceilings that pay nothing, over what is reserved and committed or over what is held alone (product.md chapter 4).

use crate::statement::statement;

#[test]
fn a_flow_cap_counts_what_is_reserved_and_what_is_committed() {
    statement(
        "reserve r1 1 from a:9 under cap:10=6       -> done            | a 1+0, cap 6+0
         reserve r2 1 from a:9 under cap:10=5       -> denied: caps 0  | a 1+0, cap 6+0
         reserve r2 1 from a:9 under cap:10=4       -> done            | a 2+0, cap 10+0
         commit r1 1 under cap:*=6                  -> done            | a 1+1, cap 4+6
         reserve r3 1 from a:9 under cap:10=1       -> denied: caps 0  | a 1+1, cap 4+6
         release r2                                 -> done            | a 0+1, cap 0+6
         reserve r3 1 from a:9 under cap:10=4       -> done            | a 1+1, cap 4+6",
    );
}

#[test]
fn a_level_cap_counts_only_what_is_held() {
    statement(
        "reserve r1 1 from a:9 under flight:2=1     -> done            | a 1+0, flight 1+0
         reserve r2 1 from a:9 under flight:2=1     -> done            | a 2+0, flight 2+0
         reserve r3 1 from a:9 under flight:2=1     -> denied: caps 0  | a 2+0, flight 2+0
         commit r1 1                                -> done            | a 1+1, flight 1+0
         reserve r3 1 from a:9 under flight:2=1     -> done            | a 2+1, flight 2+0
         later 15m
         sweep                                      -> done            | a 0+1",
    );
}

#[test]
fn a_cap_that_only_warns_is_told_and_never_refuses() {
    statement(
        "reserve r1 1 from a:9 under cap1:5~5 cap2:4~5          -> done, warned 1    | a 1+0, cap1 5+0, cap2 5+0
         reserve r2 1 from a:9 under cap1:5~5 cap2:4~5          -> done, warned 0 1  | a 2+0, cap1 10+0, cap2 10+0
         reserve r3 1 from a:9 under cap1:5~1 cap3:4=5          -> denied: caps 1    | a 2+0, cap1 10+0, cap2 10+0
         reserve r4 1 from a:9 under cap1:*~1                   -> done              | a 3+0, cap1 11+0, cap2 10+0",
    );
}

#[test]
fn a_refusal_names_everything_that_stands_against_it() {
    statement(
        "reserve r1 8 from a:9 under cap1:10=8 cap2:10=8 cap3:10~8 -> done | a 8+0, cap1 8+0, cap2 8+0, cap3 8+0
         reserve r2 2 from a:9 under cap1:10=2 cap2:20=2           -> denied: short
         reserve r2 1 from a:9 under cap1:10=3 cap2:10=1 cap3:10=3 -> denied: caps 0 2
         reserve r2 2 from a:9 under cap1:10=3 cap2:10=3 cap3:10~3 -> denied: short, caps 0 1
         show r2                                                   -> unknown | a 8+0, cap1 8+0, cap2 8+0, cap3 8+0",
    );
}

#[test]
fn raising_a_cap_acts_at_once_and_lowering_it_refuses_only_what_is_new() {
    statement(
        "reserve r1 1 from a:9 under cap:5=5        -> done            | a 1+0, cap 5+0
         reserve r2 1 from a:9 under cap:5=1        -> denied: caps 0  | a 1+0, cap 5+0
         reserve r2 1 from a:9 under cap:6=1        -> done            | a 2+0, cap 6+0
         reserve r3 1 from a:9 under cap:2=1        -> denied: caps 0  | a 2+0, cap 6+0
         commit r1 1 under cap:*=5                  -> done            | a 1+1, cap 1+5",
    );
}

#[test]
fn nothing_counted_is_never_refused_and_leaves_no_account() {
    statement(
        "reserve r1 1 from a:9 under cap:5=6        -> denied: caps 0  | nothing
         reserve r1 1 from a:9 under cap:0=0        -> done            | a 1+0
         record u1 1 from a:9 under cap:*=7         -> done            | a 1+1, cap 0+7
         reserve r2 1 from a:9 under cap:5=0        -> done            | a 2+1, cap 0+7",
    );
}

#[test]
fn a_cap_that_is_named_twice_counts_twice() {
    statement(
        "reserve r1 1 from a:9 under cap:5=3 cap:5=3   -> denied: caps 1  | nothing
         reserve r1 1 from a:9 under cap:5=3 cap:5=2   -> done            | a 1+0, cap 5+0
         show r1                                       -> held v1: a 1/0, cap 5/0",
    );
}

#[test]
fn a_resize_is_judged_without_what_it_holds_itself() {
    statement(
        "reserve r1 1 from a:9 under cap:10=8 flight:1=1   -> done                  | a 1+0, cap 8+0, flight 1+0
         resize r1 1 from a:9 under cap:10=10 flight:1=1   -> done                  | a 1+0, cap 10+0, flight 1+0
         resize r1 1 from a:9 under cap:10=11 flight:0=1   -> denied: caps 0 1      | a 1+0, cap 10+0, flight 1+0
         release r1 under cap:*=3                          -> done                  | cap 0+3",
    );
}

#[test]
fn the_account_of_a_cap_lapses_with_its_window() {
    statement(
        "reserve r1 1 from a:9 under cap:10=8@60m          -> done            | a 1+0, cap 8+0
         commit r1 1 under cap:*=8@60m                     -> done            | a 0+1, cap 0+8
         later 59m
         sweep                                             -> done            | a 0+1, cap 0+8
         later 1m
         sweep                                             -> done            | a 0+1",
    );
}

#[test]
fn a_window_that_still_holds_something_lapses_when_that_has_ended() {
    statement(
        "record u1 1 from a:9 under cap:10=2@60m           -> done            | a 0+1, cap 0+2
         reserve r1 1 from a:9 under cap:10=8@60m ttl 2h   -> done            | a 1+1, cap 8+2
         later 70m
         sweep                                             -> done            | a 1+1, cap 8+2
         commit r1 1 under cap:*=5                         -> done            | a 0+2, cap 0+7
         later 9m
         sweep                                             -> done            | a 0+2, cap 0+7
         later 1m
         sweep                                             -> done            | a 0+2",
    );
}

#[test]
fn a_window_that_emptied_and_filled_again_lapses_once() {
    statement(
        "reserve r1 1 from a:9 under cap:10=8@60m          -> done            | a 1+0, cap 8+0
         release r1                                        -> done            | nothing
         reserve r2 1 from a:9 under cap:10=8@60m          -> done            | a 1+0, cap 8+0
         commit r2 1 under cap:*=8@60m                     -> done            | a 0+1, cap 0+8
         later 60m
         sweep                                             -> done            | a 0+1",
    );
}

#[test]
fn a_window_whose_end_is_told_later_lapses_all_the_same() {
    statement(
        "record u1 1 from a:9 under cap:*=2                -> done            | a 0+1, cap 0+2
         record u2 1 from a:9 under cap:*=2@60m            -> done            | a 0+2, cap 0+4
         later 60m
         sweep                                             -> done            | a 0+2",
    );
}

#[test]
fn usage_booked_in_a_window_that_is_over_is_forgotten_by_the_next_sweep() {
    statement(
        "reserve r1 1 from a:9 under cap:10=8@60m          -> done            | a 1+0, cap 8+0
         later 3h
         sweep                                             -> done            | nothing
         commit r1 1 under cap:*=8@60m                     -> done            | a 0+1, cap 0+8
         sweep                                             -> done            | a 0+1",
    );
}
