//! What became of a delivery, step by step. A report never holds a secret.

use serde::{Deserialize, Serialize};

use crate::Millis;

/// The longest sentence of a report, in characters.
const SENTENCE_LIMIT: usize = 400;

/// A step of a delivery, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryStep {
    /// Whether the target is there, is the one that was approved, and will take it. Nothing is changed.
    Validate,
    /// The secret goes out.
    Write,
    /// The consumer is told to look, once.
    Kick,
    /// What the target has is compared with what it should have.
    ReadBack,
    /// The consumer works with it: the target makes it the current one.
    Promote,
}

impl DeliveryStep {
    /// Every step.
    pub const ALL: [Self; 5] = [Self::Validate, Self::Write, Self::Kick, Self::ReadBack, Self::Promote];

    /// The word in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Write => "write",
            Self::Kick => "kick",
            Self::ReadBack => "read-back",
            Self::Promote => "promote",
        }
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Validate => "Validate",
            Self::Write => "Write",
            Self::Kick => "Start the consumer",
            Self::ReadBack => "Read back",
            Self::Promote => "Make current",
        }
    }
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOutcome {
    /// It was done.
    Done,
    /// There was nothing to do.
    Skipped,
    /// It was not done.
    Failed,
}

/// One step, and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// Which.
    pub step: DeliveryStep,
    /// What became of it.
    pub outcome: StepOutcome,
    /// In a sentence.
    pub sentence: String,
    /// When.
    pub at_ms: Millis,
}

/// Why a step was not done; decides what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The target does not answer, or asks for patience: the same again, later.
    Weather,
    /// The target answers, and does not let Keyward do it: the same again, later; a person has to mend it.
    Refused,
    /// The target answers that it cannot take a key at all: the next one has its turn.
    Unsupported,
    /// It is not the target that was approved: nothing was sent, and the next one has its turn.
    Distrusted,
    /// It is not known whether it was done: the target is looked at before anything is repeated.
    Unclear,
}

impl FailureKind {
    /// Whether the next target has its turn.
    pub const fn leads_on(self) -> bool {
        match self {
            Self::Unsupported | Self::Distrusted => true,
            Self::Weather | Self::Refused | Self::Unclear => false,
        }
    }
}

/// Whether a target has the secret that it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// It was read, and it is that secret.
    Yes,
    /// It was read, and it is another one, or none.
    No,
    /// The target takes secrets and shows none.
    CannotTell,
}

/// What became of an attempt, and how far it came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// When it was begun.
    pub at_ms: Millis,
    /// What was done, in order.
    pub steps: Vec<StepReport>,
    /// Why it stopped.
    pub failure: Option<FailureKind>,
    /// A step that was begun, and of which the outcome was not written down.
    pub begun: Option<DeliveryStep>,
    /// Whether the secret went out, as far as anybody knows.
    pub written: bool,
    /// Whether the consumer was told to look: once for each secret that went out.
    pub kicked: bool,
    /// Where the secret lies in a stage, so that the proof of use has something to do there: the place as it
    /// was when the secret went out, whatever becomes of the target.
    pub staged_at: Option<String>,
    /// The public keys of the certificates that the target showed, as [`super::Pins`] writes them.
    pub public_key: Option<String>,
}

impl Report {
    /// A report of an attempt that begins at `at_ms`, which knows how far the one before it came.
    #[must_use]
    pub fn anew(&self, at_ms: Millis) -> Self {
        Self {
            at_ms,
            begun: self.begun,
            written: self.written,
            kicked: self.kicked,
            staged_at: self.staged_at.clone(),
            public_key: self.public_key.clone(),
            steps: Vec::new(),
            failure: None,
        }
    }

    /// Notes a step; control characters and what is too long are left out.
    pub fn note(&mut self, step: DeliveryStep, outcome: StepOutcome, sentence: &str, at_ms: Millis) {
        let sentence: String =
            sentence.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SENTENCE_LIMIT).collect();
        self.steps.push(StepReport { step, outcome, sentence: crate::keys::masked(&sentence), at_ms });
    }

    /// Whether the target may have the secret.
    pub const fn may_have_left(&self) -> bool {
        self.written || self.begun.is_some()
    }

    /// Whether every step was done.
    pub fn is_good(&self) -> bool {
        self.failure.is_none() && !self.steps.is_empty()
    }

    /// The sentence of the step that failed, or of the last one.
    pub fn sentence(&self) -> &str {
        let failed = self.steps.iter().rev().find(|step| step.outcome == StepOutcome::Failed);
        failed.or_else(|| self.steps.last()).map_or("", |step| step.sentence.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_back_and_an_empty_one_is_what_the_database_begins_with() {
        let mut report = Report { at_ms: 7, failure: Some(FailureKind::Weather), ..Report::default() };
        report.note(DeliveryStep::Validate, StepOutcome::Failed, "it answers 500", 8);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        assert_eq!(serde_json::from_str::<Report>("{}").unwrap(), Report::default());
    }

    #[test]
    fn no_sentence_keeps_a_key_a_line_break_or_a_novel() {
        let key = crate::keys::compose(&crate::KeyId::new(1, [1; 10]), &[1; 32]);
        let mut report = Report::default();
        report.note(DeliveryStep::Write, StepOutcome::Done, &format!("a\nb {} c", key.expose()), 1);
        report.note(DeliveryStep::Write, StepOutcome::Done, &"x".repeat(10_000), 1);
        assert_eq!(report.steps[0].sentence, "a b kwd_… c");
        assert_eq!(report.steps[1].sentence.len(), SENTENCE_LIMIT);
    }
}
