//! What is tolerated is noted, and strict mode refuses it by its name.

use scim::{
    ListQuery, Reading, Resource, ResourceType, Schemas, ScimError, ScimType, Tolerance, Tolerances, patch,
};
use serde_json::{Value, json};

use crate::{ENT, GROUP, USER};

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// Something that a provider sends.
enum Sent {
    Post(ResourceType, Value),
    Bytes(&'static [u8]),
    /// The operations of a PATCH on a resource.
    Patch(ResourceType, Value),
    /// The body of a PATCH.
    PatchBody(Value),
    Query(&'static str),
    Search(Value),
}

use Sent::{Bytes, Patch, PatchBody, Post, Query, Search};

fn user(more: Value) -> Sent {
    let mut body = json!({"schemas": [USER, ENT], "userName": "u"});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    Post(ResourceType::User, body)
}

fn group(members: Value) -> Sent {
    Post(ResourceType::Group, json!({"schemas": [GROUP], "displayName": "g", "members": members}))
}

fn change(operation: Value) -> Sent {
    Patch(ResourceType::User, json!([operation]))
}

impl Sent {
    fn read(&self, reading: &mut Reading) -> Result<(), ScimError> {
        match self {
            Post(kind, body) => Resource::read(*kind, body.to_string().as_bytes(), reading).map(drop),
            Bytes(body) => Resource::read(ResourceType::User, body, reading).map(drop),
            Patch(kind, operations) => {
                let before = match kind {
                    ResourceType::User => json!({
                        "userName": "u",
                        "emails": [{"type": "work", "value": "a@b"}],
                        ENT: {"department": "d", "manager": {"value": "m"}},
                    }),
                    ResourceType::Group => {
                        json!({"displayName": "g", "members": [{"value": "a"}, {"value": "b"}]})
                    }
                };
                let before = Resource::from_value(*kind, before).expect("a resource");
                let body = json!({"schemas": [PATCH], "Operations": operations});
                let operations = patch::read(body.to_string().as_bytes(), reading)?;
                patch::apply_with(*kind, &before, &operations, reading).map(drop)
            }
            PatchBody(body) => patch::read(body.to_string().as_bytes(), reading).map(drop),
            Query(raw) => ListQuery::read(ResourceType::User, raw, reading).map(drop),
            Search(body) => {
                let of = Schemas::standard().of(ResourceType::User);
                ListQuery::read_search(Some(of), body.to_string().as_bytes(), reading).map(drop)
            }
        }
    }
}

/// Each lenience, and what shows it and nothing else.
#[expect(clippy::too_many_lines, reason = "one table")]
fn cases() -> Vec<(Tolerance, Vec<Sent>)> {
    use ResourceType::{Group, User};
    vec![
        (Tolerance::OpCase, vec![change(json!({"op": "Replace", "path": "title", "value": "t"}))]),
        (
            Tolerance::PatchNames,
            vec![
                PatchBody(json!({"schemas": [PATCH], "operations": [{"op": "remove", "path": "title"}]})),
                change(json!({"op": "add", "Path": "title", "value": "t"})),
            ],
        ),
        (
            Tolerance::MissingSchemas,
            vec![
                Post(User, json!({"userName": "u"})),
                Post(User, json!({"schemas": [], "userName": "u"})),
                Post(User, json!({"schemas": [USER], "userName": "u", ENT: {"department": "d"}})),
                PatchBody(json!({"Operations": [{"op": "remove", "path": "title"}]})),
                Search(json!({"count": 1})),
            ],
        ),
        (
            Tolerance::ForeignSchemas,
            vec![Post(
                Group,
                json!({
                    "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
                    "displayName": "g",
                }),
            )],
        ),
        (
            Tolerance::Scim11Schemas,
            vec![Post(User, json!({"schemas": ["urn:scim:schemas:core:1.0"], "userName": "u"}))],
        ),
        (
            Tolerance::StringBoolean,
            vec![
                user(json!({"active": "True"})),
                change(json!({"op": "replace", "path": "active", "value": "False"})),
                Query("filter=active%20eq%20%22True%22"),
            ],
        ),
        (Tolerance::StringNumber, vec![Search(json!({"schemas": [SEARCH], "count": "10"}))]),
        (
            Tolerance::BlankValue,
            vec![
                user(json!({"profileUrl": ""})),
                user(json!({"name": ""})),
                user(json!({"name": []})),
                user(json!({"emails": [null]})),
                user(json!({"phoneNumbers": [{"type": "work", "value": ""}]})),
                user(json!({ENT: ""})),
                change(json!({"op": "replace", "path": format!("{ENT}:manager"), "value": {"value": ""}})),
                change(json!({"op": "replace", "path": "emails[type eq \"work\"].value", "value": ""})),
            ],
        ),
        (
            Tolerance::SingleForList,
            vec![
                user(json!({"emails": {"value": "a@b"}})),
                Post(User, json!({"schemas": USER, "userName": "u"})),
                PatchBody(json!({"schemas": [PATCH], "Operations": {"op": "remove", "path": "title"}})),
                Patch(Group, json!([{"op": "add", "path": "members", "value": {"value": "c"}}])),
                Search(json!({"schemas": [SEARCH], "attributes": "userName"})),
            ],
        ),
        (Tolerance::ListForSingle, vec![user(json!({"name": [{"givenName": "B"}]}))]),
        (
            Tolerance::BareReference,
            vec![
                group(json!(["a"])),
                change(json!({"op": "replace", "path": format!("{ENT}:manager"), "value": "m2"})),
                Patch(Group, json!([{"op": "add", "path": "members", "value": ["c"]}])),
            ],
        ),
        (
            Tolerance::DottedName,
            vec![
                change(json!({"op": "replace", "value": {"name.givenName": "B"}})),
                change(json!({"op": "replace", "value": {"emails[type eq \"work\"].value": "c@d"}})),
            ],
        ),
        (
            Tolerance::UrnName,
            vec![
                change(json!({"op": "replace", "value": {format!("{ENT}:department"): "e"}})),
                change(json!({"op": "replace", "value": {USER: {"title": "t"}}})),
            ],
        ),
        (
            Tolerance::ValuePathUpsert,
            vec![
                change(json!({"op": "add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "1"})),
                change(json!({"op": "replace", "path": "roles.value", "value": "admin"})),
            ],
        ),
        (
            Tolerance::PartialReplacement,
            vec![
                change(json!({"op": "replace", "path": "emails[type eq \"work\"]", "value": {"primary": true}})),
                change(json!({"op": "replace", "path": "emails[value pr]", "value": {"display": "A"}})),
            ],
        ),
        (
            Tolerance::RemoveWithValues,
            vec![
                Patch(Group, json!([{"op": "remove", "path": "members", "value": [{"value": "a"}]}])),
                change(json!({"op": "remove", "path": "emails", "value": [{"value": "a@b"}]})),
            ],
        ),
        (
            Tolerance::UnknownAttribute,
            vec![
                user(json!({"adreses": []})),
                user(json!({"urn:example:other:User": {"a": 1}})),
                user(json!({"name": {"nick": "n"}})),
                user(json!({ENT: {"desk": "4", "department": "d"}})),
                change(json!({"op": "replace", "value": {"custom": {"a": 1}, "title": "t"}})),
                change(json!({"op": "add", "path": "name", "value": {"nick": "n"}})),
                change(json!({"op": "add", "path": ENT, "value": {"desk": "4"}})),
            ],
        ),
        (Tolerance::MemberType, vec![group(json!([{"value": "a", "type": "direct"}]))]),
        (
            Tolerance::ReadOnlyInPatch,
            vec![
                change(json!({"op": "replace", "value": {"meta": {"version": "1"}, "title": "t"}})),
                change(json!({"op": "replace", "value": {"groups": []}})),
            ],
        ),
        (
            Tolerance::IdInPatch,
            vec![Patch(Group, json!([{"op": "replace", "value": {"id": "1", "displayName": "g"}}]))],
        ),
        (Tolerance::SchemasInPatch, vec![change(json!({"op": "add", "path": "schemas", "value": [ENT]}))]),
        (Tolerance::EmptyPath, vec![change(json!({"op": "replace", "path": "", "value": {"title": "t"}}))]),
        (
            Tolerance::PasswordSent,
            vec![
                user(json!({"password": "secret"})),
                change(json!({"op": "replace", "path": "password", "value": "secret"})),
            ],
        ),
        (
            Tolerance::UnquotedFilterValue,
            vec![
                Query("filter=userName%20sw%20O"),
                Query("filter=active%20eq%20True"),
                Query("filter=userName%20eq%205"),
                change(json!({"op": "remove", "path": "emails[type eq work]"})),
            ],
        ),
        (
            Tolerance::ValuePathComparison,
            vec![Query("filter=emails%5Btype%20eq%20%22work%22%5D.value%20eq%20%22a%22")],
        ),
        (Tolerance::FilterInAttributes, vec![Query("attributes=emails%5Btype%20eq%20%22work%22%5D")]),
        (Tolerance::StartIndexZero, vec![Query("startIndex=0"), Query("startIndex=-1")]),
        (Tolerance::CursorWithIndex, vec![Query("cursor=abc&startIndex=1")]),
        (Tolerance::LooseDate, vec![Query("filter=meta.created%20gt%20%222020-01-01%22")]),
        (
            Tolerance::LongFraction,
            vec![Query("filter=meta.created%20gt%20%222015-10-10T14:38:21.8617979-07:00%22")],
        ),
        (Tolerance::NotBase64, vec![user(json!({"x509Certificates": [{"value": "not base64!"}]}))]),
        (Tolerance::PlusForSpace, vec![Query("filter=userName+eq+%22a%22")]),
        (Tolerance::LoosePercent, vec![Query("filter=title%20co%20%22100%%22")]),
        (Tolerance::UnknownParameter, vec![Query("aadOptscim062020")]),
        (
            Tolerance::ByteOrderMark,
            vec![Bytes(
                b"\xEF\xBB\xBF{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"u\"}",
            )],
        ),
    ]
}

#[test]
fn each_lenience_is_noted_and_refused_by_its_name_in_strict_mode() {
    for (tolerance, sent) in cases() {
        for (index, sent) in sent.into_iter().enumerate() {
            let name = format!("{tolerance} {index}");
            let mut lenient = Reading::lenient();
            assert_eq!(sent.read(&mut lenient), Ok(()), "{name}");
            assert_eq!(lenient.seen.words(), [tolerance.as_str()], "{name}");

            let mut strict = Reading::strict();
            match (sent.read(&mut strict), tolerance.scim_type()) {
                (Ok(()), None) => {}
                (Err(err), Some(scim_type)) => {
                    assert_eq!((err.status, err.scim_type), (400, Some(scim_type)), "{name}: {err}");
                    assert!(err.detail.contains(tolerance.as_str()), "{name}: {err}");
                }
                (result, scim_type) => panic!("{name}: {result:?} where {scim_type:?} was expected"),
            }
            assert_eq!(strict.seen.words(), [tolerance.as_str()], "{name}");
        }
    }
}

#[test]
fn every_lenience_of_this_crate_has_a_case() {
    let shown: Tolerances = cases().into_iter().map(|(tolerance, _)| tolerance).collect();
    // The path of a request is not read here; what bulk requests tolerate is shown with them.
    let elsewhere = [Tolerance::TrailingSlash, Tolerance::BulkDataText];
    for tolerance in Tolerance::ALL {
        assert_ne!(shown.contains(*tolerance), elsewhere.contains(tolerance), "{tolerance}");
    }
}

#[test]
fn every_lenience_stands_in_the_documentation() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/scim-tolerances.md");
    let text = std::fs::read_to_string(path).expect("the table is there");
    let found: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let expect: Vec<String> = Tolerance::ALL
        .iter()
        .map(|tolerance| {
            let strict = tolerance
                .scim_type()
                .map_or_else(|| "accepted".to_owned(), |word| format!("`{}`", word.as_str()));
            format!("| `{tolerance}` | {} | {strict} |", tolerance.sentence())
        })
        .collect();
    assert_eq!(found, expect);
}

#[test]
fn what_the_standard_says_is_read_strictly_and_leaves_no_note() {
    let sent = [
        // RFC 7643 8.2, in short: read-only attributes, null and [] are the client's right.
        user(json!({
            "id": "1", "meta": {"resourceType": "User"}, "groups": [], "name": null, "emails": [],
            "phoneNumbers": [{"value": "1", "type": "work"}], "roles": null, "title": "",
            ENT: {"manager": {"value": "m", "displayName": "M"}},
        })),
        // In any case (RFC 7643 2.1).
        user(json!({"DISPLAYNAME": "d", "emails": [{"Value": "a@b", "Primary": true}]})),
        user(json!({ENT.to_uppercase(): {"Department": "d"}})),
        change(
            json!({"op": "add", "value": {"emails": [{"value": "c@d", "type": "home"}], "nickName": "n"}}),
        ),
        change(json!({"op": "add", "value": {"schemas": [USER, ENT], ENT: {"division": "x"}}})),
        change(json!({"op": "replace", "path": format!("{ENT}:manager.value"), "value": "m2"})),
        change(json!({"op": "replace", "path": "title", "value": null})),
        change(json!({"op": "remove", "path": "emails[type eq \"work\" and value ew \"b\"]"})),
        Patch(
            ResourceType::Group,
            json!([
                {"op": "remove", "path": "members[value eq \"a\"]"},
                {"op": "add", "path": "members", "value": [{"value": "c", "display": "C", "type": "User"}]},
            ]),
        ),
        Query("filter=userName%20eq%20%22a%22%20and%20active%20eq%20true&startIndex=1&count=10"),
        Query("filter=meta.lastModified%20ge%20%222020-01-01T00:00:00.123Z%22&sortBy=userName"),
        Query("attributes=userName,name.givenName&cursor"),
        Search(json!({"schemas": [SEARCH], "attributes": ["userName"], "startIndex": 1, "count": 10})),
    ];
    for (index, sent) in sent.into_iter().enumerate() {
        let mut reading = Reading::strict();
        assert_eq!(sent.read(&mut reading), Ok(()), "{index}");
        assert!(reading.seen.is_empty(), "{index}: {:?}", reading.seen.words());
    }
}

#[test]
fn readings_add_up_over_a_request() {
    let mut reading = Reading::lenient();
    let ops = json!({"Operations": [{"op": "Add", "path": "members", "value": "c"}]});
    let ops = patch::read(ops.to_string().as_bytes(), &mut reading).expect("lenient");
    let before = Resource::from_value(ResourceType::Group, json!({"displayName": "g"})).expect("a group");
    patch::apply_with(ResourceType::Group, &before, &ops, &mut reading).expect("lenient");
    assert_eq!(reading.seen.words(), ["op-case", "missing-schemas", "single-for-list", "bare-reference"]);
}

#[test]
fn strict_mode_says_which_operation() {
    let body = json!({"schemas": [PATCH], "Operations": [
        {"op": "add", "path": "title", "value": "t"},
        {"op": "replace", "value": {"name.givenName": "B"}},
    ]});
    let mut reading = Reading::strict();
    let operations = patch::read(body.to_string().as_bytes(), &mut reading).expect("the form is right");
    let before = Resource::from_value(ResourceType::User, json!({"userName": "u"})).expect("a user");
    let err = patch::apply_with(ResourceType::User, &before, &operations, &mut reading).expect_err("strict");
    assert_eq!(err.scim_type, Some(ScimType::InvalidSyntax));
    assert!(err.detail.starts_with("Operations[1]: name.givenName:"), "{err}");
}
