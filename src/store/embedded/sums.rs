//! Sums of closed attempts, by the hour: in the database in the very transaction that closes an attempt, or in memory with the ledger.
//!
//! A sum that would leave the numbers goes on in a row with a `+` after its key; whoever reads adds them up.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::domain::ledger::Event;
use crate::domain::summary::{CostSum, Tally, TallyKey, hour_of};
use crate::store::record::{self, RecordError};
use crate::store::{CostsOf, HourRange};

/// Everybody's, by hour and key.
const COSTS: TableDefinition<(i64, &str), &[u8]> = TableDefinition::new("costs");
/// Those of a subject, by subject, hour and key.
const SUBJECT_COSTS: TableDefinition<(&str, i64, &str), &[u8]> = TableDefinition::new("subject_costs");
/// Which subjects have sums in an hour.
const SPENT: TableDefinition<(i64, &str), ()> = TableDefinition::new("spent");

/// After every key.
const LAST: &str = "\u{10ffff}";

/// Sums by hour and key, each key perhaps with a `+`.
#[derive(Debug, Default)]
pub(super) struct Sums(BTreeMap<(i64, String), Tally>);

/// Why a table cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum TableError {
    #[error("the database fails: {0}")]
    Database(#[source] Box<redb::Error>),
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl<E: Into<redb::Error>> From<E> for TableError {
    fn from(problem: E) -> Self {
        Self::Database(Box::new(problem.into()))
    }
}

impl Sums {
    /// What changes of the ledger add.
    pub(super) fn of<'e>(events: impl Iterator<Item = &'e Event>) -> Self {
        let mut sums = Self::default();
        for sum in events.flat_map(CostSum::of) {
            sums.add(&sum);
        }
        sums
    }

    pub(super) fn add(&mut self, sum: &CostSum) {
        self.put(sum.hour, sum.key.as_str().to_owned(), sum.tally);
    }

    fn put(&mut self, hour: i64, mut key: String, tally: Tally) {
        loop {
            let known = self.0.entry((hour, key.clone())).or_default();
            if let Some(total) = known.checked_add(tally) {
                *known = total;
                return;
            }
            key.push('+');
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes others in, and forgets those before an hour.
    pub(super) fn merge(&mut self, others: Self, first_hour: i64) {
        for ((hour, key), tally) in others.0 {
            self.put(hour, key, tally);
        }
        while self.0.first_key_value().is_some_and(|((hour, _), _)| *hour < first_hour) {
            self.0.pop_first();
        }
    }

    pub(super) fn read(&self, hours: &HourRange, of: &CostsOf) -> Result<Vec<CostSum>, RecordError> {
        let in_range = self.0.range((hours.start, String::new())..(hours.end, String::new()));
        let sums = in_range.map(|((hour, key), tally)| sum(*hour, key, *tally));
        let wanted = |sum: &CostSum| match of {
            CostsOf::Everybody => sum.key.subject().is_none(),
            CostsOf::Subject(subject) => sum.key.subject() == Some(subject.as_str()),
            CostsOf::EachSubject => sum.key.subject().is_some(),
        };
        sums.filter(|sum| sum.as_ref().map_or(true, wanted)).collect()
    }

    /// Adds to what the database has.
    pub(super) fn write(&self, write: &WriteTransaction) -> Result<(), TableError> {
        let (mut costs, mut own, mut spent) = (write.open_table(COSTS)?, write.open_table(SUBJECT_COSTS)?, write.open_table(SPENT)?);
        for ((hour, key), tally) in &self.0 {
            let added = sum(*hour, key, *tally)?;
            let mut name = key.clone();
            loop {
                let known = match added.key.subject() {
                    None => costs.get((*hour, name.as_str()))?.map(|row| record::decode_tally(row.value())),
                    Some(subject) => own.get((subject, *hour, name.as_str()))?.map(|row| record::decode_tally(row.value())),
                };
                let Some(total) = known.transpose()?.unwrap_or_default().checked_add(added.tally) else {
                    name.push('+');
                    continue;
                };
                let bytes = record::encode_tally(&total);
                match added.key.subject() {
                    None => drop(costs.insert((*hour, name.as_str()), bytes.as_slice())?),
                    Some(subject) => {
                        own.insert((subject, *hour, name.as_str()), bytes.as_slice())?;
                        spent.insert((*hour, subject), ())?;
                    }
                }
                break;
            }
        }
        Ok(())
    }
}

/// Lays the tables out.
pub(super) fn create(write: &WriteTransaction) -> Result<(), redb::Error> {
    write.open_table(COSTS)?;
    write.open_table(SUBJECT_COSTS)?;
    write.open_table(SPENT)?;
    Ok(())
}

/// Deletes the sums of hours before one, oldest first, of at most `max` hours of subjects. Says whether there may be more.
pub(super) fn trim(write: &WriteTransaction, first_hour: i64, max: usize) -> Result<bool, redb::Error> {
    let (mut costs, mut own, mut spent) = (write.open_table(COSTS)?, write.open_table(SUBJECT_COSTS)?, write.open_table(SPENT)?);
    costs.retain_in(..(first_hour, ""), |_, _| false)?;
    for _ in 0..max {
        let Some((hour, subject)) = spent.first()?.map(|(key, _)| (key.value().0, key.value().1.to_owned())) else { return Ok(false) };
        if hour >= first_hour {
            return Ok(false);
        }
        own.retain_in((subject.as_str(), hour, "")..(subject.as_str(), hour, LAST), |_, _| false)?;
        spent.remove((hour, subject.as_str()))?;
    }
    Ok(true)
}

/// The sums of some hours, as they stood at one moment.
pub(super) fn read(database: &Database, hours: &HourRange, of: &CostsOf) -> Result<Vec<CostSum>, TableError> {
    let read = database.begin_read()?;
    let mut sums = Vec::new();
    if *of == CostsOf::Everybody {
        for row in read.open_table(COSTS)?.range((hours.start, "")..(hours.end, ""))? {
            let (key, tally) = row?;
            let (hour, key) = key.value();
            sums.push(sum(hour, key, record::decode_tally(tally.value())?)?);
        }
        return Ok(sums);
    }
    let own = read.open_table(SUBJECT_COSTS)?;
    let mut collect = |subject: &str, hours: &HourRange| -> Result<(), TableError> {
        for row in own.range((subject, hours.start, "")..(subject, hours.end, ""))? {
            let (key, tally) = row?;
            let (_, hour, key) = key.value();
            sums.push(sum(hour, key, record::decode_tally(tally.value())?)?);
        }
        Ok(())
    };
    match of {
        CostsOf::Everybody => {}
        CostsOf::Subject(subject) => collect(subject.as_str(), hours)?,
        CostsOf::EachSubject => {
            for row in read.open_table(SPENT)?.range((hours.start, "")..(hours.end, ""))? {
                let (key, ()) = row.map(|(key, value)| (key, value.value()))?;
                let (hour, subject) = key.value();
                collect(subject, &(hour..hour + 1))?;
            }
        }
    }
    Ok(sums)
}

/// Every sum there is, everybody's and each subject's.
pub(super) fn read_all(database: &Database) -> Result<Vec<CostSum>, TableError> {
    let all = i64::MIN..i64::MAX;
    let mut sums = read(database, &all, &CostsOf::Everybody)?;
    sums.extend(read(database, &all, &CostsOf::EachSubject)?);
    Ok(sums)
}

/// The first hour whose sums are kept.
pub(super) fn first_hour(now: Timestamp, retention: SignedDuration) -> i64 {
    now.checked_sub(retention).map_or(i64::MIN, hour_of)
}

fn sum(hour: i64, key: &str, tally: Tally) -> Result<CostSum, RecordError> {
    let parsed = TallyKey::parse(key.trim_end_matches('+'));
    let key = parsed.ok_or_else(|| RecordError::new("costs.key", format!("names no sum: {key:?}")))?;
    Ok(CostSum { hour, key, tally })
}
