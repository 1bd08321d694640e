//! The audit timeline: days, and in each its records, newest first.

use std::collections::BTreeMap;

use domain::{
    FederationId, Millis,
    audit::{ActorKind, AuditRecord, Outcome},
    federations::Federation,
};
use leptos::prelude::*;

use crate::ui::{
    status::{Shape, Status},
    still::IntoAny,
    time,
};

/// Federations by id, to name and link what a record belongs to.
pub type Known = BTreeMap<FederationId, Federation>;

/// Records under the heading of their day. The attribute `data-day` is what
/// `islands::older` merges days by.
pub fn days(records: &[AuditRecord], known: &Known, now_ms: Millis) -> AnyView {
    let days = records
        .chunk_by(|a, b| time::day_key(a.event.at_ms) == time::day_key(b.event.at_ms))
        .map(|records| {
            let at_ms = records.first().map_or(0, |record| record.event.at_ms);
            let key = time::day_key(at_ms);
            let day = key.clone();
            let entries = records.iter().map(|record| entry(record, known)).collect_view();
            view! {
                <section class="day" data-day=day>
                    <h2>
                        <time datetime=key>{day_name(at_ms, now_ms)}</time>
                    </h2>
                    <ol class="timeline">{entries}</ol>
                </section>
            }
        })
        .collect_view();
    view! {
        <div class="days" id="days">
            {days}
        </div>
    }
    .into_any()
}

fn day_name(at_ms: Millis, now_ms: Millis) -> String {
    let day = time::day(at_ms);
    if time::day_key(at_ms) == time::day_key(now_ms) { format!("Today, {day}") } else { day }
}

fn entry(record: &AuditRecord, known: &Known) -> impl IntoView + use<> {
    let event = &record.event;
    let (shape, word) = outcome(event.outcome);
    let href = format!("/audit/{}", record.seq);
    let federation = event.federation_id.as_ref().and_then(|id| known.get(id)).map(|federation| {
        let href = format!("/federations/{}", federation.slug);
        let name = (event.target.as_ref() != Some(&federation.name)).then(|| federation.name.clone());
        name.map(|name| {
            view! {
                <span class="muted">" in " <a href=href>{name}</a></span>
            }
        })
    });
    view! {
        <li>
            <time datetime=time::iso(event.at_ms) title=time::exact(event.at_ms)>
                <a href=href>{time::clock(event.at_ms)}</a>
            </time>
            <Status shape word />
            <span class="what">
                <strong>{actor(record)}</strong>
                " "
                {event.action.label()}
                " "
                {event.target.clone()}
                {federation}
                {event.reason.clone().map(|reason| view! { <span class="muted">": " {reason}</span> })}
            </span>
            <span class="where">{source(record)}</span>
        </li>
    }
}

/// The outcome in shape and word.
pub fn outcome(outcome: Outcome) -> (Shape, &'static str) {
    match outcome {
        Outcome::Done => (Shape::Good, "Done"),
        Outcome::Refused => (Shape::Look, "Refused"),
    }
}

/// Who did it, as people say it.
pub fn actor(record: &AuditRecord) -> String {
    let actor = &record.event.actor;
    match actor.kind {
        ActorKind::Admin | ActorKind::System => actor.name.clone(),
        ActorKind::Visitor => "Somebody".to_owned(),
        ActorKind::Key => format!("Key {}", actor.name),
    }
}

fn source(record: &AuditRecord) -> String {
    match (record.event.actor.kind, &record.event.source) {
        (_, Some(source)) => source.clone(),
        (ActorKind::System, None) => "this server".to_owned(),
        (ActorKind::Admin | ActorKind::Visitor | ActorKind::Key, None) => "No data".to_owned(),
    }
}
