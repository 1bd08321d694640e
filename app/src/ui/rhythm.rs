//! The rhythm of a federation: a stroke for each hour in which it was heard, and a band for when it is expected next.

use std::fmt::Write as _;

use domain::{DAY_MS, HOUR_MS, Millis};
use leptos::prelude::*;
use ops::{behaviour::Rhythm, overview::HourCount};

use crate::ui::still::IntoAny;

use crate::{ui::time, words};

const WIDTH: i64 = 960;
const HEIGHT: i64 = 40;

/// Whether it is heard as it usually is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Nothing came yet.
    Never,
    /// Within its usual gap.
    Usual,
    /// Later than usual, and within what it may.
    Late,
    /// Longer than it may.
    Silent,
}

fn standing(rhythm: &Rhythm, now: Millis) -> Standing {
    let Some(last_ms) = rhythm.last_ms else { return Standing::Never };
    match now - last_ms {
        silent if silent > rhythm.patience.limit_ms => Standing::Silent,
        silent if silent > rhythm.patience.gap_ms => Standing::Late,
        _ => Standing::Usual,
    }
}

/// The first moment of the drawing and its last: the band that is expected next has its place behind now, and takes a
/// quarter of the drawing at the most.
fn frame(hours: &[HourCount], rhythm: &Rhythm, now: Millis) -> (Millis, Millis) {
    let begins = hours.first().map_or(now - DAY_MS, |hour| hour.start_ms);
    let expected = rhythm.last_ms.map_or(now, |last_ms| last_ms + rhythm.patience.limit_ms);
    (begins, expected.clamp(now + HOUR_MS, now + (now - begins) / 3))
}

