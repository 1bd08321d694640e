//! What the shell knows of a request.

use std::net::IpAddr;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use server::{
    config::TrustedProxies,
    edge::{accept::Peer, metrics::RouteClass, request::source},
};

use crate::support::{Lines, ask, get_request, routes, shell};

/// The peer, the headers, and where the request came from. 10.0.0.0/8 and fd00::/8 are trusted.
#[rustfmt::skip]
const SOURCES: &[(&str, Lines, &str)] = &[
    ("192.0.2.1", &[], "192.0.2.1"),
    ("192.0.2.1", &[("x-forwarded-for", "198.51.100.7")], "192.0.2.1"),
    ("10.0.0.1", &[], "10.0.0.1"),
    ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7")], "198.51.100.7"),
    ("10.0.0.1", &[("x-forwarded-for", "203.0.113.9, 198.51.100.7")], "198.51.100.7"),
    ("10.0.0.1", &[("x-forwarded-for", "203.0.113.9, 198.51.100.7, 10.0.0.2")], "198.51.100.7"),
    ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7"), ("x-forwarded-for", "10.0.0.2")], "198.51.100.7"),
    ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7"), ("x-forwarded-for", "203.0.113.9")], "203.0.113.9"),
    ("10.0.0.1", &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
    ("::ffff:10.0.0.1", &[("x-forwarded-for", "198.51.100.7")], "198.51.100.7"),
    ("10.0.0.1", &[("x-forwarded-for", "::ffff:198.51.100.7")], "198.51.100.7"),
    ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7, ::ffff:10.0.0.2")], "198.51.100.7"),
    ("fd00::1", &[("x-forwarded-for", "2001:db8::7")], "2001:db8::7"),
    ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7:5321")], "198.51.100.7"),
    ("10.0.0.1", &[("x-forwarded-for", "[2001:db8::7]:5321")], "2001:db8::7"),
    ("10.0.0.1", &[("x-forwarded-for", "fe80::1%eth0")], "10.0.0.1"),
    ("10.0.0.1", &[("x-forwarded-for", "unknown")], "10.0.0.1"),
    ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7, ")], "10.0.0.1"),
    ("10.0.0.1", &[("x-forwarded-for", "198.51.100.7, nonsense, 10.0.0.2")], "10.0.0.1"),
    ("10.0.0.1", &[("x-forwarded-for", "nonsense, 198.51.100.7")], "198.51.100.7"),
    ("10.0.0.1", &[("x-forwarded-for", "198.51.100.300")], "10.0.0.1"),
    ("10.0.0.1", &[("x-forwarded-for", "\u{e9}")], "10.0.0.1"),
    ("10.0.0.1", &[("x-real-ip", "198.51.100.7")], "10.0.0.1"),
    ("10.0.0.1", &[("forwarded", "for=198.51.100.7")], "10.0.0.1"),
];

#[test]
fn the_source_is_what_trusted_proxies_say_and_nobody_else() {
    let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
    let proxies = TrustedProxies::new(networks.to_vec());
    for (peer, lines, expected) in SOURCES {
        let mut headers = HeaderMap::new();
        for (name, value) in *lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        let found = source(peer.parse::<IpAddr>().unwrap(), &headers, &proxies);
        assert_eq!(found.to_string(), *expected, "{peer} {lines:?}");
    }
}

#[tokio::test]
async fn operations_learn_the_source() {
    let router = shell(&["127.0.0.0/8"]).around(routes());
    let mut request = get_request("/source");
    request.headers_mut().insert("x-forwarded-for", HeaderValue::from_static("198.51.100.7"));
    request.extensions_mut().insert(Peer("127.0.0.1:4000".parse().unwrap()));
    assert_eq!(ask(&router, request).await.body, "198.51.100.7");
    assert_eq!(ask(&router, get_request("/source")).await.body, "nowhere");
}

#[tokio::test]
async fn the_id_in_the_answer_is_the_one_of_the_records() {
    let router = shell(&[]).around(routes());
    let mut request = get_request("/id");
    request.headers_mut().insert("x-request-id", HeaderValue::from_static("of-the-client"));
    let answer = ask(&router, request).await;
    assert_eq!(answer.header("x-request-id"), answer.body);
    assert!(domain::RequestId::parse(&answer.body).is_some(), "{}", answer.body);
    assert_ne!(ask(&router, get_request("/id")).await.body, answer.body);
}

#[tokio::test]
async fn user_agents_are_cleaned() {
    let router = shell(&[]).around(routes());
    let long = [b"a\tb\xe9".to_vec(), vec![b'c'; 5000]].concat();
    let agent = HeaderValue::from_bytes(&long).unwrap();
    let request = Request::get("/user-agent").header("user-agent", agent).body(Body::empty()).unwrap();
    let answer = ask(&router, request).await;
    assert!(answer.body.starts_with("ab\u{fffd}ccc"), "{}", answer.body);
    assert_eq!(answer.body.chars().count(), 200);
}

#[tokio::test]
async fn a_defect_shows_its_id_and_nothing_else() {
    let answer = ask(&shell(&[]).around(routes()), get_request("/defect")).await;
    assert_eq!(answer.status, 500);
    let id = answer.header("x-request-id");
    assert_eq!(
        answer.body,
        format!("Keyward has a defect and could not answer. It is in the log as {id}.\n")
    );
}

#[test]
fn figures_have_few_labels() {
    for (path, class) in [
        ("/", "page"),
        ("/federations/okta", "page"),
        ("/scim/okta/v2/Users/1", "scim"),
        ("/scimmer", "page"),
        ("/auth/callback", "auth"),
        ("/pkg/abc/keyward.js", "asset"),
        ("/readyz", "health"),
    ] {
        assert_eq!(RouteClass::of(path).as_str(), class, "{path}");
    }
}

#[tokio::test]
async fn figures_are_counted_and_rendered() {
    use server::edge::metrics::{Metrics, router};
    let metrics = Metrics::install().unwrap();
    assert!(Metrics::install().is_err());
    let shell = shell(&[]);
    ask(&shell.around(routes()), get_request("/id")).await;
    metrics.upkeep();
    let answer = ask(&router(metrics, shell.headers), get_request("/metrics")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    for line in [
        "keyward_requests_total{route=\"page\",status=\"2xx\"}",
        "keyward_request_seconds_bucket{route=\"page\"",
    ] {
        assert!(answer.body.contains(line), "{line} is not in {}", answer.body);
    }
}
