//! Compliance on both databases: the board against a model, what is signed and stays, the evidence against the
//! records, and who may do what.

use std::collections::BTreeMap;

use domain::{
    AttestationId, DAY_MS, KeyId, Millis,
    admins::Role,
    audit::Action,
    compliance::{Counted, Status, attestation::Statement, evidence::Fact},
    federations::{RotationPolicy, Slug},
    keys::KeyState,
    rotations::policy::RotationRules,
    scopes::{ResourceKind, Scope, Verb},
};
use ops::{
    Error,
    audit::AuditFilter,
    compliance::{
        Board, Filter, PAGE,
        attestations::{self, Proof, Sign},
        board,
        evidence::{self, Form},
    },
    keys::{self, KeyView, Rotate},
    policies::{self, EditPolicy, NewException},
    users,
};
use store::{Engine, testing::run_sql};

use crate::support::{House, asked, houses, new_key};

/// A small generator: the same numbers on both databases, and in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

async fn all_keys(house: &House) -> Vec<KeyView> {
    keys::list(&house.admin(), &Default::default()).await.unwrap()
}

async fn set_policy(house: &House, slug: &Slug, max_age_days: i64) -> Result<(), Error> {
    let admin = house.admin();
    let version = policies::effective(&admin, slug).await.unwrap().federation.version;
    let policy = RotationPolicy { max_age_days, overlap_hours: 72, warn_days: 7 };
    let edit = EditPolicy { version, policy, rules: RotationRules::default() };
    policies::edit(&admin, slug, edit).await.map(drop)
}

fn exception(key_id: Option<KeyId>, ends_ms: Millis) -> NewException {
    NewException { key_id, owner: "legal".to_owned(), reason: "the contract is renewed".to_owned(), ends_ms }
}

async fn work(house: &House, slug: &Slug, secret: &domain::Secret) {
    let federation = ops::federations::open(&house.admin(), slug).await.unwrap().federation;
    let cx = house.client(&federation, secret).await;
    let gone = users::get(&cx, &asked("GET", "Users"), "nobody").await;
    assert!(matches!(gone, Err(Error::NotFound(_))));
}

/// Federations with keys of all ages, some rotated, revoked, used, excepted. The clock goes on.
async fn populated(house: &House, count: usize, dice: &mut Dice) {
    let admin = house.admin();
    for number in 0..count {
        let slug = house.federation(&format!("f-{number:02}")).await.slug;
        for key in 0..dice.roll(3) {
            let days = [30, 60, 90][usize::try_from(dice.roll(3)).unwrap()];
            let scope = if dice.roll(2) == 0 {
                Scope::full_directory()
            } else {
                Scope::of([(ResourceKind::Users, Verb::Read)])
            };
            let new =
                keys::NewKey { lifetime_days: days, ..new_key(&slug, &format!("k-{number}-{key}"), scope) };
            let issued = keys::issue(&admin, new).await.unwrap();
            if dice.roll(2) == 0 {
                work(house, &slug, &issued.secret.unwrap()).await;
            }
        }
        house.clock.advance(i64::try_from(dice.roll(3)).unwrap() * DAY_MS);
    }
    for view in all_keys(house).await.into_iter().filter(|view| view.state.is_accepted()) {
        let slug = &view.federation.slug;
        match dice.roll(6) {
            0 => drop(keys::rotate(&admin, &view.key.id, Rotate::default()).await.unwrap()),
            1 => drop(keys::revoke(&admin, &view.key.id, "over").await.unwrap()),
            2 => {
                let key_id = (dice.roll(2) == 0).then(|| view.key.id.clone());
                let ends_ms = admin.now_ms() + i64::try_from(10 + dice.roll(60)).unwrap() * DAY_MS;
                policies::except(&admin, slug, exception(key_id, ends_ms)).await.unwrap();
            }
            // A change that would retire what is not proven is refused; then the policy stays.
            3 => drop(set_policy(house, slug, 30).await),
            _ => {}
        }
        house.clock.advance(i64::try_from(dice.roll(2)).unwrap() * DAY_MS);
    }
    house.clock.advance(20 * DAY_MS);
}

