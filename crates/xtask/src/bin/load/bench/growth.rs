//! Whether a cost stays what it was when there is a thousand times more.

use super::{Args, FEW, LISTING};
use crate::contestants::Doing;
use crate::house::House;
use crate::stage::Stage;
use crate::work::Work;
use crate::{Outcome, meter, now, say, seed};

/// Members of the groups whose one-member changes are compared; fewer where there are fewer users.
const GROUPS: [u32; 2] = [10, 100_000];

/// Users that join and leave them.
const JOINING: usize = 100;

pub async fn run(args: &Args) -> Outcome<Option<Stage>> {
    let mut stage = Stage::new(args.rounds, args.seconds);
    let all = args.connections;
    let few = all.min(LISTING);
    let mut sizes: Vec<u32> =
        [FEW, 10_000, 100_000].into_iter().filter(|size| *size < args.most_users).collect();
    sizes.push(args.most_users);
    let mut houses = Vec::new();
    for size in sizes {
        houses.push((size, args.house(&size.to_string(), size).await?));
    }
    for (size, house) in &houses {
        stage.add(format!("get {size}"), house.reads(house.sample(), all));
        stage.add(format!("userName {size}"), house.reads(house.filters("userName").await?, all));
        stage.add(format!("list {size}"), house.reads(vec![house.list().await?], few));
    }
    let (most, largest) = houses.last().ok_or("no sizes")?;
    let pages = largest.paths.len() / 100;
    stage.add("first page", largest.reads(vec![largest.page(1).await?], few));
    stage.add("last page", largest.reads(vec![largest.page(pages).await?], few));
    let groups = groups(largest).await?;
    for (size, doing) in groups.sizes.iter().zip(groups.doing) {
        stage.add(format!("member of {size}"), doing);
    }
    let watched: Vec<&House> = houses.iter().map(|(_, house)| house).collect();
    stage.run(args, &watched).await?;
    for (what, work) in [("GET by id", "get"), ("userName eq", "userName"), ("list of 100", "list")] {
        for (size, _) in &houses[1..] {
            let name = format!("{what}: {size} users / {FEW}");
            // The target is the whole of it; what is between shows where it bends.
            let target = if size == most { 0.8 } else { 0.0 };
            stage.ratio(name, target, &format!("{work} {size}"), &format!("{work} {FEW}"))?;
        }
    }
    stage.ratio(format!("cursor: page {pages} / page 1"), 0.8, "last page", "first page")?;
    stage.ratio(format!("cursor: page 1 / page {pages}"), 0.8, "first page", "last page")?;
    let [small, large] = groups.sizes;
    stage.ratio(
        format!("PATCH of one member: group of {large} / {small}"),
        0.667,
        &format!("member of {large}"),
        &format!("member of {small}"),
    )?;
    let most_mib = meter::most_resident_mib(largest.keyward.pid())?;
    stage.once(format!("resident with {most} users, the most under the load, MiB"), 150.0, most_mib);
    let (most, mut largest) = houses.pop().ok_or("no sizes")?;
    largest.keyward.kill();
    let since = now();
    largest.keyward.start().await?;
    let start_ms = since.elapsed().as_secs_f64() * 1e3;
    stage.once(format!("start to ready after a kill, {most} users, ms"), 1_000.0, start_ms);
    Ok(Some(stage))
}

struct Groups {
    sizes: [u32; 2],
    doing: Vec<Doing>,
}

async fn groups(house: &House) -> Outcome<Groups> {
    let ids: Vec<&str> = house.paths.iter().map(|path| seed::id_in(path)).collect();
    let (members, joining) = ids.split_at(ids.len() - JOINING);
    let mut groups = Groups { sizes: GROUPS, doing: Vec::new() };
    for size in &mut groups.sizes {
        let since = now();
        *size = (*size).min(u32::try_from(members.len())?);
        let members = &members[..usize::try_from(*size)?];
        let group = seed::group(&house.keyward, &format!("Group of {size}"), members).await?;
        let users = joining.iter().map(|id| (*id).to_owned()).collect();
        groups.doing.push(house.does(Work::Member { group, users }, 1));
        say(&format!("  a group of {size} in {:.1} s", since.elapsed().as_secs_f64()));
    }
    Ok(groups)
}
