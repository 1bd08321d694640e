//! Brakes: what is held before it does harm.

use store::Conn;

use crate::{
    Cx, Error, ScimClient,
    effect::{Effect, Held},
    scim_client::Asked,
};

/// Counts a change against the brakes of its federation; `Some` when one of them holds it.
///
/// # Errors
/// Forbidden when what it would change is protected.
#[expect(clippy::unused_async, reason = "what is counted in the database comes with its owner")]
pub(crate) async fn check(
    _cx: &Cx<ScimClient>,
    _conn: &mut Conn<'_>,
    _asked: &Asked,
    _effect: &Effect<'_>,
) -> Result<Option<Held>, Error> {
    Ok(None)
}
