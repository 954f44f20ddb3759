//! Sources: burn order, straddling, whole, carry, and what is refused when they are short (L1, P4, P9).

use genquota::domain::ledger::{Answer, Changes, Ledger, Transaction};

use crate::requests::{account, fingerprint, minutes, reservation, reserve, source, start, subject, take};
use crate::statement::statement;

#[test]
fn sources_pay_in_burn_order_and_one_reservation_may_straddle_them() {
    statement(
        "reserve r1 4 from a:10 b:20 c:5    -> done                  | a 4+0
         reserve r2 8 from a:10 b:20 c:5    -> done                  | a 10+0, b 2+0
         reserve r3 20 from a:10 b:20 c:5   -> done                  | a 10+0, b 20+0, c 2+0
         reserve r4 1 from c:5 a:10         -> done                  | a 10+0, b 20+0, c 3+0
         show r3                            -> held v1: b 18/0, c 2/0",
    );
}

#[test]
fn a_reservation_of_exactly_what_is_left_is_granted_and_one_more_is_denied() {
    statement(
        "reserve r1 30 from a:10 b:20       -> done                  | a 10+0, b 20+0
         reserve r2 1 from a:10 b:20        -> denied: short         | a 10+0, b 20+0
         reserve r3 0 from a:10 b:20        -> done                  | a 10+0, b 20+0
         reserve r4 16 from c:15            -> denied: short         | a 10+0, b 20+0
         reserve r5 15 from c:15            -> done                  | a 10+0, b 20+0, c 15+0
         show r3                            -> held v1: nothing",
    );
}

#[test]
fn nothing_pays_when_there_is_no_source() {
    statement(
        "reserve r1 1                       -> denied: short         | nothing
         reserve r2 1 from a:0              -> denied: short         | nothing
         reserve r3 0 from a:0              -> done                  | nothing",
    );
}

#[test]
fn an_unlimited_source_is_metered_and_never_short() {
    statement(
        "reserve r1 1000 from a:* b:5       -> done                  | a 1000+0
         reserve r2 1000 from b:5 a:*       -> done                  | a 1995+0, b 5+0
         commit r1 900                      -> done                  | a 995+900, b 5+0",
    );
}

#[test]
fn a_lowered_limit_below_what_is_in_use_leaves_nothing_and_takes_nothing_away() {
    statement(
        "reserve r1 8 from a:10             -> done                  | a 8+0
         reserve r2 1 from a:5              -> denied: short         | a 8+0
         reserve r3 3 from a:5 b:3          -> done                  | a 8+0, b 3+0
         reserve r4 2 from a:10             -> done                  | a 10+0, b 3+0",
    );
}

#[test]
fn whole_wants_one_source_to_pay_all_and_passes_over_those_that_cannot() {
    statement(
        "reserve r1 12 from a:10 b:20 whole -> done                  | b 12+0
         reserve r2 9 from a:10 b:20 whole  -> done                  | a 9+0, b 12+0
         reserve r3 9 from a:10 b:20 whole  -> denied: short         | a 9+0, b 12+0
         reserve r3 8 from a:10 b:20 whole  -> done                  | a 9+0, b 20+0
         reserve r4 1 from a:10 b:20 whole  -> done                  | a 10+0, b 20+0",
    );
}

#[test]
fn usage_that_no_single_source_can_pay_whole_is_all_overage() {
    statement("record u1 12 from a:10 b:11 whole   -> done                  | over 0+12");
}

#[test]
fn an_entry_gives_no_more_than_its_most() {
    statement(
        "reserve r1 5 from a:10<=3 b:20     -> done                  | a 3+0, b 2+0
         reserve r2 5 from a:10<=3          -> denied: short         | a 3+0, b 2+0
         reserve r3 4 from a:*<=1 b:20      -> done                  | a 4+0, b 5+0
         reserve r4 4 from a:*<=0 b:20      -> done                  | a 4+0, b 9+0",
    );
}

