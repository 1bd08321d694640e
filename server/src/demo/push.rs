//! Identity providers of the demo: they provision people over real SCIM with a real key.
//!
//! First everybody who is missing, then every few seconds the small things that happen all day: a
//! title changes, somebody leaves and comes back, somebody changes teams. One request at a time;
//! whatever is answered with an error is noted and let be, as the next round comes anyway.

use std::{sync::Arc, time::Duration};

use domain::Secret;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use super::people::{GROUPS, STAFF, user_name};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// How often something happens in the demo.
pub const PACE: Duration = Duration::from_secs(4);

const PATIENCE: Duration = Duration::from_secs(10);

/// Whose habits a provider has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Okta: operations without a path.
    Okta,
    /// Entra: capital verbs, booleans as text.
    Entra,
    /// As RFC 7644 shows it.
    Plain,
}

impl Dialect {
    const fn user_agent(self) -> &'static str {
        match self {
            Self::Okta => "Okta SCIM Client 1.0.0",
            Self::Entra => "Mozilla/5.0 (compatible; Microsoft-AAD-Provisioning/1.0)",
            Self::Plain => "scim-for-keycloak/2.4",
        }
    }

    /// A PATCH that sets one attribute.
    fn set(self, attribute: &str, value: &Value) -> Value {
        let operation = match self {
            Self::Okta => json!({ "op": "replace", "value": { attribute: value } }),
            Self::Entra => {
                let value = match value {
                    Value::Bool(true) => json!("True"),
                    Value::Bool(false) => json!("False"),
                    other @ (Value::Null
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_)
                    | Value::Object(_)) => other.clone(),
                };
                json!({ "op": "Replace", "path": attribute, "value": value })
            }
            Self::Plain => json!({ "op": "replace", "path": attribute, "value": value }),
        };
        json!({ "schemas": [PATCH], "Operations": [operation] })
    }

    /// A PATCH that adds a member to a group, or removes one.
    fn membership(self, id: &str, joins: bool) -> Value {
        let operation = match (self, joins) {
            (Self::Entra, true) => json!({ "op": "Add", "path": "members", "value": [{ "value": id }] }),
            (Self::Okta | Self::Plain, true) => {
                json!({ "op": "add", "path": "members", "value": [{ "value": id }] })
            }
            (Self::Entra, false) => {
                json!({ "op": "Remove", "path": "members", "value": [{ "value": id }] })
            }
            (Self::Okta | Self::Plain, false) => {
                json!({ "op": "remove", "path": format!("members[value eq \"{id}\"]") })
            }
        };
        json!({ "schemas": [PATCH], "Operations": [operation] })
    }
}

/// One provider and what it was given.
pub struct Push {
    /// The SCIM base URL, `…/scim/{federation}/v2`.
    pub base_url: String,
    /// The key.
    pub key: Arc<Secret>,
    /// The key that it is handed once everybody is provisioned: a rotation that is under way.
    pub successor: Option<Arc<Secret>>,
    /// Keys that are brought to it: it tries a new one, and works with it from its next turn on.
    pub incoming: Option<watch::Receiver<Option<Arc<Secret>>>>,
    /// Its habits.
    pub dialect: Dialect,
    /// How many of [`STAFF`] it provisions, from the first.
    pub people: usize,
    /// How long it rests between changes.
    pub pace: Duration,
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the request was not answered: {0}")]
    Transport(#[from] reqwest::Error),
    #[error("answered with status {0}")]
    Status(StatusCode),
}

/// Provisions until `stop` turns true or its sender is gone.
pub async fn run(push: Push, mut stop: watch::Receiver<bool>) {
    crate::out::http::install_crypto();
    let client = reqwest::Client::builder()
        .user_agent(push.dialect.user_agent())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(PATIENCE)
        .build();
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            tracing::warn!(%error, "the simulated provider has no HTTP client");
            return;
        }
    };
    let work = Worker { push, client }.work();
    tokio::select! {
        () = work => {}
        // An error means that the sender is gone, which stops it as well.
        _ = stop.wait_for(|stopped| *stopped) => {}
    }
}

struct Worker {
    push: Push,
    client: reqwest::Client,
}

impl Worker {
    async fn work(mut self) {
        let staff: Vec<_> = STAFF.iter().take(self.push.people).collect();
        for person in &staff {
            note("provisioning a user", self.ensure_user(person).await);
        }
        for group in GROUPS {
            note("provisioning a group", self.ensure_group(group).await);
        }
        if let Some(successor) = self.push.successor.take() {
            self.push.key = successor;
        }
        if staff.is_empty() {
            return;
        }
        let mut tried = None;
        // 7 shares no factor with the sizes of the cast, so that everybody has a turn.
        for round in 0_usize.. {
            sleep(self.push.pace).await;
            if let Some(key) = tried.take() {
                self.push.key = key;
            } else if let Some(key) = self.arrived() {
                note("a connection test", self.test(&key).await);
                tried = Some(key);
            }
            let person = staff[(round * 7) % staff.len()];
            note("a change", self.change(person, round).await);
        }
    }

    /// A key that was brought since the last look.
    fn arrived(&mut self) -> Option<Arc<Secret>> {
        let incoming = self.push.incoming.as_mut()?;
        // An error means that nobody brings keys any more.
        incoming.has_changed().unwrap_or(false).then(|| incoming.borrow_and_update().clone()).flatten()
    }

    /// The button "Test connection" of a provider.
    async fn test(&self, key: &Secret) -> Result<(), Trouble> {
        self.send_with(key, Method::GET, "ServiceProviderConfig", None).await.map(drop)
    }

