//! Files of the front end.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue};
use server::edge::assets;

use crate::support::{Answer, answer, ask, get_request};

fn files(name: &str) -> Option<Cow<'static, [u8]>> {
    let file: &[u8] = match name {
        "pkg/abc/keyward.js" => b"plain js",
        "pkg/abc/keyward.js.br" => b"small js",
        "pkg/abc/keyward_bg.wasm" => b"wasm",
        "pkg/abc/keyward.css" => b"css",
        "pkg/abc/geist.woff2" => b"font",
        "pkg/abc/icons.svg" => b"<svg/>",
        _ => return None,
    };
    Some(Cow::Borrowed(file))
}

async fn get(path: &str, accept: &'static str) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert("accept-encoding", HeaderValue::from_static(accept));
    answer(assets::answer(path, &headers, files)).await
}

#[tokio::test]
async fn files_have_their_type_and_are_kept_for_ever() {
    for (name, kind) in [
        ("keyward.js", "text/javascript; charset=utf-8"),
        ("keyward_bg.wasm", "application/wasm"),
        ("keyward.css", "text/css; charset=utf-8"),
        ("geist.woff2", "font/woff2"),
        ("icons.svg", "image/svg+xml"),
    ] {
        let answer = get(&format!("/pkg/abc/{name}"), "identity").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, kind), "{name}");
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(answer.header("vary"), "accept-encoding");
    }
}

#[tokio::test]
async fn brotli_is_sent_to_those_who_take_it() {
    for (accept, body) in [
        ("gzip, deflate, br", "small js"),
        ("br;q=1.0, gzip", "small js"),
        ("BR", "small js"),
        ("gzip", "plain js"),
        ("br;q=0", "plain js"),
        ("br; q=0.0, gzip", "plain js"),
        ("brotli", "plain js"),
        ("", "plain js"),
    ] {
        let answer = get("/pkg/abc/keyward.js", accept).await;
        assert_eq!(answer.body, body, "{accept}");
        assert_eq!(answer.header("content-encoding"), if body == "small js" { "br" } else { "" });
    }
    assert_eq!(get("/pkg/abc/keyward.css", "br").await.body, "css", "there is no compressed twin");
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_not_kept() {
    for path in [
        "/pkg/abc/nothing.js",
        "/pkg/abd/keyward.js",
        "/pkg/abc/keyward.js.br",
        "/pkg/abc/../abc/keyward.js",
        "/pkg/abc//keyward.js",
        "/pkg/abc/",
    ] {
        let answer = get(path, "br").await;
        assert_eq!((answer.status, answer.header("cache-control")), (404, ""), "{path}");
    }
}

#[tokio::test]
async fn crawlers_are_told_to_stay_away() {
    let router = assets::routes();
    assert_eq!(ask(&router, get_request("/robots.txt")).await.body, "User-agent: *\nDisallow: /\n");
    let icon = ask(&router, get_request("/favicon.svg")).await;
    assert_eq!((icon.status, icon.header("content-type")), (200, "image/svg+xml"));
    assert_eq!(ask(&router, get_request("/pkg/none/such.js")).await.status, 404);
}
