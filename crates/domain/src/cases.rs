//! Cases: a key in wrong hands, from the first sign to the last good request with its successor.
//!
//! A case is a clock with marks T0 … T11. Each mark is set once, by whoever sees it; the time between two
//! marks is what an auditor asks for. Drills later use the same marks.

use serde::{Deserialize, Serialize};

use crate::{CaseId, FederationId, KeyId, Millis, RotationId};

/// How a case began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaseKind {
    /// A person said that a key is in wrong hands.
    Compromise,
    /// A scanner found the key and reported it.
    Leak,
    /// A canary key was used.
    Canary,
    /// A brake holds operations that wait for approval.
    Brake,
}

impl CaseKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Compromise, Self::Leak, Self::Canary, Self::Brake];

    /// The word in API and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compromise => "compromise",
            Self::Leak => "leak",
            Self::Canary => "canary",
            Self::Brake => "brake",
        }
    }

    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Compromise => "Compromise",
            Self::Leak => "Leak",
            Self::Canary => "Canary",
            Self::Brake => "Brake",
        }
    }

    /// Reads the word of [`CaseKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

macro_rules! moments {
    ($($(#[$doc:meta])* $variant:ident = $word:literal, $label:literal;)*) => {
        /// A mark on the clock of a case.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Moment {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl Moment {
            /// Every mark, in the order of the clock; notes last.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word in API and database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What people read.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

moments! {
    /// When the secret got out, as far as anybody knows.
    T0 = "t0", "Leaked";
    /// The first request of somebody else.
    T1 = "t1", "First bad request";
    /// Keyward, a scanner or a person noticed.
    T2 = "t2", "Detected";
    /// A person or the policy decided what to do.
    T3 = "t3", "Decided";
    /// The old key is refused everywhere.
    T4 = "t4", "Old key stopped";
    /// The successor exists.
    T5 = "t5", "New key issued";
    /// The successor was brought and read back.
    T6 = "t6", "Delivered";
    /// The consumer was told to begin at once.
    T7 = "t7", "Consumer started";
    /// The first good request with the successor.
    T8 = "t8", "First good request";
    /// What the old key did is known.
    T9 = "t9", "Blast radius known";
    /// What it did was taken back.
    T10 = "t10", "Undone";
    /// The case was closed.
    T11 = "t11", "Closed";
    /// Something else that happened.
    Note = "note", "Note";
}

impl Moment {
    /// Reads the word of [`Moment::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|moment| moment.as_str() == text)
    }

    /// Whether a case has it at most once.
    pub const fn is_mark(self) -> bool {
        !matches!(self, Self::Note)
    }
}

/// A case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its id.
    pub id: CaseId,
    /// Whose key it was.
    pub federation_id: FederationId,
    /// How it began.
    pub kind: CaseKind,
    /// The key in wrong hands.
    pub key_id: KeyId,
    /// The rotation that replaces it.
    pub rotation_id: Option<RotationId>,
    /// What people read.
    pub title: String,
    /// Who opened it.
    pub opened_by: String,
    /// When.
    pub opened_ms: Millis,
    /// When it was closed.
    pub closed_ms: Option<Millis>,
    /// By whom.
    pub closed_by: Option<String>,
    /// What was learned, once it is closed.
    pub summary: String,
    /// Counts its changes.
    pub version: i64,
}

/// One mark of a case, or a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseMoment {
    /// Which.
    pub moment: Moment,
    /// When.
    pub at_ms: Millis,
    /// Who or what saw it.
    pub made_by: String,
    /// What happened, in a sentence.
    pub text: String,
}

/// The first time of a mark among moments.
pub fn at(moments: &[CaseMoment], mark: Moment) -> Option<Millis> {
    moments.iter().find(|moment| moment.moment == mark).map(|moment| moment.at_ms)
}

/// The time between two marks, when both are there.
pub fn between(moments: &[CaseMoment], from: Moment, until: Moment) -> Option<Millis> {
    Some(at(moments, until)? - at(moments, from)?)
}

/// What a case waits for: the first mark of its clock that is still to come and that Keyward or a person
/// can bring about.
pub fn waits_for(case: &Case, moments: &[CaseMoment]) -> Option<Moment> {
    if case.closed_ms.is_some() {
        return None;
    }
    let chain: &[Moment] = match (case.kind, case.rotation_id.is_some()) {
        (CaseKind::Compromise | CaseKind::Leak, true) => {
            &[Moment::T4, Moment::T5, Moment::T6, Moment::T8, Moment::T11]
        }
        (CaseKind::Compromise | CaseKind::Leak, false) => &[Moment::T4, Moment::T11],
        (CaseKind::Canary, _) => &[Moment::T11],
        (CaseKind::Brake, _) => &[Moment::T3, Moment::T11],
    };
    // What came later has overtaken what never came.
    let reached = chain.iter().rposition(|mark| at(moments, *mark).is_some());
    chain.get(reached.map_or(0, |index| index + 1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(kind: CaseKind, rotates: bool) -> Case {
        Case {
            id: CaseId::new(1, [1; 10]),
            federation_id: FederationId::new(1, [1; 10]),
            kind,
            key_id: KeyId::new(1, [1; 10]),
            rotation_id: rotates.then(|| RotationId::new(1, [1; 10])),
            title: String::new(),
            opened_by: String::new(),
            opened_ms: 1,
            closed_ms: None,
            closed_by: None,
            summary: String::new(),
            version: 1,
        }
    }

    fn marks(marks: &[(Moment, Millis)]) -> Vec<CaseMoment> {
        let moment = |(moment, at_ms): &(Moment, Millis)| CaseMoment {
            moment: *moment,
            at_ms: *at_ms,
            made_by: String::new(),
            text: String::new(),
        };
        marks.iter().map(moment).collect()
    }

    #[test]
    fn a_case_waits_for_the_next_mark_that_did_not_come() {
        let compromise = case(CaseKind::Compromise, true);
        let check = |seen: &[(Moment, Millis)], expect| {
            assert_eq!(waits_for(&compromise, &marks(seen)), Some(expect));
        };
        check(&[(Moment::T2, 1)], Moment::T4);
        check(&[(Moment::T4, 1), (Moment::T5, 1)], Moment::T6);
        check(&[(Moment::T4, 1), (Moment::T5, 1), (Moment::T6, 2)], Moment::T8);
        check(&[(Moment::T4, 1), (Moment::T5, 1), (Moment::T8, 3)], Moment::T11);
        assert_eq!(waits_for(&case(CaseKind::Canary, false), &[]), Some(Moment::T11));
        let brake = case(CaseKind::Brake, false);
        assert_eq!(waits_for(&brake, &marks(&[(Moment::T2, 1)])), Some(Moment::T3));
        assert_eq!(waits_for(&brake, &marks(&[(Moment::T2, 1), (Moment::T3, 2)])), Some(Moment::T11));
        assert_eq!(waits_for(&Case { closed_ms: Some(1), ..compromise }, &[]), None);
    }

    #[test]
    fn the_time_between_two_marks_needs_both() {
        let seen = marks(&[(Moment::T3, 10), (Moment::T8, 250)]);
        assert_eq!(between(&seen, Moment::T3, Moment::T8), Some(240));
        assert_eq!(between(&seen, Moment::T1, Moment::T8), None);
    }

    #[test]
    fn words_are_read_back() {
        for moment in Moment::ALL {
            assert_eq!(Moment::parse(moment.as_str()), Some(*moment));
        }
        for kind in CaseKind::ALL {
            assert_eq!(CaseKind::parse(kind.as_str()), Some(kind));
        }
    }
}
