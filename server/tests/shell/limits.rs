//! How much a request may be.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::{StreamExt as _, stream};
use http::Request;
use server::edge::limits::RequestLimits;

use crate::support::{OWN, ask, get_request, post_request, routes, shell};

fn streamed(chunks: usize) -> Body {
    let chunk = || Ok::<_, std::io::Error>(Bytes::from_static(&[b'a'; 100]));
    Body::from_stream(stream::iter((0..chunks).map(move |_| chunk())))
}

#[tokio::test]
async fn a_body_of_the_limit_passes_and_one_more_does_not() {
    let router = shell(&[]).around(routes());
    for (size, status) in [(0, 200), (1024, 200), (1025, 413)] {
        assert_eq!(ask(&router, post_request("/change", "a".repeat(size))).await.status, status, "{size}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_say_its_length_is_measured() {
    let router = shell(&[]).around(routes());
    assert_eq!(ask(&router, post_request("/change", streamed(10))).await.status, 200);
    assert_eq!(ask(&router, post_request("/change", streamed(11))).await.status, 413);
    let answer = ask(&router, post_request("/swallow", streamed(11))).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (413, "Nothing was done: the body is larger than 1024 bytes.\n")
    );
    assert_eq!(answer.header("connection"), "close");
}

#[tokio::test]
async fn identity_providers_get_an_error_of_scim() {
    let router = shell(&[]).around(routes());
    for body in [Body::from("a".repeat(2000)), streamed(20)] {
        let answer = ask(&router, post_request("/scim/okta/v2/Users", body)).await;
        assert_eq!(answer.header("content-type"), "application/scim+json");
        let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(json["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error");
        assert_eq!(json["status"], "413");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_given_up() {
    let router = shell(&[]).around(routes());
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    assert_eq!(ask(&router, post_request("/swallow", never)).await.status, 408);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_given_up_and_a_steady_one_is_not() {
    let mut shell = shell(&[]);
    shell.limits = RequestLimits::new(1024 * 1024);
    let router = shell.around(routes());
    let paced = |size: usize, wait: Duration, chunks: usize| {
        let chunk = move |()| Ok::<_, std::io::Error>(Bytes::from(vec![b'a'; size]));
        let ticks = stream::iter(0..chunks).then(move |_| tokio::time::sleep(wait));
        Body::from_stream(ticks.map(chunk))
    };
    let trickle = paced(1, Duration::from_secs(5), 1000);
    assert_eq!(ask(&router, post_request("/swallow", trickle)).await.status, 408);
    let steady = paced(4096, Duration::from_secs(2), 100);
    assert_eq!(ask(&router, post_request("/swallow", steady)).await.status, 200);
}

#[tokio::test]
async fn long_addresses_and_wide_headers_are_refused() {
    let router = shell(&[]).around(routes());
    for (length, status) in [(8191, 404), (8192, 414)] {
        assert_eq!(
            ask(&router, get_request(&format!("/{}", "a".repeat(length)))).await.status,
            status,
            "{length}"
        );
    }
    let with = |name: &str| {
        let query = format!("/id?q={}", "a".repeat(8000));
        Request::get(query).header(name, "a".repeat(12_000)).header("x-b", "b").body(Body::empty()).unwrap()
    };
    assert_eq!(ask(&router, with("x-a")).await.status, 200);
    assert_eq!(ask(&router, with(&"x".repeat(5000))).await.status, 431);
}

#[tokio::test]
async fn one_request_too_many_comes_back_later_and_probes_pass() {
    let mut shell = shell(&[]);
    shell.limits = RequestLimits::new(1024).with(Duration::from_secs(1), 0);
    let router = shell.around(routes().route("/healthz", axum::routing::get(async || "ok")));
    let answer = ask(&router, get_request("/id")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "2"));
    assert_eq!(ask(&router, get_request("/healthz")).await.status, 200);
    let scim = Request::get("/scim/okta/v2/Users").header("origin", OWN).body(Body::empty()).unwrap();
    assert!(ask(&router, scim).await.body.contains("\"503\""));
}
