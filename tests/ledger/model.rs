//! A second ledger, as naive as can be: a list of everything ever granted, and balances summed up from it whenever one is needed.
//!
//! It shares no code with the real one beyond the names of states. Random operations are put to both, and both must say the same.

use std::collections::BTreeMap;

use genquota::domain::ledger::{Fingerprint, State};
use jiff::{SignedDuration, Timestamp};

/// A request in the model's own words.
#[derive(Debug, Clone, Default)]
pub struct Want {
    pub units: i64,
    pub sources: Vec<Payer>,
    pub whole: bool,
    pub overage: bool,
    pub ceilings: Vec<Ceiling>,
}

/// A source, by name.
#[derive(Debug, Clone, Copy)]
pub struct Payer {
    pub name: &'static str,
    pub limit: Option<i64>,
    pub at_most: Option<i64>,
    /// Account, its limit, and the most that is carried.
    pub carry: Option<(&'static str, i64, i64)>,
}

/// A cap, by name.
#[derive(Debug, Clone, Copy)]
pub struct Ceiling {
    pub name: &'static str,
    pub amount: i64,
    pub limit: Option<i64>,
    pub enforced: bool,
    /// Used at once, while the rest is held.
    pub booked: bool,
}

pub type Parts = BTreeMap<&'static str, i64>;

#[derive(Debug, Clone)]
pub struct Entry {
    pub who: &'static str,
    pub id: u8,
    pub state: State,
    pub version: u64,
    pub late: bool,
    pub deadline: Timestamp,
    pub held: Parts,
    pub used: Parts,
    refunded_by: Vec<Fingerprint>,
    opened_by: Fingerprint,
    settled_by: Option<Fingerprint>,
    settled: Timestamp,
    forgotten: bool,
}

pub struct Model {
    pub entries: Vec<Entry>,
    pub versions: BTreeMap<&'static str, u64>,
    /// What was corrected by hand, by subject and account.
    corrected: BTreeMap<(&'static str, &'static str), i64>,
    /// Now, which is never before the last change.
    time: Timestamp,
    changed: Timestamp,
    retention: SignedDuration,
}

impl Model {
    pub fn new(retention: SignedDuration) -> Self {
        Self {
            entries: Vec::new(),
            versions: BTreeMap::new(),
            corrected: BTreeMap::new(),
            time: Timestamp::MIN,
            changed: Timestamp::MIN,
            retention,
        }
    }

    pub fn at(&mut self, now: Timestamp) {
        self.time = self.changed.max(now);
    }

    /// Something was changed now.
    pub fn change_made(&mut self) {
        self.changed = self.time;
    }

    /// What is set aside of an account, and what is used: summed up from all there ever was.
    pub fn balance(&self, who: &str, name: &str) -> (i64, i64) {
        let own = || self.entries.iter().filter(|entry| entry.who == who);
        let part = |parts: &Parts| parts.get(name).copied().unwrap_or_default();
        let corrected: i64 = self.corrected.iter().filter(|((whose, of), _)| (*whose, *of) == (who, name)).map(|(_, by)| by).sum();
        let held = own().filter(|entry| entry.state == State::Held).map(|entry| part(&entry.held)).sum();
        (held, own().map(|entry| part(&entry.used)).sum::<i64>() + corrected)
    }

