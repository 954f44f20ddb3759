//! A proxy in front of a server that makes its connections fail as a test says, at the very byte it says.
//!
//! It runs on a thread of its own, so that a test that blocks does not stop it. It knows where a request and its reply end, and which reply
//! belongs to which request; what is not the plain protocol (TLS, replication) it forwards unread, and only weather befalls that.
//! Everything can be changed while connections are open, and holds from the moment the call returns.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{LOOK_EVERY, PATIENCE, frames};

/// How long a server whose connection was cut may take to see it.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// After these, what comes back is a stream and not one reply for one request.
const STREAMS: [&str; 6] = ["PSYNC", "SYNC", "MONITOR", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Requests,
    Replies,
}

/// What befalls one request, and with it the connection that it came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server gets so many bytes of the request, and the connection ends. With all of them it runs, and nobody hears of it.
    CutRequest { after_bytes: usize },
    /// The server has run the request. The client gets so many bytes of the reply, and the connection ends.
    CutReply { after_bytes: usize },
    /// The server runs the request, but its reply and all that follow never arrive; the connection ends once so many are lost.
    LoseReplies { count: usize },
}

/// What went through since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Connections accepted.
    pub(crate) connections: usize,
    /// Those that are open.
    pub(crate) open: usize,
    /// Whole requests read from clients.
    pub(crate) requests: usize,
    /// Whole replies read from the server, lost ones among them.
    pub(crate) replies: usize,
    /// Bytes written to the server.
    pub(crate) request_bytes: usize,
    /// Bytes written to clients.
    pub(crate) reply_bytes: usize,
}

pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    weather: watch::Sender<Weather>,
    orders: Option<mpsc::UnboundedSender<(Order, std_mpsc::Sender<()>)>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: Mutex<String>,
    armed: Mutex<VecDeque<Armed>>,
    counts: Mutex<Counts>,
}

/// A fault that waits for its request.
struct Armed {
    command: String,
    fault: Fault,
}

/// What befalls everything in a direction.
#[derive(Clone, Copy, Default)]
struct Weather {
    requests: Sky,
    replies: Sky,
}

#[derive(Clone, Copy, Default)]
struct Sky {
    is_held: bool,
    delay: Duration,
}

#[derive(Clone, Copy)]
enum Order {
    Refuse,
    Accept,
    CloseAll,
}

impl Proxy {
    /// Listens on a port of its own and forwards to the address of a server.
    pub(crate) fn start(upstream: &str) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared { upstream: Mutex::new(upstream.to_owned()), armed: Mutex::default(), counts: Mutex::default() });
        let (weather, sky) = watch::channel(Weather::default());
        let (orders, received) = mpsc::unbounded_channel();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(listener, of_thread, sky, received));
        });
        Self { port, shared, weather, orders: Some(orders), thread: Some(thread) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Forwards connections that come from now on to another server.
    pub(crate) fn turn_to(&self, upstream: &str) {
        lock(&self.shared.upstream).replace_range(.., upstream);
    }

    /// Strikes the next request whose command begins with these letters, on whatever connection; `""` strikes any. Several strike in turn.
    pub(crate) fn strike(&self, command: &str, fault: Fault) {
        lock(&self.shared.armed).push_back(Armed { command: command.to_ascii_uppercase(), fault });
    }

    /// Faults that no request has met yet.
    pub(crate) fn faults_left(&self) -> usize {
        lock(&self.shared.armed).len()
    }

    /// Waits until every fault has met its request.
    pub(crate) async fn struck(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.faults_left() > 0 {
            assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {} faults to strike", self.faults_left());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Nothing passes in a direction, and nobody is told. [`Proxy::clear`] lets what was held pass; [`Proxy::close_all`] loses it.
    pub(crate) fn hold(&self, direction: Direction) {
        self.change(direction, |sky| sky.is_held = true);
    }

    /// Everything takes so much longer in a direction.
    pub(crate) fn delay(&self, direction: Direction, delay: Duration) {
        self.change(direction, |sky| sky.delay = delay);
    }

    /// Nothing is held or delayed any longer, and new connections are accepted. Faults that wait for their requests still do.
    pub(crate) fn clear(&self) {
        self.weather.send_replace(Weather::default());
        self.order(Order::Accept);
    }

    /// New connections are refused, as if nobody listened; those that are open stay.
    pub(crate) fn refuse(&self) {
        self.order(Order::Refuse);
    }

    /// Ends every connection, with all that is on its way.
    pub(crate) fn close_all(&self) {
        self.order(Order::CloseAll);
    }

    pub(crate) fn counts(&self) -> Counts {
        *lock(&self.shared.counts)
    }

    fn change(&self, direction: Direction, change: impl FnOnce(&mut Sky)) {
        self.weather.send_modify(|weather| match direction {
            Direction::Requests => change(&mut weather.requests),
            Direction::Replies => change(&mut weather.replies),
        });
    }

    fn order(&self, order: Order) {
        let (done, is_done) = std_mpsc::channel();
        self.orders.as_ref().expect("taken by drop alone").send((order, done)).expect("the proxy's thread has panicked");
        is_done.recv_timeout(PATIENCE).expect("the proxy did not obey");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.orders = None;
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the proxy's thread has panicked");
    }
}

impl Shared {
    /// The fault that strikes this request, which is spent thereby.
    fn fault_for(&self, command: &str) -> Option<Fault> {
        let mut armed = lock(&self.armed);
        let at = armed.iter().position(|armed| command.starts_with(&armed.command))?;
        armed.remove(at).map(|armed| armed.fault)
    }

    fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut lock(&self.counts));
    }
}

