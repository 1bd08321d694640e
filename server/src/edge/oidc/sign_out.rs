//! Signing out: here at once, then at the provider (OpenID Connect RP-Initiated Logout 1.0).

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use ops::RequestInfo;
use tower_sessions::Session;
use url::Url;

use super::{OidcEdge, failure, see_other, status};
use crate::edge::session;

/// The longest ID token that goes into an address as a hint; servers commonly refuse 8 KiB.
const HINT_LIMIT: usize = 4096;

/// Ends the session on the server, then leads to the provider's own sign-out.
///
/// Not by a redirect: `form-action 'self'` holds for where a form's answer redirects to as well, and
/// the browser would stop. The page goes on by itself, and has a link for when it does not.
pub async fn sign_out(
    State(edge): State<OidcEdge>,
    session: Session,
    Extension(info): Extension<RequestInfo>,
) -> Response {
    let now_ms = info.arrived_ms;
    let hint = session::id_token(&session).await;
    if let Some(admin) = session::current_admin(&session, now_ms).await {
        let cx = session::admin_cx(Arc::clone(&edge.0.keyward), admin, info);
        if let Err(error) = ops::admins::sign_out(&cx).await {
            tracing::error!(%error, "a sign-out cannot be recorded");
            return failure(status(&error));
        }
    }
    if let Err(error) = session.flush().await {
        tracing::error!(%error, "a session cannot be ended");
        return failure(StatusCode::SERVICE_UNAVAILABLE);
    }
    match (hint, edge.0.provider.known(now_ms).await) {
        (Some(hint), Ok(known)) => match known.end_session() {
            Some(endpoint) => page(&edge, &edge.end_session_url(endpoint, &hint)),
            None => see_other("/sign-in"),
        },
        (Some(_) | None, Ok(_) | Err(_)) => see_other("/sign-in"),
    }
}

impl OidcEdge {
    fn end_session_url(&self, endpoint: &Url, hint: &str) -> Url {
        let settings = &self.0.settings;
        let mut url = endpoint.clone();
        url.query_pairs_mut()
            .append_pair("client_id", &settings.client_id)
            .append_pair("post_logout_redirect_uri", settings.post_logout_redirect.as_str());
        if hint.len() <= HINT_LIMIT {
            url.query_pairs_mut().append_pair("id_token_hint", hint);
        }
        url
    }
}

fn page(edge: &OidcEdge, url: &Url) -> Response {
    let url = escape(url.as_str());
    let provider = escape(edge.provider_name());
    let html = format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={url}">
<title>Signed out · Keyward</title>
</head>
<body>
<main>
<h1>You are signed out of Keyward</h1>
<p><a href="{url}">Sign out of {provider} as well</a></p>
</main>
</body>
</html>
"#
    );
    ([(header::CACHE_CONTROL, "no-store"), (header::REFERRER_POLICY, "no-referrer")], Html(html))
        .into_response()
}

/// Text as it stands in HTML text and in quoted attributes.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut html, character| {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
        html
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_stays_text() {
        assert_eq!(escape(r#"<a href="x">&'"#), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }
}
