//! Usage as it comes: `GET /live/usage`, server-sent events for signed-in people.
//!
//! Each record is an event with a position as its id; `Last-Event-ID`, or `last` in the address, goes on
//! after one. A `beat` comes every ten seconds, so that who watches knows that silence is silence. The
//! stream ends with the session, and with the server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Extension, RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use domain::{FederationId, admins::Admin, exports::usage_json};
use http::{HeaderMap, StatusCode, header};
use ops::{
    Cx, Error,
    usage::{
        live::{Event, Live},
        search,
    },
};
use tokio::time::{Instant, sleep_until};
use tower_sessions::Session;

use super::{
    api_usage::{failed, own, parameters},
    pages::Pages,
    session::current_admin,
};

/// How many may watch on one node.
const CLIENTS: usize = 128;

/// How often a beat comes, and the session is looked at.
const BEAT: Duration = Duration::from_secs(10);

/// How long a browser waits before it comes back, in milliseconds.
const RETRY_MS: u32 = 3_000;

/// The most bytes that are put together before they are sent.
const PART: usize = 32 * 1024;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// The route; it is behind the guard of [`Pages::routes`].
pub fn routes() -> Router<Pages> {
    Router::new().route("/live/usage", get(live))
}

/// The place of one client among those that may watch.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let before = OPEN.fetch_add(1, Ordering::AcqRel);
        let place = Self;
        (before < CLIENTS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::AcqRel);
    }
}

struct Client {
    cx: Cx<Admin>,
    session: Session,
    live: Live,
    names: Arc<std::collections::BTreeMap<FederationId, String>>,
    next_beat: Instant,
    has_begun: bool,
    is_over: bool,
    _place: Place,
}

async fn live(
    State(_pages): State<Pages>,
    Extension(cx): Extension<Cx<Admin>>,
    Extension(session): Extension<Session>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Some(place) = Place::take() else {
        let retry = [(header::RETRY_AFTER, "10"), (header::CACHE_CONTROL, "no-store")];
        return (StatusCode::SERVICE_UNAVAILABLE, retry, "too many people watch at once").into_response();
    };
    match begin(cx, session, query.as_deref(), &headers, place).await {
        Ok(client) => {
            let parts = futures::stream::unfold(client, async |mut client| {
                let part = client.part().await?;
                Some((Ok::<_, std::convert::Infallible>(Bytes::from(part)), client))
            });
            let headers = [
                (header::CONTENT_TYPE, "text/event-stream"),
                (header::CACHE_CONTROL, "no-store"),
                // nginx would hold it back.
                (header::HeaderName::from_static("x-accel-buffering"), "no"),
            ];
            (headers, Body::from_stream(parts)).into_response()
        }
        Err(error) => failed(&error),
    }
}

async fn begin(
    cx: Cx<Admin>,
    session: Session,
    query: Option<&str>,
    headers: &HeaderMap,
    place: Place,
) -> Result<Client, Error> {
    let (filter, mine) = parameters(query, &["last"])?;
    let came_back = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let after = came_back.filter(|id| !id.is_empty()).or_else(|| own(&mine, "last"));
    let live = Live::begin(&cx, filter, after).await?;
    let names = Arc::new(search::names(&cx).await?);
    let next_beat = now() + BEAT;
    Ok(Client { cx, session, live, names, next_beat, has_begun: false, is_over: false, _place: place })
}

#[expect(clippy::disallowed_methods, reason = "a beat is of this connection, and no time that anybody keeps")]
fn now() -> Instant {
    Instant::now()
}

impl Client {
    /// The next bytes; `None` at the end.
    async fn part(&mut self) -> Option<String> {
        if !self.has_begun {
            self.has_begun = true;
            return Some(format!("retry: {RETRY_MS}\n\nevent: beat\ndata: {}\n\n", self.cx.now_ms()));
        }
        if self.is_over {
            return None;
        }
        tokio::select! {
            biased;
            () = sleep_until(self.next_beat) => {
                self.next_beat = now() + BEAT;
                if self.is_signed_in().await {
                    return Some(format!("event: beat\ndata: {}\n\n", self.cx.now_ms()));
                }
                self.is_over = true;
                Some("event: ended\ndata: signed out\n\n".to_owned())
            }
            event = self.live.next() => {
                let Some(event) = event else {
                    self.is_over = true;
                    return Some("event: restart\ndata: the server restarts\n\n".to_owned());
                };
                let mut part = self.written(&event);
                // What is ready goes along, as far as one part holds it.
                while part.len() < PART
                    && let Some(Some(event)) = futures::FutureExt::now_or_never(self.live.next())
                {
                    part.push_str(&self.written(&event));
                }
                Some(part)
            }
        }
    }

    /// Whether the session is still that of the same person in the same role.
    async fn is_signed_in(&self) -> bool {
        if let Err(error) = self.session.load().await {
            tracing::warn!(%error, "a session cannot be read: its live stream ends");
            return false;
        }
        let person = current_admin(&self.session, self.cx.now_ms()).await;
        person.is_some_and(|person| person == *self.cx.actor())
    }

    fn written(&self, event: &Event) -> String {
        match event {
            Event::Record(record, position) => {
                let name = record.federation_id.as_ref().and_then(|id| self.names.get(id));
                let json = usage_json(record, name.map(String::as_str));
                format!("id: {position}\ndata: {json}\n\n")
            }
            Event::Missed(count) => format!("event: missed\ndata: {count}\n\n"),
        }
    }
}
