//! The evidence pack as a PDF (ISO 32000-1): text in tables, in the standard fonts that every reader has.
//!
//! Only what is needed is written: pages, two fonts, text and lines, uncompressed. The standard fonts know the
//! characters of Windows-1252; any other character stands as its code point, `[U+65E5]`, so that nothing is left
//! out. The file is not tagged: the page of the pack is the accessible form of the same text.

use std::fmt::Write as _;

use super::{
    Counted,
    evidence::{NO_RECORD, Pack},
};
use crate::exports::rfc3339;

/// A4 in points.
const WIDTH: i64 = 595;
const HEIGHT: i64 = 842;
const MARGIN: i64 = 48;

/// Widths of the characters from space to tilde in Helvetica, in thousandths of the size (Adobe Core 14 metrics).
const HELVETICA: [i64; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278,
    500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469,
    556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500,
    278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

/// The widest character: no text is wider than what is reckoned for it.
const WIDEST: i64 = 1015;

/// The byte of a character in Windows-1252.
fn byte(character: char) -> Option<u8> {
    let code = u32::from(character);
    match code {
        0x20..=0x7E | 0xA0..=0xFF => u8::try_from(code).ok(),
        0x20AC => Some(0x80),
        0x2026 => Some(0x85),
        0x2018 => Some(0x91),
        0x2019 => Some(0x92),
        0x201C => Some(0x93),
        0x201D => Some(0x94),
        0x2022 => Some(0x95),
        0x2013 => Some(0x96),
        0x2014 => Some(0x97),
        _ => None,
    }
}

/// A text with every character that the fonts do not know as its code point.
fn known(text: &str) -> String {
    let mut told = String::new();
    for character in text.chars() {
        if byte(character).is_some() {
            told.push(character);
        } else if character.is_whitespace() {
            told.push(' ');
        } else {
            let _ = write!(told, "[U+{:04X}]", u32::from(character));
        }
    }
    told
}

fn width(text: &str, size: i64, is_bold: bool) -> i64 {
    let one = |character: char| {
        let place = usize::try_from(u32::from(character).wrapping_sub(0x20)).unwrap_or(usize::MAX);
        HELVETICA.get(place).copied().unwrap_or(WIDEST)
    };
    let sum: i64 = text.chars().map(one).sum();
    // Helvetica-Bold is at most a tenth wider.
    sum * size / 1000 * if is_bold { 11 } else { 10 } / 10
}

/// A text in lines that fit; what has no blank is cut where it must be.
fn wrapped(text: &str, room: i64, size: i64, is_bold: bool) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut rest = word.to_owned();
        while !rest.is_empty() {
            let Some(line) = lines.last_mut() else { return lines };
            let joined = if line.is_empty() { rest.clone() } else { format!("{line} {rest}") };
            if width(&joined, size, is_bold) <= room {
                *line = joined;
                rest.clear();
            } else if !line.is_empty() {
                lines.push(String::new());
            } else {
                let mut cut = String::new();
                let mut chars = rest.chars();
                for character in chars.by_ref() {
                    cut.push(character);
                    let next = chars_after(&rest, &cut);
                    if width(&format!("{cut}{}", next.unwrap_or('W')), size, is_bold) > room {
                        break;
                    }
                }
                rest = rest.get(cut.len()..).unwrap_or_default().to_owned();
                *line = cut;
                if !rest.is_empty() {
                    lines.push(String::new());
                }
            }
        }
    }
    lines
}

fn chars_after(whole: &str, begun: &str) -> Option<char> {
    whole.get(begun.len()..)?.chars().next()
}

/// Pages while they are written.
struct Paper {
    pages: Vec<String>,
    y: i64,
}

impl Paper {
    fn new() -> Self {
        Self { pages: vec![String::new()], y: HEIGHT - MARGIN }
    }

    fn put(&mut self, x: i64, text: &str, size: i64, is_bold: bool) {
        let font = if is_bold { "B" } else { "R" };
        let mut shown = String::new();
        for byte in text.chars().filter_map(byte) {
            // Everything but plain letters as an octal escape: the file stays ASCII.
            match byte {
                b'(' | b')' | b'\\' => {
                    let _ = write!(shown, "\\{}", char::from(byte));
                }
                0x20..=0x7E => shown.push(char::from(byte)),
                _ => {
                    let _ = write!(shown, "\\{byte:03o}");
                }
            }
        }
        let y = self.y;
        if let Some(page) = self.pages.last_mut() {
            let _ = writeln!(page, "BT /{font} {size} Tf {x} {y} Td ({shown}) Tj ET");
        }
    }

    fn room(&mut self, needed: i64) {
        if self.y - needed < MARGIN + 24 {
            self.pages.push(String::new());
            self.y = HEIGHT - MARGIN;
        }
    }

