//! A stream of cost events that goes on from its last cursor when it is cut off.

use std::time::Duration;

use tonic::{Code, Status, Streaming};

use crate::cli::Failure;
use crate::cli::connection::Server;
use crate::cli::failure::reason;
use crate::proto::v1::watch_costs_response::Update;
use crate::proto::v1::{CostFilters, ErrorReason, WatchCostsRequest, WatchCostsResponse};

/// Between two tries to reach a server that is away, doubled each time up to the longest.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

pub(in crate::cli) struct Follower<'s> {
    server: &'s Server,
    filters: CostFilters,
    changes: bool,
    /// Of the last message.
    cursor: String,
    stream: Option<Streaming<WatchCostsResponse>>,
    /// Most tries in a row before it gives up; `None`: never.
    tries_max: Option<u32>,
}

impl<'s> Follower<'s> {
    /// Begins to follow. A server that is not there at first is a failure, and one that goes away later is waited for.
    pub(in crate::cli) async fn start(server: &'s Server, cursor: String, filters: CostFilters) -> Result<Self, Failure> {
        Self { server, filters, changes: false, cursor, stream: None, tries_max: None }.started().await
    }

    /// The same with the changes of subjects.
    pub(in crate::cli) async fn start_with_changes(server: &'s Server, cursor: String, filters: CostFilters) -> Result<Self, Failure> {
        Self { server, filters, changes: true, cursor, stream: None, tries_max: None }.started().await
    }

    async fn started(self) -> Result<Self, Failure> {
        let mut follower = self;
        follower.stream = Some(follower.connect().await?);
        Ok(follower)
    }

    pub(super) fn with_tries_max(self, tries: u32) -> Self {
        Self { tries_max: Some(tries), ..self }
    }

    /// The next message, however often the stream has to be begun anew. A cursor that has expired is a failure, like a bad filter.
    pub(in crate::cli) async fn next(&mut self) -> Result<Update, Failure> {
        let (mut pause, mut tries) = (PAUSE, 0);
        loop {
            let problem = match self.message().await {
                Ok(update) => return Ok(update),
                Err(problem) => problem,
            };
            tries += 1;
            if !is_passing(&problem) || self.tries_max.is_some_and(|most| tries > most) {
                return Err(problem);
            }
            self.stream = None;
            if tries == 1 {
                eprintln!("{}\nthe stream goes on from its last cursor as soon as it can", problem.text());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn message(&mut self) -> Result<Update, Failure> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = self.connect().await?;
                self.stream.insert(stream)
            }
        };
        let ended = || Failure::from(Status::unavailable("the stream has ended"));
        let update = stream.message().await?.and_then(|message| message.update).ok_or_else(ended)?;
        self.cursor.clone_from(cursor_of(&update));
        Ok(update)
    }

    async fn connect(&self) -> Result<Streaming<WatchCostsResponse>, Failure> {
        let request = WatchCostsRequest { cursor: self.cursor.clone(), filters: Some(self.filters.clone()), include_changes: self.changes };
        // It has no deadline: it ends when it is told to.
        Ok(self.server.costs().await?.watch_costs(request).await?.into_inner())
    }
}

/// Where the stream goes on after a message.
pub(super) fn cursor_of(update: &Update) -> &String {
    match update {
        Update::Event(event) => &event.cursor,
        Update::Change(change) => &change.cursor,
        Update::Checkpoint(checkpoint) => &checkpoint.cursor,
    }
}

/// Whether another try may end otherwise.
fn is_passing(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable { .. } => true,
        // Nothing changes that until an operator has looked at it.
        Failure::Status { status, .. } if reason(status) == Some(ErrorReason::StoreDataLost) => false,
        Failure::Status { status, .. } => match status.code() {
            Code::Unavailable | Code::Aborted | Code::ResourceExhausted | Code::Cancelled | Code::Unknown | Code::DeadlineExceeded => true,
            // A connection that breaks within a stream.
            Code::Internal => std::error::Error::source(&**status).is_some(),
            _ => false,
        },
        Failure::Config(_) | Failure::Usage(_) | Failure::Other(_) => false,
    }
}
