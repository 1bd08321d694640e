//! How far streams are behind: for the finding, the page and the figures.

use std::sync::Arc;

use domain::{
    Millis,
    admins::{Admin, Right},
    exports::{Format, stream::Carried},
};
use store::{Conn, streams::StreamPlace};

use super::StreamSettings;
use crate::{Cx, Error, Keyward, ports::Stream};

/// How far a stream is behind in one kind of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The kind.
    pub carried: Carried,
    /// How many records wait.
    pub records: i64,
    /// The time of the oldest of them; `None` when none waits.
    pub oldest_ms: Option<Millis>,
    /// Its place, and what it was told.
    pub row: StreamPlace,
    /// Whether it has begun.
    pub has_begun: bool,
}

/// A stream as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamView {
    /// Its name.
    pub name: String,
    /// Where it goes.
    pub place: String,
    /// The form of its records.
    pub format: Format,
    /// How far it is behind, for each kind.
    pub lags: Vec<Lag>,
}

async fn lag(conn: &mut Conn<'_>, stream: &dyn Stream, carried: Carried) -> Result<Lag, Error> {
    let found = store::streams::find(conn, stream.name(), carried.as_str()).await?;
    let has_begun = found.is_some();
    let row = found.unwrap_or_default();
    let (records, oldest_ms) = match carried {
        _ if !has_begun => (0, None),
        Carried::Audit => {
            let oldest = store::audit::after(conn, row.place, 1).await?.pop();
            let head = store::audit::head(conn).await?.seq;
            (oldest.as_ref().map_or(0, |_| head - row.place), oldest.map(|oldest| oldest.event.at_ms))
        }
        Carried::Usage => {
            let (records, from_ms) = store::seals::waiting(conn, row.place).await?;
            (records - row.part, (records > row.part).then_some(from_ms))
        }
    };
    Ok(Lag { carried, records: records.max(0), oldest_ms, row, has_begun })
}

pub(super) async fn of(
    keyward: &Keyward,
    settings: &StreamSettings,
    stream: &dyn Stream,
) -> Result<Vec<Lag>, Error> {
    let mut reader = keyward.store.read().await?;
    let mut lags = Vec::new();
    for carried in &settings.carried {
        lags.push(lag(&mut reader.conn(), stream, *carried).await?);
    }
    Ok(lags)
}

/// How far every stream is behind, as any node sees it.
///
/// # Errors
/// When the database does not answer.
pub async fn lags(keyward: &Arc<Keyward>) -> Result<Vec<StreamView>, Error> {
    let Some(settings) = keyward.stream_settings() else { return Ok(Vec::new()) };
    let mut views = Vec::new();
    for stream in &settings.streams {
        views.push(StreamView {
            name: stream.name().to_owned(),
            place: stream.place(),
            format: stream.format(),
            lags: of(keyward, settings, stream.as_ref()).await?,
        });
    }
    Ok(views)
}

/// The streams; `None` for who may not read the whole installation.
///
/// # Errors
/// When the database does not answer.
pub async fn standing(cx: &Cx<Admin>) -> Result<Option<Vec<StreamView>>, Error> {
    if !cx.actor.role.may(Right::ReadInstallation, None) {
        return Ok(None);
    }
    Ok(Some(lags(&cx.keyward).await?))
}