/// The rules again, from what other operations say.
async fn expected(house: &House) -> BTreeMap<String, (Status, usize)> {
    let (admin, now_ms) = (house.admin(), house.admin().now_ms());
    let views = all_keys(house).await;
    let mut told = BTreeMap::new();
    for federation in ops::federations::list(&admin).await.unwrap() {
        let slug = &federation.federation.slug;
        let policy = policies::effective(&admin, slug).await.unwrap();
        let (mut late, mut soon, mut kept, mut counted, mut accepted) = (false, false, false, 0, 0);
        let own: Vec<&KeyView> = views.iter().filter(|view| view.federation.slug == *slug).collect();
        for view in &own {
            let life = &view.key.life;
            let is_cut_off = view.state == KeyState::Expired
                && life.first_used_ms.is_some()
                && view.key.successor_id.is_none()
                && now_ms < life.expires_ms + 30 * DAY_MS;
            accepted += usize::from(view.state.is_accepted());
            if !(view.state.is_accepted() || is_cut_off) {
                continue;
            }
            counted += 1;
            let end_ms = life.expires_ms.min(life.issued_ms + policy.effective.max_age_ms);
            let is_excepted = policy.exceptions.iter().any(|one| one.covers(&view.key, now_ms));
            let is_late = now_ms >= end_ms;
            let is_soon =
                view.key.successor_id.is_none() && now_ms >= end_ms - policy.effective.rotate_before_ms;
            if is_late || is_soon {
                let shelf = match (is_excepted, is_late) {
                    (true, _) => &mut kept,
                    (false, true) => &mut late,
                    (false, false) => &mut soon,
                };
                *shelf = true;
            }
        }
        let was_rotated = own.iter().any(|view| view.key.predecessor_id.is_some());
        let status = match (late, soon, kept, counted, was_rotated) {
            (true, ..) => Status::Overdue,
            (_, true, ..) => Status::Due,
            (_, _, true, ..) => Status::Excepted,
            (_, _, _, 0, _) => Status::NoKeys,
            (.., true) => Status::InPolicy,
            (.., false) => Status::NeverRotated,
        };
        told.insert(slug.to_string(), (status, accepted));
    }
    told
}

/// Every page of a board.
async fn pages(house: &House, filter: &Filter) -> Vec<Board> {
    let (mut pages, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = board(&house.admin(), filter, after.as_deref()).await.unwrap();
        after.clone_from(&page.next);
        pages.push(page);
        if after.is_none() {
            return pages;
        }
    }
}

#[tokio::test]
async fn the_board_is_what_a_model_says_in_the_order_of_attention_and_page_by_page() {
    for house in houses().await {
        let mut dice = Dice(20_261_124);
        populated(&house, PAGE + 7, &mut dice).await;
        let expect = expected(&house).await;
        let boards = pages(&house, &Filter::default()).await;
        assert_eq!(boards.len(), 2, "one page and a bit");
        let rows: Vec<_> = boards.iter().flat_map(|board| &board.rows).collect();
        let told: BTreeMap<String, (Status, usize)> = rows
            .iter()
            .map(|row| (row.federation.slug.to_string(), (row.assessed.status, row.assessed.accepted)))
            .collect();
        assert_eq!(told, expect);
        assert_eq!(rows.len(), told.len(), "nothing comes twice");
        let kinds: std::collections::BTreeSet<Status> = told.values().map(|(status, _)| *status).collect();
        assert!(kinds.len() >= 5, "the dice made too little: {kinds:?}");
        let places: Vec<_> = rows
            .iter()
            .map(|row| (row.assessed.status, row.assessed.limit_ms.unwrap_or(Millis::MAX)))
            .collect();
        assert!(places.is_sorted(), "what needs somebody comes first: {places:?}");
        let mut counted = Counted::default();
        for (status, _) in told.values() {
            counted.add(*status);
        }
        assert_eq!(boards[0].counted, counted);
        assert_eq!(boards[0].trend.last().map(|point| point.counted), Some(counted));
        assert_eq!(boards[0].found, expect.len());
        for status in Status::ALL {
            let filter = Filter { status: Some(status), ..Filter::default() };
            let found: Vec<String> = pages(&house, &filter)
                .await
                .iter()
                .flat_map(|board| board.rows.iter().map(|row| row.federation.slug.to_string()))
                .collect();
            let wanted = expect.iter().filter(|(_, (of, _))| *of == status).count();
            assert_eq!(found.len(), wanted, "{status:?}");
            assert_eq!(boards[0].by_status.iter().find(|(of, _)| *of == status), Some(&(status, wanted)));
        }
        let text = Filter { text: Some(" FEDERATION F-07 ".to_owned()), ..Filter::default() };
        assert_eq!(pages(&house, &text).await[0].found, 1);
        let nobody = Filter { owner: Some("nobody".to_owned()), ..Filter::default() };
        assert_eq!(pages(&house, &nobody).await[0].found, 0);
        assert!(matches!(
            board(&house.admin(), &Filter::default(), Some("overdue")).await,
            Err(Error::Invalid(_))
        ));
        house.close().await;
    }
}

