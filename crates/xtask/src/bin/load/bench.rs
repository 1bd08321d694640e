//! `bench`: every contestant in turn, round after round.
//!
//! A figure is a ratio of two contestants of the same rounds. To add one: its contestants in [`Field::of`], a line
//! in [`figures`].

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::client::Client;
use crate::contestants::{Contestant, Doing, Server};
use crate::keyward::Keyward;
use crate::meter::{self, Load, Run, Target};
use crate::report::{self, Figure, Plain};
use crate::work::Work;
use crate::{Outcome, now, say, seed};

/// What `cargo xtask bench` hands over.
#[derive(clap::Args)]
pub struct Args {
    /// The binary to measure
    #[arg(long)]
    keyward: PathBuf,
    /// How often each contestant runs
    #[arg(long)]
    rounds: u32,
    /// Seconds of each run
    #[arg(long)]
    seconds: u32,
    /// Open connections
    #[arg(long)]
    connections: u32,
    /// Users in the large database
    #[arg(long)]
    users: u32,
    /// Users in the small database, against which growth is measured
    #[arg(long)]
    few_users: u32,
    /// Live keys in the database of many keys
    #[arg(long)]
    keys: u32,
    /// The address of an empty Postgres database; without it, nothing is measured on Postgres
    #[arg(long)]
    postgres: Option<String>,
    /// What was typed, for the page
    #[arg(long)]
    command: String,
    /// The page that the result is appended to
    #[arg(long)]
    write: Option<PathBuf>,
}

/// The most paths that a run asks in turn.
const PATHS: usize = 10_000;

/// Members of groups whose one-member changes are compared; larger ones than there are users are left out.
const GROUPS: [usize; 3] = [10, 1_000, 100_000];

/// Prepares, warms up, runs the rounds, prints and writes the tables.
///
/// # Errors
/// When a contestant does not start, or an answer is not what it should be: a fast error never counts.
pub async fn bench(args: Args) -> Outcome {
    let mut plain = Vec::new();
    let large = House::build(&args, "bench", args.users, 0, None).await?;
    plain.push(Plain::at_most("start to ready, empty, ms", 100.0, large.start_ms));
    plain.push(Plain::at_most("resident, idle, MiB", 40.0, large.idle_mib));
    let few = House::build(&args, "bench-few", args.few_users, 0, None).await?;
    let many_keys = House::build(&args, "bench-keys", 10, args.keys, None).await?;
    let postgres = match &args.postgres {
        Some(url) => Some(House::build(&args, "bench-postgres", args.few_users, 0, Some(url)).await?),
        None => None,
    };
    let has_wrk = Command::new("wrk").arg("--version").output().is_ok();
    say(&format!("  load by {}", if has_wrk { "wrk" } else { "connections of our own" }));
    let mut field = Field::of(&args, &large, &few, &many_keys, postgres.as_ref()).await?;
    for round in 0..=args.rounds {
        for contestant in &mut field.contestants {
            let run = contestant.turn(large.keyward.folder(), has_wrk).await;
            let run = run.map_err(|error| format!("{error}\n{}", large.keyward.log()))?;
            // Round 0 is the warm-up.
            if round > 0 {
                contestant.runs.push(run);
            }
        }
        check(&large.keyward, &large.paths).await?;
        say(&format!("  round {round} of {}", args.rounds));
    }
    let pid = large.keyward.pid();
    let name = format!("resident with {} users, after the load, MiB", args.users);
    plain.push(Plain::at_most(name, 150.0, meter::resident_mib(pid)?));
    plain.push(large.restart(args.users).await?);
    let table = report::table(&field.figures()?) + "\n" + &report::plain(&plain);
    say(&format!("\n{table}"));
    if let Some(page) = &args.write {
        report::append(page, &table, &args.command)?;
        say(&format!("  appended to {}", page.display()));
    }
    Ok(())
}

/// A Keyward with its data.
struct House {
    keyward: Keyward,
    /// Its users.
    paths: Vec<String>,
    start_ms: f64,
    idle_mib: f64,
}

impl House {
    async fn build(
        args: &Args,
        name: &str,
        users: u32,
        keys: u32,
        database: Option<&String>,
    ) -> Outcome<Self> {
        let mut keyward =
            Keyward::prepare_with(&args.keyward, name, database.map(String::as_str), keys).await?;
        let since = now();
        keyward.start().await?;
        let start_ms = since.elapsed().as_secs_f64() * 1e3;
        let idle_mib = meter::resident_mib(keyward.pid())?;
        say(&format!("  {name}: {users} users, {} keys", keys + 1));
        let paths = seed::users(&keyward, users).await?;
        check(&keyward, &paths).await?;
        Ok(Self { keyward, paths, start_ms, idle_mib })
    }

    fn target(&self) -> Target {
        Target { port: self.keyward.port, pid: self.keyward.pid(), bearer: self.keyward.key.clone() }
    }

    fn at(&self, rest: &str) -> String {
        format!("{}{rest}", self.keyward.base)
    }

