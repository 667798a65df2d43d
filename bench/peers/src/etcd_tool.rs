//! etcd's own load tool, as a check on ours: it must not find etcd much faster.

use crate::load::Operation;
use anyhow::{Context, bail};
use std::path::Path;
use std::process::Command;

/// What the tool is to do.
pub struct Ask {
    /// What is asked.
    pub operation: Operation,
    /// By how many at once.
    pub clients: usize,
    /// Over how many connections.
    pub connections: usize,
    /// How often.
    pub total: u64,
    /// Distinct keys of writes; reads ask for one key only, where ours ask for random ones.
    pub keys: u64,
    /// Bytes of a value.
    pub value_bytes: usize,
}

/// Runs the tool; returns operations a second, as it prints them.
pub fn run(program: &Path, leader: &str, ask: Ask) -> anyhow::Result<f64> {
    let mut command = Command::new(program);
    command.arg(format!("--endpoints={leader}"));
    command.arg(format!("--clients={}", ask.clients)).arg(format!("--conns={}", ask.connections));
    match ask.operation {
        Operation::Put => command
            .args(["put", "--key-size=16"])
            .arg(format!("--val-size={}", ask.value_bytes))
            .arg(format!("--key-space-size={}", ask.keys)),
        Operation::Get => command.args(["range", "key-000000000001", "--consistency=l"]),
    };
    command.arg(format!("--total={}", ask.total));
    let output = command.output().with_context(|| format!("running {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("etcd's load tool failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    rate(&text).with_context(|| format!("etcd's load tool printed no rate:\n{text}"))
}

fn rate(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"))?;
    line.trim().parse().ok()
}
