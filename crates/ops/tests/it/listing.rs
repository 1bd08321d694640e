//! Lists at their limits: what is looked at, how many members, how long and for whom a cursor is good.

use domain::scopes::{ResourceKind, Scope, Verb};
use ops::{
    Error, groups,
    groups::Shown,
    listing::{self, CURSOR_TIMEOUT_MS, Found, Listed, MAX_EXAMINED, MAX_MEMBERS},
    users,
};
use scim::{ListQuery, ResourceType, ScimType, Selection};
use serde_json::{Value, json};
use store::testing::run_sql;

use crate::support::{Pusher, asked, houses, listed, resource};

fn query(raw: &str) -> ListQuery {
    ListQuery::parse(ResourceType::User, raw).unwrap()
}

async fn users_of(from: &Pusher<'_>, query: &ListQuery) -> Result<Listed, Error> {
    listing::list(&from.cx().await, &asked("GET", "Users"), ResourceType::User, query).await
}

fn keyword(error: &Error) -> Option<ScimType> {
    match error {
        Error::Scim(error) => error.scim_type,
        _ => None,
    }
}

async fn user(from: &Pusher<'_>, name: &str) -> String {
    let user = resource(ResourceType::User, json!({ "userName": name }));
    users::create(&from.cx().await, &asked("POST", "Users"), user).await.unwrap().id.to_string()
}

async fn group(from: &Pusher<'_>, name: &str, members: &[&str]) -> String {
    let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
    let group = resource(ResourceType::Group, json!({ "displayName": name, "members": members }));
    groups::create(&from.cx().await, &asked("POST", "Groups"), group, Shown::Members)
        .await
        .unwrap()
        .id
        .to_string()
}

/// So many rows, as the database itself makes them: `n.i` counts them.
fn numbers(rows: usize) -> String {
    format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})")
}

