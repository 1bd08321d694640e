//! Lists from memory say what the database says: for a directory that changes, for every form of
//! question, on every node.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
};

use ops::{
    Cx, Error, ScimClient, groups,
    groups::Shown,
    listing::{self, Found, Made, Page},
    users,
};
use scim::{ListQuery, ResourceType, Selection};
use serde_json::{Value, json};

use crate::{
    cache::{close_others, nodes, present},
    filters::Chance,
    support::{asked, houses, resource},
};

/// What the edge makes of a resource.
struct Text {
    body: String,
    version: i64,
    members: usize,
}

impl Made for Text {
    fn version(&self) -> i64 {
        self.version
    }

    fn members(&self) -> usize {
        self.members
    }
}

fn body(cx: &Cx<ScimClient>, found: &Found) -> String {
    let base = cx.keyward().base_url(&cx.actor().federation.slug);
    found.render(cx.schemas().of(found.kind()), &base, &Selection::Default).to_string()
}

/// A list as the edge asks for it; `made` counts what was not in memory.
async fn ready(
    cx: &Cx<ScimClient>,
    kind: ResourceType,
    query: &ListQuery,
    made: &AtomicU32,
) -> Result<Page<Text>, Error> {
    let make = |found: Found| {
        made.fetch_add(1, Ordering::SeqCst);
        let text = Text { body: body(cx, &found), version: found.version(), members: found.members() };
        let bytes = text.body.len();
        (text, bytes)
    };
    listing::list_ready(cx, &asked("GET", "any"), kind, query, make).await
}

/// What an answer says; cursors differ in every answer.
type Said = (u64, Option<u64>, Vec<String>, bool);

fn said(page: &Page<Text>) -> Said {
    let bodies = page.found.iter().map(|text| text.body.clone()).collect();
    (page.total, page.start_index, bodies, page.next_cursor.is_some())
}

/// The same as the way says that reads everything.
async fn truth_of(cx: &Cx<ScimClient>, kind: ResourceType, query: &ListQuery) -> Result<Said, String> {
    let listed =
        listing::list(cx, &asked("GET", "any"), kind, query).await.map_err(|error| error.to_string())?;
    let bodies = listed.found.iter().map(|found| body(cx, found)).collect();
    Ok((listed.total, listed.start_index, bodies, listed.next_cursor.is_some()))
}

fn query(kind: ResourceType, raw: &str) -> ListQuery {
    ListQuery::parse(kind, raw).unwrap()
}

fn equals(attribute: &str, value: &str) -> String {
    let value = value.replace(' ', "%20").replace('ä', "%C3%A4").replace('Ä', "%C3%84");
    format!("filter={attribute}%20eq%20%22{value}%22")
}

const NAMES: [&str; 8] = [
    "ada",
    "Bob",
    "ärger",
    "Ärger 2",
    "cy",
    "dora",
    "eve",
    "a-name-that-is-longer-than-forty-one-bytes-and-begins-like-its-neighbour-1",
];

/// Users and groups that come, change and go.
struct Directory {
    users: Vec<String>,
    groups: Vec<String>,
}

impl Directory {
    async fn change(&mut self, cx: &Cx<ScimClient>, chance: &mut Chance) {
        let user = |chance: &mut Chance| {
            let name = NAMES[chance.below(NAMES.len())];
            let name = if chance.below(4) == 0 { name.to_uppercase() } else { name.to_owned() };
            json!({ "userName": name, "externalId": format!("X{}", chance.below(3)), "title": format!("t{}", chance.below(9)) })
        };
        let group = |chance: &mut Chance, users: &[String], groups: &[String]| {
            let mut members: Vec<Value> = Vec::new();
            for id in users.iter().chain(groups) {
                if chance.below(3) == 0 {
                    members.push(json!({ "value": id }));
                }
            }
            json!({ "displayName": NAMES[chance.below(NAMES.len())], "externalId": format!("X{}", chance.below(2)), "members": members })
        };
        // What is refused, a name that is taken say, is no change: the truth says so as well.
        match chance.below(10) {
            0..=2 => {
                let new = resource(ResourceType::User, user(chance));
                if let Ok(made) = users::create(cx, &asked("POST", "Users"), new).await {
                    self.users.push(made.id.to_string());
                }
            }
            3 | 4 if !self.users.is_empty() => {
                let id = chance.one(&self.users).clone();
                let new = resource(ResourceType::User, user(chance));
                let _ = users::replace(cx, &asked("PUT", "Users"), &id, None, new).await;
            }
            5 if !self.users.is_empty() => {
                let id = self.users.swap_remove(chance.below(self.users.len()));
                users::delete(cx, &asked("DELETE", "Users"), &id, None).await.unwrap();
            }
            6 => {
                let new = resource(ResourceType::Group, group(chance, &self.users, &self.groups));
                if let Ok(made) = groups::create(cx, &asked("POST", "Groups"), new, Shown::NoMembers).await {
                    self.groups.push(made.id.to_string());
                }
            }
            7 | 8 if !self.groups.is_empty() => {
                let id = chance.one(&self.groups).clone();
                let new = resource(ResourceType::Group, group(chance, &self.users, &[]));
                let _ = groups::replace(cx, &asked("PUT", "Groups"), &id, None, new, Shown::NoMembers).await;
            }
            9 if !self.groups.is_empty() => {
                let id = self.groups.swap_remove(chance.below(self.groups.len()));
                groups::delete(cx, &asked("DELETE", "Groups"), &id, None).await.unwrap();
            }
            _ => {}
        }
    }

