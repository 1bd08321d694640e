//! Schemas of a federation's own.

use domain::admins::Role;
use ops::{Error, extensions, extensions::NewExtension, users};
use scim::{Resource, ResourceType};
use serde_json::json;

use crate::support::{asked, extension, houses, listed};

const URN: &str = "urn:example:params:scim:schemas:hr:2.0:User";

#[tokio::test]
async fn a_registered_schema_is_seen_at_once_and_what_it_names_can_be_kept_and_found() {
    for house in houses().await {
        let federation = house.federation("hr").await;
        let other = house.federation("other").await;
        let (_, secret) = house.key(&federation, "a").await;
        let (_, elsewhere) = house.key(&other, "a").await;
        let before = house.client(&federation, &secret).await;
        assert!(before.schemas().named(URN).is_none());
        let view = extensions::register(&house.admin(), &federation.slug, extension("hr")).await.unwrap();
        assert_eq!((view.urn.as_str(), view.kind, view.attributes.len()), (URN, ResourceType::User, 2));
        assert_eq!(extensions::list(&house.admin(), &federation.slug).await.unwrap(), [view]);
        let cx = house.client(&federation, &secret).await;
        assert!(cx.schemas().named(&URN.to_uppercase()).is_some());
        assert!(
            house.client(&other, &elsewhere).await.schemas().named(URN).is_none(),
            "its own federation's"
        );

        let of = cx.schemas().of(ResourceType::User);
        let user = json!({ "userName": "mia", URN: { "badge": "B-7", "level": 3 } });
        let user = Resource::from_value(of, user).unwrap();
        users::create(&cx, &asked("POST", "Users"), user).await.unwrap();
        let found = async |filter: String| {
            let cx = house.client(&federation, &secret).await;
            listed(&cx, ResourceType::User, Some(&filter), 1).await.unwrap().total
        };
        assert_eq!(found(format!("{URN}:badge eq \"b-7\"")).await, 1);
        assert_eq!(found(format!("{URN}:level gt 2")).await, 1);
        assert_eq!(found(format!("{URN}:level gt 3")).await, 0);

        // Without its schema the value is not shown and cannot be asked for; with it, it is there again.
        let shown = async || {
            let cx = house.client(&federation, &secret).await;
            let page = listed(&cx, ResourceType::User, None, 1).await.unwrap();
            let of = cx.schemas().of(ResourceType::User);
            page.found[0].render(of, "https://x", &scim::Selection::Default).to_string().contains("B-7")
        };
        assert!(shown().await);
        extensions::remove(&house.admin(), &federation.slug, URN).await.unwrap();
        assert!(!shown().await);
        assert_eq!(found(format!("{URN}:badge pr")).await, 0);
        let gone = extensions::remove(&house.admin(), &federation.slug, URN).await;
        assert!(matches!(gone, Err(Error::NotFound("schema"))), "{gone:?}");
        extensions::register(&house.admin(), &federation.slug, extension("hr")).await.unwrap();
        assert!(shown().await, "it was kept");
        let log = house.log().await;
        assert_eq!(log.iter().filter(|line| line.starts_with("extension.registered done")).count(), 2);
        assert_eq!(log.iter().filter(|line| line.starts_with("extension.removed done")).count(), 1);
        house.close().await;
    }
}

#[tokio::test]
async fn what_cannot_be_a_schema_is_refused_with_the_reason_and_changes_nothing() {
    for house in houses().await {
        let federation = house.federation("hr").await;
        let new = |resource_type: &str, json: &str| NewExtension {
            resource_type: resource_type.to_owned(),
            json: json.to_owned(),
        };
        let attributes = json!([{ "name": "a", "type": "string" }]);
        let standard = json!({ "id": scim::USER.id, "attributes": attributes }).to_string();
        for (field, new) in [
            ("resource_type", NewExtension { resource_type: "Device".to_owned(), ..extension("hr") }),
            ("json", new("User", "")),
            ("json", new("User", "[]")),
            ("json", new("User", "{\"id\":\"urn:example:x:y\"}")),
            ("json", new("Group", &standard)),
            ("json", new("User", &format!("{{\"id\":\"{}\"}}", "x".repeat(100_000)))),
        ] {
            match extensions::register(&house.admin(), &federation.slug, new.clone()).await {
                Err(Error::Invalid(faults)) => assert_eq!(faults[0].field, field, "{faults:?}"),
                other => panic!("{new:?}: {other:?}"),
            }
        }
        assert_eq!(extensions::list(&house.admin(), &federation.slug).await.unwrap(), []);
        let reader = house.person(Role::Manager);
        let refused = extensions::register(&reader, &federation.slug, extension("hr")).await;
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
        assert_eq!(extensions::list(&reader, &federation.slug).await.unwrap(), []);
        house.close().await;
    }
}
