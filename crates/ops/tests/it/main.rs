//! Operations on both databases.
