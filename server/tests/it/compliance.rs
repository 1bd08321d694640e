//! The pages of compliance, as they are read without script, and the files of the evidence.

use domain::{
    DAY_MS,
    admins::Role,
    federations::Slug,
    scopes::{ResourceKind, Scope, Verb},
};

use crate::house::{House, house};

fn scope() -> Scope {
    Scope::of([(ResourceKind::Users, Verb::Read)])
}

/// Three federations: one whose key is too old, one with an exception, one with a fresh key.
async fn stocked() -> House {
    let house = house().await;
    for slug in ["late", "kept"] {
        house.federation(slug).await;
        house.key(slug, &format!("{slug}-1"), Scope::full_directory()).await;
    }
    house.clock.advance(80 * DAY_MS);
    let new = ops::policies::NewException {
        key_id: None,
        owner: "legal".to_owned(),
        reason: "the contract is renewed".to_owned(),
        ends_ms: house.admin().now_ms() + 60 * DAY_MS,
    };
    ops::policies::except(&house.admin(), &Slug::parse("kept").unwrap(), new).await.unwrap();
    for (slug, days) in [("late", 30), ("kept", 30)] {
        let slug = Slug::parse(slug).unwrap();
        let version = ops::federations::open(&house.admin(), &slug).await.unwrap().federation.version;
        let policy =
            domain::federations::RotationPolicy { max_age_days: days, overlap_hours: 72, warn_days: 7 };
        let rules = domain::rotations::policy::RotationRules::default();
        let edit = ops::policies::EditPolicy { version, policy, rules };
        ops::policies::edit(&house.admin(), &slug, edit).await.unwrap();
    }
    house.federation("fresh").await;
    house.key("fresh", "fresh-1", scope()).await;
    house
}

#[track_caller]
fn has(body: &str, parts: &[&str]) {
    for part in parts {
        assert!(body.contains(part), "{part} is not in {body}");
    }
}

#[tokio::test]
async fn the_board_says_the_verdict_names_what_needs_somebody_first_and_reads_without_script() {
    let house = stocked().await;
    let manager = house.signed_in(Role::Manager).await;
    let page = manager.get("/compliance").await;
    assert_eq!(page.status, 200);
    has(
        &page.body,
        &[
            "<h1>Compliance</h1>",
            "1 of 3 federations inside policy, 1 outside by exception",
            "aria-current=\"page\"",
            "<title id=\"trend-t\">",
            "<desc id=\"trend-d\">",
            "Show as table",
            "Never rehearsed",
            "1 with the full directory",
            "1 without work for 30 days",
            "the contract is renewed",
            "href=\"/federations/kept/rotation#exceptions\"",
            "href=\"/compliance?status=overdue\"",
        ],
    );
    let place = |name: &str| page.body.find(&format!("href=\"/federations/{name}\"")).unwrap();
    assert!(place("late") < place("kept") && place("kept") < place("fresh"), "in the order of attention");
    assert!(!page.body.contains(" style="), "no inline style");

    let overdue = manager.get("/compliance?status=overdue").await.body;
    has(&overdue, &["1 of 3 federations<", "href=\"/federations/late\"", "value=\"overdue\" selected"]);
    assert!(!overdue.contains("href=\"/federations/fresh\""));
    let nothing = manager.get("/compliance?text=nobody").await.body;
    has(&nothing, &["No federation fits the filter", "value=\"nobody\"", "1 of 3 federations inside policy"]);
    let operator = house.signed_in(Role::Operator(vec![Slug::parse("fresh").unwrap()])).await;
    let own = operator.get("/compliance").await.body;
    has(
        &own,
        &["1 of 1 federation inside policy", "aria-disabled=\"true\"", "Needs the role admin or manager."],
    );
    assert!(!own.contains("Federation late") && !own.contains("Federation kept"));
    house.close().await;
}

#[tokio::test]
async fn a_board_without_federations_says_what_to_do() {
    let house = house().await;
    let page = house.signed_in(Role::Admin).await.get("/compliance").await;
    has(&page.body, &["Nothing to hold against a policy yet", "Open federations"]);
    house.close().await;
}

