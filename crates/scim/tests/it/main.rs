//! What the crate promises, seen from outside. One file for each subject; a new subject is one more.

#![expect(clippy::needless_pass_by_value, reason = "a case reads best with `json!` as the argument")]

#[cfg(test)]
mod bulk;
#[cfg(test)]
mod bulk_reading;
#[cfg(test)]
mod characteristics;
#[cfg(test)]
mod delta;
#[cfg(test)]
mod dialects;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod extension;
#[cfg(test)]
mod extension_form;
#[cfg(test)]
mod filter;
#[cfg(test)]
mod fuzzed;
#[cfg(test)]
mod list;
#[cfg(test)]
mod never_panics;
#[cfg(test)]
mod patch;
#[cfg(test)]
mod patch_providers;
#[cfg(test)]
mod patch_selected;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod probe_faults;
#[cfg(test)]
mod render;
#[cfg(test)]
mod resource;
#[cfg(test)]
mod strict;

/// The URN of the core schema of a user.
#[cfg(test)]
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// The URN of the core schema of a group.
#[cfg(test)]
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// The URN of the enterprise extension.
#[cfg(test)]
const ENT: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