#[tokio::test]
async fn what_no_index_serves_looks_at_ten_thousand_and_not_at_one_more() {
    for house in houses().await {
        let from = house.pusher("large").await;
        let federation = &from.federation;
        let id = &federation.id;
        let sql = format!(
            "INSERT INTO scim_users (federation_id, id, user_name, user_name_lower, active, body, made_by, version,
                created_ms, modified_ms)
            {} SELECT '{id}', '00000000-0000-7000-8000-' || substr(CAST(1000000000000 + i AS TEXT), 2), 'u' || i, 'u' || i, 1,
                '{{\"schemas\":[],\"userName\":\"u' || i || '\",\"active\":true,\"title\":\"T' || (i % 3) || '\"}}', '', 1, 1, 1
            FROM n",
            numbers(MAX_EXAMINED)
        );
        run_sql(&house.database.target, sql).await;
        let walks = [
            "filter=title%20eq%20%22t1%22&count=5",
            "filter=title%20eq%20%22t1%22&count=5&cursor=",
            "filter=userName%20sw%20%22U%22%20and%20title%20eq%20%22t1%22&count=5",
            "sortBy=title&count=5",
        ];
        for raw in walks {
            let page = users_of(&from, &query(raw)).await.unwrap();
            assert_eq!(page.found.len(), 5, "{raw}");
            assert!(page.total == 3_334 || page.total == 10_000, "{raw}: {}", page.total);
        }
        user(&from, "one-more").await;
        for raw in walks.iter().filter(|raw| !raw.contains("userName")) {
            let refused = users_of(&from, &query(raw)).await.unwrap_err();
            assert_eq!(keyword(&refused), Some(ScimType::TooMany), "{raw}");
            let text = refused.to_string();
            assert!(text.contains("10000") && text.contains("userName (eq, sw)"), "{text}");
        }
        for raw in [
            "filter=userName%20eq%20%22u77%22%20and%20title%20pr",
            "filter=active%20eq%20true&count=3",
            "filter=userName%20sw%20%22u77%22&sortBy=meta.lastModified&sortOrder=descending",
            "filter=meta.created%20gt%20%221971-01-01T00:00:00Z%22&sortBy=userName",
        ] {
            users_of(&from, &query(raw)).await.unwrap_or_else(|error| panic!("{raw}: {error}"));
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_page_of_several_huge_groups_is_refused_and_each_of_them_is_given() {
    for house in houses().await {
        let from = house.pusher("huge").await;
        let federation = &from.federation;
        let ids = [group(&from, "one", &[]).await, group(&from, "two", &[]).await];
        for (id, members) in ids.iter().zip([MAX_MEMBERS - 1, 1]) {
            let sql = format!(
                "INSERT INTO scim_group_members (federation_id, group_id, member_id, member_kind)
                {} SELECT '{}', '{id}', 'm' || i, 'User' FROM n",
                numbers(members),
                federation.id
            );
            run_sql(&house.database.target, sql).await;
        }
        let page = listed(&from.cx().await, ResourceType::Group, None, 10).await.unwrap();
        let members = |found: &Found| match found {
            Found::Group(group) => group.members.len(),
            Found::User(_) => 0,
        };
        assert_eq!(page.found.iter().map(members).sum::<usize>(), MAX_MEMBERS);
        let more = format!(
            "INSERT INTO scim_group_members (federation_id, group_id, member_id, member_kind)
            VALUES ('{}', '{}', 'more', 'User')",
            federation.id, ids[1]
        );
        run_sql(&house.database.target, more).await;
        let refused = listed(&from.cx().await, ResourceType::Group, None, 10).await.unwrap_err();
        assert_eq!(keyword(&refused), Some(ScimType::TooMany));
        assert!(
            refused.to_string().contains("100000")
                && refused.to_string().contains("excludedAttributes=members")
        );
        let slim =
            ListQuery { selection: Selection::parse(None, Some("members")).unwrap(), ..ListQuery::default() };
        let page = listing::list(&from.cx().await, &asked("GET", "Groups"), ResourceType::Group, &slim)
            .await
            .unwrap();
        assert_eq!((page.total, page.found.iter().map(members).sum::<usize>()), (2, 0));
        let one =
            listed(&from.cx().await, ResourceType::Group, Some("displayName eq \"one\""), 10).await.unwrap();
        assert_eq!(members(&one.found[0]), MAX_MEMBERS - 1);
        house.close().await;
    }
}

#[tokio::test]
async fn a_user_has_the_groups_that_it_is_in_through_other_groups_and_circles_end() {
    for house in houses().await {
        let from = house.pusher("nested").await;
        let (mia, max) = (user(&from, "mia").await, user(&from, "max").await);
        let inner = group(&from, "inner", &[&mia]).await;
        let middle = group(&from, "middle", &[&inner, &max]).await;
        let outer = group(&from, "outer", &[&middle, &mia]).await;
        group(&from, "apart", &[]).await;
        let groups_of = async |id: &str| {
            let user = users::get(&from.cx().await, &asked("GET", "Users"), id).await.unwrap();
            let listed = listed(&from.cx().await, ResourceType::User, Some(&format!("id eq \"{id}\"")), 1)
                .await
                .unwrap();
            let Found::User(same) = &listed.found[0] else { panic!("a user") };
            assert_eq!(same.groups, user.groups, "a list says what the user says");
            let mut groups: Vec<(String, bool)> =
                user.groups.into_iter().map(|group| (group.display.unwrap(), group.is_direct)).collect();
            groups.sort();
            groups
        };
        let named = |groups: &[(&str, bool)]| {
            groups.iter().map(|(name, is_direct)| ((*name).to_owned(), *is_direct)).collect::<Vec<_>>()
        };
        let of_mia = named(&[("inner", true), ("middle", false), ("outer", true)]);
        assert_eq!(groups_of(&mia).await, of_mia);
        assert_eq!(groups_of(&max).await, named(&[("middle", true), ("outer", false)]));
        for (filter, expect) in [
            (format!("groups.value eq \"{outer}\""), 2),
            (format!("groups[value eq \"{outer}\" and type eq \"direct\"]"), 1),
            (format!("groups.value eq \"{inner}\""), 1),
            ("groups.display co \"part\"".to_owned(), 0),
        ] {
            assert_eq!(
                listed(&from.cx().await, ResourceType::User, Some(&filter), 0).await.unwrap().total,
                expect,
                "{filter}"
            );
        }
        let join =
            json!({ "Operations": [{ "op": "add", "path": "members", "value": [{ "value": outer }] }] });
        let join = scim::patch::from_value(join).unwrap();
        let patch = asked("PATCH", "Groups");
        groups::patch(&from.cx().await, &patch, &inner, None, join, Shown::NoMembers).await.unwrap();
        let page =
            listed(&from.cx().await, ResourceType::User, Some("userName eq \"mia\""), 1).await.unwrap();
        let Found::User(found) = &page.found[0] else { panic!("a user") };
        let mut groups: Vec<(String, bool)> =
            found.groups.iter().map(|group| (group.display.clone().unwrap(), group.is_direct)).collect();
        groups.sort();
        assert_eq!(groups, of_mia, "direct counts before indirect, and the circle ends");
        house.close().await;
    }
}

#[tokio::test]
async fn a_cursor_is_good_for_its_key_federation_and_query_within_its_time() {
    for house in houses().await {
        let from = house.pusher("cursors").await;
        let federation = &from.federation;
        for number in 0..5 {
            user(&from, &format!("u{number}")).await;
        }
        let first = query("count=2&cursor=&filter=userName%20sw%20%22u%22");
        let page = users_of(&from, &first).await.unwrap();
        assert_eq!((page.total, page.start_index, page.found.len()), (5, None, 2));
        let cursor = page.next_cursor.unwrap();
        assert!(
            cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)),
            "{cursor}"
        );
        assert!(!cursor.contains("u1"), "it says nothing");
        let next = |cursor: &str| ListQuery { cursor: Some(cursor.to_owned()), ..first.clone() };
        let again = users_of(&from, &next(&cursor)).await.unwrap();
        assert_eq!((again.total, again.found.len()), (5, 2));

        let check = async |from: &Pusher<'_>, query: ListQuery, expect: ScimType, what: &str| {
            let refused = users_of(from, &query).await.unwrap_err();
            assert_eq!(keyword(&refused), Some(expect), "{what}: {refused}");
        };
        let other_key = house.pusher_of(federation, "b", Scope::full_directory()).await;
        check(&other_key, next(&cursor), ScimType::InvalidCursor, "another key").await;
        let elsewhere = house.pusher("elsewhere").await;
        check(&elsewhere, next(&cursor), ScimType::InvalidCursor, "another federation").await;
        let filter = query("filter=userName%20sw%20%22U%22").filter;
        check(&from, ListQuery { filter, ..next(&cursor) }, ScimType::InvalidCursor, "another filter").await;
        let sort = query("sortBy=userName").sort;
        check(&from, ListQuery { sort, ..next(&cursor) }, ScimType::InvalidCursor, "another order").await;
        check(&from, ListQuery { count: 3, ..next(&cursor) }, ScimType::InvalidCount, "another count").await;
        check(&from, ListQuery { count: 0, ..next(&cursor) }, ScimType::InvalidCount, "no count").await;
        for text in [&cursor[1..], &format!("{cursor}A"), "x", "019b76da"] {
            check(&from, next(text), ScimType::InvalidCursor, text).await;
        }
        let groups =
            listing::list(&from.cx().await, &asked("GET", "Groups"), ResourceType::Group, &next(&cursor))
                .await;
        assert_eq!(keyword(&groups.unwrap_err()), Some(ScimType::InvalidCursor), "another type");
        let root = listing::everything(&from.cx().await, &asked("GET", "base"), &next(&cursor)).await;
        assert_eq!(keyword(&root.unwrap_err()), Some(ScimType::InvalidCursor), "every type");

        house.clock.advance(CURSOR_TIMEOUT_MS - 1);
        let last = users_of(&from, &next(&cursor)).await.unwrap().next_cursor.unwrap();
        house.clock.advance(1);
        check(&from, next(&cursor), ScimType::ExpiredCursor, "an hour").await;
        let end = users_of(&from, &next(&last)).await.unwrap();
        assert_eq!((end.found.len(), end.next_cursor), (1, None), "each page has its own hour");

        let nothing = users_of(&from, &query("count=0&cursor=")).await.unwrap();
        assert_eq!((nothing.total, nothing.found.len(), nothing.next_cursor), (5, 0, None));
        house.close().await;
    }
}

