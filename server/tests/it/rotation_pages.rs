//! The pages of rotation, form by form: what they show, what they refuse, what they lead to.

use domain::{
    RotationId,
    admins::Role,
    federations::Slug,
    keys::KeyState,
    rotations::{Stage, Step},
    scopes::Scope,
};
use ops::{
    keys::Rotate,
    rotations::{BoardFilter, board},
};
use serde_json::json;

use crate::house::{Answer, Browser, Client, House, houses};

const POLICY: [(&str, &str); 6] = [
    ("version", "1"),
    ("max_age_days", "90"),
    ("overlap_hours", "72"),
    ("warn_days", "14"),
    ("automatic", "yes"),
    ("rotate_before_days", "20"),
];

/// A federation `own` with a key that works, and its successor.
struct Turn<'a> {
    old: Client<'a>,
    new: Client<'a>,
    user: String,
    rotation: RotationId,
}

impl<'a> Turn<'a> {
    async fn begin(house: &'a House) -> Self {
        house.federation("own").await;
        let (id, key) = house.key("own", "own-1", Scope::full_directory()).await;
        let client = |key: String| Client { house, base: "/scim/own/v2".to_owned(), key };
        let old = client(key);
        let user = old.user("ana").await;
        let issued = ops::keys::rotate(&house.admin(), &id, Rotate::default()).await.unwrap();
        let new = client(issued.secret.unwrap().expose().to_owned());
        let rotation = ops::rotations::of_key(&house.admin(), &id).await.unwrap().unwrap().rotation.id;
        Self { old, new, user, rotation }
    }

    async fn work(&self, client: &Client<'_>) -> u16 {
        let operations = json!([{ "op": "replace", "path": "title", "value": "Lead" }]);
        client.patch(&format!("/Users/{}", self.user), &operations).await.status
    }

    fn path(&self, act: &str) -> String {
        format!("/rotation/{}{act}", self.rotation)
    }

    async fn stage(&self, house: &House) -> Stage {
        ops::rotations::open(&house.admin(), &self.rotation).await.unwrap().rotation.stage
    }
}

fn assert_shows(answer: &Answer, status: u16, words: &[&str]) {
    assert_eq!(answer.status, status, "{:.3000}", answer.body);
    for word in words {
        assert!(answer.body.contains(word), "{word:?} is not in {}", answer.body);
    }
}

async fn post(browser: &Browser<'_>, path: &str, fields: &[(&str, &str)], next: &str) {
    let answer = browser.post(path, fields).await;
    assert_eq!((answer.status, answer.header("location")), (303, next), "{path}: {:.3000}", answer.body);
}

#[tokio::test]
async fn a_rotation_is_held_and_released_and_both_keys_work() {
    for house in houses().await {
        let turn = Turn::begin(&house).await;
        let admin = house.signed_in(Role::Admin).await;
        let page = admin.get(&turn.path("")).await;
        assert_shows(
            &page,
            200,
            &["Rotation of own-1", "Not in use yet.", "Requests by hour with the new key", "<desc"],
        );
        assert_shows(
            &admin.get("/rotation").await,
            200,
            &["Rotations by step", "Federation own", "Not in use yet."],
        );

        let path = turn.path("/hold");
        assert_shows(&admin.get(&path).await, 200, &["What happens", "Nobody is cut off"]);
        assert_shows(&admin.post(&path, &[("reason", "")]).await, 422, &["1 thing to fix", "say why"]);
        post(&admin, &path, &[("reason", "Not during <the> move")], &turn.path("")).await;
        assert_eq!(turn.stage(&house).await, Stage::Held(Step::Delivered));
        assert_shows(&admin.get(&turn.path("")).await, 200, &["Held.", "Not during &lt;the&gt; move"]);
        assert_eq!([turn.work(&turn.old).await, turn.work(&turn.new).await], [200, 200]);
        assert_shows(
            &admin.post(&turn.path("/finish"), &[("reason", "now")]).await,
            409,
            &["release it first"],
        );
        post(&admin, &turn.path("/release"), &[], &turn.path("")).await;
        house.close().await;
    }
}

