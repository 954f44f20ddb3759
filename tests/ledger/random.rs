//! Random operations, put to the ledger and to the reference model alike.
//!
//! After every operation both say the same, every balance is the sum of what was granted, and the audit of [`Bank`] holds. Each granted
//! request is at once sent again, and must find its own answer. Failing seeds are kept beside this file.

use genquota::domain::amount::Micros;
use genquota::domain::ledger::{Answer, CapLeg, Carry, Expected, Fingerprint, Row, Source, State, Take, Transaction};
use genquota::domain::subject::Document;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::bank::{Bank, Said};
use crate::model::{Ceiling, Model, Payer, Want};
use crate::requests::{
    account, commit, extend, fingerprint, lower, micros, minutes, name_of, raise, record, refund, release, reservation, reserve, resize,
    share, start, subject,
};
use crate::statement::told;

const SUBJECTS: [&str; 2] = ["one", "two"];
const ACCOUNTS: [&str; 6] = ["a", "b", "feb", "over", "cap", "flight"];

type Key = (&'static str, u8);

#[derive(Debug, Clone)]
enum Op {
    Reserve {
        key: Key,
        size: Size,
        ttl: i64,
        dry: bool,
    },
    Record {
        key: Key,
        size: Size,
    },
    Commit {
        key: Key,
        size: Size,
    },
    Release {
        key: Key,
        cost: i64,
    },
    Resize {
        key: Key,
        size: Size,
        /// Of the attempt that is over.
        cost: i64,
        ttl: i64,
    },
    Extend {
        key: Key,
        ttl: i64,
    },
    Refund {
        key: Key,
        /// Of some accounts, each once.
        shares: Vec<(&'static str, i64)>,
    },
    Raise {
        who: &'static str,
        size: Size,
    },
    Lower {
        who: &'static str,
        name: &'static str,
        amount: i64,
    },
    Document {
        who: &'static str,
        stale: bool,
    },
    Wait(i64),
    Back(i64),
    Sweep,
    /// An earlier operation once more.
    Again(prop::sample::Index),
    /// An earlier operation with another payload of the same shape.
    Forged(prop::sample::Index),
}

#[derive(Debug, Clone)]
struct Size {
    units: i64,
    /// Which sources, in which order.
    order: usize,
    whole: bool,
    cost: i64,
    enforced: bool,
}

fn keys() -> impl Strategy<Value = Key> {
    (prop::sample::select(&SUBJECTS[..]), 0_u8..6)
}

fn sizes() -> impl Strategy<Value = Size> {
    (0_i64..12, 0_usize..7, prop::bool::weighted(0.2), 0_i64..9, any::<bool>()).prop_map(|(units, order, whole, cost, enforced)| Size {
        units,
        order,
        whole,
        cost,
        enforced,
    })
}

fn shares() -> impl Strategy<Value = Vec<(&'static str, i64)>> {
    prop::sample::subsequence(ACCOUNTS.to_vec(), 0..4)
        .prop_flat_map(|names| names.into_iter().map(|name| (Just(name), 0_i64..9)).collect::<Vec<_>>())
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (keys(), sizes(), 1_i64..60, prop::bool::weighted(0.1)).prop_map(|(key, size, ttl, dry)| Op::Reserve { key, size, ttl, dry }),
        1 => (keys(), sizes()).prop_map(|(key, size)| Op::Record { key, size }),
        4 => (keys(), sizes()).prop_map(|(key, size)| Op::Commit { key, size }),
        2 => (keys(), 0_i64..9).prop_map(|(key, cost)| Op::Release { key, cost }),
        2 => (keys(), sizes(), 0_i64..9, 1_i64..60).prop_map(|(key, size, cost, ttl)| Op::Resize { key, size, cost, ttl }),
        2 => (keys(), 1_i64..60).prop_map(|(key, ttl)| Op::Extend { key, ttl }),
        3 => (keys(), shares()).prop_map(|(key, shares)| Op::Refund { key, shares }),
        1 => (prop::sample::select(&SUBJECTS[..]), sizes()).prop_map(|(who, size)| Op::Raise { who, size }),
        1 => (prop::sample::select(&SUBJECTS[..]), prop::sample::select(&ACCOUNTS[..]), 1_i64..9)
            .prop_map(|(who, name, amount)| Op::Lower { who, name, amount }),
        1 => (prop::sample::select(&SUBJECTS[..]), any::<bool>()).prop_map(|(who, stale)| Op::Document { who, stale }),
        3 => prop_oneof![9 => 1_i64..30, 1 => Just(25 * 60)].prop_map(Op::Wait),
        1 => (1_i64..600).prop_map(Op::Back),
        2 => Just(Op::Sweep),
        3 => any::<prop::sample::Index>().prop_map(Op::Again),
        2 => any::<prop::sample::Index>().prop_map(Op::Forged),
    ]
}

impl Size {
    fn want(&self) -> Want {
        let plain = |name, limit| Payer { name, limit: Some(limit), at_most: None, carry: None };
        let (a, b, feb) = (plain("a", 30), plain("b", 20), plain("feb", 10));
        let carrying = Payer { carry: Some(("a", 30, 6)), ..feb };
        let little = Payer { at_most: Some(2), ..a };
        let orders = [vec![a, b, feb], vec![a], vec![little, b, a], vec![b, carrying], vec![a, carrying], vec![b], Vec::new()];
        let spend = Ceiling { name: "cap", amount: self.cost, limit: Some(60), enforced: self.enforced, booked: false };
        let flight = Ceiling { name: "flight", amount: 1, limit: Some(4), enforced: true, booked: false };
        Want { units: self.units, sources: orders[self.order].clone(), whole: self.whole, overage: false, ceilings: vec![flight, spend] }
    }

    /// What happened is booked: no limit asks, and nothing is in flight any more.
    fn settled(&self) -> Want {
        Want { overage: true, whole: false, ceilings: vec![booked(self.cost)], ..self.want() }
    }
}

fn booked(cost: i64) -> Ceiling {
    Ceiling { name: "cap", amount: cost, limit: None, enforced: false, booked: false }
}

/// The model's words in the ledger's.
fn translated(want: &Want) -> Take {
    let source = |payer: &Payer| Source {
        account: account(payer.name),
        limit: payer.limit.map(micros),
        at_most: payer.at_most.map(micros),
        carry: payer.carry.map(|(name, limit, cap)| Carry { account: account(name), limit: micros(limit), cap: micros(cap) }),
    };
    let cap = |ceiling: &Ceiling| CapLeg {
        account: account(ceiling.name),
        amount: micros(ceiling.amount),
        limit: ceiling.limit.map(micros),
        enforced: ceiling.enforced,
        booked: ceiling.booked,
        lapses: None,
    };
    Take {
        units: micros(want.units),
        sources: want.sources.iter().map(source).collect(),
        whole: want.whole,
        overage: None,
        caps: want.ceilings.iter().map(cap).collect(),
    }
}

struct Both {
    bank: Bank,
    model: Model,
}

impl Both {
    /// Puts one operation to both and compares what they say.
    fn ask(&mut self, op: &Op, print: Fingerprint) {
        self.model.at(self.bank.now);
        let (said, expected) = match op {
            Op::Reserve { key, size, ttl, dry } => {
                let want = size.want();
                let transaction = reserve(&subject(key.0), &id(*key), print, translated(&want), minutes(*ttl));
                let said = self.send(&Transaction { dry_run: *dry, ..transaction });
                (said, self.model.open(*key, print, &want, State::Held, minutes(*ttl), *dry))
            }
            Op::Record { key, size } => {
                let want = size.settled();
                let said = self.send(&record(&subject(key.0), &id(*key), print, translated(&want)));
                (said, self.model.open(*key, print, &want, State::Committed, minutes(0), false))
            }
            Op::Commit { key, size } => {
                let want = size.settled();
                let said = self.settle(*key, print, State::Committed, |row| commit(&subject(key.0), row, print, translated(&want)));
                (said, self.model.change(*key, print, Some(&want), State::Committed, minutes(0)))
            }
            Op::Release { key, cost } => {
                let want = Want { ceilings: vec![booked(*cost)], ..Want::default() };
                let said = self.settle(*key, print, State::Released, |row| release(&subject(key.0), row, print, translated(&want).caps));
                (said, self.model.change(*key, print, Some(&want), State::Released, minutes(0)))
            }
            Op::Resize { key, size, cost, ttl } => {
                let mut want = size.want();
                want.ceilings.insert(0, Ceiling { booked: true, ..booked(*cost) });
                let request = |row: &Row| resize(&subject(key.0), row, print, translated(&want), minutes(*ttl));
                let said = self.settle(*key, print, State::Held, request);
                (said, self.model.change(*key, print, Some(&want), State::Held, minutes(*ttl)))
            }
            Op::Extend { key, ttl } => {
                let said = self.settle(*key, print, State::Held, |row| extend(&subject(key.0), row, print, minutes(*ttl)));
                (said, self.model.change(*key, print, None, State::Held, minutes(*ttl)))
            }
            Op::Refund { key, shares } => {
                let given = || shares.iter().map(|(name, amount)| share(name, *amount)).collect();
                let said = self.refund(*key, print, |row| refund(&subject(key.0), row, print, given()));
                (said, self.model.refund(*key, print, shares))
            }
            Op::Raise { who, size } => {
                let want = size.settled();
                let said = told(&self.bank.execute(&raise(&subject(who), translated(&want))));
                (said, self.model.raise(who, &want))
            }
            Op::Lower { who, name, amount } => {
                let said = told(&self.bank.execute(&lower(&subject(who), name, *amount)));
                (said, self.model.lower(who, name, *amount))
            }
            Op::Document { who, stale } => self.document(who, *stale),
            Op::Sweep => {
                self.bank.sweep_all();
                self.model.sweep();
                return;
            }
            Op::Wait(_) | Op::Back(_) | Op::Again(_) | Op::Forged(_) => return,
        };
        assert_eq!(said, expected, "{op:?}");
    }

    fn document(&mut self, who: &'static str, stale: bool) -> (String, String) {
        let mut version = self.model.versions.get(who).copied().unwrap_or_default();
        let document = Document::new(subject(who), fingerprint(who), start(), TimeZone::UTC);
        let answer = self.bank.execute(&Transaction {
            subject: subject(who),
            judged_by: Some(version + u64::from(stale)),
            valid: None,
            dry_run: false,
            document: Some(document.into()),
            step: None,
            correction: None,
        });
        if !stale {
            version += 1;
            self.model.versions.insert(who, version);
            self.model.change_made();
        }
        assert_eq!(self.bank.ledger.document(&subject(who)).map_or(0, |document| document.version), version);
        (told(&answer), if stale { "stale document" } else { "done" }.to_owned())
    }

    fn settle(&mut self, key: Key, print: Fingerprint, to: State, request: impl Fn(&Row) -> Transaction) -> String {
        let mut sent = None;
        let said = self.bank.settle(&subject(key.0), &id(key), print, to, |row| sent.insert(request(row)).clone());
        match said {
            Said::Answer(answer) => {
                self.check_repeat(&sent.expect("an answer is to a request"), &answer);
                told(&answer)
            }
            Said::Repeated(row) => format!("repeated: {:?}", row.state).to_lowercase(),
            Said::Ended(row) => format!("ended: {:?}", row.state).to_lowercase(),
            Said::Unknown => "unknown".to_owned(),
        }
    }

    fn refund(&mut self, key: Key, print: Fingerprint, request: impl Fn(&Row) -> Transaction) -> String {
        let mut sent = None;
        match self.bank.refund(&subject(key.0), &id(key), print, |row| sent.insert(request(row)).clone()) {
            Said::Answer(answer) => {
                self.check_repeat(&sent.expect("an answer is to a request"), &answer);
                told(&answer)
            }
            Said::Repeated(row) => format!("repeated: {:?}", row.state).to_lowercase(),
            Said::Ended(row) => format!("not committed: {:?}", row.state).to_lowercase(),
            Said::Unknown => "unknown".to_owned(),
        }
    }

    fn send(&mut self, transaction: &Transaction) -> String {
        let answer = self.bank.execute(transaction);
        self.check_repeat(transaction, &answer);
        told(&answer)
    }

    /// I6: a repeat finds the row of the first answer and changes nothing; a denied request is denied again.
    fn check_repeat(&mut self, transaction: &Transaction, first: &Answer) {
        let again = self.bank.execute(transaction);
        let expected = transaction.step.as_ref().map(|step| step.expected);
        match (first, expected) {
            (Answer::Done(done), Some(Expected::Absent)) if !transaction.dry_run => {
                assert_eq!(again, Answer::Replayed(done.row.clone().expect("a step leaves a row")));
            }
            (Answer::Done(done), _) if !transaction.dry_run => assert_eq!(again, Answer::StaleReservation(done.row.clone())),
            _ => assert_eq!(again, *first),
        }
    }

    /// Every balance and every reservation is what the model sums up.
    fn check(&self) {
        for who in SUBJECTS {
            for name in ACCOUNTS {
                let kept = self.bank.ledger.accounts(&subject(who), &[account(name)])[0];
                assert_eq!((kept.reserved.get(), kept.committed.get()), self.model.balance(who, name), "{name} of {who}");
            }
            // I1 and I3: no source ever pays more than it has, whatever came late.
            for (name, limit) in [("a", 30), ("b", 20), ("feb", 16)] {
                let (reserved, committed) = self.model.balance(who, name);
                assert!(reserved + committed <= limit, "{name} of {who} gave {reserved} and {committed} of {limit}");
            }
            for number in 0..6 {
                let row = self.bank.books.rows.get(&(subject(who), id((who, number))));
                let entry = self.model.find(who, number);
                assert_eq!(row.is_some(), entry.is_some());
                let (Some(row), Some(entry)) = (row, entry) else { continue };
                assert_eq!((row.state, row.version, row.late, row.deadline), (entry.state, entry.version, entry.late, entry.deadline));
                for leg in &row.legs {
                    let part = |parts: &crate::model::Parts| parts.get(name_of(&leg.account).as_str()).copied().unwrap_or_default();
                    assert_eq!((leg.held.get(), leg.used.get()), (part(&entry.held), part(&entry.used)), "{:?} of {row:?}", leg.account);
                }
                let paying = |parts: &crate::model::Parts| -> i64 {
                    parts.iter().filter(|(name, _)| !["cap", "flight"].contains(*name)).map(|(_, amount)| amount).sum()
                };
                assert_eq!((row.units_held().get(), row.units_used().get()), (paying(&entry.held), paying(&entry.used)));
                assert_eq!(row.units_overage(), entry.used.get("over").map_or(Micros::ZERO, |amount| micros(*amount)));
            }
        }
    }
}

fn id((_, number): Key) -> genquota::domain::ids::ReservationId {
    reservation(&format!("r{number}"))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/ledger/proptest-regressions/random.txt"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_ledger_does_what_the_model_does(ops in prop::collection::vec(ops(), 1..60)) {
        let bank = Bank::open();
        let model = Model::new(minutes(24 * 60));
        let mut both = Both { bank, model };
        let mut asked: Vec<(Op, Fingerprint)> = Vec::new();
        for (number, op) in ops.into_iter().enumerate() {
            match &op {
                Op::Wait(count) => both.bank.now += minutes(*count),
                Op::Back(count) => both.bank.now -= minutes(*count),
                Op::Again(_) | Op::Forged(_) if asked.is_empty() => {}
                Op::Again(index) | Op::Forged(index) => {
                    let (earlier, print) = index.get(&asked).clone();
                    let forged = fingerprint(&format!("{number} forged"));
                    both.ask(&earlier, if matches!(op, Op::Forged(_)) { forged } else { print });
                }
                _ => {
                    let print = fingerprint(&format!("{number} {op:?}"));
                    both.ask(&op, print);
                    asked.push((op, print));
                }
            }
            both.check();
        }
        both.bank.check_restored();
    }
}
