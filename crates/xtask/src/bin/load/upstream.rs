//! The contestant that is an upstream: users in memory, answered as they were sent, and nothing else.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::Outcome;

type Users = Arc<RwLock<HashMap<String, Bytes>>>;

/// Serves until it is killed. The id of a user is its `externalId`.
///
/// # Errors
/// When the port is taken.
pub async fn serve(port: u16) -> Outcome {
    let router = Router::new()
        .route("/v2/Users", post(create))
        .route("/v2/Users/{id}", get(read))
        .with_state(Users::default());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, router).await?;
    Ok(())
}

async fn create(State(users): State<Users>, sent: Bytes) -> Response {
    let Ok(Value::Object(mut user)) = serde_json::from_slice(&sent) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let id = user.get("externalId").and_then(Value::as_str).unwrap_or_default().to_owned();
    user.insert("id".to_owned(), json!(id));
    user.insert("meta".to_owned(), json!({ "resourceType": "User", "version": "W/\"1\"" }));
    let body = Bytes::from(Value::Object(user).to_string());
    users.write().unwrap_or_else(PoisonError::into_inner).insert(id, body.clone());
    (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/scim+json")], body).into_response()
}

async fn read(State(users): State<Users>, Path(id): Path<String>) -> Response {
    let found = users.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
    match found {
        Some(body) => ([(header::CONTENT_TYPE, "application/scim+json")], body).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
