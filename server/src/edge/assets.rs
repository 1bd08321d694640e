//! Files of the front end, embedded in the binary.
//!
//! `cargo xtask` writes `target/site/pkg/<hash>/…`, a `.br` beside each file, and the hash into
//! `target/site/bundle.txt`. The hash is in the address, so browsers may keep a file for ever.

use std::borrow::Cow;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY},
};
use rust_embed::RustEmbed;

use super::headers::IMMUTABLE;

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../target/site"]
#[allow_missing = true]
struct Site;

const FAVICON: &str = include_str!("favicon.svg");

/// The hash of the embedded front end; empty when the binary was built without one.
pub fn bundle_hash() -> String {
    Site::get("bundle.txt")
        .map_or_else(String::new, |file| String::from_utf8_lossy(&file.data).trim().to_owned())
}

/// `/pkg/…`, the icon and what crawlers are told.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/pkg/{hash}/{*file}", get(package))
        .route("/favicon.svg", get(favicon))
        .route("/robots.txt", get(async || "User-agent: *\nDisallow: /\n"))
}

async fn package(request: Request) -> Response {
    answer(request.uri().path(), request.headers(), |name| Site::get(name).map(|file| file.data))
}

async fn favicon() -> Response {
    let day = HeaderValue::from_static("public, max-age=86400");
    let svg = HeaderValue::from_static("image/svg+xml");
    ([(CONTENT_TYPE, svg), (CACHE_CONTROL, day)], FAVICON).into_response()
}

/// Answers with a file of `files`, compressed when the client takes brotli.
pub fn answer(
    path: &str,
    headers: &HeaderMap,
    files: impl Fn(&str) -> Option<Cow<'static, [u8]>>,
) -> Response {
    let name = path.trim_start_matches('/');
    // The compressed twin has no address of its own: its type would be wrong.
    let is_plain = !is_compressed_twin(name) && !name.split('/').any(|part| matches!(part, "" | "." | ".."));
    let Some(file) = is_plain.then(|| files(name)).flatten() else {
        return (StatusCode::NOT_FOUND, "There is no such file.\n").into_response();
    };
    let compressed = if takes_brotli(headers) { files(&format!("{name}.br")) } else { None };
    let is_compressed = compressed.is_some();
    let bytes = match compressed.unwrap_or(file) {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type(name));
    headers.insert(CACHE_CONTROL, IMMUTABLE);
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if is_compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    response
}

fn is_compressed_twin(name: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("br"))
}

fn content_type(name: &str) -> HeaderValue {
    let of_extension = mime_guess::from_path(name).first_or_octet_stream();
    let text = match (of_extension.type_().as_str(), of_extension.subtype().as_str()) {
        ("text", subtype) => format!("text/{subtype}; charset=utf-8"),
        _ => of_extension.essence_str().to_owned(),
    };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// Whether `Accept-Encoding` names br, and not with a quality of nought (RFC 9110 12.5.3).
fn takes_brotli(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let is_brotli = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("br"));
            let quality = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse::<f32>().ok());
            is_brotli && quality.is_none_or(|quality| quality > 0.0)
        })
    })
}
