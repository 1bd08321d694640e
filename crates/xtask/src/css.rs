//! The style sheet: `style/index.css` with its `@import`s put in their places, minified.

use std::path::Path;

use lightningcss::stylesheet::{MinifyOptions, ParserOptions, PrinterOptions, StyleSheet};

use crate::out::{During, Failure, Outcome};

/// One minified sheet from the sheet at `path` and all that it imports.
pub fn bundle(path: &Path) -> Outcome<String> {
    minify(&inline(path, 0)?, path)
}

/// Replaces `@import "file.css";` and `@import "file.css" layer(name);` by what they name.
fn inline(path: &Path, depth: u8) -> Outcome<String> {
    if depth > 8 {
        return Err(Failure::new(format!("{} is imported in a circle", path.display())));
    }
    let text = std::fs::read_to_string(path).during(format_args!("read {}", path.display()))?;
    let mut sheet = String::with_capacity(text.len());
    for line in text.lines() {
        let Some(import) = line.trim().strip_prefix("@import ") else {
            sheet.push_str(line);
            sheet.push('\n');
            continue;
        };
        let (name, rest) = import_parts(import).ok_or_else(|| {
            Failure::new(format!("{}: cannot read `{}`", path.display(), line.trim()))
                .cure("write @import \"file.css\"; or @import \"file.css\" layer(name); on a line of its own")
        })?;
        let inner = inline(&path.with_file_name(name), depth + 1)?;
        match rest.strip_prefix("layer(").and_then(|rest| rest.strip_suffix(')')) {
            Some(layer) => sheet.extend(["@layer ", layer, " {\n", &inner, "}\n"]),
            None if rest.is_empty() => sheet.push_str(&inner),
            None => return Err(Failure::new(format!("{}: cannot import with `{rest}`", path.display()))),
        }
    }
    Ok(sheet)
}

/// `"file.css" layer(x);` or `url("file.css");` → the file's name and what follows it.
fn import_parts(import: &str) -> Option<(&str, &str)> {
    let import = import.strip_suffix(';')?.trim();
    let (quoted, rest) = match import.strip_prefix("url(") {
        Some(url) => url.split_once(')')?,
        None => import.split_at(import[1..].find(['"', '\''])? + 2),
    };
    Some((quoted.trim_matches(['"', '\'', ' ']), rest.trim()))
}

fn minify(text: &str, path: &Path) -> Outcome<String> {
    let options = ParserOptions { filename: path.display().to_string(), ..ParserOptions::default() };
    let mut sheet = StyleSheet::parse(text, options).during("parse the style sheet")?;
    sheet.minify(MinifyOptions::default()).during("minify the style sheet")?;
    let printed = sheet.to_css(PrinterOptions { minify: true, ..PrinterOptions::default() });
    Ok(printed.during("print the style sheet")?.code)
}

/// The files that a sheet asks for by a relative address.
pub fn asked_files(sheet: &str) -> Vec<&str> {
    let addresses = sheet.split("url(").skip(1).filter_map(|rest| rest.split(')').next());
    let names = addresses.map(|address| address.trim_matches(['"', '\'', ' ']));
    let relative =
        names.filter(|name| !name.starts_with("data:") && !name.starts_with('#') && !name.is_empty());
    relative.map(|name| name.split(['#', '?']).next().unwrap_or(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_stand_where_they_were_named_and_keep_their_layer() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("index.css"),
            "@layer a, b;\n@import \"one.css\" layer(a);\n@import url('two.css');\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("one.css"), "p { color: #ff0000 }\n").unwrap();
        std::fs::write(dir.path().join("two.css"), "@layer b { p { color: blue } }\n").unwrap();
        let sheet = bundle(&dir.path().join("index.css")).unwrap();
        assert_eq!(sheet, "@layer a{p{color:red}}@layer b{p{color:#00f}}");
    }

    #[test]
    fn an_import_with_a_condition_is_refused_with_its_text() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("index.css"), "@import \"one.css\" print;\n").unwrap();
        std::fs::write(dir.path().join("one.css"), "").unwrap();
        let failure = bundle(&dir.path().join("index.css")).unwrap_err().to_string();
        assert!(failure.contains("cannot import with `print`"), "{failure}");
    }

    #[test]
    fn asked_files_are_the_relative_ones() {
        let sheet = "@font-face{src:url(geist.woff2)format(\"woff2\")}a{mask:url(\"icons.svg#key\");b:url(data:image/png;base64,AA)}";
        assert_eq!(asked_files(sheet), ["geist.woff2", "icons.svg"]);
    }
}
