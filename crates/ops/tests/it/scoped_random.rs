//! A narrower scope never allows more, through the real directory: random pairs of scopes, random requests.
//!
//! Two federations begin with the same users and groups. In the one a key has the narrow scope, in the other a key
//! has the wide one. Whatever the narrow key is let do, the wide key must be let do at that moment, and sees at least
//! as much of it. What the narrow key is refused is asked of neither, so both directories stay the same.

use std::{collections::BTreeSet, net::IpAddr};

use domain::{
    behaviour::Answer,
    federations::Federation,
    scopes::{Ceiling, Provenance, ResourceKind, Scope, Verb, filters, parse_networks},
};
use ops::{
    Cx, Error, RequestInfo, ScimClient,
    groups::{self, Shown},
    listing,
    scim_client::{self, status_of},
    users,
};
use scim::{Filter, ListQuery, ResourceType, Selection};
use serde_json::{Map, Value, json};

use crate::support::{House, asked, houses, resource};

const PAIRS: u64 = 40;
const REQUESTS: usize = 25;

const READ: [&str; 6] = ["userName", "title", "active", "externalId", "displayName", "groups"];
const WRITE: [&str; 6] = ["userName", "title", "active", "externalId", "displayName", "nickName"];
const FILTERS: [&str; 5] =
    ["active eq true", "title eq \"Lead\"", "userName sw \"u0\"", "externalId pr", "not (nickName pr)"];
const NETWORKS: [&str; 3] = ["192.0.2.0/24", "192.0.2.7/32", "198.51.100.0/24"];
const SOURCES: [&str; 3] = ["192.0.2.7", "192.0.2.8", "198.51.100.1"];

/// Numbers that look random and are the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % most as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn some(&mut self, of: &[&str]) -> BTreeSet<String> {
        of.iter().filter(|_| !self.one_in(3)).map(|one| (*one).to_owned()).collect()
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// A scope; the groups that it names are numbers of groups.
fn scope(chance: &mut Chance) -> Scope {
    let verbs =
        ResourceKind::ALL.into_iter().flat_map(|kind| Verb::ALL.into_iter().map(move |verb| (kind, verb)));
    let mut scope = Scope::of(verbs.filter(|_| !chance.one_in(12)).collect::<Vec<_>>());
    for kind in ResourceKind::ALL {
        let (read, write): (&[&str], &[&str]) = match kind {
            ResourceKind::Users => (&READ, &WRITE),
            ResourceKind::Groups => (&["displayName", "members", "externalId"], &["displayName", "members"]),
        };
        let (reads, writes) = (chance.some(read), chance.some(write));
        let grant = scope.grant_mut(kind);
        grant.read_attributes = (chance.one_in(4) && !reads.is_empty()).then_some(reads);
        grant.write_attributes = (chance.one_in(3) && !writes.is_empty()).then_some(writes);
        if kind == ResourceKind::Users && chance.one_in(2) {
            let first = (*chance.pick::<&str>(&FILTERS)).to_owned();
            grant.filter = Some(if chance.one_in(2) {
                filters::both(&first, chance.pick::<&str>(&FILTERS))
            } else {
                first
            });
        }
    }
    if chance.one_in(3) {
        scope.groups =
            Some(["0", "1", "2"].into_iter().filter(|_| !chance.one_in(2)).map(str::to_owned).collect());
    }
    if chance.one_in(10) {
        scope.provenance = Provenance::KeyLine;
    }
    for _ in 0..chance.below(3) {
        scope.ceilings.push(Ceiling {
            resource: *chance.pick(&ResourceKind::ALL),
            verb: *chance.pick(&Verb::ALL),
            per_hour: u32::try_from(1 + chance.below(4)).unwrap(),
        });
    }
    if chance.one_in(5) {
        scope.source_networks = parse_networks(chance.pick::<&str>(&NETWORKS)).unwrap();
    }
    scope
}

