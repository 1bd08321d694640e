//! What a connection may take, over real sockets.

use std::{net::SocketAddr, time::Duration};

use axum::{Extension, Router, routing::get};
use server::{
    config::{Limits, TrustedProxies},
    edge::accept::{AcceptLimits, Peer, StopSignal, serve_on, stop_pair},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

/// Nothing in these tests takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

fn limits() -> AcceptLimits {
    AcceptLimits {
        linger: Duration::from_millis(1),
        grace: Duration::from_secs(10),
        ..AcceptLimits::new(&Limits::default(), TrustedProxies::default())
    }
}

struct Server {
    address: SocketAddr,
    stop: StopSignal,
    served: JoinHandle<usize>,
}

async fn serve(limits: AcceptLimits, router: Router) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (signal, stop) = stop_pair();
    let served = tokio::spawn(serve_on(listener, router, limits, stop));
    Server { address, stop: signal, served }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async |Extension(peer): Extension<Peer>| peer.0.ip().to_string()))
}

/// Everything until the other side closes; a reset is an end, too.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection is closed");
    drop(read);
    String::from_utf8(bytes).unwrap()
}

/// One answer whose end is known by `end`.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut buffer = [0; 1024];
        let count = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("an answer").unwrap();
        assert_ne!(count, 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    text
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn requests_know_their_peer_and_connections_are_reused() {
    let server = serve(limits(), hello()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(REQUEST).await.unwrap();
        let answer = until(&mut stream, "127.0.0.1").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("content-length: 9"), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let server = serve(AcceptLimits { header_timeout: Duration::from_millis(50), ..limits() }, hello()).await;
    assert_eq!(rest(&mut server.connect().await).await, "");
}

#[tokio::test]
async fn headers_that_come_byte_by_byte_are_cut() {
    let server =
        serve(AcceptLimits { header_timeout: Duration::from_millis(200), ..limits() }, hello()).await;
    for start in [&b"GET / HTTP/1.1\r\nx-slow: "[..], b"PRI * HTTP/2.0\r\n", b"G"] {
        let stream = server.connect().await;
        let (mut reader, mut writer) = stream.into_split();
        let trickle = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            let mut bytes = start.to_vec();
            while writer.write_all(&bytes).await.is_ok() {
                bytes = b"a".to_vec();
                ticks.tick().await;
            }
        });
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, reader.read_to_end(&mut answer)).await.expect("the connection is closed");
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
        timeout(PATIENCE, trickle).await.expect("writing fails").unwrap();
    }
}

