//! The table of requests that grows as they come.

use leptos::prelude::*;

/// Follows a stream of server-sent events and puts each request on top of the table inside `#feed`.
///
/// It comes back by itself after the place where it was, says when it has lost the connection and when the last
/// event came, waits with new rows while somebody is inside the table, and keeps 500 rows. Rows are not read
/// aloud; a line says every ten seconds what came.
#[island]
pub fn Feed(
    /// The address of the stream.
    stream: String,
    /// Where the page ended.
    position: String,
    /// The table.
    children: Children,
) -> impl IntoView {
    let (state, set_state) = signal(State::default());
    let (is_paused, set_paused) = signal(false);
    #[cfg(feature = "hydrate")]
    let show = watch::start(stream, position, set_state, is_paused);
    #[cfg(not(feature = "hydrate"))]
    let show = {
        let _ = (stream, position, set_state);
        || {}
    };
    let pause = move |_| set_paused.update(|is_paused| *is_paused = !*is_paused);
    let show_waiting = move |_| show();
    view! {
        <div class="pad actions needs-script">
            <span role="status" class="small">
                {move || state.get().said}
            </span>
            <span class="small muted">{move || state.get().connection}</span>
            <button class="btn sm" type="button" aria-pressed=move || is_paused.get().to_string() on:click=pause>
                {move || if is_paused.get() { "Go on" } else { "Pause" }}
            </button>
            <button class="btn sm" type="button" hidden=move || state.get().waiting == 0 on:click=show_waiting>
                {move || format!("Show {} new", state.get().waiting)}
            </button>
        </div>
        {children()}
    }
}

/// What is said above the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    /// What came, every ten seconds.
    said: String,
    /// How the connection is.
    connection: String,
    /// How many rows wait.
    waiting: usize,
}

#[cfg(feature = "hydrate")]
mod watch {
    use std::{cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

    use leptos::prelude::*;
    use serde::Deserialize;
    use wasm_bindgen::{JsCast as _, closure::Closure};
    use web_sys::{Element, EventSource, MessageEvent};

    use super::State;
    use crate::islands::browser;

    /// How many rows stay.
    const ROWS: usize = 500;

    /// The parts of a request that a row shows.
    #[derive(Deserialize)]
    struct Request {
        #[serde(rename = "request_id")]
        id: String,
        time: String,
        federation: Option<String>,
        method: String,
        #[serde(rename = "type")]
        resource_type: String,
        resource_id: Option<String>,
        status: u16,
        decision: String,
        reason: Option<String>,
        source: Option<String>,
        user_agent: Option<String>,
        duration_us: i64,
    }

    struct Feed {
        stream: String,
        position: String,
        source: Option<EventSource>,
        waiting: VecDeque<Request>,
        came: u32,
        denied: u32,
        missed: bool,
        last: String,
        /// Seconds since something came from the server.
        silent: u32,
    }

    type Shared = Rc<RefCell<Feed>>;

    /// Connects, and shows what comes; gives what shows the rows that wait.
    pub(super) fn start(
        stream: String,
        position: String,
        set_state: WriteSignal<State>,
        is_paused: ReadSignal<bool>,
    ) -> impl Fn() + Copy + 'static {
        let feed: Shared = Rc::new(RefCell::new(Feed {
            stream,
            position,
            source: None,
            waiting: VecDeque::new(),
            came: 0,
            denied: 0,
            missed: false,
            last: String::new(),
            silent: 0,
        }));
        connect(&feed, set_state, is_paused);
        let seconds = StoredValue::new_local(0_u32);
        let ticking = Rc::clone(&feed);
        let tick = move || {
            seconds.update_value(|seconds| *seconds += 1);
            let is_tenth = seconds.get_value().is_multiple_of(10);
            let is_lost = {
                let mut feed = ticking.borrow_mut();
                feed.silent += 1;
                // Two beats and a half without anything: the connection is dead, whatever the browser says.
                feed.silent >= 25
            };
            if is_lost {
                ticking.borrow_mut().silent = 0;
                connect(&ticking, set_state, is_paused);
            }
            if is_tenth {
                let mut feed = ticking.borrow_mut();
                let (came, denied) = (std::mem::take(&mut feed.came), std::mem::take(&mut feed.denied));
                let missed = std::mem::take(&mut feed.missed);
                set_state.update(|state| {
                    state.said = match (came, denied) {
                        _ if missed => "More came than can be shown here: the search has them.".to_owned(),
                        (0, _) => String::new(),
                        (came, 0) => format!("{came} new"),
                        (came, denied) => format!("{came} new, {denied} denied"),
                    };
                });
            }
        };
        if let Ok(handle) = set_interval_with_handle(tick, Duration::from_secs(1)) {
            on_cleanup(move || handle.clear());
        }
        let shown = StoredValue::new_local(feed);
        move || shown.with_value(|feed| show_waiting(feed, set_state))
    }

