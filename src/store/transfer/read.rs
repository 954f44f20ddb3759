//! Reading a transfer: every line is checked by itself and against those before it, and the end against them all.

use std::io::BufRead;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Counts, FORMAT, Footer, Header, Line, TransferError};
use crate::store::record;

/// The longest line: all of a subject. Above it something else than a transfer is read.
const LINE_BYTES_MAX: usize = 1 << 30;

/// Reads lines in their order.
pub struct Reader<'r> {
    input: &'r mut dyn BufRead,
    /// Lines read.
    number: u64,
    /// The last one.
    line: Vec<u8>,
    sum: Sha256,
    counts: Counts,
    header: Option<Header>,
    last: Last,
    ended: bool,
}

/// What the last line was: none before it may follow.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Last {
    Header,
    Catalog(String),
    Subject(String),
    Costs(i64, String),
    Event(u64, Timestamp),
}

impl<'r> Reader<'r> {
    pub fn new(input: &'r mut dyn BufRead) -> Self {
        Self {
            input,
            number: 0,
            line: Vec::new(),
            sum: Sha256::new(),
            counts: Counts::default(),
            header: None,
            last: Last::Header,
            ended: false,
        }
    }

    /// The first line, of a ledger of this name.
    pub(super) fn header(&mut self, instance: &str) -> Result<Header, TransferError> {
        let header = self.begin()?;
        if *header.instance != *instance {
            return Err(TransferError::Instance { file: header.instance.into(), asked: instance.to_owned() });
        }
        Ok(header)
    }

    /// The first line, whatever the name of the ledger.
    pub fn begin(&mut self) -> Result<Header, TransferError> {
        if !self.read()? {
            return Err(TransferError::CutOff { lines: 0 });
        }
        let text = self.text()?;
        // A later format may say more than this program can read.
        let value: serde_json::Value = serde_json::from_str(text).map_err(|problem| TransferError::line(1, problem))?;
        match value["header"]["format"].as_u64() {
            Some(found) if found != u64::from(FORMAT) => return Err(TransferError::Format { found }),
            Some(_) => {}
            None => return Err(TransferError::line(1, "no header: this is no exported ledger")),
        }
        let Line::Header(header) = self.parsed()? else { return Err(TransferError::line(1, "no header: this is no exported ledger")) };
        self.sum.update(&self.line);
        self.header = Some(header.clone());
        Ok(header)
    }

    /// The next line with its number; `None` after the last, when the file was found whole.
    pub fn next_line(&mut self) -> Result<Option<(u64, Line)>, TransferError> {
        if self.ended {
            return Ok(None);
        }
        if !self.read()? {
            return Err(TransferError::CutOff { lines: self.number });
        }
        let line = self.parsed()?;
        if let Line::Footer(footer) = line {
            self.end(&footer)?;
            return Ok(None);
        }
        self.sum.update(&self.line);
        self.follow(&line).map_err(|problem| TransferError::line(self.number, problem))?;
        Ok(Some((self.number, line)))
    }

    /// Of the last line that was read.
    pub(super) fn line_bytes(&self) -> usize {
        self.line.len()
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Reads a line with its end. False: there is none.
    fn read(&mut self) -> Result<bool, TransferError> {
        self.line.clear();
        let mut limited = std::io::Read::take(&mut *self.input, LINE_BYTES_MAX as u64);
        limited.read_until(b'\n', &mut self.line).map_err(TransferError::File)?;
        if self.line.is_empty() {
            return Ok(false);
        }
        if self.line.last() != Some(&b'\n') {
            return Err(match self.line.len() {
                LINE_BYTES_MAX.. => TransferError::line(self.number + 1, "longer than any line of an exported ledger"),
                _ => TransferError::CutOff { lines: self.number },
            });
        }
        self.number += 1;
        Ok(true)
    }

    fn text(&self) -> Result<&str, TransferError> {
        let text = std::str::from_utf8(&self.line).map_err(|problem| TransferError::line(self.number, problem))?;
        Ok(text.trim_end_matches('\n'))
    }

    fn parsed(&self) -> Result<Line, TransferError> {
        record::line_from_json(self.text()?).map_err(|problem| TransferError::line(self.number, problem))
    }

    /// Checks a line against the one before it, and counts it.
    fn follow(&mut self, line: &Line) -> Result<(), String> {
        let header = self.header.as_ref().ok_or("a line before the header")?;
        let last = match line {
            Line::Header(_) => return Err("a second header".to_owned()),
            Line::Footer(_) => return Err("an end before the end".to_owned()),
            Line::Catalog { version, .. } => {
                self.counts.catalogs += 1;
                Last::Catalog(version.as_str().to_owned())
            }
            Line::Subject(subject) => {
                subject.check()?;
                if subject.reservations.iter().any(|row| row.sequence > header.last_sequence) {
                    return Err("a reservation is of an event after the last".to_owned());
                }
                self.counts.subjects += 1;
                self.counts.accounts += subject.accounts.len() as u64;
                self.counts.reservations += subject.reservations.len() as u64;
                Last::Subject(subject.subject.as_str().to_owned())
            }
            Line::Costs(sum) => {
                self.counts.costs += 1;
                Last::Costs(sum.hour, sum.key.as_str().to_owned())
            }
            Line::Event(event) => {
                if event.sequence > header.last_sequence || header.last_time.is_none_or(|last| event.time > last) {
                    return Err("the event comes after the last".to_owned());
                }
                if let Last::Event(_, time) = self.last
                    && event.time < time
                {
                    return Err("time runs back".to_owned());
                }
                self.counts.events += 1;
                Last::Event(event.sequence, event.time)
            }
        };
        if last <= self.last {
            return Err("out of order".to_owned());
        }
        self.last = last;
        Ok(())
    }

    /// Checks the last line against all others.
    fn end(&mut self, footer: &Footer) -> Result<(), TransferError> {
        let sum: [u8; 32] = self.sum.clone().finalize().into();
        if footer.sha256 != sum || footer.counts != self.counts {
            return Err(TransferError::Checksum);
        }
        if self.header.as_ref().is_none_or(|header| header.lines != self.number) {
            return Err(TransferError::line(self.number, "the header tells another number of lines"));
        }
        let number = self.number;
        if self.read()? {
            return Err(TransferError::line(number + 1, "something follows the end"));
        }
        self.ended = true;
        Ok(())
    }
}