/// A request; users and groups by their numbers.
#[derive(Debug, Clone)]
enum Ask {
    Read(usize),
    List(Option<&'static str>),
    Create(usize),
    Patch(usize, &'static str, Value),
    Put(usize, Value),
    Delete(usize),
    ReadGroup(usize),
    Groups,
    Join(usize, usize),
    Leave(usize, usize),
    Rename(usize),
}

fn ask(chance: &mut Chance, turn: usize) -> Ask {
    let (user, group) = (chance.below(12), chance.below(3));
    match chance.below(14) {
        0 | 1 => Ask::Read(user),
        2 => Ask::List(None),
        3 => Ask::List(Some(*chance.pick::<&str>(&FILTERS))),
        4 => Ask::Create(turn),
        5..=7 => {
            let path = *chance.pick(&WRITE);
            let value = match path {
                "active" => json!(chance.one_in(2)),
                "title" => json!(if chance.one_in(2) { "Lead" } else { "Dev" }),
                "userName" => json!(format!("u{user:02}-{turn}")),
                _ => json!(format!("{path} {}", chance.below(3))),
            };
            Ask::Patch(user, path, value)
        }
        8 => Ask::Put(
            user,
            json!({ "userName": format!("u{user:02}"), "title": "Lead", "active": chance.one_in(2) }),
        ),
        9 => Ask::Delete(user),
        10 => Ask::ReadGroup(group),
        11 => Ask::Groups,
        12 => {
            if chance.one_in(2) {
                Ask::Join(group, user)
            } else {
                Ask::Leave(group, user)
            }
        }
        _ => Ask::Rename(group),
    }
}

/// One of the two federations.
struct Side<'a> {
    house: &'a House,
    federation: Federation,
    /// The key of everything.
    all: domain::Secret,
    /// The key of the pair that is looked at.
    secret: domain::Secret,
    users: Vec<String>,
    groups: Vec<String>,
}

impl<'a> Side<'a> {
    /// A federation with twelve users and three groups.
    async fn new(house: &'a House, slug: &str) -> Self {
        let federation = house.federation(slug).await;
        let (_, all) = house.key(&federation, "everything").await;
        let (_, secret) = house.key(&federation, "none yet").await;
        // It is the scope that is to refuse: not a rule that holds the key, nor a brake.
        house
            .rules(slug, |rules| {
                for answer in [&mut rules.a4.answer, &mut rules.a11.answer, &mut rules.a3.answer] {
                    *answer = Answer::Off;
                }
            })
            .await;
        house.planned(&federation.slug, 400).await;
        let cx = async || house.client(&federation, &all).await;
        let (mut users, mut groups) = (Vec::new(), Vec::new());
        for number in 0..12 {
            let user = json!({
                "userName": format!("u{number:02}"), "title": if number % 2 == 0 { "Lead" } else { "Dev" },
                "active": number % 3 != 0, "externalId": format!("x{}", number % 4),
            });
            let user = resource(ResourceType::User, user);
            users.push(
                users::create(&cx().await, &asked("POST", "Users"), user).await.unwrap().id.to_string(),
            );
        }
        for number in 0..3 {
            let members: Vec<Value> =
                users.iter().skip(number * 3).take(5).map(|id| json!({ "value": id })).collect();
            let group = json!({ "displayName": format!("g{number}"), "members": members });
            let group = resource(ResourceType::Group, group);
            let made = groups::create(&cx().await, &asked("POST", "Groups"), group, Shown::NoMembers).await;
            groups.push(made.unwrap().id.to_string());
        }
        Self { house, federation, all, secret, users, groups }
    }

    /// The request that makes on another side what this one has come to here. A PUT leaves what its key may not
    /// write, so that the same text asks for more from a wider key: the whole user is what it came to.
    async fn came_to(&self, ask: Ask) -> Ask {
        let Ask::Put(number, _) = ask else { return ask };
        let cx = self.house.client(&self.federation, &self.all).await;
        let user = users::get(&cx, &asked("GET", "Users"), &self.users[number]).await.unwrap();
        Ask::Put(number, user.resource.as_value().clone())
    }

    /// A scope with the ids of this side.
    fn own(&self, scope: &Scope) -> Scope {
        let groups = scope.groups.as_ref();
        let id = |number: &String| self.groups[number.parse::<usize>().unwrap()].clone();
        Scope { groups: groups.map(|groups| groups.iter().map(id).collect()), ..scope.clone() }
    }

