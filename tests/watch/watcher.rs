//! A client that watches, and remembers where it is.

use genquota::proto::v1;
use genquota::proto::v1::cost_service_client::CostServiceClient;
use genquota::proto::v1::watch_costs_response::Update;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::harness::PATIENCE;

pub struct Watcher {
    stream: Streaming<v1::WatchCostsResponse>,
    /// Of the last message.
    pub cursor: String,
}

pub async fn watch(channel: &Channel, cursor: &str, filters: Option<v1::CostFilters>) -> Result<Watcher, Status> {
    let request = v1::WatchCostsRequest { cursor: cursor.to_owned(), filters, include_changes: false };
    let stream = CostServiceClient::new(channel.clone()).watch_costs(request).await?.into_inner();
    Ok(Watcher { stream, cursor: cursor.to_owned() })
}

/// From now on: what happens after this has returned is seen.
pub async fn watch_from_now(channel: &Channel) -> Watcher {
    let mut watcher = watch(channel, "", None).await.unwrap();
    watcher.caught_up().await;
    watcher
}

impl Watcher {
    pub async fn update(&mut self) -> Result<Update, Status> {
        let update = tokio::time::timeout(PATIENCE, self.stream.message()).await.expect("an update comes in time")?;
        let update = update.expect("a stream does not end by itself").update.unwrap();
        self.cursor = match &update {
            Update::Event(event) => event.cursor.clone(),
            Update::Change(change) => panic!("nobody asked for changes: {change:?}"),
            Update::Checkpoint(checkpoint) => checkpoint.cursor.clone(),
        };
        assert!(!self.cursor.is_empty());
        Ok(update)
    }

    pub async fn next_event(&mut self) -> Result<v1::CostEvent, Status> {
        loop {
            if let Update::Event(event) = self.update().await? {
                return Ok(event);
            }
        }
    }

    pub async fn event(&mut self) -> v1::CostEvent {
        self.next_event().await.unwrap()
    }

    /// The ids of the reservations that so many events are of.
    pub async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.event().await.reservation_id);
        }
        ids
    }

    /// What is told until everything is.
    pub async fn caught_up(&mut self) -> Vec<v1::CostEvent> {
        let mut events = Vec::new();
        loop {
            match self.update().await.unwrap() {
                Update::Event(event) => events.push(event),
                Update::Checkpoint(checkpoint) if checkpoint.caught_up => return events,
                Update::Checkpoint(_) | Update::Change(_) => {}
            }
        }
    }

    /// How the stream ends, whatever comes before.
    pub async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.update().await {
                return status;
            }
        }
    }
}

/// Everything that is kept.
pub async fn history(channel: &Channel) -> Vec<v1::CostEvent> {
    watch(channel, "0", None).await.unwrap().caught_up().await
}
