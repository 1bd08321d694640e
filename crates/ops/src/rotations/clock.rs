//! Whether the time is to be trusted.
//!
//! A clock that jumps ahead by more than a day makes everything look silent, old and over. So what only time
//! says is not acted on after such a jump, until the database says the same time, or an admin does.

use domain::{
    DAY_MS, FederationId, Millis, RotationId,
    admins::{Admin, Right},
    audit::{Action, AuditEvent},
    findings::Rule,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Change, Conn};

use crate::{
    Cx, Error, Keyward,
    findings::{self, NewFinding},
    unit::detail,
};

/// The setting that keeps it.
pub(crate) const SETTING: &str = "rotation.clock";

/// A step ahead that is not believed.
const JUMP_MS: Millis = DAY_MS;

/// How far apart two sources may be that say the same time.
const APART_MS: Millis = 10 * 60_000;

/// How many rotations are read at once.
const PAGE: i64 = 1_000;

/// The subject of the finding.
const SUBJECT: &str = "clock";

/// What is known of the time of the last round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClockState {
    /// The last round of any node; 0 before the first.
    pub last_round_ms: Millis,
    /// A jump that nobody has agreed to.
    pub jump: Option<Jump>,
}

/// A jump of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jump {
    /// The last time that was believed.
    pub from_ms: Millis,
    /// The time after it.
    pub to_ms: Millis,
}

/// What people see of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockView {
    /// When the scheduler last worked, as it noted; `None` before the first time.
    pub last_round_ms: Option<Millis>,
    /// A jump that nobody has agreed to: nothing begins or retires by itself.
    pub jump: Option<Jump>,
    /// Whether the viewer may agree.
    pub may_agree: bool,
}

impl ClockState {
    /// Takes note of a round: the time now, and how far the time that never jumps has come since the last round
    /// of this process, when there was one.
    pub(crate) fn note(&mut self, now_ms: Millis, since: Option<Since>) {
        let from_ms = since.map_or(self.last_round_ms, |since| since.wall_ms);
        let passed_ms = since.map_or(0, |since| since.passed_ms);
        if from_ms > 0 && now_ms - from_ms - passed_ms > JUMP_MS {
            let from_ms = self.jump.map_or(from_ms, |jump| jump.from_ms);
            self.jump = Some(Jump { from_ms, to_ms: now_ms });
        }
        self.last_round_ms = now_ms;
    }

    /// Takes note of another source of the time.
    pub(crate) fn hear(&mut self, now_ms: Millis, foreign_ms: Option<Millis>) -> bool {
        let agrees = foreign_ms.is_some_and(|foreign_ms| (foreign_ms - now_ms).abs() <= APART_MS);
        agrees && self.jump.take().is_some()
    }
}

/// The last round of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since {
    /// What the time was then.
    pub wall_ms: Millis,
    /// How long ago it was, by a time that never jumps.
    pub passed_ms: Millis,
}

/// Raises the finding of a jump, or settles it.
pub(crate) async fn tell(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    state: &ClockState,
    now_ms: Millis,
) -> Result<(), Error> {
    match state.jump {
        Some(jump) => {
            let hours = (jump.to_ms - jump.from_ms) / domain::HOUR_MS;
            let new = NewFinding::new(
                keyward,
                None,
                Rule::ClockJumped,
                SUBJECT,
                "The clock goes on from where it was.",
                format!(
                    "It went ahead by {hours} hours at once. Nothing retires by itself until an admin agrees."
                ),
            );
            findings::raise(conn, &new, now_ms).await?;
        }
        None => {
            findings::settle(conn, None, Rule::ClockJumped, SUBJECT, "the time is right", now_ms).await?;
        }
    }
    Ok(())
}

/// What is silent now has been silent under nobody's eyes, or for a time that nobody knows: it counts from now.
/// How many rotations wait anew.
pub(crate) async fn watch_anew(conn: &mut Conn<'_>, now_ms: Millis) -> Result<usize, Error> {
    let (mut after, mut rotations): (Option<(FederationId, RotationId)>, usize) = (None, 0);
    loop {
        let page = store::rotations::open_after(conn, after.as_ref().map(|(of, id)| (of, id)), PAGE).await?;
        let Some(last) = page.last() else { return Ok(rotations) };
        after = Some((last.rotation.federation_id.clone(), last.rotation.id.clone()));
        for mut live in page {
            live.rotation.moments.watched_from_ms = Some(now_ms);
            store::rotations::update(conn, &live.rotation).await?;
            rotations += 1;
        }
    }
}

