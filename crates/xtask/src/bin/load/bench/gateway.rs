//! A federation that forwards to a fast service of this machine, and that service without Keyward before it.

use super::Args;
use crate::client::Client;
use crate::contestants::{Doing, Server};
use crate::house::House;
use crate::installation::Wanted;
use crate::keyward::{Plan, user};
use crate::report::Bound;
use crate::stage::Stage;
use crate::work::Work;
use crate::{Outcome, seed};

/// Users at the upstream.
const USERS: u32 = 100;

/// Few enough that nobody waits for a processor.
const CONNECTIONS: u32 = 4;

pub async fn run(args: &Args) -> Outcome<Option<Stage>> {
    let mut stage = args.at_most(3);
    let upstream = Server::upstream().await?;
    let base = format!("http://127.0.0.1:{}/v2", upstream.port);
    let wanted = Wanted { upstream: Some(&base), ..Wanted::default() };
    let house = args.house_with("gateway", Plan { wanted, ..Plan::default() }).await?;
    let (direct, forwarded) = provision(&house, upstream.port).await?;
    let house = House { paths: forwarded.clone(), ..house };
    house.check().await?;
    for connections in [1, CONNECTIONS, args.connections] {
        let work = Work::Read(direct.clone());
        stage.add(format!("direct {connections}"), Doing::Asked(vec![upstream.target()], work, connections));
        stage.add(format!("forwarded {connections}"), house.reads(forwarded.clone(), connections));
    }
    stage.run(args, &[&house]).await?;
    for connections in [1, CONNECTIONS] {
        let (ours, base) = (format!("forwarded {connections}"), format!("direct {connections}"));
        let with =
            if connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") };
        stage.compare(
            format!("GET forwarded, {with}: added p50, ms"),
            Some(Bound::AtMost(0.3)),
            &ours,
            &base,
            |ours, base| ours.p50_ms - base.p50_ms,
        )?;
        stage.compare(
            format!("GET forwarded, {with}: added p99, ms"),
            Some(Bound::AtMost(2.0)),
            &ours,
            &base,
            |ours, base| ours.p99_ms - base.p99_ms,
        )?;
    }
    let all = args.connections;
    let (ours, base) = (format!("forwarded {all}"), format!("direct {all}"));
    stage.ratio(format!("GET forwarded / direct, {all} connections"), 0.0, &ours, &base)?;
    stage.keep(upstream);
    Ok(Some(stage))
}

/// Creates users through the gateway; where they are at the upstream, and here.
async fn provision(house: &House, upstream: u16) -> Outcome<(Vec<String>, Vec<String>)> {
    let mut client = house.keyward.client().await?;
    let mut at_upstream = Client::connect(upstream, "kwd_none").await?;
    let (mut direct, mut forwarded) = (Vec::new(), Vec::new());
    for number in 0..USERS {
        let name = format!("u{number}");
        let made = client.send("POST", &house.at("/Users"), &user(&name)).await?;
        let id = seed::id_of(made.status, &made.body)?;
        let path = format!("/v2/Users/{name}");
        let there = at_upstream.send("GET", &path, "").await?;
        if there.status != 200 || id == name {
            return Err(format!("{name} is {id} here, and {} at the upstream", there.status).into());
        }
        direct.push(path);
        forwarded.push(house.at(&format!("/Users/{id}")));
    }
    Ok((direct, forwarded))
}
