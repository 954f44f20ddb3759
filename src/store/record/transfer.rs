//! Lines of a transfer as canonical JSON, and back. The keys of every object are in order, so that equal lines have equal bytes.

use std::sync::{Arc, OnceLock};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

use super::document::{document, document_out, event, event_out};
use super::reservation::{row, row_out};
use super::scalar::{id, micros, time, time_if, time_out};
use super::{RecordError, wire};
use crate::domain::ids::{CatalogVersion, SubjectId};
use crate::domain::ledger::{Account, AccountKey};
use crate::domain::summary::{CostSum, Tally, TallyKey};
use crate::store::transfer::{Counts, Footer, Header, Line, SubjectState};

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/records.bin"));

/// One line, without its end.
pub fn line_to_json(line: &Line) -> String {
    let record = wire::TransferLine { line: Some(line_out(line)) };
    let dynamic = DynamicMessage::decode(descriptor(), record.encode_to_vec().as_slice()).expect("both are made from one file");
    // By way of a value: its objects are ordered, those of the message are not.
    let value = serde_json::to_value(&dynamic).expect("a message is an object with names for keys");
    value.to_string()
}

/// Anything that this program would not have written is an error.
pub fn line_from_json(text: &str) -> Result<Line, RecordError> {
    let wrong = |problem: serde_json::Error| RecordError::new("line", problem);
    let mut reader = serde_json::Deserializer::from_str(text);
    let dynamic = DynamicMessage::deserialize(descriptor(), &mut reader).map_err(wrong)?;
    reader.end().map_err(wrong)?;
    let record: wire::TransferLine = dynamic.transcode_to().map_err(|problem| RecordError::new("line", problem))?;
    line(record.line.ok_or_else(|| RecordError::missing("line"))?)
}

fn descriptor() -> MessageDescriptor {
    static LINE: OnceLock<MessageDescriptor> = OnceLock::new();
    let read = || {
        let pool = DescriptorPool::decode(DESCRIPTORS).expect("the build wrote it");
        pool.get_message_by_name("genquota.store.v1.TransferLine").expect("the build knows the message")
    };
    LINE.get_or_init(read).clone()
}

fn line_out(line: &Line) -> wire::transfer_line::Line {
    use wire::transfer_line::Line as Wire;
    match line {
        Line::Header(header) => Wire::Header(header_out(header)),
        Line::Catalog { version, text } => {
            Wire::Catalog(wire::TransferCatalog { version: version.as_str().to_owned(), text: text.to_string() })
        }
        Line::Subject(subject) => Wire::Subject(subject_out(subject)),
        Line::Costs(sum) => Wire::Costs(costs_out(sum)),
        Line::Event(event) => Wire::Event(event_out(event)),
        Line::Footer(footer) => Wire::Footer(footer_out(footer)),
    }
}

fn line(record: wire::transfer_line::Line) -> Result<Line, RecordError> {
    use wire::transfer_line::Line as Wire;
    Ok(match record {
        Wire::Header(record) => Line::Header(header(record)?),
        Wire::Catalog(record) => {
            Line::Catalog { version: id("catalog.version", &record.version, CatalogVersion::new)?, text: Arc::from(record.text) }
        }
        Wire::Subject(record) => Line::Subject(subject(record)?),
        Wire::Costs(record) => Line::Costs(costs(record)?),
        Wire::Event(record) => Line::Event(event(record)?),
        Wire::Footer(record) => Line::Footer(footer(&record)?),
    })
}

fn header_out(header: &Header) -> wire::TransferHeader {
    wire::TransferHeader {
        format: header.format,
        export_id: header.export.to_string(),
        program: header.program.to_string(),
        source: header.source.to_string(),
        instance: header.instance.to_string(),
        export_time: Some(time_out(header.time)),
        last_sequence: header.last_sequence,
        last_time: header.last_time.map(time_out),
        lines: header.lines,
    }
}

fn header(record: wire::TransferHeader) -> Result<Header, RecordError> {
    Ok(Header {
        format: record.format,
        export: record.export_id.parse().map_err(|problem| RecordError::new("header.export_id", problem))?,
        program: record.program.into(),
        source: record.source.into(),
        instance: record.instance.into(),
        time: time("header.export_time", record.export_time)?,
        last_sequence: record.last_sequence,
        last_time: time_if("header.last_time", record.last_time)?,
        lines: record.lines,
    })
}