    fn question(&self, chance: &mut Chance) -> (ResourceType, String) {
        let (kind, name, ids) = match chance.below(3) {
            0 => (ResourceType::Group, "displayName", &self.groups),
            _ => (ResourceType::User, "userName", &self.users),
        };
        let filter = match chance.below(9) {
            0 | 1 => equals(name, NAMES[chance.below(NAMES.len())]),
            2 | 3 => equals("externalId", &format!("X{}", chance.below(3))),
            4 if !ids.is_empty() => equals("id", &ids[chance.below(ids.len())].clone()),
            5 => format!("filter={name}%20sw%20%22a%22"),
            6 => "filter=meta.lastModified%20gt%20%221971-01-01T00:00:00Z%22".to_owned(),
            _ => String::new(),
        };
        let page = match chance.below(6) {
            0 => "&count=2".to_owned(),
            1 => format!("&count=3&startIndex={}", chance.below(6)),
            2 => "&count=0".to_owned(),
            3 => "&count=2&cursor=".to_owned(),
            4 => "&sortBy=id&sortOrder=descending&count=3".to_owned(),
            _ => String::new(),
        };
        (kind, format!("{filter}{page}"))
    }
}

#[tokio::test]
async fn a_list_from_memory_says_what_the_database_says_whatever_changed_before() {
    for (turn, house) in houses().await.into_iter().enumerate() {
        let federation = house.federation("okta").await;
        // It removes more users than the brakes let through unplanned.
        house.planned(&federation.slug, 1_000).await;
        let (_, secret) = house.key(&federation, "k").await;
        let nodes = nodes(&house).await;
        // Changes are made by every node, lists are asked of the first.
        let mut writers = Vec::new();
        for node in &nodes {
            writers.push(present(node, "okta", secret.expose()).await.unwrap());
        }
        let mut chance = Chance(7 + turn as u64);
        let mut directory = Directory { users: Vec::new(), groups: Vec::new() };
        let (mut full, mut shown, made) = (0, 0, AtomicU32::new(0));
        for _ in 0..250 {
            house.clock.advance(1);
            directory.change(&writers[chance.below(writers.len())], &mut chance).await;
            for _ in 0..4 {
                let (kind, raw) = directory.question(&mut chance);
                let asked = query(kind, &raw);
                // Each request is one of its own, as the edge's are.
                let cx = present(&nodes[0], "okta", secret.expose()).await.unwrap();
                let truth = truth_of(&cx, kind, &asked).await.unwrap();
                full += usize::from(truth.2.len() > 1);
                // Once perhaps read, once perhaps from memory.
                for time in ["first", "second"] {
                    let page = ready(&cx, kind, &asked, &made).await;
                    let page = page.unwrap_or_else(|error| panic!("{raw}: {error}"));
                    assert_eq!(said(&page), truth, "{kind:?} {raw}, {time}");
                    shown += page.found.len();
                    if let Some(cursor) = page.next_cursor {
                        let next = ListQuery { cursor: Some(cursor), ..asked.clone() };
                        let page = ready(&cx, kind, &next, &made).await.unwrap();
                        assert_eq!(
                            Ok(said(&page)),
                            truth_of(&cx, kind, &next).await,
                            "{kind:?} {raw}, the page after, {time}"
                        );
                    }
                }
            }
        }
        assert!(full > 100, "only {full} lists held anything");
        let made = made.load(Ordering::SeqCst) as usize;
        assert!(made < shown / 2, "{made} of {shown} resources were made for their list");
        close_others(nodes).await;
        house.close().await;
    }
}

