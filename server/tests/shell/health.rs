//! Probes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::Router;
use server::edge::health::{Probe, Readiness, routes};

use crate::support::{ask, get_request};

fn probed() -> (Router, Readiness, Arc<AtomicBool>) {
    let up = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&up);
    let probe: Probe = Arc::new(move || {
        let is_up = seen.load(Ordering::Relaxed);
        Box::pin(async move { if is_up { Ok(()) } else { Err("the database is not available".to_owned()) } })
    });
    let readiness = Readiness::new(probe);
    (routes(readiness.clone()), readiness, up)
}

#[tokio::test]
async fn ready_means_that_the_database_answers_and_nobody_stops() {
    let (router, readiness, up) = probed();
    let answer = ask(&router, get_request("/readyz")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ready\n"));
    up.store(false, Ordering::Relaxed);
    let answer = ask(&router, get_request("/readyz")).await;
    assert_eq!((answer.status, answer.body.as_str()), (503, "not ready: the database is not available\n"));
    up.store(true, Ordering::Relaxed);
    readiness.drain();
    let answer = ask(&router, get_request("/readyz?verbose")).await;
    assert_eq!(answer.status, 503);
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(json, serde_json::json!({ "ready": false, "stopping": true, "database": "ok" }));
}

#[tokio::test]
async fn the_process_lives_whatever_the_database_does() {
    let (router, readiness, up) = probed();
    up.store(false, Ordering::Relaxed);
    readiness.drain();
    assert_eq!(ask(&router, get_request("/healthz")).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_hangs_is_not_ready() {
    let readiness = Readiness::new(Arc::new(|| Box::pin(std::future::pending())));
    let answer = ask(&routes(readiness), get_request("/readyz")).await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("within 2 s"), "{}", answer.body);
}
