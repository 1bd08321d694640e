//! Brakes: what is refused or held before it does harm.
//!
//! [`check`] stands before every change, inside its unit. What is protected is refused (R3), and the refusal is a
//! finding ([`attempted`]). What a brake
//! counts is counted under the lock of its federation's ledger, in the transaction of the change itself
//! ([`decide`]), so that no two nodes let more through than the limit. What is past it is held ([`hold`]):
//! kept with its before-image in a case, where a second person decides ([`review`]).

mod decide;
mod hold;
mod load;
mod marks;
mod overview;
mod review;
mod sweep;
mod windows;

use std::sync::atomic::Ordering;

use domain::{brakes::Guards, findings::Rule};
use scim::ResourceType;
use store::Conn;

pub use domain::brakes::{NewMark, NewWindow};
pub use marks::{allow, mark, unmark};
pub use overview::{BrakesView, Spent, overview};
pub use review::{BrakeCase, Verdict, decide, of_case};
pub use sweep::sweep;
pub use windows::{agree, end, plan};

use self::load::Load;
pub(crate) use self::load::weighed;
use crate::{
    Cx, Error, ScimClient,
    effect::{Effect, Held},
    findings::NewFinding,
    scim_client::Asked,
};

/// Counts a change against the brakes of its federation; `Some` when one of them holds it.
///
/// # Errors
/// Protected when what it would change is.
pub(crate) async fn check(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    asked: &Asked,
    effect: &Effect<'_>,
) -> Result<Option<Held>, Error> {
    check_sized(cx, conn, asked, effect, None).await
}

/// As [`check`], for a group whose size the caller knows: one that stands at an upstream.
///
/// # Errors
/// As [`check`].
pub(crate) async fn check_sized(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    asked: &Asked,
    effect: &Effect<'_>,
    size: Option<i64>,
) -> Result<Option<Held>, Error> {
    if store::recording::is_off() {
        return Ok(None);
    }
    if cx.actor.as_seen.load(Ordering::Relaxed) {
        return guarded(cx, conn, asked, effect, &cx.actor.guards, size).await;
    }
    // Somebody was faster with a mark, or nobody vouches for what was read.
    let guards = store::protected::guards(conn, cx.federation_id()).await?;
    Box::pin(guarded(cx, conn, asked, effect, &guards, size)).await
}

async fn guarded(
    cx: &Cx<ScimClient>,
    conn: &mut Conn<'_>,
    asked: &Asked,
    effect: &Effect<'_>,
    guards: &Guards,
    size: Option<i64>,
) -> Result<Option<Held>, Error> {
    if guards.has_marks() {
        protect(guards, effect)?;
    }
    let load = Load::of(guards, effect);
    if load.is_nothing() {
        return Ok(None);
    }
    Box::pin(decide::decide(cx, conn, asked, effect, guards, load, size)).await
}

/// What is told of an attempt at what is protected; to be raised in the unit that records its refusal.
pub(crate) fn attempted(cx: &Cx<ScimClient>, reason: &str) -> NewFinding {
    let client = &cx.actor;
    NewFinding::new(
        &cx.keyward,
        Some(cx.federation_id()),
        Rule::ProtectedChange,
        client.key_id.as_str(),
        "What is protected is changed by people here, and by no key.",
        format!("{} tried: {reason}.", client.key_name),
    )
    .of_key(&client.key_id)
    .from_network(cx.request.source.map(|address| address.to_string()), cx.request.user_agent.clone())
}

/// R3: whoever is protected is not changed, joins nothing, leaves nothing, and loses no member.
fn protect(guards: &Guards, effect: &Effect<'_>) -> Result<(), Error> {
    let itself = std::iter::once(effect.id.as_str());
    if guards.protected(itself).is_some() {
        let what = match effect.kind {
            ResourceType::User => "user",
            ResourceType::Group => "group",
        };
        return Err(Error::Protected(format!("{what} {:?} is protected: no key may change it", effect.name)));
    }
    let others = effect.joining.iter().chain(effect.leaving).chain(effect.belonged).map(String::as_str);
    match guards.protected(others) {
        Some(id) => Err(Error::Protected(format!(
            "{id} is protected: no key may change who is in it, or what it is in"
        ))),
        None => Ok(()),
    }
}
