//! The unit of change: the only way to commit, and always with an audit record.

use domain::{
    audit::{AuditEvent, Outcome},
    usage::clean,
};
use store::{Change, Conn};

use crate::{Actor, Cx, Error, Keyward};

impl Keyward {
    /// Runs a change. What it returns is committed with its audit event and usage record, or
    /// nothing is. It may run more than once, and must do nothing but use the connection.
    pub(crate) async fn commit<T, F>(&self, unit: F) -> Result<T, Error>
    where
        F: AsyncFn(&mut Conn<'_>) -> Result<Change<T>, Error> + Send + 'static,
        T: Send + 'static,
    {
        let shown = async move |conn: &mut Conn<'_>| Ok(unit(conn).await?.showing_usage());
        let (value, usage) = self.commit_unseen(shown).await?;
        if let Some(record) = usage {
            self.observe(&record).await;
        }
        Ok(value)
    }

    /// As [`Keyward::commit`], for a unit that has no usage record.
    pub(crate) async fn commit_unseen<T, F>(&self, unit: F) -> Result<T, Error>
    where
        F: AsyncFn(&mut Conn<'_>) -> Result<Change<T>, Error> + Send + 'static,
        T: Send + 'static,
    {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that commits")]
        self.store.committer().commit(unit).await
    }

    /// Records that something was refused. Nothing else changes.
    pub(crate) async fn record_refusal(&self, event: AuditEvent, reason: &str) -> Result<(), Error> {
        // What is refused was not checked: it may be long, or hold what no record should.
        let target = event.target.as_deref().map(|target| clean(target, 100));
        let event =
            AuditEvent { outcome: Outcome::Refused, reason: Some(clean(reason, 300)), target, ..event };
        self.commit(async move |_: &mut Conn<'_>| Ok(Change::new((), event.clone()))).await
    }
}

impl<A: Actor> Cx<A> {
    /// Refuses: records the attempt, then says why. A refusal that cannot be recorded is an error
    /// of its own.
    pub(crate) async fn forbid<T>(&self, event: AuditEvent, reason: String) -> Result<T, Error> {
        self.keyward.record_refusal(event, &reason).await?;
        Err(Error::Forbidden(reason))
    }
}

/// The detail of an audit event as text.
pub(crate) fn detail(value: &serde_json::Value) -> String {
    value.to_string()
}
