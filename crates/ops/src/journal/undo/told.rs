//! Nobody joins a privileged group unseen, also not by being put back into it.

use domain::{ResourceId, brakes::MarkKind, federations::Federation, findings::Rule, findings::Severity};
use store::{Conn, undos::Undo};

use crate::{
    Error, Keyward,
    findings::{self, NewFinding},
};

/// Tells that an undo has put members into a group, when that is privileged or in one that is (A5).
pub(crate) async fn joined(
    keyward: &Keyward,
    conn: &mut Conn<'_>,
    federation: &Federation,
    undo: &Undo,
    (group, name): (&ResourceId, &str),
    joining: &[String],
) -> Result<(), Error> {
    let guards = store::protected::guards(conn, &federation.id).await?;
    if joining.is_empty() || !guards.has_marks() {
        return Ok(());
    }
    let is_privileged = |id: &str| guards.kind_of(id) == Some(MarkKind::Privileged);
    let around = store::groups::belongings(conn, &federation.id, &[group]).await?;
    if !is_privileged(group.as_str()) && !around.iter().any(|around| is_privileged(&around.id)) {
        return Ok(());
    }
    let who = match joining {
        [one] => format!("{one} was"),
        more => format!("{} members were", more.len()),
    };
    let finding = NewFinding::new(
        keyward,
        Some(&federation.id),
        Rule::PrivilegedAdd,
        &format!("{group} {}", undo.id),
        "Nobody joins a privileged group unseen.",
        format!(
            "{who} put back into {name}, or into a group in it, by an undo that {} confirmed.",
            undo.made_by
        ),
    );
    findings::raise(conn, &finding.severity(Severity::Medium), keyward.clock.now_ms()).await?;
    Ok(())
}