    fn connect(feed: &Shared, set_state: WriteSignal<State>, is_paused: ReadSignal<bool>) {
        let address = {
            let mut feed = feed.borrow_mut();
            if let Some(old) = feed.source.take() {
                old.close();
            }
            let between = if feed.stream.contains('?') { '&' } else { '?' };
            format!("{}{between}last={}", feed.stream, feed.position)
        };
        let Ok(source) = EventSource::new(&address) else { return };
        let alive = {
            let feed = Rc::clone(feed);
            move || {
                feed.borrow_mut().silent = 0;
                set_state.update(|state| "Live".clone_into(&mut state.connection));
            }
        };
        let on_beat = {
            let alive = alive.clone();
            Closure::<dyn FnMut(MessageEvent)>::new(move |_| alive())
        };
        let on_record = {
            let feed = Rc::clone(feed);
            let alive = alive.clone();
            Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
                alive();
                let text = event.data().as_string().unwrap_or_default();
                let Ok(request) = serde_json::from_str::<Request>(&text) else { return };
                take(&feed, request, event.last_event_id(), set_state, is_paused);
            })
        };
        let on_missed = {
            let feed = Rc::clone(feed);
            Closure::<dyn FnMut(MessageEvent)>::new(move |_| feed.borrow_mut().missed = true)
        };
        let on_ended = {
            let source = source.clone();
            Closure::<dyn FnMut(MessageEvent)>::new(move |_| {
                source.close();
                set_state
                    .update(|state| "You are signed out. Reload the page.".clone_into(&mut state.connection));
            })
        };
        let on_error = {
            let feed = Rc::clone(feed);
            Closure::<dyn FnMut(web_sys::Event)>::new(move |_| {
                let last = feed.borrow().last.clone();
                let since = if last.is_empty() { String::new() } else { format!(" Last event {last}.") };
                let text = format!("Connection lost, retrying in 3 s.{since}");
                set_state.update(|state| state.connection = text);
            })
        };
        source.set_onmessage(Some(on_record.as_ref().unchecked_ref()));
        source.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        for (name, listener) in [("beat", &on_beat), ("missed", &on_missed), ("ended", &on_ended)] {
            let _ = source.add_event_listener_with_callback(name, listener.as_ref().unchecked_ref());
        }
        // The stream keeps them as long as it lives.
        on_beat.forget();
        on_record.forget();
        on_missed.forget();
        on_ended.forget();
        on_error.forget();
        feed.borrow_mut().source = Some(source);
    }

    fn take(
        feed: &Shared,
        request: Request,
        position: String,
        set_state: WriteSignal<State>,
        is_paused: ReadSignal<bool>,
    ) {
        {
            let mut feed = feed.borrow_mut();
            feed.came += 1;
            feed.denied += u32::from(request.decision != "allowed");
            request.time.get(11..19).unwrap_or_default().clone_into(&mut feed.last);
            if !position.is_empty() {
                feed.position = position;
            }
            feed.waiting.push_back(request);
            if feed.waiting.len() > ROWS {
                feed.waiting.pop_front();
            }
        }
        if !is_paused.get_untracked() && is_at_rest() {
            show_waiting(feed, set_state);
        } else {
            let waiting = feed.borrow().waiting.len();
            set_state.update(|state| state.waiting = waiting);
        }
    }

    /// Whether nobody works in the table.
    fn is_at_rest() -> bool {
        browser::by_id("feed").is_some_and(|feed| !feed.matches(":focus-within").unwrap_or(false))
    }

    fn show_waiting(feed: &Shared, set_state: WriteSignal<State>) {
        let waiting: Vec<Request> = feed.borrow_mut().waiting.drain(..).collect();
        set_state.update(|state| state.waiting = 0);
        let Some(part) = browser::by_id("feed") else { return };
        let Some(body) = body_of(&part) else { return };
        for request in waiting {
            // What the page had already.
            let known = format!("[data-request=\"{}\"]", request.id);
            let is_known = body.query_selector(&known).ok().flatten().is_some();
            if !is_known && let Some(row) = row(&request) {
                let _ = body.prepend_with_node_1(&row);
            }
        }
        while body.child_element_count() as usize > ROWS
            && let Some(last) = body.last_element_child()
        {
            last.remove();
        }
    }

    /// The body of the table, which is made when the page had none.
    fn body_of(part: &Element) -> Option<Element> {
        if let Some(body) = part.query_selector("tbody").ok().flatten() {
            return Some(body);
        }
        part.set_inner_html(
            "<div class=\"tw\" tabindex=\"0\" role=\"region\" aria-label=\"Table of requests\"><table class=\"t cards requests\">\
            <thead><tr><th scope=\"col\">Request</th><th scope=\"col\">Answer</th><th scope=\"col\">When</th>\
            <th scope=\"col\">Source</th><th scope=\"col\" class=\"num\">Time</th></tr></thead><tbody></tbody></table></div>",
        );
        part.query_selector("tbody").ok().flatten()
    }

    fn row(request: &Request) -> Option<Element> {
        let made = |name: &str, text: &str| {
            let element = document().create_element(name).ok()?;
            element.set_text_content(Some(text));
            Some(element)
        };
        let row = made("tr", "")?;
        row.set_attribute("data-request", &request.id).ok()?;
        let head = made("th", "")?;
        head.set_attribute("scope", "row").ok()?;
        let link = made("a", &format!("{} {}", request.method, request.resource_type))?;
        link.set_attribute("href", &format!("/usage/requests/{}", request.id)).ok()?;
        head.append_child(&link).ok()?;
        for text in [&request.resource_id, &request.federation].into_iter().flatten() {
            let sub = made("span", text)?;
            sub.set_class_name("sub");
            head.append_child(&sub).ok()?;
        }
        row.append_child(&head).ok()?;
        let word = match (request.decision.as_str(), request.status) {
            ("allowed", ..400) => "Allowed",
            ("allowed", ..500) => "Not accepted",
            ("allowed", _) => "Failed",
            ("denied", _) => "Denied",
            _ => "Refused",
        };
        let reason = request.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let duration = match request.duration_us {
            us @ ..1_000 => format!("{us} µs"),
            us => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        };
        let source = request.source.as_deref().unwrap_or("No data");
        let agent = request.user_agent.as_ref().map(|agent| format!(" {agent}")).unwrap_or_default();
        let cells = [
            ("Answer", "", format!("{word} {}{reason}", request.status)),
            ("When", "", request.time.get(11..19).unwrap_or_default().to_owned()),
            ("Source", "break", format!("{source}{agent}")),
            ("Time", "num", duration),
        ];
        for (label, class, text) in cells {
            let cell = made("td", &text)?;
            cell.set_attribute("data-l", label).ok()?;
            if !class.is_empty() {
                cell.set_class_name(class);
            }
            row.append_child(&cell).ok()?;
        }
        Some(row)
    }
}