fn subject_out(subject: &SubjectState) -> wire::TransferSubject {
    let account = |(key, account): &(AccountKey, Account)| wire::TransferAccount {
        account: key.as_str().to_owned(),
        row: Some(wire::AccountRow {
            reserved: account.reserved.get(),
            committed: account.committed.get(),
            lapses: account.lapses.map(time_out),
        }),
    };
    wire::TransferSubject {
        subject: subject.subject.as_str().to_owned(),
        document: subject.document.as_deref().map(document_out),
        accounts: subject.accounts.iter().map(account).collect(),
        reservations: subject.reservations.iter().map(|row| row_out(row)).collect(),
    }
}

fn subject(record: wire::TransferSubject) -> Result<SubjectState, RecordError> {
    let account = |record: wire::TransferAccount| {
        let key = AccountKey::parse(&record.account);
        let row = record.row.ok_or_else(|| RecordError::missing("subject.accounts.row"))?;
        Ok((
            key.ok_or_else(|| RecordError::new("subject.accounts.account", format!("is no account: {:?}", record.account)))?,
            Account {
                reserved: micros("subject.accounts.row.reserved", row.reserved)?,
                committed: micros("subject.accounts.row.committed", row.committed)?,
                lapses: time_if("subject.accounts.row.lapses", row.lapses)?,
            },
        ))
    };
    Ok(SubjectState {
        subject: id("subject.subject", &record.subject, SubjectId::new)?,
        document: record.document.map(document).transpose()?.map(Arc::new),
        accounts: record.accounts.into_iter().map(account).collect::<Result<_, RecordError>>()?,
        reservations: record.reservations.into_iter().map(|record| Ok(Arc::new(row(record)?))).collect::<Result<_, RecordError>>()?,
    })
}

fn costs_out(sum: &CostSum) -> wire::TransferCosts {
    wire::TransferCosts { hour: sum.hour, key: sum.key.as_str().to_owned(), tally: Some(tally_out(&sum.tally)) }
}

fn costs(record: wire::TransferCosts) -> Result<CostSum, RecordError> {
    let key = TallyKey::parse(&record.key);
    Ok(CostSum {
        hour: record.hour,
        key: key.ok_or_else(|| RecordError::new("costs.key", format!("names no sum: {:?}", record.key)))?,
        tally: tally(record.tally.ok_or_else(|| RecordError::missing("costs.tally"))?)?,
    })
}

pub(super) fn tally_out(tally: &Tally) -> wire::Tally {
    let Tally { generations, attempts, accepted, outputs, units, cost, cost_shift } = *tally;
    wire::Tally { generations, attempts, accepted, outputs, units, cost, cost_shift }
}

pub(super) fn tally(record: wire::Tally) -> Result<Tally, RecordError> {
    let wire::Tally { generations, attempts, accepted, outputs, units, cost, cost_shift } = record;
    if cost < 0 {
        return Err(RecordError::new("tally", format!("has a cost below zero: {cost}")));
    }
    Ok(Tally { generations, attempts, accepted, outputs, units, cost, cost_shift })
}

fn footer_out(Footer { counts, sha256 }: &Footer) -> wire::TransferFooter {
    let Counts { catalogs, subjects, accounts, reservations, costs, events } = *counts;
    let sha256 = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    wire::TransferFooter { catalogs, subjects, accounts, reservations, costs, events, sha256 }
}

fn footer(record: &wire::TransferFooter) -> Result<Footer, RecordError> {
    let wire::TransferFooter { catalogs, subjects, accounts, reservations, costs, events, ref sha256 } = *record;
    let wrong = || RecordError::new("footer.sha256", format!("is none: {sha256:?}"));
    let mut sum = [0; 32];
    if sha256.len() != 2 * sum.len() || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    for (place, byte) in sum.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&sha256[2 * place..2 * place + 2], 16).map_err(|_| wrong())?;
    }
    Ok(Footer { counts: Counts { catalogs, subjects, accounts, reservations, costs, events }, sha256: sum })
}
