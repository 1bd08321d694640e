//! What proves the log: checkpoints, anchors, the export, and the proof of one record.

use domain::Millis;
use leptos::prelude::*;
use ops::audit::{
    anchors::{AnchorView, Standing},
    proof::Proof,
};

use crate::{
    api::audit::AuditPage,
    ui::{
        button::LinkButton,
        callout::Callout,
        form::{Form, field},
        status::{Shape, Status},
        still::IntoAny,
        time::{Ago, Exact},
    },
    words,
};

/// How far the log is anchored, for those who may read the whole of it.
pub(super) fn standing(data: &AuditPage, now: Millis) -> Option<AnyView> {
    let (head, standing) = (data.head.as_ref()?, data.standing.as_ref()?);
    let (shape, told) = anchored(head.seq, standing);
    let when = standing.anchored().map(|(_, at)| view! { " Told " <Ago at now /> "." });
    let last = standing.last.as_ref().map(|row| {
        view! {
            <dt>"Last checkpoint"</dt>
            <dd>{format!("over {} records, signed ", words::number(row.size))} <Ago at=row.at_ms now /></dd>
        }
    });
    let anchors = (!standing.anchors.is_empty()).then(|| anchors(&standing.anchors, now));
    let form = Form::with_field("first");
    let is_open = form.summary().is_some();
    Some(
        view! {
            <section class="card" aria-labelledby="proof">
                <h2 id="proof">"Proof"</h2>
                <p>
                    <Status shape word=told /> {when}
                </p>
                {anchors}
                <details class="more" open=is_open>
                    <summary>"Checkpoints, key and export"</summary>
                    <dl class="props">
                        <dt>"Records"</dt>
                        <dd>{words::number(head.seq)}</dd>
                        <dt>"Hash of the last"</dt>
                        <dd class="break">
                            <code>{head.hash.clone()}</code>
                        </dd>
                        {last}
                        <dt>"Verifier key"</dt>
                        <dd class="break">
                            <code>{standing.key.clone()}</code>
                        </dd>
                    </dl>
                    <p class="muted">
                        "To prove the log whole, walk it on the server: the command names the first bad record, if there is one."
                    </p>
                    <pre class="code" tabindex="0" role="region" aria-label="Command that verifies the log">
                        <code>"keyward audit verify"</code>
                    </pre>
                    <form class="form" method="post" action="/audit/export" aria-labelledby="export">
                        <h3 id="export">"Export"</h3>
                        {form.summary()}
                        <p class="muted">
                            "A file of JSON Lines that proves itself, to be checked without this server. The export is on record."
                        </p>
                        <div class="fields-row">
                            {form.input(field("first", "First record").default("1"), "number")}
                            {form
                                .input(
                                    field("last", "Last record").optional().hint("Empty: up to this export."),
                                    "number",
                                )}
                        </div>
                        <div class="actions">
                            <button class="btn">"Download records"</button>
                        </div>
                    </form>
                </details>
            </section>
        }
        .into_any(),
    )
}

/// How far the log is anchored, in words.
fn anchored(head: i64, standing: &Standing) -> (Shape, String) {
    let failing = standing.anchors.iter().any(|anchor| anchor.row.error.is_some());
    match standing.anchored() {
        _ if standing.anchors.is_empty() => (
            Shape::Look,
            "Unanchored since record 1: no anchor is configured, so nothing outside of this database vouches for it."
                .to_owned(),
        ),
        None => (Shape::Unknown, "Unanchored since record 1: no anchor has a checkpoint yet.".to_owned()),
        Some((size, _)) if size >= head => {
            (Shape::Good, format!("Anchored up to record {}, the last.", words::number(size)))
        }
        Some((size, _)) => (
            if failing { Shape::Look } else { Shape::Moving },
            format!("Anchored up to record {} of {}.", words::number(size), words::number(head)),
        ),
    }
}

