//! A small SCIM server in memory, on top of the crate alone: what dialects and probes are tried against.
//!
//! It has no network, no clock and no keys. Everything that it knows beyond the crate is a list of entries.

use scim::{
    Features, GroupRef, ListQuery, ListResponse, Member, Meta, Reading, Related, Resource, ResourceType,
    ScimError, Selection, Tolerance, bulk,
    discovery::{self, Bulk},
    etag, list, matches, patch, render,
};
use serde_json::Value;

/// Where the server seems to be.
pub const BASE: &str = "https://scim.test/scim/acme/v2";

/// A request as it arrives.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    /// Below the base.
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Self { method: method.to_owned(), path: path.to_owned(), query: query.to_owned(), ..Self::default() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// An answer as it leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(status: u16, body: &Value) -> Self {
        let media_type = "application/scim+json; charset=utf-8".to_owned();
        Self {
            status,
            headers: vec![("content-type".to_owned(), media_type)],
            body: body.to_string().into_bytes(),
        }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl From<ScimError> for Answer {
    fn from(error: ScimError) -> Self {
        Self::json(error.status, &error.to_json())
    }
}

struct Entry {
    kind: ResourceType,
    id: String,
    resource: Resource,
    created_ms: i64,
    modified_ms: i64,
    version: i64,
}

/// The server.
pub struct Directory {
    entries: Vec<Entry>,
    /// How many resources there ever were.
    made: usize,
    now_ms: i64,
    pub features: Features,
    /// How requests are read, and what was tolerated so far.
    pub reading: Reading,
    /// Whether names must be unique.
    pub unique: bool,
}

impl Default for Directory {
    fn default() -> Self {
        let bulk = Some(Bulk { max_operations: 1_000, max_payload_size: 1 << 20 });
        let features = Features { bulk, sort: true, ..Features::default() };
        Self {
            entries: Vec::new(),
            made: 0,
            now_ms: 1_767_225_600_000,
            features,
            reading: Reading::lenient(),
            unique: true,
        }
    }
}

impl Directory {
    /// Answers a request.
    pub fn answer(&mut self, request: &Request) -> Answer {
        self.now_ms += 1;
        if request.path.len() > 1 && request.path.ends_with('/') {
            self.reading.seen.insert(Tolerance::TrailingSlash);
        }
        self.route(request).unwrap_or_else(Answer::from)
    }

    fn route(&mut self, request: &Request) -> Result<Answer, ScimError> {
        let has_body = matches!(request.method.as_str(), "POST" | "PUT" | "PATCH");
        if let Some(media_type) = request.header("content-type").filter(|_| has_body) {
            let essence = media_type.split(';').next().unwrap_or_default().trim();
            if !["application/scim+json", "application/json"].contains(&essence) {
                return Err(ScimError::unsupported_media_type("expected application/scim+json"));
            }
        }
        let parts: Vec<&str> = request.path.split('/').filter(|part| !part.is_empty()).collect();
        let kind = |endpoint: &str| match endpoint {
            "Users" => Ok(ResourceType::User),
            "Groups" => Ok(ResourceType::Group),
            _ => Err(ScimError::not_found("there is no such endpoint")),
        };
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["ServiceProviderConfig" | "ResourceTypes" | "Schemas", ..]) => {
                self.discovered(request, &parts)
            }
            ("POST", [".search"]) => self.search(None, &request.body),
            ("POST", [endpoint, ".search"]) => self.search(Some(kind(endpoint)?), &request.body),
            ("POST", ["Bulk"]) => self.bulk(&request.body),
            (_, ["Me", ..]) => Err(ScimError::not_implemented("/Me is not offered")),
            ("GET", [endpoint]) => {
                let query = ListQuery::read(kind(endpoint)?, &request.query, &mut self.reading)?;
                self.list(&query, Some(kind(endpoint)?))
            }
            ("POST", [endpoint]) => self.create(kind(endpoint)?, request),
            ("GET", [endpoint, id]) => self.get(kind(endpoint)?, id, request),
            ("PUT" | "PATCH", [endpoint, id]) => self.change(kind(endpoint)?, id, request),
            ("DELETE", [endpoint, id]) => self.delete(kind(endpoint)?, id, request),
            (_, [endpoint] | [endpoint, _]) if kind(endpoint).is_ok() => {
                Err(ScimError::method_not_allowed("there is no such method here"))
            }
            _ => Err(ScimError::not_found("there is no such endpoint")),
        }
    }

    fn discovered(&self, request: &Request, parts: &[&str]) -> Result<Answer, ScimError> {
        if request.query.contains("filter=") {
            return Err(ScimError::forbidden("discovery takes no filter"));
        }
        let found = match parts {
            ["ServiceProviderConfig"] => Some(discovery::service_provider_config(BASE, &self.features)),
            ["ResourceTypes"] => Some(discovery::resource_types(BASE)),
            ["ResourceTypes", id] => discovery::resource_type(BASE, id),
            ["Schemas"] => Some(discovery::schemas(BASE)),
            ["Schemas", urn] => discovery::schema(BASE, urn),
            _ => None,
        };
        let found = found.ok_or_else(|| ScimError::not_found("there is no such document"))?;
        Ok(Answer::json(200, &found))
    }

    fn search(&mut self, kind: Option<ResourceType>, body: &[u8]) -> Result<Answer, ScimError> {
        let query = ListQuery::read_search(kind.map(Into::into), body, &mut self.reading)?;
        self.list(&query, kind)
    }

    fn list(&self, query: &ListQuery, kind: Option<ResourceType>) -> Result<Answer, ScimError> {
        let mut found = Vec::new();
        for entry in self.entries.iter().filter(|entry| kind.is_none_or(|kind| entry.kind == kind)) {
            let whole = self.body(entry, &Selection::Default);
            let is_wanted = match &query.filter {
                Some(filter) => matches(filter, entry.kind, &whole)?,
                None => true,
            };
            if is_wanted {
                found.push((entry, whole));
            }
        }
        if let Some(sort) = &query.sort {
            found.sort_by(|(entry, a), (_, b)| sort.compare(entry.kind, a, b));
        }
        let first = usize::try_from(query.start_index - 1).unwrap_or(usize::MAX);
        let count = usize::try_from(query.count).unwrap_or(usize::MAX);
        let page = found.iter().skip(first).take(count);
        let response = ListResponse {
            total_results: found.len() as u64,
            start_index: Some(query.start_index),
            resources: page.map(|(entry, _)| self.body(entry, &query.selection)).collect(),
            ..ListResponse::default()
        };
        Ok(Answer::json(200, &response.into_json()))
    }

    fn create(&mut self, kind: ResourceType, request: &Request) -> Result<Answer, ScimError> {
        let selection = list::read_selection(&request.query, &mut self.reading)?;
        let resource = Resource::read(kind, &request.body, &mut self.reading)?;
        self.made += 1;
        let id = format!("{:08x}-0000-4000-8000-{:012x}", 0x2819_c223, self.made);
        self.check(kind, &id, &resource)?;
        let (created_ms, modified_ms) = (self.now_ms, self.now_ms);
        self.entries.push(Entry { kind, id: id.clone(), resource, created_ms, modified_ms, version: 1 });
        let entry = self.entries.last().expect("was just added");
        let mut answer = self.resource(201, entry, &selection);
        answer.headers.push(("location".to_owned(), location(kind, &id)));
        Ok(answer)
    }

    fn get(&mut self, kind: ResourceType, id: &str, request: &Request) -> Result<Answer, ScimError> {
        let selection = list::read_selection(&request.query, &mut self.reading)?;
        let entry = self.entries.get(self.find(kind, id)?).expect("was just found");
        if request.header("if-none-match").is_some_and(|seen| seen == etag(entry.version)) {
            return Ok(Answer::empty(304));
        }
        Ok(self.resource(200, entry, &selection))
    }

    fn change(&mut self, kind: ResourceType, id: &str, request: &Request) -> Result<Answer, ScimError> {
        let selection = list::read_selection(&request.query, &mut self.reading)?;
        let place = self.find(kind, id)?;
        self.check_version(place, request)?;
        let before = &self.entries.get(place).expect("was just found").resource;
        let after = if request.method == "PUT" {
            let value: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            if value.get("id").is_some_and(|named| named != id) {
                return Err(ScimError::mutability("id in the body is not the id in the path"));
            }
            Resource::read(kind, &request.body, &mut self.reading)?
        } else {
            let operations = patch::read(&request.body, &mut self.reading)?;
            patch::apply_with(kind, before, &operations, &mut self.reading)?.resource
        };
        let changed = after != *before;
        self.check(kind, id, &after)?;
        let now_ms = self.now_ms;
        let entry = self.entries.get_mut(place).expect("was just found");
        if changed {
            entry.resource = after;
            entry.version += 1;
            entry.modified_ms = now_ms;
        }
        let entry = self.entries.get(place).expect("was just found");
        Ok(self.resource(200, entry, &selection))
    }

    fn delete(&mut self, kind: ResourceType, id: &str, request: &Request) -> Result<Answer, ScimError> {
        let place = self.find(kind, id)?;
        self.check_version(place, request)?;
        self.entries.remove(place);
        for entry in self.entries.iter_mut().filter(|entry| entry.kind == ResourceType::Group) {
            let members: Vec<Member> = entry.resource.members().filter(|member| member.value != id).collect();
            entry.resource.set_members(members);
        }
        Ok(Answer::empty(204))
    }

    fn bulk(&mut self, body: &[u8]) -> Result<Answer, ScimError> {
        let Some(limits) = self.features.bulk else {
            return Err(ScimError::not_implemented("Bulk is not offered"));
        };
        let limits = bulk::Limits {
            max_operations: usize::try_from(limits.max_operations).unwrap_or(usize::MAX),
            max_payload_bytes: usize::try_from(limits.max_payload_size).unwrap_or(usize::MAX),
        };
        let mut plan = bulk::Plan::new(bulk::read(body, &limits, &mut self.reading)?);
        while let Some(step) = plan.next_step() {
            let id = step.id.as_ref().map(|id| format!("/{id}")).unwrap_or_default();
            let mut request = Request::new(step.method.as_str(), &format!("{}{id}", step.kind.endpoint()));
            request.headers.extend(step.version.map(|version| ("if-match".to_owned(), version)));
            request.body = step.data.map(|data| data.to_string().into_bytes()).unwrap_or_default();
            let answer = self.answer(&request);
            let body = answer.value();
            let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            let error = (answer.status >= 300)
                .then(|| ScimError::new(answer.status, text("/detail").unwrap_or_default()));
            plan.record(bulk::Outcome {
                status: answer.status,
                location: text("/meta/location"),
                version: text("/meta/version"),
                id: text("/id"),
                error,
            });
        }
        Ok(Answer::json(200, &plan.into_response(BASE)))
    }

    fn find(&self, kind: ResourceType, id: &str) -> Result<usize, ScimError> {
        self.entries
            .iter()
            .position(|entry| entry.kind == kind && entry.id == id)
            .ok_or_else(|| ScimError::not_found("there is no such resource"))
    }

    fn check_version(&self, place: usize, request: &Request) -> Result<(), ScimError> {
        let is_other = |wanted: &str| {
            let entry = self.entries.get(place).expect("was just found");
            wanted != "*" && !wanted.split(',').any(|tag| tag.trim() == etag(entry.version))
        };
        if self.features.etag && request.header("if-match").is_some_and(is_other) {
            return Err(ScimError::precondition_failed("the resource has another version"));
        }
        Ok(())
    }

    /// What must be unique is, and members exist.
    fn check(&self, kind: ResourceType, id: &str, resource: &Resource) -> Result<(), ScimError> {
        let name = |resource: &Resource| {
            let name = match kind {
                ResourceType::User => resource.user_name(),
                ResourceType::Group => resource.display_name(),
            };
            name.map(scim::fold_case)
        };
        let mut others = self.entries.iter().filter(|entry| entry.kind == kind && entry.id != id);
        if self.unique && others.any(|entry| name(&entry.resource) == name(resource)) {
            return Err(ScimError::uniqueness("the name is taken"));
        }
        let exists =
            |member: &Member| self.entries.iter().any(|entry| entry.id == member.value && entry.id != id);
        match resource.members().find(|member| !exists(member)) {
            Some(member) => Err(ScimError::invalid_value(format!("members: there is no '{}'", member.value))),
            None => Ok(()),
        }
    }

    fn resource(&self, status: u16, entry: &Entry, selection: &Selection) -> Answer {
        let mut answer = Answer::json(status, &self.body(entry, selection));
        if self.features.etag {
            answer.headers.push(("etag".to_owned(), etag(entry.version)));
        }
        answer
    }

    fn body(&self, entry: &Entry, selection: &Selection) -> Value {
        let mut resource = entry.resource.clone();
        let members = resource.take_members().into_iter().map(|member| Member {
            kind: self.entries.iter().find(|entry| entry.id == member.value).map(|entry| entry.kind),
            ..member
        });
        let members: Vec<Member> = members.collect();
        let groups: Vec<GroupRef> = self
            .entries
            .iter()
            .filter(|group| group.resource.members().any(|member| member.value == entry.id))
            .map(|group| GroupRef {
                value: group.id.clone(),
                display: group.resource.display_name().map(str::to_owned),
                is_direct: true,
            })
            .collect();
        let meta = Meta {
            id: &entry.id,
            created_ms: entry.created_ms,
            modified_ms: entry.modified_ms,
            version: entry.version,
            location: &location(entry.kind, &entry.id),
        };
        render(&resource, &meta, &Related { groups: &groups, members: &members }, selection)
    }
}

fn location(kind: ResourceType, id: &str) -> String {
    format!("{BASE}{}/{id}", kind.endpoint())
}
