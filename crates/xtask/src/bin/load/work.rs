//! What is asked, again and again: the requests of a run, for wrk and for connections of our own.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::installation::IssuedKey;
use crate::keyward::user;

/// What is asked of a server.
#[derive(Clone)]
pub enum Work {
    /// GET of these paths in turn.
    Read(Vec<String>),
    /// GET of what is below the base of each of these keys in turn.
    Keys(String, Vec<IssuedKey>),
    /// POST of a new user to this path.
    Create(String),
    /// PATCH of `title` of these users in turn, one and another by turns, and by turns from run to run. Not of
    /// `active`: whoever takes away so many users so fast is stopped by a brake, as he should be.
    Change(Vec<String>),
    /// PATCH of one group: these users join it one by one, and leave it one by one.
    Member {
        /// The path of the group.
        group: String,
        /// Ids of users.
        users: Vec<String>,
    },
}

/// One request.
pub struct Request {
    /// Its method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Its body; empty for none.
    pub body: String,
}

const PATCH: &str = "\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],\"Operations\":";

/// The body of a PATCH that sets `title`.
pub fn change(title: &str) -> String {
    format!("{{{PATCH}[{{\"op\":\"replace\",\"path\":\"title\",\"value\":\"{title}\"}}]}}")
}

fn join(id: &str) -> String {
    format!("{{{PATCH}[{{\"op\":\"add\",\"path\":\"members\",\"value\":[{{\"value\":\"{id}\"}}]}}]}}")
}

fn leave(id: &str) -> String {
    format!("{{{PATCH}[{{\"op\":\"remove\",\"path\":\"members[value eq \\\"{id}\\\"]\"}}]}}")
}

/// A different one in every call, so that names never collide between runs.
pub fn run_number() -> u64 {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    RUNS.fetch_add(1, Ordering::Relaxed)
}

impl Work {
    /// The keys that are presented in turn; none, when it is the one of the target.
    pub fn keys(&self) -> &[IssuedKey] {
        match self {
            Self::Keys(_, keys) => keys,
            Self::Read(_) | Self::Create(_) | Self::Change(_) | Self::Member { .. } => &[],
        }
    }

    /// The request number `turn` of a run and a connection of it.
    pub fn request(&self, turn: usize, run: u64, worker: u32) -> Request {
        match self {
            Self::Keys(rest, keys) => {
                let path = format!("{}{rest}", keys[turn % keys.len()].base);
                Request { method: "GET", path, body: String::new() }
            }
            Self::Read(paths) => {
                Request { method: "GET", path: paths[turn % paths.len()].clone(), body: String::new() }
            }
            Self::Create(path) => {
                Request { method: "POST", path: path.clone(), body: user(&format!("r{run}w{worker}n{turn}")) }
            }
            Self::Change(paths) => {
                let rounds = (turn / paths.len()) as u64;
                let title = if (rounds + run).is_multiple_of(2) { "Clerk" } else { "Chief" };
                Request { method: "PATCH", path: paths[turn % paths.len()].clone(), body: change(title) }
            }
            Self::Member { group, users } => {
                let id = &users[turn % users.len()];
                let body = if (turn / users.len()).is_multiple_of(2) { join(id) } else { leave(id) };
                Request { method: "PATCH", path: group.clone(), body }
            }
        }
    }

    /// The same as a script for wrk.
    pub fn lua(&self) -> String {
        let mut text = String::from("local i = -1\n");
        let list = |text: &mut String, name: &str, items: &[String]| {
            let items: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
            // A run knows its lists before it begins; writing to a String cannot fail.
            let _ = writeln!(text, "local {name} = {{{}}}", items.join(","));
        };
        // A text that holds a name or an id, cut there: the pieces are long strings of Lua.
        let pieces = |body: &str, hole: &str| {
            let parts: Vec<String> = body.split("@@").map(|part| format!("[==[{part}]==]")).collect();
            parts.join(&format!(" .. {hole} .. "))
        };
        let body = match self {
            Self::Read(paths) => {
                list(&mut text, "paths", paths);
                "  return wrk.format(\"GET\", paths[i % #paths + 1])\n".to_owned()
            }
            Self::Keys(rest, keys) => {
                let of = |field: fn(&IssuedKey) -> String| keys.iter().map(field).collect::<Vec<_>>();
                list(&mut text, "keys", &of(|key| key.secret.clone()));
                list(&mut text, "bases", &of(|key| key.base.clone()));
                text.push_str(
                    "local heads = {}\n\
                     for n, key in ipairs(keys) do heads[n] = { Authorization = \"Bearer \" .. key } end\n",
                );
                format!(
                    "  local n = i % #keys + 1\n  return wrk.format(\"GET\", bases[n] .. {rest:?}, heads[n])\n"
                )
            }
            Self::Create(path) => format!(
                "  local name = \"r{}n\" .. i\n  return wrk.format(\"POST\", {path:?}, nil, {})\n",
                run_number(),
                pieces(&user("@@"), "name"),
            ),
            Self::Change(paths) => {
                list(&mut text, "paths", paths);
                format!(
                    "  local title = (math.floor(i / #paths) + {}) % 2 == 0 and \"Clerk\" or \"Chief\"\n\
                     \x20 return wrk.format(\"PATCH\", paths[i % #paths + 1], nil, {})\n",
                    run_number(),
                    pieces(&change("@@"), "title"),
                )
            }
            Self::Member { group, users } => {
                list(&mut text, "users", users);
                format!(
                    "  local id = users[i % #users + 1]\n\
                     \x20 if math.floor(i / #users) % 2 == 0 then\n\
                     \x20   return wrk.format(\"PATCH\", {group:?}, nil, {})\n\
                     \x20 end\n\
                     \x20 return wrk.format(\"PATCH\", {group:?}, nil, {})\n",
                    pieces(&join("@@"), "id"),
                    pieces(&leave("@@"), "id"),
                )
            }
        };
        let _ = write!(text, "function request()\n  i = i + 1\n{body}end\n");
        text
    }
}
