//! A configuration that is accepted, to be changed in one place.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use server::config::{Config, ConfigProblem, Sources};

/// 32 bytes that look random.
pub const KEY: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0Vniavbzu3h8uPUw=";

/// An accepted file.
pub const GOOD: &str = "\
public_url = \"https://keyward.example.com\"
listen = \"127.0.0.1:0\"
master_key_file = \"MASTER\"

[oidc]
issuer = \"https://id.example.com/realms/main\"
client_id = \"keyward\"
client_secret = \"s3cret-of-the-client\"

[roles]
admin = [\"keyward-admins\"]
";

/// A folder with an accepted configuration.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub sources: Sources,
}

impl Place {
    /// With the accepted file.
    pub fn good() -> Self {
        Self::with(GOOD)
    }

    /// With another file; `MASTER` and `FOLDER` stand for a good key file and for the folder.
    pub fn with(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources { directory: folder.path().to_owned(), ..Sources::default() };
        let place = Self { folder, sources };
        let master = place.file("master.key", &format!("{KEY}\n"), 0o600);
        let text = text.replace("MASTER", master.to_str().unwrap());
        place.file("keyward.toml", &text.replace("FOLDER", place.folder.path().to_str().unwrap()), 0o600);
        place
    }

    /// Writes a file.
    pub fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// Sets a variable of the environment.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        let value = value.replace("FOLDER", self.path().to_str().unwrap());
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    /// Sets a flag.
    pub fn flag(mut self, key: &'static str, value: &str) -> Self {
        self.sources.flags.push((key, value.to_owned()));
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn load(&self) -> Config {
        match Config::load(&self.sources) {
            Ok(config) => config,
            Err(problems) => panic!("{problems}"),
        }
    }

    pub fn problems(&self) -> Vec<ConfigProblem> {
        match Config::load(&self.sources) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.0,
        }
    }
}
