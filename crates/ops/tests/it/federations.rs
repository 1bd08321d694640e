//! Registering and running federations.

use domain::federations::{FederationStatus, Slug};
use ops::{
    Error,
    federations::{EditFederation, archive, edit, list, open, pause, register, resume},
};

use crate::support::{houses, new_federation};

fn change(version: i64, name: &str) -> EditFederation {
    EditFederation {
        version,
        name: name.to_owned(),
        vendor: "entra".to_owned(),
        owners: "a, b".to_owned(),
        notes: "note".to_owned(),
        max_age_days: 30,
        overlap_hours: 24,
        warn_days: 7,
        scim: None,
    }
}

#[tokio::test]
async fn a_federation_is_registered_edited_paused_resumed_and_archived() {
    for house in houses().await {
        let cx = house.admin();
        let federation = house.federation("okta").await;
        assert_eq!(federation.status, FederationStatus::Live);
        let slug = federation.slug.clone();
        assert_eq!(open(&cx, &slug).await.unwrap().base_url, "https://keyward.test/scim/okta/v2");

        let edited = edit(&cx, &slug, change(1, "New name")).await.unwrap();
        assert_eq!((edited.version, edited.name.as_str(), edited.policy.max_age_days), (2, "New name", 30));
        let stale = edit(&cx, &slug, change(1, "Too late")).await;
        assert!(matches!(stale, Err(Error::Stale(_))), "{stale:?}");

        assert_eq!(pause(&cx, &slug).await.unwrap().status, FederationStatus::Paused);
        assert!(matches!(pause(&cx, &slug).await, Err(Error::Conflict(_))));
        assert_eq!(resume(&cx, &slug).await.unwrap().status, FederationStatus::Live);
        assert_eq!(archive(&cx, &slug).await.unwrap().status, FederationStatus::Archived);
        for refused in
            [pause(&cx, &slug).await, resume(&cx, &slug).await, edit(&cx, &slug, change(5, "x")).await]
        {
            assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
        }
        assert_eq!(
            house.log().await[1..],
            [
                "federation.registered done Federation okta",
                "federation.edited done New name",
                "federation.paused done New name",
                "federation.resumed done New name",
                "federation.archived done New name",
            ]
        );
        house.close().await;
    }
}

#[tokio::test]
async fn an_edit_that_changes_nothing_leaves_no_record() {
    for house in houses().await {
        let cx = house.admin();
        let federation = house.federation("okta").await;
        edit(&cx, &federation.slug, change(1, "New name")).await.unwrap();
        let before = house.log().await;
        let same = edit(&cx, &federation.slug, change(2, "New name")).await.unwrap();
        assert_eq!(same.version, 2);
        assert_eq!(house.log().await, before);
        house.close().await;
    }
}

#[tokio::test]
async fn a_taken_slug_is_a_conflict_and_bad_input_names_every_field() {
    for house in houses().await {
        let cx = house.admin();
        house.federation("okta").await;
        let taken = register(&cx, new_federation("okta")).await;
        assert!(matches!(&taken, Err(Error::Conflict(text)) if text.contains("okta")), "{taken:?}");
        let mut bad = new_federation("No_Slug");
        bad.name = String::new();
        bad.vendor = "acme".to_owned();
        bad.owners = " ".to_owned();
        bad.max_age_days = 1_000;
        let Err(Error::Invalid(faults)) = register(&cx, bad).await else { panic!("it was registered") };
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["slug", "name", "vendor", "owners", "max_age_days"]);
        assert_eq!(list(&cx).await.unwrap().len(), 1);
        house.close().await;
    }
}

#[tokio::test]
async fn a_name_makes_its_slug() {
    for house in houses().await {
        let new =
            ops::federations::NewFederation { name: "Okta Production".to_owned(), ..new_federation("") };
        let federation = register(&house.admin(), new).await.unwrap();
        assert_eq!(federation.slug, Slug::parse("okta-production").unwrap());
        house.close().await;
    }
}
