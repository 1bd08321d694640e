//! Schemas of a federation's own, from the dashboard's form to what a provider sends and reads.

use domain::admins::Role;
use serde_json::{Value, json};

use crate::house::{USER_URN, filter, houses};

const URN: &str = "urn:example:params:scim:schemas:hr:2.0:User";

fn schema() -> Value {
    json!({
        "id": URN, "name": "HR", "description": "What the personnel office keeps.", "attributes": [
            { "name": "badge", "type": "string", "caseExact": true, "description": "Number of the badge." },
            { "name": "level", "type": "integer" },
        ],
    })
}

#[tokio::test]
async fn a_schema_pasted_into_the_form_is_served_and_its_removal_hides_what_it_named() {
    for house in houses().await {
        let client = house.client("hr").await;
        let admin = house.signed_in(Role::Admin).await;
        let form = "/federations/hr/schemas";
        let text = schema().to_string();
        let answer = admin.post(form, &[("resource_type", "User"), ("json", &text)]).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, "/federations/hr/schemas"),
            "{}",
            answer.body
        );
        let page = admin.get(form).await;
        assert!(
            page.status == 200 && page.body.contains(URN) && page.body.contains("badge"),
            "{}",
            page.body
        );

        let types = client.get("/ResourceTypes/User").await.json();
        let named = |urn: &Value| urn["schema"] == json!(URN);
        assert!(types["schemaExtensions"].as_array().unwrap().iter().any(named), "{types}");
        assert_eq!(client.get("/Schemas").await.json()["totalResults"], json!(4));
        let served = client.get(&format!("/Schemas/{URN}")).await.json();
        assert_eq!((&served["id"], &served["attributes"][0]["name"]), (&json!(URN), &json!("badge")));
        assert_eq!(served["attributes"][0]["caseExact"], json!(true));

        let made = client
            .post(
                "/Users",
                &json!({ "schemas": [USER_URN, URN], "userName": "mia", URN: { "badge": "B7", "level": 2 } }),
            )
            .await;
        assert_eq!(made.status, 201, "{}", made.body);
        assert_eq!(made.json()[URN], json!({ "badge": "B7", "level": 2 }));
        let path = format!("/Users/{}", made.id());
        let found = async |query: &str| {
            client.get(&format!("/Users{}", filter(query))).await.json()["totalResults"].clone()
        };
        assert_eq!(found(&format!("{URN}:badge eq \"B7\"")).await, json!(1));
        assert_eq!(found(&format!("{URN}:badge eq \"b7\"")).await, json!(0), "it is case-exact");
        let slim = client.get(&format!("{path}?attributes={URN}:badge")).await.json();
        assert_eq!(slim[URN], json!({ "badge": "B7" }));
        assert_eq!(slim.get("userName"), None);
        let raised = json!([{ "op": "replace", "path": format!("{URN}:level"), "value": 3 }]);
        assert_eq!(client.patch(&path, &raised).await.json()[URN]["level"], json!(3));
        let wrong = json!([{ "op": "replace", "path": format!("{URN}:level"), "value": "high" }]);
        client.patch(&path, &wrong).await.assert_scim_error(400, "text for a number");

        let removed = admin.post("/federations/hr/schemas/remove", &[("urn", URN)]).await;
        assert_eq!(
            (removed.status, removed.header("location")),
            (303, "/federations/hr/schemas"),
            "{}",
            removed.body
        );
        assert!(!admin.get(form).await.body.contains(URN));
        client.get(&format!("/Schemas/{URN}")).await.assert_scim_error(404, URN);
        let hidden = client.get(&path).await.json();
        assert_eq!((hidden.get(URN), &hidden["schemas"]), (None, &json!([USER_URN])));
        assert_eq!(found(&format!("{URN}:badge eq \"B7\"")).await, json!(0));

        admin.post(form, &[("resource_type", "User"), ("json", &text)]).await;
        assert_eq!(
            client.get(&path).await.json()[URN],
            json!({ "badge": "B7", "level": 3 }),
            "nothing was lost"
        );
        house.close().await;
    }
}

#[tokio::test]
async fn a_schema_that_cannot_be_one_is_shown_again_with_the_reason() {
    for house in houses().await {
        house.federation("hr").await;
        let admin = house.signed_in(Role::Admin).await;
        for (text, reason) in [
            ("", "not JSON"),
            ("{\"id\": \"urn:example:x:y\"}", "attributes"),
            ("{\"id\": \"not a urn\", \"attributes\": []}", "not a URN"),
        ] {
            let answer =
                admin.post("/federations/hr/schemas", &[("resource_type", "User"), ("json", text)]).await;
            assert_eq!(answer.status, 422, "{text}: {}", answer.body);
            assert!(answer.body.contains(reason), "{text}: {}", answer.body);
        }
        let answer = admin.post("/federations/hr/schemas/remove", &[("urn", URN)]).await;
        assert_eq!(answer.status, 404, "{}", answer.body);
        house.close().await;
    }
}

#[tokio::test]
async fn entity_tags_are_advertised_as_the_federation_says() {
    for house in houses().await {
        let client = house.client("tags").await;
        let advertised =
            async || client.get("/ServiceProviderConfig").await.json()["etag"]["supported"].clone();
        assert_eq!(advertised().await, json!(true));
        let slug = domain::federations::Slug::parse("tags").unwrap();
        let federation = ops::federations::open(&house.admin(), &slug).await.unwrap().federation;
        let edit = ops::federations::EditFederation {
            version: federation.version,
            name: federation.name.clone(),
            vendor: "okta".to_owned(),
            owners: "owner@example.com".to_owned(),
            notes: String::new(),
            max_age_days: 90,
            overlap_hours: 72,
            warn_days: 14,
            scim: Some(domain::federations::ScimSettings { etag: false, ..federation.scim }),
        };
        ops::federations::edit(&house.admin(), &slug, edit).await.unwrap();
        assert_eq!(advertised().await, json!(false));
        let made = client.post("/Users", &json!({ "userName": "mia" })).await;
        assert_eq!(made.header("etag"), "W/\"1\"", "it is served all the same");
        house.close().await;
    }
}
