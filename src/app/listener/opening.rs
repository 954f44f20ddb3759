//! Between accepting a connection and serving it: TLS, who is at the other end, and whether it speaks what is spoken here.
//!
//! All of it has one deadline, and where somebody waits and no place is free, the one that has taken longest is let go before that, for who
//! means well is through in a moment. What comes behind the door has said that it is HTTP/2, so no byte of anything else is ever parsed.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tonic::transport::server::Connected;

use super::super::tls::{self, Tls};
use super::Accepted;
use crate::access::Peer;
use crate::telemetry::{Refusal, Telemetry};

/// What everybody is let have, even where others wait: a handshake over a long way takes three journeys.
const MOMENT: Duration = Duration::from_millis(500);
/// What every HTTP/2 connection begins with (RFC 9113, 3.4).
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Speaks {
    Grpc,
    Http,
}

/// How connections of a listener are opened.
#[derive(Clone)]
pub(in crate::app) struct Door {
    pub(in crate::app) speaks: Speaks,
    /// None: in clear.
    pub(in crate::app) tls: Option<Tls>,
    /// The longest that it may take.
    pub(in crate::app) deadline: Duration,
    pub(in crate::app) telemetry: Arc<Telemetry>,
}

/// Those who are at the door of one listener.
pub(super) struct Openings {
    door: Door,
    opened: mpsc::Sender<io::Result<Connection>>,
    permits: Arc<Semaphore>,
    /// The longest at it first, each with when it began.
    pending: VecDeque<(Instant, AbortHandle)>,
}

/// One connection, opened. Its permit goes back when it ends.
pub(in crate::app) struct Connection {
    stream: Stream,
    peer: Peer,
    /// What of the preface has not been read once more.
    preface: &'static [u8],
    _permit: OwnedSemaphorePermit,
}

type Stream = Either<Accepted, Box<TlsStream<TcpStream>>>;

impl Openings {
    pub(super) fn new(door: Door, opened: mpsc::Sender<io::Result<Connection>>, permits: Arc<Semaphore>) -> Self {
        Self { door, opened, permits, pending: VecDeque::new() }
    }

    /// A place for one that has been accepted. None: there are no places any more.
    pub(super) async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        loop {
            self.pending.retain(|(_, opening)| !opening.is_finished());
            let longest = self.pending.front().map(|(began, _)| *began + MOMENT);
            tokio::select! {
                biased;
                permit = self.permits.clone().acquire_owned() => return permit.ok(),
                () = until(longest) => {
                    if let Some((_, longest)) = self.pending.pop_front() {
                        longest.abort();
                        self.door.telemetry.metrics().refused(Refusal::Crowded);
                    }
                }
            }
        }
    }

    /// Opens a connection in a task of its own and hands it on.
    pub(super) fn begin(&mut self, stream: Accepted, permit: OwnedSemaphorePermit) {
        let (door, opened) = (self.door.clone(), self.opened.clone());
        let opening = tokio::spawn(async move {
            let refusal = match tokio::time::timeout(door.deadline, door.open(stream, permit)).await {
                Ok(Ok(connection)) => {
                    // Nobody takes it up any more: the server is going down.
                    let _ = opened.send(Ok(connection)).await;
                    return;
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a connection could not be opened");
                    Refusal::Foreign
                }
                Err(_) => Refusal::Slow,
            };
            door.telemetry.metrics().refused(refusal);
        });
        self.pending.push_back((Instant::now(), opening.abort_handle()));
    }
}

impl Drop for Openings {
    fn drop(&mut self) {
        self.pending.iter().for_each(|(_, opening)| opening.abort());
    }
}

/// Waits until then; for ever where there is no such instant.
async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

impl Door {
    async fn open(&self, stream: Accepted, permit: OwnedSemaphorePermit) -> io::Result<Connection> {
        let (mut stream, peer) = match (stream, &self.tls) {
            (Either::Left(stream), Some(tls)) => {
                let stream = match self.speaks {
                    Speaks::Grpc => tls.accept_grpc(stream).await?,
                    Speaks::Http => tls.accept_http(stream).await?,
                };
                let peer = Peer { names: tls::names(&stream), user: None };
                (Either::Right(Box::new(stream)), peer)
            }
            (stream @ Either::Left(_), None) => (Either::Left(stream), Peer::default()),
            // The kernel vouches for who is at the other end, and nobody else hears.
            (Either::Right(stream), _) => {
                let user = user(&stream)?;
                (Either::Left(Either::Right(stream)), Peer { user: Some(user), ..Peer::default() })
            }
        };
        let preface: &[u8] = match self.speaks {
            Speaks::Grpc => {
                await_preface(&mut stream).await?;
                &PREFACE
            }
            Speaks::Http => &[],
        };
        Ok(Connection { stream, peer, preface, _permit: permit })
    }
}

fn user(stream: &UnixStream) -> io::Result<u32> {
    Ok(stream.peer_cred()?.uid())
}

/// Reads the preface, and not a byte more than differs from it.
async fn await_preface(stream: &mut Stream) -> io::Result<()> {
    let mut read = [0; PREFACE.len()];
    let mut len = 0;
    while len < PREFACE.len() {
        match stream.read(&mut read[len..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => len += more,
        }
        if read[..len] != PREFACE[..len] {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not begin as HTTP/2 does"));
        }
    }
    Ok(())
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.preface.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let (now, later) = self.preface.split_at(buffer.remaining().min(self.preface.len()));
        buffer.put_slice(now);
        self.preface = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