#[tokio::test]
async fn the_trend_holds_each_month_against_the_policy_and_the_exceptions_of_its_time() {
    for house in houses().await {
        // The clock begins with January.
        let slug = house.federation("old").await.slug;
        house.key(&ops::federations::open(&house.admin(), &slug).await.unwrap().federation, "k").await;
        house.clock.advance(50 * DAY_MS);
        set_policy(&house, &slug, 40).await.unwrap();
        let admin = house.admin();
        let ends_ms = admin.now_ms() + 20 * DAY_MS;
        let kept = policies::except(&admin, &slug, exception(None, ends_ms)).await.unwrap();
        house.clock.advance(15 * DAY_MS);
        // 7 March.
        let told = board(&house.admin(), &Filter::default(), None).await.unwrap();
        let months: Vec<(&str, i64, i64, i64)> = told
            .trend
            .iter()
            .filter(|point| point.counted.of > 0)
            .map(|point| {
                let Counted { inside, excepted, of } = point.counted;
                (point.month.as_str(), inside, excepted, of)
            })
            .collect();
        // In January the policy was 90 days; at the end of February it was 40, with an exception.
        assert_eq!(months, [("2026-01", 1, 0, 1), ("2026-02", 0, 1, 1), ("2026-03", 0, 1, 1)]);
        assert_eq!(told.since_ms, Some(ops::testing::START_MS));
        assert_eq!(told.exceptions.len(), 1);
        policies::end_exception(&house.admin(), &slug, &kept.id).await.unwrap();
        let told = board(&house.admin(), &Filter::default(), None).await.unwrap();
        let last: Vec<i64> = told.trend.iter().rev().take(2).map(|point| point.counted.excepted).collect();
        assert_eq!(last, [0, 1], "what was excepted then stays so");
        ops::federations::archive(&house.admin(), &slug).await.unwrap();
        let told = board(&house.admin(), &Filter::default(), None).await.unwrap();
        assert_eq!((told.counted.of, told.rows.len()), (0, 0));
        assert_eq!(told.trend[10].counted.of, 1, "it was there in February");
        house.close().await;
    }
}

async fn sign(house: &House, role: Role, period: &str) -> Result<AttestationId, Error> {
    let seen = attestations::draft(&house.admin(), period).await.unwrap().seen;
    let sign =
        Sign { period: period.to_owned(), text: "I have looked at it.".to_owned(), seen, is_confirmed: true };
    attestations::sign(&house.person(role), sign).await
}

