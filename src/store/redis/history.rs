//! A subject's history as the script tells it: pages of reservations, generations that began last first.

use std::sync::Arc;

use super::request::Operation;
use super::script::Flavour;
use super::{RedisStore, broken};
use crate::domain::ids::{ReservationId, SubjectId};
use crate::domain::ledger::{HistoryPlace, Row};
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
            let listed = reply.rows(2, reservation).map_err(broken)?;
            let count = listed.len();
            // What is listed and not there is forgotten.
            let rows = listed.into_iter().flatten().filter(|row| HistoryPlace::of(row) < *before);
            let rows: Vec<Arc<Row>> = rows.map(Arc::new).collect();
            if !rows.is_empty() || count < limit {
                return Ok(rows);
            }
            skip += count;
        }
    }
}

/// The reservation that a member of a history names.
fn reservation(member: &str) -> Option<ReservationId> {
    let id = member.split_once(' ').map_or(member, |(_, id)| id);
    ReservationId::new(id).ok()
}
