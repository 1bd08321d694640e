//! An operation that a brake holds: what it would do, to what, who asked, and what became of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Brake;
use crate::{CaseId, DAY_MS, FederationId, HeldId, KeyId, Millis, hex, scopes::Verb};

/// Without a decision in this time an operation is rejected.
pub const DECIDE_MS: Millis = DAY_MS;

/// What was approved passes within this time.
pub const PASS_MS: Millis = DAY_MS;

/// What was rejected is remembered until its source has been silent for so long.
pub const MEMORY_MS: Millis = DAY_MS;

/// What became of a held operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldState {
    /// Waits for a person.
    Held,
    /// Passes when it comes again.
    Approved,
    /// A person refused it: it is remembered, and refused when it comes again.
    Rejected,
    /// Nobody decided: refused like a rejected one.
    Expired,
    /// It came again after its approval, and was done.
    Done,
    /// It was approved, and did not come again.
    Lapsed,
    /// What it was held for is allowed by now, or its source has stopped.
    Over,
}

impl HeldState {
    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Held, Self::Approved, Self::Rejected, Self::Expired, Self::Done, Self::Lapsed, Self::Over];

    /// The word in API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Done => "done",
            Self::Lapsed => "lapsed",
            Self::Over => "over",
        }
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Held => "Held",
            Self::Approved => "Approved, waits for the provider",
            Self::Rejected => "Rejected",
            Self::Expired => "Expired as rejected",
            Self::Done => "Done after approval",
            Self::Lapsed => "Approved, did not come again",
            Self::Over => "Over",
        }
    }

    /// Whether the same operation is recognised by it when it comes again.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Held | Self::Approved | Self::Rejected | Self::Expired)
    }

    /// Reads the word of [`HeldState::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What an operation would change, and what is there: the values of the attributes that differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    /// The resource before; null for what would be created.
    pub before: Value,
    /// The attributes as they would become; null for what would be deleted.
    pub after: Value,
    /// Some of the ids that would join, the first 200.
    pub joining: Vec<String>,
    /// How many would join.
    pub joining_count: i64,
    /// Some of the ids that would leave, the first 200.
    pub leaving: Vec<String>,
    /// How many would leave.
    pub leaving_count: i64,
    /// How many members the group has.
    pub members: Option<i64>,
    /// How many active users the federation had.
    pub population: i64,
    /// What was counted before it.
    pub counted: i64,
    /// The limit.
    pub limit: i64,
    /// What was expected, in a sentence.
    pub expected: String,
    /// Why it is held, in a clause.
    pub why: String,
}

/// An operation that is or was held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldOperation {
    /// Of which federation.
    pub federation_id: FederationId,
    /// Its id.
    pub id: HeldId,
    /// In which case.
    pub case_id: CaseId,
    /// Its number in the federation: the order of the list.
    pub number: i64,
    /// What holds it.
    pub brake: Brake,
    /// What became of it.
    pub state: HeldState,
    /// What it is recognised by.
    pub fingerprint: String,
    /// Create, update or delete.
    pub verb: Verb,
    /// `User` or `Group`.
    pub resource_type: String,
    /// The resource; of what would be created, the id that it would have had.
    pub resource_id: String,
    /// Its name.
    pub name: String,
    /// What would change.
    pub image: Image,
    /// What A13 has never seen, in words.
    pub subject: String,
    /// The key that asked.
    pub key_id: KeyId,
    /// The first request that did.
    pub request_id: String,
    /// Its address.
    pub source: Option<String>,
    /// Its user agent.
    pub agent: Option<String>,
    /// How often it came.
    pub count: i64,
    /// When it came first.
    pub first_ms: Millis,
    /// When it came last.
    pub last_ms: Millis,
    /// When it was decided.
    pub decided_ms: Option<Millis>,
    /// By whom.
    pub decided_by: Option<String>,
    /// Why.
    pub reason: String,
    /// When it was done after its approval.
    pub done_ms: Option<Millis>,
}

impl HeldOperation {
    /// Its state at a moment, whether or not the timer has noted it.
    pub fn state_at(&self, now_ms: Millis) -> HeldState {
        let decided_ms = self.decided_ms.unwrap_or(self.first_ms);
        match self.state {
            HeldState::Held if now_ms - self.first_ms >= DECIDE_MS => HeldState::Expired,
            HeldState::Approved if now_ms - decided_ms >= PASS_MS => HeldState::Lapsed,
            HeldState::Rejected | HeldState::Expired if now_ms - self.last_ms >= MEMORY_MS => HeldState::Over,
            HeldState::Held
            | HeldState::Approved
            | HeldState::Rejected
            | HeldState::Expired
            | HeldState::Done
            | HeldState::Lapsed
            | HeldState::Over => self.state,
        }
    }
}

