//! Filters, orders and pages of the embedded directory against the truth: what the plan and the
//! database find is what every resource says in memory.

use std::cmp::Ordering;

use ops::{
    Cx, Error, ScimClient, groups,
    groups::Shown,
    listing::{self, Found},
    scim_client::status_of,
    users,
};
use scim::{Filter, ListQuery, ResourceType, Selection, Sort, Type};
use serde_json::{Value, json};

use crate::support::{House, Pusher, asked, houses, resource};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Numbers that look random and are the same in every run (SplitMix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A federation with users and groups of every kind, made at several times.
struct Directory<'a> {
    from: Pusher<'a>,
    /// Every user and every group, each with its body.
    bodies: [Vec<Value>; 2],
}

impl<'a> Directory<'a> {
    async fn fill(house: &'a House) -> Self {
        let from = house.pusher("filters").await;
        let mut ids = Vec::new();
        for index in 0..48 {
            house.clock.advance(if index % 5 == 0 { 0 } else { 700 });
            let user = resource(ResourceType::User, user(index));
            let made = users::create(&from.cx().await, &asked("POST", "Users"), user).await.unwrap();
            ids.push(made.id.to_string());
        }
        let mut group_ids: Vec<String> = Vec::new();
        for index in 0..16 {
            house.clock.advance(if index % 4 == 0 { 0 } else { 900 });
            let mut members: Vec<Value> = Vec::new();
            members.extend(ids.iter().skip(index).step_by(7).map(|id| json!({ "value": id })));
            // Every third group holds the one before it.
            if index % 3 == 1 {
                members.extend(group_ids.last().map(|id| json!({ "value": id })));
            }
            let name = ["Staff", "staff-north", "Ärzte", "100%_sure", "Z"][index % 5];
            let body = json!({
                "displayName": format!("{name} {index}"), "externalId": format!("G{}", index / 2), "members": members,
            });
            let group = resource(ResourceType::Group, body);
            let made = groups::create(&from.cx().await, &asked("POST", "Groups"), group, Shown::Members)
                .await
                .unwrap();
            group_ids.push(made.id.to_string());
        }
        // What a PATCH, a PUT and a DELETE leave must be found as well.
        let patch = |operations: Value| {
            scim::patch::from_value(json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations
            }))
            .unwrap()
        };
        let changes = [
            json!([{ "op": "remove", "path": "active" }]),
            json!([{ "op": "replace", "path": "emails", "value": [{ "value": "New@Example.com", "type": "home" }] }]),
            json!([{ "op": "remove", "path": "emails" }, { "op": "replace", "path": "active", "value": false }]),
            json!([{ "op": "replace", "path": format!("{ENTERPRISE}:employeeNumber"), "value": "N-ÄÖ" }]),
            json!([{ "op": "replace", "path": "userName", "value": "Renamed" }]),
        ];
        for (id, change) in ids.iter().step_by(3).zip(changes) {
            house.clock.advance(1_000);
            users::patch(&from.cx().await, &asked("PATCH", "Users"), id, None, patch(change)).await.unwrap();
        }
        let put =
            resource(ResourceType::User, json!({ "userName": "put", "emails": [{ "value": "put@x" }] }));
        users::replace(&from.cx().await, &asked("PUT", "Users"), &ids[20], None, put).await.unwrap();
        users::delete(&from.cx().await, &asked("DELETE", "Users"), &ids[21], None).await.unwrap();
        let mut bodies = [Vec::new(), Vec::new()];
        for (kind, bodies) in ResourceType::ALL.into_iter().zip(&mut bodies) {
            let query = ListQuery { count: 1_000, ..ListQuery::default() };
            let cx = from.cx().await;
            let all = listing::list(&cx, &asked("GET", "any"), kind, &query).await.unwrap();
            bodies.extend(all.found.iter().map(|found| body(&cx, found)));
        }
        assert_eq!(bodies.each_ref().map(Vec::len), [47, 16]);
        Self { from, bodies }
    }

    fn of(&self, kind: ResourceType) -> &[Value] {
        match kind {
            ResourceType::User => &self.bodies[0],
            ResourceType::Group => &self.bodies[1],
        }
    }

    /// A value that some resource has, or nearly has, of an attribute.
    fn value(&self, chance: &mut Chance, kind: ResourceType, path: &str) -> String {
        let holder = chance.one(self.of(kind));
        let (extension, rest) = match path.strip_prefix(ENTERPRISE) {
            Some(rest) => (holder.get(ENTERPRISE), rest.trim_start_matches(':')),
            None => (Some(holder), path),
        };
        let mut found: Vec<Value> = extension.into_iter().cloned().collect();
        for name in rest.split('.').filter(|name| !name.is_empty()) {
            found = found
                .into_iter()
                .filter_map(|value| value.get(name).cloned())
                .flat_map(|value| match value {
                    Value::Array(items) => items,
                    other => vec![other],
                })
                .collect();
        }
        let text = match found.first() {
            Some(Value::String(text)) => text.clone(),
            Some(other) if !other.is_object() => return other.to_string(),
            Some(_) | None => "none".to_owned(),
        };
        let text = match chance.below(8) {
            0 => text.to_uppercase(),
            1 => text.chars().take(3).collect(),
            2 => text.chars().skip(2).collect(),
            3 => "Ä".to_owned(),
            _ => text,
        };
        json!(text).to_string()
    }
}