#[tokio::test]
async fn a_question_that_was_asked_is_answered_without_making_anything_until_its_answer_changes() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "k").await;
        let nodes = nodes(&house).await;
        let writer = present(nodes.last().unwrap(), "okta", secret.expose()).await.unwrap();
        let made = AtomicU32::new(0);
        let ask = async |raw: &str| {
            let cx = house.client(&federation, &secret).await;
            ready(&cx, ResourceType::User, &query(ResourceType::User, raw), &made).await.unwrap().total
        };
        let by_name = equals("userName", "ADA");
        let by_external_id = equals("externalId", "x1");
        let all = "count=10";
        for raw in [by_name.as_str(), &by_external_id, all] {
            assert_eq!((ask(raw).await, ask(raw).await), (0, 0), "nobody is an answer, too: {raw}");
        }
        let ada = |name: &str, external_id: &str| {
            resource(ResourceType::User, json!({ "userName": name, "externalId": external_id }))
        };
        let id =
            users::create(&writer, &asked("POST", "Users"), ada("ada", "x1")).await.unwrap().id.to_string();
        for raw in [by_name.as_str(), &by_external_id, all] {
            assert_eq!((ask(raw).await, ask(raw).await), (1, 1), "{raw}");
        }
        assert_eq!(made.load(Ordering::SeqCst), 1, "one user is made once for all questions");
        users::replace(&writer, &asked("PUT", "Users"), &id, None, ada("eve", "x1")).await.unwrap();
        assert_eq!((ask(&by_name).await, ask(&by_external_id).await), (0, 1), "another name");
        users::replace(&writer, &asked("PUT", "Users"), &id, None, ada("ada", "x2")).await.unwrap();
        assert_eq!((ask(&by_name).await, ask(&by_external_id).await), (1, 0), "another externalId");
        users::delete(&writer, &asked("DELETE", "Users"), &id, None).await.unwrap();
        for raw in [by_name.as_str(), &by_external_id, all] {
            assert_eq!(ask(raw).await, 0, "{raw}");
        }
        close_others(nodes).await;
        house.close().await;
    }
}

#[tokio::test]
async fn nobody_is_found_by_a_name_that_somebody_was_told_is_another_ones() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "k").await;
        let nodes = nodes(&house).await;
        let name_of = |version: i64| format!("name{}", (version + 1) % 2);
        let named = |name: &str| resource(ResourceType::User, json!({ "userName": name }));
        let writer = present(nodes.last().unwrap(), "okta", secret.expose()).await.unwrap();
        let id =
            users::create(&writer, &asked("POST", "Users"), named("name0")).await.unwrap().id.to_string();
        // The newest version that anybody was answered; it tells the name.
        let answered = Arc::new(AtomicI64::new(1));
        let over = Arc::new(AtomicBool::new(false));
        let mut readers = Vec::new();
        for number in 0..5 {
            let cx = present(&nodes[number % nodes.len()], "okta", secret.expose()).await.unwrap();
            let (id, answered, over) = (id.clone(), Arc::clone(&answered), Arc::clone(&over));
            readers.push(tokio::spawn(async move {
                let mut turn = number;
                while !over.load(Ordering::SeqCst) {
                    turn += 1;
                    let name = format!("name{}", turn % 2);
                    let raw = if number == 0 { "count=5".to_owned() } else { equals("userName", &name) };
                    let before = answered.load(Ordering::SeqCst);
                    let page =
                        ready(&cx, ResourceType::User, &query(ResourceType::User, &raw), &AtomicU32::new(0))
                            .await
                            .unwrap();
                    if let Some(text) = page.found.first() {
                        assert!(text.version >= before, "version {} after {before}", text.version);
                        let body: Value = serde_json::from_str(&text.body).unwrap();
                        let is = body["userName"].as_str().unwrap();
                        assert!(number == 0 || is == name, "{is} for {name}");
                        assert_eq!(is, name_of(text.version), "version {}", text.version);
                        answered.fetch_max(text.version, Ordering::SeqCst);
                    } else {
                        assert!(number != 0, "it is always there");
                        let now = users::get(&cx, &asked("GET", "Users"), &id).await.unwrap().version;
                        // It had one name from before the question to after the answer.
                        assert!(now != before || name_of(now) != name, "nobody is {name}, version {now}");
                    }
                    tokio::task::yield_now().await;
                }
            }));
        }
        for change in 1..=80 {
            let cx = &writer;
            let made =
                users::replace(cx, &asked("PUT", "Users"), &id, None, named(&format!("name{}", change % 2)))
                    .await;
            answered.fetch_max(made.unwrap().version, Ordering::SeqCst);
        }
        over.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.await.unwrap();
        }
        let cx = house.client(&federation, &secret).await;
        for (name, expect) in [("name0", 1), ("name1", 0)] {
            let page = ready(
                &cx,
                ResourceType::User,
                &query(ResourceType::User, &equals("userName", name)),
                &AtomicU32::new(0),
            )
            .await;
            assert_eq!(page.unwrap().total, expect, "{name}");
        }
        close_others(nodes).await;
        house.close().await;
    }
}
