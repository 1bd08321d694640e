//! Findings and cases.

use domain::{
    CaseId, DAY_MS, FindingId, HOUR_MS, KeyId, Millis,
    cases::{Case, CaseKind, CaseMoment, Moment},
    findings::{Detail, Finding, Rule},
};
use store::findings::Closing;

use super::{Filler, House};
use crate::Outcome;

/// What most findings are of: what is seen of requests.
const RULES: [Rule; 9] = [
    Rule::NewNetwork,
    Rule::NewAgent,
    Rule::ManyDenials,
    Rule::OffSchedule,
    Rule::Silence,
    Rule::ManyFailures,
    Rule::NewAttribute,
    Rule::CreateBurst,
    Rule::DormantKey,
];

/// Writes them. A tenth of the findings and a quarter of the cases are open.
pub async fn write(filler: &mut Filler, houses: &[House]) -> Outcome {
    let keys: Vec<(&House, &KeyId)> =
        houses.iter().flat_map(|house| house.used.iter().map(move |(id, ..)| (house, id))).collect();
    if keys.is_empty() {
        return Ok(());
    }
    for number in 0..filler.sizes.findings {
        let (house, key) = keys[filler.chance.place(keys.len())];
        let rule = RULES[number as usize % RULES.len()];
        let at_ms = filler.between(filler.begins_ms(), filler.until_ms);
        let is_open = number % 10 == 0;
        // One subject has one open finding of a rule; those that are closed free it.
        finding(filler, house, key, rule, at_ms, is_open).await?;
        if number % 2_000 == 1_999 {
            filler.step().await?;
        }
    }
    for number in 0..filler.sizes.cases {
        let (house, key) = keys[filler.chance.place(keys.len())];
        case(filler, house, key, number % 4 == 0).await?;
    }
    filler.step().await
}

async fn finding(
    filler: &mut Filler,
    house: &House,
    key: &KeyId,
    rule: Rule,
    at_ms: Millis,
    is_open: bool,
) -> Outcome {
    let finding = Finding {
        id: FindingId::new(at_ms, filler.chance.id()),
        federation_id: Some(house.id.clone()),
        rule,
        severity: rule.severity(),
        subject: key.to_string(),
        key_id: Some(key.clone()),
        rotation_id: None,
        case_id: None,
        detail: Detail {
            expected: "What its provider has done so far.".to_owned(),
            came: format!("Something else, from {}.", house.source),
            source: Some(house.source.clone()),
            agent: Some(house.agent.to_owned()),
            ..Detail::default()
        },
        count: 1,
        first_ms: at_ms,
        last_ms: at_ms,
        closed_ms: None,
        closed_by: None,
        closed_reason: None,
        version: 1,
    };
    let conn = &mut filler.bulk.conn();
    let raised = store::findings::raise(conn, &finding).await?;
    if !is_open {
        let closing = Closing { at_ms: at_ms + 2 * HOUR_MS, by: "Security", reason: "It was planned." };
        store::findings::close(conn, Some(&house.id), &raised.id, closing).await?;
    }
    Ok(())
}

async fn case(filler: &mut Filler, house: &House, key: &KeyId, is_open: bool) -> Outcome {
    // An old case that is open would be a scandal of its own.
    let from_ms = if is_open { filler.until_ms - 3 * DAY_MS } else { filler.begins_ms() };
    let opened_ms = filler.between(from_ms, filler.until_ms - HOUR_MS);
    let kind = filler.chance.of(&[CaseKind::Compromise, CaseKind::Leak, CaseKind::Canary]);
    let case = Case {
        id: CaseId::new(opened_ms, filler.chance.id()),
        federation_id: house.id.clone(),
        kind,
        key_id: key.clone(),
        rotation_id: None,
        title: format!("{}: a key of {}", kind.label(), house.name),
        opened_by: "Security".to_owned(),
        opened_ms,
        closed_ms: None,
        closed_by: None,
        summary: String::new(),
        version: 1,
    };
    let conn = &mut filler.bulk.conn();
    store::cases::insert(conn, &case).await?;
    let marks = [Moment::T0, Moment::T1, Moment::T2, Moment::T3, Moment::T4, Moment::T8];
    let reached = if is_open { 3 } else { marks.len() };
    for (place, moment) in marks.into_iter().take(reached).enumerate() {
        let mark = CaseMoment {
            moment,
            at_ms: opened_ms + i64::try_from(place)? * 60_000,
            made_by: "Keyward".to_owned(),
            text: format!("{} was seen.", moment.label()),
        };
        store::cases::insert_moment(conn, &house.id, &case.id, moment.as_str(), &mark).await?;
    }
    if !is_open {
        let closed_ms = opened_ms + 50 * 60_000;
        store::cases::close(conn, &case, closed_ms, "Security", "The copy was found and removed.").await?;
    }
    Ok(())
}
