//! Makes the folder of the front end when it is missing, and embeds it anew when it changes.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let site = Path::new("../target/site");
    fs::create_dir_all(site)?;
    // A line for build scripts; this is how they speak to cargo.
    io::Write::write_all(
        &mut io::stdout(),
        b"cargo::rerun-if-changed=build.rs\ncargo::rerun-if-changed=../target/site\n",
    )
}
