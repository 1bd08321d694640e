//! The form that signs the state of a period. It shows what is signed, and is refused when that has changed.

use leptos::prelude::*;
use ops::compliance::attestations::Draft;

use super::{attestation::table, picker, verdict};
use crate::{
    api,
    ssr::{now_ms, query},
    ui::{
        form::{Form, field},
        page::{Head, Section, page},
        still::IntoAny,
        time::{Exact, day},
    },
    words,
};

/// The form.
#[component]
pub fn SignAttestation() -> impl IntoView {
    page(Section::Compliance, async {
        let form = Form::with_field("seen");
        let typed = Some(form.value("period", "")).filter(|period| !period.is_empty());
        let draft = api::compliance::draft(typed.or_else(|| query("period"))).await?;
        let head = Head::new(format!("Sign {}", draft.period.label))
            .crumb("/compliance", "Compliance")
            .crumb("/compliance/attestations", "Attestations")
            .lead("What you sign is frozen as it stands now, with its digest in the audit log. It cannot be changed or taken back.");
        let body = view! {
            {picker("/compliance/attestations/new", &draft.period, now_ms())}
            {verdict(draft.counted)} {earlier(&draft)} {table(&draft.federations)} {signature(&form, &draft)}
        };
        Ok((head, body.into_any()))
    })
}

fn earlier(draft: &Draft) -> Option<AnyView> {
    let items = draft
        .before
        .iter()
        .map(|one| {
            view! {
                <li>
                    <a href=format!("/compliance/attestations/{}", one.id)>{one.signed_by.clone()}</a>
                    ", "
                    <Exact at=one.signed_ms />
                    {format!(": {}", one.counted.verdict())}
                </li>
            }
        })
        .collect_view();
    (!draft.before.is_empty()).then(|| {
        view! {
            <section class="card" aria-labelledby="before">
                <h2 id="before">{format!("Signed for {} already", draft.period.label)}</h2>
                <ul class="plain">{items}</ul>
                <p class="muted">"Another statement stands beside these; none is replaced."</p>
            </section>
        }
        .into_any()
    })
}

fn signature(form: &Form, draft: &Draft) -> AnyView {
    let last = day(draft.period.to_ms - 1);
    let so_far = if draft.is_running {
        format!("{} goes on until {last}. You sign the state so far.", draft.period.label)
    } else {
        format!("{} ended on {last}. You sign the state of today for it.", draft.period.label)
    };
    let exceptions: usize = draft.federations.iter().map(|one| one.exceptions.len()).sum();
    let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let names = format!(
        "I have looked at the {} above: {}, with {}.",
        words::count(whole(draft.federations.len()), "federation"),
        draft.counted.verdict(),
        words::count(whole(exceptions), "open exception"),
    );
    view! {
        <form class="card form" method="post" action="/compliance/attestations/new">
            <h2>"Signature"</h2>
            {form.summary()}
            <p>{so_far}</p>
            <input type="hidden" name="period" value=draft.period.label.clone() />
            <input type="hidden" name="seen" value=draft.seen.clone() />
            {form.area(
                field("text", "Statement").default(draft.text.clone()).hint("In your words, at most 2,000 characters."),
                4,
            )}
            <fieldset class="field wide">
                <legend>"Confirmation"</legend>
                <label class="check" for="confirmed">
                    <input type="checkbox" id="confirmed" name="confirmed" value="yes" required />
                    {names}
                </label>
            </fieldset>
            <div class="actions">
                <a class="btn ghost" href="/compliance">
                    "Cancel"
                </a>
                <button class="btn primary">{format!("Sign the state for {}", draft.period.label)}</button>
            </div>
        </form>
    }
    .into_any()
}
