//! Laws that are read from what cargo says of the crates.

use std::path::Path;

use serde_json::Value;

use crate::out::{During, Outcome};
use crate::sh;

/// Who may use whom of ours. A crate that is not here may use nobody and is itself a fault.
const ALLOWED: [(&str, &[&str]); 8] = [
    ("domain", &[]),
    ("scim", &[]),
    ("store", &["domain", "scim"]),
    ("ops", &["domain", "scim", "store"]),
    ("app", &["domain", "ops", "scim"]),
    ("frontend", &["app", "domain"]),
    ("server", &["app", "domain", "ops", "scim", "store"]),
    // Behind its feature `load` alone: a bench and a chaos run prepare a database.
    ("xtask", &["domain", "ops", "store"]),
];
/// What only the server's side may bring along: behind a feature of `app`, and never behind `hydrate`.
const SERVER_SIDE: [&str; 3] = ["ops", "scim", "store"];
/// What must not be in the browser.
const NOT_IN_WASM: [&str; 6] = ["sqlx", "axum", "tokio", "ops", "store", "hyper"];

/// Features for tests and benches.
const NOT_SHIPPED: [&str; 2] = ["testing", "bench"];

/// The browser gets no code of the server.
pub fn wasm_tree(root: &Path) -> Outcome<Vec<String>> {
    let mut cargo = sh::cargo();
    cargo.current_dir(root).args(["tree", "--package", "frontend", "--target", "wasm32-unknown-unknown"]);
    let tree = sh::read(cargo.args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]))?;
    Ok(foreign(&tree))
}

fn foreign(tree: &str) -> Vec<String> {
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let found = NOT_IN_WASM.iter().filter(|name| names.contains(name));
    found.map(|name| format!("`cargo tree -p frontend` has {name}")).collect()
}

/// Arrows point one way.
pub fn directions(root: &Path) -> Outcome<Vec<String>> {
    Ok(wrong_ways(&metadata(root)?))
}

fn wrong_ways(metadata: &Value) -> Vec<String> {
    let ours: Vec<&str> = packages(metadata).map(name).collect();
    let mut faults = Vec::new();
    for package in packages(metadata) {
        let from = name(package);
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == from) else {
            faults.push(format!("{from} is a new crate: say in tidy/crates.rs whom it may use"));
            continue;
        };
        for dependency in list(package, "dependencies").filter(|dependency| ours.contains(&name(dependency)))
        {
            let to = name(dependency);
            // Tests use their own crate with its testing feature on.
            if to == from && dependency["kind"] == "dev" {
                continue;
            }
            if !allowed.contains(&to) {
                faults.push(format!("{from} must not use {to}"));
            }
            if from == "app" && SERVER_SIDE.contains(&to) && dependency["optional"] != true {
                faults.push(format!("app must not use {to} in the browser: make it optional, behind `ssr`"));
            }
        }
        if from == "app" {
            let hydrate =
                package["features"]["hydrate"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let wrong =
                hydrate.filter(|feature| SERVER_SIDE.iter().any(|name| *feature == format!("dep:{name}")));
            faults
                .extend(wrong.map(|feature| format!("the feature `hydrate` of app must not have {feature}")));
        }
    }
    faults
}

/// A build that ships cannot move its clock or leave no records.
pub fn features(root: &Path) -> Outcome<Vec<String>> {
    Ok(shipped_for_tests(&metadata(root)?))
}

/// Who switches a feature of [`NOT_SHIPPED`] on, other than tests, such a feature of its own, and xtask.
fn shipped_for_tests(metadata: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages(metadata).filter(|package| name(package) != "xtask") {
        let from = name(package);
        for dependency in list(package, "dependencies").filter(|dependency| dependency["kind"] != "dev") {
            let wanted = list(dependency, "features").filter_map(Value::as_str);
            let wrong = wanted.filter(|feature| NOT_SHIPPED.contains(feature));
            faults.extend(wrong.map(|feature| format!("{from} wants {feature} of {}", name(dependency))));
        }
        for (feature, brings) in package["features"].as_object().into_iter().flatten() {
            if NOT_SHIPPED.contains(&feature.as_str()) {
                continue;
            }
            let brings = brings.as_array().into_iter().flatten().filter_map(Value::as_str);
            let wrong = brings.filter(|word| NOT_SHIPPED.contains(&word.rsplit('/').next().unwrap_or(word)));
            faults.extend(wrong.map(|word| format!("the feature {feature} of {from} brings {word}")));
        }
    }
    faults
}

