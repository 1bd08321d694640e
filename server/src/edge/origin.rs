//! Changes come from our own pages only.
//!
//! A session travels in a cookie, so another site could have the browser of a signed-in admin send
//! a change. Browsers say where a request was begun: `Sec-Fetch-Site` cannot be set by any page,
//! and `Origin` names the page. Every unsafe method on a route that a cookie opens must carry at
//! least one of them, and none that speaks against it.
//!
//! Our pages say `Referrer-Policy: no-referrer`; with it browsers send `Origin: null` with a form
//! (Fetch 3.2). `null` is therefore accepted together with `Sec-Fetch-Site: same-origin`, which a
//! sandboxed or foreign page cannot have.
//!
//! Routes that no cookie opens are left out: SCIM, the token endpoint, leak reports.

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, StatusCode, header::ORIGIN};

use super::metrics::RouteClass;

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The origin that pages of ours have.
#[derive(Debug, Clone)]
pub struct OwnOrigin(std::sync::Arc<str>);

impl OwnOrigin {
    /// The origin of the public address, without a slash at its end.
    pub fn new(origin: &str) -> Self {
        Self(origin.into())
    }
}

/// Why a change was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Neither header is there.
    Unknown,
    /// The browser says that another site began it.
    OtherSite,
    /// It was begun on a page of another origin.
    OtherOrigin,
}

/// Whether a change with these headers was begun on a page of ours.
///
/// # Errors
/// Why not.
pub fn check(headers: &HeaderMap, own: &OwnOrigin) -> Result<(), Refusal> {
    let site = single(headers, &SEC_FETCH_SITE).map_err(|()| Refusal::OtherSite)?;
    let origin = single(headers, &ORIGIN).map_err(|()| Refusal::OtherOrigin)?;
    let is_own = |origin: &str| origin == &*own.0;
    match (site, origin) {
        (None, None) => Err(Refusal::Unknown),
        (Some("same-origin"), None | Some("null")) | (Some("none"), None) => Ok(()),
        (Some("same-origin" | "none") | None, Some(origin)) if is_own(origin) => Ok(()),
        (Some("same-origin" | "none") | None, Some(_)) => Err(Refusal::OtherOrigin),
        (Some(_), _) => Err(Refusal::OtherSite),
    }
}

/// The value of a header that stands at most once; an error when it stands twice or is not text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(|value| value.to_str().map_err(|_| ())).transpose()?;
    if values.next().is_some() { Err(()) } else { Ok(first) }
}

/// Whether a route is opened by something that a browser does not send by itself.
fn is_exempt(path: &str) -> bool {
    matches!(RouteClass::of(path), RouteClass::Scim | RouteClass::Oauth | RouteClass::Leaks)
}

/// Refuses changes that were not begun on a page of ours.
pub(super) fn refuse(own: &OwnOrigin, request: &Request) -> Option<Response> {
    if request.method().is_safe() || is_exempt(request.uri().path()) {
        return None;
    }
    let refusal = check(request.headers(), own).err()?;
    tracing::warn!(?refusal, "a change was refused: it was not begun on a page of Keyward");
    Some((StatusCode::FORBIDDEN, sentence(refusal, own)).into_response())
}

fn sentence(refusal: Refusal, own: &OwnOrigin) -> String {
    let own = &own.0;
    match refusal {
        Refusal::Unknown => format!(
            "Nothing was changed. The request does not say where it was begun (no Origin and no Sec-Fetch-Site \
             header), so it may come from another site. Open {own} in a current browser and repeat it there.\n"
        ),
        Refusal::OtherSite => format!(
            "Nothing was changed. The request was begun on another site. Open {own} and repeat it there.\n"
        ),
        Refusal::OtherOrigin => format!(
            "Nothing was changed. The request was begun on a page with another address than {own}. Open Keyward \
             under that address and repeat it. If you reached this page under another name, public_url in the \
             configuration says which name counts.\n"
        ),
    }
}
