//! The audit: everything that servers hold of a ledger, read key by key and compared with itself. It takes rows apart by its own rules, so
//! that a mistake of the store's reader cannot hide one of its writer.

use std::collections::BTreeMap;

use crate::lab::{Reply, Server};
use crate::sidecars::INSTANCE;

/// A whole ledger.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) partitions: BTreeMap<usize, Partition>,
}

#[derive(Debug, Default)]
pub(crate) struct Partition {
    pub(crate) meta: BTreeMap<String, String>,
    /// Members by deadline, `subject id`.
    pub(crate) due: BTreeMap<String, i64>,
    pub(crate) events: Vec<Event>,
    pub(crate) subjects: BTreeMap<String, Subject>,
}

#[derive(Debug, Default)]
pub(crate) struct Subject {
    /// Reserved and committed.
    pub(crate) accounts: BTreeMap<String, (i64, i64)>,
    pub(crate) rows: BTreeMap<String, Row>,
    /// Members by when their generation began.
    pub(crate) history: BTreeMap<String, i64>,
    /// When generations began, and how many reservations they have with an id other than their own.
    pub(crate) generations: BTreeMap<String, (i64, usize)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) generation: u64,
    pub(crate) number: u64,
    /// In microseconds.
    pub(crate) time: i64,
    pub(crate) kind: char,
    pub(crate) subject: String,
    pub(crate) id: String,
    pub(crate) row: Option<Row>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) version: u64,
    pub(crate) number: u64,
    pub(crate) state: char,
    pub(crate) deadline: i64,
    /// When its generation began.
    pub(crate) began: i64,
    /// `None`: the reservation itself.
    pub(crate) generation: Option<String>,
    pub(crate) late: bool,
    /// Accounts with what was held and what was used.
    pub(crate) legs: Vec<(String, i64, i64)>,
    text: Text,
}

/// All of a row as it is stored, which nobody wants to read in numbers.
#[derive(Clone, PartialEq, Eq)]
struct Text(Vec<u8>);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl Row {
    /// `None` for what is no row.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut lines = text.split(|byte| *byte == b'\n').map(|line| std::str::from_utf8(line).ok());
        let head: Vec<&str> = lines.next()??.split(' ').collect();
        let (head, tail) = head.split_at_checked(11)?;
        let [version, number, state, created, deadline, _, late, _, _, leg_count, _] = <[&str; 11]>::try_from(head).ok()?;
        let (began, generation) = match tail {
            [] => (created, None),
            [began, generation] => (*began, Some((*generation).to_owned())),
            _ => return None,
        };
        let leg_of = |line: &str| {
            let [account, held, used] = <[&str; 3]>::try_from(line.split(' ').collect::<Vec<_>>()).ok()?;
            Some((account.to_owned(), held.parse().ok()?, used.parse().ok()?))
        };
        let legs = (0..leg_count.parse().ok()?).map(|_| leg_of(lines.next()??)).collect::<Option<_>>()?;
        Some(Self {
            version: version.parse().ok()?,
            number: number.parse().ok()?,
            state: state.chars().next()?,
            deadline: deadline.parse().ok()?,
            began: began.parse().ok()?,
            generation,
            late: late == "1",
            legs,
            text: Text(text.to_vec()),
        })
    }
}

impl Books {
    /// Reads what one server holds.
    pub(crate) fn of(server: &Server) -> Self {
        Self::of_all(std::iter::once(server))
    }

    /// Reads what the primaries of a cluster hold together.
    pub(crate) fn of_all<'a>(servers: impl IntoIterator<Item = &'a Server>) -> Self {
        let mut books = Self::default();
        let prefix = format!("{{gq{INSTANCE}:");
        for server in servers {
            for key in server.ask(&["KEYS", &format!("{prefix}*")]).unwrap().array() {
                let key = text(key);
                let (partition, name) = key.strip_prefix(&prefix).unwrap().split_once('}').unwrap();
                let partition = books.partitions.entry(partition.parse().unwrap()).or_default();
                partition.read(server, &key, name);
            }
        }
        books
    }

    /// Everything that must hold of a ledger whose servers have not lost anything. `limit` tells what an account may come to.
    ///
    /// # Panics
    /// At the first thing that does not.
    pub(crate) fn audit(&self, limit: impl Fn(&str) -> Option<i64>) {
        for (number, partition) in &self.partitions {
            partition.check_numbers(*number);
            partition.check_fold(*number, &limit);
            partition.check_due(*number);
            partition.check_histories(*number);
        }
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.partitions.values().flat_map(|partition| &partition.events)
    }

    pub(crate) fn row(&self, subject: &str, id: &str) -> Option<&Row> {
        self.partitions.values().find_map(|partition| partition.subjects.get(subject))?.rows.get(id)
    }

    /// Reserved and committed; nothing for an account that does not exist.
    pub(crate) fn account(&self, subject: &str, account: &str) -> (i64, i64) {
        let subject = self.partitions.values().find_map(|partition| partition.subjects.get(subject));
        subject.and_then(|subject| subject.accounts.get(account)).copied().unwrap_or_default()
    }

    /// The partition of a subject that anything is kept of.
    pub(crate) fn partition_of(&self, subject: &str) -> Option<usize> {
        self.partitions.iter().find(|(_, partition)| partition.subjects.contains_key(subject)).map(|(number, _)| *number)
    }
}

