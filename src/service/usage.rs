//! What a subject used: `GetUsage`, from the sums that settlements have added up, never from history.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::costs::{checked_span, must_fit};
use super::{Service, ServiceError, view};
use crate::domain::ids::SubjectId;
use crate::domain::report::GroupBy;
use crate::domain::summary::hour_of;
use crate::domain::usage::{UsageKey, UsageReport, Used};
use crate::store::CostsOf;

/// A statement reaches back this far where there is no period and nobody says how far.
const USAGE_HOURS: i64 = 30 * 24;

#[derive(Debug, Clone)]
pub struct UsageCommand {
    pub subject: SubjectId,
    /// `None`: the start of the period in which the span ends, or of the present one if that is earlier, or 30 days before the end where there is none.
    pub start_time: Option<Timestamp>,
    /// `None`: the end of the present hour.
    pub end_time: Option<Timestamp>,
    pub group_by: Vec<GroupBy>,
}

#[derive(Debug, Clone)]
pub struct Usage {
    pub group_by: Vec<GroupBy>,
    pub rows: BTreeMap<UsageKey, Used>,
    pub currency: Box<str>,
}

impl Service {
    pub async fn usage(&self, command: UsageCommand) -> Result<Usage, ServiceError> {
        let UsageCommand { subject, start_time, end_time, group_by } = command;
        let currency = self.catalog().price_book.currency.clone();
        let end = self.end_hour(end_time);
        let hours = match start_time {
            Some(start) => checked_span(hour_of(start)..end)?,
            None => self.period_start(&subject, end_time).await?.map_or(end.saturating_sub(USAGE_HOURS), hour_of)..end,
        };
        let sums = self.store.costs(hours.clone(), CostsOf::Subject(subject)).await?;
        let report = UsageReport { hours, group_by, currency };
        let rows = report.rows(&sums).ok_or_else(|| ServiceError::Internal("a sum of usage is beyond all numbers".to_owned()))?;
        must_fit(rows.len(), "split by less, or take a shorter span")?;
        Ok(Usage { group_by: report.group_by, rows, currency: report.currency })
    }

    /// When the period began in which a span ends, the end itself not being part of it; that of now if it ends later.
    async fn period_start(&self, subject: &SubjectId, end_time: Option<Timestamp>) -> Result<Option<Timestamp>, ServiceError> {
        let now = self.clock.now();
        let last = end_time.map_or(now, |end| end.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MIN).min(now));
        let (catalog, document) = (self.catalog(), self.store.document(subject).await?);
        let view = view(&catalog, document.as_deref(), last)?;
        Ok(view.plan.map(|active| active.period.start))
    }
}
