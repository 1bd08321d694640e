//! What an HTTP server costs without Keyward, what a database costs without one, and what Keyward adds.

use super::{Args, FEW, add_writes, write_figures};
use crate::Outcome;
use crate::contestants::{Doing, Server};
use crate::installation::Wanted;
use crate::keyward::Plan;
use crate::seed;
use crate::stage::Stage;
use crate::work::Work;

/// Live keys in the database of few keys.
const FEW_KEYS: u32 = 10;

pub async fn run(args: &Args) -> Outcome<Option<Stage>> {
    let mut stage = Stage::new(args.rounds, args.seconds);
    let all = args.connections;
    let empty = args.house("empty", 0).await?;
    stage.once("start to ready, empty, ms", 100.0, empty.start_ms);
    stage.once("resident, idle, MiB", 40.0, empty.idle_mib);
    drop(empty);
    let house = args.house("users", args.users).await?;
    let written = args.house("written", FEW).await?;
    let mut keyed = Vec::new();
    for keys in [FEW_KEYS, args.keys] {
        let wanted = Wanted { more_keys: keys - 1, ..Wanted::default() };
        let plan = Plan { wanted, users: FEW, ..Plan::default() };
        keyed.push(args.house_with(&format!("{keys}-keys"), plan).await?);
    }

    let (paths, user_names) = (house.sample(), house.filters("userName").await?);
    let list = house.list().await?;
    let document = house.at("/ResourceTypes/User");
    let bodies = [("user", &paths[0]), ("filter", &user_names[0]), ("list", &list), ("document", &document)];
    for (name, path) in bodies {
        let file = house.keyward.folder().join(format!("{name}.json"));
        std::fs::write(&file, house.body(path).await?)?;
        let server = Server::bare(&file).await?;
        let work = Work::Read(vec!["/".into()]);
        stage.add(format!("bare {name}"), Doing::Asked(vec![server.target()], work, all));
        stage.keep(server);
    }
    let select = Server::select(&house.keyward.folder().join("data/keyward.db")).await?;
    let ids = paths.iter().map(|path| format!("/Users/{}", seed::id_in(path))).collect();
    stage.add("select", Doing::Asked(vec![select.target()], Work::Read(ids), all));
    stage.keep(select);

    stage.add("get", house.reads(paths, all));
    stage.add("userName", house.reads(user_names, all));
    stage.add("externalId", house.reads(house.filters("externalId").await?, all));
    stage.add("list", house.reads(vec![list], all));
    stage.add("document", house.reads(vec![document], all));
    for house in &keyed {
        let keys = house.keyward.keys.clone();
        let name = format!("{} keys", keys.len());
        stage.add(name, house.does(Work::Keys("/ResourceTypes/User".to_owned(), keys), all));
    }
    add_writes(&mut stage, args, &written, None).await?;

    stage.run(args, &[&house, &written, &keyed[0], &keyed[1]]).await?;
    stage.ratio("GET by id / bare", 0.70, "get", "bare user")?;
    stage.ratio("GET by id / one SELECT", 0.90, "get", "select")?;
    stage.ratio("userName eq / bare", 0.50, "userName", "bare filter")?;
    stage.ratio("externalId eq / bare", 0.50, "externalId", "bare filter")?;
    stage.ratio("list of 100 / bare", 0.15, "list", "bare list")?;
    stage.ratio("key verification / bare", 0.90, "document", "bare document")?;
    let (few, many) = (format!("{FEW_KEYS} keys"), format!("{} keys", args.keys));
    stage.ratio(format!("{} live keys in turn / {FEW_KEYS}", args.keys), 0.95, &many, &few)?;
    write_figures(&mut stage)?;
    Ok(Some(stage))
}