#[tokio::test]
async fn a_cursor_shows_nobody_twice_when_others_come_and_go() {
    for house in houses().await {
        let from = house.pusher("moving").await;
        let mut ids = Vec::new();
        for number in 0..6 {
            house.clock.advance(1);
            ids.push(user(&from, &format!("u{number}")).await);
        }
        for raw in ["count=2&cursor=", "count=2&cursor=&sortBy=title"] {
            let first = users_of(&from, &query(raw)).await.unwrap();
            let seen: Vec<String> = first.found.iter().map(|found| found.id().to_string()).collect();
            // The last one that was shown goes; by index the next page would leave one out.
            users::delete(&from.cx().await, &asked("DELETE", "Users"), &seen[1], None).await.unwrap();
            let query = ListQuery { cursor: first.next_cursor, ..query(raw) };
            let next = users_of(&from, &query).await.unwrap();
            let next: Vec<String> = next.found.iter().map(|found| found.id().to_string()).collect();
            let place = ids.iter().position(|id| *id == seen[1]).unwrap();
            if raw.contains("sortBy") {
                // An order made in memory knows the place by number alone once its resource is gone.
                assert!(next.iter().all(|id| !seen.contains(id)), "{raw}");
            } else {
                assert_eq!(next, ids[place + 1..place + 3], "{raw}");
            }
            ids.retain(|id| *id != seen[1]);
        }
        house.close().await;
    }
}