/// The value of a hidden field.
fn hidden(body: &str, name: &str) -> String {
    let rest = body.split_once(&format!("name=\"{name}\" value=\"")).unwrap().1;
    rest.split_once('"').unwrap().0.to_owned()
}

#[tokio::test]
async fn a_manager_signs_what_the_page_shows_and_is_told_when_it_has_changed() {
    let house = stocked().await;
    let manager = house.signed_in(Role::Manager).await;
    let path = "/compliance/attestations/new";
    let page = manager.get(&format!("{path}?period=2026-01")).await.body;
    has(
        &page,
        &[
            "<h1>Sign 2026-01</h1>",
            "2026-01 ended on 31 Jan 2026. You sign the state of today for it.",
            "I have looked at the 3 federations above: 1 of 3 federations inside policy",
            "with 1 open exception.",
            "It cannot be changed or taken back.",
        ],
    );
    let seen = hidden(&page, "seen");
    let fields = |text: &'static str, confirmed: &'static str, seen: &str| {
        [
            ("period", "2026-01".to_owned()),
            ("text", text.to_owned()),
            ("seen", seen.to_owned()),
            ("confirmed", confirmed.to_owned()),
        ]
    };
    let post = async |fields: [(&str, String); 4]| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        manager.post(path, &fields).await
    };
    let refused = post(fields("Looked at, all of it.", "", &seen)).await;
    assert_eq!(refused.status, 422);
    has(&refused.body, &["1 thing to fix", "Looked at, all of it."]);
    house.key("fresh", "fresh-2", scope()).await;
    let stale = post(fields("Looked at, all of it.", "yes", &seen)).await;
    assert_eq!(stale.status, 409);
    has(&stale.body, &["was changed by somebody else in the meantime", "Looked at, all of it."]);
    let seen = hidden(&manager.get(&format!("{path}?period=2026-01")).await.body, "seen");
    let signed = post(fields("Looked at, all of it.", "yes", &seen)).await;
    assert_eq!(signed.status, 303);
    let page = manager.get(signed.header("location")).await.body;
    has(
        &page,
        &[
            "Attestation for 2026-01",
            "As it was signed",
            "Looked at, all of it.",
            "This is the first: there is nothing to compare with.",
            "legal until",
        ],
    );
    let list = manager.get("/compliance/attestations").await.body;
    has(&list, &["2026-01", "The manager", signed.header("location")]);
    let again = manager.get(&format!("{path}?period=2026-01")).await.body;
    has(&again, &["Signed for 2026-01 already"]);
    house.close().await;
}

#[tokio::test]
async fn the_evidence_names_its_controls_and_what_no_record_shows() {
    let house = stocked().await;
    let admin = house.signed_in(Role::Admin).await;
    let page = admin.get("/compliance/evidence?period=2026-Q1").await.body;
    has(
        &page,
        &[
            "Evidence for 2026-Q1",
            "IA-5: Authenticator management",
            "AC-2: ",
            "AU-9: ",
            "AU-10: ",
            "IR-3: ",
            "A.5.17: ",
            "A.8.15: ",
            "A.8.24: ",
            "CC6.1: ",
            "8.6.3: ",
            "No record shows this",
            "href=\"/exports/evidence?period=2026-Q1&amp;format=pdf\"",
        ],
    );
    for (format, media_type) in [
        ("csv", "text/csv; charset=utf-8; header=present"),
        ("json", "application/json"),
        ("pdf", "application/pdf"),
    ] {
        let file = admin.get(&format!("/exports/evidence?period=2026-Q1&format={format}")).await;
        assert_eq!((file.status, file.header("content-type")), (200, media_type));
        let named = format!("attachment; filename=\"keyward-evidence-2026-Q1.{format}\"");
        assert_eq!(file.header("content-disposition"), named);
    }
    let ahead = admin.get("/compliance/evidence?period=2031-01").await;
    assert_eq!(ahead.status, 422);
    has(&ahead.body, &["2031-01 has not begun"]);
    assert_eq!(admin.get("/exports/evidence?period=2031-01").await.status, 400);
    assert_eq!(admin.get("/exports/evidence?period=2026-Q1&what=all").await.status, 400);
    house.close().await;
}
