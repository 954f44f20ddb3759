//! Tables that read like a bank statement: one request a line, then what the ledger answers, then every account of the subject.
//!
//! ```text
//! reserve r1 12 from a:10 b:20  -> done            | a 10+0, b 2+0      reserved+committed
//! commit r1 7                   -> done            | a 0+7
//! commit r1 7                   -> repeated: committed                  the same line is the same request
//! ```
//! Refunds: `refund r1 a=3 cap=1` gives back so much of each. Corrections: `raise 5 from a:10`, `lower a=3`.
//! Sources: `a:10` a limit, `a:*` none, `a:10<=3` at most 3, `feb:10+jan:10!4` raised by up to 4 that jan's 10 left.
//! Caps: `cap:100=3` enforced, `cap:100~3` told, `cap:*=3` settled, `cap:*+3` of an attempt that is over; `@90m` lapses then. A line without `->` is not checked.

use std::collections::HashMap;

use genquota::domain::amount::Micros;
use genquota::domain::ids::{ReservationId, SubjectId};
use genquota::domain::ledger::{AccountKind, Answer, CapLeg, Carry, Expected, Movement, Row, Source, State, Take, Transaction};
use jiff::SignedDuration;

use crate::bank::{Bank, Said};
use crate::requests::{account, commit, extend, fingerprint, lower, micros, minutes, name_of, raise, record, refund, release};
use crate::requests::{reservation, reserve, resize, share, start, subject};

/// Plays a statement and compares every line. In the end the books must restore to an equal ledger.
pub fn statement(text: &str) -> Bank {
    let mut teller = Teller { bank: Bank::open(), who: subject("one"), limits: HashMap::new() };
    for (number, line) in text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let (command, expected) = line.split_once("->").unwrap_or((line, ""));
        let words: Vec<&str> = command.split_whitespace().collect();
        let answer = teller.play(&words);
        let (answer_expected, accounts_expected) = expected.split_once('|').unwrap_or((expected, ""));
        for (expected, actual) in [(answer_expected, answer), (accounts_expected, teller.accounts())] {
            let expected = expected.trim();
            assert!(expected.is_empty() || expected == actual, "line {number}: {line}\nexpected: {expected}\n  actual: {actual}");
        }
    }
    teller.bank.check_restored();
    teller.bank
}

struct Teller {
    bank: Bank,
    who: SubjectId,
    /// As last named, for a settlement that names no sources.
    limits: HashMap<String, Source>,
}

/// What follows the amount of a request.
#[derive(Default)]
struct Options {
    take: Take,
    ttl: Option<SignedDuration>,
    dry: bool,
    /// Sent without a look at the reservation.
    version: Option<u64>,
    judged: Option<u64>,
    valid: Option<(i64, i64)>,
}

impl Teller {
    fn play(&mut self, words: &[&str]) -> String {
        match words {
            ["as", who] => self.who = subject(who),
            ["later", span] => self.bank.now += duration(span),
            ["earlier", span] => self.bank.now -= duration(span),
            ["sweep"] => return if self.bank.sweep() { "more is due".to_owned() } else { "done".to_owned() },
            ["show", id] => return self.bank.row(&self.who, &reservation(id)).map_or("unknown".to_owned(), |row| written(&row)),
            ["raise", rest @ ..] => {
                let take = self.options(rest).take;
                return told(&self.bank.execute(&raise(&self.who, take)));
            }
            ["lower", share] => {
                let (name, taken) = share.split_once('=').expect("an account and an amount");
                return told(&self.bank.execute(&lower(&self.who, name, amount(taken).get())));
            }
            ["refund", id, shares @ ..] => return self.refund(&reservation(id), shares, &words.join(" ")),
            [act, id, rest @ ..] => return self.request(act, &reservation(id), rest, &words.join(" ")),
            _ => panic!("no such request: {words:?}"),
        }
        String::new()
    }

