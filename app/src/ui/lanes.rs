//! The requests of two keys on one axis of time: the hand-over as it is seen. Drawn on the server,
//! with the finding in words and the numbers in a table under it.

use std::fmt::Write as _;

use domain::{HOUR_MS, Millis};
use leptos::prelude::*;

use crate::ui::still::IntoAny;

use crate::{ui::time, words};

const WIDTH: i64 = 960;
const HEIGHT: i64 = 56;

/// The requests of one key.
#[derive(Debug, Clone)]
pub struct Lane {
    /// `new` or `old`.
    pub word: &'static str,
    /// Its last four, as people recognise it.
    pub last_four: String,
    /// When each hour began and how many requests presented the key in it, oldest first.
    pub hours: Vec<(Millis, i64)>,
    /// What happened to it, and when.
    pub marks: Vec<(Mark, Millis)>,
}

/// What is marked on a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The key was issued.
    Issued,
    /// A connection test was seen.
    Tested,
    /// Real work was seen for the first time.
    FirstWork,
    /// The last request was seen.
    LastUse,
    /// The key was retired.
    Retired,
}

impl Mark {
    const fn word(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Tested => "tested",
            Self::FirstWork => "first work",
            Self::LastUse => "last use",
            Self::Retired => "retired",
        }
    }

    /// Marks differ by their dashes, not by colour.
    const fn dashes(self) -> &'static str {
        match self {
            Self::Issued => "2 3",
            Self::Tested => "6 3",
            Self::FirstWork => "none",
            Self::LastUse => "8 3 2 3",
            Self::Retired => "1 2",
        }
    }
}

impl Lane {
    fn begins(&self) -> Millis {
        self.hours.first().map_or(0, |(start, _)| *start)
    }

    fn length(&self) -> Millis {
        i64::try_from(self.hours.len()).unwrap_or(1).max(1) * HOUR_MS
    }

    fn total(&self) -> i64 {
        self.hours.iter().map(|(_, count)| count).sum()
    }

    /// Where a moment is, when it is on the axis.
    fn place(&self, at_ms: Millis) -> Option<i64> {
        let since = at_ms - self.begins();
        (0..=self.length()).contains(&since).then(|| since * WIDTH / self.length())
    }

