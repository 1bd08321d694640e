//! The contestant that does nothing: an axum handler with the same bytes as a real answer.

use std::path::Path;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use crate::Outcome;

/// Serves until it is killed. A body that is sent is read to its end; its answer is 201.
pub async fn serve(port: u16, body: &Path) -> Outcome {
    let body = Bytes::from(std::fs::read(body)?);
    let answer = move |sent: Bytes| {
        let body = body.clone();
        async move { reply(body, sent.is_empty()) }
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, Router::new().fallback(any(answer))).await?;
    Ok(())
}

fn reply(body: Bytes, is_read: bool) -> Response {
    let status = if is_read { StatusCode::OK } else { StatusCode::CREATED };
    (status, [(header::CONTENT_TYPE, "application/scim+json")], body).into_response()
}
