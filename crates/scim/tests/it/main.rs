//! What the crate promises, seen from outside. One file for each subject; a new subject is one more.

#![expect(clippy::needless_pass_by_value, reason = "a case reads best with `json!` as the argument")]

#[cfg(test)]
mod discovery;
#[cfg(test)]
mod filter;
#[cfg(test)]
mod list;
#[cfg(test)]
mod never_panics;
#[cfg(test)]
mod patch;
#[cfg(test)]
mod patch_providers;
#[cfg(test)]
mod render;
#[cfg(test)]
mod resource;

/// The URN of the core schema of a user.
#[cfg(test)]
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// The URN of the core schema of a group.
#[cfg(test)]
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// The URN of the enterprise extension.
#[cfg(test)]
const ENT: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
