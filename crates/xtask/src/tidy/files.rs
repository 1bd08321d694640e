//! Laws that are read from files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::out::{During, Outcome};
use crate::site::files_under;

/// Folders with Rust of ours.
const SOURCES: [&str; 5] = ["app", "server", "frontend", "crates", "fuzz"];
/// The longest a file may be.
const MAX_LINES: usize = 600;

/// Every `.rs` says in its first line what it is for.
pub fn headers(root: &Path) -> Outcome<Vec<String>> {
    let bad = |_: &Path, text: &str| (!text.starts_with("//!")).then(|| "begins without `//!`".to_owned());
    each_rust_file(root, bad)
}

/// A file stays readable.
pub fn lengths(root: &Path) -> Outcome<Vec<String>> {
    let bad = |_: &Path, text: &str| {
        let lines = text.lines().count();
        (lines > MAX_LINES).then(|| format!("has {lines} lines"))
    };
    each_rust_file(root, bad)
}

/// The map names all that is on the ground.
pub fn map(root: &Path) -> Outcome<Vec<String>> {
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    let mut names = folders(root)?;
    names.extend(folders(&root.join("crates"))?);
    let on_map = |name: &str| map.contains(&format!("`{name}`")) || map.contains(&format!("{name}/"));
    Ok(names
        .iter()
        .filter(|name| !on_map(name))
        .map(|name| format!("{name} is not in ARCHITECTURE.md"))
        .collect())
}

/// `migrations/sqlite` and `migrations/postgres` hold files of the same names.
pub fn migrations(root: &Path) -> Outcome<Vec<String>> {
    let names = |folder: &str| -> Outcome<BTreeSet<String>> {
        let files = files_under(&root.join("migrations").join(folder))?;
        Ok(files.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    };
    let (sqlite, postgres) = (names("sqlite")?, names("postgres")?);
    let mut faults: Vec<String> =
        sqlite.difference(&postgres).map(|name| format!("{name} is missing in postgres")).collect();
    faults.extend(postgres.difference(&sqlite).map(|name| format!("{name} is missing in sqlite")));
    if sqlite.is_empty() && postgres.is_empty() {
        faults.push("there are no migrations".into());
    }
    Ok(faults)
}

/// Pages and their parts erase a view by writing it down: what Leptos erases is compiled three times as large.
pub fn views(root: &Path) -> Outcome<Vec<String>> {
    let mut faults = Vec::new();
    for (path, text) in rust_files(root)? {
        let place = shown(root, &path);
        let is_page = place.starts_with("app/src/pages/") || place.starts_with("app/src/ui/");
        let imports = ["still::IntoAny", "still::{IntoAny"].iter().any(|path| text.contains(path));
        if is_page && text.contains(".into_any()") && !imports {
            faults.push(format!("{place}: into_any() without `use crate::ui::still::IntoAny`"));
        }
    }
    Ok(faults)
}

/// What must not be printed, copied or sent cannot be.
pub fn secrets(root: &Path) -> Outcome<Vec<String>> {
    const TRAITS: [&str; 4] = ["Debug", "Clone", "Serialize", "Display"];
    let has_word =
        |text: &str, word: &str| text.split(|c: char| !c.is_alphanumeric()).any(|found| found == word);
    let mut found = false;
    let mut faults = Vec::new();
    for (path, text) in rust_files(root)? {
        let mut derives = String::new();
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[derive(") {
                derives.push_str(line);
            } else if line.starts_with("pub struct Secret")
                && !line["pub struct Secret".len()..].starts_with(char::is_alphanumeric)
            {
                found = true;
                let named = TRAITS.iter().filter(|name| has_word(&derives, name));
                faults.extend(named.map(|name| format!("{}: Secret derives {name}", shown(root, &path))));
            } else if line.starts_with("impl") && line.contains(" for Secret") && has_word(line, "Secret") {
                let named = TRAITS.iter().filter(|name| has_word(line, name));
                faults.extend(named.map(|name| format!("{}: `{line}` ({name})", shown(root, &path))));
            }
            if !line.starts_with('#') && !line.starts_with("//") {
                derives.clear();
            }
        }
    }
    if !found {
        faults.push("there is no `pub struct Secret`: this law looks at nothing".into());
    }
    Ok(faults)
}

/// A crate without `[lints] workspace = true` is a crate without laws.
pub fn lints(root: &Path) -> Outcome<Vec<String>> {
    let mut faults = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["app", "server", "frontend"].iter().map(|name| root.join(name)).collect();
    folders.extend(self::folders(&root.join("crates"))?.iter().map(|name| root.join("crates").join(name)));
    for path in folders.iter().map(|folder| folder.join("Cargo.toml")) {
        let text = std::fs::read_to_string(&path).during(format_args!("read {}", path.display()))?;
        if !text.contains("[lints]\nworkspace = true") {
            faults.push(format!("{} has no `[lints]` with `workspace = true`", shown(root, &path)));
        }
    }
    Ok(faults)
}

fn each_rust_file(root: &Path, bad: impl Fn(&Path, &str) -> Option<String>) -> Outcome<Vec<String>> {
    let files = rust_files(root)?;
    let faults =
        files.iter().filter_map(|(path, text)| Some(format!("{} {}", shown(root, path), bad(path, text)?)));
    Ok(faults.collect())
}

fn rust_files(root: &Path) -> Outcome<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for folder in SOURCES.iter().map(|folder| root.join(folder)).filter(|folder| folder.is_dir()) {
        for path in files_under(&folder)? {
            // The fuzz targets are a workspace of their own, with a `target` of its own.
            let is_ours = path.components().all(|part| part.as_os_str() != "target");
            if is_ours && path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).during(format_args!("read {}", path.display()))?;
                files.push((path, text));
            }
        }
    }
    Ok(files)
}

