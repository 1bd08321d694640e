//! One attestation: whether it is as it was signed, what it says, and what is different from the one before.

use domain::compliance::attestation::{Differences, FrozenFederation, Moved, Named, Statement};
use leptos::prelude::*;
use ops::compliance::attestations::{Proof, Signed};

use super::shape;
use crate::{
    api,
    ssr::param,
    ui::{
        button::LinkButton,
        callout::Callout,
        page::{Head, Section, page},
        status::{Shape, Status},
        still::IntoAny,
        time::{Exact, day},
    },
    words,
};

/// The page of one attestation; it prints.
#[component]
pub fn Attestation() -> impl IntoView {
    page(Section::Compliance, async {
        let signed = api::compliance::attestation(&param("id")).await?;
        let brief = &signed.brief;
        let head = Head::new(format!("Attestation for {}", brief.label))
            .crumb("/compliance", "Compliance")
            .crumb("/compliance/attestations", "Attestations")
            .lead(format!("Signed by {}.", brief.signed_by))
            .actions(
                view! { <LinkButton href=format!("/compliance/evidence?period={}", brief.label) label="Open evidence" /> },
            );
        let said = match &signed.statement {
            Some(statement) => statement_card(statement),
            None => view! {
                <p class="muted">"What is kept under this id is no statement. Nothing of it is shown."</p>
            }
            .into_any(),
        };
        let body = view! {
            {proof(&signed)} {said} {compared(&signed)}
            {signed.statement.as_ref().map(federations)}
        };
        Ok((head, body.into_any()))
    })
}

fn proof(signed: &Signed) -> AnyView {
    let hash = signed.brief.hash.clone();
    let (shape, verdict, seq) = match signed.proof {
        Proof::Whole(seq) => (Shape::Good, "As it was signed", Some(seq)),
        Proof::Changed(seq) => (Shape::Broken, "Changed since it was signed", Some(seq)),
        Proof::Unrecorded => (Shape::Broken, "No audit record of this signing", None),
    };
    let text = match signed.proof {
        Proof::Whole(_) => "Its SHA-256 is the one in the audit record of the signing.",
        Proof::Changed(_) => {
            "What is kept here is not what was signed. The audit record has the digest of the original: look for it in a backup, and find out who changed the database."
        }
        Proof::Unrecorded => {
            "Nobody signed this: the audit log would say so. Verify the audit log, and find out who changed the database."
        }
    };
    let record = seq.map(|seq| {
        view! {
            <p>
                <a href=format!("/audit/{seq}")>{format!("Audit record {}", words::number(seq))}</a>
            </p>
        }
    });
    view! {
        <Callout shape verdict>
            <p>{text}</p>
            <p>
                "SHA-256 " <code class="break">{hash}</code>
            </p>
            {record}
        </Callout>
    }
    .into_any()
}

fn statement_card(statement: &Statement) -> AnyView {
    let checkpoint = match &statement.checkpoint {
        Some(note) => view! {
            <pre class="code" tabindex="0" role="region" aria-label="Signed checkpoint at the time of signing">
                {note.clone()}
            </pre>
        }
        .into_any(),
        None => view! { <span class="muted">"No checkpoint was signed before."</span> }.into_any(),
    };
    view! {
        <section class="card" aria-labelledby="statement">
            <h2 id="statement">"Statement"</h2>
            <blockquote class="statement">{statement.text.clone()}</blockquote>
            <dl class="props">
                <dt>"Period"</dt>
                <dd>
                    {statement.period.label.clone()} ", " <Exact at=statement.period.from_ms /> " to "
                    <Exact at=statement.period.to_ms />
                </dd> <dt>"Verdict"</dt> <dd>{statement.counted.verdict()}</dd> <dt>"Signed"</dt>
                <dd>
                    <Exact at=statement.signed_ms /> " by " {statement.signed_by.clone()}
                </dd> <dt>"Identity"</dt>
                <dd>
                    <code class="break">{statement.signer.clone()}</code>
                </dd> <dt>"Checkpoint"</dt> <dd>{checkpoint}</dd>
            </dl>
        </section>
    }
    .into_any()
}

fn moved(title: &'static str, list: &[Moved]) -> Option<AnyView> {
    let word = |standing: Option<domain::compliance::Status>| {
        standing.map_or("Not there", domain::compliance::Status::label)
    };
    let items = list
        .iter()
        .map(|one| {
            view! {
                <li>
                    <a href=format!("/federations/{}", one.slug)>{one.name.clone()}</a>
                    {format!(": {} before, {} now", word(one.before), word(one.after).to_lowercase())}
                </li>
            }
        })
        .collect_view();
    (!list.is_empty()).then(|| {
        view! {
            <h3>{title}</h3>
            <ul class="plain">{items}</ul>
        }
        .into_any()
    })
}

