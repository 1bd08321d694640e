//! The life of a key against the limit of its policy, as one bar: drawn on the server, complete
//! without script and on paper. The words beside it say the same.

use std::fmt::Write as _;

use domain::{DAY_MS, Millis};
use leptos::prelude::*;

use crate::words;

/// Width and height of the drawing, in its own units.
const WIDTH: i64 = 240;
const HEIGHT: i64 = 16;

/// What the bar shows, in milliseconds since the key was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// How old it is.
    pub age: Millis,
    /// From which age on it is to be rotated.
    pub due: Millis,
    /// The longest life that its policy allows.
    pub limit: Millis,
    /// When it ends by itself, when it does.
    pub end: Option<Millis>,
}

impl Span {
    /// The scale: the limit, or what is beyond it, and room for its mark.
    fn whole(self) -> Millis {
        (self.limit.max(self.age).max(1)) * 21 / 20
    }

    fn at(self, length: Millis) -> i64 {
        (length.max(0) * WIDTH / self.whole()).min(WIDTH)
    }

    fn tone(self) -> &'static str {
        if self.age >= self.limit {
            "bad"
        } else if self.age >= self.due {
            "warn"
        } else {
            "ok"
        }
    }

    /// `81 of 90 days, due in 2 days`.
    pub fn words(self) -> String {
        let days = |length: Millis| length / DAY_MS;
        let age =
            format!("{} of {} old", words::number(days(self.age)), words::count(days(self.limit), "day"));
        if self.age >= self.limit {
            return format!("{age}, {} over its limit", over(self.age - self.limit));
        }
        if self.age >= self.due {
            return format!("{age}, due now");
        }
        format!("{age}, due in {}", over(self.due - self.age))
    }

    fn drawing(self) -> String {
        let mut svg = String::new();
        let (age, due, limit) = (self.at(self.age), self.at(self.due), self.at(self.limit));
        let _ = write!(svg, r#"<rect x="0" y="4" width="{limit}" height="8" rx="2" class="life-track"/>"#);
        let _ = write!(
            svg,
            r#"<rect x="{due}" y="4" width="{}" height="8" class="life-due"/>"#,
            (limit - due).max(0)
        );
        let _ = write!(
            svg,
            r#"<rect x="0" y="4" width="{}" height="8" rx="2" class="life-age {}"/>"#,
            age.max(3),
            self.tone()
        );
        if let Some(end) = self.end.map(|end| self.at(end)) {
            let _ = write!(svg, r#"<path d="M{end} 3v10" class="life-end"/>"#);
        }
        let _ = write!(svg, r#"<path d="M{limit} 0v{HEIGHT}" class="life-limit"/>"#);
        svg
    }
}

fn over(length: Millis) -> String {
    if length >= 2 * DAY_MS {
        words::count(length / DAY_MS, "day")
    } else {
        crate::ui::time::span(length.max(1000))
    }
}

/// The bar and its words.
#[component]
pub fn Lifespan(
    /// Of which key; unique on the page.
    id: String,
    /// What it shows.
    span: Span,
) -> impl IntoView {
    let (title, desc) = (format!("life-{id}"), format!("life-{id}-d"));
    let said = span.words();
    let drawing = format!(
        r#"<title id="{title}">Age against the limit of the policy</title><desc id="{desc}">{}</desc>{}"#,
        words::escaped(&said),
        span.drawing()
    );
    view! {
        <span class="life">
            <svg
                viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                preserveAspectRatio="none"
                role="img"
                aria-labelledby=title
                aria-describedby=desc
                inner_html=drawing
            ></svg>
            <span class="small muted">{said}</span>
        </span>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn span(age: i64) -> Span {
        Span { age: age * DAY_MS, due: 76 * DAY_MS, limit: 90 * DAY_MS, end: Some(90 * DAY_MS) }
    }

    #[test]
    fn the_words_say_what_the_bar_shows() {
        assert_eq!(span(3).words(), "3 of 90 days old, due in 73 days");
        assert_eq!(span(75).words(), "75 of 90 days old, due in 24 h");
        assert_eq!(span(80).words(), "80 of 90 days old, due now");
        assert_eq!(span(95).words(), "95 of 90 days old, 5 days over its limit");
    }

    #[test]
    fn nothing_leaves_the_drawing() {
        for age in [0, 1, 76, 90, 400] {
            let span = span(age);
            for x in [span.at(span.age), span.at(span.due), span.at(span.limit)] {
                assert!((0..=WIDTH).contains(&x), "{age}: {x}");
            }
            assert!(!view! { <Lifespan id="a".to_owned() span /> }.to_html().contains("style="));
        }
        assert_eq!([span(3).tone(), span(80).tone(), span(90).tone()], ["ok", "warn", "bad"]);
    }
}