async fn run(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    weather: watch::Receiver<Weather>,
    mut orders: mpsc::UnboundedReceiver<(Order, std_mpsc::Sender<()>)>,
) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(TcpListener::from_std(listener).unwrap());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some((order, done)) = order else { return };
                match order {
                    Order::Refuse => listener = None,
                    Order::Accept if listener.is_some() => {}
                    Order::Accept => listener = Some(listen_again(address).await),
                    Order::CloseAll => connections.shutdown().await,
                }
                let _ = done.send(());
            }
            Some(client) = accept(listener.as_ref()) => {
                connections.spawn(serve(client, Arc::clone(&shared), weather.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(client, _)| client),
        None => std::future::pending().await,
    }
}

/// Somebody's outgoing connection may have the port for a moment.
async fn listen_again(address: std::net::SocketAddr) -> TcpListener {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Counts a connection as open for as long as it lives.
struct Open<'a>(&'a Shared);

impl<'a> Open<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.count(|counts| {
            counts.connections += 1;
            counts.open += 1;
        });
        Self(shared)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.count(|counts| counts.open -= 1);
    }
}

async fn serve(mut client: TcpStream, shared: Arc<Shared>, weather: watch::Receiver<Weather>) {
    let open = Open::new(&shared);
    let upstream = lock(&shared.upstream).clone();
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let line = Line { shared: &shared, expected: Mutex::default(), is_foreign: AtomicBool::new(false) };
    {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let (requests, sent) = mpsc::unbounded_channel();
        let (replies, answered) = mpsc::unbounded_channel();
        let to_server = write(
            to_server,
            sent,
            weather.clone(),
            |weather| weather.requests,
            |bytes| shared.count(|counts| counts.request_bytes += bytes),
        );
        let to_client =
            write(to_client, answered, weather, |weather| weather.replies, |bytes| shared.count(|counts| counts.reply_bytes += bytes));
        // The connection ends with the first direction that has nothing more to write.
        tokio::select! {
            () = to_server => {}
            () = to_client => {}
            () = forever(line.read_requests(from_client, requests)) => {}
            () = forever(line.read_replies(from_server, replies)) => {}
        }
    }
    drop(client);
    drop(open);
    // The server is left to read what it was sent before it learns that nobody listens.
    let _ = server.shutdown().await;
    let _ = tokio::time::timeout(DRAIN_MAX, tokio::io::copy(&mut server, &mut tokio::io::sink())).await;
}

/// Runs it to its end, which is not the connection's: what it had passed on is still to be written.
async fn forever(reading: impl Future<Output = ()>) {
    reading.await;
    std::future::pending().await
}

