//! Tokens of OAuth clients: bound to their key record, ended with it, given out once.

use std::sync::Arc;

use domain::{
    DAY_MS, HOUR_MS, KeyId, Secret,
    admins::Role,
    federations::{Federation, ScimSettings, Slug},
    keys::{Proof, SecretKind, compose_as, parse_as},
    scopes::{ResourceKind, Scope, Verb, parse_networks},
};
use ops::{
    Error,
    federations::EditFederation,
    keys::{KeyFilter, Rotate, issue_client, list, revoke, rotate},
    oauth::{ChangeClient, GrantError, Granted, NewClient, ProofGiven, TokenRequest, change, grant, open},
    ports::Unlimited,
    users,
};
use scim::ResourceType;
use serde_json::json;

use crate::{
    signer::{Desk, Signer, jwks},
    support::{House, asked, houses, new_key, resource},
};

const MINUTE_MS: i64 = 60_000;

async fn client(house: &House, slug: &str, name: &str, scope: Scope, client: NewClient) -> KeyId {
    let new = new_key(&Slug::parse(slug).unwrap(), name, scope);
    let issued = issue_client(&house.admin(), new, client).await.unwrap();
    assert!(issued.secret.is_none());
    issued.key.id
}

async fn signing(house: &House, name: &str, signer: &Signer) -> KeyId {
    client(house, "okta", name, Scope::full_directory(), NewClient::PublicKeys(jwks(&[signer]))).await
}

async fn edit(house: &House, federation: &Federation, scim: ScimSettings) {
    let view = ops::federations::open(&house.admin(), &federation.slug).await.unwrap().federation;
    let edit = EditFederation {
        version: view.version,
        name: view.name.clone(),
        vendor: view.vendor.as_str().to_owned(),
        owners: view.owners.join(","),
        notes: view.notes.clone(),
        max_age_days: view.policy.max_age_days,
        overlap_hours: view.policy.overlap_hours,
        warn_days: view.policy.warn_days,
        scim: Some(scim),
    };
    ops::federations::edit(&house.admin(), &federation.slug, edit).await.unwrap();
}

async fn token(house: &House, desk: &Desk, signer: &Signer, id: &KeyId) -> Secret {
    desk.ask(house, signer.assertion(house, id), None).await.unwrap().token
}