/// Whether the time is in doubt, for a node that does not look itself.
pub(crate) async fn is_in_doubt(conn: &mut Conn<'_>) -> Result<bool, Error> {
    Ok(store::policies::setting::<ClockState>(conn, SETTING).await?.0.jump.is_some())
}

/// What the setting says.
pub(crate) async fn view(cx: &Cx<Admin>, conn: &mut Conn<'_>) -> Result<ClockView, Error> {
    let (state, _) = store::policies::setting::<ClockState>(conn, SETTING).await?;
    Ok(ClockView {
        last_round_ms: Some(state.last_round_ms).filter(|at| *at > 0),
        jump: state.jump,
        may_agree: cx.actor.role.may(Right::RegisterFederation, None),
    })
}

/// Agrees that the time is right, after the clock has jumped: what waits for it goes on.
///
/// # Errors
/// Conflict when it has not jumped; Forbidden but for admins.
pub async fn agree(cx: &Cx<Admin>) -> Result<(), Error> {
    if !cx.actor.role.may(Right::RegisterFederation, None) {
        let event = cx.event(Action::ClockAgreed);
        return cx.forbid(event, "only an admin may say that the time is right".to_owned()).await;
    }
    let (event, own) = (cx.event(Action::ClockAgreed), cx.keyward.clone());
    let now_ms = event.at_ms;
    cx.keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let (mut state, version) = store::policies::setting::<ClockState>(conn, SETTING).await?;
            let Some(jump) = state.jump.take() else {
                return Err(Error::Conflict("the clock has not jumped".to_owned()));
            };
            state.last_round_ms = now_ms;
            store::policies::set(conn, SETTING, version, &state, now_ms).await?;
            tell(conn, &own, &state, now_ms).await?;
            let rotations = watch_anew(conn, now_ms).await?;
            let told = detail(&json!({ "jump": jump, "rotations": rotations }));
            Ok(Change::new((), AuditEvent { detail: told, ..event.clone() }))
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: Millis = 1_767_225_600_000;

    #[test]
    fn a_day_that_nobody_saw_pass_is_not_believed() {
        let mut state = ClockState::default();
        state.note(NOW_MS, None);
        assert_eq!(state.jump, None, "the first round has nothing to compare with");
        // A process that starts again after a day and a bit.
        state.note(NOW_MS + DAY_MS + 1, None);
        let jump = Jump { from_ms: NOW_MS, to_ms: NOW_MS + DAY_MS + 1 };
        assert_eq!(state.jump, Some(jump));
        assert!(!state.hear(NOW_MS + DAY_MS + 1, None));
        assert!(!state.hear(NOW_MS + DAY_MS + 1, Some(NOW_MS)), "the other source says no");
        assert!(state.hear(NOW_MS + DAY_MS + 1, Some(NOW_MS + DAY_MS)));
        assert_eq!(state.jump, None);
    }

    #[test]
    fn within_a_process_only_what_its_steady_time_did_not_see_is_a_jump() {
        let mut state = ClockState { last_round_ms: NOW_MS, jump: None };
        let now_ms = NOW_MS + 40 * DAY_MS;
        state.note(now_ms, Some(Since { wall_ms: NOW_MS, passed_ms: 40 * DAY_MS }));
        assert_eq!(state.jump, None, "it was there all the time");
        state.note(now_ms + 2 * DAY_MS, Some(Since { wall_ms: now_ms, passed_ms: 1_000 }));
        assert_eq!(state.jump.map(|jump| jump.from_ms), Some(now_ms));
        // A second jump keeps the first time that was believed; going back is no jump.
        state.note(now_ms + 5 * DAY_MS, Some(Since { wall_ms: now_ms + 2 * DAY_MS, passed_ms: 0 }));
        assert_eq!(state.jump.map(|jump| jump.from_ms), Some(now_ms));
        let mut state = ClockState { last_round_ms: NOW_MS, jump: None };
        state.note(NOW_MS - 30 * DAY_MS, None);
        assert_eq!(state.jump, None);
    }
}
