//! A subject's history as the script tells it: pages of reservations, generations that began last first.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::request::Operation;
use super::script::Flavour;
use super::{RedisStore, broken};
use crate::domain::ids::{ReservationId, SubjectId};
use crate::domain::ledger::{HistoryPlace, Row, State};
use crate::store::{StoreError, Urgency};

impl RedisStore {
    /// Reservations before a place. The script counts by time alone, so those of the place's own instant are left out here.
    pub(super) async fn read_history(&self, subject: &SubjectId, before: &HistoryPlace, limit: usize) -> Result<Vec<Arc<Row>>, StoreError> {
        let partition = self.caller.keys.partition_of(subject);
        let mut skip = 0;
        loop {
            let page = Operation::history(subject, before.began(), skip, limit);
            let reply = self.ask(partition, Flavour::Always, page, Urgency::Read).await?;
            if reply.letter() != "J" {
                return Err(broken(reply.wrong()));
            }
            let now = reply.time(1).map_err(broken)?;
            let listed = reply.rows(2, reservation).map_err(broken)?;
            let count = listed.len();
            let rows = listed.into_iter().flatten().filter(|row| HistoryPlace::of(row) < *before && !self.is_forgotten(row, now));
            let rows: Vec<Arc<Row>> = rows.map(Arc::new).collect();
            if !rows.is_empty() || count < limit {
                return Ok(rows);
            }
            skip += count;
        }
    }

    /// Whether a row ended so long ago that only the sweep has not come by. Told here: for hundreds of rows it is too much for the script.
    fn is_forgotten(&self, row: &Row, now: Timestamp) -> bool {
        let remembered = SignedDuration::from_micros(self.caller.retention);
        let until = row.settle_time.map(|settled| settled.checked_add(remembered).unwrap_or(Timestamp::MAX));
        row.state != State::Held && until.is_some_and(|until| until <= now)
    }
}

/// The reservation that a member of a history names.
fn reservation(member: &str) -> Option<ReservationId> {
    let id = member.split_once(' ').map_or(member, |(_, id)| id);
    ReservationId::new(id).ok()
}
