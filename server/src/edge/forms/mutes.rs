//! The forms of mutes.

use axum::{Router, extract::State, response::Response, routing::post};
use domain::{MuteId, federations::Slug, findings::Rule};
use ops::{
    Error,
    findings::mutes::{self, NewMute},
};

use super::{Posted, settle};
use crate::edge::pages::Pages;

/// The routes.
pub fn routes() -> Router<Pages> {
    Router::new().route("/findings/mute", post(mute)).route("/findings/unmute", post(unmute))
}

const MUTED: &str = "/findings?state=muted";

fn slug(text: &str) -> Result<Option<Slug>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    Slug::parse(text).map(Some).map_err(|_| Error::NotFound("federation"))
}

fn new_mute(posted: &Posted) -> Result<NewMute, Error> {
    let values = &posted.values;
    let rule =
        Rule::parse(&values.text("rule")).ok_or_else(|| Error::invalid("rule", "there is no such rule"))?;
    let days = values.text("days").parse().map_err(|_| Error::invalid("days", "it is not a whole number"))?;
    Ok(NewMute {
        federation: slug(&values.text("federation"))?,
        rule,
        subject: Some(values.text("subject")),
        reason: values.text("reason"),
        days,
    })
}

async fn mute(State(pages): State<Pages>, posted: Posted) -> Response {
    let made = match new_mute(&posted) {
        Ok(new) => mutes::mute(&posted.cx, new).await,
        Err(error) => Err(error),
    };
    settle(&pages, posted, made, Some("/findings".to_owned()), |_| MUTED.to_owned()).await
}

async fn unmute(State(pages): State<Pages>, posted: Posted) -> Response {
    let (federation, id) = (slug(&posted.values.text("federation")), posted.values.text("mute"));
    let made = match (federation, MuteId::parse(&id)) {
        (Ok(federation), Some(id)) => mutes::unmute(&posted.cx, federation.as_ref(), &id).await,
        (Err(error), _) => Err(error),
        (Ok(_), None) => Err(Error::NotFound("mute")),
    };
    settle(&pages, posted, made, Some("/findings".to_owned()), |_| MUTED.to_owned()).await
}
