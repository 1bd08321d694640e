//! A Keyward with users, and the addresses at it that are asked.

use std::path::Path;

use serde_json::Value;

use crate::client::Client;
use crate::contestants::Doing;
use crate::keyward::{Keyward, Plan, user};
use crate::meter::{self, Target};
use crate::work::Work;
use crate::{Outcome, now, say, seed};

/// The most paths that a run asks in turn.
const PATHS: usize = 10_000;

/// A Keyward with its data.
pub struct House {
    /// The installation; it runs.
    pub keyward: Keyward,
    /// Its users.
    pub paths: Vec<String>,
    /// How long it took to be ready, in milliseconds.
    pub start_ms: f64,
    /// What it held in memory then, in MiB.
    pub idle_mib: f64,
}

impl House {
    /// Makes it with the users of the plan and starts it.
    ///
    /// # Errors
    /// When it does not start, or does not answer as it should.
    pub async fn build(binary: &Path, name: &str, plan: Plan<'_>) -> Outcome<Self> {
        let mut keyward = Keyward::prepare_with(binary, name, plan).await?;
        let since = now();
        keyward.start().await?;
        let start_ms = since.elapsed().as_secs_f64() * 1e3;
        let idle_mib = meter::resident_mib(keyward.pid())?;
        let base = &keyward.base;
        let paths = (0..plan.users).map(|number| format!("{base}/Users/{}", store::raw::id(number.into())));
        let house = Self { paths: paths.collect(), keyward, start_ms, idle_mib };
        say(&format!("  {name}: {} users, {} keys", plan.users, house.keyward.keys.len()));
        if plan.users > 0 {
            house.check().await?;
            house.check_kinship().await?;
        }
        Ok(house)
    }

    /// It, to be asked.
    pub fn target(&self) -> Target {
        Target { port: self.keyward.port, pid: self.keyward.pid(), bearer: self.keyward.key.clone() }
    }

    /// An address below its SCIM base.
    pub fn at(&self, rest: &str) -> String {
        format!("{}{rest}", self.keyward.base)
    }

    /// Reading these in turn.
    pub fn reads(&self, paths: Vec<String>, connections: u32) -> Doing {
        Doing::Asked(vec![self.target()], Work::Read(paths), connections)
    }

    /// Doing this.
    pub fn does(&self, work: Work, connections: u32) -> Doing {
        Doing::Asked(vec![self.target()], work, connections)
    }

    /// A sample of its users.
    pub fn sample(&self) -> Vec<String> {
        self.paths.iter().step_by(self.paths.len() / PATHS + 1).cloned().collect()
    }

