//! A SCIM service in memory, behind the port of the gateway: it answers as one does, and as told
//! when it is told.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex},
};

use domain::{Secret, federations::Slug, upstreams::Limits};
use ops::{
    gateway::target::{self, NewUpstream},
    ports::{CallFault, Destination, Method, Upstream, UpstreamAnswer, UpstreamRequest},
};
use scim::{Filter, Resource, ResourceType};
use serde_json::{Value, json};

use crate::support::House;

/// What happens to the next call instead of what should.
#[derive(Debug, Clone)]
pub enum Mishap {
    /// Nothing is done, and this is answered.
    Answer(u16, &'static str),
    /// It is done, and this is answered.
    DoneAnswer(u16, &'static str),
    /// It is done, and the connection breaks.
    DoneSilent,
    /// The connection is refused.
    Refused,
    /// It is done, and nobody ever hears of it.
    DoneHang,
    /// What should.
    Fine,
}

/// The service.
#[derive(Default)]
pub struct Memory {
    pub resources: Mutex<BTreeMap<String, (ResourceType, Value)>>,
    pub mishaps: Mutex<VecDeque<Mishap>>,
    /// Every call: method and path.
    pub calls: Mutex<Vec<String>>,
    /// The number of the last id that was given: none is given twice.
    last: Mutex<usize>,
}

impl Memory {
    /// Puts a resource there, as somebody else would.
    pub fn put(&self, kind: ResourceType, id: &str, mut value: Value) {
        value["id"] = json!(id);
        self.resources.lock().unwrap().insert(id.to_owned(), (kind, value));
    }

    pub fn next(&self, mishap: Mishap) {
        self.mishaps.lock().unwrap().push_back(mishap);
    }

    pub fn names(&self) -> Vec<String> {
        let resources = self.resources.lock().unwrap();
        let name = |value: &Value| {
            value.get("userName").or_else(|| value.get("displayName")).unwrap().as_str().unwrap().to_owned()
        };
        resources.values().map(|(_, value)| name(value)).collect()
    }

    pub fn called(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn answer(&self, request: &UpstreamRequest) -> UpstreamAnswer {
        let say = |status, body: Value| UpstreamAnswer {
            status,
            body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
            ..UpstreamAnswer::default()
        };
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let mut parts = path.trim_matches('/').split('/');
        let Some(kind) = parts.next().and_then(ResourceType::from_endpoint) else {
            return say(200, json!({ "patch": { "supported": true }, "filter": { "supported": true } }));
        };
        let id = parts.next().map(str::to_owned);
        let body: Value = request
            .body
            .as_deref()
            .map(|body| serde_json::from_slice(body).unwrap_or_default())
            .unwrap_or_default();
        let mut resources = self.resources.lock().unwrap();
        let Some(id) = id else {
            if request.method == Method::Get {
                let query = match scim::ListQuery::parse(kind, query) {
                    Ok(query) => query,
                    Err(error) => return say(error.status, error.to_json()),
                };
                let fits = |value: &Value| {
                    query
                        .filter
                        .as_ref()
                        .is_none_or(|filter: &Filter| scim::matches(filter, kind, value).unwrap_or(false))
                };
                let found: Vec<Value> = resources
                    .values()
                    .filter(|(of, value)| *of == kind && fits(value))
                    .map(|(_, value)| value.clone())
                    .collect();
                let start = usize::try_from(query.start_index).unwrap() - 1;
                let count = usize::try_from(query.count).unwrap();
                let page: Vec<Value> = found.iter().skip(start).take(count).cloned().collect();
                return say(200, json!({ "totalResults": found.len(), "Resources": page }));
            }
            let name = |value: &Value| value["userName"].as_str().map(scim::fold_case);
            if name(&body).is_some() && resources.values().any(|(_, value)| name(value) == name(&body)) {
                return say(
                    409,
                    json!({ "scimType": "uniqueness", "detail": "userName is taken", "status": "409" }),
                );
            }
            let id = {
                let mut last = self.last.lock().unwrap();
                *last = (*last).max(resources.len()) + 1;
                format!("up-{}", *last)
            };
            let mut made = body;
            made["id"] = json!(id);
            made["meta"] = json!({
                "location": format!("https://up.test/v2{}/{id}", kind.endpoint()), "created": "2026-01-01T00:00:00Z",
            });
            resources.insert(id, (kind, made.clone()));
            return say(201, made);
        };
        let Some((_, value)) = resources.get_mut(&id).filter(|(of, _)| *of == kind) else {
            return say(404, json!({ "detail": "gone", "status": "404" }));
        };
        match request.method {
            Method::Get => say(200, value.clone()),
            Method::Put => {
                let meta = value["meta"].take();
                *value = body;
                value["id"] = json!(id);
                value["meta"] = meta;
                say(200, value.clone())
            }
            Method::Patch => {
                let patched = scim::patch::from_value(body).and_then(|ops| {
                    let before = Resource::from_value(kind, value.clone())?;
                    scim::patch::apply(kind, &before, &ops)
                });
                match patched {
                    Ok(patched) => {
                        let after = patched.resource.into_value();
                        let (Value::Object(parts), Value::Object(changed)) = (&mut *value, after) else {
                            unreachable!("both are objects")
                        };
                        parts.retain(|name, _| name == "id" || name == "meta");
                        parts.extend(changed);
                        say(200, value.clone())
                    }
                    Err(error) => say(error.status, error.to_json()),
                }
            }
            Method::Delete => {
                resources.remove(&id);
                say(204, Value::Null)
            }
            Method::Post => say(405, Value::Null),
        }
    }
}

impl Upstream for Memory {
    fn admits(&self, url: &str) -> Result<(), String> {
        if url.starts_with("https://") { Ok(()) } else { Err("https is expected".to_owned()) }
    }

    fn exchange<'a>(
        &'a self,
        destination: &'a Arc<Destination>,
        request: UpstreamRequest,
    ) -> Pin<Box<dyn Future<Output = Result<UpstreamAnswer, CallFault>> + Send + 'a>> {
        assert_eq!(destination.secret.expose(), SECRET);
        self.calls.lock().unwrap().push(format!("{:?} {}", request.method, request.path));
        let mishap = self.mishaps.lock().unwrap().pop_front();
        let text = |status, body: &str| UpstreamAnswer {
            status,
            body: body.as_bytes().to_vec(),
            ..UpstreamAnswer::default()
        };
        let hangs = matches!(mishap, Some(Mishap::DoneHang));
        let exchanged = match mishap {
            None | Some(Mishap::Fine | Mishap::DoneHang) => Ok(self.answer(&request)),
            Some(Mishap::Answer(status, body)) => Ok(text(status, body)),
            Some(Mishap::DoneAnswer(status, body)) => {
                self.answer(&request);
                Ok(text(status, body))
            }
            Some(Mishap::DoneSilent) => {
                self.answer(&request);
                Err(CallFault::Unclear("reset".to_owned()))
            }
            Some(Mishap::Refused) => Err(CallFault::NotSent("refused".to_owned())),
        };
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            exchanged
        })
    }
}

pub const SECRET: &str = "the-credential-of-the-upstream";

pub fn new_upstream(version: i64) -> NewUpstream {
    NewUpstream {
        version,
        base_url: "https://up.test/v2".to_owned(),
        sign_in: "bearer".to_owned(),
        user: String::new(),
        token_url: String::new(),
        client_id: String::new(),
        scope: String::new(),
        secret: Secret::new(SECRET.to_owned()),
        trusted_ca: String::new(),
        quirks: Vec::new(),
        limits: Limits::default(),
    }
}

impl House {
    /// Gives the gateway a service in memory, and a federation it as its target.
    pub async fn upstream(&self, slug: &str) -> (domain::federations::Federation, Arc<Memory>) {
        let memory = Arc::new(Memory::default());
        self.keyward.connect_upstreams(Arc::clone(&memory) as Arc<dyn Upstream>);
        let federation = self.federation(slug).await;
        let slug = Slug::parse(slug).unwrap();
        let set = target::set_upstream(&self.admin(), &slug, new_upstream(federation.version)).await;
        (set.unwrap(), memory)
    }
}
