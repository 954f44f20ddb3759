//! Listeners: TCP and unix sockets behind one type, and the bound on connections.
//!
//! The accept loop survives whatever accepting fails with, such as having no file descriptor left. What happens between accepting a
//! connection and serving it is in [`opening`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use self::opening::Openings;
pub(super) use self::opening::{Connection, Door, Speaks};
use crate::config::{HostPort, ListenAddress};

mod opening;

/// Pause after a failed accept: file descriptors do not come back at once, and a loop without one would burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a listener accepts.
type Accepted = Either<TcpStream, UnixStream>;

/// A bound socket.
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf },
}

impl Listener {
    pub(super) async fn bind(address: &ListenAddress) -> anyhow::Result<Self> {
        match address {
            ListenAddress::Tcp(host_port) => Self::bind_tcp(host_port, "listen").await,
            ListenAddress::Unix(path) => {
                let bound = bind_unix(path).await.map(|listener| Self::Unix { listener, path: path.clone() });
                bound.with_context(|| format!("cannot listen on {address} (setting `listen`)"))
            }
        }
    }

    /// For an address of another setting.
    pub(super) async fn bind_tcp(address: &HostPort, setting: &str) -> anyhow::Result<Self> {
        let bound = TcpListener::bind(address.pair()).await.map(Self::Tcp);
        bound.with_context(|| format!("cannot listen on {address} (setting `{setting}`)"))
    }

    /// The address as bound.
    pub(super) fn address(&self) -> anyhow::Result<ListenAddress> {
        match self {
            Self::Tcp(listener) => Ok(listener.local_addr()?.to_string().parse()?),
            Self::Unix { path, .. } => Ok(ListenAddress::Unix(path.clone())),
        }
    }

    /// The address as bound, of a listener on TCP.
    pub(super) fn socket_address(&self) -> Option<std::net::SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix { .. } => None,
        }
    }

    /// Accepts until `stop`, one more than there are permits at the most, and hands on what has been opened.
    pub(super) fn connections(
        self,
        permits: Arc<Semaphore>,
        door: Door,
        stop: CancellationToken,
    ) -> ReceiverStream<io::Result<Connection>> {
        // One at a time: a connection that nobody has taken up yet need not be accepted.
        let (opened, connections) = mpsc::channel(1);
        let mut openings = Openings::new(door, opened, permits);
        tokio::spawn(async move {
            let accept_all = async {
                loop {
                    match self.accept().await {
                        Ok(stream) => match openings.place().await {
                            Some(permit) => openings.begin(stream, permit),
                            None => return,
                        },
                        Err(error) => {
                            tracing::warn!(%error, "cannot accept a connection");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            };
            stop.run_until_cancelled(accept_all).await;
            // Whoever is still at the door is let go: the stream ends when nobody is left who could hand something on.
            drop(openings);
            if let Self::Unix { path, .. } = &self {
                // The next process finds it stale at the worst, and takes it over.
                let _ = std::fs::remove_file(path);
            }
        });
        ReceiverStream::new(connections)
    }

    async fn accept(&self) -> io::Result<Accepted> {
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
