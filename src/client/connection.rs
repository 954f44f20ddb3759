//! A connection that shows its token with every call, and takes up files that change.
//!
//! A token counts from the next call on. Other certificates mean another connection: calls in flight end on the one before. Files that
//! cannot be used are told once in the log, and what was good before them stays.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::header::AUTHORIZATION;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::transport::channel::ResponseFuture;
use tower::Service;

use super::connector::{ConnectError, Connector, Held};
use super::error::with_causes;

/// How often the files are looked at, and only while there are calls: a secret store swaps them minutes before the old ones end, and a
/// look is a few small reads from memory.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A channel for the generated clients of `genquota.v1`. Clones share it.
#[derive(Debug, Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    /// The one that was polled ready, of this edition.
    channel: Channel,
    edition: u64,
}

#[derive(Debug)]
struct Shared {
    connector: Connector,
    present: Mutex<Present>,
}

/// What counts now.
#[derive(Debug)]
struct Present {
    looked: Instant,
    held: Held,
    channel: Channel,
    /// How often the channel was replaced.
    edition: u64,
    /// A failure is told once, and so is its end.
    failing: bool,
}

impl Connection {
    pub(super) fn new(connector: Connector, held: Held, channel: Channel) -> Self {
        let present = Present { looked: Instant::now(), held, channel: channel.clone(), edition: 0, failing: false };
        Self { shared: Arc::new(Shared { connector, present: Mutex::new(present) }), channel, edition: 0 }
    }
}

impl Service<http::Request<Body>> for Connection {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let mut present = self.shared.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.look(&self.shared.connector);
        if present.edition != self.edition {
            (self.channel, self.edition) = (present.channel.clone(), present.edition);
        }
        drop(present);
        self.channel.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let authorization = self.shared.present.lock().unwrap_or_else(PoisonError::into_inner).held.authorization.clone();
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        self.channel.call(request)
    }
}

impl Present {
    fn look(&mut self, connector: &Connector) {
        if !connector.has_files() || self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked = Instant::now();
        match connector.read().and_then(|held| self.take(connector, held)) {
            Ok(()) if std::mem::take(&mut self.failing) => tracing::info!(server = %connector.server(), "the credentials are good again"),
            Ok(()) => {}
            Err(error) if std::mem::replace(&mut self.failing, true) => drop(error),
            Err(error) => {
                let error = with_causes(&error);
                tracing::error!(server = %connector.server(), error, "the credentials changed and cannot be used: those before stay");
            }
        }
    }

    fn take(&mut self, connector: &Connector, held: Held) -> Result<(), ConnectError> {
        if held.other_tls(&self.held) {
            self.channel = connector.endpoint(&held)?.connect_lazy();
            self.edition += 1;
        }
        self.held = held;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Token;

    /// Looks as if the last look were long ago; what is shown to the server from then on.
    fn looked(connection: &Connection) -> String {
        let mut present = connection.shared.present.lock().unwrap();
        present.looked = present.looked.checked_sub(LOOK_EVERY).unwrap();
        present.look(&connection.shared.connector);
        present.held.authorization.clone().unwrap().to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_used_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "first").unwrap();
        let connector = Connector::new("http://127.0.0.1:1".parse().unwrap()).token(Token::File(file.clone()));
        let connection = connector.connect_lazy().unwrap();
        for (text, shown) in [("two words", "Bearer first"), ("", "Bearer first"), ("second", "Bearer second")] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(looked(&connection), shown, "{text:?}");
        }
        std::fs::remove_file(&file).unwrap();
        assert_eq!(looked(&connection), "Bearer second");
        assert!(connection.shared.present.lock().unwrap().failing);
        std::fs::write(&file, "third").unwrap();
        assert_eq!(looked(&connection), "Bearer third");
        assert!(!connection.shared.present.lock().unwrap().failing);
    }
}
