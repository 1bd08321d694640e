//! Exports: `GET /exports/{usage,audit,findings}?format=csv|jsonl|ocsf` and the filter of the page, as a file
//! that is made while it is sent.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Extension, Path, RawQuery},
    response::{IntoResponse, Response},
    routing::get,
};
use domain::{
    KeyId,
    admins::Admin,
    audit::{Action, Outcome},
    federations::Slug,
    findings::{Rule, Severity},
};
use http::header;
use ops::{
    Cx, Error,
    audit::AuditFilter,
    compliance::evidence::Form,
    exports::{self, Export, What},
    findings::Wanted,
};

use super::{
    api_usage::{failed, own, parameters},
    pages::Pages,
};

/// The route; it is behind the guard of [`Pages::routes`].
pub fn routes() -> Router<Pages> {
    Router::new().route("/exports/{what}", get(export)).route("/exports/evidence", get(evidence))
}

/// The evidence for a period, as a file that is made before it is sent.
async fn evidence(Extension(cx): Extension<Cx<Admin>>, RawQuery(query): RawQuery) -> Response {
    let pairs: Pairs =
        url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    let unknown = pairs.iter().find(|(name, _)| name != "period" && name != "format");
    let period = own(&pairs, "period").unwrap_or_default();
    let made = match (unknown, Form::parse(own(&pairs, "format").unwrap_or("pdf"))) {
        (Some((name, _)), _) => Err(Error::invalid(name, "there is no such parameter")),
        (None, Err(error)) => Err(error),
        (None, Ok(form)) => ops::compliance::evidence::file(&cx, period, form).await.map(|file| (file, form)),
    };
    let (file, form) = match made {
        Ok(made) => made,
        Err(error) => return failed(&error),
    };
    let name = format!("attachment; filename=\"keyward-evidence-{period}.{}\"", form.as_str());
    let headers = [
        (header::CONTENT_TYPE, form.media_type().to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, file).into_response()
}

async fn export(
    Extension(cx): Extension<Cx<Admin>>,
    Path(what): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let (mut export, format) = match begin(&cx, &what, query.as_deref()).await {
        Ok(begun) => begun,
        Err(error) => return failed(&error),
    };
    // The first part, before the answer is one of success.
    let first = match export.next().await {
        Ok(first) => first,
        Err(error) => return failed(&error),
    };
    let rest = futures::stream::unfold(Some(export), async |export| {
        let mut export = export?;
        match export.next().await {
            Ok(Some(bytes)) => Some((Ok(Bytes::from(bytes)), Some(export))),
            Ok(None) => None,
            Err(error) => {
                tracing::error!(%error, "an export was cut off");
                Some((Err(std::io::Error::other("the export was cut off")), None))
            }
        }
    });
    let first = futures::stream::iter(first.map(|bytes| Ok(Bytes::from(bytes))));
    let body = Body::from_stream(futures::StreamExt::chain(first, rest));
    let name = format!("attachment; filename=\"keyward-{what}.{}\"", format.ending());
    let headers = [
        (header::CONTENT_TYPE, format.media_type().to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, body).into_response()
}

async fn begin(
    cx: &Cx<Admin>,
    what: &str,
    query: Option<&str>,
) -> Result<(Export, domain::exports::Format), Error> {
    let (what, format) = match what {
        "usage" => {
            let (filter, mine) = parameters(query, &["format"])?;
            (What::Usage(filter), own(&mine, "format").unwrap_or("csv").to_owned())
        }
        "audit" => {
            let names = ["federation", "key", "actor", "action", "outcome", "from", "to", "format"];
            let (dates, mine) = mine_of(query, &names)?;
            (What::Audit(audit(&mine, &dates)?), own(&mine, "format").unwrap_or("csv").to_owned())
        }
        "findings" => {
            let names = ["federation", "rule", "severity", "state", "format"];
            let (_, mine) = mine_of(query, &names)?;
            (What::Findings(findings(&mine)?), own(&mine, "format").unwrap_or("csv").to_owned())
        }
        _ => return Err(Error::NotFound("export")),
    };
    let format = exports::format(&format)?;
    Ok((exports::begin(cx, what, format).await?, format))
}

type Pairs = Vec<(String, String)>;

/// The parameters of another page, and those of them that are dates, read as those of usage are.
fn mine_of(
    query: Option<&str>,
    names: &[&str],
) -> Result<(domain::usage::filter::UsageFilter, Pairs), Error> {
    let (others, mine) = parameters(query, names)?;
    // What narrows usage and nothing here would be taken for a filter, and the file hold everything.
    if let Some((name, _)) = others.parameters().into_iter().next() {
        return Err(Error::invalid(name, "there is no such parameter"));
    }
    let dates = mine.iter().filter(|(name, _)| name == "from" || name == "to");
    let dates = domain::usage::filter::UsageFilter::parse(
        dates.map(|(name, value)| (name.as_str(), value.as_str())),
    )?;
    Ok((dates, mine))
}

fn read<T>(
    mine: &[(String, String)],
    name: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Error> {
    let Some(text) = own(mine, name) else { return Ok(None) };
    let value = parse(text.trim());
    value.map(Some).ok_or_else(|| Error::invalid(name, format!("{text:?} is none that is known")))
}

fn audit(
    mine: &[(String, String)],
    dates: &domain::usage::filter::UsageFilter,
) -> Result<AuditFilter, Error> {
    Ok(AuditFilter {
        federation: read(mine, "federation", |text| Slug::parse(text).ok())?,
        key: read(mine, "key", KeyId::parse)?,
        actor: own(mine, "actor").map(str::to_owned),
        action: read(mine, "action", Action::parse)?,
        outcome: read(mine, "outcome", Outcome::parse)?,
        from_ms: dates.from_ms,
        to_ms: dates.to_ms,
    })
}

fn findings(mine: &[(String, String)]) -> Result<Wanted, Error> {
    let state =
        read(mine, "state", |text| ["open", "closed", "muted"].iter().position(|state| *state == text))?;
    Ok(Wanted {
        least: read(mine, "severity", Severity::parse)?,
        rule: read(mine, "rule", Rule::parse)?,
        federation: read(mine, "federation", |text| Slug::parse(text).ok())?,
        key_id: None,
        closed: state == Some(1),
        muted: state == Some(2),
    })
}
