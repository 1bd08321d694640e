//! The forms of blast radii and undos, as a browser without script fills them in.

use domain::{KeyId, admins::Role, scopes::Scope};
use ops::journal::undo;
use serde_json::{Value, json};

use crate::house::{Answer, Browser, Client, House, USER_URN, houses};

/// A federation in which one key has changed what another had made.
struct Scene<'h> {
    good: Client<'h>,
    bad: Client<'h>,
    key: KeyId,
    ada: String,
    ben: String,
}

impl<'h> Scene<'h> {
    async fn of(house: &'h House) -> Self {
        let good = house.client("own").await;
        let (key, text) = house.key("own", "stolen", Scope::full_directory()).await;
        let bad = Client { house, base: good.base.clone(), key: text };
        let (ada, ben) = (made(&good, "ada").await, made(&good, "ben").await);
        for id in [&ada, &ben] {
            set(&bad, id, &[("title", "Thief"), ("nickName", "T")]).await;
        }
        Self { good, bad, key, ada, ben }
    }

    /// The plan of what the fields choose, and its digest.
    async fn plan(&self, browser: &Browser<'_>, fields: &[(&str, &str)]) -> (Answer, String) {
        let page = browser.get(&format!("/federations/own/undo?{}", self.asked(fields))).await;
        assert_eq!(page.status, 200, "{:.3000}", page.body);
        let hash =
            page.body.split("name=\"plan\" value=\"").nth(1).map(|rest| rest.split('"').next().unwrap());
        let hash = hash.unwrap_or_default().to_owned();
        (page, hash)
    }

    fn asked(&self, fields: &[(&str, &str)]) -> String {
        let mut pairs = vec![format!("key={}", self.key)];
        pairs.extend(fields.iter().map(|(name, value)| format!("{name}={value}")));
        pairs.join("&")
    }

    /// Confirms a plan; the page that follows.
    async fn apply(&self, browser: &Browser<'_>, fields: &[(&str, &str)]) -> Answer {
        let (_, hash) = self.plan(browser, fields).await;
        let answer = self.confirm(browser, fields, &hash).await;
        assert_eq!(answer.status, 303, "{:.3000}", answer.body);
        let page = browser.get(answer.header("location")).await;
        assert_eq!(page.status, 200, "{:.3000}", page.body);
        page
    }

    async fn confirm(&self, browser: &Browser<'_>, fields: &[(&str, &str)], hash: &str) -> Answer {
        let key = self.key.to_string();
        let mut fields = fields.to_vec();
        fields.extend([("key", key.as_str()), ("plan", hash)]);
        browser.post("/federations/own/undo", &fields).await
    }

    async fn values(&self, id: &str) -> [Value; 2] {
        let user = self.good.get(&format!("/Users/{id}")).await.json();
        ["title", "nickName"].map(|name| user[name].clone())
    }
}

