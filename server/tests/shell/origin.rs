//! Where a change may be begun.

use axum::body::Body;
use http::Request;

use crate::support::{Lines, OWN, ask, routes, shell};

/// Method, path, headers, status.
#[rustfmt::skip]
const CASES: &[(&str, &str, Lines, u16)] = &[
    ("POST", "/change", &[("origin", OWN), ("sec-fetch-site", "same-origin")], 200),
    ("POST", "/change", &[("origin", OWN)], 200),
    ("POST", "/change", &[("sec-fetch-site", "same-origin")], 200),
    ("POST", "/change", &[("sec-fetch-site", "none")], 200),
    ("POST", "/change", &[("origin", OWN), ("sec-fetch-site", "none")], 200),
    // With `Referrer-Policy: no-referrer` browsers send this with a form of ours.
    ("POST", "/change", &[("origin", "null"), ("sec-fetch-site", "same-origin")], 200),
    ("POST", "/change", &[], 403),
    ("POST", "/change", &[("origin", "null")], 403),
    ("POST", "/change", &[("origin", "null"), ("sec-fetch-site", "cross-site")], 403),
    ("POST", "/change", &[("origin", "null"), ("sec-fetch-site", "none")], 403),
    ("POST", "/change", &[("sec-fetch-site", "cross-site")], 403),
    ("POST", "/change", &[("sec-fetch-site", "same-site")], 403),
    ("POST", "/change", &[("sec-fetch-site", "Same-Origin")], 403),
    ("POST", "/change", &[("sec-fetch-site", "")], 403),
    ("POST", "/change", &[("origin", OWN), ("sec-fetch-site", "cross-site")], 403),
    ("POST", "/change", &[("origin", OWN), ("sec-fetch-site", "same-site")], 403),
    ("POST", "/change", &[("origin", "https://evil.example"), ("sec-fetch-site", "same-origin")], 403),
    ("POST", "/change", &[("origin", "https://evil.example"), ("sec-fetch-site", "none")], 403),
    ("POST", "/change", &[("origin", "https://evil.example")], 403),
    ("POST", "/change", &[("origin", "http://keyward.example.com")], 403),
    ("POST", "/change", &[("origin", "https://keyward.example.com:8443")], 403),
    ("POST", "/change", &[("origin", "https://keyward.example.com/")], 403),
    ("POST", "/change", &[("origin", "https://keyward.example.com.evil.example")], 403),
    ("POST", "/change", &[("origin", OWN), ("origin", "https://evil.example")], 403),
    ("POST", "/change", &[("origin", OWN), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], 403),
    ("POST", "/change", &[("referer", "https://keyward.example.com/keys")], 403),
    ("PUT", "/change", &[("origin", "https://evil.example")], 403),
    ("PATCH", "/change", &[], 403),
    ("DELETE", "/change", &[], 403),
    ("BREW", "/change", &[], 403),
    ("GET", "/change", &[("sec-fetch-site", "cross-site")], 200),
    ("HEAD", "/change", &[], 200),
    ("POST", "/scim/okta/v2/Users", &[], 200),
    ("POST", "/scim/okta/v2/Users", &[("origin", "https://evil.example")], 200),
    ("POST", "/scimmer", &[], 403),
    ("POST", "//scim/okta/v2/Users", &[], 403),
];

#[tokio::test]
async fn a_change_is_begun_on_a_page_of_ours() {
    let router = shell(&[]).around(routes());
    for (method, path, headers, status) in CASES {
        let mut request = Request::builder().method(*method).uri(*path);
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        let answer = ask(&router, request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, *status, "{method} {path} {headers:?}: {}", answer.body);
        if *status == 403 {
            assert!(
                answer.body.starts_with("Nothing was changed. ") && answer.body.contains(OWN),
                "{}",
                answer.body
            );
        }
    }
}
