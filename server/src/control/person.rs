//! Who sits at the command line: the name that the operating system has for a user.
//!
//! Whoever may read the database and the master key, or open the control socket, may do everything
//! with the installation anyway. So the context is that of an admin, and records name the user.

use std::sync::Arc;

use domain::{
    admins::{Admin, Role},
    usage::clean,
};
use nix::unistd::{Uid, User, geteuid};
use ops::{Cx, Keyward};

/// What stands where other actors have the issuer of their identity.
pub const COMMAND_LINE: &str = "command line";

/// The most characters of a name.
const NAME: usize = 64;

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    uid: u32,
    name: String,
}

impl Person {
    /// The user of this process; behind `sudo`, the one who called it.
    pub fn of_process() -> Self {
        let sudo = std::env::var("SUDO_UID").ok().and_then(|text| text.parse().ok());
        let own = geteuid();
        // Only root is believed to stand in for somebody else.
        Self::of_uid(sudo.filter(|_| own.is_root()).unwrap_or(own.as_raw()))
    }

    /// The user behind a uid; one without a name is called by the number.
    pub fn of_uid(uid: u32) -> Self {
        let found = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let name = found.map_or_else(|| format!("uid {uid}"), |user| clean(&user.name, NAME));
        Self { uid, name }
    }

    /// The uid.
    pub const fn uid(&self) -> u32 {
        self.uid
    }

    /// What operations take from somebody at the command line.
    #[expect(
        clippy::disallowed_methods,
        reason = "who may open the database or its socket may do everything"
    )]
    pub fn cx(&self, keyward: &Arc<Keyward>) -> Cx<Admin> {
        let admin = Admin {
            issuer: COMMAND_LINE.to_owned(),
            subject: self.name.clone(),
            name: format!("{} (command line)", self.name),
            email: None,
            role: Role::Admin,
        };
        Cx::new(Arc::clone(keyward), admin, keyward.request_info())
    }
}

/// The uid of this process.
pub fn own_uid() -> u32 {
    geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_a_name_is_called_by_the_number() {
        assert_eq!(Person::of_uid(4_000_000_001).name, "uid 4000000001");
        assert_eq!(Person::of_uid(0).name, "root");
    }
}