    fn request(&mut self, act: &str, id: &ReservationId, words: &[&str], whole: &str) -> String {
        let print = fingerprint(whole);
        let options = self.options(words);
        let (who, take) = (self.who.clone(), options.take.clone());
        let ttl = options.ttl.unwrap_or(minutes(15));
        let opening = match act {
            "reserve" => reserve(&who, id, print, take.clone(), ttl),
            "record" => record(&who, id, print, take.clone()),
            _ => {
                let request = |row: &Row| match act {
                    "commit" => options.on(commit(&who, row, print, take.clone())),
                    "release" => options.on(release(&who, row, print, take.caps.clone())),
                    "extend" => options.on(extend(&who, row, print, ttl)),
                    "resize" => options.on(resize(&who, row, print, take.clone(), ttl)),
                    _ => panic!("no such request: {act}"),
                };
                let to = match act {
                    "commit" => State::Committed,
                    "release" => State::Released,
                    _ => State::Held,
                };
                if options.version.is_some() {
                    // Judged by what the caller saw before: the reservation may have moved on, or be gone.
                    let seen = self.bank.books.rows.get(&(who.clone(), id.clone())).map(|row| (**row).clone());
                    return told(&self.bank.execute(&request(&seen.unwrap_or_else(|| unseen(id)))));
                }
                return match self.bank.settle(&who, id, print, to, request) {
                    Said::Answer(answer) => told(&answer),
                    Said::Repeated(row) => format!("repeated: {}", state(&row)),
                    Said::Ended(row) => format!("ended: {}", state(&row)),
                    Said::Unknown => "unknown".to_owned(),
                };
            }
        };
        told(&self.bank.execute(&options.on(opening)))
    }

    fn refund(&mut self, id: &ReservationId, shares: &[&str], whole: &str) -> String {
        let shares = shares.iter().map(|share| share.split_once('=').expect("an account and an amount"));
        let shares = shares.map(|(name, given)| share(name, amount(given).get())).collect();
        let (who, print) = (self.who.clone(), fingerprint(whole));
        match self.bank.refund(&who, id, print, |row| refund(&who, row, print, shares)) {
            Said::Answer(answer) => told(&answer),
            Said::Repeated(row) => format!("repeated: {}", state(&row)),
            Said::Ended(row) => format!("not committed: {}", state(&row)),
            Said::Unknown => "unknown".to_owned(),
        }
    }

    fn options(&mut self, words: &[&str]) -> Options {
        let mut options = Options::default();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let mut argument = || *words.next().unwrap_or_else(|| panic!("{word} what?"));
            match *word {
                "from" => {
                    while let Some(source) = words.next_if(|word| word.contains(':')) {
                        options.take.sources.push(self.source(source));
                    }
                }
                "under" => {
                    while let Some(cap) = words.next_if(|word| word.contains(':')) {
                        options.take.caps.push(parse_cap(cap));
                    }
                }
                "whole" => options.take.whole = true,
                "dry" => options.dry = true,
                "ttl" => options.ttl = Some(duration(argument())),
                "version" => options.version = Some(argument().parse().expect("a version")),
                "judged" => options.judged = Some(argument().parse().expect("a version")),
                "valid" => options.valid = Some((argument().parse().expect("minutes"), argument().parse().expect("minutes"))),
                units => options.take.units = amount(units),
            }
        }
        if options.take.sources.is_empty() {
            let mut known: Vec<_> = self.limits.iter().collect();
            known.sort_by_key(|(name, _)| *name);
            options.take.sources = known.into_iter().map(|(_, source)| source.clone()).collect();
        }
        options
    }

    fn source(&mut self, text: &str) -> Source {
        let (text, at_most) = text.split_once("<=").map_or((text, None), |(text, most)| (text, Some(amount(most))));
        let (own, carried) = text.split_once('+').map_or((text, None), |(own, carried)| (own, Some(carried)));
        let (name, limit) = named(own);
        let carry = carried.map(|carried| {
            let (from, cap) = carried.split_once('!').expect("what is carried has a cap");
            let (from, limit) = named(from);
            Carry { account: account(from), limit: limit.expect("a limit"), cap: amount(cap) }
        });
        let source = Source { account: account(name), limit, at_most, carry };
        self.limits.insert(name.to_owned(), Source { at_most: None, ..source.clone() });
        source
    }

    fn accounts(&self) -> String {
        let contents = self.bank.books.of_subject(&self.who);
        let mut lines: Vec<_> =
            contents.map(|(key, kept)| format!("{} {}+{}", name_of(key), bare(kept.reserved), bare(kept.committed))).collect();
        lines.sort();
        if lines.is_empty() { "nothing".to_owned() } else { lines.join(", ") }
    }
}

