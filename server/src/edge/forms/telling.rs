//! The forms of findings, cases, channels, compromises and hand-overs.

use axum::{
    Router,
    extract::{Path, State},
    response::Response,
    routing::post,
};
use domain::{CaseId, ChannelId, FindingId, federations::Slug};
use http::{HeaderValue, header};
use leptos::prelude::provide_context;
use ops::{Error, cases, channels, compromise, findings, hand_offs};

use app::forms::{ShownOnce, telling as fields};

use super::{Posted, as_get, key_of, refused, see_other, settle, show_secret, slug_of};
use crate::edge::pages::{Pages, page};

/// The routes.
pub fn routes() -> Router<Pages> {
    Router::new()
        .route("/findings/close", post(close_finding))
        .route("/cases/{id}/note", post(note))
        .route("/cases/{id}/close", post(close_case))
        .route("/cases/{id}/revoke", post(revoke_old_key))
        .route("/settings/channels", post(add_channel).get(page))
        .route("/settings/channels/{id}/test", post(test_channel))
        .route("/settings/channels/{id}/remove", post(remove_channel))
        .route("/keys/{id}/compromise", post(report).get(page))
        .route("/keys/{id}/hand-over", post(make_link).get(page))
        .route("/federations/{slug}/canary", post(issue_canary).get(page))
        .route("/hand-over/{token}", post(open_link).get(page))
}

async fn close_finding(State(pages): State<Pages>, posted: Posted) -> Response {
    let (slug, id) = (posted.values.text("federation"), posted.values.text("finding"));
    let slug = if slug.is_empty() { Ok(None) } else { Slug::parse(&slug).map(Some) };
    let made = match (slug, FindingId::parse(&id)) {
        (Ok(slug), Some(id)) => {
            findings::close(&posted.cx, slug.as_ref(), &id, &posted.values.text("reason")).await
        }
        (Err(_), _) | (_, None) => Err(Error::NotFound("finding")),
    };
    settle(&pages, posted, made, Some("/findings".to_owned()), |_| "/findings".to_owned()).await
}

fn case_of(text: &str) -> Result<CaseId, Error> {
    CaseId::parse(text).ok_or(Error::NotFound("case"))
}

async fn note(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match case_of(&id) {
        Ok(id) => cases::note(&posted.cx, &id, &posted.values.text("note")).await,
        Err(error) => Err(error),
    };
    let path = format!("/cases/{id}");
    settle(&pages, posted, made, Some(path.clone()), |()| path).await
}

async fn close_case(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match (case_of(&id), posted.values.text("version").parse()) {
        (Ok(id), Ok(version)) => cases::close(&posted.cx, &id, version, &posted.values.text("summary")).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(_)) => Err(Error::invalid("version", "it is not a whole number")),
    };
    let path = format!("/cases/{id}");
    settle(&pages, posted, made, Some(path.clone()), |_| path).await
}

/// The key of a case, held so far, ends for good.
async fn revoke_old_key(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match case_of(&id) {
        Ok(id) => cases::revoke_key(&posted.cx, &id).await,
        Err(error) => Err(error),
    };
    let path = format!("/cases/{id}");
    settle(&pages, posted, made, Some(path.clone()), |_| path).await
}

async fn add_channel(State(pages): State<Pages>, posted: Posted) -> Response {
    match channels::add(&posted.cx, fields::new_channel(&posted.values)).await {
        Ok(channels::AddedChannel { channel, secret: Some(secret) }) => {
            let lead =
                format!("Each message of {} is signed with it. Give it to the receiver.", channel.name);
            let shown = ShownOnce::new("The signing secret", lead, secret, "/settings/channels");
            show_once(&pages, posted, shown).await
        }
        Ok(_) => see_other("/settings/channels"),
        Err(error) => refused(&pages, posted, &error, None).await,
    }
}

fn channel_of(text: &str) -> Result<ChannelId, Error> {
    ChannelId::parse(text).ok_or(Error::NotFound("channel"))
}

async fn test_channel(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match channel_of(&id) {
        Ok(id) => channels::test(&posted.cx, &id).await,
        Err(error) => Err(error),
    };
    let path = "/settings/channels".to_owned();
    settle(&pages, posted, made, Some(path.clone()), |_| path).await
}

async fn remove_channel(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match channel_of(&id) {
        Ok(id) => channels::remove(&posted.cx, &id).await,
        Err(error) => Err(error),
    };
    let path = "/settings/channels".to_owned();
    settle(&pages, posted, made, Some(path.clone()), |()| path).await
}

async fn report(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match (key_of(&id), fields::compromise(&posted.values)) {
        (Ok(id), Ok(report)) => compromise::report(&posted.cx, &id, report).await,
        (Err(error), _) => Err(error),
        (Ok(_), Err(faults)) => Err(faults.into()),
    };
    settle(&pages, posted, made, None, |case| format!("/cases/{}", case.id)).await
}

async fn make_link(State(pages): State<Pages>, Path(id): Path<String>, posted: Posted) -> Response {
    let made = match key_of(&id) {
        Ok(id) => hand_offs::make_for(&posted.cx, &id, &posted.values.text("person")).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(made) => {
            let how = if made.is_mailed {
                "It is on its way by mail as well."
            } else {
                "No mail is set up, so pass it on yourself."
            };
            let person = &made.hand_off.person;
            let lead = format!(
                "It opens once, within 24 hours, for whoever signs in as {person}, and for nobody else. {how}"
            );
            let shown = ShownOnce::new("The hand-over link", lead, made.link, &format!("/keys/{id}"));
            show_once(&pages, posted, shown).await
        }
        Err(error) => refused(&pages, posted, &error, None).await,
    }
}

async fn issue_canary(State(pages): State<Pages>, Path(slug): Path<String>, posted: Posted) -> Response {
    let made = match slug_of(&slug) {
        Ok(federation) => {
            let new = compromise::canary::NewCanary {
                federation,
                name: posted.values.text("name"),
                place: posted.values.text("place"),
            };
            compromise::canary::issue(&posted.cx, new).await
        }
        Err(error) => Err(error),
    };
    match made {
        Ok(issued) => {
            let lead = format!(
                "Lay {} out where only somebody looks who should not. It opens nothing; its first use opens a case.",
                issued.key.name
            );
            let back = format!("/keys/{}", issued.key.id);
            match issued.secret {
                Some(secret) => {
                    show_once(&pages, posted, ShownOnce::new("The canary", lead, secret, &back)).await
                }
                None => see_other(&back),
            }
        }
        Err(error) => refused(&pages, posted, &error, None).await,
    }
}

/// Opens a link: the answer is the page that shows the key, and nothing keeps it.
async fn open_link(State(pages): State<Pages>, Path(token): Path<String>, posted: Posted) -> Response {
    let made = hand_offs::open(&posted.cx, &token).await;
    show_secret(&pages, posted, made).await
}

/// A page that shows a text once, and that no cache keeps.
async fn show_once(pages: &Pages, posted: Posted, shown: ShownOnce) -> Response {
    let request = as_get(posted.parts, Some("/shown-once".to_owned()));
    let mut response = pages.render(request, move || provide_context(shown.clone())).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
