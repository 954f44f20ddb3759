//! Giving back and taking: the arithmetic of the one primitive, on copies of the accounts it touches.

use std::collections::HashMap;

use jiff::Timestamp;

use super::account::{Account, AccountKey};
use super::row::{Leg, Row};
use super::transaction::{Answer, CapLeg, Denied, Share, Side, Take};
use crate::domain::amount::Micros;

/// What a take came to.
pub(super) struct Taken {
    pub legs: Vec<Leg>,
    /// Indexes of caps that are exceeded without being enforced.
    pub caps_warned: Vec<usize>,
}

/// The accounts a transaction touches, as they would become.
pub(super) struct Working<'a> {
    stored: Option<&'a HashMap<AccountKey, Account>>,
    pub changed: Vec<(AccountKey, Account)>,
}

impl<'a> Working<'a> {
    /// Nothing changed yet. `None` for a subject without accounts.
    pub fn over(stored: Option<&'a HashMap<AccountKey, Account>>) -> Self {
        Self { stored, changed: Vec::new() }
    }

    /// An account as it stands in the ledger.
    pub fn stored(&self, key: &AccountKey) -> Account {
        self.stored.and_then(|accounts| accounts.get(key)).copied().unwrap_or_default()
    }

    /// An account as it would become.
    pub fn get(&self, key: &AccountKey) -> Account {
        self.changed.iter().find(|(known, _)| known == key).map_or_else(|| self.stored(key), |(_, account)| *account)
    }

    fn put(&mut self, key: &AccountKey, account: Account) {
        match self.changed.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = account,
            None => self.changed.push((key.clone(), account)),
        }
    }

    /// Frees everything a held reservation set aside.
    pub fn give_back(&mut self, row: &Row) {
        for leg in &row.legs {
            let account = self.get(&leg.account);
            let reserved = account.reserved.checked_sub(leg.held).expect("an account holds what its held reservations set aside (I2)");
            self.put(&leg.account, Account { reserved, ..account });
        }
    }

    /// Gives back what a reservation used, as far as its receipt goes, and tells what is left of that.
    pub fn refund(&mut self, row: &Row, shares: &[Share]) -> Vec<Leg> {
        let mut legs = row.legs.clone();
        for Share { account: key, amount } in shares {
            let Some(leg) = legs.iter_mut().find(|leg| leg.account == *key) else { continue };
            let amount = leg.used.min(*amount);
            leg.used = leg.used.less(amount);
            let account = self.get(key);
            self.put(key, Account { committed: account.committed.less(amount), ..account });
        }
        legs
    }

    /// Takes off what was committed, or says that there is less.
    pub fn lower(&mut self, share: &Share, now: Timestamp) -> Result<(), Answer> {
        let account = self.get(&share.account);
        match account.committed.checked_sub(share.amount) {
            Some(committed) => self.put(&share.account, Account { committed, ..account }),
            None => return Err(Answer::Denied(Denied { short: true, caps_reached: Vec::new(), accounts: vec![account], now })),
        }
        Ok(())
    }

    fn add(&mut self, key: &AccountKey, amount: Micros, into: Side, lapses: Option<Timestamp>) -> Result<(), Answer> {
        let mut account = self.get(key);
        let side = match into {
            Side::Reserved => &mut account.reserved,
            Side::Committed => &mut account.committed,
        };
        *side = side.checked_add(amount).ok_or_else(|| Answer::AccountFull(key.clone()))?;
        // A catalog may have lengthened the window since.
        account.lapses = account.lapses.max(lapses);
        account.total().ok_or_else(|| Answer::AccountFull(key.clone()))?;
        self.put(key, account);
        Ok(())
    }

    /// Takes from the sources in order and under the caps, or says everything that stands against it.
    pub fn take(&mut self, take: &Take, into: Side, now: Timestamp) -> Result<Taken, Answer> {
        let before = self.changed.clone();
        let mut legs = Vec::with_capacity(take.sources.len().min(2) + take.caps.len());
        let mut left = take.units;
        for source in &take.sources {
            // Each source sees what those before it gave: an account may stand here twice, or be one that a later source carries from.
            let available = source.available(|key| self.get(key));
            if take.whole && available < left {
                continue;
            }
            let amount = available.min(left).min(source.at_most.unwrap_or(left));
            if !amount.is_zero() {
                self.add(&source.account, amount, into, None)?;
                left = left.less(amount);
                push_leg(&mut legs, &source.account, amount, into);
            }
        }
        if let Some(overage) = take.overage.as_ref().filter(|_| !left.is_zero()) {
            self.add(overage, left, into, None)?;
            push_leg(&mut legs, overage, left, into);
            left = Micros::ZERO;
        }
        let (mut caps_reached, mut caps_warned) = (Vec::new(), Vec::new());
        for (index, cap) in take.caps.iter().enumerate().filter(|(_, cap)| !cap.amount.is_zero()) {
            match (self.exceeds(cap), cap.enforced) {
                (true, true) => {
                    caps_reached.push(index);
                    continue;
                }
                (true, false) => caps_warned.push(index),
                (false, _) => {}
            }
            let into = if cap.booked { Side::Committed } else { into };
            self.add(&cap.account, cap.amount, into, cap.lapses)?;
            push_leg(&mut legs, &cap.account, cap.amount, into);
        }
        let short = !left.is_zero();
        if short || !caps_reached.is_empty() {
            self.changed = before;
            let accounts = take.keys().map(|key| self.get(key)).collect();
            return Err(Answer::Denied(Denied { short, caps_reached, accounts, now }));
        }
        Ok(Taken { legs, caps_warned })
    }

    /// Whether what a cap's leg adds would go above its limit.
    fn exceeds(&self, cap: &CapLeg) -> bool {
        let total = self.get(&cap.account).total().and_then(|total| total.checked_add(cap.amount));
        cap.limit.is_some_and(|limit| total.is_none_or(|total| total > limit))
    }
}

/// The receipt after a take: what was used before stays; what was held is a memory once it is settled, and gone where a new hold takes its
/// place.
pub(super) fn receipt(row: Option<&Row>, taken: Vec<Leg>, into: Side) -> Result<Vec<Leg>, Answer> {
    let before = row.map_or(&[][..], |row| &row.legs);
    let mut legs: Vec<Leg> = match into {
        Side::Reserved => before.iter().filter(|leg| !leg.used.is_zero()).map(|leg| Leg { held: Micros::ZERO, ..leg.clone() }).collect(),
        Side::Committed => before.to_vec(),
    };
    for leg in taken {
        match legs.iter_mut().find(|known| known.account == leg.account) {
            Some(known) => {
                known.held = if into == Side::Reserved { leg.held } else { known.held };
                known.used = known.used.checked_add(leg.used).ok_or_else(|| Answer::AccountFull(leg.account.clone()))?;
            }
            None => legs.push(leg),
        }
    }
    Ok(legs)
}

/// Adds to the leg of an account, which may already have given.
fn push_leg(legs: &mut Vec<Leg>, account: &AccountKey, amount: Micros, into: Side) {
    let index = legs.iter().position(|leg| leg.account == *account).unwrap_or_else(|| {
        legs.push(Leg { account: account.clone(), held: Micros::ZERO, used: Micros::ZERO });
        legs.len() - 1
    });
    let leg = &mut legs[index];
    let side = match into {
        Side::Reserved => &mut leg.held,
        Side::Committed => &mut leg.used,
    };
    *side = side.checked_add(amount).expect("the legs of an account together are within what the account could hold");
}