impl Options {
    /// The transaction with what was told of how to send it.
    fn on(&self, mut transaction: Transaction) -> Transaction {
        let minute = |count| start() + minutes(count);
        transaction.dry_run = self.dry;
        transaction.judged_by = self.judged;
        transaction.valid = self.valid.map(|(from, until)| (minute(from), minute(until)));
        if let (Some(version), Some(step)) = (self.version, &mut transaction.step) {
            step.expected = Expected::Version(version);
        }
        if let Some(Movement::Move { take, .. }) = transaction.step.as_mut().map(|step| &mut step.movement) {
            take.whole |= self.take.whole;
        }
        transaction
    }
}

/// A reservation that only the caller believes in.
fn unseen(id: &ReservationId) -> Row {
    let mut bank = Bank::open();
    bank.execute(&reserve(&subject("nobody"), id, fingerprint(""), Take::default(), minutes(15)));
    (*bank.row(&subject("nobody"), id).expect("just made")).clone()
}

fn parse_cap(text: &str) -> CapLeg {
    let (text, lapses) = text.split_once('@').map_or((text, None), |(text, span)| (text, Some(start() + duration(span))));
    let (own, counted, enforced, booked) = match (text.split_once('='), text.split_once('~'), text.split_once('+')) {
        (Some((own, counted)), _, _) => (own, counted, true, false),
        (None, Some((own, counted)), _) => (own, counted, false, false),
        (None, None, Some((own, counted))) => (own, counted, false, true),
        (None, None, None) => panic!("a cap counts an amount: {text}"),
    };
    let (name, limit) = named(own);
    let key = account(name);
    assert!(!key.kind().pays(), "a cap is named `cap..` or `flight..`");
    assert!(key.kind() == AccountKind::LevelCap || !name.starts_with("flight"));
    CapLeg { account: key, amount: amount(counted), limit, enforced, booked, lapses }
}

fn named(text: &str) -> (&str, Option<Micros>) {
    let (name, limit) = text.split_once(':').expect("a name and a limit");
    (name, (limit != "*").then(|| amount(limit)))
}

fn amount(text: &str) -> Micros {
    if text == "max" { Micros::MAX } else { micros(text.parse().expect("an amount")) }
}

fn bare(amount: Micros) -> String {
    if amount == Micros::MAX { "max".to_owned() } else { amount.get().to_string() }
}

fn duration(text: &str) -> SignedDuration {
    let (count, unit) = text.split_at(text.len() - 1);
    let count: i64 = count.parse().expect("a number");
    minutes(match unit {
        "m" => count,
        "h" => 60 * count,
        "d" => 24 * 60 * count,
        _ => panic!("minutes, hours or days: {text}"),
    })
}

/// The answer in words.
pub fn told(answer: &Answer) -> String {
    let list = |indexes: &[usize]| indexes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    match answer {
        Answer::Replayed(row) => format!("replayed: {}", state(row)),
        Answer::IdReused(row) => format!("id reused: {}", state(row)),
        Answer::StaleReservation(row) => format!("stale: {}", row.as_ref().map_or("unknown", |row| state(row))),
        Answer::StaleDocument => "stale document".to_owned(),
        Answer::StalePeriod { .. } => "stale period".to_owned(),
        Answer::AccountFull(key) => format!("full: {}", name_of(key)),
        Answer::Done(done) if done.caps_warned.is_empty() => "done".to_owned(),
        Answer::Done(done) => format!("done, warned {}", list(&done.caps_warned)),
        Answer::Denied(denied) => {
            let caps = (!denied.caps_reached.is_empty()).then(|| format!("caps {}", list(&denied.caps_reached)));
            let short = denied.short.then(|| "short".to_owned());
            format!("denied: {}", short.into_iter().chain(caps).collect::<Vec<_>>().join(", "))
        }
    }
}

/// `committed v2 late: a 5/3` is 5 held of a, and 3 of them used.
fn written(row: &Row) -> String {
    let legs = row.legs.iter().map(|leg| format!("{} {}/{}", name_of(&leg.account), bare(leg.held), bare(leg.used)));
    let late = if row.late { " late" } else { "" };
    let legs = legs.collect::<Vec<_>>().join(", ");
    format!("{} v{}{late}: {}", state(row), row.version, if legs.is_empty() { "nothing" } else { &legs })
}

fn state(row: &Row) -> &'static str {
    match row.state {
        State::Held => "held",
        State::Committed => "committed",
        State::Released => "released",
        State::Expired => "expired",
    }
}