fn anchors(anchors: &[AnchorView], now: Millis) -> AnyView {
    let rows = anchors
        .iter()
        .map(|anchor| {
            let (shape, word) = match (&anchor.row.error, anchor.row.told_ms) {
                (Some(_), _) => (Shape::Broken, "Fails"),
                (None, Some(_)) => (Shape::Good, "Told"),
                (None, None) => (Shape::Unknown, "Not told yet"),
            };
            let fault = anchor
                .row
                .error
                .clone()
                .map(|error| view! { <p class="muted">{words::sentence(&error)}</p> });
            let told = match anchor.row.told_ms {
                Some(at) => view! { <Ago at now /> }.into_any(),
                None => "Never".into_any(),
            };
            view! {
                <tr>
                    <th scope="row">{anchor.name.clone()}</th>
                    <td data-label="Where" class="break">
                        <code>{anchor.place.clone()}</code>
                    </td>
                    <td data-label="State">
                        <Status shape word /> {fault}
                    </td>
                    <td data-label="Up to record" class="num">
                        {words::number(anchor.row.size)}
                    </td>
                    <td data-label="Told">{told}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <div class="tw" tabindex="0" role="region" aria-label="Table of anchors">
            <table class="t cards">
                <caption class="sr">"Where checkpoints are kept outside of this database"</caption>
                <thead>
                    <tr>
                        <th scope="col">"Anchor"</th>
                        <th scope="col">"Where"</th>
                        <th scope="col">"State"</th>
                        <th scope="col" class="num">
                            "Up to record"
                        </th>
                        <th scope="col">"Told"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

/// The proof of one record.
pub(super) fn of_record(seq: i64, proof: Option<&Proof>, fault: Option<&str>) -> AnyView {
    let body = match (proof, fault) {
        (_, Some(fault)) => {
            let text = words::sentence(fault);
            view! { <Callout shape=Shape::Broken verdict="This record cannot be proven.">{text}</Callout> }.into_any()
        }
        (None, None) => view! {
            <p>
                <Status shape=Shape::Moving word="No checkpoint is over it yet: one is signed within a minute." />
            </p>
        }
        .into_any(),
        (Some(proof), None) => proven(seq, proof),
    };
    view! {
        <section class="card" aria-labelledby="proof">
            <h2 id="proof">"Proof"</h2>
            {body}
        </section>
    }
    .into_any()
}

fn proven(seq: i64, proof: &Proof) -> AnyView {
    let anchors = if proof.anchors.is_empty() {
        "None: nothing outside of this database vouches for it.".to_owned()
    } else {
        proof.anchors.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    view! {
        <dl class="props">
            <dt>"Checkpoint"</dt>
            <dd>
                {format!("over {} records, signed ", words::number(proof.checkpoint.size))}
                <Exact at=proof.checkpoint.at_ms />
            </dd>
            <dt>"Root"</dt>
            <dd class="break">
                <code>{proof.checkpoint.root.clone()}</code>
            </dd>
            <dt>"Path"</dt>
            <dd>{words::count(i64::try_from(proof.proof.path.len()).unwrap_or(0), "step")}</dd>
            <dt>"Anchors"</dt>
            <dd>{anchors}</dd>
        </dl>
        <p class="muted">"Anybody who has the verifier key can check the proof without this server:"</p>
        <pre class="code" tabindex="0" role="region" aria-label="Command that verifies the proof">
            <code>{format!("keyward audit verify --proof audit-{seq}.tlog-proof --key VKEY")}</code>
        </pre>
        <div class="actions">
            <LinkButton href=format!("/audit/{seq}/proof") label="Download proof" />
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use store_rows::row;

    use super::*;

    mod store_rows {
        use ops::audit::anchors::AnchorView;

        #[expect(clippy::default_trait_access, reason = "the type is of store, which pages do not know")]
        pub fn row(size: i64, told: Option<i64>, error: Option<&str>) -> AnchorView {
            let mut view =
                AnchorView { name: "file".to_owned(), place: "/a".to_owned(), row: Default::default() };
            (view.row.size, view.row.told_ms, view.row.error) = (size, told, error.map(str::to_owned));
            view
        }
    }

    #[test]
    fn nothing_is_said_to_be_anchored_that_is_not() {
        let standing = |anchors| Standing { origin: String::new(), key: String::new(), last: None, anchors };
        let check = |anchors, shape, words: &str| {
            let (found, told) = anchored(100, &standing(anchors));
            assert!(found == shape && told.starts_with(words), "{told}");
        };
        check(vec![], Shape::Look, "Unanchored since record 1: no anchor is configured");
        check(vec![row(0, None, None)], Shape::Unknown, "Unanchored since record 1");
        check(vec![row(100, Some(1), None)], Shape::Good, "Anchored up to record 100, the last");
        check(vec![row(90, Some(1), None)], Shape::Moving, "Anchored up to record 90 of 100");
        check(vec![row(90, Some(1), Some("gone"))], Shape::Look, "Anchored up to record 90 of 100");
    }
}