#[tokio::test]
async fn everything_is_the_users_and_then_the_groups_that_a_key_may_read() {
    for house in houses().await {
        let from = house.pusher("all").await;
        let federation = &from.federation;
        let mut ids = Vec::new();
        for name in ["a", "b", "c"] {
            house.clock.advance(1);
            ids.push(user(&from, name).await);
        }
        for name in ["a", "x"] {
            house.clock.advance(1);
            ids.push(group(&from, name, &[]).await);
        }
        let base = asked("GET", "base");
        let root = async |from: &Pusher<'_>, query: ListQuery| {
            let listed = listing::everything(&from.cx().await, &base, &query).await.unwrap();
            let ids: Vec<String> = listed.found.iter().map(|found| found.id().to_string()).collect();
            (listed.total, ids, listed.next_cursor)
        };
        for count in 1..=6 {
            let mut all = Vec::new();
            for start_index in (1..=5).step_by(usize::try_from(count).unwrap()) {
                let (total, page, _) =
                    root(&from, ListQuery { start_index, count, ..ListQuery::default() }).await;
                assert_eq!(total, 5);
                all.extend(page);
            }
            assert_eq!(all, ids, "by index, {count} a page");
            let (mut all, mut cursor) = (Vec::new(), Some(String::new()));
            while cursor.is_some() {
                let (total, page, next) =
                    root(&from, ListQuery { cursor, count, ..ListQuery::default() }).await;
                assert_eq!(total, 5);
                assert!(!page.is_empty(), "{count} a page");
                all.extend(page);
                cursor = next;
            }
            assert_eq!(all, ids, "by cursor, {count} a page");
        }
        let filter = query("filter=userName%20eq%20%22a%22").filter;
        let (total, page, _) = root(&from, ListQuery { filter, ..ListQuery::default() }).await;
        assert_eq!((total, page), (1, vec![ids[0].clone()]), "groups have no userName");
        let filter = query("filter=userName%20eq%20%22a%22%20or%20displayName%20eq%20%22X%22").filter;
        assert_eq!(root(&from, ListQuery { filter, ..ListQuery::default() }).await.0, 2);

        let scoped =
            async |name: &str, kind| house.pusher_of(federation, name, Scope::of([(kind, Verb::Read)])).await;
        let groups_only = scoped("groups", ResourceKind::Groups).await;
        assert_eq!(root(&groups_only, ListQuery::default()).await.1, ids[3..]);
        let users_only = scoped("users", ResourceKind::Users).await;
        assert_eq!(root(&users_only, ListQuery::default()).await.1, ids[..3]);
        let scope = Scope::of([(ResourceKind::Users, Verb::Create)]);
        let blind = house.pusher_of(federation, "blind", scope).await;
        let refused = listing::everything(&blind.cx().await, &base, &ListQuery::default()).await;
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
        house.close().await;
    }
}
