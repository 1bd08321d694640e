//! How much a request may be: address, headers, body, time for the body, and how many at once.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderValue, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Sleep, sleep},
};

use super::metrics::RouteClass;

/// The longest path with query, in bytes.
pub const URL_BYTES: usize = 8 * 1024;

/// The largest sum of header names and values, in bytes.
pub const HEADER_BYTES: usize = 16 * 1024;

/// A body arrives at this pace at least, in bytes a second, after [`BODY_START`].
const BODY_PACE: u64 = 1024;

/// What every body may take, whatever its size.
const BODY_START: Duration = Duration::from_secs(30);

/// Requests of either kind that are answered at the same time; more than that only wait for each other.
const CONCURRENT: usize = 1024;

/// The limits on requests.
#[derive(Clone)]
pub struct RequestLimits {
    body_bytes: usize,
    body_start: Duration,
    /// Places of identity providers, apart from everybody else's: whoever holds a key cannot keep
    /// the one away who is about to revoke it.
    scim_places: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl RequestLimits {
    /// `body_bytes`: the largest body.
    pub fn new(body_bytes: usize) -> Self {
        let places = || Arc::new(Semaphore::new(CONCURRENT));
        Self { body_bytes, body_start: BODY_START, scim_places: places(), places: places() }
    }

    /// The largest body.
    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// Other limits on the time of a body and on the number of requests.
    #[must_use]
    pub fn with(self, body_start: Duration, concurrent: usize) -> Self {
        let places = || Arc::new(Semaphore::new(concurrent));
        Self { body_start, scim_places: places(), places: places(), ..self }
    }
}

/// A request that may go on: its place, and what is found out about its body.
pub(super) struct Admitted<'a> {
    reader: Reader,
    body_bytes: usize,
    verdict: Option<Arc<AtomicU8>>,
    _place: Option<SemaphorePermit<'a>>,
}

impl RequestLimits {
    /// Refuses what is too large before it is read, and sees to it that the body keeps its limits.
    pub(super) fn admit(
        &self,
        class: RouteClass,
        request: Request,
    ) -> Result<(Admitted<'_>, Request), Box<Response>> {
        let reader = Reader::of(class, &request);
        if request.uri().path_and_query().is_some_and(|path| path.as_str().len() > URL_BYTES) {
            let text = format!("the address is longer than {URL_BYTES} bytes");
            return Err(Box::new(reader.refuse(StatusCode::URI_TOO_LONG, &text)));
        }
        let header_bytes: usize =
            request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes > HEADER_BYTES {
            let text = format!("the headers are larger than {HEADER_BYTES} bytes");
            return Err(Box::new(reader.refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, &text)));
        }
        let announced =
            request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|bytes| bytes > self.body_bytes as u64) {
            return Err(Box::new(reader.too_large(self.body_bytes)));
        }
        let places = if reader.is_scim { &self.scim_places } else { &self.places };
        let place = match places.try_acquire() {
            Ok(place) => Some(place),
            // Probes are answered even then: a busy process is not a dead one.
            Err(_) if matches!(request.uri().path(), "/healthz" | "/readyz") => None,
            Err(_) => {
                let mut response =
                    reader.refuse(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once; try again");
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
                return Err(Box::new(response));
            }
        };
        let mut admitted = Admitted { reader, body_bytes: self.body_bytes, verdict: None, _place: place };
        // Most requests have no body, and nothing to measure.
        if request.body().is_end_stream() {
            return Ok((admitted, request));
        }
        let verdict = Arc::new(AtomicU8::new(FINE));
        admitted.verdict = Some(Arc::clone(&verdict));
        let request = request.map(|body| {
            Body::new(Measured {
                body,
                left: self.body_bytes,
                start: self.body_start,
                deadline: None,
                verdict,
            })
        });
        Ok((admitted, request))
    }
}

impl Admitted<'_> {
    /// Whatever the handler made of a broken body, the client learns what broke it.
    pub(super) fn answer(self, response: Response) -> Response {
        match self.verdict.map_or(FINE, |verdict| verdict.load(Ordering::Acquire)) {
            TOO_LARGE => self.reader.too_large(self.body_bytes),
            TOO_SLOW => self.reader.refuse(StatusCode::REQUEST_TIMEOUT, "the body arrives too slowly"),
            _ => response,
        }
    }
}

const FINE: u8 = 0;
const TOO_LARGE: u8 = 1;
const TOO_SLOW: u8 = 2;

/// Who reads a refusal.
#[derive(Debug, Clone, Copy)]
struct Reader {
    /// Expects an error of RFC 7644 3.12; others read text.
    is_scim: bool,
    /// Is told by a header that the connection ends. HTTP/2 has no such header (RFC 9113 8.2.2).
    is_http_1: bool,
}

impl Reader {
    fn of(class: RouteClass, request: &Request) -> Self {
        Self { is_scim: class == RouteClass::Scim, is_http_1: request.version() < Version::HTTP_2 }
    }

    fn too_large(self, limit: usize) -> Response {
        self.refuse(StatusCode::PAYLOAD_TOO_LARGE, &format!("the body is larger than {limit} bytes"))
    }

    /// Refuses, and closes the connection: what is left of the request is not worth reading.
    fn refuse(self, status: StatusCode, detail: &str) -> Response {
        let mut response = if self.is_scim {
            let error = serde_json::json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
                "status": status.as_str(),
                "detail": detail,
            });
            let json = HeaderValue::from_static("application/scim+json");
            (status, [(CONTENT_TYPE, json)], error.to_string()).into_response()
        } else {
            (status, format!("Nothing was done: {detail}.\n")).into_response()
        };
        if self.is_http_1 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A body that ends with an error when it is too large or too slow.
struct Measured {
    body: Body,
    left: usize,
    start: Duration,
    /// Moved on by every byte that arrives, so that a long body has time and a slow one has not.
    deadline: Option<Pin<Box<Sleep>>>,
    verdict: Arc<AtomicU8>,
}

impl Measured {
    fn give_up(&self, verdict: u8, why: &'static str) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.verdict.store(verdict, Ordering::Release);
        Poll::Ready(Some(Err(axum::Error::new(std::io::Error::other(why)))))
    }
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let start = self.start;
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(start)));
                return match deadline.as_mut().poll(cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => self.give_up(TOO_SLOW, "the body arrives too slowly"),
                };
            }
        };
        if let Some(bytes) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map(Bytes::len)
        {
            let Some(left) = self.left.checked_sub(bytes) else {
                return self.give_up(TOO_LARGE, "the body is too large");
            };
            self.left = left;
            if let Some(deadline) = &mut self.deadline {
                let earned = Duration::from_millis(bytes as u64 * 1000 / BODY_PACE);
                let later = deadline.deadline() + earned;
                deadline.as_mut().reset(later);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
