//! What a policy would do to today's keys, before it is set.

use leptos::prelude::*;
use ops::policies::{Affected, Preview};

use crate::{
    forms::rotation::Previewed,
    ssr::now_ms,
    ui::{
        callout::Callout,
        keys::KeyLink,
        status::Shape,
        still::IntoAny,
        time::{Ago, Exact},
    },
    words,
};

/// The preview that this request asked for.
pub fn shown() -> Option<AnyView> {
    let Previewed(preview) = use_context::<Previewed>()?;
    let (shape, verdict, text) = verdict(&preview);
    let table = (!preview.begin_soon.is_empty()).then(|| table(&preview.begin_soon));
    Some(
        view! {
            <section class="stack" aria-label="Preview" id="preview">
                <Callout shape verdict>
                    <p>{text}</p>
                    <p class="muted">"Nothing was changed. Save the policy to make it so."</p>
                </Callout>
                {table}
            </section>
        }
        .into_any(),
    )
}

fn count(number: usize, noun: &str) -> String {
    words::count(i64::try_from(number).unwrap_or(i64::MAX), noun)
}

fn verdict(preview: &Preview) -> (Shape, &'static str, String) {
    if let Some(refusal) = preview.refusal() {
        return (Shape::Broken, "This would be refused.", words::sentence(&refusal));
    }
    let soon = preview.begin_soon.len();
    let mut told = vec![format!(
        "It holds for {}. {} would begin within a day, {} at another time than now.",
        count(preview.keys, "accepted key"),
        words::capital(&count(soon, "rotation")),
        words::number(i64::try_from(preview.moved).unwrap_or(i64::MAX))
    )];
    if preview.over_age > 0 {
        let are = if preview.over_age == 1 { "is" } else { "are" };
        told.push(format!("{} {are} older than it allows.", count(preview.over_age, "key")));
    }
    if preview.retire_now > 0 {
        let were = if preview.retire_now == 1 { "has" } else { "have" };
        told.push(format!(
            "{} would be retired at once: they {were} been silent for long enough.",
            count(preview.retire_now, "old key")
        ));
    }
    let shape = if soon > 0 || preview.over_age > 0 { Shape::Look } else { Shape::Good };
    (shape, "This is what it would do today.", told.join(" "))
}

fn table(affected: &[Affected]) -> AnyView {
    let now = now_ms();
    let rows = affected
        .iter()
        .map(|affected| {
            let begins = affected.due.map(|due| {
                if due.at_ms > now {
                    view! { <Ago at=due.at_ms now /> }.into_any()
                } else {
                    "At once".into_any()
                }
            });
            let before = match affected.due_before {
                Some(due) => view! { <Exact at=due.at_ms /> }.into_any(),
                None => "Not by itself".into_any(),
            };
            view! {
                <tr>
                    <th scope="row">
                        <KeyLink key=&affected.key />
                    </th>
                    <td data-l="Federation">{affected.federation.name.clone()}</td>
                    <td data-l="Would begin">{begins}</td>
                    <td data-l="Begins now">{before}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <div class="card flush">
            <div class="tw" tabindex="0" role="region" aria-label="Rotations that would begin within a day">
                <table class="t cards">
                    <caption class="sr">"Rotations that would begin within a day"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Key"</th>
                            <th scope="col">"Federation"</th>
                            <th scope="col">"Would begin"</th>
                            <th scope="col">"As things are"</th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_refused_is_said_first() {
        let preview = Preview { keys: 9, cut_off: 3, ..Preview::default() };
        let (shape, _, text) = verdict(&preview);
        assert_eq!(shape, Shape::Broken);
        assert!(text.contains("3 old keys"), "{text}");
        let quiet = verdict(&Preview { keys: 2, ..Preview::default() });
        assert_eq!(quiet.0, Shape::Good);
        assert!(quiet.2.starts_with("It holds for 2 accepted keys. 0 rotations would begin"), "{}", quiet.2);
    }
}
