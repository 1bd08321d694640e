//! How long requests took: median, 95th and 99th percentile of each method, as bars with their numbers.

use std::{collections::BTreeMap, fmt::Write as _};

use domain::usage::{Decision, UsageRecord};
use leptos::prelude::*;

use crate::ui::still::IntoAny;

use crate::words;

/// The length of the longest bar, in units of the drawing.
const LENGTH: i64 = 1_000;

/// The fewest requests that percentiles say something of.
const LEAST: usize = 5;

/// How long the requests of one method took, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    method: String,
    count: usize,
    /// The median, the 95th and the 99th percentile.
    took: [i64; 3],
}

const WORDS: [&str; 3] = ["half within", "95 of 100 within", "99 of 100 within"];

/// The least time within which so many of a hundred stay.
fn percentile(sorted: &[i64], share: usize) -> i64 {
    let place = (sorted.len() * share).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or(0)
}

fn rows(records: &[UsageRecord]) -> Vec<Row> {
    let mut by_method: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.decision == Decision::Allowed) {
        by_method.entry(&record.method).or_default().push(record.duration_us);
    }
    let mut rows: Vec<Row> = by_method
        .into_iter()
        .filter(|(_, took)| took.len() >= LEAST)
        .map(|(method, mut took)| {
            took.sort_unstable();
            Row {
                method: method.to_owned(),
                count: took.len(),
                took: [50, 95, 99].map(|share| percentile(&took, share)),
            }
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.took[1]));
    rows
}

/// A time with its unit.
fn span(micros: i64) -> String {
    match micros {
        ..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// How long accepted requests took, by method; nothing while there are too few.
pub fn latency(records: &[UsageRecord]) -> Option<AnyView> {
    let rows = rows(records);
    if rows.is_empty() {
        return None;
    }
    let most = rows.iter().map(|row| row.took[2]).max().unwrap_or(1).max(1);
    let finding = finding(&rows);
    let items = rows
        .iter()
        .enumerate()
        .map(|(number, row)| {
            let first = number == 0;
            let mut drawing = String::new();
            if first {
                let _ = write!(
                    drawing,
                    r#"<title id="latency-title">Latency by method</title><desc id="latency-desc">{}</desc>"#,
                    words::escaped(&finding)
                );
            }
            let [half, most_of, all] = row.took.map(|took| (took * LENGTH / most).max(4));
            // A solid bar to the median, a thin one to the 99th percentile, a stroke at the 95th.
            let _ = write!(
                drawing,
                r#"<path d="M0 6H{all}" class="whisker"/><rect width="{half}" height="12" class="bar-allowed"/><path d="M{most_of} 0V12" class="mark-line"/>"#
            );
            view! {
                <li>
                    <span class="what">{row.method.clone()}</span>
                    <svg
                        viewBox=format!("0 0 {LENGTH} 12")
                        preserveAspectRatio="none"
                        role=first.then_some("img")
                        aria-hidden=(!first).then_some("true")
                        aria-labelledby=first.then_some("latency-title")
                        aria-describedby=first.then_some("latency-desc")
                        inner_html=drawing
                    ></svg>
                    <span class="num">{span(row.took[1])}</span>
                </li>
            }
        })
        .collect_view();
    let heads = WORDS
        .into_iter()
        .map(|word| {
            view! {
                <th scope="col" class="num">
                    {words::capital(word)}
                </th>
            }
        })
        .collect_view();
    let table = rows
        .iter()
        .map(|row| {
            let times = row.took.map(|took| view! { <td class="num">{span(took)}</td> });
            view! {
                <tr>
                    <th scope="row">{row.method.clone()}</th>
                    <td class="num">{row.count}</td>
                    {times.collect_view()}
                </tr>
            }
        })
        .collect_view();
    Some(
        view! {
            <figure class="chart bars">
                <ul class="rows">{items}</ul>
                <figcaption>
                    <p>{finding}</p>
                    <p class="muted small">
                        "The bar ends at the median, the dashed line is the 95th percentile, and the thin line ends at the 99th. From arrival to the decision being written."
                    </p>
                    <details class="more">
                        <summary>"Show as table"</summary>
                        <div class="tw" tabindex="0" role="region" aria-label="Latency by method">
                            <table class="t">
                                <thead>
                                    <tr>
                                        <th scope="col">"Method"</th>
                                        <th scope="col" class="num">
                                            "Requests"
                                        </th>
                                        {heads}
                                    </tr>
                                </thead>
                                <tbody>{table}</tbody>
                            </table>
                        </div>
                    </details>
                </figcaption>
            </figure>
        }
        .into_any(),
    )
}

/// The slowest in a sentence.
fn finding(rows: &[Row]) -> String {
    let count: usize = rows.iter().map(|row| row.count).sum();
    let slowest = rows.first().map_or_else(String::new, |row| {
        format!(
            " {} takes longest: half within {}, 95 of 100 within {}.",
            row.method,
            span(row.took[0]),
            span(row.took[1])
        )
    });
    format!(
        "How long the last {} took.{slowest}",
        words::count(i64::try_from(count).unwrap_or(i64::MAX), "accepted request")
    )
}

#[cfg(test)]
mod tests {
    use domain::{KeyId, RequestId, usage::Facts};

    use super::*;

    fn record(method: &str, duration_us: i64, decision: Decision) -> UsageRecord {
        UsageRecord {
            request_id: RequestId::new(1, [1; 10]),
            at_ms: 1,
            federation_id: None,
            key_id: KeyId::new(1, [1; 10]),
            method: method.to_owned(),
            resource_type: "Users".to_owned(),
            resource_id: None,
            status: 200,
            decision,
            reason: None,
            duration_us,
            source: None,
            user_agent: None,
            tolerated: Vec::new(),
            is_work: true,
            attributes: Vec::new(),
            facts: Facts::default(),
        }
    }

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let sorted: Vec<i64> = (1..=100).collect();
        assert_eq!([50, 95, 99].map(|share| percentile(&sorted, share)), [50, 95, 99]);
        assert_eq!([50, 99].map(|share| percentile(&[7], share)), [7, 7]);
    }

    #[test]
    fn the_slowest_method_comes_first_and_refusals_do_not_count() {
        let mut records: Vec<UsageRecord> =
            (1..=10).map(|us| record("GET", us * 100, Decision::Allowed)).collect();
        records.extend((1..=10).map(|us| record("PATCH", us * 1_000, Decision::Allowed)));
        records.extend((1..=10).map(|_| record("DELETE", 9_000_000, Decision::Denied)));
        let rows = rows(&records);
        assert_eq!(rows.iter().map(|row| row.method.as_str()).collect::<Vec<_>>(), ["PATCH", "GET"]);
        assert_eq!(
            finding(&rows),
            "How long the last 20 accepted requests took. PATCH takes longest: half within 5.0 ms, 95 of 100 within 10.0 ms."
        );
    }

    #[test]
    fn too_few_requests_say_nothing() {
        assert!(latency(&[record("GET", 1, Decision::Allowed)]).is_none());
    }

    #[test]
    fn times_have_units() {
        assert_eq!([999, 1_250, 2_500_000].map(span), ["999 µs", "1.2 ms", "2.5 s"]);
    }
}
