//! Views that become text at once.
//!
//! A view of Leptos is a type of its own, and what erases it compiles everything that could happen to it: to be
//! built and changed in a browser, to be waited for, to be streamed. Nothing of that happens to a page of ours:
//! what it shows is known when it is made. A page that imports [`IntoAny`] from here compiles the one thing that
//! does happen, the writing of HTML, and is a third of the size. Islands are compiled for the browser as well,
//! and take the one of Leptos.

use std::any::Any;

use leptos::{
    children::{ChildrenOptContainer, ToChildren},
    prelude::{AnyView, IntoView, RenderHtml},
    tachys::{html::InertElement, view::any_view::IntoAny as Erase},
};

/// As the trait of this name in Leptos, for what does not change any more.
pub trait IntoAny {
    /// Writes the view down, and forgets what it was made of.
    fn into_any(self) -> AnyView;
}

impl<T: RenderHtml + 'static> IntoAny for T {
    fn into_any(self) -> AnyView {
        let mut view = Some(self);
        // What is erased stays what it is: a page that still waits for what it shows.
        if let Some(erased) = (&mut view as &mut dyn Any).downcast_mut::<Option<AnyView>>() {
            return erased.take().unwrap_or_else(|| written(String::new()));
        }
        // With the marks around branches that islands find their way by.
        written(view.map_or_else(String::new, RenderHtml::to_html_branching))
    }
}

/// Erases a view that waits for what it shows, as Leptos does: the one of [`crate::ui::page::page`].
pub fn waiting(view: impl IntoView + 'static) -> AnyView {
    Erase::into_any(view)
}

// Not generic: it is compiled once.
fn written(html: String) -> AnyView {
    Erase::into_any(InertElement::new(html))
}

/// What stands inside a part of a page.
pub struct Inside(Box<dyn FnOnce() -> AnyView + Send>);

impl Inside {
    /// The view of it.
    pub fn view(self) -> AnyView {
        (self.0)()
    }
}

impl<F, C> ToChildren<F> for Inside
where
    F: FnOnce() -> C + Send + 'static,
    C: RenderHtml + 'static,
{
    fn to_children(inside: F) -> Self {
        Self(Box::new(move || IntoAny::into_any(inside())))
    }
}

impl<T: RenderHtml + Send + 'static> ToChildren<ChildrenOptContainer<T>> for Inside {
    fn to_children(inside: ChildrenOptContainer<T>) -> Self {
        Self(Box::new(move || IntoAny::into_any(inside.0)))
    }
}
