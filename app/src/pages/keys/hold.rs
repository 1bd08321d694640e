//! Holding a key: everything that is asked with it is answered "come back later", and nothing is lost.

use leptos::prelude::*;

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

/// The form, with what will happen.
#[component]
pub fn HoldKey() -> impl IntoView {
    page(Section::Keys, async {
        let view = api::keys::open(&param("id")).await?;
        if !view.may_manage {
            return Err(UiError::new(UiErrorKind::Forbidden, words::NEEDS_OPERATOR));
        }
        let (key, form, now) = (&view.key, Form::current(), now_ms());
        let provider = words::provider(view.federation.vendor);
        let path = format!("/keys/{}", key.id);
        let head = Head::new(format!("Hold {}", key.name))
            .crumb("/keys", "Keys")
            .crumb(path.clone(), key.name.clone())
            .lead("To look into something without ending anything.");
        let (shape, verdict) = match key.life.last_used_ms {
            Some(at) => (Shape::Look, format!("Used {}.", relative(at, now))),
            None => (Shape::Unknown, "Never used.".to_owned()),
        };
        let named = format!("{} {} of {}.", key.name, words::ends_with(&key.last_four), view.federation.name);
        let body = view! {
            <Callout shape verdict>
                <p>{named}</p>
            </Callout>
            <form class="card form" method="post" action=format!("{path}/hold")>
                {form.summary()} <div class="what">
                    <h2>"What happens"</h2>
                    <ul class="consequences">
                        <li class="warn">
                            {drawing(Shape::Held)}
                            <span>
                                {format!(
                                    "{provider} gets 503 with Retry-After and tries again by itself; what it wanted to change arrives later.",
                                )}
                            </span>
                        </li>
                        <li class="ok">{drawing(Shape::Good)} <span>"Users, groups, scope and secret stay as they are."</span></li>
                        <li class="info">
                            {drawing(Shape::Moving)} <span>"It works again as soon as somebody releases it."</span>
                        </li>
                    </ul>
                </div>
                {form.input(field("reason", "Why").hint("Kept in the audit log and shown with the key."), "text")}
                <div class="actions">
                    <button class="btn danger">{format!("Hold {}", key.name)}</button>
                    <a class="btn ghost" href=path.clone()>
                        "Leave it as it is"
                    </a>
                </div>
            </form>
        };
        Ok((head, body.into_any()))
    })
}
