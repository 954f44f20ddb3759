//! `AdjustUsage` from the wire: which account, and by how much.

use super::read as requests;
use crate::domain::adjustment::{Adjustment, Correcting, NamedAccount, NamedKind};
use crate::domain::ids::{IdError, LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, SubjectId, UserId, check_id};
use crate::grpc::read::{Reader, shown};
use crate::proto::v1;
use crate::service::ServiceError;

pub(super) fn read(request: &v1::AdjustUsageRequest) -> Result<(SubjectId, Adjustment), ServiceError> {
    let mut reader = Reader::default();
    let subject = reader.id("subject", &request.subject, SubjectId::new);
    let account = match &request.account {
        Some(account) => read_account(&mut reader, account),
        None => reader.problem("account", "is missing"),
    };
    let by = match request.units.strip_prefix('-') {
        Some(units) => reader.positive_amount("units", units).map(Correcting::Lower),
        None => reader.positive_amount("units", &request.units).map(Correcting::Raise),
    };
    let known_by = requests::request(&mut reader, "AdjustUsage", &request.request_id, &request.detail, request);
    let command = || Some((subject?, Adjustment { request: known_by?, account: account?, by: by? }));
    let command = command();
    reader.finish(command)
}

fn read_account(reader: &mut Reader, account: &v1::Account) -> Option<NamedAccount> {
    let kind = match v1::SourceKind::try_from(account.kind) {
        Ok(v1::SourceKind::Allowance) => Some(NamedKind::Allowance),
        Ok(v1::SourceKind::AddOn) => Some(NamedKind::AddOn),
        Ok(v1::SourceKind::Grant) => Some(NamedKind::Grant),
        Ok(v1::SourceKind::Overage) => Some(NamedKind::Overage),
        Ok(v1::SourceKind::Cap) => Some(NamedKind::Cap),
        Ok(v1::SourceKind::Unspecified) | Err(_) => reader.problem("account.kind", "must be a kind of source"),
    };
    let checked = |text: &str| -> Result<Box<str>, IdError> { check_id(text).map(|()| text.into()) };
    let id = reader.id("account.source_id", &account.source_id, checked);
    let user = reader.optional_id("account.user", &account.user, UserId::new);
    let period = reader.optional_id("account.period", &account.period, checked);
    let fits = |key: &str, value: &str| !key.is_empty() && key.len() <= LABEL_KEY_BYTES_MAX && value.len() <= LABEL_VALUE_BYTES_MAX;
    for (key, _) in account.dimensions.iter().take(LABELS_MAX).filter(|(key, value)| !fits(key, value)) {
        let allowed = format!("key of 1 to {LABEL_KEY_BYTES_MAX} bytes and value of at most {LABEL_VALUE_BYTES_MAX}");
        reader.problem::<()>(format!("account.dimensions.{}", shown(key)), format!("must have a {allowed}"));
    }
    if account.dimensions.len() > LABELS_MAX {
        return reader.problem("account.dimensions", format!("has {}; at most {LABELS_MAX} are allowed", account.dimensions.len()));
    }
    let dimensions = account.dimensions.iter().map(|(key, value)| (Box::from(key.as_str()), Box::from(value.as_str()))).collect();
    Some(NamedAccount { kind: kind?, id: id?, user: user?, dimensions, period: period? })
}
