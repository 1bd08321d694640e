//! One probe on its way: what it asked, what it created, what it found.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Check, Exchange, ProbeAnswer, ProbeRequest, Quirks, Report, Verdict, report::About};

/// After how many requests without an answer in a row the rest is left out.
const PATIENCE: u32 = 3;

/// How much of an answer a report repeats, in characters.
const SHOWN: usize = 160;

/// Why a check did not pass.
#[derive(Debug)]
pub(super) struct Trouble {
    verdict: Verdict,
    detail: String,
}

impl Trouble {
    pub(super) fn failed(detail: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed, detail: detail.into() }
    }

    pub(super) fn tolerated(detail: impl Into<String>) -> Self {
        Self { verdict: Verdict::Tolerated, detail: detail.into() }
    }

    pub(super) fn skipped(detail: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skipped, detail: detail.into() }
    }
}

/// What a check came to: a detail when it passed, which may be empty.
pub(super) type Finding = Result<String, Trouble>;

#[expect(clippy::unnecessary_wraps, reason = "it is one of the two things that a check can come to")]
pub(super) fn passed() -> Finding {
    Ok(String::new())
}

/// An answer, read.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) etag: Option<String>,
    /// Null when it is no JSON.
    pub(super) body: Value,
    is_empty: bool,
}

impl Seen {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the server says that it does not know the method here. 404 is what some answer to a method
    /// that they do not route.
    pub(super) fn is_unsupported(&self) -> bool {
        matches!(self.status, 404 | 405 | 501)
    }

    /// The id of the resource; none when it is empty, which would name the whole collection.
    pub(super) fn id(&self) -> Option<String> {
        self.text("/id").filter(|id| !id.is_empty()).map(str::to_owned)
    }

    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer).and_then(Value::as_str)
    }

    /// What a report says of it: the status, and what the server says of it.
    pub(super) fn shown(&self) -> String {
        let said = match (self.text("/scimType"), self.text("/detail")) {
            (Some(keyword), Some(detail)) => format!(" ({keyword}: {detail})"),
            (Some(text), None) | (None, Some(text)) => format!(" ({text})"),
            (None, None) if self.is_empty => " without a body".to_owned(),
            (None, None) if self.body.is_null() => " with a body that is no JSON".to_owned(),
            (None, None) => String::new(),
        };
        // What a server says goes to a terminal: no control characters, no end without end.
        let said: String = said.chars().filter(|character| !character.is_control()).take(SHOWN).collect();
        format!("{}{said}", self.status)
    }

    /// Whether it is an error as RFC 7644 3.12 has it.
    pub(super) fn is_error_body(&self) -> bool {
        let is_named = self.body.get("schemas").and_then(Value::as_array).is_some_and(|urns| {
            urns.iter().filter_map(Value::as_str).any(|urn| urn.eq_ignore_ascii_case(crate::error::ERROR_URN))
        });
        is_named && self.text("/status") == Some(self.status.to_string().as_str())
    }

    /// `totalResults`, when it is a number as it must be.
    pub(super) fn total(&self) -> Option<u64> {
        self.body.get("totalResults").and_then(Value::as_u64)
    }

    pub(super) fn resources(&self) -> &[Value] {
        self.body.get("Resources").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(super) fn has_resource(&self, id: &str) -> bool {
        self.resources().iter().any(|resource| resource.get("id").and_then(Value::as_str) == Some(id))
    }
}

