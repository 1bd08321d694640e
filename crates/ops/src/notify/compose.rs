//! The texts: short and plain, with the page to look at.

use domain::{
    Millis, Secret,
    cases::{self, Case, CaseMoment, Moment},
    channels::Channel,
    federations::Federation,
    findings::{Finding, Severity},
    hand_offs::HandOff,
};
use serde_json::{Value, json};

use super::{CaseNews, Item};
use crate::ports::Mail;

/// A finding.
pub(super) fn finding(id: &str, finding: &Finding, federation: Option<&Federation>) -> Item {
    let mut lines = vec![
        format!("Expected: {}", finding.detail.expected),
        format!("Came: {}", finding.detail.came),
        format!("Why it matters: {}", finding.rule.why()),
    ];
    if let Some(source) = &finding.detail.source {
        let agent = finding.detail.agent.as_deref().map(|agent| format!(", {agent}")).unwrap_or_default();
        lines.push(format!("From: {source}{agent}"));
    }
    if finding.count > 1 && finding.detail.rung.is_none() {
        lines.push(format!("Seen {} times.", finding.count));
    }
    let slug = federation.map(|federation| format!("federation={}", federation.slug));
    let path = match (&finding.case_id, slug) {
        (Some(case), _) => format!("/cases/{case}"),
        (None, Some(slug)) => format!("/findings?{slug}#{}", finding.id),
        (None, None) => format!("/findings#{}", finding.id),
    };
    Item {
        id: id.to_owned(),
        kind: "finding".to_owned(),
        severity: finding.severity,
        title: finding.rule.title().to_owned(),
        federation: federation.map(|federation| federation.name.clone()),
        lines,
        path,
        at_ms: finding.last_ms,
        sealed: None,
    }
}

/// News of a case.
pub(super) fn case(
    id: &str,
    case: &Case,
    moments: &[CaseMoment],
    news: CaseNews,
    federation: Option<&Federation>,
) -> Item {
    let (severity, title, line) = match news {
        CaseNews::Opened => (
            Severity::Critical,
            case.title.clone(),
            format!(
                "{} opened this case. The page shows what was done and what it waits for.",
                case.opened_by
            ),
        ),
        CaseNews::Answered => {
            let took = cases::between(moments, Moment::T3, Moment::T8)
                .map(|ms| format!(", {} after the decision", span(ms)))
                .unwrap_or_default();
            let line = format!("The provider works with the new key{took}.");
            (Severity::Medium, format!("{}: answered", case.title), line)
        }
        CaseNews::Closed => (
            Severity::Medium,
            format!("{}: closed", case.title),
            case.closed_by.as_ref().map_or_else(
                || "The case was closed.".to_owned(),
                |by| format!("{by} closed it: {}", case.summary),
            ),
        ),
    };
    Item {
        id: id.to_owned(),
        kind: "case".to_owned(),
        severity,
        title,
        federation: federation.map(|federation| federation.name.clone()),
        lines: vec![line],
        path: format!("/cases/{}", case.id),
        at_ms: case.closed_ms.unwrap_or(case.opened_ms),
        sealed: None,
    }
}

/// A hand-over link; its text is sealed until it leaves.
pub(super) fn hand_over(id: &str, hand_off: &HandOff, sealed: (String, String)) -> Item {
    Item {
        id: id.to_owned(),
        kind: "hand-over".to_owned(),
        severity: Severity::Medium,
        title: "A new key waits for you".to_owned(),
        federation: None,
        lines: vec![
            "A provisioning key was made for a federation of yours, and you are asked to bring it to the provider."
                .to_owned(),
            "The link below shows it once, after you signed in with this mail address. It opens for nobody else, \
             and for 24 hours."
                .to_owned(),
        ],
        path: String::new(),
        at_ms: hand_off.made_ms,
        sealed: Some(sealed),
    }
}

/// `12 min`.
fn span(length_ms: Millis) -> String {
    match length_ms / 1_000 {
        seconds @ ..120 => format!("{} s", seconds.max(1)),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

/// What is read to people in one line, whatever was typed into it.
pub(super) fn one_line(text: &str) -> String {
    let text = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let text: String = text.collect();
    domain::usage::clean(text.trim(), 150)
}

fn subject(items: &[Item]) -> String {
    let [item] = items else {
        let worst = items.iter().map(|item| item.severity).max().unwrap_or(Severity::Low);
        return format!("[Keyward] {} messages, the worst {}", items.len(), worst.label().to_lowercase());
    };
    let federation = item.federation.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    match item.kind.as_str() {
        "finding" => one_line(&format!("[Keyward] {}: {}{federation}", item.severity.label(), item.title)),
        _ => one_line(&format!("[Keyward] {}{federation}", item.title)),
    }
}

/// A mail about one thing, or a digest. `link` is the page of an item.
pub(super) fn mail(to: Vec<String>, id: &str, items: &[Item], link: impl Fn(&Item) -> Secret) -> Mail {
    let mut text = String::new();
    for item in items {
        if items.len() > 1 {
            let federation = item.federation.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
            text.push_str(&one_line(&format!("{}: {}{federation}", item.severity.label(), item.title)));
            text.push_str("\n\n");
        }
        for line in &item.lines {
            text.push_str(line);
            text.push('\n');
        }
        text.push('\n');
        text.push_str(link(item).expose());
        text.push_str("\n\n");
    }
    text.push_str("-- \nKeyward sends this to the owners of a federation and to its channels.\n");
    Mail { to, id: id.to_owned(), subject: subject(items), text: Secret::new(text) }
}

/// The body of a webhook: one notice with one or more items. It never holds a hand-over link.
pub(super) fn webhook(items: &[Item], now: &str, link: impl Fn(&Item) -> String) -> Vec<u8> {
    let items: Vec<Value> = items
        .iter()
        .map(|item| {
            json!({
                "id": item.id, "kind": item.kind, "severity": item.severity, "title": item.title,
                "federation": item.federation, "lines": item.lines, "url": link(item), "at_ms": item.at_ms,
            })
        })
        .collect();
    json!({ "type": "keyward.notice", "timestamp": now, "data": { "items": items } }).to_string().into_bytes()
}

/// A mail that says nothing but that it arrived.
pub(crate) fn test_mail(channel: &Channel, by: &str) -> Mail {
    let text = format!(
        "{by} tested the channel {}. Findings, expiries and cases arrive like this.\n\n-- \nKeyward\n",
        one_line(&channel.name)
    );
    Mail {
        to: channel.settings.to.clone(),
        id: format!("{}.test", channel.id),
        subject: one_line(&format!("[Keyward] Test of the channel {}", channel.name)),
        text: Secret::new(text),
    }
}

/// A webhook that says nothing but that it arrived.
pub(crate) fn test_webhook(channel: &Channel, by: &str, now: &str) -> Vec<u8> {
    json!({ "type": "keyward.test", "timestamp": now, "data": { "channel": channel.name, "by": by } })
        .to_string()
        .into_bytes()
}