/// Names of the folders in a folder, without hidden ones and build output.
fn folders(folder: &Path) -> Outcome<Vec<String>> {
    let entries = std::fs::read_dir(folder).during(format_args!("read {}", folder.display()))?.flatten();
    let names = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> =
        names.filter(|name| !name.starts_with('.') && name != "target" && name != "node_modules").collect();
    names.sort();
    Ok(names)
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with these files.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn check(law: fn(&Path) -> Outcome<Vec<String>>, files: &[(&str, &str)], expect: &[&str]) {
        assert_eq!(law(tree(files).path()).unwrap(), expect);
    }

    #[test]
    fn a_file_without_a_header_is_refused() {
        check(headers, &[("app/src/lib.rs", "//! What people see.\n")], &[]);
        check(
            headers,
            &[("crates/a/src/b.rs", "fn main() {}\n")],
            &["crates/a/src/b.rs begins without `//!`"],
        );
    }

    #[test]
    fn a_file_of_601_lines_is_refused() {
        let lines = |count: usize| "//!\n".repeat(count);
        check(lengths, &[("server/src/a.rs", &lines(600))], &[]);
        check(lengths, &[("server/src/a.rs", &lines(601))], &["server/src/a.rs has 601 lines"]);
    }

    #[test]
    fn a_crate_that_is_not_on_the_map_is_refused() {
        let map = ("ARCHITECTURE.md", "`domain` and crates/ and style/");
        check(map_of, &[map, ("crates/domain/Cargo.toml", ""), ("style/index.css", "")], &[]);
        let unknown = [map, ("crates/other/Cargo.toml", ""), ("extra/file", "")];
        check(map_of, &unknown, &["extra is not in ARCHITECTURE.md", "other is not in ARCHITECTURE.md"]);
    }

    fn map_of(root: &Path) -> Outcome<Vec<String>> {
        map(root)
    }

    #[test]
    fn a_migration_on_one_side_only_is_refused() {
        let one = ("migrations/sqlite/0001_a.sql", "");
        check(migrations, &[one, ("migrations/postgres/0001_a.sql", "")], &[]);
        let faults = ["0001_a.sql is missing in postgres", "0001_b.sql is missing in sqlite"];
        check(migrations, &[one, ("migrations/postgres/0001_b.sql", "")], &faults);
    }

    #[test]
    fn a_page_whose_views_are_erased_by_leptos_is_refused() {
        let page = "app/src/pages/a.rs";
        check(views, &[(page, "//!\nuse crate::ui::still::IntoAny;\nfn a() { b.into_any() }\n")], &[]);
        check(views, &[("app/src/islands/a.rs", "//!\nfn a() { b.into_any() }\n")], &[]);
        let fault = "app/src/pages/a.rs: into_any() without `use crate::ui::still::IntoAny`";
        check(views, &[(page, "//!\nfn a() { b.into_any() }\n")], &[fault]);
    }

    #[test]
    fn a_secret_that_can_be_printed_is_refused() {
        let file = "crates/domain/src/secret.rs";
        check(secrets, &[(file, "//!\n/// Text.\n#[derive(Zeroize)]\npub struct Secret(String);\n")], &[]);
        let derived = "//!\n#[derive(Debug)]\n#[derive(PartialEq, Clone)]\npub struct Secret(String);\n";
        let faults = [
            "crates/domain/src/secret.rs: Secret derives Debug",
            "crates/domain/src/secret.rs: Secret derives Clone",
        ];
        check(secrets, &[(file, derived)], &faults);
        let written = "//!\npub struct Secret(String);\nimpl std::fmt::Display for Secret {}\n";
        check(
            secrets,
            &[(file, written)],
            &["crates/domain/src/secret.rs: `impl std::fmt::Display for Secret {}` (Display)"],
        );
        check(secrets, &[(file, "//!\n")], &["there is no `pub struct Secret`: this law looks at nothing"]);
    }

    #[test]
    fn a_crate_without_the_lints_is_refused() {
        let good = "[package]\n\n[lints]\nworkspace = true\n";
        let rest = [("app/Cargo.toml", good), ("server/Cargo.toml", good), ("frontend/Cargo.toml", good)];
        check(lints, &[rest.as_slice(), &[("crates/a/Cargo.toml", good)]].concat(), &[]);
        let faults = ["crates/a/Cargo.toml has no `[lints]` with `workspace = true`"];
        check(lints, &[rest.as_slice(), &[("crates/a/Cargo.toml", "[package]\n")]].concat(), &faults);
    }
}
