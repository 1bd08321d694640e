//! The accept loop: every connection has a time limit, an address a number of them, the end an order.
//!
//! `axum::serve` has no limit on the time for headers. Here a connection that sends nothing, or a
//! request head byte by byte, is closed; one that does not take what is sent to it is closed; one
//! that idles is closed later. At the stop, connections are told to close after their next answer,
//! requests under way are finished, and what is not finished in time is cut.

use std::{
    collections::HashMap,
    future::poll_fn,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use http::{HeaderValue, Version, header::CONNECTION};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Sleep, sleep, timeout},
};
use tower::ServiceExt as _;

use crate::config::{Limits, TrustedProxies};

/// The address at the other end of the connection: the client, or a proxy. Every request carries
/// it among its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// What a connection may take.
#[derive(Debug, Clone)]
pub struct AcceptLimits {
    /// From the connection, or from the first byte of a request, to the end of its head.
    pub header_timeout: Duration,
    /// Between an answer and the next request.
    pub keep_alive: Duration,
    /// How long the client may take nothing of what is sent to it.
    pub write_timeout: Duration,
    /// Connections open at once.
    pub connections: usize,
    /// Of them, from one address (IPv6: one /64).
    pub connections_per_address: usize,
    /// Addresses that this does not count for.
    pub exempt: TrustedProxies,
    /// At the stop: how long new requests are still taken, so that none is lost that was on its way.
    pub linger: Duration,
    /// At the stop: how long requests may take to finish.
    pub grace: Duration,
}

impl AcceptLimits {
    /// The limits of the configuration, and fixed ones beside them.
    pub fn new(limits: &Limits, exempt: TrustedProxies) -> Self {
        Self {
            header_timeout: limits.header_timeout,
            // Longer than the 60 s for which nginx and most balancers keep a connection, so that
            // they close first and no request meets a closing connection.
            keep_alive: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            connections: limits.connections,
            connections_per_address: limits.connections_per_address,
            exempt,
            linger: Duration::from_millis(250),
            grace: Duration::from_secs(30),
        }
    }
}

/// Tells a server to stop.
#[derive(Debug, Clone)]
pub struct StopSignal(Arc<watch::Sender<bool>>);

/// Learns that it is to stop.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

/// A signal and the one who waits for it; both can be cloned.
pub fn stop_pair() -> (StopSignal, Stop) {
    let (sender, receiver) = watch::channel(false);
    (StopSignal(Arc::new(sender)), Stop(receiver))
}