impl Partition {
    fn read(&mut self, server: &Server, key: &str, name: &str) {
        let fields = || pairs(server.ask(&["HGETALL", key]).unwrap());
        match name {
            "meta" => self.meta = fields().map(|(name, value)| (name, String::from_utf8(value).unwrap())).collect(),
            "due" => {
                let members = pairs(server.ask(&["ZRANGE", key, "0", "-1", "WITHSCORES"]).unwrap());
                self.due = members.map(|(member, score)| (member, String::from_utf8(score).unwrap().parse().unwrap())).collect();
            }
            "events" => self.events = server.ask(&["XRANGE", key, "-", "+"]).unwrap().array().into_iter().map(event).collect(),
            name => {
                if let Some(subject) = name.strip_prefix("h:") {
                    let members = pairs(server.ask(&["ZRANGE", key, "0", "-1", "WITHSCORES"]).unwrap());
                    let members = members.map(|(member, score)| (member, String::from_utf8(score).unwrap().parse().unwrap()));
                    self.subjects.entry(subject.to_owned()).or_default().history = members.collect();
                }
                let Some(subject) = name.strip_prefix("s:") else { return };
                let subject = self.subjects.entry(subject.to_owned()).or_default();
                for (field, value) in fields() {
                    if let Some(account) = field.strip_prefix("a:") {
                        let value = String::from_utf8(value).unwrap();
                        let mut parts = value.split(' ').map(|part| part.parse().unwrap());
                        subject.accounts.insert(account.to_owned(), (parts.next().unwrap(), parts.next().unwrap()));
                    } else if let Some(id) = field.strip_prefix("r:") {
                        let row = Row::parse(&value).unwrap_or_else(|| panic!("{key} {field}: no row: {}", value.escape_ascii()));
                        subject.rows.insert(id.to_owned(), row);
                    } else if let Some(generation) = field.strip_prefix("g:") {
                        let value = String::from_utf8(value).unwrap();
                        let (began, count) = value.split_once(' ').unwrap();
                        subject.generations.insert(generation.to_owned(), (began.parse().unwrap(), count.parse().unwrap()));
                    }
                }
            }
        }
    }

    /// The number of the last change.
    pub(crate) fn position(&self) -> u64 {
        self.meta["position"].split(' ').next().unwrap().parse().unwrap()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.meta["genesis"].rsplit(':').next().unwrap().parse().unwrap()
    }

    /// I11, I15: no number is left out or given twice, and time never falls.
    fn check_numbers(&self, partition: usize) {
        let mut last: Option<&Event> = None;
        for event in &self.events {
            match last.filter(|last| last.generation == event.generation) {
                Some(last) => assert_eq!(event.number, last.number + 1, "partition {partition}: a gap before {event:?}"),
                None => assert!(event.generation > 1 || event.number == 1, "partition {partition} begins with {event:?}"),
            }
            assert!(last.is_none_or(|last| last.time <= event.time), "partition {partition}: time falls at {event:?}");
            last = Some(event);
        }
        if let Some(last) = last.filter(|last| last.generation == self.generation()) {
            assert_eq!(last.number, self.position(), "partition {partition}: a change without its event, or an event without its change");
        }
    }