type Passed = (Instant, Vec<u8>);

async fn write(
    mut to: WriteHalf<'_>,
    mut from: mpsc::UnboundedReceiver<Passed>,
    mut weather: watch::Receiver<Weather>,
    sky: impl Fn(&Weather) -> Sky,
    count: impl Fn(usize),
) {
    while let Some((read_at, bytes)) = from.recv().await {
        loop {
            let Ok(now) = weather.wait_for(|weather| !sky(weather).is_held).await.map(|weather| sky(&weather)) else { return };
            if Instant::now() >= read_at + now.delay {
                break;
            }
            // Woken by other weather too, which may be that nothing passes now.
            tokio::select! {
                () = tokio::time::sleep_until(read_at + now.delay) => {}
                _ = weather.changed() => {}
            }
        }
        // Before, so that whoever has read a byte finds it counted.
        count(bytes.len());
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// One connection between a client and the server.
struct Line<'a> {
    shared: &'a Shared,
    /// For each request that the server has not answered, in order: what befalls its reply.
    expected: Mutex<VecDeque<Option<Fault>>>,
    /// What passes is not the plain protocol, or no longer.
    is_foreign: AtomicBool,
}

impl Line<'_> {
    async fn read_requests(&self, mut from: ReadHalf<'_>, to: mpsc::UnboundedSender<Passed>) {
        let mut unread = Vec::with_capacity(CHUNK_BYTES);
        while matches!(from.read_buf(&mut unread).await, Ok(len) if len > 0) {
            while let Some(frame) = self.next_frame(&mut unread) {
                if self.is_foreign() {
                    pass(&to, frame);
                    continue;
                }
                let command = frames::command(&frame);
                self.shared.count(|counts| counts.requests += 1);
                let fault = self.shared.fault_for(&command);
                if let Some(Fault::CutRequest { after_bytes }) = fault {
                    pass(&to, frame[..after_bytes.min(frame.len())].to_vec());
                    return;
                }
                if STREAMS.contains(&command.as_str()) {
                    self.is_foreign.store(true, Ordering::Relaxed);
                }
                lock(&self.expected).push_back(fault);
                pass(&to, frame);
            }
        }
    }

    async fn read_replies(&self, mut from: ReadHalf<'_>, to: mpsc::UnboundedSender<Passed>) {
        let mut unread = Vec::with_capacity(CHUNK_BYTES);
        // How many replies are still to be lost, once the first is.
        let mut losing = None;
        while matches!(from.read_buf(&mut unread).await, Ok(len) if len > 0) {
            while let Some(frame) = self.next_frame(&mut unread) {
                if self.is_foreign() || frames::is_push(&frame) {
                    pass(&to, frame);
                    continue;
                }
                self.shared.count(|counts| counts.replies += 1);
                match lock(&self.expected).pop_front().flatten() {
                    Some(Fault::LoseReplies { count }) if losing.is_none() => losing = Some(count),
                    Some(Fault::CutReply { after_bytes }) if losing.is_none() => {
                        pass(&to, frame[..after_bytes.min(frame.len())].to_vec());
                        return;
                    }
                    _ => {}
                }
                match &mut losing {
                    None => pass(&to, frame),
                    Some(0 | 1) => return,
                    Some(left) => *left -= 1,
                }
            }
        }
    }

    fn is_foreign(&self) -> bool {
        self.is_foreign.load(Ordering::Relaxed)
    }

    /// The next whole value, or whatever is there if it is not the protocol.
    fn next_frame(&self, unread: &mut Vec<u8>) -> Option<Vec<u8>> {
        if unread.is_empty() {
            return None;
        }
        if !self.is_foreign() {
            match frames::first_len(unread) {
                Ok(len) => return len.map(|len| unread.drain(..len).collect()),
                Err(frames::Foreign) => self.is_foreign.store(true, Ordering::Relaxed),
            }
        }
        Some(std::mem::take(unread))
    }
}

/// A closed channel is a connection that ends.
fn pass(to: &mpsc::UnboundedSender<Passed>, bytes: Vec<u8>) {
    let _ = to.send((Instant::now(), bytes));
}

/// Poisoned or not: what it guards is whole after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
