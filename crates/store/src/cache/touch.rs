//! What a change touches, and what a kept value depends on.
//!
//! | a change of | touches | so that these go |
//! |---|---|---|
//! | a key | its row | the key |
//! | a federation, its extensions, marks and what was learned of it | its settings | its keys, users and groups |
//! | a user | its row, the names of the federation | the user; groups, which show names of members |
//! | that a user appears or goes | which users there are | their number, pages of all users |
//! | whose a `userName` or `externalId` is | that value | the answer to who has it |
//! | a group | its row, its name, the names, which groups there are | the group; users that show it; groups; their number, pages of all groups, who has a name |
//! | a membership | both rows; of a group in a group the nesting | both; every user and group of the federation |

use domain::{FederationId, KeyId};

use super::{Cache, Kind, shard::Id};

/// Something besides its own row that a value depends on.
#[derive(Debug, Clone, Copy)]
pub enum Mark<'a> {
    /// The row of a federation, and its schemas.
    Settings(&'a FederationId),
    /// Which groups of a federation are in which.
    Nesting(&'a FederationId),
    /// The names of the users and groups of a federation.
    Names(&'a FederationId),
    /// The name of one group.
    GroupName(&'a FederationId, &'a str),
    /// Which users there are.
    Users(&'a FederationId),
    /// Which groups there are, and what they are called.
    Groups(&'a FederationId),
    /// Whose this `userName` is, folded.
    UserName(&'a FederationId, &'a str),
    /// Whose this `externalId` of a user is.
    UserExternalId(&'a FederationId, &'a str),
}

/// The kinds of marks that are not rows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MarkKind {
    Settings,
    Nesting,
    Names,
    GroupName,
    Users,
    Groups,
    UserName,
    UserExternalId,
}

impl Mark<'_> {
    pub(crate) fn id(&self) -> Id {
        match self {
            Self::Settings(federation_id) => Id::of_mark(MarkKind::Settings, federation_id, ""),
            Self::Nesting(federation_id) => Id::of_mark(MarkKind::Nesting, federation_id, ""),
            Self::Names(federation_id) => Id::of_mark(MarkKind::Names, federation_id, ""),
            Self::GroupName(federation_id, id) => Id::of_mark(MarkKind::GroupName, federation_id, id),
            Self::Users(federation_id) => Id::of_mark(MarkKind::Users, federation_id, ""),
            Self::Groups(federation_id) => Id::of_mark(MarkKind::Groups, federation_id, ""),
            Self::UserName(federation_id, name) => Id::of_mark(MarkKind::UserName, federation_id, name),
            Self::UserExternalId(federation_id, id) => {
                Id::of_mark(MarkKind::UserExternalId, federation_id, id)
            }
        }
    }
}

/// What a writing function changes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Touch<'a> {
    /// A key, its counters of use aside.
    Key(&'a KeyId),
    /// A federation or its schemas.
    Federation(&'a FederationId),
    /// A user, or what is indexed of it.
    User(&'a FederationId, &'a str),
    /// That a user appears or goes.
    Users(&'a FederationId),
    /// That a user takes a `userName`, folded, or lets go of it.
    UserName(&'a FederationId, &'a str),
    /// That a user takes an `externalId`, or lets go of it.
    UserExternalId(&'a FederationId, &'a str),
    /// A group, not its members.
    Group(&'a FederationId, &'a str),
    /// The version of a group whose name stays.
    GroupVersion(&'a FederationId, &'a str),
    /// That a user is in a group.
    Member(&'a FederationId, &'a str, &'a str),
    /// That a user is in its groups, whichever these are.
    MemberOfAll(&'a FederationId, &'a str),
    /// That groups are in groups, and memberships that are not listed one by one.
    Nesting(&'a FederationId),
}

/// Tables whose rows are kept, as bits. [`Touched`] says which of them a batch spoke of, and the
/// database which of them it wrote.
pub(crate) mod tables {
    pub(crate) const KEYS: u32 = 1;
    pub(crate) const FEDERATIONS: u32 = 2;
    pub(crate) const USERS: u32 = 4;
    pub(crate) const GROUPS: u32 = 8;
    pub(crate) const MEMBERS: u32 = 16;
    pub(crate) const WHICH_USERS: u32 = 32;
    pub(crate) const WHICH_GROUPS: u32 = 64;

    /// The bits of a change of a table, 0 for one of which nothing is kept. `is_row` says that a row
    /// appears or goes.
    pub(crate) fn bits(table: &str, is_row: bool) -> u32 {
        let which = |bit: u32| if is_row { bit } else { 0 };
        match table {
            "provisioning_keys" => KEYS,
            "federations" | "scim_extensions" | "protected_resources" | "brake_learned" => FEDERATIONS,
            "scim_users" => USERS | which(WHICH_USERS),
            "scim_groups" => GROUPS | which(WHICH_GROUPS),
            "scim_group_members" => MEMBERS,
            _ => 0,
        }
    }

    /// The words for some bits.
    pub(crate) fn names(bits: u32) -> String {
        let all = [
            (KEYS, "keys"),
            (FEDERATIONS, "federations"),
            (USERS, "users"),
            (GROUPS, "groups"),
            (MEMBERS, "members"),
            (WHICH_USERS, "which users there are"),
            (WHICH_GROUPS, "which groups there are"),
        ];
        let words: Vec<&str> =
            all.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, word)| word).collect();
        words.join(", ")
    }
}

/// What one touch moves, at most.
type Slots = [Option<u32>; 4];

fn slots<const N: usize>(some: [Option<u32>; N]) -> Slots {
    let mut slots = Slots::default();
    for (slot, value) in slots.iter_mut().zip(some) {
        *slot = value;
    }
    slots
}

/// What the units of a batch touch.
#[derive(Default)]
pub(crate) struct Touched {
    slots: Vec<u32>,
    tables: u32,
    everything: bool,
}

impl Touched {
    pub(crate) fn add(&mut self, cache: &Cache, touch: Touch<'_>) {
        let row = |kind, federation_id: &FederationId, id: &str| {
            Id::new(kind, Some(federation_id), id).map(|id| cache.slot(&id))
        };
        let mark = |mark: Mark<'_>| Some(cache.slot(&mark.id()));
        let (moved, table) = match touch {
            Touch::Key(id) => {
                (slots([Id::new(Kind::Key, None, id.as_str()).map(|id| cache.slot(&id))]), tables::KEYS)
            }
            Touch::Federation(federation) => (slots([mark(Mark::Settings(federation))]), tables::FEDERATIONS),
            Touch::User(federation, id) => {
                (slots([row(Kind::User, federation, id), mark(Mark::Names(federation))]), tables::USERS)
            }
            Touch::Users(federation) => (slots([mark(Mark::Users(federation))]), tables::WHICH_USERS),
            Touch::UserName(federation, name) => (slots([mark(Mark::UserName(federation, name))]), 0),
            Touch::UserExternalId(federation, id) => (slots([mark(Mark::UserExternalId(federation, id))]), 0),
            Touch::Group(federation, id) => (
                [
                    row(Kind::Group, federation, id),
                    mark(Mark::GroupName(federation, id)),
                    mark(Mark::Names(federation)),
                    mark(Mark::Groups(federation)),
                ],
                tables::GROUPS | tables::WHICH_GROUPS,
            ),
            Touch::GroupVersion(federation, id) => {
                (slots([row(Kind::Group, federation, id)]), tables::GROUPS)
            }
            Touch::Member(federation, group, user) => (
                slots([row(Kind::Group, federation, group), row(Kind::User, federation, user)]),
                tables::MEMBERS,
            ),
            // Every group that is kept shows names, so all of them go.
            Touch::MemberOfAll(federation, user) => (
                slots([row(Kind::User, federation, user), mark(Mark::Names(federation))]),
                tables::MEMBERS | tables::GROUPS,
            ),
            Touch::Nesting(federation) => {
                (slots([mark(Mark::Nesting(federation))]), tables::MEMBERS | tables::GROUPS)
            }
        };
        self.slots.extend(moved.into_iter().flatten());
        self.tables |= table;
    }

    /// What to set and move in the cache.
    pub(crate) fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Notes that nobody knows what was touched.
    pub(crate) fn everything(&mut self) {
        self.everything = true;
    }

    /// Whether nobody knows what was touched.
    pub(crate) fn is_everything(&self) -> bool {
        self.everything
    }

    /// Whether something that a value depends on was touched.
    pub(crate) fn has_any_of(&self, slots: &[u32]) -> bool {
        self.everything || slots.iter().any(|slot| self.slots.contains(slot))
    }

    /// Tables that were written and of which nothing was said.
    pub(crate) fn missing(&self, written: u32) -> u32 {
        written & !self.tables
    }
}
