//! Presented keys: who gets in, who does not, and what is written about it.

use domain::{
    DAY_MS,
    scopes::{Scope, parse_networks},
    usage::Decision,
};
use ops::{Error, keys, scim_client};

use crate::support::{asked, houses};

#[tokio::test]
async fn what_is_not_a_key_of_ours_looks_the_same_from_outside() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (id, secret) = house.key(&federation, "okta-1").await;
        let (expired_id, expired) = house.key(&federation, "okta-2").await;
        let unknown = domain::keys::compose(&domain::KeyId::new(1, [1; 10]), &[1; 32]);
        // The id of a real key with another secret.
        let forged = domain::keys::compose(&id, &[1; 32]);
        keys::revoke(&house.admin(), &id, "").await.unwrap();
        house.clock.advance(90 * DAY_MS);
        let long = "x".repeat(100_000);
        let texts = [
            None,
            Some(""),
            Some("kwd_"),
            Some(long.as_str()),
            Some(unknown.expose()),
            Some(forged.expose()),
            Some(secret.expose()),
            Some(expired.expose()),
        ];
        let mut answers = Vec::new();
        for text in texts {
            for slug in ["okta", "nowhere"] {
                let error = house.present(slug, text).await.err().unwrap();
                answers.push(format!("{:?} {error}", error.kind()));
            }
        }
        answers.dedup();
        assert_eq!(answers, ["Unauthenticated the bearer token is missing, unknown or no longer valid"]);
        // What had the form of a key is recorded, with its reason; the rest is not.
        let page = ops::audit::list(&house.admin(), &Default::default(), None, 8).await.unwrap();
        let reasons: Vec<String> =
            page.records.into_iter().filter_map(|record| record.event.reason).collect();
        assert_eq!(
            reasons,
            [
                "key is expired",
                "key is expired",
                "key is revoked",
                "key is revoked",
                "unknown key",
                "unknown key",
                "unknown key",
                "unknown key"
            ]
        );
        let uses = ops::usage::of_key(&house.admin(), &expired_id, 10).await.unwrap();
        assert_eq!(uses.len(), 2);
        assert!(uses.iter().all(|record| record.decision == Decision::Refused && record.status == 401));
        house.close().await;
    }
}

#[tokio::test]
async fn a_held_key_is_told_to_come_back_beyond_its_time() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let (id, secret) = house.key(&federation, "a").await;
        keys::hold(&house.admin(), &id, "it may have leaked").await.unwrap();
        house.clock.advance(91 * DAY_MS);
        let held = house.present("okta", Some(secret.expose())).await.err().unwrap();
        assert!(matches!(held, Error::Held { .. }), "{held:?}");
        house.close().await;
    }
}

#[tokio::test]
async fn a_key_on_another_base_is_not_found() {
    for house in houses().await {
        let own = house.federation("own").await;
        house.federation("other").await;
        let (_, secret) = house.key(&own, "a").await;
        for slug in ["other", "nowhere"] {
            let error = house.present(slug, Some(secret.expose())).await.err().unwrap();
            assert_eq!(error.to_string(), "there is no such resource", "{slug}");
        }
        house.close().await;
    }
}

#[tokio::test]
async fn a_paused_federation_holds_and_an_archived_one_refuses() {
    for house in houses().await {
        let cx = house.admin();
        let federation = house.federation("okta").await;
        let (id, secret) = house.key(&federation, "a").await;
        ops::federations::pause(&cx, &federation.slug).await.unwrap();
        let held = house.present("okta", Some(secret.expose())).await.err().unwrap();
        assert!(matches!(held, Error::Held { retry_after_s: 300, .. }), "{held:?}");
        assert_eq!(scim_client::status_of(&held), 503);
        let uses = ops::usage::of_key(&cx, &id, 10).await.unwrap();
        assert_eq!((uses[0].status, uses[0].decision), (503, Decision::Denied));
        ops::federations::resume(&cx, &federation.slug).await.unwrap();
        assert!(house.present("okta", Some(secret.expose())).await.is_ok());
        ops::federations::archive(&cx, &federation.slug).await.unwrap();
        let refused = house.present("okta", Some(secret.expose())).await.err().unwrap();
        assert!(matches!(refused, Error::Unauthenticated(_)), "{refused:?}");
        house.close().await;
    }
}

#[tokio::test]
async fn a_key_with_networks_is_refused_from_elsewhere() {
    for house in houses().await {
        let federation = house.federation("okta").await;
        let mut scope = Scope::full_directory();
        scope.source_networks = parse_networks("192.0.2.0/24").unwrap();
        let (_, secret) = house.scoped(&federation, "a", scope).await;
        let mut request = house.keyward.request_info();
        for (source, expect) in [("192.0.2.9", true), ("198.51.100.9", false)] {
            request.id = house.keyward.request_info().id;
            request.source = Some(source.parse().unwrap());
            let presented = Some(secret.expose());
            let answer = scim_client::authenticate(
                &house.keyward,
                &request,
                "okta",
                presented,
                &asked("GET", "Users"),
            )
            .await;
            assert_eq!(answer.is_ok(), expect, "{source}");
        }
        house.close().await;
    }
}

/// Passes bytes on to Postgres until it is told to swallow them, as a network that is cut does: nobody is told.
async fn cut_off_by(target: std::net::SocketAddr, cut: tokio::sync::watch::Receiver<bool>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut cut = cut.clone();
            tokio::spawn(async move {
                let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    () = async { drop(cut.wait_for(|cut| *cut).await) } => std::future::pending().await,
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_node_that_does_not_see_its_database_lets_nobody_in() {
    for house in houses().await {
        // `postgres://user@host:port/name`
        let Some((start, rest)) = house.database.url.split_once('@') else { continue };
        let (address, name) = rest.split_once('/').unwrap();
        let (cut, is_cut) = tokio::sync::watch::channel(false);
        let port = cut_off_by(address.parse().unwrap(), is_cut).await;
        let target = store::Target::parse(&format!("{start}@127.0.0.1:{port}/{name}")).unwrap();
        let chance = std::sync::Arc::new(ops::testing::TestEntropy::default());
        ops::Entropy::fill(&*chance, &mut vec![0; 8_000_000]);
        let (key, settings) = (ops::testing::master_key(), ops::testing::settings());
        let node = ops::Keyward::open(target, &key, house.clock.clone(), chance, settings).await.unwrap();
        let federation = house.federation("okta").await;
        let (_, secret) = house.key(&federation, "a").await;
        for _ in 0..2 {
            crate::cache::present(&node, "okta", secret.expose()).await.unwrap();
        }
        cut.send(true).unwrap();
        let refused = crate::cache::present(&node, "okta", secret.expose()).await.err().unwrap();
        assert!(matches!(refused, Error::Unavailable(_)), "{refused:?}");
        assert_eq!(scim_client::status_of(&refused), 503);
        // It is let go as it stands: to close what does not answer would wait for the answer.
        drop(node);
        house.close().await;
    }
}
