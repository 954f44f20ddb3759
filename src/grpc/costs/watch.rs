//! `WatchCosts`: one task for each watcher hands what the service tells to a short queue, which the connection empties as its peer reads.
//!
//! A peer that takes nothing for too long is cut off with the cursor to go on from. A drain ends every stream at once.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_stream::{Stream, StreamExt as _};
use tonic::Status;

use crate::grpc::read::Reader;
use crate::grpc::{Handlers, status, write};
use crate::proto::v1;
use crate::proto::v1::watch_costs_response::Update as Wire;
use crate::service::{ServiceError, Update, Watch};

/// Messages that wait for the connection: enough to fill it, little enough to be nothing when a peer does not read, below 64 KiB.
const WAITING_MAX: usize = 32;

/// A stream as the transport takes it.
pub(super) type Updates = Pin<Box<dyn Stream<Item = Result<v1::WatchCostsResponse, Status>> + Send>>;

impl Handlers {
    /// Watches until it ends, or the caller's `stay` does.
    pub(super) async fn watch(
        &self,
        request: &v1::WatchCostsRequest,
        stay: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Updates, Status> {
        let mut reader = Reader::default();
        let filters = reader.filters(request.filters.as_ref());
        let filters = reader.finish(filters).map_err(status::of)?;
        let watch = self.service.watch(&request.cursor, filters, request.include_changes).await.map_err(status::of)?;
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        let (end, ended) = oneshot::channel();
        let (stop, patience) = (self.stop.clone(), self.patience);
        self.tasks.spawn(async move {
            let why = tokio::select! {
                why = tell(watch, sender, patience) => why,
                () = stop.cancelled() => Some(status::draining()),
                () = stay => Some(status::stay_over()),
            };
            // Whoever went away need not be told why it ends.
            let _ = why.map(|status| end.send(status));
        });
        let updates = tokio_stream::wrappers::ReceiverStream::new(waiting).map(Ok);
        let end = futures_util::stream::once(ended);
        // What waits goes before the end: the cursor that the end tells is that of the last of it.
        Ok(Box::pin(updates.chain(futures_util::StreamExt::filter_map(end, async |why| why.ok().map(Err)))))
    }
}

/// Hands over update after update. Says why it ends; `None`: the peer has gone.
async fn tell(mut watch: Watch, waiting: mpsc::Sender<v1::WatchCostsResponse>, patience: Duration) -> Option<Status> {
    let mut last = String::new();
    loop {
        let update = tokio::select! {
            update = watch.next() => update,
            () = waiting.closed() => return None,
        };
        let update = match update {
            Ok(update) => update,
            Err(error) => return Some(status::of(error)),
        };
        let (cursor, message) = message(update);
        match waiting.send_timeout(message, patience).await {
            Ok(()) => last = cursor,
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Some(status::of(ServiceError::ConsumerLagged { last })),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return None,
        }
    }
}

/// An update as a message, and its cursor.
fn message(update: Update) -> (String, v1::WatchCostsResponse) {
    let (cursor, update) = match update {
        Update::Event { event, cursor } => {
            let event = v1::CostEvent { cursor: cursor.clone(), ..write::cost_event(&event) };
            (cursor, Wire::Event(event))
        }
        Update::Change { change, cursor } => {
            let change = v1::SubjectChange { cursor: cursor.clone(), ..write::subject_change(&change) };
            (cursor, Wire::Change(change))
        }
        Update::Checkpoint { cursor, time, caught_up } => {
            let checkpoint = v1::Checkpoint { cursor: cursor.clone(), checkpoint_time: Some(write::time(time)), caught_up };
            (cursor, Wire::Checkpoint(checkpoint))
        }
    };
    (cursor, v1::WatchCostsResponse { update: Some(update) })
}