    /// A sample of its users.
    fn sample(&self) -> Vec<String> {
        self.paths.iter().step_by(self.paths.len() / PATHS + 1).cloned().collect()
    }

    /// The body of a GET, which must be answered 200.
    async fn body(&self, path: &str) -> Outcome<Vec<u8>> {
        let answer = self.keyward.client().await?.send("GET", path, "").await?;
        if answer.status != 200 {
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(format!("GET {path}: {} {text}", answer.status).into());
        }
        Ok(answer.body)
    }

    /// Filters that find one user each.
    async fn filters(&self, attribute: &str) -> Outcome<Vec<String>> {
        let users = u32::try_from(self.paths.len())?;
        let step = self.paths.len() / PATHS + 1;
        let at = if attribute == "userName" { "@example.com" } else { "" };
        let filter = |number: u32| self.at(&format!("/Users?filter={attribute}%20eq%20%22u{number}{at}%22"));
        let filters: Vec<String> = (0..users).step_by(step).map(filter).collect();
        let found: Value = serde_json::from_slice(&self.body(&filters[filters.len() / 2]).await?)?;
        if found["totalResults"] == 1 { Ok(filters) } else { Err(format!("{attribute} eq: {found}").into()) }
    }

    /// The address of the last full page of 100, reached by the cursors of RFC 9865.
    async fn last_page(&self) -> Outcome<String> {
        let mut client = self.keyward.client().await?;
        let mut path = self.at("/Users?cursor=&count=100");
        loop {
            let answer = client.send("GET", &path, "").await?;
            let page: Value = serde_json::from_slice(&answer.body)?;
            let Some(next) = page["nextCursor"].as_str() else {
                return Ok(path);
            };
            let next = self.at(&format!("/Users?count=100&cursor={next}"));
            let peek: Value = serde_json::from_slice(&client.send("GET", &next, "").await?.body)?;
            let full = peek["Resources"].as_array().is_some_and(|users| users.len() == 100);
            if !full {
                return Ok(path);
            }
            path = next;
        }
    }

    async fn restart(mut self, users: u32) -> Outcome<Plain> {
        self.keyward.kill();
        let since = now();
        self.keyward.start().await?;
        let name = format!("start to ready after a kill, {users} users, ms");
        Ok(Plain::at_most(name, 1_000.0, since.elapsed().as_secs_f64() * 1e3))
    }
}

/// Everybody who takes part, and the processes that they need.
struct Field {
    contestants: Vec<Contestant>,
    group_sizes: Vec<usize>,
    keys: u32,
    users: (u32, u32),
    has_postgres: bool,
    _servers: Vec<Server>,
}

impl Field {
    async fn of(
        args: &Args,
        large: &House,
        few: &House,
        many_keys: &House,
        postgres: Option<&House>,
    ) -> Outcome<Self> {
        let load = Load { connections: args.connections, seconds: args.seconds };
        let alone = Load { connections: 1, ..load };
        let folder = large.keyward.folder();
        let mut servers = Vec::new();
        let mut contestants: Vec<Contestant> = Vec::new();
        let mut add = |name: String, doing: Doing| contestants.push(Contestant::new(name, doing));
        let read = |house: &House, paths: Vec<String>| Doing::Asked(house.target(), Work::Read(paths), load);

        let bodies = [
            ("user", large.paths[0].clone()),
            ("filter", large.filters("userName").await?[0].clone()),
            ("list", large.at("/Users?count=100")),
            ("document", large.at("/ResourceTypes/User")),
        ];
        for (name, path) in &bodies {
            let file = folder.join(format!("{name}.json"));
            std::fs::write(&file, large.body(path).await?)?;
            let server = Server::bare(&file).await?;
            add(format!("bare {name}"), Doing::Asked(server.target(), Work::Read(vec!["/".into()]), load));
            servers.push(server);
        }
        let select = Server::select(&folder.join("data/keyward.db")).await?;
        let ids = large.sample().iter().map(|path| format!("/Users/{}", seed::id_in(path))).collect();
        add("select".into(), Doing::Asked(select.target(), Work::Read(ids), load));
        servers.push(select);

        for (name, house) in [("", Some(large)), (" few", Some(few)), (" postgres", postgres)] {
            let Some(house) = house else { continue };
            add(format!("get{name}"), read(house, house.sample()));
            add(format!("userName{name}"), read(house, house.filters("userName").await?));
        }
        add("externalId".into(), read(large, large.filters("externalId").await?));
        add("list".into(), read(large, vec![large.at("/Users?count=100")]));
        add("first page".into(), read(large, vec![large.at("/Users?cursor=&count=100")]));
        add("last page".into(), read(large, vec![large.last_page().await?]));
        add("document".into(), read(large, vec![large.at("/ResourceTypes/User")]));
        add("document of many keys".into(), read(many_keys, vec![many_keys.at("/ResourceTypes/User")]));

        let group = usize::try_from(args.connections)?;
        add("raw".into(), Doing::Writes(group, args.seconds));
        add("raw alone".into(), Doing::Writes(1, args.seconds));
        // What writes goes to the small databases, so that growth is measured on what was said.
        for (name, house) in [("", Some(few)), (" postgres", postgres)] {
            let Some(house) = house else { continue };
            let work = Work::Toggle(house.sample());
            add(format!("toggle{name}"), Doing::Asked(house.target(), work, load));
            let work = Work::Create(house.at("/Users"));
            add(format!("create{name}"), Doing::Asked(house.target(), work.clone(), load));
            add(format!("create alone{name}"), Doing::Asked(house.target(), work, alone));
        }
        let ids: Vec<&str> = large.paths.iter().map(|path| seed::id_in(path)).collect();
        let group_sizes: Vec<usize> = GROUPS.into_iter().filter(|size| size + 100 <= ids.len()).collect();
        for size in &group_sizes {
            let group = seed::group(&large.keyward, &format!("Group of {size}"), &ids[..*size]).await?;
            let users = ids[ids.len() - 100..].iter().map(|id| (*id).to_owned()).collect();
            add(
                format!("member of {size}"),
                Doing::Asked(large.target(), Work::Member { group, users }, alone),
            );
        }
        Ok(Self {
            contestants,
            group_sizes,
            keys: args.keys,
            users: (args.few_users, args.users),
            has_postgres: postgres.is_some(),
            _servers: servers,
        })
    }