    async fn key(&mut self, name: &str, scope: &Scope) -> Result<(), Error> {
        let new = crate::support::new_key(&self.federation.slug, name, self.own(scope));
        self.secret = ops::keys::issue(&self.house.admin(), new).await?.secret.unwrap();
        Ok(())
    }

    async fn cx(&self, source: &str) -> Result<Cx<ScimClient>, Error> {
        let keyward = &self.house.keyward;
        let source = Some(source.parse::<IpAddr>().unwrap());
        let request = RequestInfo { source, ..keyward.request_info() };
        let (slug, secret) = (self.federation.slug.as_str(), Some(self.secret.expose()));
        scim_client::authenticate(keyward, &request, slug, secret, &asked("GET", "Users")).await
    }

    /// Does what is asked for, and what is shown of it, without ids.
    async fn does(&self, ask: &Ask, source: &str) -> Result<Vec<Value>, Error> {
        let cx = self.cx(source).await?;
        let (user, group) = (ResourceType::User, ResourceType::Group);
        let ops = |operation: Value| scim::patch::from_value(json!({ "Operations": [operation] })).unwrap();
        let shown = |found: listing::Found| {
            let kind = found.kind();
            let body = found.render(cx.schemas().of(kind), "https://base", &Selection::Default);
            self.without_ids(cx.readable(kind, body))
        };
        let member = |id: &String| json!([{ "value": id }]);
        match ask {
            Ask::Read(number) => {
                let id = &self.users[*number];
                Ok(vec![shown(listing::Found::User(users::get(&cx, &asked("GET", "Users"), id).await?))])
            }
            Ask::List(filter) => {
                let filter = filter.map(|text| Filter::parse(text).unwrap());
                let query = ListQuery { filter, count: 100, ..ListQuery::default() };
                let page = listing::list(&cx, &asked("GET", "Users"), user, &query).await?;
                assert_eq!(page.total, page.found.len() as u64);
                Ok(page.found.into_iter().map(shown).collect())
            }
            Ask::Create(turn) => {
                let new = resource(user, json!({ "userName": format!("u0-new-{turn}"), "title": "Lead" }));
                users::create(&cx, &asked("POST", "Users"), new).await.map(|_| Vec::new())
            }
            Ask::Patch(number, path, value) => {
                let operation = ops(json!({ "op": "replace", "path": path, "value": value }));
                let id = &self.users[*number];
                users::patch(&cx, &asked("PATCH", "Users"), id, None, operation).await.map(|_| Vec::new())
            }
            Ask::Put(number, body) => {
                let (id, body) = (&self.users[*number], resource(user, body.clone()));
                users::replace(&cx, &asked("PUT", "Users"), id, None, body).await.map(|_| Vec::new())
            }
            Ask::Delete(number) => {
                let id = &self.users[*number];
                users::delete(&cx, &asked("DELETE", "Users"), id, None).await.map(|()| Vec::new())
            }
            Ask::ReadGroup(number) => {
                let found = groups::get(&cx, &asked("GET", "Groups"), &self.groups[*number]).await?;
                Ok(vec![shown(listing::Found::Group(found))])
            }
            Ask::Groups => {
                let query = ListQuery { count: 100, ..ListQuery::default() };
                let page = listing::list(&cx, &asked("GET", "Groups"), group, &query).await?;
                Ok(page.found.into_iter().map(shown).collect())
            }
            Ask::Join(number, who) => {
                let value = member(&self.users[*who]);
                let operation = ops(json!({ "op": "add", "path": "members", "value": value }));
                self.changes(&cx, *number, operation).await
            }
            Ask::Leave(number, who) => {
                let path = format!("members[value eq \"{}\"]", self.users[*who]);
                self.changes(&cx, *number, ops(json!({ "op": "remove", "path": path }))).await
            }
            Ask::Rename(number) => {
                let value = json!({ "op": "replace", "path": "displayName", "value": format!("g{number}'") });
                self.changes(&cx, *number, ops(value)).await
            }
        }
    }

