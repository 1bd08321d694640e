//! What a filter of a scope says, as far as its text tells.
//!
//! The `scim` crate knows what a filter means; here it is a text that that crate has written. Such a
//! text is a conjunction of parts, and a filter with more parts leaves no more.

use std::collections::BTreeSet;

/// The parts of a filter, all of which a resource must match.
pub fn parts(filter: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(filter, &mut found);
    found
}

/// A filter that leaves what both leave.
pub fn both(one: &str, other: &str) -> String {
    let all: BTreeSet<String> = parts(one).union(&parts(other)).cloned().collect();
    let wrapped = |part: String| if split(&part, "or").len() > 1 { format!("({part})") } else { part };
    let all: Vec<String> = all.into_iter().map(wrapped).collect();
    all.join(" and ")
}

fn collect(filter: &str, found: &mut BTreeSet<String>) {
    let filter = unwrapped(filter.trim());
    // `and` binds more tightly than `or` (RFC 7644 3.4.2.2): then it is one part.
    let pieces = if split(filter, "or").len() > 1 { vec![filter] } else { split(filter, "and") };
    if let [one] = pieces.as_slice() {
        found.insert((*one).to_owned());
        return;
    }
    for piece in pieces {
        collect(piece, found);
    }
}

/// The text without parentheses around all of it.
fn unwrapped(filter: &str) -> &str {
    let mut filter = filter;
    while let Some(inner) = filter.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        let mut depth = 1_i32;
        let mut is_whole = true;
        for_each_plain(inner, |_, character| {
            match character {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                _ => {}
            }
            is_whole &= depth > 0;
        });
        if !is_whole {
            break;
        }
        filter = inner.trim();
    }
    filter
}

/// Cuts at a word that stands outside of strings, parentheses and brackets.
fn split<'t>(text: &'t str, word: &str) -> Vec<&'t str> {
    let mut cuts = Vec::new();
    let mut depth = 0_i32;
    for_each_plain(text, |at, character| {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ => {}
        }
        let is_free = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')'));
        let end = at + word.len();
        let is_word = depth == 0
            && text.get(at..end).is_some_and(|here| here.eq_ignore_ascii_case(word))
            && is_free(text.get(..at).and_then(|before| before.chars().next_back()))
            && is_free(text.get(end..).and_then(|after| after.chars().next()));
        if is_word {
            cuts.push(at);
        }
    });
    let mut pieces = Vec::with_capacity(cuts.len() + 1);
    let mut begin = 0;
    for cut in cuts {
        pieces.push(text.get(begin..cut).unwrap_or_default().trim());
        begin = cut + word.len();
    }
    pieces.push(text.get(begin..).unwrap_or_default().trim());
    pieces
}

/// Goes over the characters that are not in a string.
fn for_each_plain(text: &str, mut seen: impl FnMut(usize, char)) {
    let (mut in_string, mut is_escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if in_string => is_escaped = true,
            '"' => in_string = !in_string,
            _ if !in_string => seen(at, character),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filter: &str, expect: &[&str]) {
        let expect: BTreeSet<String> = expect.iter().map(|part| (*part).to_owned()).collect();
        assert_eq!(parts(filter), expect, "{filter}");
    }

    #[test]
    fn a_conjunction_is_its_parts_whatever_stands_in_strings() {
        check("active eq true", &["active eq true"]);
        check("active eq true and title pr", &["active eq true", "title pr"]);
        check("(active eq true AND (title pr and x eq 1))", &["active eq true", "title pr", "x eq 1"]);
        check(
            r#"title eq "a and b" and not (x eq 1 and y eq 2)"#,
            &[r#"title eq "a and b""#, "not (x eq 1 and y eq 2)"],
        );
        check(
            r#"emails[type eq "work" and primary eq true]"#,
            &[r#"emails[type eq "work" and primary eq true]"#],
        );
        check(r#"title eq "a\" and b" and z pr"#, &[r#"title eq "a\" and b""#, "z pr"]);
    }

    #[test]
    fn a_disjunction_is_one_part() {
        check("a pr or b pr and c pr", &["a pr or b pr and c pr"]);
        check("(a pr or b pr) and c pr", &["a pr or b pr", "c pr"]);
        check("(a pr) or (b pr)", &["(a pr) or (b pr)"]);
    }

    #[test]
    fn both_has_the_parts_of_each_and_is_read_back() {
        let text = both("a pr or b pr", "c pr and (a pr or b pr)");
        assert_eq!(text, "(a pr or b pr) and c pr");
        check(&text, &["a pr or b pr", "c pr"]);
    }
}