    /// The id of a user, who is created when there is none.
    async fn ensure_user(&self, person: &(&str, &str, &str, &str)) -> Result<Option<String>, Trouble> {
        let name = user_name(person);
        if let Some(found) = self.find("Users", "userName", &name).await? {
            return Ok(id_of(&found));
        }
        let made = self.send(Method::POST, "Users", Some(&user(person, person.2))).await?;
        Ok(id_of(&made))
    }

    async fn ensure_group(&self, group: &str) -> Result<(), Trouble> {
        if self.find("Groups", "displayName", group).await?.is_some() {
            return Ok(());
        }
        let mut members = Vec::new();
        for person in STAFF.iter().take(self.push.people).filter(|person| person.3 == group) {
            if let Some(found) = self.find("Users", "userName", &user_name(person)).await? {
                members.extend(id_of(&found).map(|id| json!({ "value": id })));
            }
        }
        let body = json!({ "schemas": [GROUP], "displayName": group, "members": members });
        self.send(Method::POST, "Groups", Some(&body)).await.map(drop)
    }

    /// One of the small things that happen all day. Each round looks the person up first, as
    /// providers do before they write.
    async fn change(&self, person: &(&str, &str, &str, &str), round: usize) -> Result<(), Trouble> {
        let Some(found) = self.find("Users", "userName", &user_name(person)).await? else {
            return self.ensure_user(person).await.map(drop);
        };
        let Some(id) = id_of(&found) else { return Ok(()) };
        let path = format!("Users/{id}");
        match round % 4 {
            0 => {
                let is_active = found.get("active").and_then(Value::as_bool).unwrap_or(true);
                let body = self.push.dialect.set("active", &json!(!is_active));
                self.send(Method::PATCH, &path, Some(&body)).await.map(drop)
            }
            1 => {
                let title = match found.get("title").and_then(Value::as_str) {
                    Some(title) if title == person.2 => format!("Senior {title}"),
                    Some(_) | None => person.2.to_owned(),
                };
                self.send(Method::PUT, &path, Some(&user(person, &title))).await.map(drop)
            }
            2 => self.change_teams(&id, GROUPS[(round / 4) % GROUPS.len()]).await,
            _ => Ok(()),
        }
    }

    async fn change_teams(&self, id: &str, group: &str) -> Result<(), Trouble> {
        let Some(found) = self.find("Groups", "displayName", group).await? else { return Ok(()) };
        let Some(group_id) = id_of(&found) else { return Ok(()) };
        let members = found.get("members").and_then(Value::as_array);
        let is_member =
            members.is_some_and(|members| members.iter().any(|member| member["value"].as_str() == Some(id)));
        let body = self.push.dialect.membership(id, !is_member);
        self.send(Method::PATCH, &format!("Groups/{group_id}"), Some(&body)).await.map(drop)
    }

    /// The first resource of a filtered list.
    async fn find(&self, kind: &str, attribute: &str, value: &str) -> Result<Option<Value>, Trouble> {
        let filter = format!("{attribute} eq {}", json!(value));
        let query =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("filter", &filter).finish();
        let list = self.send(Method::GET, &format!("{kind}?{query}"), None).await?;
        Ok(list.get("Resources").and_then(|resources| resources.get(0)).cloned())
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        self.send_with(&self.push.key, method, path, body).await
    }

    async fn send_with(
        &self,
        key: &Secret,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Trouble> {
        let mut request = self
            .client
            .request(method, format!("{}/{path}", self.push.base_url))
            .bearer_auth(key.expose())
            .header(reqwest::header::ACCEPT, "application/scim+json");
        if let Some(body) = body {
            request =
                request.header(reqwest::header::CONTENT_TYPE, "application/scim+json").body(body.to_string());
        }
        let answer = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(Trouble::Status(status));
        }
        let text = answer.bytes().await.map_err(reqwest::Error::without_url)?;
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }
}

fn note<T>(what: &'static str, outcome: Result<T, Trouble>) {
    if let Err(trouble) = outcome {
        tracing::warn!(%trouble, what, "the simulated provider goes on");
    }
}

fn id_of(resource: &Value) -> Option<String> {
    resource.get("id")?.as_str().map(str::to_owned)
}

fn user(person: &(&str, &str, &str, &str), title: &str) -> Value {
    let (given, family, _, department) = person;
    let name = user_name(person);
    json!({
        "schemas": [USER, ENTERPRISE],
        "userName": name,
        "externalId": format!("nw-{name}"),
        "name": { "givenName": given, "familyName": family },
        "displayName": format!("{given} {family}"),
        "title": title,
        "emails": [{ "value": name, "type": "work", "primary": true }],
        "active": true,
        (ENTERPRISE): { "department": department },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_says_it_in_its_own_way() {
        let operation = |body: Value| body["Operations"][0].clone();
        assert_eq!(
            operation(Dialect::Okta.set("active", &json!(false))),
            json!({ "op": "replace", "value": { "active": false } })
        );
        assert_eq!(
            operation(Dialect::Entra.set("active", &json!(false))),
            json!({ "op": "Replace", "path": "active", "value": "False" })
        );
        assert_eq!(
            operation(Dialect::Plain.membership("a", false)),
            json!({ "op": "remove", "path": "members[value eq \"a\"]" })
        );
    }

    #[test]
    fn everybody_has_a_turn() {
        for people in [40, 24, 12] {
            let turns: std::collections::BTreeSet<usize> =
                (0..people).map(|round| (round * 7) % people).collect();
            assert_eq!(turns.len(), people);
        }
    }
}
