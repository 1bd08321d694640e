//! A key that is handed over by a link, and one that a scanner reports.

use domain::keys;
use store::testing::databases;

use super::{Needles, Witness, id_in, read_all_pages_of, secret_part};
use crate::process::{Place, database_bytes, http_client};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_handed_over_and_reported_is_on_the_page_of_its_person_once_and_nowhere_else() {
    for database in databases().await {
        let place = Place::on(database);
        let lost = place.with_key("okta").await;
        let email = Some("owner@example.com".to_owned());
        let person = domain::admins::Admin { email, ..ops::testing::person(domain::admins::Role::Admin) };
        let cookie = place.cookie_of(person).await;
        let running = place.start("trace").await;
        let mut witness = Witness { running: &running, client: http_client(), cookie, answers: Vec::new() };
        let report = format!("/keys/{}/compromise", id_in(&lost));
        let request = witness.post(&report, &[("stop", "revoke"), ("reason", "found in a wiki")]);
        assert_eq!(witness.kept("compromise", request).await, 303);
        let page = witness
            .send(
                witness
                    .client
                    .get(running.url(&format!("/keys/{}", id_in(&lost))))
                    .header("cookie", &witness.cookie),
            )
            .await;
        let successor = page
            .body
            .split("/keys/key_")
            .skip(1)
            .map(|rest| format!("key_{}", &rest[..22]))
            .find(|id| *id != id_in(&lost))
            .expect("a successor");
        let made = witness
            .send(witness.post(&format!("/keys/{successor}/hand-over"), &[("person", "owner@example.com")]))
            .await;
        assert_eq!(made.status, 200, "{}", made.body);
        assert!(made.head.contains("no-store"), "{}", made.head);
        let token = made.body.split("/hand-over/").nth(1).unwrap()[..43].to_owned();
        let link = format!("/hand-over/{token}");
        // Looking, by whatever means, shows and changes nothing.
        for _ in 0..3 {
            assert_eq!(witness.page(&link).await, 200);
            let head = witness.client.head(running.url(&link)).header("cookie", &witness.cookie);
            assert_eq!(witness.kept("HEAD", head).await, 200);
            let stranger =
                witness.client.get(running.url(&link)).header("user-agent", "Slackbot-LinkExpanding 1.0");
            assert_eq!(witness.kept("a crawler", stranger).await, 303);
            let posted = witness.client.post(running.url(&link)).header("origin", running.url(""));
            assert_eq!(witness.kept("a crawler that posts", posted).await, 401);
        }
        let new = witness.shown(&link, &[]).await;
        assert_eq!(id_in(&new), successor);
        let again = witness.post(&link, &[]);
        assert_eq!(witness.kept("opened twice", again).await, 409);
        // A scanner finds the new one as well.
        let forged = keys::compose(&keys::parse(&new).ok().unwrap().id, &[7; 32]).expose().to_owned();
        let found = serde_json::json!([
            { "token": new, "type": "keyward_key", "url": "https://git.example.com/a", "source": "commit" },
            { "token": forged, "type": "keyward_key", "url": "", "source": "" },
        ]);
        let sent = witness.client.post(running.url("/api/leaks")).body(found.to_string());
        let reply = witness.send(sent.header("content-type", "application/json")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let labels: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(
            (&labels[0]["label"], &labels[1]["label"]),
            (&"true_positive".into(), &"false_positive".into())
        );
        witness.answers.push(("the leak report".to_owned(), reply.body.into_bytes()));
        // Nobody had worked with it yet: it is withdrawn, and another takes its place.
        assert_eq!(witness.scim(reqwest::Method::GET, "/scim/okta/v2/Users", &new, "").await, 401);
        for path in ["/findings", "/cases", "/settings/channels"] {
            assert_eq!(witness.page(path).await, 200, "{path}");
        }
        read_all_pages_of(&mut witness, &[lost.clone(), new.clone()]).await;
        let mut needles = Needles::default();
        for key in [&lost, &new] {
            needles.add(secret_part(key));
        }
        for (what, answer) in &witness.answers {
            needles.assert_not_in(answer, &format!("the answer to {what}"));
        }
        // The text of the link stands on its own page and in no record.
        needles.add(&token);
        needles.assert_not_in(running.log().as_bytes(), "the log");
        running.stop().await;
        needles.assert_not_in(&database_bytes(&place.database), "the database");
    }
}
