//! `build`: the front end, then the one binary with it inside.

use std::path::PathBuf;

use crate::out::{Outcome, step};
use crate::{budgets, setup, sh, site};

/// Quick to build, or small and fast.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// For trying and testing.
    Dev,
    /// For shipping and measuring.
    Release,
}

impl Profile {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }

    /// Where the binary of this profile lies.
    pub fn binary(self) -> PathBuf {
        let folder = match self {
            Self::Dev => "debug",
            Self::Release => "release",
        };
        sh::target().join(folder).join("keyward")
    }
}

/// Builds both, and for a release checks the budgets.
pub fn build(profile: Profile) -> Outcome {
    setup::setup(setup::Wanted::default())?;
    let site = site::site(profile)?;
    server(profile)?;
    match profile {
        Profile::Dev => Ok(()),
        Profile::Release => budgets::check(&site.folder, &profile.binary()),
    }
}

/// Builds the binary, with whatever is in target/site.
pub fn server(profile: Profile) -> Outcome {
    server_with(profile, &[])
}

/// Builds the binary that a bench can tell to leave no records. It takes the place of the other until that is
/// built again.
pub fn server_for_bench() -> Outcome {
    server_with(Profile::Release, &["--features", "bench"])
}

fn server_with(profile: Profile, more: &[&str]) -> Outcome {
    let what = if more.is_empty() { "" } else { ", for a bench" };
    step(format_args!("build keyward ({}{what})", profile.name()), || {
        let mut cargo = sh::cargo();
        cargo.args(["build", "--package", "server", "--bin", "keyward"]).args(more);
        if profile == Profile::Release {
            cargo.arg("--release");
        }
        sh::run(&mut cargo)
    })
}