async fn opens(house: &House, token: &Secret) -> bool {
    match house.present("okta", Some(token.expose())).await {
        Ok(_) => true,
        Err(Error::Unauthenticated(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

fn invalid_client(result: Result<Granted, GrantError>) -> bool {
    matches!(result, Err(GrantError::InvalidClient))
}

#[tokio::test]
async fn a_token_opens_what_its_key_opens_and_is_recorded_under_it() {
    for house in houses().await {
        let (desk, signer) = (Desk::new(), Signer::new("a"));
        let federation = house.federation("okta").await;
        let id = signing(&house, "client", &signer).await;
        let granted = desk.ask(&house, signer.assertion(&house, &id), None).await.unwrap();
        assert_eq!(granted.expires_in_s, 15 * 60);
        assert_eq!(granted.scope.to_string().split(' ').count(), 8);
        assert_eq!(parse_as(SecretKind::Token, granted.token.expose()).unwrap().id, id);
        let cx = house.client(&federation, &granted.token).await;
        assert_eq!((&cx.actor().key_id, &*cx.actor().key_name), (&id, "client"));
        let user = resource(ResourceType::User, json!({ "userName": "mia" }));
        users::create(&cx, &asked("POST", "Users"), user).await.unwrap();
        let usage = ops::usage::of_key(&house.admin(), &id, 10).await.unwrap();
        assert_eq!((usage.len(), usage[0].status), (1, 201));
        let log = house.log().await;
        assert_eq!(log[2..], ["key.issued done client", "token.issued done client", "user.created done mia"]);
        let view = ops::keys::open(&house.admin(), &id).await.unwrap();
        assert_eq!((view.key.uses, view.key.proof), (1, Proof::Assertion));
        house.close().await;
    }
}

#[tokio::test]
async fn a_scope_narrows_a_token_and_never_widens_it() {
    for house in houses().await {
        let (desk, signer) = (Desk::new(), Signer::new("a"));
        let federation = house.federation("okta").await;
        let scope = Scope::of([(ResourceKind::Users, Verb::Read), (ResourceKind::Users, Verb::Create)]);
        let keys = NewClient::PublicKeys(jwks(&[&signer]));
        let id = client(&house, "okta", "client", scope, keys).await;
        let ask = async |scope: &str| desk.ask(&house, signer.assertion(&house, &id), Some(scope)).await;
        for scope in ["groups:read", "users:read users:delete", "admin", "", "users:read  users:create"] {
            assert!(matches!(ask(scope).await, Err(GrantError::InvalidScope)), "{scope}");
        }
        let narrow = ask("users:read").await.unwrap();
        assert_eq!(narrow.scope.to_string(), "users:read");
        let cx = house.client(&federation, &narrow.token).await;
        let user = resource(ResourceType::User, json!({ "userName": "mia" }));
        let made = users::create(&cx, &asked("POST", "Users"), user.clone()).await;
        assert!(matches!(made, Err(Error::Forbidden(_))), "{made:?}");
        let whole = desk.ask(&house, signer.assertion(&house, &id), None).await.unwrap();
        assert_eq!(whole.scope.to_string(), "users:read users:create");
        let cx = house.client(&federation, &whole.token).await;
        users::create(&cx, &asked("POST", "Users"), user).await.unwrap();
        house.close().await;
    }
}

#[tokio::test]
async fn a_token_ends_at_its_time_and_with_its_key() {
    for house in houses().await {
        let (desk, signer) = (Desk::new(), Signer::new("a"));
        let federation = house.federation("okta").await;
        edit(&house, &federation, ScimSettings { token_minutes: 60, ..ScimSettings::default() }).await;
        let new = ops::keys::NewKey {
            lifetime_days: 1,
            ..new_key(&federation.slug, "client", Scope::full_directory())
        };
        let keys = NewClient::PublicKeys(jwks(&[&signer]));
        let id = issue_client(&house.admin(), new, keys).await.unwrap().key.id;
        let first = token(&house, &desk, &signer, &id).await;
        house.clock.advance(60 * MINUTE_MS - 1);
        assert!(opens(&house, &first).await);
        house.clock.advance(1);
        assert!(!opens(&house, &first).await);
        house.clock.advance(23 * HOUR_MS - 10 * MINUTE_MS);
        let last = desk.ask(&house, signer.assertion(&house, &id), None).await.unwrap();
        assert_eq!(last.expires_in_s, 600, "not beyond the key's own end");
        house.clock.advance(10 * MINUTE_MS);
        assert!(!opens(&house, &last.token).await);
        assert!(invalid_client(desk.ask(&house, signer.assertion(&house, &id), None).await));
        house.close().await;
    }
}

#[tokio::test]
async fn revoking_the_key_ends_its_tokens_also_for_a_request_under_way() {
    for house in houses().await {
        let (desk, signer) = (Desk::new(), Signer::new("a"));
        let federation = house.federation("okta").await;
        let id = signing(&house, "client", &signer).await;
        let token = token(&house, &desk, &signer, &id).await;
        let under_way = house.client(&federation, &token).await;
        revoke(&house.admin(), &id, "leaked").await.unwrap();
        assert!(!opens(&house, &token).await);
        let user = resource(ResourceType::User, json!({ "userName": "mia" }));
        let made = users::create(&under_way, &asked("POST", "Users"), user).await;
        assert!(matches!(made, Err(Error::Unauthenticated(_))), "{made:?}");
        assert!(invalid_client(desk.ask(&house, signer.assertion(&house, &id), None).await));
        house.close().await;
    }
}

#[tokio::test]
async fn taking_a_public_key_away_ends_what_it_proved_and_nothing_else() {
    for house in houses().await {
        let desk = Desk::new();
        let (old, new) = (Signer::new("old"), Signer::new("new"));
        let federation = house.federation("okta").await;
        let id = signing(&house, "client", &old).await;
        let by_old = token(&house, &desk, &old, &id).await;
        let both = ChangeClient { version: 1, client: NewClient::PublicKeys(jwks(&[&old, &new])) };
        assert_eq!(change(&house.admin(), &id, both.clone()).await.unwrap().version, 2);
        assert!(opens(&house, &by_old).await, "it was only given company");
        let by_new = token(&house, &desk, &new, &id).await;
        let under_way = house.client(&federation, &by_old).await;
        let stale = change(&house.admin(), &id, both).await;
        assert!(matches!(stale, Err(Error::Stale(_))), "{stale:?}");
        let only = ChangeClient { version: 2, client: NewClient::PublicKeys(jwks(&[&new])) };
        change(&house.admin(), &id, only).await.unwrap();
        assert!(!opens(&house, &by_old).await);
        assert!(opens(&house, &by_new).await);
        assert!(invalid_client(desk.ask(&house, old.assertion(&house, &id), None).await));
        let user = resource(ResourceType::User, json!({ "userName": "mia" }));
        let made = users::create(&under_way, &asked("POST", "Users"), user).await;
        assert!(matches!(made, Err(Error::Unauthenticated(_))), "{made:?}");
        let view = open(&house.admin(), &id).await.unwrap().unwrap();
        assert_eq!((view.keys.len(), view.keys[0].kid.as_deref(), view.live_tokens), (1, Some("new"), 1));
        // From here to an address: no key that is here proves anybody any more.
        let away =
            ChangeClient { version: 3, client: NewClient::JwksUri("https://id.example/jwks".to_owned()) };
        change(&house.admin(), &id, away).await.unwrap();
        assert!(!opens(&house, &by_new).await);
        house.close().await;
    }
}

#[tokio::test]
async fn an_assertion_counts_once_whichever_node_it_comes_to() {
    for house in houses().await {
        let (desk, other, signer) = (Desk::new(), Desk::new(), Signer::new("a"));
        house.federation("okta").await;
        let id = signing(&house, "client", &signer).await;
        let again = signing(&house, "another", &signer).await;
        // SQLite has one process; Postgres has another node.
        let has_nodes = house.database.engine == store::Engine::Postgres;
        let twin = if has_nodes {
            ops::testing::open(house.database.target.clone(), Arc::clone(&house.clock)).await
        } else {
            Arc::clone(&house.keyward)
        };
        let node =
            House { keyward: twin, clock: Arc::clone(&house.clock), database: store::testing::sqlite() };
        let assertion = signer.assertion_with(&house, &id, "once");
        let answers = tokio::join!(
            desk.ask(&house, assertion.clone(), None),
            other.ask(&node, assertion.clone(), None),
            desk.ask(&house, assertion.clone(), None),
            other.ask(&node, assertion.clone(), None),
        );
        let answers = [answers.0, answers.1, answers.2, answers.3];
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        assert_eq!(
            answers.into_iter().filter(|answer| matches!(answer, Err(GrantError::InvalidClient))).count(),
            3
        );
        assert!(invalid_client(other.ask(&node, assertion, None).await));
        // The jti is the client's: another may use the same.
        assert!(other.ask(&node, signer.assertion_with(&house, &again, "once"), None).await.is_ok());
        if has_nodes {
            node.keyward.close().await;
        }
        house.close().await;
    }
}

#[tokio::test]
async fn what_is_over_is_forgotten_and_what_is_not_is_kept() {
    for house in houses().await {
        let (desk, signer) = (Desk::new(), Signer::new("a"));
        house.federation("okta").await;
        let id = signing(&house, "client", &signer).await;
        let assertion = signer.assertion_with(&house, &id, "once");
        desk.ask(&house, assertion.clone(), None).await.unwrap();
        assert_eq!(ops::upkeep::run(&house.keyward, "node").await.unwrap(), Some(0));
        // It ends after 60 seconds, and is taken for 60 more.
        house.clock.advance(2 * MINUTE_MS - 1);
        ops::upkeep::run(&house.keyward, "node").await.unwrap();
        assert!(invalid_client(desk.ask(&house, assertion, None).await), "still remembered");
        house.clock.advance(20 * MINUTE_MS);
        assert_eq!(ops::upkeep::run(&house.keyward, "node").await.unwrap(), Some(2), "assertion and token");
        house.close().await;
    }
}

#[tokio::test]
async fn nobody_is_told_what_is_wrong_with_a_client() {
    for house in houses().await {
        let (desk, signer, thief) = (Desk::new(), Signer::new("a"), Signer::new("a"));
        let federation = house.federation("okta").await;
        let id = signing(&house, "client", &signer).await;
        let other = signing(&house, "other", &thief).await;
        let (static_id, key) = house.key(&federation, "static").await;
        let unknown = KeyId::new(1, [9; 10]);
        let before = house.log().await.len();
        let expired = signer.assertion(&house, &id);
        house.clock.advance(3 * MINUTE_MS);
        for assertion in [
            thief.assertion(&house, &id),
            signer.assertion(&house, &other),
            signer.assertion(&house, &unknown),
            signer.assertion(&house, &static_id),
            expired,
            "nonsense".to_owned(),
            String::new(),
        ] {
            assert!(invalid_client(desk.ask(&house, assertion, None).await));
        }
        let secrets = [
            key.expose().to_owned(),
            compose_as(SecretKind::ClientSecret, &id, &[1; 32]).expose().to_owned(),
            compose_as(SecretKind::ClientSecret, &unknown, &[1; 32]).expose().to_owned(),
            "secret".to_owned(),
        ];
        for secret in secrets {
            let request = house.keyward.request_info();
            let asked = TokenRequest {
                client_id: Some(id.to_string()),
                proof: ProofGiven::Secret(Secret::new(secret)),
                scope: None,
            };
            assert!(invalid_client(grant(&house.keyward, &desk.keys, &request, &Unlimited, &asked).await));
        }
        let log = house.log().await;
        let expect: Vec<String> =
            ["client", "other", "", "static", "client", "client", "client", "client", "client"]
                .iter()
                .map(|target| format!("token.refused refused {target}"))
                .collect();
        assert_eq!(log[before..], expect, "nonsense costs the database nothing");
        // A client that signs has no key to present.
        assert!(!opens(&house, &compose_as(SecretKind::Key, &id, &[1; 32])).await);
        assert!(!opens(&house, &compose_as(SecretKind::Token, &id, &[1; 32])).await);
        assert!(!opens(&house, &compose_as(SecretKind::Token, &unknown, &[1; 32])).await);
        house.close().await;
    }
}

async fn ask_by_secret(house: &House, id: &KeyId, secret: &Secret) -> Result<Granted, GrantError> {
    let request = house.keyward.request_info();
    let secret = Secret::new(secret.expose().to_owned());
    let asked =
        TokenRequest { client_id: Some(id.to_string()), proof: ProofGiven::Secret(secret), scope: None };
    grant(&house.keyward, &Desk::new().keys, &request, &Unlimited, &asked).await
}

#[tokio::test]
async fn a_secret_is_taken_only_where_the_federation_allows_it() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let new = || new_key(&federation.slug, "client", Scope::full_directory());
        let refused = issue_client(&house.admin(), new(), NewClient::Secret).await;
        assert!(matches!(refused.err(), Some(Error::Invalid(faults)) if faults[0].field == "proof"));
        let allowed = ScimSettings { oauth_secrets: true, ..ScimSettings::default() };
        edit(&house, &federation, allowed).await;
        let issued = issue_client(&house.admin(), new(), NewClient::Secret).await.unwrap();
        let (id, secret) = (issued.key.id, issued.secret.unwrap());
        assert!(secret.expose().starts_with("kwc_"));
        assert!(!opens(&house, &secret).await, "it is for the token endpoint only");
        let token = ask_by_secret(&house, &id, &secret).await.unwrap().token;
        assert!(opens(&house, &token).await);
        edit(&house, &federation, ScimSettings::default()).await;
        assert!(invalid_client(ask_by_secret(&house, &id, &secret).await));
        assert!(!opens(&house, &token).await);
        let rotated = rotate(&house.admin(), &id, Rotate::default()).await;
        assert!(matches!(rotated.err(), Some(Error::Conflict(_))));
        edit(&house, &federation, allowed).await;
        let successor = rotate(&house.admin(), &id, Rotate::default()).await.unwrap();
        let (next_id, next) = (successor.key.id, successor.secret.unwrap());
        assert!(ask_by_secret(&house, &next_id, &next).await.is_ok());
        assert!(ask_by_secret(&house, &id, &secret).await.is_ok(), "both are accepted");
        assert!(invalid_client(ask_by_secret(&house, &next_id, &secret).await));
        house.clock.advance(72 * HOUR_MS);
        assert!(ask_by_secret(&house, &id, &secret).await.is_ok(), "no time ends the old one");
        house.close().await;
    }
}

#[tokio::test]
async fn the_successor_of_a_client_that_signs_has_its_public_keys() {
    for house in houses().await {
        let (desk, signer) = (Desk::new(), Signer::new("a"));
        house.federation("okta").await;
        let id = signing(&house, "client", &signer).await;
        let successor = rotate(&house.admin(), &id, Rotate::default()).await.unwrap();
        assert!(successor.secret.is_none());
        assert_eq!((successor.key.name.as_str(), successor.key.proof), ("client-2", Proof::Assertion));
        for id in [&id, &successor.key.id] {
            assert!(opens(&house, &token(&house, &desk, &signer, id).await).await);
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_paused_federation_and_a_foreign_network_are_told_once_the_client_is_proven() {
    for house in houses().await {
        let (desk, signer, thief) = (Desk::new(), Signer::new("a"), Signer::new("a"));
        let federation = house.federation("okta").await;
        let mut scope = Scope::full_directory();
        scope.source_networks = parse_networks("192.0.2.0/24").unwrap();
        let keys = || NewClient::PublicKeys(jwks(&[&signer]));
        let bound = client(&house, "okta", "bound", scope, keys()).await;
        let free = signing(&house, "free", &signer).await;
        let ask =
            async |signer: &Signer, id: &KeyId| desk.ask(&house, signer.assertion(&house, id), None).await;
        assert!(matches!(ask(&signer, &bound).await, Err(GrantError::UnauthorizedClient)));
        assert!(invalid_client(ask(&thief, &bound).await));
        ops::federations::pause(&house.admin(), &federation.slug).await.unwrap();
        assert!(matches!(ask(&signer, &free).await, Err(GrantError::Held { .. })));
        assert!(invalid_client(ask(&thief, &free).await));
        ops::federations::resume(&house.admin(), &federation.slug).await.unwrap();
        let token = ask(&signer, &free).await.unwrap().token;
        ops::federations::archive(&house.admin(), &federation.slug).await.unwrap();
        assert!(!opens(&house, &token).await);
        assert!(invalid_client(ask(&signer, &free).await));
        house.close().await;
    }
}

#[tokio::test]
async fn a_token_of_one_federation_finds_nothing_in_another() {
    for house in houses().await {
        let (desk, signer) = (Desk::new(), Signer::new("a"));
        house.federation("okta").await;
        house.federation("entra").await;
        let id = signing(&house, "client", &signer).await;
        let token = token(&house, &desk, &signer, &id).await;
        let elsewhere = house.present("entra", Some(token.expose())).await;
        assert!(matches!(elsewhere.err(), Some(Error::NotFound(_))));
        house.close().await;
    }
}

#[tokio::test]
async fn keys_at_an_address_are_fetched_seldom_and_believed_for_a_day() {
    for house in houses().await {
        let desk = Desk::new();
        let (old, new) = (Signer::new("old"), Signer::new("new"));
        house.federation("okta").await;
        let uri = NewClient::JwksUri("https://id.example.com/jwks".to_owned());
        let id = client(&house, "okta", "client", Scope::full_directory(), uri).await;
        let ask = async |signer: &Signer| desk.ask(&house, signer.assertion(&house, &id), None).await;
        assert!(invalid_client(ask(&old).await), "it is down");
        desk.site.says(Some(jwks(&[&old])));
        assert!(invalid_client(ask(&old).await), "asked a moment ago");
        house.clock.advance(30_000);
        assert!(ask(&old).await.is_ok());
        assert_eq!(desk.site.asked(), 2);
        // A new key is fetched when an assertion is by none of those that are known.
        desk.site.says(Some(jwks(&[&old, &new])));
        for _ in 0..5 {
            assert!(invalid_client(ask(&new).await));
        }
        assert_eq!(desk.site.asked(), 2, "at most once in 30 seconds");
        house.clock.advance(30_000);
        assert!(ask(&new).await.is_ok());
        assert_eq!(desk.site.asked(), 3);
        // What was withdrawn is forgotten within minutes.
        desk.site.says(Some(jwks(&[&new])));
        house.clock.advance(5 * MINUTE_MS);
        assert!(invalid_client(ask(&old).await));
        assert!(ask(&new).await.is_ok());
        // What cannot be fetched is believed for a day.
        for answer in [None, Some("<html>".to_owned()), Some(r#"{"keys":[]}"#.to_owned())] {
            desk.site.says(answer);
            house.clock.advance(6 * HOUR_MS);
            assert!(ask(&new).await.is_ok());
        }
        house.clock.advance(6 * HOUR_MS);
        assert!(invalid_client(ask(&new).await), "a day later");
        house.close().await;
    }
}

#[tokio::test]
async fn what_is_registered_is_checked_and_a_private_key_is_nowhere() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let new = || new_key(&federation.slug, "client", Scope::full_directory());
        let private = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}"#;
        for (field, client) in [
            ("public_keys", NewClient::PublicKeys(String::new())),
            ("public_keys", NewClient::PublicKeys(private.to_owned())),
            ("public_keys", NewClient::PublicKeys(r#"{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#.to_owned())),
            ("jwks_uri", NewClient::JwksUri("http://id.example.com/jwks".to_owned())),
        ] {
            let Some(Error::Invalid(faults)) = issue_client(&house.admin(), new(), client).await.err() else {
                panic!("{field} was taken")
            };
            assert_eq!(faults[0].field, field);
            assert!(!faults[0].message.contains("nWGx"));
        }
        let signer = Signer::new("a");
        let token = ops::keys::NewKey { idempotency_token: "t".to_owned(), ..new() };
        let keys = NewClient::PublicKeys(jwks(&[&signer]));
        let first = issue_client(&house.admin(), token.clone(), keys.clone()).await.unwrap();
        let again = issue_client(&house.admin(), token.clone(), keys).await.unwrap();
        assert_eq!(first.key, again.key);
        let other = NewClient::PublicKeys(jwks(&[&Signer::new("b")]));
        let conflict = issue_client(&house.admin(), token, other).await;
        assert!(matches!(conflict.err(), Some(Error::Conflict(_))));
        house.close().await;
    }
}

#[tokio::test]
async fn who_still_has_a_static_key_is_counted_and_listed() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        house.federation("entra").await;
        let signer = Signer::new("a");
        signing(&house, "client", &signer).await;
        let (id, _) = house.key(&federation, "one").await;
        house.key(&federation, "two").await;
        let statics = async || {
            let overview = ops::overview::open(&house.admin()).await.unwrap();
            overview
                .static_keys
                .into_iter()
                .map(|(of, count)| (of.slug.to_string(), count))
                .collect::<Vec<_>>()
        };
        assert_eq!(statics().await, [("okta".to_owned(), 2)]);
        revoke(&house.admin(), &id, "").await.unwrap();
        assert_eq!(statics().await, [("okta".to_owned(), 1)]);
        let filter = |proof| KeyFilter { proof: Some(proof), ..KeyFilter::default() };
        assert_eq!(list(&house.admin(), &filter(Proof::Static)).await.unwrap().len(), 2);
        assert_eq!(list(&house.admin(), &filter(Proof::Assertion)).await.unwrap().len(), 1);
        house.clock.advance(100 * DAY_MS);
        assert!(statics().await.is_empty());
        house.close().await;
    }
}

#[tokio::test]
async fn only_who_manages_keys_changes_a_client() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (signer, other) = (Signer::new("a"), Signer::new("b"));
        let id = signing(&house, "client", &signer).await;
        let to = || ChangeClient { version: 1, client: NewClient::PublicKeys(jwks(&[&other])) };
        let manager = change(&house.person(Role::Manager), &id, to()).await;
        assert!(matches!(manager, Err(Error::Forbidden(_))));
        let stranger = Role::Operator(vec![Slug::parse("elsewhere").unwrap()]);
        let hidden = change(&house.person(stranger.clone()), &id, to()).await;
        assert!(matches!(hidden, Err(Error::NotFound("key"))));
        assert!(matches!(open(&house.person(stranger), &id).await, Err(Error::NotFound("key"))));
        assert!(open(&house.person(Role::Manager), &id).await.unwrap().is_some());
        let own = house.person(Role::Operator(vec![federation.slug.clone()]));
        assert!(change(&own, &id, to()).await.is_ok());
        let (static_id, _) = house.key(&federation, "static").await;
        let conflict = change(&own, &static_id, to()).await;
        assert!(matches!(conflict, Err(Error::Conflict(_))));
        house.close().await;
    }
}