/// What an operation is recognised by when it comes again: what is done, to what, and what it changes. Two
/// requests that mean the same are the same operation, whether PUT or PATCH.
pub fn fingerprint(
    federation_id: &FederationId,
    verb: Verb,
    resource_type: &str,
    resource: &str,
    after: &Value,
    joining: &[String],
    leaving: &[String],
) -> String {
    let mut hasher = Sha256::new();
    let mut field = |text: &str| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    };
    field("keyward-held-v1");
    field(federation_id.as_str());
    field(verb.as_str());
    field(resource_type);
    field(resource);
    field(&canonical(after));
    for ids in [joining, leaving] {
        let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        ids.sort_unstable();
        field(&ids.len().to_string());
        for id in ids {
            field(id);
        }
    }
    hex(&hasher.finalize())
}

/// JSON with sorted names, whatever order a client or a library gives them.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(parts) => {
            let mut parts: Vec<(&String, &Value)> = parts.iter().collect();
            parts.sort_by_key(|(name, _)| *name);
            let parts: Vec<String> = parts
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(canonical).collect();
            format!("[{}]", values.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// What is approved: the hash of a list of held operations, each with its number, id and fingerprint, in the
/// order of their numbers.
pub fn list_hash<'a>(
    case_id: &CaseId,
    operations: impl Iterator<Item = (i64, &'a HeldId, &'a str)>,
) -> String {
    let mut lines: Vec<(i64, String)> =
        operations.map(|(number, id, print)| (number, format!("{number} {id} {print}"))).collect();
    lines.sort_unstable();
    let mut hasher = Sha256::new();
    hasher.update("keyward-held-list-v1\n");
    hasher.update(case_id.as_str());
    for (_, line) in lines {
        hasher.update("\n");
        hasher.update(line);
    }
    hex(&hasher.finalize())
}

/// What people compare of a hash.
pub fn short_hash(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn print(verb: Verb, id: &str, after: &Value, leaving: &[&str]) -> String {
        let leaving: Vec<String> = leaving.iter().map(|id| (*id).to_owned()).collect();
        fingerprint(&FederationId::new(1, [1; 10]), verb, "User", id, after, &[], &leaving)
    }

    #[test]
    fn the_same_operation_is_recognised_and_another_is_not() {
        let after = json!({ "active": false, "name": { "givenName": "a", "familyName": "b" } });
        let again = json!({ "name": { "familyName": "b", "givenName": "a" }, "active": false });
        let first = print(Verb::Update, "1", &after, &["x", "y"]);
        assert_eq!(first, print(Verb::Update, "1", &again, &["y", "x"]));
        for other in [
            print(Verb::Delete, "1", &after, &["x", "y"]),
            print(Verb::Update, "2", &after, &["x", "y"]),
            print(Verb::Update, "1", &json!({ "active": true }), &["x", "y"]),
            print(Verb::Update, "1", &after, &["x"]),
            print(Verb::Update, "1", &after, &["xy"]),
        ] {
            assert_ne!(first, other);
        }
    }

    fn held(number: i64, state: HeldState) -> HeldOperation {
        HeldOperation {
            federation_id: FederationId::new(1, [1; 10]),
            id: HeldId::new(number, [1; 10]),
            case_id: CaseId::new(1, [1; 10]),
            number,
            brake: Brake::R1,
            state,
            fingerprint: format!("f{number}"),
            verb: Verb::Delete,
            resource_type: "User".to_owned(),
            resource_id: String::new(),
            name: String::new(),
            image: Image::default(),
            subject: String::new(),
            key_id: KeyId::new(1, [1; 10]),
            request_id: String::new(),
            source: None,
            agent: None,
            count: 1,
            first_ms: 1_000,
            last_ms: 2_000,
            decided_ms: Some(1_500),
            decided_by: None,
            reason: String::new(),
            done_ms: None,
        }
    }

    #[test]
    fn the_hash_of_a_list_is_of_its_order_and_of_nothing_less() {
        let case = CaseId::new(1, [1; 10]);
        let (one, two) = (held(1, HeldState::Held), held(2, HeldState::Held));
        let hash = |case: &CaseId, list: &[&HeldOperation]| {
            list_hash(case, list.iter().map(|held| (held.number, &held.id, held.fingerprint.as_str())))
        };
        let both = hash(&case, &[&one, &two]);
        assert_eq!(both, hash(&case, &[&two, &one]));
        assert_ne!(both, hash(&case, &[&one]));
        assert_ne!(both, hash(&CaseId::new(2, [1; 10]), &[&one, &two]));
        assert_eq!(short_hash(&both).len(), 12);
    }

    #[test]
    fn states_end_by_the_time() {
        for (state, last_moment, then) in [
            (HeldState::Held, 1_000 + DECIDE_MS, HeldState::Expired),
            (HeldState::Approved, 1_500 + PASS_MS, HeldState::Lapsed),
            (HeldState::Rejected, 2_000 + MEMORY_MS, HeldState::Over),
            (HeldState::Expired, 2_000 + MEMORY_MS, HeldState::Over),
        ] {
            let held = held(1, state);
            assert_eq!(held.state_at(last_moment - 1), state);
            assert_eq!(held.state_at(last_moment), then);
        }
        assert_eq!(held(1, HeldState::Done).state_at(i64::MAX / 2), HeldState::Done);
    }

    #[test]
    fn words_are_read_back() {
        for state in HeldState::ALL {
            assert_eq!(HeldState::parse(state.as_str()), Some(state));
        }
    }
}
