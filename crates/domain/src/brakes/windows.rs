//! Maintenance windows: planned work, with a ceiling and an end, made by one person and agreed by another.

use crate::{DAY_MS, FederationId, Invalid, Millis, WindowId, federations::check_reason};

/// The longest window.
pub const LONGEST_WINDOW_MS: Millis = DAY_MS;

/// The highest ceiling.
pub const MOST_CEILING: i64 = 100_000;

/// Where a window stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
    /// Nobody has agreed yet.
    Planned,
    /// Agreed, and begins later.
    Agreed,
    /// It raises the limits now.
    Open,
    /// Over, or ended by a person.
    Ended,
}

impl WindowState {
    /// What people read.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Planned => "Waits for a second person",
            Self::Agreed => "Begins later",
            Self::Open => "Open",
            Self::Ended => "Ended",
        }
    }
}

/// Planned work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Of which federation.
    pub federation_id: FederationId,
    /// Its id.
    pub id: WindowId,
    /// How many operations of R1, R2 and R4 it lets through.
    pub ceiling: i64,
    /// How many it has let through.
    pub used: i64,
    /// When it begins.
    pub begins_ms: Millis,
    /// When it ends by itself.
    pub ends_ms: Millis,
    /// What is done in it.
    pub reason: String,
    /// Who planned it.
    pub made_by: String,
    /// Their issuer and subject.
    pub made_by_id: String,
    /// When.
    pub made_ms: Millis,
    /// Who agreed.
    pub agreed_by: Option<String>,
    /// When.
    pub agreed_ms: Option<Millis>,
    /// When a person ended it.
    pub ended_ms: Option<Millis>,
    /// Who did.
    pub ended_by: Option<String>,
    /// Counts its changes.
    pub version: i64,
}

impl Window {
    /// Where it stands at a moment.
    pub const fn state(&self, now_ms: Millis) -> WindowState {
        if self.ended_ms.is_some() || now_ms >= self.ends_ms {
            WindowState::Ended
        } else if self.agreed_ms.is_none() {
            WindowState::Planned
        } else if now_ms < self.begins_ms {
            WindowState::Agreed
        } else {
            WindowState::Open
        }
    }

    /// Whether it lets so many more through now.
    pub fn admits(&self, operations: i64, now_ms: Millis) -> bool {
        self.state(now_ms) == WindowState::Open && self.used + operations <= self.ceiling
    }
}

/// A window that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWindow {
    /// How many operations.
    pub ceiling: i64,
    /// When it begins.
    pub begins_ms: Millis,
    /// When it ends.
    pub ends_ms: Millis,
    /// What is done in it.
    pub reason: String,
}

impl NewWindow {
    /// Checks every field; the reason as it is kept.
    ///
    /// # Errors
    /// One [`Invalid`] for each field.
    pub fn check(&self, now_ms: Millis) -> Result<String, Vec<Invalid>> {
        let mut faults = Vec::new();
        if !(1..=MOST_CEILING).contains(&self.ceiling) {
            faults.push(Invalid::new("ceiling", format!("{} is not 1 to {MOST_CEILING}", self.ceiling)));
        }
        if self.ends_ms <= now_ms {
            faults.push(Invalid::new("ends", "it is over already"));
        } else if self.ends_ms <= self.begins_ms {
            faults.push(Invalid::new("ends", "it ends before it begins"));
        } else if self.ends_ms - self.begins_ms > LONGEST_WINDOW_MS {
            faults.push(Invalid::new("ends", "a window is 24 hours long at most: plan another one after it"));
        }
        if self.begins_ms > now_ms + 30 * DAY_MS {
            faults.push(Invalid::new("begins", "a window is planned 30 days ahead at most"));
        }
        match check_reason(&self.reason) {
            Ok(reason) if faults.is_empty() => Ok(reason),
            Ok(_) => Err(faults),
            Err(fault) => {
                faults.push(fault);
                Err(faults)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        Window {
            federation_id: FederationId::new(1, [1; 10]),
            id: WindowId::new(1, [1; 10]),
            ceiling: 50,
            used: 0,
            begins_ms: 100,
            ends_ms: 200,
            reason: String::new(),
            made_by: String::new(),
            made_by_id: String::new(),
            made_ms: 0,
            agreed_by: Some(String::new()),
            agreed_ms: Some(10),
            ended_ms: None,
            ended_by: None,
            version: 1,
        }
    }

    #[test]
    fn a_window_is_open_once_two_people_want_it_and_only_in_its_time() {
        let window = window();
        let at = |now_ms| window.state(now_ms);
        assert_eq!(
            [at(99), at(100), at(199), at(200)],
            [WindowState::Agreed, WindowState::Open, WindowState::Open, WindowState::Ended]
        );
        assert_eq!(Window { agreed_ms: None, ..window.clone() }.state(150), WindowState::Planned);
        assert_eq!(Window { ended_ms: Some(120), ..window }.state(150), WindowState::Ended);
    }

    #[test]
    fn the_ceiling_passes_and_one_more_does_not() {
        let window = Window { used: 49, ..window() };
        assert!(window.admits(1, 150) && !window.admits(2, 150));
        assert!(!window.admits(1, 99) && !window.admits(1, 200));
    }

    #[test]
    fn a_window_has_bounds() {
        let new = NewWindow { ceiling: 10, begins_ms: 0, ends_ms: DAY_MS, reason: "lay-off".to_owned() };
        assert_eq!(new.check(1), Ok("lay-off".to_owned()));
        let fields = |new: NewWindow| -> Vec<String> {
            new.check(1).unwrap_err().into_iter().map(|fault| fault.field).collect()
        };
        assert_eq!(fields(NewWindow { ends_ms: DAY_MS + 1, ..new.clone() }), ["ends"]);
        assert_eq!(fields(NewWindow { ends_ms: 1, ..new.clone() }), ["ends"]);
        assert_eq!(
            fields(NewWindow { ceiling: 0, reason: String::new(), ..new.clone() }),
            ["ceiling", "reason"]
        );
        assert_eq!(fields(NewWindow { ceiling: MOST_CEILING + 1, ..new }), ["ceiling"]);
    }
}