    fn drawing(&self, most: i64) -> String {
        let count = i64::try_from(self.hours.len()).unwrap_or(1).max(1);
        let pitch = WIDTH / count;
        let gap = (pitch / 5).max(1);
        let mut svg = format!(r#"<path d="M0 {HEIGHT}H{WIDTH}" class="base-line"/>"#);
        for (index, (_, requests)) in self.hours.iter().enumerate() {
            if *requests > 0 {
                // A request is always seen.
                let height = (requests * HEIGHT / most.max(1)).max(3);
                let x = i64::try_from(index).unwrap_or(0) * pitch;
                let _ = write!(
                    svg,
                    r#"<rect x="{x}" y="{}" width="{}" height="{height}" class="lane-{}"/>"#,
                    HEIGHT - height,
                    pitch - gap,
                    self.word
                );
            }
        }
        for (mark, at) in &self.marks {
            if let Some(x) = self.place(*at) {
                let _ = write!(
                    svg,
                    r#"<path d="M{x} 0V{HEIGHT}" class="lane-mark" stroke-dasharray="{}"/>"#,
                    mark.dashes()
                );
            }
        }
        svg
    }

    /// The lane in a sentence.
    fn finding(&self) -> String {
        let name = format!("{} key {}", words::capital(self.word), words::ends_with(&self.last_four));
        let last = self.hours.iter().rev().find(|(_, count)| *count > 0);
        match (self.total(), last) {
            (0, _) | (_, None) => format!("{name}: no request in the last {} hours.", self.hours.len()),
            (total, Some((start, _))) => format!(
                "{name}: {} in the last {} hours, the last in the hour of {} UTC.",
                words::count(total, "request"),
                self.hours.len(),
                time::hour(*start)
            ),
        }
    }
}

/// Both lanes, the new key above.
#[component]
pub fn Lanes(
    /// The successor.
    new: Lane,
    /// The key that it replaces.
    old: Lane,
) -> impl IntoView {
    let most = new.hours.iter().chain(&old.hours).map(|(_, count)| *count).max().unwrap_or(0);
    let axis = [new.hours.first(), new.hours.get(new.hours.len() / 2)]
        .map(|hour| view! { <span>{hour.map(|(start, _)| time::hour(*start))}</span> });
    let table = table(&new, &old);
    let lanes = [&new, &old].map(|lane| {
        let (title, desc) = (format!("lane-{}", lane.word), format!("lane-{}-d", lane.word));
        let drawing = format!(
            r#"<title id="{title}">Requests by hour with the {} key</title><desc id="{desc}">{}</desc>{}"#,
            lane.word,
            words::escaped(&lane.finding()),
            lane.drawing(most)
        );
        let marks: Vec<_> =
            lane.marks.iter().map(|(mark, at)| legend(*mark, *at, lane.place(*at).is_some())).collect();
        view! {
            <div class="lane">
                <p class="lane-name">
                    <code>{words::ends_with(&lane.last_four)}</code>
                    " "
                    <strong>{lane.word}</strong>
                    <span class="muted small">{words::count(lane.total(), "request")}</span>
                </p>
                <svg
                    viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                    preserveAspectRatio="none"
                    role="img"
                    aria-labelledby=title
                    aria-describedby=desc
                    inner_html=drawing
                ></svg>
                <ul class="legend">{marks.into_iter().collect_view()}</ul>
            </div>
        }
    });
    view! {
        <figure class="chart lanes">
            {lanes.collect_view()} <div class="lane-axis" aria-hidden="true">
                {axis.collect_view()}
                <span>"now"</span>
            </div>
            <figcaption>
                <p class="small">"One bar an hour, both on one scale."</p>
                <details class="more">
                    <summary>"Show as table"</summary>
                    {table}
                </details>
            </figcaption>
        </figure>
    }
    .into_any()
}

fn legend(mark: Mark, at: Millis, is_shown: bool) -> impl IntoView {
    let line = format!(r#"<path d="M6 0V12" class="lane-mark" stroke-dasharray="{}"/>"#, mark.dashes());
    let early = (!is_shown).then_some(" (before this)");
    view! {
        <li>
            <svg viewBox="0 0 12 12" aria-hidden="true" inner_html=line></svg>
            <span>{mark.word()} " " <time datetime=time::iso(at)>{time::hour(at)}</time> {early}</span>
        </li>
    }
}

/// The hours in which something came.
fn table(new: &Lane, old: &Lane) -> AnyView {
    let rows: Vec<_> = new
        .hours
        .iter()
        .zip(&old.hours)
        .rev()
        .filter(|((_, with_new), (_, with_old))| with_new + with_old > 0)
        .map(|((start, with_new), (_, with_old))| {
            view! {
                <tr>
                    <th scope="row">
                        <time datetime=time::iso(*start)>{time::hour(*start)}</time>
                    </th>
                    <td class="num">{words::number(*with_new)}</td>
                    <td class="num">{words::number(*with_old)}</td>
                </tr>
            }
        })
        .collect();
    if rows.is_empty() {
        return view! { <p class="muted small">"No request in these hours."</p> }.into_any();
    }
    view! {
        <div class="tw" tabindex="0" role="region" aria-label="Requests by hour and key">
            <table class="t">
                <thead>
                    <tr>
                        <th scope="col">"Hour"</th>
                        <th scope="col" class="num">
                            "New key"
                        </th>
                        <th scope="col" class="num">
                            "Old key"
                        </th>
                    </tr>
                </thead>
                <tbody>{rows.into_iter().collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(word: &'static str, counts: &[i64]) -> Lane {
        let hours = counts.iter().zip(0..).map(|(count, hour)| (hour * HOUR_MS, *count)).collect();
        Lane {
            word,
            last_four: "9f3c".to_owned(),
            hours,
            marks: vec![(Mark::Issued, HOUR_MS), (Mark::FirstWork, -1)],
        }
    }

    #[test]
    fn a_lane_is_said_in_words() {
        assert_eq!(lane("old", &[0, 0]).finding(), "Old key …9f3c: no request in the last 2 hours.");
        assert_eq!(
            lane("new", &[2, 1, 0]).finding(),
            "New key …9f3c: 3 requests in the last 3 hours, the last in the hour of 1 Jan 01:00 UTC."
        );
    }

    #[test]
    fn both_lanes_have_one_scale_and_a_single_request_is_seen() {
        let html = view! { <Lanes new=lane("new", &[0, 1]) old=lane("old", &[500, 0]) /> }.to_html();
        assert!(html.contains(r#"y="53" width="384" height="3" class="lane-new""#), "{html}");
        assert!(html.contains(r#"y="0" width="384" height="56" class="lane-old""#), "{html}");
        assert!(!html.contains("style="));
    }

    #[test]
    fn a_mark_before_the_axis_is_told_and_not_drawn() {
        let lane = lane("new", &[0, 0, 0]);
        assert_eq!(lane.drawing(1).matches("lane-mark").count(), 1);
        assert_eq!(legend(Mark::FirstWork, -1, false).to_html().matches("before this").count(), 1);
    }
}
