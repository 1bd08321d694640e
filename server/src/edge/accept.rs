//! The accept loop: every connection has a time limit, an address a number of them, the end an order.
//!
//! `axum::serve` has no limit on the time for headers. Here a connection that sends nothing, or a
//! request head byte by byte, is closed; one that does not take what is sent to it is closed; one
//! that idles is closed later. At the stop, connections are told to close after their next answer,
//! requests under way are finished, and what is not finished in time is cut.

mod lookout;
mod socket;

use std::{
    collections::HashMap,
    future::poll_fn,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
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
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::ServiceExt as _;

use self::{
    lookout::{Flight, Lookout, UnderWay, Verdict},
    socket::Socket,
};
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
    let flight = Arc::new(Flight::new());
    let socket = Socket::new(stream, Arc::clone(&flight), limits.write_timeout);
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
