//! Statements of usage: requests in, rows out.

use crate::domain::ids::SubjectId;
use crate::domain::report::GroupBy;
use crate::domain::summary::decimal;
use crate::domain::usage::{UsageKey, Used};
use crate::grpc::read::Reader;
use crate::grpc::write;
use crate::proto::v1;
use crate::service::{ServiceError, Usage, UsageCommand};

pub(super) fn read_usage(request: &v1::GetUsageRequest) -> Result<UsageCommand, ServiceError> {
    let mut reader = Reader::default();
    let subject = reader.id("subject", &request.subject, SubjectId::new);
    let start_time = reader.time("start_time", request.start_time.as_ref());
    let end_time = reader.time("end_time", request.end_time.as_ref());
    let group_by = reader.group_by(&request.group_by, &GroupBy::OF_USAGE, &[]);
    let command = || Some(UsageCommand { subject: subject?, start_time: start_time?, end_time: end_time?, group_by: group_by? });
    let command = command();
    reader.finish(command)
}

pub(super) fn usage(usage: &Usage) -> v1::GetUsageResponse {
    v1::GetUsageResponse {
        rows: usage.rows.iter().map(|(key, used)| row(&usage.group_by, key, used)).collect(),
        currency: usage.currency.to_string(),
    }
}

fn row(group_by: &[GroupBy], key: &UsageKey, used: &Used) -> v1::UsageRow {
    let group = group_by.iter().zip(&key.group);
    v1::UsageRow {
        group: group.map(|(group, value)| (group.name().to_owned(), write::text(value.as_ref()))).collect(),
        generations: i64::try_from(used.generations).unwrap_or(i64::MAX),
        units: decimal(used.units).to_string(),
        cost: decimal(used.cost).to_string(),
        meter: write::text(key.meter.as_ref()),
    }
}
