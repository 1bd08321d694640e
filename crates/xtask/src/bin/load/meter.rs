//! One measured run: requests, failures, latency, and the CPU time that the server spent on them.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::client::Client;
use crate::report::Spread;
use crate::work::{Work, run_number};
use crate::{Outcome, now};

/// Who is asked.
#[derive(Clone)]
pub struct Target {
    /// Its port.
    pub port: u16,
    /// Its process, for the CPU time.
    pub pid: u32,
    /// The key that goes with each request; empty for none.
    pub bearer: String,
}

/// How hard.
#[derive(Clone, Copy)]
pub struct Load {
    /// Open connections.
    pub connections: u32,
    /// Seconds.
    pub seconds: u32,
}

/// What came of it.
#[derive(Clone, Copy, Default)]
pub struct Run {
    /// Answers per second.
    pub per_second: f64,
    /// Answers that were not 2xx, or did not come.
    pub failures: u64,
    /// Median latency.
    pub p50_ms: f64,
    /// The latency that one in a hundred exceeds.
    pub p99_ms: f64,
    /// CPU time of the server for one request.
    pub cpu_us: f64,
}

/// How long after a run a server may go on with what nobody waits for any more.
const SETTLED_WITHIN: Duration = Duration::from_mins(1);

/// Asks all of them at the same time, each over its share of the connections; what they did together. With wrk, whose
/// script goes to `scratch`, where that is installed, else with connections of our own.
///
/// # Errors
/// When nothing could be measured.
pub async fn run(targets: &[Target], work: &Work, load: Load, scratch: Option<&Path>) -> Outcome<Run> {
    let before = cpu_of(targets)?;
    let share = Load { connections: load.connections / u32::try_from(targets.len())?.max(1), ..load };
    let (mut requests, mut all) = (0.0, Run::default());
    let runs: Vec<_> = targets
        .iter()
        .enumerate()
        .map(|(number, target)| {
            let (target, work) = (target.clone(), work.clone());
            let script = scratch.map(|scratch| scratch.join(format!("load-{number}.lua")));
            tokio::spawn(async move {
                match script {
                    Some(script) => {
                        tokio::task::spawn_blocking(move || with_wrk(&target, &work, share, &script)).await?
                    }
                    None => with_connections(&target, &work, share).await,
                }
            })
        })
        .collect();
    for run in runs {
        let (more, run) = run.await??;
        requests += more;
        all.per_second += run.per_second;
        all.failures += run.failures;
        all.p50_ms = run.p50_ms.max(all.p50_ms);
        all.p99_ms = run.p99_ms.max(all.p99_ms);
    }
    all.cpu_us = (cpu_of(targets)? - before) * 1e6 / f64::max(requests, 1.0);
    settle(targets).await?;
    Ok(all)
}

fn cpu_of(targets: &[Target]) -> Outcome<f64> {
    targets.iter().map(|target| cpu_seconds(target.pid)).sum()
}

/// Waits until the servers rest, so that nobody's leftovers are in the next one's figures.
async fn settle(targets: &[Target]) -> Outcome {
    let since = now();
    for target in targets {
        // Whatever it says: it comes after what was asked before.
        if let Ok(mut client) = Client::connect(target.port, &target.bearer).await {
            let _ = tokio::time::timeout(SETTLED_WITHIN, client.send("GET", "/", "")).await;
        }
    }
    let mut before = cpu_of(targets)?;
    while since.elapsed() < SETTLED_WITHIN {
        tokio::time::sleep(Duration::from_millis(80)).await;
        let spent = cpu_of(targets)?;
        if spent - before < 0.015 {
            break;
        }
        before = spent;
    }
    Ok(())
}

