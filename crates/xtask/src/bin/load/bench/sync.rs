//! Writes on a disk that is slower than this machine's: each sync returns 2 ms later, for Keyward and for the raw
//! writer alike.

use super::{Args, FEW, add_writes, write_figures};
use crate::Outcome;
use crate::keyward::Plan;
use crate::stage::Stage;

pub async fn run(args: &Args) -> Outcome<Option<Stage>> {
    let Some(library) = &args.slow_sync else { return Ok(None) };
    let mut stage = args.at_most(3);
    let plan = Plan { users: FEW, preload: Some(library), ..Plan::default() };
    let house = args.house_with("slow-sync", plan).await?;
    add_writes(&mut stage, args, &house, Some(library)).await?;
    stage.run(args, &[&house]).await?;
    write_figures(&mut stage)?;
    Ok(Some(stage))
}
