//! The panel that waits for the first work that is done with a key.

use leptos::prelude::*;

use crate::api::keys::Activity;

/// Asks every three seconds whether the key was tried, and whether work was done with it, and says what came.
///
/// The children are three states drawn by the server, of the classes `when-waiting`, `when-tested` and
/// `when-used`.
#[island]
pub fn Waiting(
    /// The id of the key.
    key: String,
    /// What was known when the page was made.
    first: Activity,
    /// The three states.
    children: Children,
) -> impl IntoView {
    let (activity, set_activity) = signal(first);
    let (lost, set_lost) = signal(false);
    #[cfg(feature = "hydrate")]
    ask_every_three_seconds(key, activity, set_activity, set_lost);
    #[cfg(not(feature = "hydrate"))]
    let _ = (key, set_activity, set_lost);
    let sentence = move || {
        if lost.get() {
            "Connection lost. Trying again every 3 s.".to_owned()
        } else {
            activity.get().sentence
        }
    };
    view! {
        <div class="waiting" class:used=move || activity.get().used class:tested=move || activity.get().tested>
            {children()}
            <span role="status">{sentence}</span>
        </div>
    }
}

#[cfg(feature = "hydrate")]
fn ask_every_three_seconds(
    key: String,
    activity: ReadSignal<Activity>,
    set_activity: WriteSignal<Activity>,
    set_lost: WriteSignal<bool>,
) {
    use std::time::Duration;

    use leptos::task::spawn_local;

    use crate::api::keys::key_activity;

    let handle = StoredValue::new(None::<IntervalHandle>);
    let ask = move || {
        let key = key.clone();
        spawn_local(async move {
            match key_activity(key).await {
                Ok(now) => {
                    set_lost.set(false);
                    // The status region speaks when its text changes, not every time it is written.
                    if now != activity.get_untracked() {
                        set_activity.set(now);
                    }
                }
                Err(_) => set_lost.set(true),
            }
            if activity.get_untracked().used
                && let Some(handle) = handle.get_value()
            {
                handle.clear();
            }
        });
    };
    if !activity.get_untracked().used
        && let Ok(started) = set_interval_with_handle(ask, Duration::from_secs(3))
    {
        handle.set_value(Some(started));
        on_cleanup(move || started.clear());
    }
}
