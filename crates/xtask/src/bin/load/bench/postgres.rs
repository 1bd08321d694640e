//! The same directory on SQLite, on Postgres, and on Postgres with two nodes.

use super::{Args, FEW};
use crate::Outcome;
use crate::contestants::Doing;
use crate::keyward::Plan;
use crate::stage::Stage;
use crate::work::Work;

pub async fn run(args: &Args) -> Outcome<Option<Stage>> {
    let Some(url) = &args.postgres else { return Ok(None) };
    let mut stage = args.at_most(3);
    let all = args.connections;
    let sqlite = args.house("sqlite", FEW).await?;
    let postgres =
        args.house_with("postgres", Plan { database: Some(url), users: FEW, ..Plan::default() }).await?;
    let mut second = postgres.keyward.beside()?;
    second.start().await?;
    let nodes = |work: Work| {
        let first = postgres.target();
        let second = crate::meter::Target { port: second.port, pid: second.pid(), ..first.clone() };
        Doing::Asked(vec![first, second], work, all)
    };
    for (name, house) in [("sqlite", &sqlite), ("postgres", &postgres)] {
        stage.add(format!("get {name}"), house.reads(house.sample(), all));
        stage.add(format!("userName {name}"), house.reads(house.filters("userName").await?, all));
    }
    stage.add("get nodes", nodes(Work::Read(postgres.sample())));
    stage.add("userName nodes", nodes(Work::Read(postgres.filters("userName").await?)));
    for (name, house) in [("sqlite", &sqlite), ("postgres", &postgres)] {
        stage.add(format!("change {name}"), house.does(Work::Change(house.sample()), all));
    }
    stage.run(args, &[&sqlite, &postgres]).await?;
    stage.ratio("GET by id: Postgres / SQLite", 0.60, "get postgres", "get sqlite")?;
    stage.ratio("userName eq: Postgres / SQLite", 0.60, "userName postgres", "userName sqlite")?;
    stage.ratio("PATCH title: Postgres, fsync off / SQLite", 0.0, "change postgres", "change sqlite")?;
    stage.ratio("GET by id: two nodes / one", 1.60, "get nodes", "get postgres")?;
    stage.ratio("userName eq: two nodes / one", 1.60, "userName nodes", "userName postgres")?;
    Ok(Some(stage))
}