    fn line(&mut self) {
        let y = self.y;
        if let Some(page) = self.pages.last_mut() {
            let _ = writeln!(page, "0.7 G 0.5 w {MARGIN} {y} m {} {y} l S", WIDTH - MARGIN);
        }
    }

    fn text(&mut self, text: &str, size: i64, is_bold: bool) {
        let lines = wrapped(&known(text), WIDTH - 2 * MARGIN, size, is_bold);
        for line in lines {
            self.room(size + 4);
            self.y -= size + 4;
            self.put(MARGIN, &line, size, is_bold);
        }
    }

    fn heading(&mut self, text: &str) {
        // Never alone at the foot of a page.
        self.room(72);
        self.y -= 12;
        self.text(text, 13, true);
        self.y -= 4;
    }

    /// A row of cells in columns that begin at these places.
    fn row(&mut self, columns: &[i64], cells: &[&str], is_head: bool) {
        let size = 9;
        let ends = columns.iter().skip(1).copied().chain([WIDTH - MARGIN]);
        let told: Vec<Vec<String>> = columns
            .iter()
            .zip(ends)
            .zip(cells)
            .map(|((from, to), cell)| wrapped(&known(cell), to - from - 8, size, is_head))
            .collect();
        let most = told.iter().map(Vec::len).max().unwrap_or(1);
        for number in 0..most {
            self.room(12);
            self.y -= 12;
            for (from, lines) in columns.iter().zip(&told) {
                if let Some(line) = lines.get(number) {
                    self.put(*from, line, size, is_head);
                }
            }
        }
        self.y -= 4;
        self.line();
    }

    /// The file.
    fn written(mut self, title: &str, footer: &str) -> Vec<u8> {
        let count = self.pages.len();
        let pages = std::mem::take(&mut self.pages);
        let mut objects = vec![
            "<< /Type /Catalog /Pages 2 0 R /Lang (en) /ViewerPreferences << /DisplayDocTitle true >> >>"
                .to_owned(),
            format!(
                "<< /Type /Pages /Count {count} /Kids [{}] >>",
                (0..count).map(|number| format!("{} 0 R", 6 + 2 * number)).collect::<Vec<_>>().join(" ")
            ),
            font("Helvetica"),
            font("Helvetica-Bold"),
            format!("<< /Title ({}) /Producer (Keyward) >>", title.replace(['(', ')', '\\'], " ")),
        ];
        for (number, page) in pages.into_iter().enumerate() {
            self.pages = vec![page];
            self.y = MARGIN - 12;
            self.put(MARGIN, footer, 7, false);
            self.put(WIDTH - MARGIN - 60, &format!("Page {} of {count}", number + 1), 7, false);
            let content = self.pages.pop().unwrap_or_default();
            objects.push(format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Resources << /Font << /R 3 0 R /B 4 0 R >> >> /Contents {} 0 R >>",
                7 + 2 * number
            ));
            objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
        }
        let mut file = String::from("%PDF-1.7\n");
        let mut places = Vec::new();
        for (number, object) in objects.iter().enumerate() {
            places.push(file.len());
            let _ = write!(file, "{} 0 obj\n{object}\nendobj\n", number + 1);
        }
        let start = file.len();
        let _ = write!(file, "xref\n0 {}\n0000000000 65535 f \n", places.len() + 1);
        for place in &places {
            let _ = writeln!(file, "{place:010} 00000 n ");
        }
        let size = places.len() + 1;
        let _ =
            write!(file, "trailer\n<< /Size {size} /Root 1 0 R /Info 5 0 R >>\nstartxref\n{start}\n%%EOF\n");
        file.into_bytes()
    }
}

fn font(name: &str) -> String {
    format!("<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>")
}