#[test]
fn an_account_that_stands_twice_gives_the_second_time_what_the_first_has_left() {
    statement(
        "reserve r1 9 from a:10<=4 a:10     -> done                  | a 9+0
         show r1                            -> held v1: a 9/0
         reserve r2 2 from a:10 a:10        -> denied: short         | a 9+0
         reserve r3 4 from a:10 b:2 a:12    -> done                  | a 11+0, b 2+0
         show r3                            -> held v1: a 2/0, b 2/0",
    );
}

#[test]
fn rollover_raises_a_limit_by_what_the_period_before_left_up_to_its_cap() {
    statement(
        "reserve r1 7 from jan:10           -> done                  | jan 7+0
         # 3 are left of January; all may be carried, what is held may not.
         reserve r2 14 from feb:10+jan:10!5 -> denied: short         | jan 7+0
         reserve r3 13 from feb:10+jan:10!5 -> done                  | feb 13+0, jan 7+0
         release r1                         -> done                  | feb 13+0
         # Now 10 are left, and 5 is the most.
         reserve r4 3 from feb:10+jan:10!5  -> denied: short         | feb 13+0
         reserve r5 2 from feb:10+jan:10!5  -> done                  | feb 15+0",
    );
}

#[test]
fn rollover_carries_of_what_was_issued_before_whatever_is_issued_now() {
    statement(
        "reserve r1 7 from jan:20                    -> done         | jan 7+0
         reserve r2 18 from feb:4+jan:20!15          -> denied: short
         reserve r2 17 from feb:4+jan:20!15          -> done         | feb 17+0, jan 7+0
         reserve r3 1 from c:100+jan:5!15            -> done         | c 1+0, feb 17+0, jan 7+0
         reserve r4 100 from c:100+jan:5!15          -> denied: short",
    );
}

#[test]
fn what_a_settlement_takes_of_the_period_before_is_not_carried_as_well() {
    // The hold's 5 are given back to January for the settlement, which uses them there at once: February gets 10 + 5, not 10 + 10.
    statement(
        "reserve r1 5 from jan:10                    -> done         | jan 5+0
         commit r1 25 from feb:10+jan:10!10          -> done         | feb 0+15, jan 0+5, over 0+5",
    );
}

#[test]
fn a_resize_gives_back_before_it_takes() {
    statement(
        "reserve r1 8 from a:10             -> done                  | a 8+0
         resize r1 10 from a:10             -> done                  | a 10+0
         resize r1 11 from a:10             -> denied: short         | a 10+0
         resize r1 12 from a:10 b:5         -> done                  | a 10+0, b 2+0
         resize r1 3 from b:5               -> done                  | b 3+0
         show r1                            -> held v4: b 3/0
         commit r1 3                        -> done                  | b 0+3",
    );
}

#[test]
fn subjects_do_not_share_accounts_or_ids() {
    statement(
        "reserve r1 8 from a:10             -> done                  | a 8+0
         as two
         reserve r1 9 from a:10             -> done                  | a 9+0
         commit r1 2                        -> done                  | a 0+2
         as one
         commit r1 8                        -> done                  | a 0+8",
    );
}

#[test]
fn a_thousand_reserves_of_one_unit_grant_exactly_the_allowance() {
    for (allowance, granted_expected) in [(0, 0), (1, 1), (137, 137), (999, 999), (1000, 1000), (1001, 1000)] {
        // Without the audit after every call, which would look at a thousand holds a thousand times.
        let mut ledger = Ledger::new(minutes(60));
        let mut execute = |transaction: &Transaction| ledger.execute(start(), transaction, &mut Changes::default());
        let granted = (0..1000)
            .filter(|n| {
                let id = reservation(&format!("r{n}"));
                let take = take(1, vec![source("a", allowance)], Vec::new());
                let transaction = reserve(&subject("one"), &id, fingerprint(id.as_str()), take, minutes(15));
                let first = execute(&transaction);
                // Some are asked twice; that must not count twice.
                if n % 3 == 0 {
                    assert_eq!(matches!(first, Answer::Done(_)), matches!(execute(&transaction), Answer::Replayed(_)));
                }
                matches!(first, Answer::Done(_))
            })
            .count();
        assert_eq!(granted, granted_expected);
        let held = ledger.accounts(&subject("one"), &[account("a")])[0];
        assert_eq!(usize::try_from(held.reserved.get()), Ok(granted_expected));
    }
}
