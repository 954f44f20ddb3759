//! The tables as a transfer reads and fills them.

use jiff::Timestamp;
use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, WriteTransaction};
use uuid::Uuid;

use super::{ACCOUNTS, CATALOGS, DOCUMENTS, Disk, EVENTS, IMPORTED, META, POSITION, RESERVATIONS, begin, join};
use crate::domain::ids::CatalogVersion;
use crate::domain::ledger::Event;
use crate::domain::summary::CostSum;
use crate::store::embedded::sums;
use crate::store::record;
use crate::store::transfer::{Header, SubjectState, Sums, TransferError, merge};

/// One write transaction that takes a whole file. Dropped without [`Importing::commit`], it has changed nothing.
pub(in crate::store::embedded) struct Importing(WriteTransaction);

impl Disk {
    /// Which export filled this database, if one did.
    pub(in crate::store::embedded) fn imported(&self) -> Result<Option<Uuid>, TransferError> {
        let read = || -> Result<Option<Vec<u8>>, redb::Error> {
            let meta = self.database.begin_read()?.open_table(META)?;
            Ok(meta.get(IMPORTED)?.map(|row| row.value().to_vec()))
        };
        let id = read().map_err(failed)?;
        id.map(|bytes| Uuid::from_slice(&bytes).map_err(|problem| TransferError::Damaged(format!("row `{IMPORTED}`: {problem}"))))
            .transpose()
    }

    pub(in crate::store::embedded) fn event_count(&self) -> Result<u64, TransferError> {
        let count = || -> Result<u64, redb::Error> { Ok(self.database.begin_read()?.open_table(EVENTS)?.len()?) };
        count().map_err(failed)
    }

    /// Every sum of costs.
    pub(in crate::store::embedded) fn costs(&self) -> Result<Sums, TransferError> {
        let mut all = Sums::new();
        for sum in sums::read_all(&self.database).map_err(|problem| TransferError::Damaged(problem.to_string()))? {
            merge(&mut all, &sum)?;
        }
        Ok(all)
    }

    /// All events, in order.
    pub(in crate::store::embedded) fn each_event(
        &self,
        mut take: impl FnMut(Event) -> Result<(), TransferError>,
    ) -> Result<(), TransferError> {
        let table = || -> Result<_, redb::Error> { Ok(self.database.begin_read()?.open_table(EVENTS)?) };
        for row in table().map_err(failed)?.iter().map_err(failed)? {
            let (number, bytes) = row.map_err(failed)?;
            take(event(number.value(), bytes.value())?)?;
        }
        Ok(())
    }

    pub(in crate::store::embedded) fn event(&self, number: u64) -> Result<Option<Event>, TransferError> {
        let read = || -> Result<_, redb::Error> { Ok(self.database.begin_read()?.open_table(EVENTS)?.get(number)?) };
        read().map_err(failed)?.map(|bytes| event(number, bytes.value())).transpose()
    }

    /// Begins to fill a database that holds nothing.
    pub(in crate::store::embedded) fn import(&self, header: &Header) -> Result<Importing, TransferError> {
        let open = || -> Result<WriteTransaction, redb::Error> {
            let write = begin(&self.database)?;
            let last_time = header.last_time.unwrap_or(Timestamp::MIN);
            {
                let mut meta = write.open_table(META)?;
                meta.insert(POSITION, record::encode_position((header.last_sequence, last_time)).as_slice())?;
                meta.insert(IMPORTED, header.export.as_bytes().as_slice())?;
            }
            Ok(write)
        };
        open().map(Importing).map_err(failed)
    }
}

impl Importing {
    /// One that is kept already, of a sidecar that was started once, stays if it is the same.
    pub(in crate::store::embedded) fn catalog(&self, version: &CatalogVersion, text: &str) -> Result<(), TransferError> {
        let put = || -> Result<bool, redb::Error> {
            let mut catalogs = self.0.open_table(CATALOGS)?;
            let other = catalogs.insert(version.as_str(), text)?.is_some_and(|known| known.value() != text);
            Ok(other)
        };
        if put().map_err(failed)? { Err(TransferError::NotEmpty { what: format!("another catalog {version}") }) } else { Ok(()) }
    }

    pub(in crate::store::embedded) fn subject(&self, state: &SubjectState) -> Result<(), TransferError> {
        let SubjectState { subject, document, accounts, reservations } = state;
        let put = || -> Result<(), redb::Error> {
            if let Some(document) = document {
                self.0.open_table(DOCUMENTS)?.insert(subject.as_str(), record::encode_document(document).as_slice())?;
            }
            let mut table = self.0.open_table(ACCOUNTS)?;
            for (key, account) in accounts {
                table.insert(join(subject, key.as_str()).as_str(), record::encode_account(account).as_slice())?;
            }
            let mut table = self.0.open_table(RESERVATIONS)?;
            for row in reservations {
                table.insert(join(subject, row.id.as_str()).as_str(), record::encode_row(row).as_slice())?;
            }
            Ok(())
        };
        put().map_err(failed)
    }

    pub(in crate::store::embedded) fn event(&self, event: &Event) -> Result<(), TransferError> {
        let put = || -> Result<(), redb::Error> {
            self.0.open_table(EVENTS)?.insert(event.sequence, record::encode_event(event).as_slice())?;
            Ok(())
        };
        put().map_err(failed)
    }

    pub(in crate::store::embedded) fn costs(&self, sum: &CostSum) -> Result<(), TransferError> {
        let mut added = sums::Sums::default();
        added.add(sum);
        added.write(&self.0).map_err(|problem| TransferError::Store(problem.to_string()))
    }

    /// Makes everything durable.
    pub(in crate::store::embedded) fn commit(self) -> Result<(), TransferError> {
        self.0.commit().map_err(failed)
    }
}

fn event(number: u64, bytes: &[u8]) -> Result<Event, TransferError> {
    record::decode_event(bytes).map_err(|problem| TransferError::record(&format!("event {number}"), &problem))
}

fn failed(problem: impl Into<redb::Error>) -> TransferError {
    TransferError::Store(problem.into().to_string())
}
