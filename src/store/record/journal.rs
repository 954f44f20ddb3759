//! A journal's entry as a record, and back.

use std::sync::Arc;

use jiff::SignedDuration;

use super::reservation::{outcome, outcome_out, row, row_out, target, work, work_out};
use super::scalar::{
    fingerprint, fingerprint_out, id, id_if, labels, labels_out, micros, target_out, text_out, time, time_out, trace, trace_out,
};
use super::{RecordError, wire};
use crate::domain::amount::Micros;
use crate::domain::ids::{ActionId, GenerationId, ReservationId, SubjectId, UserId};
use crate::domain::reservation::Outcome;
use crate::domain::settlement::{Billing, Ending};
use crate::store::journal::{Command, DeadEntry, Entry, QueuedHold, QueuedSettlement, QueuedUsage};

pub(super) fn entry_out(entry: &Entry) -> wire::JournalEntry {
    use wire::journal_entry::Command as Wire;
    let command = match &entry.command {
        Command::Settlement(settlement) => Wire::Settlement(settlement_out(settlement)),
        Command::Hold(hold) => Wire::Hold(wire::JournalHold { row: Some(row_out(&hold.row)), ttl: Some(duration_out(hold.ttl)) }),
        Command::Usage(usage) => Wire::Usage(usage_out(usage)),
    };
    wire::JournalEntry {
        accept_time: Some(time_out(entry.accept_time)),
        subject: entry.subject.as_str().to_owned(),
        command: Some(command),
    }
}

pub(super) fn entry(record: wire::JournalEntry) -> Result<Entry, RecordError> {
    use wire::journal_entry::Command as Wire;
    let command = match record.command.ok_or_else(|| RecordError::missing("command"))? {
        Wire::Settlement(record) => Command::Settlement(settlement(record)?),
        Wire::Hold(record) => Command::Hold(QueuedHold {
            row: Arc::new(row(record.row.ok_or_else(|| RecordError::missing("hold.row"))?)?),
            ttl: duration(record.ttl)?,
        }),
        Wire::Usage(record) => Command::Usage(usage(record)?),
    };
    Ok(Entry { subject: id("subject", &record.subject, SubjectId::new)?, accept_time: time("accept_time", record.accept_time)?, command })
}

pub(super) fn dead_out(dead: &DeadEntry) -> wire::DeadJournalEntry {
    wire::DeadJournalEntry { entry: Some(entry_out(&dead.entry)), reason: dead.reason.clone(), time: Some(time_out(dead.time)) }
}

pub(super) fn dead(record: wire::DeadJournalEntry) -> Result<DeadEntry, RecordError> {
    Ok(DeadEntry {
        entry: Arc::new(entry(record.entry.ok_or_else(|| RecordError::missing("entry"))?)?),
        reason: record.reason,
        time: time("time", record.time)?,
    })
}

fn settlement_out(settlement: &QueuedSettlement) -> wire::JournalSettlement {
    use wire::journal_settlement::Ending as Wire;
    let ending = match &settlement.ending {
        Ending::Commit { delivered } => Wire::Commit(wire::JournalCommit { delivered: delivered.as_ref().map(work_out) }),
        Ending::Release { outcome, note } => {
            Wire::Release(wire::JournalRelease { outcome: outcome_out(*outcome).into(), note: note.to_string() })
        }
    };
    wire::JournalSettlement {
        reservation_id: settlement.id.as_str().to_owned(),
        fingerprint: fingerprint_out(settlement.fingerprint),
        trace: trace_out(settlement.trace),
        ending: Some(ending),
        billing: Some(billing_out(&settlement.billing)),
        row: settlement.row.as_deref().map(row_out),
    }
}

fn settlement(record: wire::JournalSettlement) -> Result<QueuedSettlement, RecordError> {
    use wire::journal_settlement::Ending as Wire;
    let ending = match record.ending.ok_or_else(|| RecordError::missing("settlement.ending"))? {
        Wire::Commit(commit) => Ending::Commit { delivered: work(commit.delivered)? },
        Wire::Release(release) => {
            Ending::Release { outcome: known("settlement.release.outcome", release.outcome)?, note: release.note.into_boxed_str() }
        }
    };
    Ok(QueuedSettlement {
        id: id("settlement.reservation_id", &record.reservation_id, ReservationId::new)?,
        ending,
        billing: billing(record.billing)?,
        fingerprint: fingerprint("settlement.fingerprint", &record.fingerprint)?,
        trace: trace("settlement.trace", &record.trace)?,
        row: record.row.map(row).transpose()?.map(Arc::new),
    })
}

fn usage_out(usage: &QueuedUsage) -> wire::JournalUsage {
    wire::JournalUsage {
        user: text_out(usage.user.as_ref(), UserId::as_str),
        usage_id: usage.id.as_str().to_owned(),
        generation: usage.generation.as_str().to_owned(),
        action: usage.action.as_str().to_owned(),
        target: usage.target.as_ref().map(target_out),
        work: Some(work_out(&usage.work)),
        billing: Some(billing_out(&usage.billing)),
        outcome: outcome_out(usage.outcome).into(),
        labels: labels_out(&usage.labels),
        fingerprint: fingerprint_out(usage.fingerprint),
        trace: trace_out(usage.trace),
    }
}

fn usage(record: wire::JournalUsage) -> Result<QueuedUsage, RecordError> {
    Ok(QueuedUsage {
        user: id_if("usage.user", &record.user, UserId::new)?,
        id: id("usage.usage_id", &record.usage_id, ReservationId::new)?,
        generation: id("usage.generation", &record.generation, GenerationId::new)?,
        action: id("usage.action", &record.action, ActionId::new)?,
        target: target(record.target)?,
        work: work(record.work)?.ok_or_else(|| RecordError::missing("usage.work"))?,
        billing: billing(record.billing)?,
        outcome: known("usage.outcome", record.outcome)?,
        labels: labels(record.labels),
        fingerprint: fingerprint("usage.fingerprint", &record.fingerprint)?,
        trace: trace("usage.trace", &record.trace)?,
    })
}

fn billing_out(billing: &Billing) -> wire::JournalBilling {
    wire::JournalBilling { work: billing.work.as_ref().map(work_out), cost: billing.cost.map(Micros::get) }
}

fn billing(record: Option<wire::JournalBilling>) -> Result<Billing, RecordError> {
    let record = record.ok_or_else(|| RecordError::missing("billing"))?;
    Ok(Billing { work: work(record.work)?, cost: record.cost.map(|cost| micros("billing.cost", cost)).transpose()? })
}

/// An outcome, which must be one.
fn known(what: &'static str, number: i32) -> Result<Outcome, RecordError> {
    let record = wire::Outcome::try_from(number).map_err(|problem| RecordError::new(what, problem))?;
    outcome(record).ok_or_else(|| RecordError::missing(what))
}

fn duration_out(duration: SignedDuration) -> prost_types::Duration {
    prost_types::Duration { seconds: duration.as_secs(), nanos: duration.subsec_nanos() }
}

fn duration(record: Option<prost_types::Duration>) -> Result<SignedDuration, RecordError> {
    let record = record.ok_or_else(|| RecordError::missing("hold.ttl"))?;
    // Both parts of one sign, below a second: anything else was not written here.
    let whole = record.nanos.unsigned_abs() < 1_000_000_000 && i64::from(record.nanos).signum() * record.seconds.signum() >= 0;
    let duration = whole.then(|| SignedDuration::new(record.seconds, record.nanos));
    duration.ok_or_else(|| RecordError::new("hold.ttl", format!("is no duration: {} s and {} ns", record.seconds, record.nanos)))
}
