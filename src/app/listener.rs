//! Listeners: TCP and unix sockets behind one type, and the bound on connections.
//!
//! The accept loop survives whatever accepting fails with, such as having no file descriptor left.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use crate::config::ListenAddress;

/// Pause after a failed accept: file descriptors do not come back at once, and a loop without one would burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound socket.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf },
}

impl Listener {
    pub(super) async fn bind(address: &ListenAddress) -> anyhow::Result<Self> {
        let bound = match address {
            ListenAddress::Tcp(host_port) => TcpListener::bind(host_port.pair()).await.map(Self::Tcp),
            ListenAddress::Unix(path) => bind_unix(path).await.map(|listener| Self::Unix { listener, path: path.clone() }),
        };
        bound.with_context(|| format!("cannot listen on {address} (setting `listen`)"))
    }

    /// The address as bound.
    pub(super) fn address(&self) -> anyhow::Result<ListenAddress> {
        match self {
            Self::Tcp(listener) => Ok(listener.local_addr()?.to_string().parse()?),
            Self::Unix { path, .. } => Ok(ListenAddress::Unix(path.clone())),
        }
    }

    /// Accepts until `stop`, never more at a time than there are permits.
    pub(super) fn connections(self, permits: Arc<Semaphore>, stop: CancellationToken) -> ReceiverStream<io::Result<Connection>> {
        // One at a time: a connection that nobody has taken up yet need not be accepted.
        let (accepted, connections) = mpsc::channel(1);
        tokio::spawn(async move {
            let accept_all = async {
                while let Ok(permit) = permits.clone().acquire_owned().await {
                    match self.accept().await {
                        Ok(stream) => {
                            if accepted.send(Ok(Connection { stream, _permit: permit })).await.is_err() {
                                return;
                            }
                        }
                        Err(error) => {
                            tracing::warn!(%error, "cannot accept a connection");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            };
            stop.run_until_cancelled(accept_all).await;
            if let Self::Unix { path, .. } = &self {
                // The next process finds it stale at the worst, and takes it over.
                let _ = std::fs::remove_file(path);
            }
        });
        ReceiverStream::new(connections)
    }

    async fn accept(&self) -> io::Result<Either<TcpStream, UnixStream>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are small and awaited: none should wait for a fuller packet.
                stream.set_nodelay(true)?;
                Ok(Either::Left(stream))
            }
            Self::Unix { listener, .. } => Ok(Either::Right(listener.accept().await?.0)),
        }
    }
}

/// Binds a unix socket, for the owner and group only. A socket that a dead process left is taken over, a live one is not.
async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else than a socket is there"));
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process serves this socket"));
        }
        Ok(_) | Err(_) => {}
    }
    // Under its name only once nobody else can connect to it.
    let unready = path.with_file_name(format!(".{}", std::process::id()));
    let _ = std::fs::remove_file(&unready);
    let listener = UnixListener::bind(&unready)?;
    std::fs::set_permissions(&unready, std::fs::Permissions::from_mode(0o660))?;
    std::fs::rename(&unready, path)?;
    Ok(listener)
}

/// One accepted connection. Its permit goes back when it ends.
pub(super) struct Connection {
    stream: Either<TcpStream, UnixStream>,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
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