    fn runs(&self, name: &str) -> Outcome<Vec<Run>> {
        let found = self.contestants.iter().find(|contestant| contestant.name == name);
        Ok(found.ok_or_else(|| format!("nobody is called {name}"))?.runs.clone())
    }

    fn figures(&self) -> Outcome<Vec<Figure>> {
        let (few, many) = self.users;
        let mut lines: Vec<(String, Option<f64>, String, String)> = Vec::new();
        let mut line = |name: String, target: f64, ours: &str, base: &str| {
            let target = (target > 0.0).then_some(target);
            lines.push((name, target, ours.to_owned(), base.to_owned()));
        };
        line("GET by id / bare".into(), 0.70, "get", "bare user");
        line("GET by id / one SELECT".into(), 0.90, "get", "select");
        line("userName eq / bare".into(), 0.50, "userName", "bare filter");
        line("externalId eq / bare".into(), 0.50, "externalId", "bare filter");
        line("list of 100 / bare".into(), 0.15, "list", "bare list");
        line("last page / first page, by cursor".into(), 1.0 / 1.25, "last page", "first page");
        line("key verification / bare".into(), 0.90, "document", "bare document");
        let name = format!("key verification, {} live keys / 1", self.keys + 1);
        line(name, 1.0 / 1.05, "document of many keys", "document");
        line(format!("GET by id, {many} users / {few}"), 1.0 / 1.25, "get", "get few");
        line(format!("userName eq, {many} users / {few}"), 1.0 / 1.25, "userName", "userName few");
        line("PATCH active, durable / raw group commit".into(), 0.75, "toggle", "raw");
        line("POST, durable / raw group commit".into(), 0.75, "create", "raw");
        line("POST, 1 connection / raw single commit".into(), 0.85, "create alone", "raw alone");
        if let [smallest, .., largest] = self.group_sizes.as_slice() {
            let (large, small) = (format!("member of {largest}"), format!("member of {smallest}"));
            let name = format!("PATCH of one member, group of {largest} / {smallest}");
            line(name, 1.0 / 1.5, &large, &small);
        }
        if self.has_postgres {
            line("Postgres / SQLite: GET by id".into(), 0.60, "get postgres", "get few");
            line("Postgres / SQLite: userName eq".into(), 0.60, "userName postgres", "userName few");
            line("Postgres / SQLite: PATCH active".into(), 0.0, "toggle postgres", "toggle");
            line("Postgres / SQLite: POST".into(), 0.0, "create postgres", "create");
            line(
                "Postgres / SQLite: POST, 1 connection".into(),
                0.0,
                "create alone postgres",
                "create alone",
            );
        }
        lines
            .into_iter()
            .map(|(name, target, ours, base)| {
                Ok(Figure { name, target, ours: self.runs(&ours)?, base: self.runs(&base)? })
            })
            .collect()
    }
}

/// Looks at a sample of answers as a client would.
async fn check(keyward: &Keyward, paths: &[String]) -> Outcome {
    let mut client = keyward.client().await?;
    for path in paths.iter().step_by(paths.len() / 10 + 1) {
        let answer = client.send("GET", path, "").await?;
        let user: Value = serde_json::from_slice(&answer.body)?;
        if answer.status != 200 || user["id"] != seed::id_in(path) || user["active"] != true {
            return Err(format!("GET {path}: {} {user}", answer.status).into());
        }
    }
    refuses_strangers(keyward.port, &paths[0]).await
}

async fn refuses_strangers(port: u16, path: &str) -> Outcome {
    let refused = Client::connect(port, "").await?.send("GET", path, "").await?.status;
    if refused == 401 {
        Ok(())
    } else {
        Err(format!("a request without a key was answered {refused}").into())
    }
}