async fn made(client: &Client<'_>, name: &str) -> String {
    let body = json!({ "schemas": [USER_URN], "userName": name, "title": "Engineer", "nickName": name });
    let made = client.post("/Users", &body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    made.id()
}

async fn set(client: &Client<'_>, id: &str, values: &[(&str, &str)]) {
    let operation = |(name, value): &(&str, &str)| json!({ "op": "replace", "path": name, "value": value });
    let operations = Value::Array(values.iter().map(operation).collect());
    let answer = client.patch(&format!("/Users/{id}"), &operations).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn shows(answer: &Answer, words: &[&str]) {
    for word in words {
        assert!(answer.body.contains(word), "{word:?} is not in {}", answer.body);
    }
}

#[tokio::test]
async fn a_dry_run_shows_what_would_come_back_and_changes_nothing_and_the_same_plan_is_carried_out() {
    for house in houses().await {
        let scene = Scene::of(&house).await;
        let admin = house.signed_in(Role::Admin).await;
        let blast = admin.get(&format!("/federations/own/blast?key={}", scene.key)).await;
        shows(&blast, &["2 changes of 2 resources", "Plan an undo", "ada", "ben"]);
        let (page, hash) = scene.plan(&admin, &[]).await;
        shows(&page, &["Everything comes back.", "Engineer", "Thief", "Take back exactly this"]);
        assert_eq!(scene.values(&scene.ada).await, [json!("Thief"), json!("T")], "looking changes nothing");

        // Another plan than the one that was shown is refused, and the new one is shown.
        let wrong = scene.confirm(&admin, &[], "00").await;
        assert_eq!(wrong.status, 409);
        shows(&wrong, &["look at the new one", "Take back exactly this"]);
        let answer = scene.confirm(&admin, &[], &hash).await;
        assert_eq!(answer.status, 303, "{:.3000}", answer.body);
        let page = admin.get(answer.header("location")).await;
        shows(&page, &["Done.", "2 resources brought back", "Undo this undo"]);
        assert!(!page.body.contains("Go on with it"), "what has ended does not go on");
        for (id, name) in [(&scene.ada, "ada"), (&scene.ben, "ben")] {
            assert_eq!(scene.values(id).await, [json!("Engineer"), json!(name)]);
        }
        // The same plan once more: there is nothing left of it.
        let again = scene.confirm(&admin, &[], &hash).await;
        assert_eq!(again.status, 409);
        let (page, hash) = scene.plan(&admin, &[]).await;
        shows(&page, &["There is nothing to take back."]);
        assert_eq!(hash, "", "nothing to confirm");
        let past = admin.get(&format!("/federations/own/users/{}", scene.ada)).await;
        shows(&past, &["stolen", "Admin"]);
        house.close().await;
    }
}

#[tokio::test]
async fn one_resource_or_one_attribute_is_taken_back_alone() {
    for house in houses().await {
        let scene = Scene::of(&house).await;
        let admin = house.signed_in(Role::Admin).await;
        let one = [("resource", scene.ada.as_str()), ("attribute", "title")];
        let page = scene.apply(&admin, &one).await;
        shows(&page, &["Done.", "1 resource brought back"]);
        assert_eq!(scene.values(&scene.ada).await, [json!("Engineer"), json!("T")]);
        assert_eq!(scene.values(&scene.ben).await, [json!("Thief"), json!("T")]);
        scene.apply(&admin, &[("resource", scene.ada.as_str())]).await;
        assert_eq!(scene.values(&scene.ada).await, [json!("Engineer"), json!("ada")]);
        scene.apply(&admin, &[("attribute", "nickName")]).await;
        assert_eq!(scene.values(&scene.ben).await, [json!("Thief"), json!("ben")]);
        house.close().await;
    }
}

#[tokio::test]
async fn what_was_changed_since_is_shown_and_left_alone_unless_told() {
    for house in houses().await {
        let scene = Scene::of(&house).await;
        for id in [&scene.ada, &scene.ben] {
            set(&scene.good, id, &[("title", "Captain")]).await;
        }
        let admin = house.signed_in(Role::Admin).await;
        let (page, _) = scene.plan(&admin, &[]).await;
        shows(&page, &["Left alone", "changed since by everything", "Take later changes back as well"]);
        scene.apply(&admin, &[]).await;
        assert_eq!(scene.values(&scene.ada).await, [json!("Captain"), json!("ada")]);

        // Told for one of them, then for all.
        let address = format!("over={}", scene.ada);
        assert!(scene.plan(&admin, &[]).await.0.body.contains(&address), "a link says it for one of them");
        scene.apply(&admin, &[("over", scene.ada.as_str())]).await;
        assert_eq!(scene.values(&scene.ada).await, [json!("Engineer"), json!("ada")]);
        assert_eq!(scene.values(&scene.ben).await, [json!("Captain"), json!("ben")]);
        scene.apply(&admin, &[("over_all", "yes")]).await;
        assert_eq!(scene.values(&scene.ben).await, [json!("Engineer"), json!("ben")]);
        house.close().await;
    }
}

#[tokio::test]
async fn whoever_may_only_look_takes_nothing_back() {
    for house in houses().await {
        let scene = Scene::of(&house).await;
        let (_, hash) = scene.plan(&house.signed_in(Role::Admin).await, &[]).await;
        let manager = house.signed_in(Role::Manager).await;
        let (page, none) = scene.plan(&manager, &[]).await;
        shows(&page, &["Everything comes back.", "disabled"]);
        assert_eq!(none, "", "no form to confirm it");
        assert_eq!(scene.confirm(&manager, &[], &hash).await.status, 403);
        let operator = |slug: &str| Role::Operator([domain::federations::Slug::parse(slug).unwrap()].into());
        let stranger = house.signed_in(operator("other")).await;
        assert_eq!(scene.confirm(&stranger, &[], &hash).await.status, 404);
        assert_eq!(stranger.get(&format!("/federations/own/undo?{}", scene.asked(&[]))).await.status, 404);
        assert_eq!(scene.values(&scene.ada).await, [json!("Thief"), json!("T")]);
        let log = house.log().await;
        assert_eq!(log.iter().filter(|line| line.starts_with("undo.begun refused")).count(), 2, "{log:#?}");

        let operator = house.signed_in(operator("own")).await;
        let answer = scene.confirm(&operator, &[], &hash).await;
        assert_eq!(answer.status, 303, "{:.3000}", answer.body);
        assert_eq!(manager.post(answer.header("location"), &[]).await.status, 403);
        shows(&manager.get(answer.header("location")).await, &["Done."]);
        assert_eq!(scene.values(&scene.ada).await, [json!("Engineer"), json!("ada")]);
        house.close().await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_told_beside_its_field_and_nothing_is_done() {
    for house in houses().await {
        let scene = Scene::of(&house).await;
        let admin = house.signed_in(Role::Admin).await;
        let (_, hash) = scene.plan(&admin, &[]).await;
        for (field, value, expect) in [
            ("source", "nowhere", "network"),
            ("from", "yesterday", "a day and a time in UTC"),
            ("until", "2026-13-40", "a day and a time in UTC"),
        ] {
            let refused = scene.confirm(&admin, &[(field, value)], &hash).await;
            assert_eq!(refused.status, 422, "{field}: {:.3000}", refused.body);
            shows(&refused, &["1 thing to fix", expect, &format!("href=\"#{field}\"")]);
            assert!(refused.body.contains(&format!("id=\"{field}\"")), "{field}: {}", refused.body);
            let typed = format!("value=\"{value}\"");
            assert!(refused.body.contains(&typed), "{field}: what was typed is kept: {}", refused.body);
        }
        for (field, value) in [("key", "nobody"), ("change", "x"), ("undo", "x"), ("case", "x")] {
            let refused = admin.post("/federations/own/undo", &[(field, value), ("plan", &hash)]).await;
            assert_eq!(refused.status, 404, "{field}");
        }
        assert_eq!(scene.values(&scene.ada).await, [json!("Thief"), json!("T")]);
        house.close().await;
    }
}

#[tokio::test]
async fn a_large_undo_goes_on_without_its_page_which_says_how_far_it_has_come() {
    for house in houses().await {
        let scene = Scene::of(&house).await;
        let numbers: Vec<usize> = (0..320).collect();
        for block in numbers.chunks(64) {
            let block = block.iter().map(|number| {
                let scene = &scene;
                async move {
                    let id = made(&scene.good, &format!("u{number}")).await;
                    set(&scene.bad, &id, &[("title", "Thief")]).await;
                }
            });
            futures::future::join_all(block).await;
        }
        let admin = house.signed_in(Role::Admin).await;
        let page = scene.apply(&admin, &[]).await;
        shows(&page, &["It goes on.", "0 of 4 units", "<progress", "Look again", "Go on with it now"]);
        assert_eq!(scene.values(&scene.ada).await, [json!("Thief"), json!("T")]);
        let path =
            page.body.split("action=\"").find(|rest| rest.starts_with("/federations/own/undo/")).unwrap();
        let path = path.split('"').next().unwrap().to_owned();
        // Asking for it again does no harm: the timer does the work.
        assert_eq!(admin.post(&path, &[]).await.status, 303);
        assert_eq!(undo::round(&house.keyward, "node").await.unwrap(), Some(1));
        let page = admin.get(&path).await;
        shows(&page, &["Done.", "4 of 4 units", "322 resources brought back"]);
        assert_eq!(scene.values(&scene.ada).await, [json!("Engineer"), json!("ada")]);
        house.close().await;
    }
}
