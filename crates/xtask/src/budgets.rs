//! How large things may be. A release build above a budget fails.

use std::path::Path;

use crate::out::{During, Failure, Outcome, say};

const KIB: u64 = 1024;

struct Line {
    what: &'static str,
    size: u64,
    limit: u64,
}

/// Prints what was built beside its budget.
///
/// # Errors
/// When something is larger than its budget.
pub fn check(site: &Path, binary: &Path) -> Outcome {
    let lines = measure(site, binary)?;
    say(format_args!("  {:<22}{:>12}{:>12}", "budget", "size", "limit"));
    for line in &lines {
        let mark = if line.size > line.limit { "  over" } else { "" };
        say(format_args!("  {:<22}{:>12}{:>12}{mark}", line.what, kib(line.size), kib(line.limit)));
    }
    let over: Vec<&str> = lines.iter().filter(|line| line.size > line.limit).map(|line| line.what).collect();
    if over.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("over budget: {}", over.join(", ")))
        .cure("find what grew (`twiggy top`, `cargo bloat`), or change the budget in crates/xtask/src/budgets.rs and say why"))
}

fn measure(site: &Path, binary: &Path) -> Outcome<Vec<Line>> {
    let bytes = |path: &Path| {
        std::fs::metadata(path).map(|m| m.len()).during(format_args!("measure {}", path.display()))
    };
    let fonts = std::fs::read_dir(site).during(format_args!("read {}", site.display()))?.flatten();
    let fonts = fonts.filter(|entry| entry.path().extension().is_some_and(|end| end == "woff2"));
    let fonts = fonts.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum();
    Ok(vec![
        Line { what: "wasm, brotli", size: bytes(&site.join("keyward.wasm.br"))?, limit: 120 * KIB },
        Line { what: "JavaScript, brotli", size: bytes(&site.join("keyward.js.br"))?, limit: 10 * KIB },
        Line { what: "CSS, brotli", size: bytes(&site.join("keyward.css.br"))?, limit: 8 * KIB },
        Line { what: "fonts", size: fonts, limit: 55 * KIB },
        Line { what: "binary", size: bytes(binary)?, limit: 35 * KIB * KIB },
    ])
}

fn kib(bytes: u64) -> String {
    let tenths = bytes * 10 / KIB;
    format!("{}.{} KiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(wasm: u64) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let sized = |name: &str, size: u64| {
            std::fs::File::create(dir.path().join(name)).unwrap().set_len(size).unwrap();
        };
        sized("keyward.wasm.br", wasm);
        for name in ["keyward.js.br", "keyward.css.br", "geist.woff2", "keyward"] {
            sized(name, KIB);
        }
        dir
    }

    #[test]
    fn inside_the_budgets_passes() {
        let dir = site(120 * KIB);
        check(dir.path(), &dir.path().join("keyward")).unwrap();
    }

    #[test]
    fn one_byte_over_fails_and_is_named() {
        let dir = site(120 * KIB + 1);
        let failure = check(dir.path(), &dir.path().join("keyward")).unwrap_err().to_string();
        assert!(failure.contains("over budget: wasm, brotli"), "{failure}");
    }
}
