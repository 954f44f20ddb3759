//! Serving routes over connections that somebody else has opened: in clear, or over TLS.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long one request, its answer and its reader may take: whoever reads nothing would keep one of few places for ever. Each connection
/// carries one request.
const CONNECTION_MAX: Duration = Duration::from_secs(60);

/// Serves until `stop` is cancelled and what is in flight has been answered. `head_max` is the longest that the head of a request may take,
/// and that a connection may stay without one: who says nothing for so long has its place taken from it.
pub async fn serve<C>(mut connections: impl Stream<Item = C> + Unpin, routes: Router, head_max: Duration, stop: CancellationToken)
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let tasks = TaskTracker::new();
    while let Some(Some(connection)) = stop.run_until_cancelled(connections.next()).await {
        tasks.spawn(answer(connection, routes.clone(), [head_max, CONNECTION_MAX], stop.clone()));
    }
    stop.cancelled().await;
    tasks.close();
    tasks.wait().await;
}

/// `head_max` and `whole_max` are the longest that the head of the request may take, and everything.
async fn answer<C>(connection: C, routes: Router, [head_max, whole_max]: [Duration; 2], stop: CancellationToken)
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head_max).keep_alive(false);
    let serving = builder.serve_connection(TokioIo::new(connection), TowerToHyperService::new(routes));
    tokio::pin!(serving);
    let served = tokio::time::timeout(whole_max, async {
        tokio::select! {
            served = serving.as_mut() => served,
            () = stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        }
    });
    match served.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the HTTP port ended badly"),
        Err(_) => tracing::debug!("a connection to the HTTP port took too long"),
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    /// Longer than anything takes that works.
    const PATIENCE: Duration = Duration::from_secs(600);
    /// Many of them are more than a connection of these tests holds on its way.
    const PAGE: &str = "a page that is longer than what its reader takes at once";

    /// A client that has asked twice and read nothing, and what answers it.
    async fn asked(whole_max: Duration) -> (DuplexStream, impl Future<Output = ()>) {
        let (mut client, connection) = tokio::io::duplex(256);
        let routes = Router::new().route("/", get(|| async { PAGE.repeat(64) }));
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        (client, answer(connection, routes, [PATIENCE, whole_max], CancellationToken::new()))
    }

    #[tokio::test]
    async fn a_connection_carries_one_request() {
        let (mut client, answering) = asked(PATIENCE).await;
        let mut told = String::new();
        let (_, read) = tokio::join!(answering, client.read_to_string(&mut told));
        read.unwrap();
        assert_eq!((told.matches("HTTP/1.1 200").count(), told.matches(PAGE).count()), (1, 64), "{told}");
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_off() {
        let (mut client, answering) = asked(Duration::from_millis(20)).await;
        answering.await;
        let mut told = String::new();
        client.read_to_string(&mut told).await.unwrap();
        assert!(told.matches(PAGE).count() < 64, "{told}");
    }
}