fn body(cx: &Cx<ScimClient>, found: &Found) -> Value {
    let base = cx.keyward().base_url(&cx.actor().federation.slug);
    found.render(cx.schemas().of(found.kind()), &base, &Selection::Default)
}

fn user(index: usize) -> Value {
    let names = ["mia", "Mia.Berg", "ÄRGER", "o'neil", "a%b_c", "zoe"];
    let name = format!("{}{}", names[index % names.len()], index / 3);
    let mut user = json!({
        "userName": name, "externalId": format!("X{}", index / 2), "active": !index.is_multiple_of(4),
        "name": { "familyName": format!("F{}", index % 7), "givenName": "G" },
    });
    if !index.is_multiple_of(3) {
        user["emails"] = json!([
            { "value": format!("{name}@Example.com"), "type": "work", "primary": true },
            { "value": format!("shared{}@example.com", index % 2), "type": if index.is_multiple_of(2) { "home" } else { "work" } },
        ]);
    }
    if index % 5 == 1 {
        user[ENTERPRISE] = json!({ "employeeNumber": format!("N{}", index % 10), "department": "D" });
    }
    if index % 6 == 2 {
        user["title"] = json!(["Nurse", "nurse", "Doctor"][index % 3]);
    }
    if index == 7 {
        user["emails"] = json!([{ "value": "l".repeat(1_500) }]);
    }
    user
}

const USER_PATHS: &[&str] = &[
    "id",
    "userName",
    "externalId",
    "active",
    "emails",
    "emails.value",
    "emails.type",
    "emails.primary",
    "title",
    "name.familyName",
    "meta.created",
    "meta.lastModified",
    "groups.value",
    "groups.type",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    "members.value",
    "colour",
];

const GROUP_PATHS: &[&str] = &[
    "id",
    "displayName",
    "externalId",
    "members",
    "members.value",
    "members.type",
    "members.display",
    "meta.created",
    "meta.lastModified",
    "meta.version",
    "userName",
];

/// How often an operator comes, so that what an index serves is not drowned.
const OPERATORS: &[&str] =
    &["eq", "eq", "eq", "eq", "eq", "sw", "sw", "co", "ew", "ne", "gt", "ge", "lt", "le", "pr"];

fn comparison(directory: &Directory<'_>, chance: &mut Chance, kind: ResourceType) -> String {
    let paths = match kind {
        ResourceType::User => USER_PATHS,
        ResourceType::Group => GROUP_PATHS,
    };
    let path = *chance.one(paths);
    let op = *chance.one(OPERATORS);
    let value = match chance.below(30) {
        0 => "null".to_owned(),
        1 => "12".to_owned(),
        _ => directory.value(chance, kind, path),
    };
    if op == "pr" { format!("{path} pr") } else { format!("{path} {op} {value}") }
}