    /// The body of a GET, which must be answered 200.
    ///
    /// # Errors
    /// When it is not.
    pub async fn body(&self, path: &str) -> Outcome<Vec<u8>> {
        let answer = self.keyward.client().await?.send("GET", path, "").await?;
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(format!("GET {path}: {} {text}", answer.status).into());
        }
        Ok(answer.body)
    }

    async fn json(&self, path: &str) -> Outcome<Value> {
        Ok(serde_json::from_slice(&self.body(path).await?)?)
    }

    /// Filters that find one user each.
    ///
    /// # Errors
    /// When one does not.
    pub async fn filters(&self, attribute: &str) -> Outcome<Vec<String>> {
        let step = self.paths.len() / PATHS + 1;
        let at = if attribute == "userName" { "@example.com" } else { "" };
        let filter =
            |number: usize| self.at(&format!("/Users?filter={attribute}%20eq%20%22u{number}{at}%22"));
        let numbers: Vec<usize> = (0..self.paths.len()).step_by(step).collect();
        for number in numbers.iter().step_by(numbers.len() / 10 + 1) {
            let found = self.json(&filter(*number)).await?;
            if found["totalResults"] != 1 || found["Resources"][0]["id"] != seed::id_in(&self.paths[*number])
            {
                return Err(format!("{attribute} eq: {found}").into());
            }
        }
        Ok(numbers.into_iter().map(filter).collect())
    }

    /// The address of a list of 100.
    ///
    /// # Errors
    /// When it does not list 100 of them all.
    pub async fn list(&self) -> Outcome<String> {
        let path = self.at("/Users?count=100");
        let list = self.json(&path).await?;
        let shown = list["Resources"].as_array().map_or(0, Vec::len);
        let total = list["totalResults"].as_u64().unwrap_or(0);
        if shown == 100 && total >= self.paths.len() as u64 {
            return Ok(path);
        }
        Err(format!("a list of 100 has {shown} of {total}").into())
    }

    /// The address of the page of 100 with this number, reached by the cursors of RFC 9865.
    ///
    /// # Errors
    /// When there are fewer pages.
    pub async fn page(&self, number: usize) -> Outcome<String> {
        let mut client = self.keyward.client().await?;
        let mut path = self.at("/Users?cursor=&count=100");
        for page in 1..number {
            let answer = client.send("GET", &path, "").await?;
            let text = String::from_utf8(answer.body)?;
            let next = text.split_once("\"nextCursor\":\"").and_then(|(_, rest)| rest.split_once('"'));
            let (cursor, _) = next.ok_or_else(|| {
                let end = text.get(text.len().saturating_sub(300)..).unwrap_or_default();
                format!("page {page} of {number} ({}) has no next: …{end}", answer.status)
            })?;
            path = self.at(&format!("/Users?count=100&cursor={cursor}"));
        }
        let last = self.json(&path).await?;
        if last["Resources"].as_array().is_none_or(|users| users.len() != 100) {
            return Err(format!("page {number} has no 100 users").into());
        }
        Ok(path)
    }

    /// How many audit records there are: what was refused without a key leaves one each.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn records(&self) -> Outcome<i64> {
        let target = store::Target::sqlite(self.keyward.folder().join("data/keyward.db"));
        Ok(store::raw::audit_records(&target).await?)
    }

    /// Looks at a sample of answers as a client would.
    ///
    /// # Errors
    /// When one is not what it should be.
    pub async fn check(&self) -> Outcome {
        let mut client = self.keyward.client().await?;
        for path in self.paths.iter().step_by(self.paths.len() / 10 + 1) {
            let answer = client.send("GET", path, "").await?;
            let user: Value = serde_json::from_slice(&answer.body)?;
            if answer.status != 200 || user["id"] != seed::id_in(path) || !user["active"].is_boolean() {
                return Err(format!("GET {path}: {} {user}", answer.status).into());
            }
        }
        let path = self.paths.first().ok_or("a house without users")?;
        let refused = Client::connect(self.keyward.port, "").await?.send("GET", path, "").await?.status;
        if refused == 401 {
            Ok(())
        } else {
            Err(format!("a request without a key was answered {refused}").into())
        }
    }

    /// Whether a user that was filled in looks like one that was provisioned.
    async fn check_kinship(&self) -> Outcome {
        let mut client = self.keyward.client().await?;
        let made = client.send("POST", &self.at("/Users"), &user("provisioned")).await?;
        let made: Value = serde_json::from_slice(&made.body)?;
        let filled = self.json(&self.paths[0]).await?;
        let plain = |user: &Value, name: &str| {
            let mut user = user.clone();
            user["id"] = Value::Null;
            user["meta"] = user["meta"]["resourceType"].clone();
            user.to_string().replace(name, "*")
        };
        let id = made["id"].as_str().ok_or_else(|| format!("POST: {made}"))?;
        if plain(&made, "provisioned") != plain(&filled, "u0") {
            return Err(format!("{filled} was filled in, {made} was provisioned").into());
        }
        let gone = client.send("DELETE", &self.at(&format!("/Users/{id}")), "").await?.status;
        if gone == 204 { Ok(()) } else { Err(format!("DELETE: {gone}").into()) }
    }
}
