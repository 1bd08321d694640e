//! Headers of every answer.

use axum::body::Body;
use http::Request;

use crate::support::{Answer, ask, get_request, post_request, routes, shell};

fn check(answer: &Answer) {
    let csp = answer.header("content-security-policy");
    let nonce = csp.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    assert_eq!(nonce.len(), 22, "{csp}");
    assert_eq!(
        csp.replace(nonce, "N"),
        "default-src 'none'; script-src 'self' 'nonce-N' 'wasm-unsafe-eval'; style-src 'self'; \
         connect-src 'self'; img-src 'self' data:; font-src 'self'; form-action 'self'; base-uri 'none'; \
         object-src 'none'; frame-ancestors 'none'"
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("strict-transport-security", "max-age=31536000; includeSubDomains"),
        ("server", ""),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert!(answer.header("permissions-policy").contains("camera=()"));
    assert!(answer.header("x-request-id").starts_with("req_"));
}

#[tokio::test]
async fn every_answer_has_them_errors_too() {
    let router = shell(&[]).around(routes());
    let long = format!("/{}", "a".repeat(9000));
    let wide = Request::get("/id").header("x-wide", "a".repeat(17_000)).body(Body::empty()).unwrap();
    let foreign =
        Request::post("/change").header("origin", "https://evil.example").body(Body::empty()).unwrap();
    for (request, status) in [
        (get_request("/id"), 200),
        (get_request("/nowhere"), 404),
        (post_request("/id", ""), 405),
        (get_request("/defect"), 500),
        (get_request(&long), 414),
        (wide, 431),
        (foreign, 403),
        (post_request("/change", "a".repeat(2000)), 413),
        (post_request("/scim/okta/v2/Users", "a".repeat(2000)), 413),
    ] {
        let path = request.uri().path().chars().take(40).collect::<String>();
        let answer = ask(&router, request).await;
        assert_eq!(answer.status, status, "{path}");
        check(&answer);
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn an_answer_that_says_how_long_it_may_be_kept_is_left_alone() {
    let answer = ask(&shell(&[]).around(routes()), get_request("/kept")).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=60");
    check(&answer);
}

#[tokio::test]
async fn the_nonce_of_the_page_is_that_of_the_header_and_never_the_same_twice() {
    let router = shell(&[]).around(routes());
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answer = ask(&router, get_request("/nonce")).await;
        assert!(answer.header("content-security-policy").contains(&format!("'nonce-{}'", answer.body)));
        assert!(!seen.contains(&answer.body));
        seen.push(answer.body);
    }
}

#[test]
fn leptos_marks_its_scripts_with_the_nonce_of_the_header() {
    use leptos::prelude::{Owner, provide_context};
    use server::edge::headers::{CspNonce, provide_nonce};
    let owner = Owner::new();
    owner.with(|| {
        let mut request = get_request("/").into_parts().0;
        request.extensions.insert(CspNonce("the-nonce".to_owned()));
        provide_context(request);
        // `leptos_axum` makes one of its own before it runs the additional context.
        leptos::nonce::provide_nonce();
        provide_nonce();
        assert_eq!(leptos::nonce::use_nonce().unwrap().to_string(), "the-nonce");
    });
}
