//! An identity provider that answers what the test tells it to, and counts what it is asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::jws;

pub struct Evil {
    pub issuer: String,
    says: Arc<Mutex<Says>>,
}

/// What it says.
pub struct Says {
    issuer: String,
    /// Added to the discovery document, or in the place of what is there.
    pub discovery: Value,
    /// Instead of the discovery document: a redirect to it.
    pub redirects_discovery: bool,
    /// Discovery and keys answer 503.
    pub is_down: bool,
    pub keys: Vec<Value>,
    /// Bytes of blanks behind the keys.
    pub keys_padding: usize,
    /// The token response, but for what is always in it.
    pub token: Value,
    pub userinfo: Value,
    /// Whatever was asked, by path below the issuer.
    pub asked: HashMap<String, usize>,
    /// The last token request: `Authorization` and form.
    pub redeemed: Option<(Option<String>, HashMap<String, String>)>,
}

impl Evil {
    /// Starts one on loopback, whose issuer calls it `host` and ends in `path`.
    pub async fn start(host: &str, path: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{host}:{}{path}", listener.local_addr().unwrap().port());
        let says = Arc::new(Mutex::new(Says {
            issuer: issuer.clone(),
            discovery: json!({}),
            redirects_discovery: false,
            is_down: false,
            keys: vec![jws::RSA.jwk()],
            keys_padding: 0,
            token: json!({}),
            userinfo: json!({}),
            asked: HashMap::new(),
            redeemed: None,
        }));
        let app = Router::new().fallback(answer).with_state(Arc::clone(&says));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { issuer, says }
    }

    pub fn says(&self) -> MutexGuard<'_, Says> {
        self.says.lock().unwrap()
    }

    pub fn asked(&self, path: &str) -> usize {
        self.says().asked.get(path).copied().unwrap_or_default()
    }
}

async fn answer(State(says): State<Arc<Mutex<Says>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut says = says.lock().unwrap();
    let base = url::Url::parse(&says.issuer).unwrap().path().trim_end_matches('/').to_owned();
    let path = parts.uri.path().strip_prefix(&base).unwrap_or_default().to_owned();
    *says.asked.entry(path.clone()).or_default() += 1;
    match path.as_str() {
        "/.well-known/openid-configuration" | "/jwks" if says.is_down => {
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        "/.well-known/openid-configuration" if says.redirects_discovery => {
            let there = format!("{}/elsewhere", says.issuer);
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, there)]).into_response()
        }
        "/.well-known/openid-configuration" | "/elsewhere" => json(&says.discovery_document()),
        "/jwks" => {
            let mut text = json!({ "keys": says.keys }).to_string();
            text.push_str(&" ".repeat(says.keys_padding));
            ([(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        "/token" => {
            let authorization = parts.headers.get(header::AUTHORIZATION);
            let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
            let form = url::form_urlencoded::parse(&body).into_owned().collect();
            says.redeemed = Some((authorization, form));
            let mut token = json!({ "access_token": "access", "token_type": "Bearer", "expires_in": 300 });
            merge(&mut token, &says.token);
            if token.get("error").is_some() {
                (StatusCode::BAD_REQUEST, json(&token)).into_response()
            } else {
                json(&token)
            }
        }
        "/userinfo" => json(&says.userinfo),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Says {
    fn discovery_document(&self) -> Value {
        let issuer = &self.issuer;
        let mut document = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "jwks_uri": format!("{issuer}/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "a-new-one"],
        });
        merge(&mut document, &self.discovery);
        document
    }
}

fn merge(target: &mut Value, more: &Value) {
    for (name, value) in more.as_object().unwrap() {
        target[name] = value.clone();
    }
}

fn json(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
