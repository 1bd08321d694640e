//! Usage records by API: `GET /api/usage`, for the session of a signed-in person. JSON; the parameters of
//! the page, and a cursor. What cannot be read is named by its parameter.

use axum::{
    Router,
    extract::{Extension, RawQuery},
    response::{IntoResponse, Response},
    routing::get,
};
use domain::{admins::Admin, exports::usage_json, usage::filter::UsageFilter};
use http::{StatusCode, header};
use ops::{Cx, Error, Kind, usage::search};
use serde_json::json;

use super::pages::Pages;

/// How many records an answer has when nothing else is said.
const LIMIT: usize = 100;

/// The route; it is behind the guard of [`Pages::routes`].
pub fn routes() -> Router<Pages> {
    Router::new().route("/api/usage", get(usage))
}

/// The parameters of an address, each once; `own` are those that are not of the filter.
///
/// # Errors
/// Invalid on a parameter that is unknown, or stands twice.
pub(super) fn parameters(
    query: Option<&str>,
    own: &[&str],
) -> Result<(UsageFilter, Vec<(String, String)>), Error> {
    let pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    for (at, (name, value)) in pairs.iter().enumerate() {
        if pairs.iter().take(at).any(|(before, _)| before == name) {
            return Err(Error::invalid(name, "it stands in the address twice"));
        }
        if value.contains('\0') {
            return Err(Error::invalid(name, "it holds U+0000"));
        }
    }
    let (mine, filtered): (Vec<_>, Vec<_>) =
        pairs.into_iter().partition(|(name, _)| own.contains(&name.as_str()));
    let filter = UsageFilter::parse(filtered.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    Ok((filter, mine))
}

/// One of the parameters that are not of the filter.
pub(super) fn own<'a>(mine: &'a [(String, String)], name: &str) -> Option<&'a str> {
    mine.iter()
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

/// A failure as JSON: `{"error": {"parameter": …, "message": …}}`.
pub(super) fn failed(error: &Error) -> Response {
    let status = match error.kind() {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict | Kind::Stale => StatusCode::CONFLICT,
        Kind::Throttled => StatusCode::TOO_MANY_REQUESTS,
        Kind::Held | Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let (parameter, message) = match error {
        Error::Invalid(faults) => {
            let fault = faults.first();
            (
                fault.map(|fault| fault.field.clone()),
                fault.map(|fault| fault.message.clone()).unwrap_or_default(),
            )
        }
        Error::Unavailable(_) | Error::Internal(_) => {
            tracing::error!(?error, "an answer failed");
            (None, "Nothing was changed. Try again in a few seconds.".to_owned())
        }
        Error::Unauthenticated(_)
        | Error::Forbidden(_)
        | Error::Protected(_)
        | Error::NotFound(_)
        | Error::Conflict(_)
        | Error::Stale(_)
        | Error::Held { .. }
        | Error::Throttled { .. }
        | Error::Upstream { .. }
        | Error::Scim(_) => (None, error.to_string()),
    };
    let body = json!({ "error": { "parameter": parameter, "message": message } });
    (status, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response()
}

async fn usage(Extension(cx): Extension<Cx<Admin>>, RawQuery(query): RawQuery) -> Response {
    match answer(&cx, query.as_deref()).await {
        Ok(body) => ([(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response(),
        Err(error) => failed(&error),
    }
}

async fn answer(cx: &Cx<Admin>, query: Option<&str>) -> Result<serde_json::Value, Error> {
    let (filter, mine) = parameters(query, &["cursor", "limit"])?;
    let limit = match own(&mine, "limit") {
        None => LIMIT,
        Some(text) => {
            let limit = text.parse().ok().filter(|limit| (1..=search::MOST).contains(limit));
            let expected = format!("{text:?} is not a number from 1 to {}", search::MOST);
            limit.ok_or_else(|| Error::invalid("limit", expected))?
        }
    };
    let page = search(cx, &filter, own(&mine, "cursor"), limit).await?;
    let names = search::names(cx).await?;
    let records: Vec<_> = page
        .records
        .iter()
        .map(|record| {
            let name = record.federation_id.as_ref().and_then(|id| names.get(id));
            usage_json(record, name.map(String::as_str))
        })
        .collect();
    // stopped_early: it looked at as much as one answer may; the cursor goes on from there.
    Ok(json!({ "records": records, "next": page.next, "stopped_early": page.is_cut }))
}
