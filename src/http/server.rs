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
        tasks.spawn(answer(connection, routes.clone(), head_max, stop.clone()));
    }
    stop.cancelled().await;
    tasks.close();
    tasks.wait().await;
}

async fn answer<C>(connection: C, routes: Router, head_max: Duration, stop: CancellationToken)
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head_max).keep_alive(false);
    let serving = builder.serve_connection(TokioIo::new(connection), TowerToHyperService::new(routes));
    tokio::pin!(serving);
    let served = tokio::time::timeout(CONNECTION_MAX, async {
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