/// SQL has one home.
pub fn sqlx(root: &Path) -> Outcome<Vec<String>> {
    Ok(users_of_sqlx(&metadata(root)?))
}

fn users_of_sqlx(metadata: &Value) -> Vec<String> {
    let users = packages(metadata)
        .filter(|package| list(package, "dependencies").any(|d| name(d).starts_with("sqlx")));
    users.map(name).filter(|name| *name != "store").map(|name| format!("{name} must not use sqlx")).collect()
}

fn metadata(root: &Path) -> Outcome<Value> {
    let mut cargo = sh::cargo();
    let text = sh::read(cargo.current_dir(root).args(["metadata", "--format-version", "1", "--no-deps"]))?;
    serde_json::from_str(&text).during("read what `cargo metadata` says")
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    list(metadata, "packages")
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, dependencies: &[&str]) -> Value {
        let dependencies: Vec<Value> =
            dependencies.iter().map(|name| json!({ "name": name, "optional": false })).collect();
        json!({ "name": name, "dependencies": dependencies, "features": {} })
    }

    #[test]
    fn server_code_in_the_browser_is_refused() {
        assert_eq!(foreign("frontend v0.1.0\napp v0.1.0 (/x/app)\nleptos v0.8.23\n"), Vec::<String>::new());
        assert_eq!(foreign("frontend v0.1.0\ntokio v1.0.0 (*)\n"), ["`cargo tree -p frontend` has tokio"]);
    }

    #[test]
    fn an_arrow_against_the_direction_is_refused() {
        let good = json!({ "packages": [package("domain", &["serde"]), package("store", &["domain"])] });
        assert_eq!(wrong_ways(&good), Vec::<String>::new());
        let bad = json!({ "packages": [package("domain", &["store"]), package("store", &["ops"]), package("ops", &["server"]),
            package("server", &[])] });
        assert_eq!(
            wrong_ways(&bad),
            ["domain must not use store", "store must not use ops", "ops must not use server"]
        );
    }

    #[test]
    fn a_server_crate_in_the_browser_half_of_app_is_refused() {
        let app = json!({ "name": "app", "dependencies": [{ "name": "ops", "optional": true }],
            "features": { "ssr": ["dep:ops"], "hydrate": [] } });
        assert_eq!(wrong_ways(&json!({ "packages": [app, package("ops", &[])] })), Vec::<String>::new());
        let app = json!({ "name": "app", "dependencies": [{ "name": "ops", "optional": true }, { "name": "scim", "optional": false }],
            "features": { "hydrate": ["dep:ops"] } });
        let faults = wrong_ways(&json!({ "packages": [app, package("ops", &[]), package("scim", &[])] }));
        assert_eq!(
            faults,
            [
                "app must not use scim in the browser: make it optional, behind `ssr`",
                "the feature `hydrate` of app must not have dep:ops",
            ]
        );
    }

    #[test]
    fn a_crate_without_a_place_is_refused() {
        let faults = wrong_ways(&json!({ "packages": [package("helpers", &[])] }));
        assert_eq!(faults, ["helpers is a new crate: say in tidy/crates.rs whom it may use"]);
    }

    #[test]
    fn a_feature_for_tests_in_what_ships_is_refused() {
        let dependency = |kind: Value| json!({ "name": "ops", "kind": kind, "features": ["testing"] });
        let package = |name: &str, kind: Value, features: Value| {
            json!({ "packages": [
            { "name": name, "dependencies": [dependency(kind)], "features": features }
        ] })
        };
        let own = json!({ "default": [], "bench": ["ops/bench"] });
        assert_eq!(shipped_for_tests(&package("server", json!("dev"), own)), Vec::<String>::new());
        assert_eq!(shipped_for_tests(&package("xtask", Value::Null, json!({}))), Vec::<String>::new());
        assert_eq!(
            shipped_for_tests(&package("server", Value::Null, json!({ "default": ["bench", "ops/bench"] }))),
            [
                "server wants testing of ops",
                "the feature default of server brings bench",
                "the feature default of server brings ops/bench"
            ]
        );
    }

    #[test]
    fn sql_outside_the_store_is_refused() {
        assert_eq!(
            users_of_sqlx(&json!({ "packages": [package("store", &["sqlx"])] })),
            Vec::<String>::new()
        );
        assert_eq!(
            users_of_sqlx(&json!({ "packages": [package("ops", &["sqlx"])] })),
            ["ops must not use sqlx"]
        );
    }
}
