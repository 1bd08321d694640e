//! The page of an address that has none.

use leptos::prelude::*;
use leptos_router::hooks::use_location;

use crate::{
    error::UiError,
    ui::page::{Section, failure},
};

/// No page has this address.
#[component]
pub fn NotFound() -> impl IntoView {
    let path = use_location().pathname.get_untracked();
    failure(Section::Elsewhere, &UiError::not_found(&format!("page as {path}")))
}