fn value_path(directory: &Directory<'_>, chance: &mut Chance, kind: ResourceType) -> String {
    let (path, parts) = match kind {
        ResourceType::User => ("emails", ["value", "type"]),
        ResourceType::Group => ("members", ["value", "type"]),
    };
    let part = |chance: &mut Chance| {
        let sub = *chance.one(&parts);
        let op = *chance.one(&["eq", "eq", "eq", "sw", "ne"]);
        format!("{sub} {op} {}", directory.value(chance, kind, &format!("{path}.{sub}")))
    };
    let first = part(chance);
    match chance.below(4) {
        0 => format!("{path}[{first}]"),
        1 => format!("{path}[{first} and {}]", part(chance)),
        2 => format!("{path}[{first} or {}]", part(chance)),
        _ => format!("{path}[{first}].value eq {}", directory.value(chance, kind, &format!("{path}.value"))),
    }
}

fn random_filter(directory: &Directory<'_>, chance: &mut Chance, kind: ResourceType, depth: usize) -> String {
    match chance.below(if depth == 0 { 4 } else { 10 }) {
        0..=2 => comparison(directory, chance, kind),
        3 => value_path(directory, chance, kind),
        4 | 5 => {
            // The same attribute again and again, as an `in` would say.
            let first = comparison(directory, chance, kind);
            let path = first.split(' ').next().unwrap().to_owned();
            let values: Vec<String> = (0..=chance.below(3))
                .map(|_| format!("{path} eq {}", directory.value(chance, kind, &path)))
                .collect();
            values.join(" or ")
        }
        6 => format!("not ({})", random_filter(directory, chance, kind, depth - 1)),
        number => {
            let word = if number == 7 { "or" } else { "and" };
            let [a, b] = [0; 2].map(|_| random_filter(directory, chance, kind, depth - 1));
            format!("({a}) {word} ({b})")
        }
    }
}

/// The ids that match in memory; none when the filter is refused.
fn truth(directory: &Directory<'_>, kind: ResourceType, filter: &Filter) -> Option<Vec<String>> {
    let of = Type::from(kind);
    filter.check(of).ok()?;
    let id = |body: &&Value| scim::matches(filter, of, body).unwrap();
    Some(directory.of(kind).iter().filter(id).map(|body| body["id"].as_str().unwrap().to_owned()).collect())
}

async fn found(
    directory: &Directory<'_>,
    kind: ResourceType,
    query: &ListQuery,
) -> Result<(u64, Vec<String>, Option<String>), Error> {
    let cx = directory.from.cx().await;
    let listed = listing::list(&cx, &asked("GET", "any"), kind, query).await?;
    let ids = listed.found.iter().map(|found| found.id().to_string()).collect();
    Ok((listed.total, ids, listed.next_cursor))
}

#[tokio::test]
async fn a_plan_finds_what_every_resource_says_in_memory() {
    for house in houses().await {
        let directory = Directory::fill(&house).await;
        for (kind, rounds) in [(ResourceType::User, 800), (ResourceType::Group, 400)] {
            let mut chance = Chance(7);
            let (mut refused, mut matching) = (0, 0);
            for _ in 0..rounds {
                let text = random_filter(&directory, &mut chance, kind, 2);
                let filter = Filter::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
                let query = ListQuery { filter: Some(filter.clone()), count: 1_000, ..ListQuery::default() };
                match (truth(&directory, kind, &filter), found(&directory, kind, &query).await) {
                    (None, Err(error)) => {
                        assert_eq!(status_of(&error), 400, "{text}");
                        refused += 1;
                    }
                    (Some(mut expect), Ok((total, mut ids, _))) => {
                        assert_eq!(usize::try_from(total).unwrap(), expect.len(), "{text}");
                        expect.sort();
                        ids.sort();
                        assert_eq!(ids, expect, "{text}");
                        matching += usize::from(!expect.is_empty());
                    }
                    (expect, answer) => panic!("{text}: {expect:?} but {answer:?}"),
                }
            }
            assert!(
                refused < rounds / 3 && matching > rounds / 3,
                "{refused} refused, {matching} with results"
            );
        }
        house.close().await;
    }
}