    async fn changes(
        &self,
        cx: &Cx<ScimClient>,
        number: usize,
        ops: Vec<scim::Op>,
    ) -> Result<Vec<Value>, Error> {
        let (id, asked) = (&self.groups[number], asked("PATCH", "Groups"));
        groups::patch(cx, &asked, id, None, ops, Shown::NoMembers).await.map(|_| Vec::new())
    }

    /// An answer with the numbers of users and groups instead of their ids, and without times.
    fn without_ids(&self, body: Value) -> Value {
        let mut text = body.to_string();
        for (number, id) in self.users.iter().enumerate() {
            text = text.replace(id, &format!("user-{number}"));
        }
        for (number, id) in self.groups.iter().enumerate() {
            text = text.replace(id, &format!("group-{number}"));
        }
        let mut body: Value = serde_json::from_str(&text).unwrap();
        if let Value::Object(parts) = &mut body {
            parts.remove("id");
            parts.remove("meta");
            parts.remove("schemas");
        }
        body
    }
}

/// Whether one answer shows no more than another.
fn is_within(narrow: &Value, wide: &Value) -> bool {
    match (narrow, wide) {
        (Value::Object(narrow), Value::Object(wide)) => {
            let within = |(name, value): (&String, &Value)| {
                wide.get(name).is_some_and(|other| is_within(value, other))
            };
            narrow.iter().all(within)
        }
        (Value::Array(narrow), Value::Array(wide)) => {
            narrow.iter().all(|one| wide.iter().any(|other| is_within(one, other)))
        }
        (narrow, wide) => narrow == wide,
    }
}

#[tokio::test]
async fn whatever_a_narrower_scope_is_let_do_the_wider_one_is_let_do_and_sees_as_much() {
    for house in houses().await {
        let (mut chance, mut let_in, mut refused) = (Chance(11), 0, 0);
        let (mut narrow, mut wide) = (Side::new(&house, "narrow").await, Side::new(&house, "wide").await);
        let (mut pairs, mut tried) = (0, 0);
        while pairs < PAIRS {
            tried += 1;
            let (outer, other) = (scope(&mut chance), scope(&mut chance));
            let inner = outer.narrowed_to(&other);
            assert!(inner.is_within(&outer), "{inner:?}\n{outer:?}");
            let name = format!("pair {tried}");
            // A scope that allows nothing is refused at issue.
            if narrow.key(&name, &inner).await.is_err() || wide.key(&name, &outer).await.is_err() {
                continue;
            }
            pairs += 1;
            for turn in 0..REQUESTS {
                let (ask, source) = (
                    ask(&mut chance, turn + REQUESTS * usize::try_from(pairs).unwrap()),
                    *chance.pick(&SOURCES),
                );
                let case = || format!("{ask:?} from {source}\nnarrow {inner:?}\nwide {outer:?}");
                match narrow.does(&ask, source).await {
                    Ok(seen) => {
                        let more = wide.does(&narrow.came_to(ask.clone()).await, source).await;
                        let more = more.unwrap_or_else(|error| panic!("{error}: {}", case()));
                        let (seen, more) = (Value::Array(seen), Value::Array(more));
                        assert!(is_within(&seen, &more), "{seen}\n{more}\n{}", case());
                        let_in += 1;
                    }
                    Err(error) => {
                        assert!((400..500).contains(&status_of(&error)), "{error:?}: {}", case());
                        refused += 1;
                    }
                }
            }
        }
        // Both happen often, or nothing was shown.
        assert!(let_in > 150 && refused > 150, "{let_in} let in, {refused} refused");
        house.close().await;
    }
}

/// What the comparison itself tells apart.
#[test]
fn an_answer_that_shows_more_is_not_within() {
    let of = |pairs: &[(&str, Value)]| -> Value {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<Map<_, _>>().into()
    };
    let (small, large) = (of(&[("a", json!(1))]), of(&[("a", json!(1)), ("b", json!([1, 2]))]));
    assert!(is_within(&small, &large) && !is_within(&large, &small));
    assert!(is_within(&json!([small]), &json!([large])) && !is_within(&json!([large]), &json!([small])));
    assert!(!is_within(&of(&[("a", json!(2))]), &large));
}
