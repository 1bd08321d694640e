//! `target/site`: everything that a browser fetches, under a folder named after its own bytes.
//!
//! `target/site/pkg/<hash>/…` with a `.br` beside each file that shrinks, and `target/site/bundle.txt` with the hash.
//! The server embeds the folder. Nothing is written when nothing changed, so the server is not built again either.

use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::build::Profile;
use crate::out::{During, Failure, Outcome, say, step};
use crate::{css, sh, wasm};

/// What the site's bytes depend on beside its sources; raise it when this module changes them.
const FORMAT: &str = "site 2";

/// A finished site.
pub struct Site {
    /// `target/site/pkg/<hash>`.
    pub folder: PathBuf,
}

struct File {
    name: String,
    bytes: Vec<u8>,
}

/// Builds the front end, when a source of it changed.
pub fn site(profile: Profile) -> Outcome<Site> {
    let module = wasm::compile(profile)?;
    let root = sh::root();
    let out = root.join("target/site");
    let stamp = stamp(&module, &root.join("style"), profile)?;
    let stamp_file = out.with_file_name("site-stamp.txt");
    let folder = |hash: &str| out.join("pkg").join(hash);

    let known = std::fs::read_to_string(&stamp_file).unwrap_or_default();
    if let (Some(hash), Ok(current)) =
        (known.strip_prefix(&stamp), std::fs::read_to_string(out.join("bundle.txt")))
        && hash.trim() == current.trim()
        && folder(current.trim()).join("keyward.css").is_file()
    {
        say(format_args!("▸ the front end is unchanged: {}", current.trim()));
        return Ok(Site { folder: folder(current.trim()) });
    }

    let work = root.join("target/site-work");
    wasm::bind(&module, &work, profile)?;
    let files = gather(&work, &root.join("style"))?;
    let hash = hash(&files);
    step(format_args!("write target/site/pkg/{hash}"), || write(&out, &hash, &files, profile))?;
    std::fs::write(&stamp_file, format!("{stamp} {hash}\n")).during("note what the site was made of")?;
    Ok(Site { folder: folder(&hash) })
}

/// A digest of all inputs.
fn stamp(module: &Path, style: &Path, profile: Profile) -> Outcome<String> {
    let mut digest = Sha256::new();
    digest.update(FORMAT);
    digest.update(profile.name());
    digest.update(std::fs::read(module).during(format_args!("read {}", module.display()))?);
    for path in files_under(style)? {
        digest.update(path.to_string_lossy().as_bytes());
        digest.update(std::fs::read(&path).during(format_args!("read {}", path.display()))?);
    }
    Ok(hex(&digest.finalize()))
}

