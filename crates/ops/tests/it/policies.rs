//! What a federation decides for itself: names of groups, strictness; and what is noted of a key.

use domain::federations::{Federation, ScimSettings};
use ops::{
    Error,
    federations::EditFederation,
    groups::{self, Shown},
    scim_client::status_of,
    users,
};
use scim::ResourceType;
use serde_json::{Value, json};

use crate::support::{House, asked, houses, resource};

async fn set(house: &House, federation: &Federation, settings: ScimSettings) {
    let admin = house.admin();
    let version = ops::federations::open(&admin, &federation.slug).await.unwrap().federation.version;
    let edit = EditFederation {
        version,
        name: federation.name.clone(),
        vendor: "okta".to_owned(),
        owners: "a".to_owned(),
        notes: String::new(),
        max_age_days: 90,
        overlap_hours: 72,
        warn_days: 14,
        scim: Some(settings),
    };
    ops::federations::edit(&admin, &federation.slug, edit).await.unwrap();
}

#[tokio::test]
async fn group_names_are_unique_where_the_federation_wants_it() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "a").await;
        let cx = || house.client(&federation, &secret);
        let create = async |name: &str| -> Result<String, Error> {
            let group = resource(ResourceType::Group, json!({ "displayName": name }));
            let made = groups::create(&cx().await, &asked("POST", "Groups"), group, Shown::NoMembers).await?;
            Ok(made.id.to_string())
        };
        let patch = async |id: &str, name: &str, value: &str| -> Result<(), Error> {
            let operations = json!([{ "op": "replace", "path": name, "value": value }]);
            let read = scim::patch::from_value(json!({ "Operations": operations })).unwrap();
            let post = asked("PATCH", "Groups");
            groups::patch(&cx().await, &post, id, None, read, Shown::NoMembers).await.map(drop)
        };
        let taken =
            |answer: Result<(), Error>| assert_eq!(answer.map_err(|error| status_of(&error)), Err(409));

        let staff = create("Staff").await.unwrap();
        taken(create("STAFF").await.map(drop));
        let shared = ScimSettings { unique_group_names: false, ..ScimSettings::default() };
        set(&house, &federation, shared).await;
        let twin = create("staff").await.unwrap();
        let crew = create("Crew").await.unwrap();
        patch(&crew, "displayName", "Staff").await.unwrap();
        set(&house, &federation, ScimSettings::default()).await;
        // Who shares a name already keeps it, and can be changed otherwise.
        for id in [&staff, &twin, &crew] {
            patch(id, "externalId", id).await.unwrap();
        }
        let (unit, team) = (create("Unit").await.unwrap(), create("Team").await.unwrap());
        taken(create("sTaff").await.map(drop));
        taken(patch(&unit, "displayName", "Staff").await);
        taken(patch(&team, "displayName", "unit").await);
        patch(&crew, "displayName", "Crew").await.unwrap();
        taken(create("crew").await.map(drop));
        // Another case of its own name is its own name.
        patch(&unit, "displayName", "UNIT").await.unwrap();
        // One that is free again can be had.
        groups::delete(&cx().await, &asked("DELETE", "Groups"), &team, None).await.unwrap();
        create("team").await.unwrap();
        house.close().await;
    }
}

#[tokio::test]
async fn of_groups_that_come_at_once_with_one_name_one_is_made() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "a").await;
        let mut writers = Vec::new();
        for number in 0..20 {
            let cx = house.client(&federation, &secret).await;
            let name = if number % 2 == 0 { "Staff" } else { "STAFF" };
            let group = resource(ResourceType::Group, json!({ "displayName": name }));
            writers.push(tokio::spawn(async move {
                groups::create(&cx, &asked("POST", "Groups"), group, Shown::NoMembers).await.map(drop)
            }));
        }
        let mut made = 0;
        for writer in writers {
            match writer.await.unwrap() {
                Ok(()) => made += 1,
                Err(error) => assert_eq!(status_of(&error), 409, "{error}"),
            }
        }
        assert_eq!(made, 1);
        house.close().await;
    }
}

#[tokio::test]
async fn what_is_tolerated_of_a_patch_is_counted_for_its_key_and_refused_by_the_strict() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (id, secret) = house.key(&federation, "a").await;
        let cx = || house.client(&federation, &secret);
        let new = resource(ResourceType::User, json!({ "userName": "mia" }));
        let user = users::create(&cx().await, &asked("POST", "Users"), new).await.unwrap().id.to_string();
        let patch = async |operations: Value| {
            let read = scim::patch::from_value(json!({ "Operations": operations })).unwrap();
            users::patch(&cx().await, &asked("PATCH", "Users"), &user, None, read).await.map(drop)
        };
        let mobile = |number: &str| json!([{ "op": "add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": number }]);
        patch(mobile("1")).await.unwrap();
        patch(json!([{ "op": "replace", "path": "active", "value": "False" }])).await.unwrap();
        patch(json!([{ "op": "replace", "path": "active", "value": "false" }])).await.unwrap();
        let group = resource(ResourceType::Group, json!({ "displayName": "Staff" }));
        let group =
            groups::create(&cx().await, &asked("POST", "Groups"), group, Shown::NoMembers).await.unwrap();
        let bare = json!({ "Operations": [{ "op": "add", "path": "members", "value": [user] }] });
        let bare = scim::patch::from_value(bare).unwrap();
        let post = asked("PATCH", "Groups");
        groups::patch(&cx().await, &post, group.id.as_str(), None, bare, Shown::NoMembers).await.unwrap();

        let told = ops::keys::tolerances(&house.admin(), &id).await.unwrap();
        let mut told: Vec<(&str, i64)> = told.iter().map(|seen| (seen.sentence, seen.count)).collect();
        told.sort_unstable();
        assert_eq!(
            told,
            [
                (scim::Tolerance::BareReference.sentence(), 1),
                (scim::Tolerance::ValuePathUpsert.sentence(), 1),
                (scim::Tolerance::StringBoolean.sentence(), 2),
            ]
        );

        set(&house, &federation, ScimSettings { strict: true, ..ScimSettings::default() }).await;
        patch(json!([{ "op": "remove", "path": "phoneNumbers" }])).await.unwrap();
        let refused = patch(mobile("2")).await.unwrap_err();
        assert_eq!(status_of(&refused), 400);
        assert!(refused.to_string().contains("value-path-upsert"), "{refused}");
        house.close().await;
    }
}