fn named(title: &'static str, list: &[Named]) -> Option<AnyView> {
    let items = list
        .iter()
        .map(|one| {
            view! {
                <li>
                    <a href=format!("/federations/{}", one.slug)>{one.federation.clone()}</a>
                    {format!(": {}", one.what)}
                </li>
            }
        })
        .collect_view();
    (!list.is_empty()).then(|| {
        view! {
            <h3>{title}</h3>
            <ul class="plain">{items}</ul>
        }
        .into_any()
    })
}

fn compared(signed: &Signed) -> AnyView {
    let content = match (&signed.previous, &signed.differences) {
        (Some(previous), Some(differences)) => {
            let link = format!("/compliance/attestations/{previous}");
            view! {
                <p class="muted">
                    "Compared with " <a href=link>"the attestation that was signed before"</a> "."
                </p>
                {told(differences)}
            }
            .into_any()
        }
        (Some(_), None) => {
            view! { <p class="muted">"The one that was signed before cannot be read, so nothing is compared."</p> }
                .into_any()
        }
        (None, _) => view! { <p class="muted">"This is the first: there is nothing to compare with."</p> }.into_any(),
    };
    view! {
        <section class="card" aria-labelledby="differences">
            <h2 id="differences">"What is different"</h2>
            {content}
        </section>
    }
    .into_any()
}

fn told(differences: &Differences) -> AnyView {
    if differences.is_empty() {
        return view! { <p>"Nothing: every federation has the same status, exceptions and keys."</p> }
            .into_any();
    }
    view! {
        {moved("Left the policy", &differences.left)}
        {moved("Came back inside", &differences.came_back)}
        {moved("Another status", &differences.shifted)}
        {moved("New federations", &differences.appeared)}
        {moved("Archived federations", &differences.gone)}
        {named("New exceptions", &differences.new_exceptions)}
        {named("Exceptions that ended", &differences.ended_exceptions)}
        {named("New keys", &differences.new_keys)}
        {named("Keys that ended", &differences.ended_keys)}
    }
    .into_any()
}

fn federations(statement: &Statement) -> AnyView {
    table(&statement.federations)
}

/// Federations as they were frozen, in the order of attention.
pub(super) fn table(frozen: &[FrozenFederation]) -> AnyView {
    let mut sorted: Vec<&FrozenFederation> = frozen.iter().collect();
    sorted.sort_by_key(|one| (one.status, one.slug.clone()));
    let rows = sorted
        .into_iter()
        .map(|one| {
            let oldest = one.keys.iter().map(|key| key.issued_ms).min().map(day);
            let kept = one
                .exceptions
                .iter()
                .map(|kept| {
                    let text = format!("{} until {}: {}", kept.owner, day(kept.ends_ms), kept.reason);
                    view! { <span class="sub">{text}</span> }
                })
                .collect_view();
            let count = |test: fn(&domain::compliance::attestation::FrozenKey) -> bool| {
                one.keys.iter().filter(|key| test(key)).count()
            };
            let (wide, unused) = (count(|key| key.full_directory), count(|key| key.unused));
            view! {
                <tr>
                    <th scope="row">
                        {one.name.clone()} <span class="sub">{one.owners.join(", ")}</span>
                    </th>
                    <td class="s" data-l="Status">
                        <Status shape=shape(one.status) word=one.status.label() />
                    </td>
                    <td class="num" data-l="Keys">
                        <span>
                            {words::count(i64::try_from(one.keys.len()).unwrap_or(i64::MAX), "key")}
                            {oldest
                                .map(|oldest| {
                                    let limit = format!("limit {} days", one.max_age_days);
                                    view! {
                                        <span class="sub">{format!("oldest of {oldest}")}</span>
                                        <span class="sub">{limit}</span>
                                    }
                                })}
                        </span>
                    </td>
                    <td class="num" data-l="Replaced">
                        {words::number(one.rotated)}
                    </td>
                    <td data-l="Wide, unused">{format!("{wide}, {unused}")}</td>
                    <td class="num" data-l="Open findings">
                        {words::number(one.findings)}
                    </td>
                    <td data-l="Exceptions">
                        {if one.exceptions.is_empty() {
                            view! { <span class="muted">"None"</span> }.into_any()
                        } else {
                            view! { <span>{kept}</span> }.into_any()
                        }}
                    </td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <section class="card flush" aria-labelledby="frozen">
            <header>
                <h2 id="frozen">"Federations"</h2>
            </header>
            <div class="tw" tabindex="0" role="region" aria-label="Table of federations">
                <table class="t cards">
                    <caption class="sr">"Federations, what needed somebody first"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Federation"</th>
                            <th scope="col">"Status"</th>
                            <th scope="col" class="num">
                                "Keys"
                            </th>
                            <th scope="col" class="num">
                                "Replaced"
                            </th>
                            <th scope="col">"Wide, unused"</th>
                            <th scope="col" class="num">
                                "Open findings"
                            </th>
                            <th scope="col">"Exceptions"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </section>
    }
    .into_any()
}