#[tokio::test]
async fn what_was_signed_stays_as_it_was_and_says_what_is_different_from_before() {
    for house in houses().await {
        let federation = house.federation("one").await;
        let (key, _) = house.key(&federation, "k-1").await;
        let first = sign(&house, Role::Manager, "2026-01").await.unwrap();
        let signed = attestations::open(&house.person(Role::Manager), &first).await.unwrap();
        let said = signed.statement.clone().unwrap();
        assert!(matches!(signed.proof, Proof::Whole(_)));
        assert_eq!((signed.previous, signed.differences), (None, None));
        assert_eq!((said.signed_by.as_str(), said.text.as_str()), ("The manager", "I have looked at it."));
        assert_eq!(said.federations.len(), 1);
        assert_eq!(said.federations[0].status, Status::NeverRotated);

        house.clock.advance(85 * DAY_MS);
        keys::rotate(&house.admin(), &key, Rotate::default()).await.unwrap();
        house.federation("two").await;
        let ends_ms = house.admin().now_ms() + DAY_MS;
        policies::except(&house.admin(), &federation.slug, exception(None, ends_ms)).await.unwrap();
        let second = sign(&house, Role::Admin, "2026-Q1").await.unwrap();
        let again = attestations::open(&house.admin(), &first).await.unwrap();
        assert_eq!(again.statement, Some(said), "nothing of it has moved");
        let later = attestations::open(&house.admin(), &second).await.unwrap();
        assert_eq!(later.previous.as_ref(), Some(&first));
        let told = later.differences.unwrap();
        let named: Vec<&str> = told.new_keys.iter().map(|one| one.slug.as_str()).collect();
        assert_eq!((named, told.new_exceptions.len(), told.appeared.len()), (vec!["one"], 1, 1));
        assert_eq!(
            told.shifted.iter().map(|one| (one.before, one.after)).collect::<Vec<_>>(),
            [(Some(Status::NeverRotated), Some(Status::InPolicy))]
        );
        assert_eq!(later.statement.unwrap().federations[0].rotated, 1);
        let list = attestations::list(&house.admin(), None).await.unwrap();
        assert_eq!(list.iter().map(|one| &one.id).collect::<Vec<_>>(), [&second, &first]);
        assert_eq!(attestations::list(&house.admin(), Some(&second)).await.unwrap().len(), 1);
        let log = house.log().await;
        assert!(log.contains(&format!("attestation.signed done {first}")), "{log:?}");
        house.close().await;
    }
}