#[tokio::test]
async fn pages_by_index_and_by_cursor_are_the_whole_list_in_its_order() {
    let sorts = [
        "",
        "userName",
        "displayName",
        "id",
        "meta.created",
        "meta.lastModified",
        "title",
        "emails",
        "colour",
    ];
    for house in houses().await {
        let directory = Directory::fill(&house).await;
        let mut chance = Chance(11);
        for kind in ResourceType::ALL {
            for sort_by in sorts {
                for order in ["ascending", "descending"] {
                    for _ in 0..2 {
                        let filter = match chance.below(3) {
                            0 => None,
                            _ => Some(random_filter(&directory, &mut chance, kind, 1)),
                        };
                        let count = u64::try_from(chance.below(9) + 1).unwrap();
                        pages(&directory, kind, filter.as_deref(), (sort_by, order), count).await;
                    }
                }
            }
        }
        house.close().await;
    }
}

async fn pages(
    directory: &Directory<'_>,
    kind: ResourceType,
    filter: Option<&str>,
    (sort_by, order): (&str, &str),
    count: u64,
) {
    let of = Type::from(kind);
    let encode =
        |text: &str| text.replace('%', "%25").replace('&', "%26").replace('+', "%2B").replace(' ', "%20");
    let raw = format!(
        "sortBy={sort_by}&sortOrder={order}&count={count}{}",
        filter.map(|filter| format!("&filter={}", encode(filter))).unwrap_or_default()
    );
    let Ok(query) = ListQuery::parse(of, &raw) else { return };
    let whole = ListQuery { count: 1_000, ..query.clone() };
    let (total, expect, _) = found(directory, kind, &whole).await.unwrap();
    assert_eq!(usize::try_from(total).unwrap(), expect.len(), "{raw}");
    if let Some(sort) = &query.sort {
        assert_sorted(directory, kind, sort, &expect, &raw);
    }
    let mut by_index = Vec::new();
    for start_index in (1..=total + 1).step_by(usize::try_from(count).unwrap()) {
        let (again, ids, cursor) =
            found(directory, kind, &ListQuery { start_index, ..query.clone() }).await.unwrap();
        assert_eq!((again, cursor), (total, None), "{raw} from {start_index}");
        by_index.extend(ids);
    }
    assert_eq!(by_index, expect, "{raw} by index");
    let (mut by_cursor, mut cursor) = (Vec::new(), Some(String::new()));
    while let Some(text) = cursor {
        let query = ListQuery { cursor: Some(text), ..query.clone() };
        let (again, ids, next) = found(directory, kind, &query).await.unwrap();
        assert_eq!(again, total, "{raw} by cursor");
        assert!(!ids.is_empty() || total == 0, "{raw}: an empty page");
        by_cursor.extend(ids);
        cursor = next;
    }
    assert_eq!(by_cursor, expect, "{raw} by cursor");
}

fn assert_sorted(directory: &Directory<'_>, kind: ResourceType, sort: &Sort, ids: &[String], what: &str) {
    let body = |id: &String| directory.of(kind).iter().find(|body| body["id"] == json!(id)).unwrap();
    let of = Type::from(kind);
    for pair in ids.windows(2) {
        let (first, second) = (body(&pair[0]), body(&pair[1]));
        let ordering = sort.compare(of, first, second);
        assert_ne!(ordering, Ordering::Greater, "{what}: {first} before {second}");
        if ordering == Ordering::Equal {
            let is_ascending = pair[0] < pair[1];
            let expect = sort.order == scim::SortOrder::Ascending;
            assert_eq!(is_ascending, expect, "{what}: equal ones by id");
        }
    }
}
