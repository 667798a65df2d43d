//! `doug-witness`: clients that write and read while something terrible happens
//! to the database, and a judge of what they were answered.
//!
//! It runs inside the Kubernetes cluster, since a port-forward would end with
//! the pod that it leads to. SIGTERM ends the clients; then every key is read
//! back, the history is judged, and the report is the last line printed.
#![deny(missing_docs)]

use anyhow::Context;
use clap::Parser;
use doug_client::Client;
use doug_witness::{clients, judge};
use rustix::process::{Pid, Signal, kill_process};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Writes and reads until SIGTERM, then judges the answers.
#[derive(Parser)]
struct Args {
    /// End the witness that is the first process of this container
    #[arg(long)]
    stop: bool,
    /// Facade to write through
    #[arg(long, required_unless_present = "stop", default_value = "")]
    endpoint: String,
    /// Prefix of all keys; no other witness of this database may have the same
    #[arg(long, required_unless_present = "stop", default_value = "")]
    name: String,
    /// Clients at once
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Pause of each client between two operations, in milliseconds
    #[arg(long, default_value_t = 20)]
    pause: u64,
    /// How long an operation may take, in milliseconds
    #[arg(long, default_value_t = 10_000)]
    timeout: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if args.stop {
        return kill_process(Pid::INIT, Signal::TERM).context("the witness cannot be told");
    }
    let mut stop = signal(SignalKind::terminate()).context("SIGTERM cannot be awaited")?;
    let timeout = Duration::from_millis(args.timeout);
    let builder = Client::builder().endpoints([args.endpoint.clone()]).timeout(timeout);
    let client = builder.connect().await.context("no client")?;

    let stopping = Arc::new(AtomicBool::new(false));
    let pause = Duration::from_millis(args.pause);
    let clients = clients::start(&client, &args.name, args.clients, pause, &stopping);
    doug_streams::outln!("started");
    stop.recv().await;
    stopping.store(true, Ordering::Relaxed);
    let history = clients::join(clients).await;
    let report = judge::judge(&client, &history).await;
    doug_streams::outln!("{}", serde_json::to_string(&report).context("the report is no JSON")?);
    doug_streams::out::lost().map_or(Ok(()), |lost| Err(lost.into()))
}