fn with_wrk(target: &Target, work: &Work, load: Load, script: &Path) -> Outcome<(f64, Run)> {
    std::fs::write(script, lua(target, work))?;
    let mut tool = Command::new("wrk");
    tool.args(["--threads", "1", "--latency", "--connections", &load.connections.to_string()]);
    // An answer that is slow is no error; it is seen in the rate.
    tool.args(["--timeout", "60s", "--duration", &format!("{}s", load.seconds), "--script"]).arg(script);
    let output = tool.arg(format!("http://127.0.0.1:{}", target.port)).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rev().find(|line| line.starts_with("{\"requests\"")).ok_or_else(|| {
        format!("wrk said nothing that can be read: {text} {}", String::from_utf8_lossy(&output.stderr))
    })?;
    let said: Value = serde_json::from_str(line)?;
    let number = |name: &str| said[name].as_f64().unwrap_or(0.0);
    let run = Run {
        per_second: number("requests") * 1e6 / number("duration_us").max(1.0),
        failures: said["failures"].as_u64().unwrap_or(0),
        p50_ms: number("p50_us") / 1e3,
        p99_ms: number("p99_us") / 1e3,
        cpu_us: 0.0,
    };
    Ok((number("requests"), run))
}

fn lua(target: &Target, work: &Work) -> String {
    let bearer = if target.bearer.is_empty() {
        String::new()
    } else {
        format!("wrk.headers[\"Authorization\"] = \"Bearer {}\"\n", target.bearer)
    };
    format!(
        "{bearer}wrk.headers[\"Content-Type\"] = \"application/scim+json\"\n{}\
         function done(summary, latency)\n  local e = summary.errors\n  io.write(string.format(\
         '{{\"requests\":%d,\"duration_us\":%d,\"failures\":%d,\"p50_us\":%d,\"p99_us\":%d}}\\n', summary.requests, \
         summary.duration, e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), \
         latency:percentile(99)))\nend\n",
        work.lua()
    )
}

async fn with_connections(target: &Target, work: &Work, load: Load) -> Outcome<(f64, Run)> {
    let failures = Arc::new(AtomicU64::new(0));
    let run = run_number();
    let since = now();
    let until = Duration::from_secs(load.seconds.into());
    let mut workers = Vec::new();
    for worker in 0..load.connections {
        let (target, work, failures) = (target.clone(), work.clone(), Arc::clone(&failures));
        workers.push(tokio::spawn(async move {
            let mut client = Client::connect(target.port, &target.bearer).await?;
            let keys = work.keys();
            let mut times = Vec::new();
            let mut turn = worker as usize;
            while since.elapsed() < until {
                if !keys.is_empty() {
                    client.present(&keys[turn % keys.len()].secret);
                }
                let request = work.request(turn, run, worker);
                let begun = now();
                let answer = client.send(request.method, &request.path, &request.body).await?;
                if !(200..300).contains(&answer.status) {
                    failures.fetch_add(1, Ordering::Relaxed);
                }
                times.push(begun.elapsed());
                turn += 1;
            }
            Ok::<_, std::io::Error>(times)
        }));
    }
    let mut times = Vec::new();
    for worker in workers {
        match worker.await? {
            Ok(more) => times.extend(more),
            Err(_) => _ = failures.fetch_add(1, Ordering::Relaxed),
        }
    }
    times.sort_unstable();
    let percentile =
        |percent: usize| times.get(times.len() * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    let requests = u32::try_from(times.len()).map_or(0.0, f64::from);
    let run = Run {
        per_second: requests / since.elapsed().as_secs_f64(),
        failures: failures.load(Ordering::Relaxed),
        p50_ms: percentile(50),
        p99_ms: percentile(99),
        cpu_us: 0.0,
    };
    Ok((requests, run))
}

/// User and system time that a process has spent: fields 14 and 15 of /proc/PID/stat, in hundredths of a second.
pub fn cpu_seconds(pid: u32) -> Outcome<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}

/// What a process holds in memory, in MiB.
pub fn resident_mib(pid: u32) -> Outcome<f64> {
    mib(pid, "VmRSS:")
}

/// The most that a process held in memory at any time, in MiB.
pub fn most_resident_mib(pid: u32) -> Outcome<f64> {
    mib(pid, "VmHWM:")
}

fn mib(pid: u32, what: &str) -> Outcome<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).ok_or("a process without memory")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// The median of each figure.
pub fn middle(runs: &[Run]) -> Run {
    let of = |field: fn(&Run) -> f64| Spread::of(runs.iter().map(field)).median;
    Run {
        per_second: of(|run| run.per_second),
        failures: runs.iter().map(|run| run.failures).sum(),
        p50_ms: of(|run| run.p50_ms),
        p99_ms: of(|run| run.p99_ms),
        cpu_us: of(|run| run.cpu_us),
    }
}
