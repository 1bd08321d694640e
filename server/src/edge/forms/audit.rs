//! Exports of the audit log, and proofs of single records. No anchor is set here, or anywhere else over HTTP.

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use domain::admins::Admin;
use futures::stream;
use http::{HeaderValue, StatusCode, header};
use ops::{
    Cx, Error,
    audit::{
        export::{self, Export, Writer},
        proof,
    },
};

use super::{Posted, refused, status};
use crate::edge::pages::Pages;

/// The routes.
pub fn routes() -> Router<Pages> {
    Router::new().route("/audit/export", post(export_records)).route("/audit/{seq}/proof", get(prove))
}

async fn export_records(State(pages): State<Pages>, posted: Posted) -> Response {
    let begun = begin(&posted).await;
    let (export, writer, first) = match begun {
        Ok(begun) => begun,
        Err(error) => return refused(&pages, posted, &error, Some("/audit".to_owned())).await,
    };
    let keyward = pages.keyward();
    let rest = stream::unfold((keyward, writer), |(keyward, mut writer)| async move {
        match export::next(&keyward, &mut writer).await {
            Ok(Some(lines)) => Some((Ok(lines), (keyward, writer))),
            Ok(None) => None,
            Err(error) => {
                // The file has no last line then, and whoever checks it sees that.
                tracing::error!(%error, "an export of the audit log was cut short");
                Some((Err(std::io::Error::other("the export was cut short")), (keyward, writer)))
            }
        }
    });
    let lines = stream::once(async { Ok(first) });
    let body = Body::from_stream(futures::StreamExt::chain(lines, rest));
    let name = format!("audit-{}-{}.jsonl", export.from, export.to);
    attachment("application/jsonl", &name, body)
}

async fn begin(posted: &Posted) -> Result<(Export, Writer, String), Error> {
    let place = |name: &'static str| match posted.values.text(name) {
        text if text.is_empty() => Ok(None),
        text => text.parse().map(Some).map_err(|_| Error::invalid(name, "a whole number was expected")),
    };
    let export = export::begin(&posted.cx, place("first")?, place("last")?).await?;
    let mut writer = Writer::new(export.clone());
    // What cannot begin is refused on its page.
    let first = export::next(posted.cx.shared(), &mut writer).await?.unwrap_or_default();
    Ok((export, writer, first))
}

async fn prove(Path(seq): Path<String>, request: Request) -> Response {
    let Some(cx) = request.extensions().get::<Cx<Admin>>().cloned() else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let proven = match seq.parse() {
        Ok(seq) => proof::prove(&cx, seq).await,
        Err(_) => Err(Error::NotFound("audit record")),
    };
    match proven {
        Ok(Some(proven)) => {
            let name = format!("audit-{seq}.tlog-proof");
            attachment("text/plain; charset=utf-8", &name, Body::from(proven.proof.text()))
        }
        Ok(None) => (StatusCode::CONFLICT, "no checkpoint is over it yet\n").into_response(),
        Err(error) => (status(&error), format!("{error}\n")).into_response(),
    }
}

fn attachment(media_type: &'static str, name: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