/// The strip of a federation.
pub fn rhythm_strip(hours: &[HourCount], rhythm: &Rhythm, now: Millis) -> AnyView {
    let (begins, ends) = frame(hours, rhythm, now);
    let place = |at_ms: Millis| (at_ms.clamp(begins, ends) - begins) * WIDTH / (ends - begins).max(1);
    let finding = finding(hours, rhythm, now);
    let mut drawing = format!(
        r#"<title id="rhythm-title">When it was heard</title><desc id="rhythm-desc">{}</desc><path d="M0 {HEIGHT}H{WIDTH}" class="base-line"/>"#,
        words::escaped(&finding)
    );
    if let Some(last_ms) = rhythm.last_ms {
        let (from, to) = (place(last_ms), place(last_ms + rhythm.patience.gap_ms));
        let limit = place(last_ms + rhythm.patience.limit_ms);
        let _ = write!(
            drawing,
            r#"<rect x="{from}" y="0" width="{}" height="{HEIGHT}" class="band"/><rect x="{to}" y="{}" width="{}" height="{}" class="band"/>"#,
            to - from,
            HEIGHT / 2,
            limit - to,
            HEIGHT / 2
        );
    }
    for hour in hours {
        let (heard, refused) = (hour.allowed, hour.denied + hour.refused);
        if heard + refused > 0 {
            // What was let in reaches to the top, what was not half as high.
            let top = if heard > 0 { 4 } else { HEIGHT / 2 };
            let class = if heard > 0 { "bar-allowed" } else { "ink-bad" };
            let x = place(hour.start_ms);
            let _ = write!(
                drawing,
                r#"<rect x="{x}" y="{top}" width="2" height="{}" class="{class}"/>"#,
                HEIGHT - top
            );
        }
    }
    let _ = write!(drawing, r#"<path d="M{0} 0V{HEIGHT}" class="mark-line"/>"#, place(now));
    let rows = hours
        .iter()
        .rev()
        .filter(|hour| hour.allowed + hour.denied + hour.refused > 0)
        .map(|hour| {
            view! {
                <tr>
                    <th scope="row">
                        <time datetime=time::iso(hour.start_ms)>{time::hour(hour.start_ms)}</time>
                    </th>
                    <td class="num">{words::number(hour.allowed)}</td>
                    <td class="num">{words::number(hour.denied + hour.refused)}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <figure class="chart strip">
            <svg
                viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                preserveAspectRatio="none"
                role="img"
                aria-labelledby="rhythm-title"
                aria-describedby="rhythm-desc"
                inner_html=drawing
            ></svg>
            <figcaption>
                <p>{finding}</p>
                <p class="muted small">
                    "A stroke is an hour with requests, half as high when none of them was let in. The band is when the next ones usually come, the low part how long it may be silent; the dashed line is now."
                </p>
                <details class="more">
                    <summary>"Show as table"</summary>
                    <div class="tw" tabindex="0" role="region" aria-label="Hours with requests">
                        <table class="t">
                            <thead>
                                <tr>
                                    <th scope="col">"Hour"</th>
                                    <th scope="col" class="num">
                                        "Allowed"
                                    </th>
                                    <th scope="col" class="num">
                                        "Denied or refused"
                                    </th>
                                </tr>
                            </thead>
                            <tbody>{rows}</tbody>
                        </table>
                    </div>
                </details>
            </figcaption>
        </figure>
    }
    .into_any()
}

/// The strip in a sentence.
fn finding(hours: &[HourCount], rhythm: &Rhythm, now: Millis) -> String {
    let heard = hours.iter().filter(|hour| hour.allowed > 0).count();
    let usual = format!(
        "Usually something comes every {}{}.",
        time::span(rhythm.patience.gap_ms),
        if rhythm.patience.is_learned { "" } else { ", as its vendor says" }
    );
    let silent = rhythm.last_ms.map(|last_ms| time::span(now - last_ms)).unwrap_or_default();
    let stands = match standing(rhythm, now) {
        Standing::Never => return "Nothing was heard of it yet.".to_owned(),
        Standing::Usual => format!("The last was {silent} ago: as usual."),
        Standing::Late => format!("The last was {silent} ago: later than usual."),
        Standing::Silent => format!("The last was {silent} ago: longer than it may be silent."),
    };
    format!("Heard in {heard} of the last {} hours. {usual} {stands}", hours.len())
}

#[cfg(test)]
mod tests {
    use domain::behaviour::Patience;

    use super::*;

    const NOW: Millis = 1_800_000_000_000;

    fn rhythm(silent_ms: Millis) -> Rhythm {
        let patience = Patience { limit_ms: 3 * HOUR_MS, gap_ms: HOUR_MS, is_learned: true };
        Rhythm { last_ms: Some(NOW - silent_ms), patience }
    }

    fn hours() -> Vec<HourCount> {
        (0..48)
            .map(|hour| HourCount {
                start_ms: NOW - (47 - hour) * HOUR_MS,
                allowed: i64::from(hour % 4 == 0),
                denied: i64::from(hour == 5),
                refused: 0,
                findings: 0,
            })
            .collect()
    }

    #[test]
    fn silence_is_usual_then_late_then_too_long() {
        let of = |silent_ms| standing(&rhythm(silent_ms), NOW);
        assert_eq!(
            [HOUR_MS / 2, 2 * HOUR_MS, 4 * HOUR_MS].map(of),
            [Standing::Usual, Standing::Late, Standing::Silent]
        );
        assert_eq!(standing(&Rhythm { last_ms: None, ..rhythm(0) }, NOW), Standing::Never);
    }

    #[test]
    fn the_finding_says_how_often_it_was_heard_and_how_it_stands() {
        assert_eq!(
            finding(&hours(), &rhythm(2 * HOUR_MS), NOW),
            "Heard in 12 of the last 48 hours. Usually something comes every 1 h. The last was 2 h ago: later than usual."
        );
    }

    #[test]
    fn every_hour_with_requests_has_its_stroke_and_nothing_leaves_the_frame() {
        let html = rhythm_strip(&hours(), &rhythm(90 * DAY_MS), NOW).to_html();
        assert_eq!(html.matches("class=\"bar-allowed\"").count(), 12, "{html}");
        assert_eq!(html.matches("class=\"ink-bad\"").count(), 1, "{html}");
        assert!(!html.contains("width=\"-") && !html.contains("style="), "{html}");
    }
}
