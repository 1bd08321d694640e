//! What the server brings to a page: who is signed in, and the few values of this request.
//!
//! The server provides, as Leptos contexts, before it renders: [`PageContext`] always,
//! `ops::Cx<Admin>` when somebody is signed in, and `forms::Submitted` or `forms::ShownKey` when a
//! form is answered by a page.

use domain::{
    Millis,
    admins::{Admin, Role, is_recent},
};
use http::StatusCode;
use leptos::prelude::*;
use leptos_axum::ResponseOptions;
use leptos_router::hooks::{use_params_map, use_query_map};
use ops::Cx;

use crate::error::{UiError, UiErrorKind};

/// Values of this request and of this installation.
#[derive(Debug, Clone, Default)]
pub struct PageContext {
    /// A fresh idempotency token for the forms of this page.
    pub token: String,
    /// The hash that names the folder of the bundle: `/pkg/{bundle}/`.
    pub bundle: String,
    /// The version of Keyward.
    pub version: &'static str,
    /// The name on the sign-in button, such as the host of the issuer.
    pub provider_name: String,
    /// On the sign-in page: what went wrong, in one sentence, beside the code in `?error=`.
    pub signed_out_error: Option<String>,
}

/// When the person last proved at the provider who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvenAt(pub Millis);

/// Whether that was a moment ago, as approving wants it.
pub fn is_proven_recently() -> bool {
    use_context::<ProvenAt>().is_some_and(|ProvenAt(at_ms)| is_recent(at_ms, now_ms()))
}

/// The context of the person who is signed in.
///
/// # Errors
/// [`UiErrorKind::SignedOut`] when nobody is.
pub fn admin_cx() -> Result<Cx<Admin>, UiError> {
    use_context::<Cx<Admin>>().ok_or_else(|| UiError::new(UiErrorKind::SignedOut, "You are not signed in."))
}

/// Why the person may not issue any key; `None` when they may.
pub fn issuing_blocked() -> Option<String> {
    let may = use_context::<Cx<Admin>>().is_some_and(|cx| match &cx.actor().role {
        Role::Admin => true,
        Role::Operator(own) => !own.is_empty(),
        Role::Manager => false,
    });
    (!may).then(|| "Needs the role admin or operator.".to_owned())
}

/// The values of this request; empty where nobody provided any, as in route listing.
pub fn page() -> PageContext {
    use_context().unwrap_or_default()
}

/// The time of this request.
pub fn now_ms() -> Millis {
    use_context::<Cx<Admin>>().map_or(0, |cx| cx.now_ms())
}

/// The id of this request, when somebody is signed in.
pub fn request_id() -> Option<String> {
    use_context::<Cx<Admin>>().map(|cx| cx.request().id.to_string())
}

/// A value of the query string; an empty one counts as absent, and so does one with U+0000, which
/// no database takes.
pub fn query(name: &str) -> Option<String> {
    let is_value = |value: &String| !value.trim().is_empty() && !value.contains('\0');
    use_query_map().with_untracked(|map| map.get(name)).filter(is_value)
}

/// A value of the path.
pub fn param(name: &str) -> String {
    use_params_map().with_untracked(|map| map.get(name)).unwrap_or_default()
}

/// Sets the status of the answer.
pub fn set_status(status: u16) {
    if let (Some(response), Ok(status)) = (use_context::<ResponseOptions>(), StatusCode::from_u16(status)) {
        response.set_status(status);
    }
}

/// Sets the status of a server function's answer from what went wrong.
pub fn answer_with(error: &UiError) {
    set_status(error.kind.status());
}