#[tokio::test]
async fn a_slow_second_request_is_cut_too() {
    let limits = AcceptLimits { header_timeout: Duration::from_millis(100), ..limits() };
    let server = serve(limits, hello()).await;
    let mut stream = server.connect().await;
    stream.write_all(REQUEST).await.unwrap();
    until(&mut stream, "127.0.0.1").await;
    stream.write_all(b"GET / HT").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed_later() {
    let limits = AcceptLimits { keep_alive: Duration::from_millis(100), ..limits() };
    let server = serve(limits, hello()).await;
    let mut stream = server.connect().await;
    stream.write_all(REQUEST).await.unwrap();
    assert!(rest(&mut stream).await.ends_with("127.0.0.1"));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    let much = Router::new().route("/", get(async || vec![b'a'; 64 * 1024 * 1024]));
    let limits = AcceptLimits { write_timeout: Duration::from_millis(100), ..limits() };
    let server = serve(limits, much).await;
    let mut stream = server.connect().await;
    stream.write_all(REQUEST).await.unwrap();
    // The server ends although nothing is read: the connection did not hold it up.
    stream.readable().await.unwrap();
    server.stop.stop();
    assert_eq!(timeout(PATIENCE, server.served).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn one_connection_too_many_is_turned_away_and_a_place_comes_back() {
    for limits in
        [AcceptLimits { connections: 2, ..limits() }, AcceptLimits { connections_per_address: 2, ..limits() }]
    {
        let server = serve(limits, hello()).await;
        let mut open = [server.connect().await, server.connect().await];
        for stream in &mut open {
            stream.write_all(REQUEST).await.unwrap();
            until(stream, "127.0.0.1").await;
        }
        let answer = rest(&mut server.connect().await).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        let [mut first, _second] = open;
        first.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        rest(&mut first).await;
        // The place is given back once the server has seen the end.
        let served = async {
            loop {
                let mut stream = server.connect().await;
                let _ = stream.write_all(REQUEST).await;
                let mut byte = [0; 12];
                if stream.read_exact(&mut byte).await.is_ok() && byte.ends_with(b"200") {
                    break;
                }
            }
        };
        timeout(PATIENCE, served).await.expect("a place is free again");
    }
}

#[tokio::test]
async fn a_trusted_proxy_may_open_many() {
    let exempt = TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let server = serve(AcceptLimits { connections_per_address: 1, exempt, ..limits() }, hello()).await;
    let mut open = [server.connect().await, server.connect().await, server.connect().await];
    for stream in &mut open {
        stream.write_all(REQUEST).await.unwrap();
        until(stream, "127.0.0.1").await;
    }
}

/// A route that says when it was reached, and answers when it is told to.
fn held() -> (Router, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (reached, arrivals) = mpsc::channel(8);
    let (go, waiting) = mpsc::channel::<()>(8);
    let waiting = std::sync::Arc::new(tokio::sync::Mutex::new(waiting));
    let route = get(move || {
        let (reached, waiting) = (reached.clone(), std::sync::Arc::clone(&waiting));
        async move {
            reached.send(()).await.unwrap();
            waiting.lock().await.recv().await;
            "finished"
        }
    });
    (Router::new().route("/", route), arrivals, go)
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way() {
    let (router, mut arrivals, go) = held();
    let server = serve(limits(), router).await;
    let mut idle = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(REQUEST).await.unwrap();
    arrivals.recv().await.unwrap();
    server.stop.stop();
    // An idle connection ends at once, the other one after its answer.
    assert_eq!(rest(&mut idle).await, "");
    go.send(()).await.unwrap();
    let answer = rest(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("finished"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(timeout(PATIENCE, server.served).await.unwrap().unwrap(), 0);
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_stop_cuts_what_does_not_finish_in_time() {
    let (router, mut arrivals, _go) = held();
    let server = serve(AcceptLimits { grace: Duration::from_millis(50), ..limits() }, router).await;
    let mut busy = server.connect().await;
    busy.write_all(REQUEST).await.unwrap();
    arrivals.recv().await.unwrap();
    server.stop.stop();
    assert_eq!(timeout(PATIENCE, server.served).await.unwrap().unwrap(), 1);
    assert_eq!(rest(&mut busy).await, "");
}

#[tokio::test]
async fn requests_that_come_during_the_stop_are_answered() {
    let server = serve(AcceptLimits { linger: Duration::from_millis(300), ..limits() }, hello()).await;
    let mut reused = server.connect().await;
    reused.write_all(REQUEST).await.unwrap();
    until(&mut reused, "127.0.0.1").await;
    server.stop.stop();
    reused.write_all(REQUEST).await.unwrap();
    let mut fresh = server.connect().await;
    fresh.write_all(REQUEST).await.unwrap();
    for stream in [&mut reused, &mut fresh] {
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    assert_eq!(timeout(PATIENCE, server.served).await.unwrap().unwrap(), 0);
}

/// Asks again and again, on a connection as long as it lasts, until nobody listens; how often the
/// answer came. Whatever was sent whole is answered.
async fn insist(address: SocketAddr) -> usize {
    let mut answers = 0;
    while let Ok(mut stream) = TcpStream::connect(address).await {
        loop {
            if stream.write_all(REQUEST).await.is_err() {
                break;
            }
            let mut head = [0; 15];
            stream.read_exact(&mut head).await.expect("what was sent is answered");
            assert_eq!(&head, b"HTTP/1.1 200 OK");
            let answer = until(&mut stream, "127.0.0.1").await;
            answers += 1;
            if answer.contains("connection: close") {
                break;
            }
        }
    }
    answers
}

#[tokio::test]
async fn a_stop_under_load_loses_no_request() {
    let server = serve(AcceptLimits { linger: Duration::from_millis(100), ..limits() }, hello()).await;
    let clients: Vec<_> = (0..16).map(|_| tokio::spawn(insist(server.address))).collect();
    // Some answers have been given before the stop.
    let mut first = server.connect().await;
    for _ in 0..50 {
        first.write_all(REQUEST).await.unwrap();
        until(&mut first, "127.0.0.1").await;
    }
    server.stop.stop();
    for client in clients {
        assert!(timeout(PATIENCE, client).await.unwrap().unwrap() > 0);
    }
    assert_eq!(timeout(PATIENCE, server.served).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn http_2_is_spoken_without_tls_too() {
    use http_body_util::{BodyExt as _, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let server = serve(limits(), hello()).await;
    let io = TokioIo::new(server.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("http://a/").body(Empty::<axum::body::Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "127.0.0.1");
    server.stop.stop();
    drop(sender);
    assert_eq!(timeout(PATIENCE, server.served).await.unwrap().unwrap(), 0);
}
