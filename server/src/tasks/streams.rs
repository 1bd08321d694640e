//! Records on their way to other systems: a task for each stream, on one node of all.

use std::{sync::Arc, time::Duration};

use ops::{Keyward, ports::Stream, streams};

use crate::edge::accept::Stop;

/// How often it is looked for new records.
const EVERY: Duration = Duration::from_secs(1);

/// How often the figures are brought up to date.
const FIGURES: Duration = Duration::from_secs(10);

/// How many records wait.
const LAG: &str = "keyward_stream_lag_records";

/// Begins a task for each stream of the configuration.
pub fn spawn(keyward: &Arc<Keyward>, stop: &Stop) {
    if keyward.streams().is_empty() {
        return;
    }
    for stream in keyward.streams() {
        tokio::spawn(run(Arc::clone(keyward), Arc::clone(stream), stop.clone()));
    }
    tokio::spawn(figures(Arc::clone(keyward), stop.clone()));
}

/// Sends until the stop. What was not taken by then is sent by whoever works next.
async fn run(keyward: Arc<Keyward>, stream: Arc<dyn Stream>, mut stop: Stop) {
    let node = keyward.request_info().id.to_string();
    loop {
        let pause = match streams::round(&keyward, &stream, &node).await {
            // There may be more.
            Ok(Some(sent)) if sent > 0 => Duration::ZERO,
            // Nothing waits, or another node works.
            Ok(_) => EVERY,
            Err(error) => {
                tracing::warn!(stream = stream.name(), %error, "records were not sent");
                EVERY
            }
        };
        tokio::select! {
            biased;
            () = stop.wait() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    if let Err(error) = streams::release(&keyward, &stream, &node).await {
        tracing::debug!(stream = stream.name(), %error, "the lease of a stream was not given back");
    }
}

/// Says how far the streams are behind: every node reads it from the database, whoever sends.
async fn figures(keyward: Arc<Keyward>, mut stop: Stop) {
    metrics::describe_gauge!(LAG, "Records that wait for a stream, by stream and kind");
    loop {
        match streams::lags(&keyward).await {
            Ok(views) => {
                for view in views {
                    for lag in view.lags {
                        #[expect(clippy::cast_precision_loss, reason = "a figure")]
                        metrics::gauge!(LAG, "stream" => view.name.clone(), "records" => lag.carried.as_str())
                            .set(lag.records as f64);
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "how far the streams are behind was not read"),
        }
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(FIGURES) => {}
        }
    }
}
