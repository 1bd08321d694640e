//! A list of bars, one a row: drawn on the server, with the numbers beside the bars and in a table under them.
//!
//! Parts of a bar differ by pattern as well as by colour. The longest bar fills its row.

use std::fmt::Write as _;

use leptos::prelude::*;

use crate::ui::still::IntoAny;

use crate::words;

/// The length of the longest bar, in units of the drawing.
const LENGTH: i64 = 1_000;

/// How a part of a bar looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// As it should be.
    Good,
    /// Not as it should be: dots.
    Bad,
}

impl Fill {
    /// The pattern belongs to its list: two lists of a page have patterns of their own.
    fn attribute(self, id: &str) -> String {
        match self {
            Self::Good => r#"class="bar-allowed""#.to_owned(),
            Self::Bad => format!(r#"fill="url(#{id}-bad)""#),
        }
    }
}

/// What the parts of each bar mean, from the left.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// In words, to follow a number and a noun.
    pub word: &'static str,
    /// How it looks.
    pub fill: Fill,
}

/// A row.
#[derive(Debug, Clone)]
pub struct Bar {
    /// What it is of.
    pub label: String,
    /// The page behind it.
    pub href: Option<String>,
    /// How much there is of each part.
    pub parts: Vec<i64>,
}

impl Bar {
    fn sum(&self) -> i64 {
        self.parts.iter().sum()
    }

    /// Beginning, length and part of each piece.
    fn pieces(&self, most: i64) -> Vec<(i64, i64, usize)> {
        let mut pieces = Vec::new();
        let mut begin = 0;
        for (part, value) in self.parts.iter().enumerate() {
            if *value > 0 {
                // What is not nothing is always seen.
                let length = (value * LENGTH / most.max(1)).max(4);
                pieces.push((begin, length, part));
                begin += length;
            }
        }
        pieces
    }
}