    pub fn find(&self, who: &str, id: u8) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.who == who && entry.id == id && !entry.forgotten)
    }

    /// A hold (`Held`) or usage without one (`Committed`).
    pub fn open(
        &mut self,
        (who, id): (&'static str, u8),
        print: Fingerprint,
        want: &Want,
        state: State,
        ttl: SignedDuration,
        dry: bool,
    ) -> String {
        if let Some(index) = self.look(who, id) {
            let known = &self.entries[index];
            return format!("{}: {}", if known.opened_by == print { "replayed" } else { "id reused" }, word(known.state));
        }
        let (parts, booked, told) = match self.judge(who, want) {
            Ok(granted) => granted,
            Err(told) => return told,
        };
        if !dry {
            self.change_made();
            assert!(booked.is_empty(), "nothing came before an opening");
            let (held, used) = if state == State::Held { (parts, Parts::new()) } else { (Parts::new(), parts) };
            self.entries.push(Entry {
                who,
                id,
                state,
                version: 1,
                late: false,
                deadline: if state == State::Held { self.time + ttl } else { self.time },
                held,
                used,
                refunded_by: Vec::new(),
                opened_by: print,
                settled_by: (state != State::Held).then_some(print),
                settled: self.time,
                forgotten: false,
            });
        }
        told
    }

    /// An end (`Committed`, `Released`), another size or a later deadline (`Held`, with or without `want`).
    pub fn change(
        &mut self,
        (who, id): (&'static str, u8),
        print: Fingerprint,
        want: Option<&Want>,
        to: State,
        ttl: SignedDuration,
    ) -> String {
        let Some(index) = self.look(who, id) else { return "unknown".to_owned() };
        let before = self.entries[index].clone();
        let open = before.state == State::Held || before.state == State::Expired && to == State::Committed;
        if !open {
            let repeated = before.state == to && before.settled_by == Some(print);
            return format!("{}: {}", if repeated { "repeated" } else { "ended" }, word(before.state));
        }
        let mut entry = before.clone();
        let mut told = "done".to_owned();
        if let Some(want) = want {
            let mut want = want.clone();
            if to == State::Committed {
                want.sources = own(&before, &want.sources).chain(want.sources.iter().copied()).collect();
            }
            // What it holds itself is free for it.
            self.entries[index].held = Parts::new();
            let judged = self.judge(who, &want);
            self.entries[index].held = before.held.clone();
            match judged {
                Ok((parts, booked, said)) if to == State::Held => {
                    (entry.held, told) = (parts, said);
                    add(&mut entry.used, &booked);
                }
                Ok((parts, booked, said)) => {
                    told = said;
                    add(&mut entry.used, &parts);
                    add(&mut entry.used, &booked);
                }
                Err(said) => return said,
            }
        }
        entry.version += 1;
        entry.late = before.state == State::Expired;
        entry.state = to;
        if to == State::Held {
            entry.deadline = entry.deadline.max(self.time + ttl);
        } else {
            (entry.settled, entry.settled_by) = (self.time, Some(print));
        }
        self.entries[index] = entry;
        self.change_made();
        told
    }

    /// Gives back so much of each account, as far as the entry used it. What was corrected before is not given back below nothing.
    pub fn refund(&mut self, (who, id): (&'static str, u8), print: Fingerprint, shares: &[(&'static str, i64)]) -> String {
        let Some(index) = self.look(who, id) else { return "unknown".to_owned() };
        let entry = &mut self.entries[index];
        if entry.state != State::Committed {
            return format!("not committed: {}", word(entry.state));
        }
        if entry.refunded_by.contains(&print) {
            return "repeated: committed".to_owned();
        }
        entry.refunded_by.push(print);
        entry.version += 1;
        for (name, amount) in shares {
            if let Some(used) = self.entries[index].used.get_mut(name) {
                *used -= (*amount).min(*used);
            }
            let missing = -self.balance(who, name).1.min(0);
            *self.corrected.entry((who, *name)).or_default() += missing;
        }
        self.change_made();
        "done".to_owned()
    }

    /// Books more by hand.
    pub fn raise(&mut self, who: &'static str, want: &Want) -> String {
        match self.judge(who, want) {
            Ok((parts, _, told)) => {
                for (name, amount) in parts {
                    *self.corrected.entry((who, name)).or_default() += amount;
                }
                self.change_made();
                told
            }
            Err(told) => told,
        }
    }

    /// Takes off by hand.
    pub fn lower(&mut self, who: &'static str, name: &'static str, amount: i64) -> String {
        if self.balance(who, name).1 < amount {
            return "denied: short".to_owned();
        }
        *self.corrected.entry((who, name)).or_default() -= amount;
        self.change_made();
        "done".to_owned()
    }

    pub fn sweep(&mut self) {
        for index in 0..self.entries.len() {
            self.expire_if_due(index);
            let entry = &mut self.entries[index];
            if !entry.forgotten && entry.state != State::Held && entry.settled + self.retention <= self.time {
                entry.forgotten = true;
                self.change_made();
            }
        }
    }

    fn look(&mut self, who: &str, id: u8) -> Option<usize> {
        let index = self.entries.iter().position(|entry| entry.who == who && entry.id == id && !entry.forgotten)?;
        self.expire_if_due(index);
        Some(index)
    }

    fn expire_if_due(&mut self, index: usize) {
        let entry = &mut self.entries[index];
        if entry.state == State::Held && entry.deadline <= self.time {
            (entry.state, entry.version, entry.settled) = (State::Expired, entry.version + 1, self.time);
            self.change_made();
        }
    }

    /// What each account would give and has given, and how that is told; or why not.
    fn judge(&self, who: &str, want: &Want) -> Result<(Parts, Parts, String), String> {
        let (mut parts, mut booked) = (Parts::new(), Parts::new());
        let in_use = |name: &'static str, parts: &Parts| {
            let (reserved, committed) = self.balance(who, name);
            reserved + committed + parts.get(name).copied().unwrap_or_default()
        };
        let mut missing = want.units;
        for payer in &want.sources {
            let carried = payer.carry.map_or(0, |(name, limit, cap)| (limit - in_use(name, &parts)).clamp(0, cap));
            let free = payer.limit.map_or(i64::MAX, |limit| (limit + carried - in_use(payer.name, &parts)).max(0));
            if want.whole && free < missing {
                continue;
            }
            let gives = free.min(missing).min(payer.at_most.unwrap_or(i64::MAX));
            missing -= gives;
            *parts.entry(payer.name).or_default() += gives;
        }
        if want.overage {
            *parts.entry("over").or_default() += std::mem::take(&mut missing);
        }
        let (mut reached, mut warned) = (String::new(), String::new());
        for (index, ceiling) in want.ceilings.iter().enumerate().filter(|(_, ceiling)| ceiling.amount > 0) {
            let before = in_use(ceiling.name, &parts) + booked.get(ceiling.name).copied().unwrap_or_default();
            let exceeded = ceiling.limit.is_some_and(|limit| before + ceiling.amount > limit);
            let list = if ceiling.enforced { &mut reached } else { &mut warned };
            if exceeded {
                *list = format!("{list} {index}");
            }
            if !(exceeded && ceiling.enforced) {
                let side = if ceiling.booked { &mut booked } else { &mut parts };
                *side.entry(ceiling.name).or_default() += ceiling.amount;
            }
        }
        parts.retain(|_, amount| *amount > 0);
        match (missing > 0, reached.as_str()) {
            (false, "") if warned.is_empty() => Ok((parts, booked, "done".to_owned())),
            (false, "") => Ok((parts, booked, format!("done, warned{warned}"))),
            (true, "") => Err("denied: short".to_owned()),
            (false, caps) => Err(format!("denied: caps{caps}")),
            (true, caps) => Err(format!("denied: short, caps{caps}")),
        }
    }
}

fn add(all: &mut Parts, more: &Parts) {
    for (name, amount) in more {
        *all.entry(name).or_default() += amount;
    }
}

/// A hold's own accounts come first: without a limit while it lives, with today's after it has expired.
fn own<'a>(entry: &'a Entry, today: &'a [Payer]) -> impl Iterator<Item = Payer> + 'a {
    // In the order of the receipt, which is the burn order of the hold; the model's parts are sorted by name, as are the payers.
    let payers = entry.held.iter().filter(|(name, _)| !name.starts_with("cap") && !name.starts_with("flight"));
    payers.filter_map(|(name, held)| {
        let known = today.iter().find(|payer| payer.name == *name);
        match entry.state {
            State::Held => Some(Payer { name, limit: None, at_most: Some(*held), carry: None }),
            _ => known.map(|payer| Payer { at_most: Some(*held), ..*payer }),
        }
    })
}

fn word(state: State) -> &'static str {
    match state {
        State::Held => "held",
        State::Committed => "committed",
        State::Released => "released",
        State::Expired => "expired",
    }
}
