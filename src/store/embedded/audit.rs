//! The check of what was loaded: every account holds exactly what its held reservations set aside (proof.md I2).
//!
//! A ledger that fails it must never decide: it would grant what is not there, or never give back what is.

use std::collections::HashMap;

use crate::domain::ids::SubjectId;
use crate::domain::ledger::{AccountKey, Changes, State};

/// The first account, in no particular order, that holds another amount than its reservations.
pub(super) fn holds(contents: &Changes) -> Result<(), String> {
    let mut held: HashMap<(&SubjectId, &AccountKey), i128> = HashMap::new();
    for (subject, row) in contents.rows.iter().filter(|(_, row)| row.state == State::Held) {
        for leg in &row.legs {
            *held.entry((subject, &leg.account)).or_default() += i128::from(leg.held.get());
        }
    }
    let problem = |subject: &SubjectId, key: &AccountKey, reserved: i128, held: i128| {
        Err(format!("account {key} of subject {subject} has {reserved} micro-units reserved, its reservations hold {held}"))
    };
    for (subject, key, account) in &contents.accounts {
        let (reserved, held) = (i128::from(account.reserved.get()), held.remove(&(subject, key)).unwrap_or_default());
        if reserved != held {
            return problem(subject, key, reserved, held);
        }
    }
    match held.into_iter().find(|(_, held)| *held != 0) {
        Some(((subject, key), held)) => problem(subject, key, 0, held),
        None => Ok(()),
    }
}
