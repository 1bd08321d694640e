//! The share inside policy by month: a step line, drawn on the server.
//!
//! A month without a record has no line: nothing is drawn where nothing is known. The finding stands in the
//! description, the numbers in a table under the drawing.

use std::fmt::Write as _;

use domain::compliance::Point;
use leptos::prelude::*;

use crate::{ui::still::IntoAny, words};

/// Width and height of the drawing, in its own units.
const WIDTH: i64 = 960;
const HEIGHT: i64 = 160;

/// The line as a path: a step for each month that is known, a gap for each that is not.
fn path(points: &[Point]) -> String {
    let pitch = WIDTH / i64::try_from(points.len()).unwrap_or(1).max(1);
    let (mut path, mut is_down, mut x) = (String::new(), false, 0);
    for point in points {
        if let Some(percent) = point.counted.percent() {
            let y = HEIGHT - percent * HEIGHT / 100;
            let _ = write!(path, "{}{x} {y}H{}", if is_down { "L" } else { "M" }, x + pitch);
            is_down = true;
        } else {
            is_down = false;
        }
        x += pitch;
    }
    path
}

/// The chart in a sentence.
fn finding(points: &[Point]) -> String {
    let known: Vec<&Point> = points.iter().filter(|point| point.counted.of > 0).collect();
    let (Some(first), Some(last)) = (known.first(), known.last()) else {
        return "No month of the last twelve has a record.".to_owned();
    };
    let said = |point: &Point| {
        let percent = point.counted.percent().unwrap_or_default();
        format!("{} of {} ({percent} %)", point.counted.inside, point.counted.of)
    };
    if first.month == last.month {
        return format!("{} inside policy in {}, the only month with a record.", said(last), last.month);
    }
    format!("From {} inside policy in {} to {} in {}.", said(first), first.month, said(last), last.month)
}

/// The months and their share.
#[component]
pub fn Trend(
    /// The oldest first.
    points: Vec<Point>,
) -> impl IntoView {
    let said = finding(&points);
    let mut drawing = format!(
        r#"<title id="trend-t">Federations inside policy by month</title><desc id="trend-d">{}</desc>"#,
        words::escaped(&said)
    );
    for (y, class) in [(0, "grid-line"), (HEIGHT / 2, "grid-line"), (HEIGHT, "base-line")] {
        let _ = write!(drawing, r#"<path d="M0 {y}H{WIDTH}" class="{class}"/>"#);
    }
    let _ = write!(drawing, r#"<path d="{}" class="trend-line"/>"#, path(&points));
    let axis = points.iter().map(|point| point.month.clone());
    let ends =
        [axis.clone().next(), axis.clone().nth(points.len() / 2)].map(|month| view! { <span>{month}</span> });
    view! {
        <figure class="chart trend">
            <div class="plot">
                <div class="y" aria-hidden="true">
                    <span>"100 %"</span>
                    <span>"50 %"</span>
                    <span>"0 %"</span>
                </div>
                <svg
                    viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                    preserveAspectRatio="none"
                    role="img"
                    aria-labelledby="trend-t"
                    aria-describedby="trend-d"
                    inner_html=drawing
                ></svg>
                <div class="x" aria-hidden="true">
                    {ends.collect_view()}
                    <span>"now"</span>
                </div>
            </div>
            <figcaption>
                <p>{said}</p>
                <details class="more">
                    <summary>"Show as table"</summary>
                    {table(&points)}
                </details>
            </figcaption>
        </figure>
    }
    .into_any()
}

/// The numbers of the chart.
pub fn table(points: &[Point]) -> AnyView {
    let rows = points
        .iter()
        .map(|point| {
            let share = point
                .counted
                .percent()
                .map_or_else(|| "No data".to_owned(), |percent| format!("{percent} %"));
            let counted = point.counted;
            view! {
                <tr>
                    <th scope="row">{point.month.clone()}</th>
                    <td class="num">{words::number(counted.inside)}</td>
                    <td class="num">{words::number(counted.excepted)}</td>
                    <td class="num">{words::number(counted.of)}</td>
                    <td class="num">{share}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <div class="tw" tabindex="0" role="region" aria-label="Table of months">
            <table class="t">
                <caption class="sr">"Federations inside policy at the end of each month, and now"</caption>
                <thead>
                    <tr>
                        <th scope="col">"Month"</th>
                        <th scope="col" class="num">
                            "Inside policy"
                        </th>
                        <th scope="col" class="num">
                            "By exception"
                        </th>
                        <th scope="col" class="num">
                            "Federations with keys"
                        </th>
                        <th scope="col" class="num">
                            "Share"
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
    use domain::compliance::Counted;

    use super::*;

    fn point(month: &str, inside: i64, of: i64) -> Point {
        Point { month: month.to_owned(), at_ms: 0, counted: Counted { inside, excepted: 0, of } }
    }

    #[test]
    fn what_is_not_known_is_a_gap_and_not_a_zero() {
        let points = [point("a", 1, 2), point("b", 0, 0), point("c", 0, 3), point("d", 3, 3)];
        assert_eq!(path(&points), "M0 80H240M480 160H720L720 0H960");
        assert_eq!(finding(&points), "From 1 of 2 (50 %) inside policy in a to 3 of 3 (100 %) in d.");
        assert_eq!(finding(&points[1..2]), "No month of the last twelve has a record.");
        assert_eq!(path(&points[1..2]), "");
        let html = view! { <Trend points=points.to_vec() /> }.to_html();
        assert!(html.contains("<desc") && html.contains("No data") && !html.contains("style="), "{html}");
    }
}