/// Bars in the order given.
#[component]
pub fn BarList(
    /// Unique on the page.
    id: &'static str,
    /// What the list shows.
    title: &'static str,
    /// What is counted, in the singular.
    unit: &'static str,
    /// What the rows are.
    head: &'static str,
    /// What the parts of each bar mean.
    parts: Vec<Part>,
    /// The rows.
    bars: Vec<Bar>,
) -> impl IntoView {
    let most = bars.iter().map(Bar::sum).max().unwrap_or(0);
    let finding = finding(title, unit, &parts, &bars);
    let (title_id, desc_id) = (format!("{id}-title"), format!("{id}-desc"));
    // One drawing says what all of it shows; those of the rows are its illustration.
    let legend = parts
        .iter()
        .enumerate()
        .map(|(at, part)| {
            let swatch = format!(
                r#"{}<rect width="12" height="12" {}/>"#,
                patterns(&format!("{id}-l{at}")),
                part.fill.attribute(&format!("{id}-l{at}"))
            );
            let total: i64 = bars.iter().filter_map(|bar| bar.parts.get(at)).sum();
            view! {
                <li>
                    <svg viewBox="0 0 12 12" aria-hidden="true" inner_html=swatch></svg>
                    {format!("{} {}", words::count(total, unit), part.word)}
                </li>
            }
        })
        .collect_view();
    let named = format!(
        r#"<title id="{title_id}">{}</title><desc id="{desc_id}">{}</desc>"#,
        words::escaped(title),
        words::escaped(&finding)
    );
    let rows = bars
        .iter()
        .enumerate()
        .map(|(row, bar)| {
            let pattern = format!("{id}-{row}");
            let mut drawing = patterns(&pattern);
            if row == 0 {
                drawing.insert_str(0, &named);
            }
            for (x, length, part) in bar.pieces(most) {
                let fill = parts.get(part).map(|part| part.fill.attribute(&pattern)).unwrap_or_default();
                let _ = write!(drawing, r#"<rect x="{x}" width="{length}" height="12" {fill}/>"#);
            }
            let label = match &bar.href {
                Some(href) => view! { <a href=href.clone()>{bar.label.clone()}</a> }.into_any(),
                None => bar.label.clone().into_any(),
            };
            // The first drawing carries title and description of all; its neighbours say nothing of their own.
            let first = row == 0;
            view! {
                <li>
                    <span class="what">{label}</span>
                    <svg
                        viewBox=format!("0 0 {LENGTH} 12")
                        preserveAspectRatio="none"
                        role=first.then_some("img")
                        aria-hidden=(!first).then_some("true")
                        aria-labelledby=first.then(|| title_id.clone())
                        aria-describedby=first.then(|| desc_id.clone())
                        inner_html=drawing
                    ></svg>
                    <span class="num">{words::number(bar.sum())}</span>
                </li>
            }
        })
        .collect_view();
    view! {
        <figure class="chart bars">
            <ul class="rows">{rows}</ul>
            <figcaption>
                <p>{finding}</p>
                {(parts.len() > 1).then(|| view! { <ul class="legend">{legend}</ul> })}
                <details class="more">
                    <summary>"Show as table"</summary>
                    {table(title, head, &parts, &bars)}
                </details>
            </figcaption>
        </figure>
    }
    .into_any()
}

fn patterns(id: &str) -> String {
    format!(
        r#"<defs><pattern id="{id}-bad" width="6" height="6" patternUnits="userSpaceOnUse"><rect width="6" height="6" class="ink-bad"/><circle cx="3" cy="3" r="1.2" class="ink-hole"/></pattern></defs>"#
    )
}

/// The list in a sentence.
fn finding(title: &str, unit: &str, parts: &[Part], bars: &[Bar]) -> String {
    let total: i64 = bars.iter().map(Bar::sum).sum();
    let Some(longest) = bars.iter().rev().max_by_key(|bar| bar.sum()).filter(|_| total > 0) else {
        return format!("{title}: none.");
    };
    let mut text = format!(
        "{title}: {}, most of them in “{}” ({}).",
        words::count(total, unit),
        longest.label,
        words::number(longest.sum())
    );
    for (at, part) in parts.iter().enumerate().skip(1) {
        let of: i64 = bars.iter().filter_map(|bar| bar.parts.get(at)).sum();
        let _ = write!(text, " {} {}.", words::number(of), part.word);
    }
    text
}

fn table(title: &'static str, head: &'static str, parts: &[Part], bars: &[Bar]) -> AnyView {
    let heads = parts
        .iter()
        .map(|part| {
            view! {
                <th scope="col" class="num">
                    {words::capital(part.word)}
                </th>
            }
        })
        .collect_view();
    let rows = bars
        .iter()
        .map(|bar| {
            let numbers = bar
                .parts
                .iter()
                .map(|value| view! { <td class="num">{words::number(*value)}</td> })
                .collect_view();
            view! {
                <tr>
                    <th scope="row">{bar.label.clone()}</th>
                    {numbers}
                </tr>
            }
        })
        .collect_view();
    view! {
        <div class="tw" tabindex="0" role="region" aria-label=title>
            <table class="t">
                <thead>
                    <tr>
                        <th scope="col">{head}</th>
                        {heads}
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

    fn bar(label: &str, parts: &[i64]) -> Bar {
        Bar { label: label.to_owned(), href: None, parts: parts.to_vec() }
    }

    const PARTS: [Part; 2] =
        [Part { word: "inside", fill: Fill::Good }, Part { word: "beyond", fill: Fill::Bad }];

    #[test]
    fn the_longest_bar_fills_its_row_and_little_is_seen() {
        assert_eq!(bar("a", &[30, 10]).pieces(40), [(0, 750, 0), (750, 250, 1)]);
        assert_eq!(bar("b", &[0, 1]).pieces(100_000), [(0, 4, 1)]);
        assert!(bar("c", &[0, 0]).pieces(0).is_empty());
    }

    #[test]
    fn the_finding_names_the_longest_and_what_is_beyond() {
        let bars = [bar("young", &[3, 0]), bar("old", &[1, 4])];
        assert_eq!(
            finding("Keys by age", "key", &PARTS, &bars),
            "Keys by age: 8 keys, most of them in “old” (5). 4 beyond."
        );
        assert_eq!(finding("Keys by age", "key", &PARTS, &[bar("young", &[0, 0])]), "Keys by age: none.");
    }

    #[test]
    fn a_list_reads_without_its_drawing_and_has_no_inline_style() {
        let bars = vec![bar("young", &[3, 0]), bar("old & <gone>", &[1, 4])];
        let html = view! {
            <BarList id="x" title="Keys by age" unit="key" head="Age" parts=PARTS.to_vec() bars />
        }
        .to_html();
        assert!(!html.contains("style="), "{html}");
        for text in [
            "<title id=\"x-title\">",
            "<desc id=\"x-desc\">",
            "aria-describedby=\"x-desc\"",
            "<th scope=\"row\">young",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(!html.contains("<gone>"), "{html}");
    }
}
