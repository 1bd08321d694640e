//! A SCIM service of ours with one thing that it does not do as others do.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use http::{Method, header};
use scim::{ListQuery, Resource, ResourceType, ScimError};
use serde_json::{Value, json};

/// What is peculiar about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// PUT is 405.
    NoPut,
    /// PATCH is 405.
    NoPatch,
    /// A filter on members in a path is refused; a list of values removes those.
    ValuesOnly,
    /// A list of values is refused; a filter in the path removes those.
    FilterOnly,
    /// It takes 100 members in one PATCH.
    Hundred,
}

type Kept = BTreeMap<String, (ResourceType, Value)>;

/// The service.
pub struct Quirky {
    pub address: SocketAddr,
    pub habits: Vec<Habit>,
    kept: Mutex<Kept>,
    made: Mutex<usize>,
    /// Method and path of each request, and its body.
    asked: Mutex<Vec<(String, Value)>>,
}

impl Quirky {
    pub async fn start(habits: &[Habit]) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let quirky = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            habits: habits.to_vec(),
            kept: Mutex::default(),
            made: Mutex::default(),
            asked: Mutex::default(),
        });
        let router = Router::new().fallback(serve).with_state(Arc::clone(&quirky));
        tokio::spawn(async move { axum::serve(listener, router).await });
        quirky
    }

    pub fn base(&self) -> String {
        format!("http://{}/v2", self.address)
    }

    /// What it was asked since the last time, and its bodies.
    pub fn asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Puts a resource there, as somebody else would; its id.
    pub fn put(&self, kind: ResourceType, value: Value) -> String {
        self.create(&mut self.kept.lock().unwrap(), kind, value)
    }

    fn has(&self, habit: Habit) -> bool {
        self.habits.contains(&habit)
    }

    fn create(&self, kept: &mut Kept, kind: ResourceType, mut value: Value) -> String {
        let mut made = self.made.lock().unwrap();
        *made += 1;
        let id = format!("q-{made:04}");
        value["id"] = json!(id);
        value["meta"] = json!({
            "resourceType": kind.name(), "created": "2026-01-01T00:00:00Z", "version": "W/\"1\"",
            "location": format!("{}{}/{id}", self.base(), kind.endpoint()),
        });
        kept.insert(id.clone(), (kind, value));
        id
    }

    fn answer(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        body: Value,
    ) -> Result<(u16, Value), ScimError> {
        let mut parts = path.trim_start_matches("/v2/").split('/');
        let endpoint = parts.next().unwrap_or_default();
        if endpoint == "ServiceProviderConfig" {
            return Ok((200, json!({ "patch": { "supported": true }, "sort": { "supported": false } })));
        }
        let kind = ResourceType::from_endpoint(endpoint)
            .ok_or_else(|| ScimError::not_found("there is no such endpoint"))?;
        let mut kept = self.kept.lock().unwrap();
        let Some(id) = parts.next() else {
            if method == Method::POST {
                return self.post(&mut kept, kind, body);
            }
            let query = ListQuery::parse(kind, query)?;
            return Ok((200, list(&kept, kind, &query)));
        };
        let gone = || ScimError::not_found("it is not here");
        let (_, value) = kept.get_mut(id).filter(|(of, _)| *of == kind).ok_or_else(gone)?;
        let not_here = |habit, word: &str| {
            let refused = ScimError::new(405, format!("{word} is not allowed"));
            if self.has(habit) { Err(refused) } else { Ok(()) }
        };
        if *method == Method::PUT {
            not_here(Habit::NoPut, "PUT")?;
            let new = Resource::from_value(kind, body)?.into_value();
            write(value, new);
        } else if *method == Method::PATCH {
            not_here(Habit::NoPatch, "PATCH")?;
            self.check(&body)?;
            let ops = scim::patch::from_value(body)?;
            let before = Resource::from_value(kind, value.clone())?;
            write(value, scim::patch::apply(kind, &before, &ops)?.resource.into_value());
        } else if *method == Method::DELETE {
            kept.remove(id);
            return Ok((204, Value::Null));
        }
        let selection = scim::query_selection(query)?;
        Ok((200, selection.apply(kind, kept[id].1.clone())))
    }

    fn post(&self, kept: &mut Kept, kind: ResourceType, body: Value) -> Result<(u16, Value), ScimError> {
        let name = |value: &Value| {
            let name = if kind == ResourceType::User { "userName" } else { "displayName" };
            value[name].as_str().map(scim::fold_case)
        };
        let body = Resource::from_value(kind, body)?.into_value();
        if kept.values().any(|(of, value)| *of == kind && name(value) == name(&body)) {
            return Err(ScimError::uniqueness("the name is taken"));
        }
        let id = self.create(kept, kind, body);
        Ok((201, kept[&id].1.clone()))
    }

    /// Refuses what it does not understand.
    fn check(&self, body: &Value) -> Result<(), ScimError> {
        for op in body["Operations"].as_array().into_iter().flatten() {
            let path = op["path"].as_str().unwrap_or_default();
            let members = op["value"].as_array().map_or(0, Vec::len);
            if self.has(Habit::ValuesOnly) && path.starts_with("members[") {
                return Err(ScimError::invalid_path("no filter is understood in a path"));
            }
            let removes = op["op"].as_str().is_some_and(|verb| verb.eq_ignore_ascii_case("remove"));
            if self.has(Habit::FilterOnly) && removes && path == "members" && !op["value"].is_null() {
                return Err(ScimError::invalid_value("a removal takes no value"));
            }
            if self.has(Habit::Hundred) && path == "members" && members > 100 {
                return Err(ScimError::invalid_value("at most 100 members"));
            }
        }
        Ok(())
    }
}

fn list(kept: &Kept, kind: ResourceType, query: &ListQuery) -> Value {
    let fits = |value: &Value| {
        query.filter.as_ref().is_none_or(|filter| scim::matches(filter, kind, value).unwrap_or(false))
    };
    let found: Vec<&Value> =
        kept.values().filter(|(of, value)| *of == kind && fits(value)).map(|(_, value)| value).collect();
    let start = usize::try_from(query.start_index).unwrap() - 1;
    let count = usize::try_from(query.count).unwrap();
    let page = found.iter().skip(start).take(count);
    let page: Vec<Value> = page.map(|value| query.selection.apply(kind, (*value).clone())).collect();
    json!({ "totalResults": found.len(), "Resources": page })
}

/// Replaces all but what is the server's.
fn write(value: &mut Value, new: Value) {
    let (Value::Object(parts), Value::Object(new)) = (value, new) else { panic!("both are objects") };
    parts.retain(|name, _| name == "id" || name == "meta");
    parts.extend(new);
}

async fn serve(State(quirky): State<Arc<Quirky>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    quirky.asked.lock().unwrap().push((format!("{} {path}", parts.method), body.clone()));
    let (status, body) = match quirky.answer(&parts.method, path, query, body) {
        Ok(answer) => answer,
        Err(error) => (error.status, error.to_json()),
    };
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/scim+json")
        .body(body)
        .unwrap()
}
