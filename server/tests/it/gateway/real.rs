//! Services that others made, as upstreams: PyPI `scim2-server` and npm SCIMMY.
//!
//! `cargo xtask test` installs them, and says where with `KEYWARD_TEST_UPSTREAMS`; by hand, where they
//! are not installed, there is nothing to test against.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use domain::federations::Slug;
use ops::gateway::{probe, target};
use serde_json::json;
use tokio::process::{Child, Command};

use super::{asks::asks, forwarding, user};
use crate::{
    house::{House, filter, houses},
    process::{PATIENCE, free_address, http_client},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder of Python's programs, as `cargo xtask test` names it.
fn named() -> Option<PathBuf> {
    std::env::var_os("KEYWARD_TEST_UPSTREAMS").map(PathBuf::from)
}

/// Where the programs of Python are.
pub fn programs() -> PathBuf {
    named().unwrap_or_else(|| root().join("target/conformance/venv/bin"))
}

/// A path that must be there when the whole test is run.
#[allow(clippy::print_stderr, reason = "who runs a test by hand is told why it tested nothing")]
pub fn installed(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    assert!(named().is_none(), "{} is not installed", path.display());
    eprintln!("nothing was tested: {} is not there; `cargo xtask test` installs it", path.display());
    None
}

/// Starts a service and waits until it answers.
pub async fn started(mut command: Command, address: SocketAddr) -> Child {
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
    let child = child.unwrap();
    let answers = async {
        let url = format!("http://{address}/v2/ServiceProviderConfig");
        while http_client().get(&url).send().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answers).await.unwrap();
    child
}

/// What a provider does in its first days, against a service that is somebody else's.
async fn lives(house: &House, base: &str, has_tags: bool) {
    let client = forwarding(house, "gate", base, "a-token-of-the-tests").await;
    let slug = Slug::parse("gate").unwrap();
    assert!(target::test(&house.admin(), &slug).await.unwrap().worked);
    let kept = probe::probe(&house.admin(), &slug).await.unwrap();
    assert!(kept.counts[0] > 10, "{kept:#?}");
    if kept.quirks != domain::upstreams::Quirks::default() {
        target::apply_quirks(&house.admin(), &slug).await.unwrap();
    }
    let unknown = client.get(&format!("/Users{}", filter("userName eq \"mia@example.com\""))).await;
    assert_eq!((unknown.status, &unknown.json()["totalResults"]), (200, &json!(0)), "{}", unknown.body);
    let made = client.post("/Users", &user("mia@example.com")).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let path = format!("/Users/{}", made.id());
    let found = client.get(&format!("/Users{}", filter("userName eq \"mia@example.com\""))).await;
    assert_eq!(found.json()["Resources"][0]["id"], json!(made.id()), "{}", found.body);
    client.post("/Users", &user("mia@example.com")).await.assert_scim_error(409, "again");
    let off = json!([{ "op": "Replace", "path": "active", "value": "False" }]);
    let patched = client.patch(&path, &off).await;
    assert_eq!((patched.status, &patched.json()["active"]), (200, &json!(false)), "{}", patched.body);
    let mut renamed = user("mia@example.com");
    renamed["displayName"] = json!("Mia");
    let replaced = client.put(&path, &renamed).await;
    assert_eq!((replaced.status, &replaced.json()["displayName"]), (200, &json!("Mia")), "{}", replaced.body);

    let group = client.post("/Groups", &json!({ "displayName": "Team" })).await;
    assert_eq!(group.status, 201, "{}", group.body);
    let group_path = format!("/Groups/{}", group.id());
    let add = json!([{ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": made.id() }] }]);
    let added = client.patch(&group_path, &add).await;
    assert_eq!(added.status, 200, "{}", added.body);
    assert_eq!(client.get(&group_path).await.json()["members"][0]["value"], json!(made.id()));
    let remove = json!([{ "op": "Remove", "path": "members", "value": [{ "value": made.id() }] }]);
    assert_eq!(client.patch(&group_path, &remove).await.status, 200);
    let members = client.get(&group_path).await.json()["members"].clone();
    assert!(members.as_array().is_none_or(Vec::is_empty), "{members}");
    for path in [path, group_path] {
        assert_eq!(client.delete(&path).await.status, 204);
        client.get(&path).await.assert_scim_error(404, "deleted");
    }
    asks(&client, has_tags).await;
    let view = target::view(&house.admin(), &slug).await.unwrap().upstream.unwrap();
    assert_eq!((view.open_calls, view.users, view.groups), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scim2_server_is_an_upstream() {
    let Some(program) = installed(programs().join("scim2-server")) else { return };
    for house in houses().await {
        let address = free_address();
        let mut command = Command::new(&program);
        command.args(["--hostname", "127.0.0.1", "--port", &address.port().to_string()]);
        let _child = started(command, address).await;
        lives(&house, &format!("http://{address}/v2"), true).await;
        house.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scimmy_is_an_upstream() {
    if installed(root().join("end2end/node_modules/scimmy-routers")).is_none() {
        return;
    }
    for house in houses().await {
        let address = free_address();
        let mut command = Command::new("node");
        command.arg(root().join("end2end/conformance/scimmy.mjs")).arg(address.port().to_string());
        let _child = started(command, address).await;
        lives(&house, &format!("http://{address}/v2"), false).await;
        house.close().await;
    }
}
