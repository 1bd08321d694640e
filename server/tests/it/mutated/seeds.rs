//! Good requests of every kind, before anything happens to them.

use serde_json::{Value, json};

use crate::{
    house::{ENTERPRISE_URN, GROUP_URN, PATCH_URN, USER_URN},
    process::http_client,
};

/// Numbers that look random and are the same for the same seed (SplitMix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % (limit.max(1) as u64)).unwrap()
    }

    pub fn one_of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

/// What a worker made for itself.
pub struct Own {
    pub user: String,
    pub group: String,
}

/// Makes a user and a group of a worker's own.
pub async fn own(base: &str, key: &str, worker: u64) -> Own {
    let http = http_client();
    let post = async |kind: &str, body: Value| -> String {
        let request = http.post(format!("{base}/{kind}")).bearer_auth(key);
        let answer =
            request.header("content-type", "application/scim+json").body(body.to_string()).send().await;
        let text = answer.unwrap().text().await.unwrap();
        let made: Value = serde_json::from_str(&text).unwrap();
        made["id"].as_str().unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    let user = post("Users", user(&format!("own{worker}@example.com"))).await;
    let group =
        post("Groups", json!({ "displayName": format!("own{worker}"), "members": [{ "value": user }] }))
            .await;
    Own { user, group }
}

fn user(name: &str) -> Value {
    json!({
        "schemas": [USER_URN, ENTERPRISE_URN], "userName": name, "externalId": format!("ext-{name}"), "active": true,
        "name": { "givenName": "Mia", "familyName": "Berg" }, "displayName": "Mia Berg", "title": "Lead",
        "emails": [{ "value": name, "type": "work", "primary": true }, { "value": "m@home.example", "type": "home" }],
        ENTERPRISE_URN: { "employeeNumber": "7", "department": "R&D", "manager": { "value": "m1" } },
    })
}

/// A request in its parts.
pub struct Seed {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Option<Value>,
}

impl Seed {
    pub fn get(target: String, key: &str) -> Self {
        Self::new("GET", target, key, None)
    }

    fn new(method: &str, target: String, key: &str, body: Option<Value>) -> Self {
        let mut headers = vec![
            ("Host".to_owned(), b"127.0.0.1".to_vec()),
            ("Authorization".to_owned(), format!("Bearer {key}").into_bytes()),
        ];
        if body.is_some() {
            headers.push(("Content-Type".to_owned(), b"application/scim+json".to_vec()));
        }
        Self { method: method.to_owned(), target, headers, body }
    }

    /// The whole request as it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let body = self.body.as_ref().map(|body| body.to_string().into_bytes());
        self.bytes_with(body.as_deref())
    }

    /// The request with another body, and a length that is right.
    pub fn bytes_with(&self, body: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = self.head();
        if let Some(body) = body {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            bytes.extend_from_slice(body);
        } else {
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    /// The request line and the headers, each with its end.
    pub fn head(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }
}

/// A good request: of ten, three read, three create or replace, three patch, one is about the server itself.
pub fn seed(chance: &mut Chance, own: &Own, key: &str, worker: u64, number: u32) -> Seed {
    let base = "/scim/okta/v2";
    let user_path = format!("{base}/Users/{}", own.user);
    let group_path = format!("{base}/Groups/{}", own.group);
    let name = format!("w{worker}n{}@example.com", number % 40);
    let patch = |operations: Value| json!({ "schemas": [PATCH_URN], "Operations": operations });
    match chance.below(20) {
        0 => Seed::get(user_path, key),
        1 => Seed::get(group_path, key),
        2 => Seed::get(format!("{base}/Users?startIndex=1&count=3&attributes=userName"), key),
        3 | 4 => Seed::get(format!("{base}/Users?filter=userName%20eq%20%22{name}%22"), key),
        5 => Seed::get(
            format!("{base}/Groups?filter=displayName%20eq%20%22own%22&excludedAttributes=members"),
            key,
        ),
        6 | 7 => Seed::new("POST", format!("{base}/Users"), key, Some(user(&name))),
        8 => Seed::new(
            "POST",
            format!("{base}/Groups"),
            key,
            Some(json!({ "displayName": name, "members": [{ "value": own.user }] })),
        ),
        9 | 10 => Seed::new("PUT", user_path, key, Some(user(&format!("own{worker}@example.com")))),
        11 => {
            let body = json!({ "schemas": [GROUP_URN], "displayName": format!("own{worker}"), "members": [{ "value": own.user }] });
            Seed::new("PUT", group_path, key, Some(body))
        }
        12 => Seed::new(
            "PATCH",
            user_path,
            key,
            Some(patch(json!([{ "op": "replace", "path": "title", "value": name }]))),
        ),
        13 => {
            let operations =
                json!([{ "op": "replace", "path": "emails[type eq \"work\"].value", "value": name }]);
            Seed::new("PATCH", user_path, key, Some(patch(operations)))
        }
        14 => {
            let operations =
                json!([{ "op": "Replace", "value": { "active": "False", "name.givenName": "K" } }]);
            Seed::new("PATCH", user_path, key, Some(patch(operations)))
        }
        15 => {
            let operations = json!([
                { "op": "add", "path": "members", "value": [{ "value": own.user }] },
                { "op": "remove", "path": format!("members[value eq \"{}\"]", own.user) },
            ]);
            Seed::new("PATCH", group_path, key, Some(patch(operations)))
        }
        16 => {
            let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "count": 2,
                "filter": format!("userName eq \"{name}\""), "attributes": ["userName"] });
            Seed::new("POST", format!("{base}/Users/.search"), key, Some(body))
        }
        17 => {
            let operations = json!([{ "method": "POST", "path": "/Users", "bulkId": "b1", "data": user(&name) },
                { "method": "PATCH", "path": format!("/Users/{}", own.user),
                  "data": { "Operations": [{ "op": "replace", "path": "nickName", "value": "b" }] } }]);
            let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations });
            Seed::new("POST", format!("{base}/Bulk"), key, Some(body))
        }
        18 => Seed::new("DELETE", format!("{base}/Users/01900000-0000-7000-8000-{number:012}"), key, None),
        _ => Seed::get(
            format!(
                "{base}{}",
                chance.one_of(&["/ServiceProviderConfig", "/Schemas", "/ResourceTypes/User", "/Me"])
            ),
            key,
        ),
    }
}
