//! The embedded store as the source or target of a transfer: its database, opened without a ledger to serve.
//!
//! A database that another process has open is left alone. An import is one write transaction: until its last line it has changed nothing.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::disk::{Disk, Importing, Kept};
use super::home::Opener;
use super::{FILE, OpenError, Options, can_be_written};
use crate::domain::ids::SubjectId;
use crate::domain::summary::CostSum;
use crate::medium::{Directory, Medium};
use crate::store::transfer::{Extent, Header, Line, Put, Source, SubjectState, Sums, Target, TransferError, Writer};

/// A database to read from or to fill.
pub struct EmbeddedArchive {
    disk: Disk,
    kept: Kept,
    mode: Mode,
}

/// Every subject and every sum that is there already.
type Known = (HashMap<SubjectId, SubjectState>, Sums);

/// What is done with the lines of an import.
enum Mode {
    /// None has begun.
    Idle,
    Fill(Box<Importing>),
    /// Everything must be there already.
    Compare(Known),
}

impl EmbeddedArchive {
    /// Opens the store in a directory; `None` if there is none.
    pub fn open(directory: &Path) -> Result<Option<Self>, OpenError> {
        // A directory that is not there is not created for this.
        if directory.exists() { Self::open_on(directory, false) } else { Ok(None) }
    }

    /// Opens the store in a directory, and creates either if it does not exist.
    pub fn create(directory: &Path) -> Result<Self, OpenError> {
        let archive = Self::open_on(directory, true)?;
        archive.ok_or_else(|| OpenError::Io { place: directory.display().to_string(), source: io::ErrorKind::NotFound.into() })
    }

    fn open_on(directory: &Path, create: bool) -> Result<Option<Self>, OpenError> {
        let medium: Arc<dyn Medium> = Arc::new(Directory::take(directory, FILE).map_err(|source| OpenError::take(directory, source))?);
        let opened = Opener::new(medium, Options::default()).archive(create)?;
        Ok(opened.map(|(disk, kept)| Self { disk, kept, mode: Mode::Idle }))
    }

    /// Everything kept of each subject, in order.
    fn subjects(&self) -> BTreeMap<SubjectId, SubjectState> {
        let mut subjects = BTreeMap::new();
        let contents = &self.kept.contents;
        for document in &contents.documents {
            of(&mut subjects, &document.subject).document = Some(document.clone());
        }
        for (subject, key, account) in &contents.accounts {
            of(&mut subjects, subject).accounts.push((key.clone(), *account));
        }
        for (subject, row) in &contents.rows {
            of(&mut subjects, subject).reservations.push(row.clone());
        }
        for subject in subjects.values_mut() {
            subject.accounts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            subject.reservations.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        }
        subjects
    }

    fn fill(importing: &Importing, line: &Line) -> Result<Put, TransferError> {
        match line {
            Line::Catalog { version, text } => importing.catalog(version, text)?,
            Line::Subject(subject) => importing.subject(subject)?,
            Line::Event(event) => importing.event(event)?,
            Line::Costs(sum) => importing.costs(sum)?,
            Line::Header(_) | Line::Footer(_) => return Ok(Put::default()),
        }
        Ok(Put { written: 1, ..Put::default() })
    }

    /// What the store holds instead of a line, if it does not hold exactly that.
    fn other(&self, (subjects, costs): &Known, line: &Line) -> Result<Option<String>, TransferError> {
        Ok(match line {
            Line::Catalog { version, text } => {
                let same = self.kept.catalogs.get(version) == Some(text);
                (!same).then(|| format!("catalog {version}"))
            }
            Line::Subject(subject) => {
                let same = subjects.get(&subject.subject) == Some(subject);
                (!same).then(|| format!("subject {}", subject.subject))
            }
            Line::Event(event) => {
                let same = self.disk.event(event.sequence)?.as_ref() == Some(event);
                (!same).then(|| format!("event {}", event.sequence))
            }
            Line::Costs(sum) => {
                let same = costs.get(&(sum.hour, sum.key.clone())) == Some(&sum.tally);
                (!same).then(|| format!("costs of hour {}", sum.hour))
            }
            Line::Header(_) | Line::Footer(_) => None,
        })
    }
}

fn of<'m>(subjects: &'m mut BTreeMap<SubjectId, SubjectState>, subject: &SubjectId) -> &'m mut SubjectState {
    subjects.entry(subject.clone()).or_insert_with(|| SubjectState::nothing(subject.clone()))
}

#[async_trait::async_trait(?Send)]
impl Source for EmbeddedArchive {
    async fn export(&mut self, writer: &mut Writer<'_>) -> Result<Option<String>, TransferError> {
        let (subjects, costs) = (self.subjects(), self.disk.costs()?);
        let lines = self.kept.catalogs.len() + subjects.len() + costs.len();
        let (last_sequence, last_time) = self.kept.position;
        writer.header(Extent {
            source: format!("embedded:{}", self.disk.genesis().id),
            last_sequence,
            last_time: Some(last_time).filter(|time| *time != Timestamp::MIN),
            lines: lines as u64 + self.disk.event_count()?,
        })?;
        let mut catalogs: Vec<_> = self.kept.catalogs.iter().collect();
        catalogs.sort_unstable();
        for (version, text) in catalogs {
            writer.catalog(version.clone(), text.clone())?;
        }
        for subject in subjects.into_values() {
            writer.subject(subject)?;
        }
        for ((hour, key), tally) in costs {
            writer.costs(CostSum { hour, key, tally })?;
        }
        self.disk.each_event(|event| writer.event(event))?;
        Ok(None)
    }
}

#[async_trait::async_trait(?Send)]
impl Target for EmbeddedArchive {
    async fn begin(&mut self, header: &Header) -> Result<(), TransferError> {
        let Kept { position, contents, .. } = &self.kept;
        let empty = position.0 == 0 && contents.is_empty();
        if empty {
            self.mode = Mode::Fill(Box::new(self.disk.import(header)?));
            return Ok(());
        }
        match self.disk.imported()? {
            Some(known) if known == header.export => {
                self.mode = Mode::Compare((self.subjects().into_iter().collect(), self.disk.costs()?));
                Ok(())
            }
            _ => Err(TransferError::NotEmpty { what: format!("{} events have happened to it", position.0) }),
        }
    }

    async fn put(&mut self, lines: &[(u64, Line)]) -> Result<Put, TransferError> {
        let mut total = Put::default();
        for (number, line) in lines {
            match &self.mode {
                Mode::Idle => return Err(TransferError::Store("the import has not begun".to_owned())),
                Mode::Fill(importing) => {
                    if let Line::Subject(SubjectState { document: Some(document), .. }) = line
                        && !can_be_written(document)
                    {
                        return Err(TransferError::line(*number, "a time zone without a name cannot be stored"));
                    }
                    let put = Self::fill(importing, line)?;
                    total.written += put.written;
                }
                Mode::Compare(known) => match self.other(known, line)? {
                    Some(what) => return Err(TransferError::Conflict { line: *number, what }),
                    None => total.known += 1,
                },
            }
        }
        Ok(total)
    }

    async fn finish(&mut self) -> Result<(), TransferError> {
        match std::mem::replace(&mut self.mode, Mode::Idle) {
            Mode::Fill(importing) => importing.commit(),
            Mode::Idle | Mode::Compare(_) => Ok(()),
        }
    }
}
