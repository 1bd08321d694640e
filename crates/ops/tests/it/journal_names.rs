//! Names that a plan exchanges, and that somebody takes before it is carried out.

use domain::DAY_MS;
use ops::{journal::undo, listing, users};
use scim::{Filter, ListQuery, ResourceType};
use serde_json::json;

use crate::{
    journal::{Hand, by, person, plan},
    support::{asked, houses},
};

#[tokio::test]
async fn whoever_cannot_get_the_name_of_before_is_still_found_by_the_one_that_it_has() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (good, bad) =
            (Hand::new(&house, &federation, "good").await, Hand::new(&house, &federation, "bad").await);
        let (one, other) = (good.user(person(1)).await, good.user(person(2)).await);
        // Two exchange their names by way of a third; a day between, so that no brake has a say.
        for (id, name) in [(&one, "gone"), (&other, "u1"), (&one, "u2")] {
            house.clock.advance(DAY_MS + 3_600_000);
            bad.set(id, "userName", json!(name)).await.unwrap();
        }
        let wish = by(&bad.key_id);
        let planned = plan(&house, &federation, &wish).await;
        assert_eq!((planned.counts.skipped, planned.counts.cannot), (0, 0), "{:#?}", planned.items);
        let id = undo::begin(&house.admin(), &federation.slug, &wish, &planned.hash).await.unwrap();
        // One of the names is somebody else's by the time.
        good.set(&other, "userName", json!("renamed")).await.unwrap();
        let taker = good.user(json!({ "userName": "u1" })).await;
        undo::run(&house.admin(), &federation.slug, &id).await.unwrap();
        let view = undo::open(&house.admin(), &federation.slug, &id).await.unwrap();
        assert!(view.undo.ended_ms.is_some() && view.report.not_done == 2, "{:?}", view.report);
        for (name, expect) in [("u2", &one), ("renamed", &other), ("u1", &taker)] {
            let filter = Some(Filter::parse(&format!("userName eq \"{name}\"")).unwrap());
            let query = ListQuery { filter, ..ListQuery::default() };
            let cx = good.cx().await;
            let page = listing::list(&cx, &asked("GET", "Users"), ResourceType::User, &query).await.unwrap();
            let found: Vec<String> = page
                .found
                .iter()
                .map(|found| match found {
                    listing::Found::User(user) => user.id.to_string(),
                    listing::Found::Group(_) => String::new(),
                })
                .collect();
            assert_eq!(found, std::slice::from_ref(expect), "{name}");
        }
        // Nobody else gets the name that it has.
        let twin = good.set(&other, "userName", json!("U2")).await;
        assert!(twin.is_err());
        assert!(users::get(&good.cx().await, &asked("GET", "Users"), &one).await.is_ok());
        house.close().await;
    }
}
