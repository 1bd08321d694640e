//! Columns by hour: drawn on the server, complete without script and on paper.
//!
//! Outcomes differ by pattern as well as by colour. The finding stands in the description, the
//! numbers in a table under the drawing. Geometry is SVG attributes; text is HTML beside the
//! drawing, so that it keeps its size on a phone.

use std::fmt::Write as _;

use leptos::prelude::*;

use crate::ui::still::IntoAny;
use ops::overview::HourCount;

use crate::{ui::time, words};

/// Width and height of the drawing, in its own units.
const WIDTH: i64 = 960;
const HEIGHT: i64 = 200;

/// What stands on one column, from the bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bar {
    x: i64,
    y: i64,
    width: i64,
    height: i64,
    kind: usize,
}

const FILLS: [&str; 3] = [r#"class="bar-allowed""#, r#"fill="url(#denied)""#, r#"fill="url(#refused)""#];
const WORDS: [&str; 3] = ["Allowed", "Denied", "Refused"];

/// The top of the axis: 1, 2 or 5 times a power of ten, and even, so that its half is a whole number.
fn top_of(most: i64) -> i64 {
    let mut power = 1;
    loop {
        for step in [2, 4, 10] {
            if step * power >= most {
                return step * power;
            }
        }
        power *= 10;
    }
}

fn bars(hours: &[HourCount], top: i64) -> Vec<Bar> {
    let count = i64::try_from(hours.len()).unwrap_or(1).max(1);
    let pitch = WIDTH / count;
    let gap = (pitch / 5).max(1);
    let mut bars = Vec::new();
    for (index, hour) in hours.iter().enumerate() {
        let x = i64::try_from(index).unwrap_or(0) * pitch;
        let mut base = HEIGHT;
        for (kind, value) in [hour.allowed, hour.denied, hour.refused].into_iter().enumerate() {
            if value > 0 {
                // A count that is not zero is always seen.
                let height = (value * HEIGHT / top).max(2);
                base -= height;
                bars.push(Bar { x, y: base, width: pitch - gap, height, kind });
            }
        }
    }
    bars
}

/// The middle of the column of an hour.
fn middle_of(index: usize, hours: usize) -> i64 {
    let pitch = WIDTH / i64::try_from(hours).unwrap_or(1).max(1);
    i64::try_from(index).unwrap_or(0) * pitch + (pitch - (pitch / 5).max(1)) / 2
}

/// Requests by hour and outcome, with the hours in which findings came.
#[component]
pub fn RequestsChart(
    /// Oldest first.
    hours: Vec<HourCount>,
) -> impl IntoView {
    let totals = hours
        .iter()
        .fold([0_i64; 3], |sum, hour| [sum[0] + hour.allowed, sum[1] + hour.denied, sum[2] + hour.refused]);
    let most = hours.iter().map(|hour| hour.allowed + hour.denied + hour.refused).max().unwrap_or(0);
    let top = top_of(most);
    let mut drawing = String::from(DEFINITIONS);
    for (y, class) in [(0, "grid-line"), (HEIGHT / 2, "grid-line"), (HEIGHT, "base-line")] {
        let _ = write!(drawing, r#"<path d="M0 {y}H{WIDTH}" class="{class}"/>"#);
    }
    for (index, hour) in hours.iter().enumerate() {
        if hour.findings > 0 {
            let x = middle_of(index, hours.len());
            // A mark over the columns: a shape of its own, whatever the colour.
            let _ = write!(
                drawing,
                r#"<path d="M{x} 0V{HEIGHT}" class="mark-line"/><path d="M{} 0h16l-8 14z" class="mark"/>"#,
                x - 8
            );
        }
    }
    for bar in bars(&hours, top) {
        let Bar { x, y, width, height, kind } = bar;
        let _ =
            write!(drawing, r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" {}/>"#, FILLS[kind]);
    }
    let named = format!(
        r#"<title id="requests-title">Requests by hour</title><desc id="requests-desc">{}</desc>{drawing}"#,
        words::escaped(&finding(&hours, totals))
    );
    let found: i64 = hours.iter().map(|hour| hour.findings).sum();
    let marks = (found > 0).then(|| {
        let swatch = r#"<path d="M0 1h12l-6 10z" class="mark"/>"#;
        view! {
            <li>
                <svg viewBox="0 0 12 12" aria-hidden="true" inner_html=swatch></svg>
                {words::count(found, "finding")}
            </li>
        }
    });
    let ticks = [top, top / 2, 0].map(|tick| view! { <span>{words::number(tick)}</span> });
    let axis = [hours.first(), hours.get(hours.len() / 2)]
        .map(|hour| view! { <span>{hour.map(|hour| time::hour(hour.start_ms))}</span> });
    let legend = WORDS
        .iter()
        .zip(FILLS)
        .zip(totals)
        .map(|((word, fill), total)| {
            let swatch = format!(r#"<rect width="12" height="12" {fill}/>"#);
            view! {
                <li>
                    <svg viewBox="0 0 12 12" aria-hidden="true" inner_html=swatch></svg>
                    {format!("{word} {}", words::number(total))}
                </li>
            }
        })
        .collect_view();
    view! {
        <figure class="chart">
            <div class="plot">
                <div class="y" aria-hidden="true">
                    {ticks.collect_view()}
                </div>
                <svg
                    viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                    preserveAspectRatio="none"
                    role="img"
                    aria-labelledby="requests-title"
                    aria-describedby="requests-desc"
                    inner_html=named
                ></svg>
                <div class="x" aria-hidden="true">
                    {axis.collect_view()}
                    <span>"now"</span>
                </div>
            </div>
            <figcaption>
                <ul class="legend">{legend} {marks}</ul>
                <details class="more">
                    <summary>"Show as table"</summary>
                    {table(&hours)}
                </details>
            </figcaption>
        </figure>
    }
    .into_any()
}

const DEFINITIONS: &str = r#"<defs><pattern id="denied" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="4" height="4" class="ink-warn"/><rect width="1.5" height="4" class="ink-hole"/></pattern><pattern id="refused" width="6" height="6" patternUnits="userSpaceOnUse"><rect width="6" height="6" class="ink-bad"/><circle cx="3" cy="3" r="1.2" class="ink-hole"/></pattern></defs>"#;

/// The chart in a sentence.
fn finding(hours: &[HourCount], [allowed, denied, refused]: [i64; 3]) -> String {
    let total = allowed + denied + refused;
    if total == 0 {
        return "No requests in the last 48 hours.".to_owned();
    }
    let busiest = hours.iter().max_by_key(|hour| hour.allowed + hour.denied + hour.refused);
    let peak =
        busiest.map(|hour| format!(" Busiest hour: {} UTC.", time::hour(hour.start_ms))).unwrap_or_default();
    let found: i64 = hours.iter().map(|hour| hour.findings).sum();
    let marked =
        if found > 0 { format!(" {} came in them.", words::count(found, "finding")) } else { String::new() };
    format!(
        "Requests by hour in the last 48 hours: {} in all, {} allowed, {} denied, {} refused.{peak}{marked}",
        words::number(total),
        words::number(allowed),
        words::number(denied),
        words::number(refused)
    )
}

/// The hours in which something came.
fn table(hours: &[HourCount]) -> AnyView {
    let rows = hours
        .iter()
        .rev()
        .filter(|hour| hour.allowed + hour.denied + hour.refused + hour.findings > 0)
        .map(|hour| {
            view! {
                <tr>
                    <th scope="row">
                        <time datetime=time::iso(hour.start_ms)>{time::hour(hour.start_ms)}</time>
                    </th>
                    <td class="num">{words::number(hour.allowed)}</td>
                    <td class="num">{words::number(hour.denied)}</td>
                    <td class="num">{words::number(hour.refused)}</td>
                    <td class="num">{words::number(hour.findings)}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <div class="tw" tabindex="0" role="region" aria-label="Requests by hour">
            <table class="t">
                <thead>
                    <tr>
                        <th scope="col">"Hour"</th>
                        <th scope="col" class="num">
                            "Allowed"
                        </th>
                        <th scope="col" class="num">
                            "Denied"
                        </th>
                        <th scope="col" class="num">
                            "Refused"
                        </th>
                        <th scope="col" class="num">
                            "Findings"
                        </th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(index: i64, allowed: i64, denied: i64, refused: i64) -> HourCount {
        HourCount { start_ms: index * 3_600_000, allowed, denied, refused, findings: 0 }
    }

    #[test]
    fn the_axis_ends_on_a_round_even_number() {
        assert_eq!([0, 1, 2, 3, 5, 11, 21, 99, 312].map(top_of), [2, 2, 2, 4, 10, 20, 40, 100, 400]);
    }

    #[test]
    fn columns_stack_from_the_base_and_small_counts_are_seen() {
        let bars = bars(&[hour(0, 100, 0, 0), hour(1, 50, 50, 1)], 400);
        assert_eq!(
            bars.iter().map(|bar| (bar.x, bar.y, bar.height, bar.kind)).collect::<Vec<_>>(),
            [(0, 150, 50, 0), (480, 175, 25, 0), (480, 150, 25, 1), (480, 148, 2, 2),]
        );
        assert!(bars.iter().all(|bar| bar.x + bar.width <= WIDTH));
    }

    #[test]
    fn the_finding_is_said_in_words() {
        let hours = [hour(0, 3, 0, 0), hour(1, 1, 1, 0)];
        assert_eq!(
            finding(&hours, [4, 1, 0]),
            "Requests by hour in the last 48 hours: 5 in all, 4 allowed, 1 denied, 0 refused. Busiest hour: 1 Jan 00:00 UTC."
        );
        assert_eq!(finding(&[], [0; 3]), "No requests in the last 48 hours.");
    }

    #[test]
    fn hours_with_findings_are_marked_by_a_shape_and_in_words() {
        let hours = vec![hour(0, 3, 0, 0), HourCount { findings: 2, ..hour(1, 1, 0, 0) }];
        assert!(finding(&hours, [4, 0, 0]).ends_with(" 2 findings came in them."));
        let html = view! { <RequestsChart hours /> }.to_html();
        assert_eq!(html.matches("class=\"mark-line\"").count(), 1, "{html}");
        assert!(html.contains("<desc id=\"requests-desc\">"), "{html}");
    }

    #[test]
    fn no_inline_style_leaves_the_chart() {
        let html = view! { <RequestsChart hours=vec![hour(0, 1, 2, 3)] /> }.to_html();
        assert!(!html.contains("style="), "{html}");
    }
}