    /// I1-I3, I5, I8, I13: the events, put together from the first on, never exceed a limit, take each reservation only where it may go, and
    /// come to exactly the rows and accounts that are stored.
    fn check_fold(&self, partition: usize, limit: impl Fn(&str) -> Option<i64>) {
        let mut folded = BTreeMap::<String, Subject>::new();
        for event in &self.events {
            let Some(row) = &event.row else { continue };
            assert_eq!(row.number, event.number, "partition {partition}: {event:?}");
            let Subject { accounts, rows, .. } = folded.entry(event.subject.clone()).or_default();
            let before = rows.insert(event.id.clone(), row.clone());
            let path = (before.as_ref().map(|row| row.state), event.kind, row.state);
            let is_legal = matches!(
                path,
                (None, 'r', 'h')
                    | (None, 'u', 'c')
                    | (Some('h'), 'x', 'h')
                    | (Some('h'), 'c', 'c')
                    | (Some('h'), 'l', 'l')
                    | (Some('h'), 'e', 'e')
                    | (Some('e'), 'c', 'c')
            );
            assert!(is_legal, "partition {partition}: {path:?} at {event:?}");
            assert_eq!(row.version, before.as_ref().map_or(0, |row| row.version) + 1, "partition {partition}: {event:?}");
            assert_eq!(row.late, path.0 == Some('e'), "partition {partition}: {event:?}");
            for (account, held, _) in before.iter().filter(|row| row.state == 'h').flat_map(|row| &row.legs) {
                accounts.get_mut(account).expect("it holds something").0 -= held;
            }
            for (account, held, used) in &row.legs {
                let sums = accounts.entry(account.clone()).or_default();
                match row.state {
                    'h' => sums.0 += held,
                    'c' => sums.1 += used,
                    _ => {}
                }
                let most = limit(account).unwrap_or(i64::MAX);
                assert!(
                    sums.0 >= 0 && sums.0 + sums.1 <= most,
                    "partition {partition}: {account} is at {sums:?} of {most} after {event:?}"
                );
            }
        }
        for subject in folded.values_mut() {
            subject.accounts.retain(|_, sums| *sums != (0, 0));
        }
        let stored = self.subjects.iter().filter(|(_, subject)| !subject.rows.is_empty() || !subject.accounts.is_empty());
        let stored: BTreeMap<_, _> = stored.collect();
        assert_eq!(folded.keys().collect::<Vec<_>>(), stored.keys().copied().collect::<Vec<_>>(), "partition {partition}");
        for (name, subject) in &folded {
            assert_eq!(subject.accounts, stored[name].accounts, "partition {partition}: accounts of {name}");
            assert_eq!(subject.rows.len(), stored[name].rows.len(), "partition {partition}: rows of {name}");
            for (id, row) in &subject.rows {
                assert_eq!(Some(row), stored[name].rows.get(id), "partition {partition}: {name} {id}");
            }
        }
    }

    /// I9: a hold is due at its deadline, and nothing else is.
    fn check_due(&self, partition: usize) {
        let rows = self.subjects.iter().flat_map(|(name, subject)| subject.rows.iter().map(move |(id, row)| (format!("{name} {id}"), row)));
        let held: BTreeMap<String, i64> = rows.filter(|(_, row)| row.state == 'h').map(|(member, row)| (member, row.deadline)).collect();
        assert_eq!(held, self.due, "partition {partition}");
    }

    /// Every reservation stands in its subject's history where its generation began, and nothing else does.
    fn check_histories(&self, partition: usize) {
        for (name, subject) in &self.subjects {
            let (mut history, mut generations) = (BTreeMap::new(), BTreeMap::<String, (i64, usize)>::new());
            for (id, row) in &subject.rows {
                let other = row.generation.as_ref().filter(|generation| *generation != id);
                history.insert(other.map_or_else(|| id.clone(), |generation| format!("{generation} {id}")), row.began);
                if let Some(generation) = other {
                    generations.entry(generation.clone()).or_insert((row.began, 0)).1 += 1;
                }
            }
            assert_eq!(history, subject.history, "partition {partition}: history of {name}");
            assert_eq!(generations, subject.generations, "partition {partition}: generations of {name}");
        }
    }
}

fn text(reply: Reply) -> String {
    String::from_utf8(reply.bytes()).unwrap()
}

/// Of a flat list, the elements by twos.
fn pairs(reply: Reply) -> impl Iterator<Item = (String, Vec<u8>)> {
    let mut elements = reply.array().into_iter();
    std::iter::from_fn(move || Some((text(elements.next()?), elements.next()?.bytes())))
}

fn event(entry: Reply) -> Event {
    let [id, fields] = <[Reply; 2]>::try_from(entry.array()).unwrap();
    let id = text(id);
    let (generation, number) = id.split_once('-').unwrap();
    let mut fields: BTreeMap<String, Vec<u8>> = pairs(fields).collect();
    let body = fields.remove("e").unwrap();
    let end = body.iter().position(|byte| *byte == b'\n').unwrap();
    let head = String::from_utf8(body[..end].to_vec()).unwrap();
    let [kind, subject, id, document] = <[&str; 4]>::try_from(head.split(' ').collect::<Vec<_>>()).unwrap();
    let row = &body[end + 1 + document.parse::<usize>().unwrap()..];
    Event {
        generation: generation.parse().unwrap(),
        number: number.parse().unwrap(),
        time: String::from_utf8(fields.remove("t").unwrap()).unwrap().parse().unwrap(),
        kind: kind.chars().next().unwrap(),
        subject: subject.to_owned(),
        id: id.to_owned(),
        row: (!row.is_empty()).then(|| Row::parse(row).expect("a row")),
    }
}
