//! The laws of findings, cases, hand-offs and channels: each change leaves its record.

use domain::{
    admins::Role,
    federations::Slug,
    scopes::{ResourceKind, Scope, Verb},
};
use ops::{
    Error, cases,
    channels::{self, NewChannel},
    compromise::{
        self, Compromise, Stop,
        canary::{self, NewCanary},
    },
    findings::{self, Wanted},
    hand_offs, keys, testing,
};

use crate::{
    support::{House, houses, new_federation},
    telling::{desk, person, webhook},
};

#[tokio::test]
async fn without_its_audit_record_a_link_does_not_open_and_goes_on_waiting() {
    for house in houses().await {
        let gate = prepared(&house).await;
        testing::break_audit(&house.keyward).await;
        let owner = person(&house, Role::Admin, "ana@example.com");
        let opened = hand_offs::open(&owner, &gate.token).await;
        assert!(matches!(opened, Err(Error::Unavailable(_))));
        let look = hand_offs::look(&owner, &gate.token).await.unwrap();
        assert_eq!(look.state, domain::hand_offs::LinkState::Waiting);
        house.keyward.close().await;
    }
}

/// A federation `told` with everything that the steps need.
pub struct Prepared {
    slug: Slug,
    canary: domain::KeyId,
    finding: domain::findings::Finding,
    case: domain::cases::Case,
    handed: domain::KeyId,
    token: String,
    channels: [domain::ChannelId; 2],
}

/// Prepares what [`steps`] does things to.
pub async fn prepared(house: &House) -> Prepared {
    desk(house);
    let federation = ops::federations::register(&house.admin(), new_federation("told")).await.unwrap();
    let slug = federation.slug.clone();
    let (revoked, secret) = house.key(&federation, "revoked").await;
    keys::revoke(&house.admin(), &revoked, "").await.unwrap();
    house.present("told", Some(secret.expose())).await.err().unwrap();
    let finding = findings::list(&house.admin(), &Wanted::default()).await.unwrap().remove(0).finding;
    let lay = async |name: &str| {
        let new = NewCanary { federation: slug.clone(), name: name.to_owned(), place: "a wiki".to_owned() };
        canary::issue(&house.admin(), new).await.unwrap()
    };
    let used = lay("used").await;
    house.present("told", Some(used.secret.unwrap().expose())).await.err().unwrap();
    let case = cases::list(&house.admin()).await.unwrap().remove(0).case;
    let canary = lay("quiet").await.key.id;
    let (lost, _) = house.key(&federation, "lost").await;
    let report = Compromise { stop: Stop::Revoke, reason: "seen".to_owned(), leaked_ms: None };
    compromise::report(&house.admin(), &lost, report).await.unwrap();
    let handed = keys::open(&house.admin(), &lost).await.unwrap().key.successor_id.unwrap();
    let link = hand_offs::make_for(&house.admin(), &handed, "ana@example.com").await.unwrap();
    let token = link.link.expose().rsplit('/').next().unwrap().to_owned();
    let mut short = crate::support::new_key(&slug, "short", Scope::of([(ResourceKind::Users, Verb::Read)]));
    short.lifetime_days = 5;
    keys::issue(&house.admin(), short).await.unwrap();
    let channels = [webhook(house, "tested").await.id, webhook(house, "removed").await.id];
    Prepared { slug, canary, finding, case, handed, token, channels }
}

/// Does everything of findings, cases, hand-offs and channels, once.
pub async fn steps(house: &House, gate: &Prepared) -> Vec<(domain::audit::Action, Result<(), Error>)> {
    use domain::audit::Action;
    let cx = house.admin();
    let report = Compromise { stop: Stop::Hold, reason: "seen".to_owned(), leaked_ms: None };
    let closed = findings::close(&cx, Some(&gate.slug), &gate.finding.id, "known").await;
    let noted = cases::note(&cx, &gate.case.id, "looked into").await;
    let case = cases::open(&cx, &gate.case.id).await.unwrap().case;
    let ended = cases::close(&cx, &case.id, case.version, "Somebody read the wiki.").await;
    let opened = match hand_offs::open(&cx, &gate.token).await {
        Err(Error::Forbidden(_)) => Ok(()),
        other => other.map(drop),
    };
    let new = NewChannel {
        kind: "webhook".to_owned(),
        name: "law".to_owned(),
        url: "https://law.example.com/".to_owned(),
        least: "high".to_owned(),
        ..NewChannel::default()
    };
    let [tested, removed] = &gate.channels;
    vec![
        (Action::FindingClosed, closed.map(drop)),
        (Action::CaseNoted, noted),
        (Action::CaseClosed, ended.map(drop)),
        (Action::HandOffOpened, opened),
        (Action::HandOffMade, hand_offs::make_for(&cx, &gate.handed, "ana@example.com").await.map(drop)),
        (Action::KeyCompromised, compromise::report(&cx, &gate.canary, report).await.map(drop)),
        (Action::ChannelSet, channels::add(&cx, new).await.map(drop)),
        (Action::ChannelTested, channels::test(&cx, tested).await.map(drop)),
        (Action::ChannelRemoved, channels::remove(&cx, removed).await),
        (Action::FindingRaised, findings::sweep(&house.keyward).await.map(drop)),
    ]
}