/// All files of the site, sorted by name.
fn gather(bound: &Path, style: &Path) -> Outcome<Vec<File>> {
    let mut files = Vec::new();
    for path in files_under(bound)? {
        let name = path.strip_prefix(bound).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        let bytes = std::fs::read(&path).during(format_args!("read {}", path.display()))?;
        files.push(File { name, bytes });
    }
    let sheet = css::bundle(&style.join("index.css"))?;
    let shipped = |path: &PathBuf| {
        let folder = path.parent().unwrap_or(style);
        let kind = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        (folder == style || folder == style.join("fonts"))
            && ["woff2", "svg", "png", "ico", "webmanifest"].contains(&kind.as_str())
    };
    for path in files_under(style)? {
        if shipped(&path) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = std::fs::read(&path).during(format_args!("read {}", path.display()))?;
            files.push(File { name, bytes });
        }
    }
    for asked in css::asked_files(&sheet) {
        if !files.iter().any(|file| file.name == asked) {
            return Err(Failure::new(format!(
                "the style sheet asks for `{asked}`, which is not in the site"
            ))
            .cure("files of style/ and style/fonts/ lie beside the sheet: write url(\"name.woff2\")"));
        }
    }
    files.push(File { name: "keyward.css".into(), bytes: sheet.into_bytes() });
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// The first 16 hex digits of SHA-256 over all names and bytes in order.
fn hash(files: &[File]) -> String {
    let mut digest = Sha256::new();
    for file in files {
        digest.update(file.name.as_bytes());
        digest.update([0]);
        digest.update(u64::try_from(file.bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(&file.bytes);
    }
    hex(&digest.finalize()).chars().take(16).collect()
}

fn write(out: &Path, hash: &str, files: &[File], profile: Profile) -> Outcome {
    let pkg = out.join("pkg");
    let folder = pkg.join(hash);
    for file in files {
        let path = folder.join(&file.name);
        std::fs::create_dir_all(path.parent().unwrap_or(&folder))
            .during(format_args!("make {}", folder.display()))?;
        write_if_changed(&path, &file.bytes)?;
        // woff2 and png are compressed already.
        if [".js", ".wasm", ".css", ".svg", ".webmanifest"].iter().any(|end| file.name.ends_with(end)) {
            let small = brotli(&file.bytes, profile).during(format_args!("compress {}", file.name))?;
            if small.len() < file.bytes.len() {
                write_if_changed(&folder.join(format!("{}.br", file.name)), &small)?;
            }
        }
    }
    write_if_changed(&out.join("bundle.txt"), hash.as_bytes())?;
    for entry in std::fs::read_dir(&pkg).during("read target/site/pkg")?.flatten() {
        if entry.file_name() != hash {
            std::fs::remove_dir_all(entry.path())
                .during(format_args!("remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> Outcome {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    std::fs::write(path, bytes).during(format_args!("write {}", path.display()))
}

fn brotli(bytes: &[u8], profile: Profile) -> std::io::Result<Vec<u8>> {
    let quality = match profile {
        Profile::Release => 11,
        Profile::Dev => 5,
    };
    let mut small = Vec::new();
    let mut writer = ::brotli::CompressorWriter::new(&mut small, 1 << 16, quality, 22);
    writer.write_all(bytes)?;
    drop(writer);
    Ok(small)
}

/// All files below a folder, sorted; those of its subfolders too.
pub fn files_under(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).during(format_args!("read {}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> File {
        File { name: name.into(), bytes: text.as_bytes().to_vec() }
    }

    #[test]
    fn a_changed_byte_changes_the_name_and_the_old_folder_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = ([file("a.css", "a{}")], [file("a.css", "b{}")]);
        assert_ne!(hash(&old), hash(&new));
        write(dir.path(), &hash(&old), &old, Profile::Dev).unwrap();
        write(dir.path(), &hash(&new), &new, Profile::Dev).unwrap();
        let names: Vec<_> =
            std::fs::read_dir(dir.path().join("pkg")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [hash(&new).as_str()]);
        assert_eq!(std::fs::read_to_string(dir.path().join("bundle.txt")).unwrap(), hash(&new));
    }

    #[test]
    fn the_same_bytes_are_not_written_twice() {
        let dir = tempfile::tempdir().unwrap();
        let files = [file("a.js", &"let a = 1;\n".repeat(20))];
        write(dir.path(), &hash(&files), &files, Profile::Dev).unwrap();
        let path = dir.path().join("pkg").join(hash(&files)).join("a.js");
        let before = std::fs::metadata(&path).unwrap().modified().unwrap();
        write(dir.path(), &hash(&files), &files, Profile::Dev).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), before);
        assert!(path.with_file_name("a.js.br").is_file());
    }

    #[test]
    fn a_sheet_that_asks_for_a_missing_file_is_refused() {
        let (bound, style) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(style.path().join("index.css"), "@font-face{font-family:G;src:url(none.woff2)}")
            .unwrap();
        let failure = gather(bound.path(), style.path()).err().unwrap().to_string();
        assert!(failure.contains("asks for `none.woff2`"), "{failure}");
    }
}
