//! A part of the bench: contestants that run in turn, round after round, and the figures that come of them.

use std::process::Command;

use crate::bench::Args;
use crate::contestants::{Contestant, Doing, Server};
use crate::house::House;
use crate::meter::{self, Run};
use crate::report::{Bound, Row, Spread};
use crate::{Outcome, say};

/// Contestants and their figures.
pub struct Stage {
    contestants: Vec<Contestant>,
    rows: Vec<Row>,
    rounds: u32,
    seconds: u32,
    servers: Vec<Server>,
}

impl Stage {
    /// One without contestants.
    pub fn new(rounds: u32, seconds: u32) -> Self {
        Self { contestants: Vec::new(), rows: Vec::new(), rounds, seconds, servers: Vec::new() }
    }

    /// Somebody who takes part.
    pub fn add(&mut self, name: impl Into<String>, doing: Doing) {
        self.contestants.push(Contestant::new(name, doing));
    }

    /// A server that lives as long as this.
    pub fn keep(&mut self, server: Server) {
        self.servers.push(server);
    }

    /// Runs the rounds, after one of warm-up, and looks at the answers of the houses between them.
    ///
    /// # Errors
    /// When an answer is not what it should be.
    pub async fn run(&mut self, args: &Args, houses: &[&House]) -> Outcome {
        let has_wrk = Command::new("wrk").arg("--version").output().is_ok();
        for round in 0..=self.rounds {
            let seconds = if round == 0 { 1 } else { self.seconds };
            for contestant in &mut self.contestants {
                let run = contestant.turn(&args.scratch, seconds, has_wrk).await;
                let run = run.map_err(|error| {
                    let logs: Vec<String> = houses.iter().map(|house| house.keyward.log()).collect();
                    format!("{error}\n{}", logs.join("\n"))
                })?;
                if round > 0 {
                    if run.per_second <= 0.0 {
                        return Err(
                            format!("{}: nothing was answered in {seconds} s", contestant.name).into()
                        );
                    }
                    contestant.runs.push(run);
                }
            }
            for house in houses {
                house.check().await?;
            }
            say(&format!("  round {round} of {}", self.rounds));
        }
        Ok(())
    }

    fn runs(&self, name: &str) -> Outcome<&[Run]> {
        let found = self.contestants.iter().find(|contestant| contestant.name == name);
        Ok(&found.ok_or_else(|| format!("nobody is called {name}"))?.runs)
    }

    /// A figure that is the rate of one by that of another, round by round.
    ///
    /// # Errors
    /// When one of them does not take part.
    pub fn ratio(&mut self, name: impl Into<String>, target: f64, ours: &str, base: &str) -> Outcome {
        let bound = (target > 0.0).then_some(Bound::AtLeast(target));
        self.compare(name, bound, ours, base, |ours, base| ours.per_second / base.per_second)
    }

    /// A figure of each round of two.
    ///
    /// # Errors
    /// When one of them does not take part.
    pub fn compare(
        &mut self,
        name: impl Into<String>,
        bound: Option<Bound>,
        ours: &str,
        base: &str,
        value: fn(&Run, &Run) -> f64,
    ) -> Outcome {
        let (ours, base) = (self.runs(ours)?, self.runs(base)?);
        let value = Spread::of(ours.iter().zip(base).map(|(ours, base)| value(ours, base)));
        let runs = Some((meter::middle(ours), meter::middle(base)));
        self.rows.push(Row { name: name.into(), value, bound, runs });
        Ok(())
    }

    /// A figure that was measured once.
    pub fn once(&mut self, name: impl Into<String>, at_most: f64, value: f64) {
        let value = Spread { median: value, low: value, high: value };
        self.rows.push(Row { name: name.into(), value, bound: Some(Bound::AtMost(at_most)), runs: None });
    }

    /// How it was measured, and the figures.
    pub fn result(self) -> (u32, u32, Vec<Row>) {
        (self.rounds, self.seconds, self.rows)
    }
}
