//! The same users, the same connections, the same requests, at SCIM services that others made.

use super::{Args, FEW, LISTING};
use crate::Outcome;
use crate::contestants::Doing;
use crate::peers::USERS;
use crate::say;
use crate::stage::Stage;
use crate::work::Work;

pub async fn run(args: &Args) -> Outcome<Option<Stage>> {
    if args.peers.is_empty() {
        say("  no peer is installed: `cargo xtask setup --peers`");
        return Ok(None);
    }
    let mut stage = Stage::new(args.rounds.min(3), args.seconds.min(2));
    let all = args.connections;
    let house = args.house("peers", FEW).await?;
    let created = args.house("peers-create", 0).await?;
    let filter = |number: u32| format!("{USERS}?filter=userName%20eq%20%22u{number}@example.com%22");
    stage.add("get", house.reads(house.sample(), all));
    stage.add("userName", house.reads(house.filters("userName").await?, all));
    stage.add("list", house.reads(vec![house.list().await?], all.min(LISTING)));
    stage.add("change", house.does(Work::Change(house.sample()), all));
    stage.add("create", created.does(Work::Create(created.at("/Users")), all));
    let mut filled = Vec::new();
    for peer in &args.peers {
        let server = peer.start(&args.scratch).await?;
        let paths = peer.fill(server.port, FEW).await?;
        say(&format!("  {}: {FEW} users", peer.name));
        let target = vec![server.target()];
        let ask = |work: Work| Doing::Asked(target.clone(), work, all);
        let name = &peer.name;
        stage.add(format!("get {name}"), ask(Work::Read(paths.clone())));
        let filters = (0..FEW).map(filter).collect();
        stage.add(format!("userName {name}"), ask(Work::Read(filters)));
        let list = Work::Read(vec![format!("{USERS}?count=100")]);
        stage.add(format!("list {name}"), Doing::Asked(target.clone(), list, all.min(LISTING)));
        stage.add(format!("change {name}"), ask(Work::Change(paths.clone())));
        // Each turn begins with nothing in it: a peer that looks at all users for each new one is not made slower by
        // the turns before.
        stage.add(format!("create {name}"), Doing::Fresh(peer.clone(), all));
        filled.push((peer, server.port, paths));
        stage.keep(server);
    }
    stage.run(args, &[&house]).await?;
    for (peer, port, paths) in filled {
        peer.check(port, &paths, FEW).await?;
        for (what, work) in [
            ("GET by id", "get"),
            ("userName eq", "userName"),
            ("list of 100, 8 connections", "list"),
            ("PATCH title", "change"),
            ("POST", "create"),
        ] {
            let name = &peer.name;
            stage.ratio(format!("{what} / {name}"), peer.target, work, &format!("{work} {name}"))?;
        }
    }
    Ok(Some(stage))
}
