//! What a change weighs on the brakes, told without a question to the database.

use domain::{
    brakes::{self, Guards, MarkKind, New},
    scopes::Verb,
};
use scim::ResourceType;

use crate::effect::Effect;

/// The attributes of a type that the brakes weigh: what a change makes of these has to be known before it is made.
pub(crate) const fn weighed(kind: ResourceType) -> &'static [&'static str] {
    match kind {
        ResourceType::User => &["active", "userName", "emails", "externalId"],
        ResourceType::Group => &["members"],
    }
}

/// What a change weighs.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// R1: how many are taken away.
    pub removals: i64,
    /// R1: so many leave a group that may be in a privileged one.
    pub left: i64,
    /// R2: so many leave a group, which may be most of it.
    pub leaving: i64,
    /// R4: a user is rewritten.
    pub rewrites: bool,
    /// A5: somebody joins a group that is privileged, or may be in one that is.
    pub joins: bool,
    /// A13: what the federation never had.
    pub new: New,
}

impl Load {
    /// Weighs a change. Most weigh nothing, and that costs a few comparisons.
    pub fn of(guards: &Guards, effect: &Effect<'_>) -> Self {
        match effect.kind {
            ResourceType::User => Self::of_user(guards, effect),
            ResourceType::Group => Self::of_group(guards, effect),
        }
    }

    /// Whether no brake has anything to say.
    pub fn is_nothing(&self) -> bool {
        self.removals == 0
            && self.left == 0
            && self.leaving == 0
            && !self.rewrites
            && !self.joins
            && self.new.is_nothing()
    }

    fn of_user(guards: &Guards, effect: &Effect<'_>) -> Self {
        let (before, after) = match (effect.before, effect.after) {
            (Some(before), Some(after)) => (before, after),
            (None, Some(after)) => {
                return Self { new: New::of(guards, None, after.as_value()), ..Self::default() };
            }
            (_, None) => return Self { removals: 1, ..Self::default() },
        };
        let mut load = Self::default();
        let (mut says_who, mut says_active) = (false, false);
        for attribute in effect.attributes {
            match attribute.as_str() {
                "active" => says_active = true,
                "userName" | "emails" | "externalId" => says_who = true,
                _ => {}
            }
        }
        if says_active && before.active() && !after.active() {
            load.removals = 1;
        }
        if says_who {
            load.rewrites = brakes::is_rewritten(before.as_value(), after.as_value());
            load.new = New::of(guards, Some(before.as_value()), after.as_value());
        }
        load
    }

    fn of_group(guards: &Guards, effect: &Effect<'_>) -> Self {
        let count = |ids: &[String]| i64::try_from(ids.len()).unwrap_or(i64::MAX);
        let is_privileged = guards.kind_of(effect.id.as_str()) == Some(MarkKind::Privileged);
        let leaving = count(effect.leaving);
        Self {
            removals: if is_privileged { leaving } else { 0 },
            left: if guards.has_privileged() && !is_privileged { leaving } else { 0 },
            leaving: if leaving >= brakes::least_leaving(&guards.rules.r2) { leaving } else { 0 },
            // A group that is created is in no other yet.
            joins: guards.has_privileged() && !effect.joining.is_empty() && effect.verb != Verb::Create,
            ..Self::default()
        }
    }
}