#[tokio::test]
async fn only_what_was_seen_and_has_begun_is_signed() {
    for house in houses().await {
        let federation = house.federation("one").await;
        let whole = Sign {
            period: "2026-01".to_owned(),
            text: "I have looked at it.".to_owned(),
            seen: attestations::draft(&house.admin(), "2026-01").await.unwrap().seen,
            is_confirmed: true,
        };
        let fields = async |sign: Sign| match attestations::sign(&house.admin(), sign).await {
            Err(Error::Invalid(faults)) => faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(fields(Sign { period: "2026-02".to_owned(), ..whole.clone() }).await, ["period"]);
        assert_eq!(fields(Sign { period: "soon".to_owned(), ..whole.clone() }).await, ["period"]);
        assert_eq!(fields(Sign { text: " ok ".to_owned(), ..whole.clone() }).await, ["text"]);
        assert_eq!(fields(Sign { is_confirmed: false, ..whole.clone() }).await, ["confirmed"]);
        house.key(&federation, "k-1").await;
        let stale = attestations::sign(&house.admin(), whole).await;
        assert!(matches!(stale, Err(Error::Stale(_))), "{stale:?}");
        assert!(attestations::list(&house.admin(), None).await.unwrap().is_empty());
        house.close().await;
    }
}

/// Runs SQL on attestations as somebody would who is stopped by no trigger.
async fn unlocked(house: &House, sql: &str) {
    let sql = match house.database.engine {
        Engine::Sqlite => format!(
            "DROP TRIGGER IF EXISTS attestations_no_update; DROP TRIGGER IF EXISTS attestations_no_delete; {sql}"
        ),
        Engine::Postgres => format!(
            "ALTER TABLE attestations DISABLE TRIGGER ALL; {sql}; ALTER TABLE attestations ENABLE TRIGGER ALL"
        ),
    };
    run_sql(&house.database.target, sql).await;
}

#[tokio::test]
async fn whoever_changes_a_kept_attestation_is_found_out() {
    for house in houses().await {
        house.federation("one").await;
        let id = sign(&house, Role::Manager, "2026-01").await.unwrap();
        let proof = async || attestations::open(&house.admin(), &id).await.unwrap().proof;
        let Proof::Whole(seq) = proof().await else { panic!("it is whole") };
        let before = store::attestations::by_id(
            &mut ops::testing::store(&house.keyward).read().await.unwrap().conn(),
            &id,
        )
        .await
        .unwrap()
        .unwrap();
        let quoted = |text: &str| text.replace('\'', "''");
        let back = format!(
            "UPDATE attestations SET body = '{}', hash = '{}', label = '2026-01', signed_by = 'The manager',
            inside = 0, signed_ms = {}",
            quoted(&before.1),
            before.0.hash,
            before.0.signed_ms
        );
        let mut forged = Statement::read(&before.1).unwrap();
        forged.text = "I have not looked at it.".to_owned();
        let forged = forged.canonical().unwrap();
        let hash = domain::compliance::attestation::digest(&forged);
        for sql in [
            format!("UPDATE attestations SET body = '{}'", quoted(&forged)),
            // Whoever knows how it is done writes the new digest as well; the audit log has the old one.
            format!("UPDATE attestations SET body = '{}', hash = '{hash}'", quoted(&forged)),
            "UPDATE attestations SET label = '2025-12'".to_owned(),
            "UPDATE attestations SET signed_by = 'Somebody'".to_owned(),
            "UPDATE attestations SET inside = 7".to_owned(),
            "UPDATE attestations SET signed_ms = 1".to_owned(),
            "UPDATE attestations SET body = '{}'".to_owned(),
        ] {
            unlocked(&house, &sql).await;
            assert_eq!(proof().await, Proof::Changed(seq), "{sql}");
            unlocked(&house, &back).await;
            assert_eq!(proof().await, Proof::Whole(seq));
        }
        // One that nobody signed.
        let other = AttestationId::new(1, [3; 10]);
        let sql = format!(
            "INSERT INTO attestations SELECT '{other}', label, signed_ms, signed_by, inside, excepted, counted, body, hash
            FROM attestations"
        );
        unlocked(&house, &sql).await;
        let forged = attestations::open(&house.admin(), &other).await.unwrap();
        assert_eq!(forged.proof, Proof::Unrecorded);
        house.close().await;
    }
}

#[tokio::test]
async fn the_numbers_of_the_evidence_are_those_of_the_records() {
    for house in houses().await {
        let mut dice = Dice(7);
        populated(&house, 12, &mut dice).await;
        let admin = house.admin();
        // Two places of the trend and of the periods: the clock began with January.
        let pack = evidence::pack(&admin, "2026-01").await.unwrap();
        let count = async |action: Action, from_ms: Option<Millis>, to_ms: Option<Millis>| {
            let filter = AuditFilter { action: Some(action), from_ms, to_ms, ..AuditFilter::default() };
            ops::audit::list(&admin, &filter, None, 200).await.unwrap().records.len()
        };
        let in_period = async |action| {
            let period = &pack.period;
            i64::try_from(count(action, Some(period.from_ms), Some(period.to_ms)).await).unwrap()
        };
        let facts = &pack.facts;
        assert!(facts.keys_issued > 3, "the dice made too little");
        let rotated = in_period(Action::KeyRotated).await;
        assert_eq!(facts.keys_issued, in_period(Action::KeyIssued).await + rotated);
        assert_eq!(facts.keys_rotated, rotated);
        assert_eq!(facts.keys_revoked, in_period(Action::KeyRevoked).await);
        assert_eq!(facts.keys_retired, in_period(Action::KeyRetired).await);
        assert_eq!(facts.exceptions_made, in_period(Action::ExceptionMade).await);
        let open = ops::findings::list(&admin, &Default::default()).await.unwrap().len();
        assert_eq!(facts.findings_open, i64::try_from(open).unwrap());
        let views = all_keys(&house).await;
        let accepted: Vec<_> = views.iter().filter(|view| view.state.is_accepted()).collect();
        assert_eq!(facts.keys_accepted, i64::try_from(accepted.len()).unwrap());
        let wide = accepted.iter().filter(|view| view.key.scope.is_full_directory()).count();
        assert_eq!(facts.full_directory, i64::try_from(wide).unwrap());
        let oldest = accepted.iter().map(|view| admin.now_ms() - view.key.life.issued_ms).max();
        assert_eq!(facts.oldest_age_ms, oldest);
        assert_eq!(facts.audit_records, i64::try_from(house.log().await.len()).unwrap());
        assert_eq!((facts.checkpoint, facts.anchors, facts.attestations), (None, 0, 0));
        assert_eq!(facts.value(Fact::Checkpoint), None, "no checkpoint was signed: the pack says so");
        let statuses = expected(&house).await;
        let overdue = statuses.values().filter(|(status, _)| *status == Status::Overdue).count();
        assert_eq!(facts.overdue, i64::try_from(overdue).unwrap());

        let id = sign(&house, Role::Manager, "2026-01").await.unwrap();
        ops::audit::checkpoint::sign_now(&house.keyward).await.unwrap();
        let pack = evidence::pack(&admin, "2026-01").await.unwrap();
        assert_eq!(pack.attestations.iter().map(|one| &one.id).collect::<Vec<_>>(), [&id]);
        assert_eq!(pack.facts.checkpoint.map(|(size, _)| size), Some(pack.facts.audit_records));
        let note = pack.checkpoint.unwrap();
        let key = house.keyward.audit_key().unwrap();
        let opened = domain::audit::checkpoint::Checkpoint::open(&note, &[key]).unwrap();
        assert!(opened.1, "the note in the pack is signed with the key that stands in it");
        let later = evidence::pack(&admin, "2026-02").await.unwrap();
        assert_eq!(later.facts.attestations, 0, "it was for January");
        house.close().await;
    }
}

#[tokio::test]
async fn a_file_is_on_record_with_its_digest_and_holds_no_formula() {
    for house in houses().await {
        let admin = house.admin();
        let named = ops::federations::NewFederation {
            name: "=HYPERLINK(\"https://evil.test\")".to_owned(),
            ..crate::support::new_federation("formula")
        };
        ops::federations::register(&admin, named).await.unwrap();
        for form in Form::ALL {
            let before = house.log().await.len();
            let file = evidence::file(&admin, "2026-Q1", form).await.unwrap();
            let told = house.log().await.split_off(before);
            let word = format!("records.exported done evidence as {}", form.as_str());
            assert_eq!(told, [word.clone(), word]);
            let filter = AuditFilter { action: Some(Action::RecordsExported), ..AuditFilter::default() };
            let last = ops::audit::list(&admin, &filter, None, 1).await.unwrap().records.remove(0);
            let sha256 = domain::compliance::attestation::digest(&file);
            assert!(last.event.detail.contains(&sha256), "{}", last.event.detail);
            match form {
                Form::Csv => {
                    let mut read = csv::ReaderBuilder::new().from_reader(file.as_slice());
                    let rows: Vec<csv::StringRecord> = read.records().map(Result::unwrap).collect();
                    assert!(rows.len() > 50);
                    let cells =
                        || rows.iter().flat_map(|row| row.iter().map(str::to_owned).collect::<Vec<_>>());
                    assert!(cells().any(|cell| cell == "'=HYPERLINK(\"https://evil.test\")"));
                    assert!(cells().all(|cell| !cell.starts_with(['=', '+', '-', '@'])));
                    assert!(cells().any(|cell| cell == "No record shows this"));
                }
                Form::Json => {
                    let pack: domain::compliance::evidence::Pack = serde_json::from_slice(&file).unwrap();
                    let shown = evidence::pack(&admin, "2026-Q1").await.unwrap();
                    assert_eq!((pack.federations, pack.verdict), (shown.federations, shown.verdict));
                }
                Form::Pdf => assert!(file.starts_with(b"%PDF-1.7") && file.ends_with(b"%%EOF\n")),
            }
        }
        house.close().await;
    }
}

#[tokio::test]
async fn an_operator_sees_the_own_federations_and_signs_nothing() {
    for house in houses().await {
        let own = house.federation("own").await.slug;
        house.federation("other").await;
        let id = sign(&house, Role::Manager, "2026-01").await.unwrap();
        let operator = house.person(Role::Operator(vec![own.clone()]));
        let seen = board(&operator, &Filter::default(), None).await.unwrap();
        let slugs: Vec<&Slug> = seen.rows.iter().map(|row| &row.federation.slug).collect();
        assert_eq!((slugs, seen.may_attest, seen.may_hand_over), (vec![&own], false, false));
        let forbidden = |told: bool, what: &str| assert!(told, "{what} is for managers and admins");
        let is_no = |error: &Error| matches!(error, Error::Forbidden(_));
        forbidden(attestations::draft(&operator, "2026-01").await.is_err_and(|e| is_no(&e)), "a draft");
        forbidden(attestations::list(&operator, None).await.is_err_and(|e| is_no(&e)), "the list");
        forbidden(attestations::open(&operator, &id).await.is_err_and(|e| is_no(&e)), "a statement");
        forbidden(evidence::pack(&operator, "2026-01").await.is_err_and(|e| is_no(&e)), "the pack");
        forbidden(evidence::file(&operator, "2026-01", Form::Json).await.is_err_and(|e| is_no(&e)), "a file");
        let before = house.log().await.len();
        forbidden(
            sign(&house, Role::Operator(vec![own]), "2026-01").await.is_err_and(|e| is_no(&e)),
            "a signature",
        );
        assert_eq!(house.log().await[before..], ["attestation.signed refused 2026-01"]);
        assert_eq!(attestations::list(&house.admin(), None).await.unwrap().len(), 1);
        house.close().await;
    }
}

#[tokio::test]
async fn a_compromise_that_was_answered_is_named_and_is_no_rehearsal() {
    for house in houses().await {
        let federation = house.federation("own").await;
        let (key, _) = house.key(&federation, "k").await;
        let what = ops::compromise::Compromise {
            stop: ops::compromise::Stop::Revoke,
            reason: "seen in a wiki".to_owned(),
            leaked_ms: None,
        };
        ops::compromise::report(&house.admin(), &key, what).await.unwrap();
        let row = async || {
            let told = board(&house.admin(), &Filter::default(), None).await.unwrap();
            told.rows.into_iter().find(|row| row.federation.id == federation.id).unwrap()
        };
        assert_eq!(row().await.recovered_ms, None, "it is open");
        house.clock.advance(DAY_MS);
        let case = ops::cases::list(&house.admin()).await.unwrap().remove(0).case;
        ops::cases::close(&house.admin(), &case.id, case.version, "Somebody read the wiki.").await.unwrap();
        assert_eq!(row().await.recovered_ms, Some(house.admin().now_ms()));
        let pack = evidence::pack(&house.admin(), "2026-01").await.unwrap();
        assert_eq!((pack.facts.cases_opened, pack.facts.cases_closed), (1, 1));
        assert_eq!(pack.facts.slowest_recovery_ms, Some(DAY_MS));
        assert_eq!(pack.facts.value(Fact::Rehearsals), None);
        house.close().await;
    }
}

/// The one action of compliance, for the walk over every action.
pub async fn steps(house: &House) -> Vec<(Action, Result<(), Error>)> {
    vec![(Action::AttestationSigned, sign(house, Role::Manager, "2026-01").await.map(drop))]
}