/// The pack as a PDF; `sha256` is that of its JSON, which stands at the foot of every page.
pub fn write(pack: &Pack, sha256: &str) -> Vec<u8> {
    let mut paper = Paper::new();
    let label = &pack.period.label;
    paper.text(&format!("Evidence for {label}"), 20, true);
    paper.y -= 4;
    paper.text(&pack.verdict, 12, true);
    paper.text(
        &format!("{}. Made {} by {}.", pack.installation, rfc3339(pack.made_ms), pack.made_by),
        9,
        false,
    );
    paper.text(
        "Numbers of a state are those of that moment; numbers of a period are those of the period. Nothing here says that a control is met: it says what the records show.",
        9,
        false,
    );
    let columns = [MARGIN, 330];
    for control in &pack.controls {
        paper.heading(&format!("{} {}: {}", control.framework, control.id, control.title));
        for line in &control.lines {
            paper.row(&columns, &[&line.what, line.said()], false);
        }
    }
    paper.heading("Inside policy by month");
    for point in &pack.trend {
        let Counted { inside, of, .. } = point.counted;
        let value = if of == 0 { NO_RECORD.to_owned() } else { format!("{inside} of {of}") };
        paper.row(&columns, &[&point.month, &value], false);
    }
    paper.heading("Federations");
    let columns = [MARGIN, 190, 270, 380, 440, 495];
    paper.row(&columns, &["Federation", "Status", "Owners", "Limit, days", "Keys", "Findings"], true);
    for one in &pack.federations {
        paper.row(
            &columns,
            &[
                &one.name,
                one.status.label(),
                &one.owners.join(", "),
                &one.max_age_days.to_string(),
                &one.keys.len().to_string(),
                &one.findings.to_string(),
            ],
            false,
        );
    }
    let exceptions =
        pack.federations.iter().flat_map(|one| one.exceptions.iter().map(move |kept| (one, kept)));
    paper.heading("Open exceptions");
    let mut is_empty = true;
    for (one, kept) in exceptions {
        is_empty = false;
        let until = format!("{}, until {}", kept.owner, rfc3339(kept.ends_ms));
        paper.row(&[MARGIN, 190, 380], &[&one.name, &until, &kept.reason], false);
    }
    if is_empty {
        paper.text("None.", 9, false);
    }
    paper.heading("Signed statements");
    for signed in &pack.attestations {
        let when = format!("{} by {}", rfc3339(signed.signed_ms), signed.signed_by);
        paper.row(&[MARGIN, 260], &[&when, &signed.sha256], false);
    }
    if pack.attestations.is_empty() {
        paper.text(NO_RECORD, 9, false);
    }
    paper.heading("Signed checkpoint of the audit log");
    for line in pack.checkpoint.as_deref().unwrap_or(NO_RECORD).lines() {
        paper.text(line, 8, false);
    }
    paper.text(&format!("Verified with {}", pack.checkpoint_key), 8, false);
    let footer = format!("{label}, SHA-256 of the JSON form: {sha256}");
    paper.written(&format!("Evidence for {label}"), &footer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compliance::{Period, evidence::Facts};

    fn pack(name: &str) -> Pack {
        let facts = Facts::default();
        Pack {
            form: 1,
            installation: "https://keyward.test".to_owned(),
            period: Period::parse("2026-Q4").unwrap(),
            made_ms: 0,
            made_by: name.to_owned(),
            verdict: facts.counted.verdict(),
            controls: facts.controls(),
            facts,
            trend: Vec::new(),
            federations: Vec::new(),
            attestations: Vec::new(),
            checkpoint: None,
            checkpoint_key: "key".to_owned(),
        }
    }

    #[test]
    fn the_file_says_where_each_of_its_objects_stands() {
        let file = String::from_utf8(write(&pack("Müller (a\\b)"), "abc")).unwrap();
        assert!(file.is_ascii() && file.starts_with("%PDF-1.7\n") && file.ends_with("%%EOF\n"));
        let start: usize =
            file.rsplit("startxref\n").next().unwrap().lines().next().unwrap().parse().unwrap();
        let table: Vec<&str> = file[start..].lines().collect();
        assert_eq!(table[0], "xref");
        let count: usize = table[1].strip_prefix("0 ").unwrap().parse().unwrap();
        for number in 1..count {
            let place: usize = table[2 + number][..10].parse().unwrap();
            assert!(file[place..].starts_with(&format!("{number} 0 obj\n")), "object {number}");
            assert_eq!(table[2 + number].len(), 19, "20 bytes with the end of the line");
        }
        for (begin, end) in file
            .match_indices("stream\n")
            .zip(file.match_indices("\nendstream"))
            .map(|((begin, word), (end, _))| (begin + word.len(), end))
            .take(1)
        {
            let length: usize =
                file[..begin].rsplit("/Length ").next().unwrap().split(' ').next().unwrap().parse().unwrap();
            assert_eq!(end - begin, length);
        }
        assert!(file.contains("M\\374ller \\(a\\\\b\\)"), "names are written, and escaped");
        assert!(file.contains("SHA-256 of the JSON form: abc") && file.contains("No record shows this"));
    }

    #[test]
    fn a_character_that_the_fonts_do_not_know_is_named() {
        assert_eq!(known("日本 a\u{2019}b\nc"), "[U+65E5][U+672C] a\u{2019}b c");
    }

    #[test]
    fn no_line_is_wider_than_its_room() {
        for text in
            ["a b c", &"word ".repeat(60), &"W".repeat(200), "", "  two  blanks ", &"[U+65E5]".repeat(30)]
        {
            for room in [60, 200, 499] {
                let lines = wrapped(text, room, 9, false);
                assert!(lines.iter().all(|line| width(line, 9, false) <= room), "{lines:?} in {room}");
                let letters = |text: &str| text.replace(' ', "");
                assert_eq!(letters(&lines.concat()), letters(text), "nothing is left out");
            }
        }
    }
}