impl StopSignal {
    /// Gives the signal; once is enough.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Completes when the signal was given, or can no longer be given.
    pub async fn wait(&mut self) {
        // An error says that the sender is gone: nobody is left who wants this to go on.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}

/// Serves `router` on `listener` until `stop`, then finishes what is under way.
///
/// Returns how many connections had to be cut because they were not finished in time.
pub async fn serve_on(listener: TcpListener, router: Router, limits: AcceptLimits, mut stop: Stop) -> usize {
    let shared =
        Arc::new(Shared { open: Mutex::new(Open::default()), draining: AtomicBool::new(false), limits });
    // Dropping the sender is the second step of the stop: connections finish and close.
    let (finish, finishing) = watch::channel(());
    let mut connections = JoinSet::new();
    let take = |connections: &mut JoinSet<()>, accepted: io::Result<(TcpStream, SocketAddr)>| match accepted {
        Ok((stream, peer)) => {
            let Some(slot) = Slot::take(&shared, peer) else {
                turn_away(&stream);
                return true;
            };
            let drive = drive(stream, peer, router.clone(), slot, finishing.clone());
            connections.spawn(drive);
            true
        }
        // The client went away before it was greeted.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) =>
        {
            true
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            false
        }
    };
    loop {
        tokio::select! {
            biased;
            () = stop.wait() => break,
            accepted = listener.accept() => {
                if !take(&mut connections, accepted) {
                    // No file descriptors: wait for some instead of spinning.
                    sleep(Duration::from_millis(50)).await;
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
    shared.draining.store(true, Ordering::Release);
    let mut linger = pin!(sleep(shared.limits.linger));
    loop {
        tokio::select! {
            biased;
            () = &mut linger => break,
            accepted = listener.accept() => {
                take(&mut connections, accepted);
            }
        }
    }
    take_backlog(listener, |accepted| take(&mut connections, Ok(accepted)));
    drop(finish);
    let finished = async { while connections.join_next().await.is_some() {} };
    if timeout(shared.limits.grace, finished).await.is_ok() {
        return 0;
    }
    let cut = connections.len();
    tracing::warn!(cut, "connections were cut: their requests did not finish in time");
    connections.shutdown().await;
    cut
}

/// Takes what the kernel has already accepted for us, and closes the listener. The kernel is asked
/// itself: the runtime may not have heard of the newest connections yet.
fn take_backlog(listener: TcpListener, mut take: impl FnMut((TcpStream, SocketAddr)) -> bool) {
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, peer)) = listener.accept() {
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if !stream.is_ok_and(|stream| take((stream, peer))) {
            break;
        }
    }
}

/// Answers a connection that is one too many, as far as it takes it at once.
fn turn_away(stream: &TcpStream) {
    const ANSWER: &[u8] =
        b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    metrics::counter!("keyward_connections_refused_total").increment(1);
    // A client that cannot take it sees a closed connection, which says the same.
    let _ = stream.try_write(ANSWER);
}

struct Shared {
    open: Mutex<Open>,
    draining: AtomicBool,
    limits: AcceptLimits,
}

#[derive(Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The place of one connection among those that may be open; given back when dropped.
struct Slot {
    shared: Arc<Shared>,
    counted: Option<IpAddr>,
}

impl Slot {
    fn take(shared: &Arc<Shared>, peer: SocketAddr) -> Option<Self> {
        let limits = &shared.limits;
        let counted = (!limits.exempt.trusts(peer.ip())).then(|| household(peer.ip()));
        let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= limits.connections {
            return None;
        }
        if let Some(address) = counted {
            let of_address = open.by_address.entry(address).or_default();
            if *of_address >= limits.connections_per_address {
                return None;
            }
            *of_address += 1;
        }
        open.total += 1;
        Some(Self { shared: Arc::clone(shared), counted })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        if let Some(address) = self.counted
            && let Some(of_address) = open.by_address.get_mut(&address)
        {
            *of_address = of_address.saturating_sub(1);
            if *of_address == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

/// What counts as one address: IPv4 as it is, IPv6 by its /64, which one customer has.
pub(super) fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// What a connection is doing, for the limits on time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Connected, nothing read.
    Fresh = 0,
    /// Some of a request head was read.
    Head = 1,
    /// Requests are being answered.
    Busy = 2,
    /// Answered, waiting for the next request.
    Idle = 3,
}

/// How far a connection is on the way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is not ending.
    Open,
    /// The server stops; a request that is on its way still has a moment to arrive.
    LastChance,
    /// It ends after the requests that are under way.
    Closing,
}

/// The state of one connection, shared by its socket, its requests and its driver.
struct Flight {
    requests: AtomicUsize,
    /// The phase in the lowest two bits; above them, how often it has changed.
    state: AtomicU64,
}

/// A phase, and which of all its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment(u64);

impl Moment {
    fn phase(self) -> Phase {
        match self.0 & 3 {
            0 => Phase::Fresh,
            1 => Phase::Head,
            2 => Phase::Busy,
            _ => Phase::Idle,
        }
    }
}

impl Flight {
    fn now(&self) -> Moment {
        Moment(self.state.load(Ordering::Acquire))
    }

    fn enter(&self, phase: Phase) {
        // The closure always gives a value.
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            Some(((state & !3).wrapping_add(4)) | phase as u64)
        });
    }

    fn read(&self) {
        if matches!(self.now().phase(), Phase::Fresh | Phase::Idle) {
            self.enter(Phase::Head);
        }
    }

    fn begin(self: &Arc<Self>) -> UnderWay {
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.enter(Phase::Busy);
        UnderWay(Arc::clone(self))
    }
}

/// One request under way, from its head to the end of its answer.
struct UnderWay(Arc<Flight>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.enter(Phase::Idle);
        }
    }
}

async fn drive(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    slot: Slot,
    finishing: watch::Receiver<()>,
) {
    let shared = Arc::clone(&slot.shared);
    let limits = &shared.limits;
    // Answers are small; Nagle's algorithm would hold their last packet back.
    let _ = stream.set_nodelay(true);
    let flight = Arc::new(Flight { requests: AtomicUsize::new(0), state: AtomicU64::new(0) });
    let socket =
        Socket { stream, flight: Arc::clone(&flight), write_timeout: limits.write_timeout, stalled: None };
    let service = hyper::service::service_fn(|request: hyper::Request<Incoming>| {
        let under_way = flight.begin();
        let router = router.clone();
        let shared = Arc::clone(&shared);
        async move { Ok::<_, std::convert::Infallible>(answer(request, router, peer, &shared, under_way).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // The phases below hold the limits: hyper's counts idle time as part of a head, and sets a timer
        // anew for each request.
        .header_read_timeout(None)
        .max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_concurrent_streams(64)
        .max_header_list_size(32 * 1024);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
    let mut lookout = Lookout::new(flight.as_ref(), &shared, finishing);
    poll_fn(|cx| {
        loop {
            // The connection first: what has arrived is read before anything is decided about it.
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                if let Err(error) = result {
                    tracing::debug!(%peer, error, "a connection ended early");
                }
                return Poll::Ready(());
            }
            match lookout.look(cx) {
                Verdict::GoOn => return Poll::Pending,
                Verdict::Finish => connection.as_mut().graceful_shutdown(),
                Verdict::Close => {
                    tracing::debug!(%peer, "a connection was closed: it took too long");
                    return Poll::Ready(());
                }
            }
        }
    })
    .await;
    drop(slot);
}

/// What is to become of a connection that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    GoOn,
    /// It ends after the requests that are under way.
    Finish,
    /// It ends now.
    Close,
}

/// Watches over the time of one connection, and for the stop.
///
/// It is asked whenever the connection waits, which is after every request. So a request costs it
/// a look at a number: only the head of a request that has not arrived whole sets a timer. How long
/// a connection has been idle is found out by a timer that goes off four times in the time that it
/// may be, and sees whether anything has happened since.
struct Lookout<'a> {
    flight: &'a Flight,
    shared: &'a Shared,
    /// Ends when the connections are to finish; asked at first, and again once the server drains.
    finishing: Pin<Box<dyn Future<Output = ()> + Send>>,
    has_asked: bool,
    deadline: Pin<Box<Sleep>>,
    /// Whether the deadline was moved and nobody waits for it yet.
    is_moved: bool,
    /// What the connection was doing when the deadline was set.
    seen: Moment,
    quarters: u32,
    end: End,
}

/// In how many steps idle time is measured.
const QUARTERS: u32 = 4;

impl<'a> Lookout<'a> {
    fn new(flight: &'a Flight, shared: &'a Shared, mut finishing: watch::Receiver<()>) -> Self {
        let finishing = Box::pin(async move {
            // Only the sender's end is ever seen: nothing is sent.
            while finishing.changed().await.is_ok() {}
        });
        Self {
            flight,
            shared,
            finishing,
            has_asked: false,
            deadline: Box::pin(sleep(shared.limits.header_timeout)),
            is_moved: true,
            seen: flight.now(),
            quarters: 0,
            end: End::Open,
        }
    }

    fn look(&mut self, cx: &mut Context<'_>) -> Verdict {
        let limits = &self.shared.limits;
        let now = self.flight.now();
        let asks = !self.has_asked || self.shared.draining.load(Ordering::Acquire);
        if self.end == End::Open && asks {
            self.has_asked = true;
            if self.finishing.as_mut().poll(cx).is_ready() {
                if now.phase() == Phase::Busy {
                    self.end = End::Closing;
                    return Verdict::Finish;
                }
                self.end = End::LastChance;
                self.set(limits.linger, now);
            }
        }
        match (self.end, now.phase()) {
            (End::LastChance, Phase::Busy) => {
                self.end = End::Closing;
                return Verdict::Finish;
            }
            (End::Open | End::Closing, Phase::Fresh | Phase::Head) if now != self.seen => {
                self.set(limits.header_timeout, now);
            }
            (End::Open | End::Closing, _) | (End::LastChance, Phase::Fresh | Phase::Head | Phase::Idle) => {}
        }
        while self.is_moved || self.deadline.is_elapsed() {
            self.is_moved = false;
            if self.deadline.as_mut().poll(cx).is_pending() {
                break;
            }
            if let Some(verdict) = self.at_deadline(now) {
                return verdict;
            }
        }
        Verdict::GoOn
    }

    /// Decides at the deadline; `None` when there is a new one.
    fn at_deadline(&mut self, now: Moment) -> Option<Verdict> {
        let limits = &self.shared.limits;
        if self.end == End::LastChance {
            self.end = End::Closing;
            self.set(limits.header_timeout, now);
            return Some(Verdict::Finish);
        }
        let is_as_seen = now == self.seen;
        match now.phase() {
            Phase::Fresh | Phase::Head if is_as_seen => return Some(Verdict::Close),
            Phase::Fresh | Phase::Head => self.set(limits.header_timeout, now),
            Phase::Busy => self.set(limits.keep_alive / QUARTERS, now),
            Phase::Idle => {
                let quarters = if is_as_seen { self.quarters + 1 } else { 0 };
                if quarters >= QUARTERS {
                    return Some(Verdict::Close);
                }
                self.set(limits.keep_alive / QUARTERS, now);
                self.quarters = quarters;
            }
        }
        None
    }

    fn set(&mut self, time: Duration, seen: Moment) {
        self.deadline.set(sleep(time));
        self.is_moved = true;
        self.seen = seen;
        self.quarters = 0;
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    router: Router,
    peer: SocketAddr,
    shared: &Shared,
    under_way: UnderWay,
) -> Response<Tracked> {
    let version = request.version();
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(Peer(peer));
    let mut response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if shared.draining.load(Ordering::Acquire) && version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|body| Tracked { body, _under_way: under_way })
}

/// A body that keeps its request under way until it is sent or dropped.
struct Tracked {
    body: Body,
    _under_way: UnderWay,
}

impl HttpBody for Tracked {
    type Data = axum::body::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that says when something was read, and gives up on a client that takes nothing.
struct Socket {
    stream: TcpStream,
    flight: Arc<Flight>,
    write_timeout: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    fn watch<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let wait = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(wait)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.flight.read();
        }
        result
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.watch(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_customer_counts_as_one_address() {
        let household = |text: &str| household(text.parse().unwrap()).to_string();
        assert_eq!(household("192.0.2.7"), "192.0.2.7");
        assert_eq!(household("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(household("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
