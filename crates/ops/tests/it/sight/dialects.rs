//! How each provider says it. The forms are those of `crates/scim/tests/dialects` and of `docs/scim.md`.

use serde_json::{Value, json};

use super::{
    people::{Group, Happened, People, Person},
    traffic::{ENTERPRISE, GROUP, Request, USER, tilde},
};

/// Whose habits a provider has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Entra,
    Okta,
    Google,
    Authentik,
    Script,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Entra, Self::Okta, Self::Google, Self::Authentik, Self::Script];

    pub fn slug(self) -> &'static str {
        match self {
            Self::Entra => "entra",
            Self::Okta => "okta",
            Self::Google => "google",
            Self::Authentik => "authentik",
            Self::Script => "script",
        }
    }

    pub fn vendor(self) -> &'static str {
        match self {
            Self::Script => "other",
            Self::Entra | Self::Okta | Self::Google | Self::Authentik => self.slug(),
        }
    }

    pub fn agent(self) -> &'static str {
        match self {
            Self::Entra => "Mozilla/5.0 (compatible; Microsoft-AAD-Provisioning/1.0)",
            Self::Okta => "Okta SCIM Client 1.0.0",
            Self::Google => "Google-HTTP-Java-Client/1.44.2 (gzip)",
            Self::Authentik => "goauthentik.io/outpost/2026.8.1",
            Self::Script => "hr-sync/3.2 python-requests/2.32.3",
        }
    }

    /// A new user.
    pub fn create(self, person: &Person) -> Value {
        let Person { given, family, name, external_id, title, department, is_active, .. } = person;
        let display = person.display();
        match self {
            Self::Entra => json!({
                "schemas": [USER, ENTERPRISE], "externalId": external_id, "userName": name, "active": is_active,
                "displayName": display, "emails": [{ "primary": true, "type": "work", "value": name }],
                "meta": { "resourceType": "User" },
                "name": { "formatted": display, "familyName": family, "givenName": given },
                "title": title, (ENTERPRISE): { "department": department },
            }),
            Self::Okta => json!({
                "schemas": [USER], "userName": name, "name": { "givenName": given, "familyName": family },
                "emails": [{ "primary": true, "value": name, "type": "work" }], "displayName": display,
                "locale": "en-US", "externalId": external_id, "groups": [], "password": "1mz050nq",
                "title": title, "active": is_active,
            }),
            Self::Google => json!({
                "schemas": [USER, ENTERPRISE], "userName": name,
                "name": { "givenName": given, "familyName": family },
                "emails": [{ "value": name, "type": "work", "primary": true }], "active": is_active,
                "externalId": external_id, (ENTERPRISE): { "department": title },
            }),
            Self::Authentik => json!({
                "schemas": [USER], "externalId": external_id, "userName": name,
                "name": { "formatted": display, "givenName": display, "familyName": "" },
                "displayName": display, "active": is_active,
                "emails": [{ "value": name, "type": "other", "primary": true }], "locale": null, "photos": null,
            }),
            Self::Script => json!({
                "schemas": [USER], "userName": name, "externalId": external_id,
                "name": { "givenName": given, "familyName": family },
                "emails": [{ "value": name, "type": "work", "primary": true }], "title": title,
                "active": is_active,
            }),
        }
    }

    /// The same as the body of a PUT.
    pub fn replace(self, person: &Person) -> Value {
        let mut body = self.create(person);
        body["id"] = json!(tilde(&person.handle()));
        if let Some(body) = body.as_object_mut() {
            body.remove("password");
        }
        body
    }

    pub fn find(self, name: &str) -> Request {
        let paging = if self == Self::Okta { "&startIndex=1&count=100" } else { "" };
        Request::get("/Users", &format!("filter=userName eq \"{name}\"{paging}"))
    }

    /// Looks a person up, as it does before it writes.
    pub fn look(self, person: &Person) -> Vec<Request> {
        match self {
            Self::Entra | Self::Google => vec![self.find(&person.name)],
            Self::Okta => vec![Request::one("/Users", &person.handle())],
            Self::Authentik | Self::Script => Vec::new(),
        }
    }

    fn look_group(self, group: &Group) -> Vec<Request> {
        let name = &group.name;
        match self {
            Self::Entra => {
                vec![Request::get(
                    "/Groups",
                    &format!("excludedAttributes=members&filter=displayName eq \"{name}\""),
                )]
            }
            Self::Google => vec![Request::get("/Groups", &format!("filter=displayName eq \"{name}\""))],
            Self::Okta => vec![Request::one("/Groups", &group.handle())],
            Self::Authentik | Self::Script => Vec::new(),
        }
    }

    /// Sets some attributes by PATCH.
    fn set(self, person: &Person, values: &[(&str, Value)]) -> Request {
        let op = if self == Self::Entra { "Replace" } else { "replace" };
        let operations: Vec<Value> =
            values.iter().map(|(path, value)| json!({ "op": op, "path": path, "value": value })).collect();
        Request::patch("/Users", &person.handle(), &json!(operations))
    }

    /// Writes what is different about a person: the whole of them, or the attributes named.
    fn update(self, person: &Person, values: &[(&str, Value)]) -> Request {
        match self {
            Self::Okta | Self::Authentik => Request::put("/Users", &person.handle(), &self.replace(person)),
            Self::Entra | Self::Google | Self::Script => self.set(person, values),
        }
    }

    /// The end of an account.
    pub fn deactivate(self, person: &Person) -> Vec<Request> {
        let mut requests = self.look(person);
        requests.push(match self {
            // It keeps no state: who is not in the list any more is deleted.
            Self::Script => Request::delete("/Users", &person.handle()),
            Self::Entra => self.set(person, &[("active", json!("False"))]),
            Self::Okta | Self::Google | Self::Authentik => self.update(person, &[("active", json!(false))]),
        });
        requests
    }

    /// A new group with its members.
    pub fn create_group(self, people: &People, group: &Group) -> Vec<Request> {
        let mut body = json!({ "schemas": [GROUP], "displayName": group.name });
        match self {
            Self::Okta => body["members"] = json!([]),
            Self::Entra | Self::Authentik | Self::Script => body["externalId"] = json!(group.external_id),
            Self::Google => {}
        }
        let mut requests = Vec::new();
        if self == Self::Entra {
            requests.extend(self.look_group(group));
        }
        requests.push(Request::post("/Groups", &body, &group.handle()));
        requests.extend(self.join(people, group, &group.members.iter().copied().collect::<Vec<_>>()));
        requests
    }

    /// Members join a group.
    pub fn join(self, people: &People, group: &Group, members: &[u32]) -> Vec<Request> {
        if members.is_empty() {
            return Vec::new();
        }
        let id = |number: &u32| tilde(&format!("u{number}"));
        let operations = match self {
            Self::Okta => return vec![Self::put_group(people, group)],
            Self::Entra => json!([{ "op": "Add", "path": "members",
                "value": members.iter().map(|number| json!({ "$ref": null, "value": id(number) })).collect::<Vec<_>>() }]),
            Self::Google | Self::Script => json!([{ "op": "add", "path": "members",
                "value": members.iter().map(|number| json!({ "value": id(number) })).collect::<Vec<_>>() }]),
            // One operation for each.
            Self::Authentik => members
                .iter()
                .map(|number| json!({ "op": "add", "path": "members", "value": [{ "value": id(number) }] }))
                .collect(),
        };
        vec![Request::patch("/Groups", &group.handle(), &operations)]
    }

    /// A member leaves a group.
    fn leave(self, people: &People, group: &Group, number: u32) -> Request {
        let id = tilde(&format!("u{number}"));
        let operations = match self {
            Self::Okta => return Self::put_group(people, group),
            Self::Entra => {
                json!([{ "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": id }] }])
            }
            Self::Authentik => json!([{ "op": "remove", "path": "members", "value": [{ "value": id }] }]),
            Self::Google | Self::Script => {
                json!([{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }])
            }
        };
        Request::patch("/Groups", &group.handle(), &operations)
    }

    /// A group as a whole, members and all.
    pub fn put_group(people: &People, group: &Group) -> Request {
        let members: Vec<Value> = group
            .members
            .iter()
            .filter_map(|number| people.everybody.get(number))
            .map(|person| json!({ "value": tilde(&person.handle()), "display": person.name }))
            .collect();
        let handle = group.handle();
        let body = json!({ "schemas": [GROUP], "id": tilde(&handle), "displayName": group.name, "members": members });
        Request::put("/Groups", &handle, &body)
    }

    /// What is sent of something that happened.
    pub fn tell(self, people: &People, happened: &Happened) -> Vec<Request> {
        let mut requests = Vec::new();
        match happened {
            Happened::Joined { person, groups } => {
                if !matches!(self, Self::Authentik | Self::Script) {
                    requests.push(self.find(&person.name));
                }
                requests.push(Request::post("/Users", &self.create(person), &person.handle()));
                for group in groups {
                    let group = &people.groups[*group];
                    requests.extend(self.look_group(group));
                    requests.extend(self.join(people, group, &[person.number]));
                }
            }
            Happened::Left { person, groups } => {
                for group in groups {
                    let group = &people.groups[*group];
                    requests.extend(self.look_group(group));
                    requests.push(self.leave(people, group, person.number));
                }
                requests.extend(self.deactivate(person));
            }
            Happened::NewTitle(person) => {
                requests.extend(self.look(person));
                let department = format!("{ENTERPRISE}:department");
                requests.push(match self {
                    Self::Google => self.update(person, &[(&department, json!(person.title))]),
                    Self::Entra | Self::Okta | Self::Authentik | Self::Script => {
                        self.update(person, &[("title", json!(person.title))])
                    }
                });
            }
            Happened::NewName { person, before } => {
                if matches!(self, Self::Entra | Self::Google) {
                    requests.push(self.find(before));
                }
                let work = "emails[type eq \"work\"].value";
                let mut values = vec![
                    ("userName", json!(person.name)),
                    ("name.familyName", json!(person.family)),
                    (work, json!(person.name)),
                ];
                if self == Self::Entra {
                    values.push(("displayName", json!(person.display())));
                }
                requests.push(self.update(person, &values));
            }
            Happened::Changed { person, from, to } => {
                let (from, to) = (&people.groups[*from], &people.groups[*to]);
                requests.extend(self.look_group(from));
                requests.push(self.leave(people, from, person.number));
                requests.extend(self.look_group(to));
                requests.extend(self.join(people, to, &[person.number]));
            }
        }
        requests
    }

    /// What begins each of its turns, whatever there is to do.
    pub fn greeting(self, guid: &str) -> Vec<Request> {
        match self {
            Self::Entra => vec![self.find(guid)],
            Self::Google => vec![Request::get("/Users", "count=1")],
            Self::Authentik => vec![Request::get("/ServiceProviderConfig", "")],
            Self::Okta | Self::Script => Vec::new(),
        }
    }

    /// The test of a key that it was just given.
    pub fn test(self, guid: &str) -> Vec<Request> {
        match self {
            Self::Okta => vec![Request::get("/Users", "startIndex=1&count=2")],
            Self::Script => vec![Request::get("/Users", "count=1")],
            Self::Entra | Self::Google | Self::Authentik => self.greeting(guid),
        }
    }

    /// Reads the directory: an import of Okta, the nightly comparison of the script.
    pub fn read_all(self, people: &People) -> Vec<Request> {
        let (page, rest) = if self == Self::Okta { (100, "") } else { (50, "&excludedAttributes=members") };
        let mut requests: Vec<Request> = (0..=people.everybody.len() / page)
            .map(|index| Request::get("/Users", &format!("startIndex={}&count={page}", index * page + 1)))
            .collect();
        requests.push(Request::get("/Groups", &format!("startIndex=1&count={page}{rest}")));
        requests
    }

    /// Everybody and everything once more: a new initial cycle, a forced sync.
    pub fn sync_all(self, people: &People) -> Vec<Request> {
        let mut requests = Vec::new();
        for person in people.everybody.values().filter(|person| person.is_active) {
            requests.extend(self.look(person));
            match self {
                // What is equal is not written.
                Self::Entra | Self::Google => {}
                Self::Okta | Self::Authentik => {
                    requests.push(Request::put("/Users", &person.handle(), &self.replace(person)));
                }
                Self::Script => requests.push(self.set(
                    person,
                    &[("title", json!(person.title)), ("name.familyName", json!(person.family))],
                )),
            }
        }
        for group in &people.groups {
            requests.extend(self.look_group(group));
            match self {
                Self::Entra | Self::Google | Self::Script => {}
                Self::Okta => requests.push(Self::put_group(people, group)),
                Self::Authentik => {
                    let handle = group.handle();
                    let whole = json!({ "id": tilde(&handle), "schemas": [GROUP], "externalId": group.external_id,
                        "displayName": group.name });
                    requests.push(Request::patch(
                        "/Groups",
                        &handle,
                        &json!([{ "op": "replace", "value": whole }]),
                    ));
                    requests.push(Request::one("/Groups", &handle));
                }
            }
        }
        requests
    }
}