pub(super) struct Session<'a, E> {
    exchange: &'a E,
    pub(super) tag: &'a str,
    pub(super) quirks: Quirks,
    /// What `/ServiceProviderConfig` says.
    pub(super) config: Value,
    /// The attributes of a user that `/Schemas` names, in lower case; none when it names none.
    pub(super) attributes: Option<Vec<String>>,
    /// The users that checks work on: the one that is changed, and two more.
    pub(super) users: Vec<String>,
    /// The group that checks work on.
    pub(super) group: Option<String>,
    /// What was created and not deleted: endpoint and id.
    created: Vec<(&'static str, String)>,
    /// Names whose creation was not understood.
    doubtful: Vec<(&'static str, String)>,
    /// What could not be deleted again, for a person.
    lost: Vec<String>,
    found: BTreeMap<&'static str, (Verdict, String)>,
    unanswered: u32,
    media_types: BTreeMap<String, u32>,
    retry_after: Vec<Option<String>>,
}

impl<'a, E: Exchange> Session<'a, E> {
    pub(super) fn new(exchange: &'a E, tag: &'a str) -> Self {
        Self {
            exchange,
            tag,
            quirks: Quirks::default(),
            config: Value::Null,
            attributes: None,
            users: Vec::new(),
            group: None,
            created: Vec::new(),
            doubtful: Vec::new(),
            lost: Vec::new(),
            found: BTreeMap::new(),
            unanswered: 0,
            media_types: BTreeMap::new(),
            retry_after: Vec::new(),
        }
    }

    /// A name that nobody else has.
    pub(super) fn name(&self, what: &str) -> String {
        format!("keyward-probe-{}-{what}", self.tag)
    }

    /// Notes what became of a check.
    pub(super) fn note(&mut self, id: &'static str, finding: Finding) {
        let (verdict, detail) = match finding {
            Ok(detail) => (Verdict::Passed, detail),
            Err(trouble) => (trouble.verdict, trouble.detail),
        };
        self.found.insert(id, (verdict, detail));
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Seen, Trouble> {
        self.send("GET", path, &[], None).await
    }

    /// Sends a request that creates nothing.
    ///
    /// # Errors
    /// A failure when no answer came.
    pub(super) async fn send(
        &mut self,
        method: &'static str,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<Value>,
    ) -> Result<Seen, Trouble> {
        if self.unanswered >= PATIENCE {
            return Err(Trouble::skipped("the server stopped answering"));
        }
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let mut headers: Vec<_> = headers.collect();
        headers.push(("Accept", "application/scim+json".to_owned()));
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "Content-Type") {
            headers.push(("Content-Type", "application/scim+json".to_owned()));
        }
        let request = ProbeRequest { method, path: path.to_owned(), headers, body };
        let answer = self.exchange.send(request).await;
        let answer = answer.map_err(|why| {
            self.unanswered += 1;
            Trouble::failed(format!("no answer to {method} {path}: {why}"))
        })?;
        self.unanswered = 0;
        Ok(self.read(answer))
    }

    fn read(&mut self, answer: ProbeAnswer) -> Seen {
        if !answer.body.is_empty() {
            let media_type = answer.content_type.unwrap_or_default();
            let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            *self.media_types.entry(essence).or_default() += 1;
        }
        if answer.status == 429 || answer.status == 503 {
            self.retry_after.push(answer.retry_after);
        }
        Seen {
            status: answer.status,
            location: answer.location,
            etag: answer.etag,
            is_empty: answer.body.is_empty(),
            body: serde_json::from_slice(&answer.body).unwrap_or_default(),
        }
    }

    /// Creates a resource and remembers to delete it, whatever the answer looks like. `name` is the
    /// `userName` or `displayName` in the body.
    ///
    /// # Errors
    /// As [`Session::send`].
    pub(super) async fn create(
        &mut self,
        endpoint: &'static str,
        name: &str,
        body: Value,
    ) -> Result<Seen, Trouble> {
        let is_sent = self.unanswered < PATIENCE;
        let seen = match self.send("POST", endpoint, &[], Some(body)).await {
            Ok(seen) => seen,
            Err(trouble) => {
                if is_sent {
                    // It may have been created all the same.
                    self.doubtful.push((endpoint, name.to_owned()));
                }
                return Err(trouble);
            }
        };
        let from_location = |location: &str| {
            let (rest, id) = location.trim_end_matches('/').rsplit_once('/')?;
            rest.ends_with(endpoint).then(|| id.to_owned())
        };
        match seen
            .id()
            .or_else(|| seen.location.as_deref().and_then(from_location))
            .filter(|id| !id.is_empty())
        {
            Some(id) if seen.status < 400 => self.created.push((endpoint, id)),
            None if seen.status < 400 || seen.status >= 500 => {
                self.doubtful.push((endpoint, name.to_owned()));
            }
            Some(_) | None => {}
        }
        Ok(seen)
    }

    /// Remembers to look for something that a request may create in another way, and to delete it.
    pub(super) fn expect_created(&mut self, endpoint: &'static str, name: &str) {
        self.doubtful.push((endpoint, name.to_owned()));
    }

    /// Remembers to delete what was expected and is there now.
    pub(super) fn adopt(&mut self, endpoint: &'static str, name: &str, location: &str) -> Option<String> {
        let (_, id) = location.trim_end_matches('/').rsplit_once('/')?;
        if id.is_empty() {
            return None;
        }
        self.doubtful.retain(|(at, expected)| (*at, expected.as_str()) != (endpoint, name));
        self.created.push((endpoint, id.to_owned()));
        Some(id.to_owned())
    }

    /// Deletes something that the probe created.
    ///
    /// # Errors
    /// As [`Session::send`].
    pub(super) async fn delete(&mut self, endpoint: &'static str, id: &str) -> Result<Seen, Trouble> {
        let seen = self.send("DELETE", &path(endpoint, id), &[], None).await?;
        if is_gone(&seen) {
            self.created.retain(|(at, created)| (*at, created.as_str()) != (endpoint, id));
        }
        Ok(seen)
    }

    /// Deletes everything that is left, the youngest first, so that groups go before their members.
    pub(super) async fn clean_up(&mut self) {
        for (endpoint, name) in std::mem::take(&mut self.doubtful) {
            match self.find_ours(endpoint, &name).await {
                Some(ids) => self.created.extend(ids.into_iter().map(|id| (endpoint, id))),
                None => self.lost.push(format!("{endpoint}: perhaps one with the name {name}")),
            }
        }
        let mut gave_up = false;
        while let Some((endpoint, id)) = self.created.pop() {
            self.created.retain(|(at, other)| (*at, other) != (endpoint, &id));
            let is_gone = !gave_up && self.insist_on_deletion(endpoint, &id, &mut gave_up).await;
            if !is_gone {
                self.lost.push(format!("{endpoint}/{id}"));
            }
        }
    }

    /// The ids of what has one of our names; none when that cannot be found out.
    async fn find_ours(&mut self, endpoint: &'static str, name: &str) -> Option<Vec<String>> {
        let attribute = if endpoint == "/Groups" { "displayName" } else { "userName" };
        let text = format!("{attribute} eq \"{name}\"");
        for _ in 0..PATIENCE {
            // A server that has stopped answering may answer again.
            self.unanswered = 0;
            let Ok(seen) = self.get(&format!("{endpoint}?{}", filter(&text))).await else { continue };
            // The filter may have been ignored: only what has our name is ours.
            let is_ours = |resource: &&Value| resource.get(attribute).and_then(Value::as_str) == Some(name);
            let ours = seen.resources().iter().filter(is_ours).filter_map(|found| found.get("id")?.as_str());
            let ids: Vec<String> = ours.filter(|id| !id.is_empty()).map(str::to_owned).collect();
            let is_sure = !ids.is_empty() || seen.status == 404 || seen.total() == Some(0);
            return is_sure.then_some(ids);
        }
        None
    }

    /// Whether something is gone; `gave_up` when the server does not even answer.
    async fn insist_on_deletion(&mut self, endpoint: &'static str, id: &str, gave_up: &mut bool) -> bool {
        for _ in 0..PATIENCE {
            self.unanswered = 0;
            if let Ok(seen) = self.delete(endpoint, id).await {
                return is_gone(&seen);
            }
        }
        *gave_up = true;
        false
    }

    /// What went through all answers, and the report.
    pub(super) fn into_report(mut self) -> Report {
        let media_types = self.judge_media_types();
        self.note("media-type", media_types);
        let throttling = self.judge_throttling();
        self.note("retry-after", throttling);
        let clean = if self.lost.is_empty() {
            passed()
        } else {
            Err(Trouble::failed("not everything that was created could be deleted again"))
        };
        self.note("clean-up", clean);
        let unreached = || (Verdict::Skipped, "not reached: something before it failed".to_owned());
        let checks = super::table().map(|About { id, title, section }| {
            let (verdict, detail) = self.found.remove(id).unwrap_or_else(unreached);
            Check { id, title, verdict, detail, section }
        });
        let checks = checks.collect();
        Report { checks, quirks: self.quirks, left_behind: self.lost }
    }

    fn judge_media_types(&self) -> Finding {
        let others = self.media_types.iter().filter(|(name, _)| *name != "application/scim+json");
        let others: Vec<_> = others.collect();
        if self.media_types.is_empty() {
            return Err(Trouble::skipped("no answer had a body"));
        }
        if others.is_empty() {
            return passed();
        }
        let shown = others.iter().map(|(name, count)| {
            let name: String = name.chars().filter(|character| !character.is_control()).take(60).collect();
            format!("{count} × {}", if name.is_empty() { "none" } else { &name })
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        if others.iter().all(|(name, _)| *name == "application/json") {
            return Err(Trouble::tolerated(format!("{shown}; Entra wants application/scim+json")));
        }
        Err(Trouble::failed(format!("{shown}; clients that parse by media type see no SCIM there")))
    }

    fn judge_throttling(&self) -> Finding {
        let is_integer = |value: &Option<String>| {
            value.as_deref().is_some_and(|text| text.trim().bytes().all(|byte| byte.is_ascii_digit()))
        };
        let count = self.retry_after.len();
        if count == 0 {
            return Ok("no answer asked to wait".to_owned());
        }
        if self.retry_after.iter().all(is_integer) {
            return Err(Trouble::tolerated(format!(
                "{count} answers asked to wait; probe again when it is quiet"
            )));
        }
        Err(Trouble::failed(format!(
            "{count} answers asked to wait, not all with whole seconds in Retry-After: Okta waits five minutes then"
        )))
    }
}

/// Whether the answer to a DELETE says that there is nothing any more.
fn is_gone(seen: &Seen) -> bool {
    seen.is_success() || seen.status == 404 || seen.status == 410
}

/// A filter as a query.
pub(super) fn filter(text: &str) -> String {
    format!("filter={}", encode(text))
}

/// The path of a resource. Ids are the server's: whatever stands in one stays inside its segment.
pub(super) fn path(endpoint: &str, id: &str) -> String {
    // A dot segment would be resolved before it is sent, encoded or not, and name something else.
    let id = if matches!(id, "." | "..") { "-" } else { &encode(id) };
    format!("{endpoint}/{id}")
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            encoded.push('%');
            for digit in [byte >> 4, byte & 15] {
                encoded.push(char::from(DIGITS.get(usize::from(digit)).copied().unwrap_or_default()));
            }
        }
        encoded
    })
}
