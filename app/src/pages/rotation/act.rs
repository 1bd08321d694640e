//! Finish, hold, release, roll back: what will happen to whom, said before it is done.

use domain::{Millis, keys::Key};
use leptos::prelude::*;
use ops::rotations::RotationView;

use super::verdict::{Act, evidence, headline};
use crate::{
    api,
    error::{UiError, UiErrorKind},
    ssr::{now_ms, param},
    ui::{
        callout::Callout,
        form::{Form, field},
        page::{Head, Section, page},
        status::{Shape, drawing},
        still::IntoAny,
        time::relative,
    },
    words,
};

/// The page that asks before something is done to a rotation.
#[component]
pub fn ActOnRotation() -> impl IntoView {
    page(Section::Rotation, async {
        let act = Act::parse(&param("act")).ok_or_else(|| UiError::not_found("page"))?;
        let view = api::rotation::open(&param("id")).await?;
        if !view.may_act {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
        }
        let (now, form) = (now_ms(), Form::current());
        let RotationView { rotation, federation, old, new, .. } = &view;
        let path = format!("/rotation/{}", rotation.id);
        let head = Head::new(title(act, old))
            .crumb("/rotation", "Rotation")
            .crumb(path.clone(), format!("Rotation of {}", old.name))
            .lead(format!("{} to {}, {}.", named(old), named(new), federation.name));
        let (shape, verdict) = headline(&view);
        let items = consequences(act, &view, now)
            .into_iter()
            .map(|(shape, text)| view! { <li class=shape.tone()>{drawing(shape)} <span>{text}</span></li> })
            .collect_view();
        let (button, class) = match act {
            Act::Finish => (format!("Retire {} now", old.name), "btn danger"),
            Act::Hold => ("Hold rotation".to_owned(), "btn primary"),
            Act::Release => ("Release rotation".to_owned(), "btn primary"),
            Act::RollBack => (format!("Roll back and revoke {}", new.name), "btn danger"),
        };
        let said = evidence(&view, now);
        let body = view! {
            <Callout shape verdict>
                <p>{said}</p>
            </Callout>
            <form class="card form" method="post" action=format!("{path}/{}", act.as_str())>
                {form.summary()} <div class="what">
                    <h2>"What happens"</h2>
                    <ul class="consequences">{items}</ul>
                </div>
                {(act != Act::Release)
                    .then(|| {
                        form.input(field("reason", "Why").hint("Kept in the audit log and shown with the rotation."), "text")
                    })}
                <div class="actions">
                    <button class=class>{button}</button>
                    <a class="btn ghost" href=path.clone()>
                        "Leave it as it is"
                    </a>
                </div>
            </form>
        };
        Ok((head, body.into_any()))
    })
}

fn title(act: Act, old: &Key) -> String {
    match act {
        Act::Finish => format!("Retire {}", old.name),
        Act::Hold => format!("Hold the rotation of {}", old.name),
        Act::Release => format!("Release the rotation of {}", old.name),
        Act::RollBack => format!("Roll back the rotation of {}", old.name),
    }
}

fn named(key: &Key) -> String {
    format!("{} {}", key.name, words::ends_with(&key.last_four))
}

/// One sentence for each of those who are concerned.
fn consequences(act: Act, view: &RotationView, now: Millis) -> Vec<(Shape, String)> {
    let RotationView { old, new, federation, .. } = view;
    let provider = words::provider(federation.vendor);
    match act {
        Act::Finish => {
            let mut told = vec![(
                Shape::Ended,
                format!("{} opens nothing any more. Whoever still sends it gets 401.", named(old)),
            )];
            match old.life.last_used_ms {
                Some(at) if now - at < view.cadence.gap_ms => told.push((
                    Shape::Broken,
                    format!(
                        "It was used {}, within a cycle of the provider. {}",
                        relative(at, now),
                        words::after_401(federation.vendor)
                    ),
                )),
                Some(at) => told.push((Shape::Good, format!("It was last used {}.", relative(at, now)))),
                None => told.push((Shape::Good, "It was never used.".to_owned())),
            }
            told.push((Shape::Good, format!("{} goes on; {provider} works with it already.", named(new))));
            told
        }
        Act::Hold => vec![
            (Shape::Good, "Both keys go on working. Nobody is cut off.".to_owned()),
            (Shape::Held, "Nothing is delivered and nothing retires until somebody releases it.".to_owned()),
        ],
        Act::Release => vec![
            (Shape::Moving, "It goes on from the step at which it stands.".to_owned()),
            (Shape::Good, "Both keys work until the old one has fallen silent.".to_owned()),
        ],
        Act::RollBack => vec![
            (Shape::Good, format!("{} goes on alone; {provider} notices nothing.", named(old))),
            (Shape::Ended, format!("{} is revoked. Whoever was given it gets 401.", named(new))),
            (Shape::Ended, "Deliveries and links that wait are withdrawn. What a target holds already stays there, and opens nothing.".to_owned()),
        ],
    }
}