#[tokio::test]
async fn the_old_key_is_not_retired_before_the_new_one_works() {
    for house in houses().await {
        let turn = Turn::begin(&house).await;
        let admin = house.signed_in(Role::Admin).await;
        let refused = admin.post(&turn.path("/finish"), &[("reason", "now")]).await;
        assert_shows(&refused, 409, &["no work was done with the new key"]);
        assert_eq!(turn.work(&turn.old).await, 200);
        post(&admin, &turn.path("/roll-back"), &[("reason", "later")], &turn.path("")).await;
        assert_eq!([turn.work(&turn.old).await, turn.work(&turn.new).await], [200, 401]);
        assert_shows(&admin.get("/rotation").await, 200, &["Ended in the last seven days", "was withdrawn"]);
        assert_shows(&admin.post(&turn.path("/hold"), &[("reason", "not now")]).await, 409, &["has ended"]);
        for path in ["/rotation/rot_nobody", "/rotation/x/hold"] {
            assert_eq!(admin.get(path).await.status, 404, "{path}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_key_is_held_by_its_page_and_released() {
    for house in houses().await {
        let client = house.client("own").await;
        let admin = house.signed_in(Role::Admin).await;
        let view = ops::keys::list(&house.admin(), &ops::keys::KeyFilter::default()).await.unwrap().remove(0);
        let path = format!("/keys/{}", view.key.id);
        assert_shows(&admin.get(&format!("{path}/hold")).await, 200, &["503 with Retry-After"]);
        assert_shows(&admin.post(&format!("{path}/hold"), &[]).await, 422, &["1 thing to fix"]);
        post(&admin, &format!("{path}/hold"), &[("reason", "Strange deletions")], &path).await;
        assert_shows(&admin.get(&path).await, 200, &["Held by", "Strange deletions", "Release key"]);
        assert_shows(&admin.get("/").await, 200, &["Strange deletions"]);
        assert_eq!(client.get("/Users").await.status, 503);
        assert_eq!(admin.post(&format!("{path}/hold"), &[("reason", "again")]).await.status, 409);
        post(&admin, &format!("{path}/release"), &[], &path).await;
        assert_eq!(client.get("/Users").await.status, 200);
        assert_eq!(admin.post(&format!("{path}/release"), &[]).await.status, 409);
        let state = ops::keys::open(&house.admin(), &view.key.id).await.unwrap().state;
        assert!(matches!(state, KeyState::InUse), "{state:?}");
        house.close().await;
    }
}

#[tokio::test]
async fn a_policy_is_previewed_on_todays_keys_and_then_set() {
    for house in houses().await {
        let client = house.client("own").await;
        client.user("ana").await;
        house.clock.advance(75 * domain::DAY_MS);
        let admin = house.signed_in(Role::Admin).await;
        let path = "/federations/own/rotation";
        assert_shows(&admin.get(path).await, 200, &["s: 14 days", "Rotations begin"]);

        let preview = admin.post(&format!("{path}/preview"), &POLICY).await;
        assert_shows(
            &preview,
            200,
            &["This is what it would do today.", "1 rotation would begin within a day", "everything"],
        );
        assert!(
            preview.body.contains(r#"name="rotate_before_days" value="20""#)
                || preview.body.contains(r#"value="20""#)
        );
        let open = || async { board(&house.admin(), &BoardFilter::default()).await.unwrap() };
        assert!(open().await.plan.is_empty(), "nothing was changed");

        let faulty =
            [POLICY.as_slice(), &[("silence_cycles", "many"), ("windows_own", "yes"), ("windows", "noon")]]
                .concat();
        for path in [path.to_owned(), format!("{path}/preview")] {
            assert_shows(&admin.post(&path, &faulty).await, 422, &["2 things to fix", "is not like"]);
        }
        post(&admin, path, &POLICY, path).await;
        assert_eq!(open().await.plan.len(), 1);
        assert_shows(
            &admin.get("/rotation").await,
            200,
            &["What happens by itself next", "gets a successor"],
        );
        assert_shows(&admin.post(path, &POLICY).await, 409, &["was changed by somebody else"]);
        house.close().await;
    }
}

#[tokio::test]
async fn the_policy_of_the_installation_holds_where_nothing_else_is_said() {
    for house in houses().await {
        let client = house.client("own").await;
        client.user("ana").await;
        let admin = house.signed_in(Role::Admin).await;
        assert_shows(&admin.get("/rotation").await, 200, &["No policy rotates keys yet"]);
        let fields = [
            ("version", "0"),
            ("automatic", "yes"),
            ("rotate_before_days", "30"),
            ("silence_cycles", "2"),
            ("least_silence_minutes", "60"),
            ("on_deadline", "extend"),
            ("windows", ""),
            ("jitter_minutes", "0"),
            ("max_open_per_vendor", "5"),
        ];
        let preview = admin.post("/settings/rotation/preview", &fields).await;
        assert_shows(&preview, 200, &["It holds for 1 accepted key", "Nothing was changed"]);
        post(&admin, "/settings/rotation", &fields, "/rotation").await;
        let page = admin.get("/rotation").await;
        assert_shows(&page, 200, &["Later", "Its rotation begins"]);
        assert!(!page.body.contains("No policy rotates keys yet"));
        assert_shows(&admin.get("/federations/own/rotation").await, 200, &["s: 2 cycles"]);
        assert_eq!(admin.post("/settings/rotation", &fields).await.status, 409);
        house.close().await;
    }
}

#[tokio::test]
async fn an_exception_has_an_owner_a_reason_and_an_end() {
    for house in houses().await {
        let client = house.client("own").await;
        client.user("ana").await;
        let admin = house.signed_in(Role::Admin).await;
        let path = "/federations/own/rotation";
        let made = format!("{path}/exceptions");
        let good = [
            ("owner", "legal@example.com"),
            ("reason", "The contract is being renewed"),
            ("ends", "2026-01-11"),
        ];
        assert_shows(&admin.post(&made, &[("ends", "soon")]).await, 422, &["say the last day"]);
        let late = [good[0], good[1], ("ends", "2029-01-01")];
        assert_shows(&admin.post(&made, &late).await, 422, &["within 366 days"]);
        post(&admin, &made, &good, path).await;
        assert_shows(&admin.get(path).await, 200, &["legal@example.com", "End the exception for Every key"]);
        assert_shows(&admin.get("/rotation").await, 200, &["Exempt", "legal@example.com answers for it"]);
        let own = Slug::parse("own").unwrap();
        let view = ops::policies::effective(&house.admin(), &own).await.unwrap();
        let end = format!("{made}/{}/end", view.exceptions[0].id);
        post(&admin, &end, &[], path).await;
        assert_eq!(admin.post(&end, &[]).await.status, 409);
        assert_eq!(admin.post(&format!("{made}/x/end"), &[]).await.status, 404);
        house.close().await;
    }
}

#[tokio::test]
async fn a_rotation_that_is_delivered_shows_nobody_the_key() {
    for house in houses().await {
        house.federation("own").await;
        let (id, _) = house.key("own", "own-1", Scope::full_directory()).await;
        let admin = house.signed_in(Role::Admin).await;
        assert_shows(
            &admin.get(&format!("/keys/{id}/rotate")).await,
            200,
            &["Show it to me, once", "Hand it over"],
        );
        let answer = admin
            .post(&format!("/keys/{id}/rotate"), &[("deliver", "yes"), ("idempotency_token", "t")])
            .await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        let page = admin.get(answer.header("location")).await;
        assert_shows(&page, 200, &["Not delivered yet.", "Hand-off to a person"]);
        assert!(!page.body.contains(domain::keys::KEY_PREFIX) || !page.body.contains("readonly"));
        house.close().await;
    }
}

#[tokio::test]
async fn after_a_jump_of_the_clock_the_board_says_so_until_an_admin_agrees() {
    for house in houses().await {
        ops::rotations::scheduler::round(&house.keyward, "node").await.unwrap();
        let jumped = "UPDATE installation_settings SET body =
            '{\"last_round_ms\":1,\"jump\":{\"from_ms\":1,\"to_ms\":2}}', version = version + 1
            WHERE name = 'rotation.clock'";
        store::testing::run_sql(&house.database.target, jumped.to_owned()).await;
        let manager = house.signed_in(Role::Manager).await;
        assert_shows(
            &manager.get("/rotation").await,
            200,
            &["The clock has jumped.", "Needs the role admin."],
        );
        let admin = house.signed_in(Role::Admin).await;
        assert_shows(&admin.get("/rotation").await, 200, &["The time is right", "1970-01-01 00:00:00Z"]);
        post(&admin, "/rotation/clock", &[], "/rotation").await;
        assert!(!admin.get("/rotation").await.body.contains("The clock has jumped."));
        house.close().await;
    }
}
