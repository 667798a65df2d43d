//! The processes of a demo: started, signalled, waited for.

use super::child;
use super::spawner::Spawner;
use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

/// How long a process has to stop cleanly before it is ended.
const GRACE: Duration = Duration::from_secs(5);
/// How long the kernel may take to end a process.
const END: Duration = Duration::from_secs(5);

/// What a process is called and how it is started.
#[derive(Clone, Debug)]
pub struct Spec {
    /// For instance `a-0`, or `facade`.
    pub name: String,
    /// Arguments of `doug`.
    pub arguments: Vec<String>,
    /// What it prints goes here.
    pub log: PathBuf,
}

/// What became of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// It was ended on request, or never started.
    Stopped,
    /// It ended unasked: how.
    Died(String),
}

/// The unasked end of a process.
#[derive(Debug)]
pub struct Death {
    /// Which process.
    pub name: String,
    /// How it ended.
    pub how: String,
    /// The last lines of its log.
    pub last_lines: String,
}

/// All processes of one demo, by name.
pub struct Processes {
    spawner: Spawner,
    all: BTreeMap<String, Process>,
    exits_in: mpsc::Sender<Exit>,
    exits: mpsc::Receiver<Exit>,
}

struct Process {
    spec: Spec,
    pid: Option<u32>,
    condition: Condition,
    signals: mpsc::Sender<Signal>,
    ended: watch::Receiver<bool>,
}

struct Exit {
    name: String,
    pid: u32,
    status: std::io::Result<ExitStatus>,
}

impl Processes {
    /// None yet. To be called inside the runtime.
    pub fn new() -> anyhow::Result<Self> {
        let (exits_in, exits) = mpsc::channel(64);
        Ok(Self { spawner: Spawner::new()?, all: BTreeMap::new(), exits_in, exits })
    }

    /// Starts a process that does not run.
    pub async fn start(&mut self, spec: Spec) -> anyhow::Result<()> {
        let name = spec.name.clone();
        let child = self.spawner.spawn(command(&spec)?).await;
        let child = child.with_context(|| format!("starting {name}"))?;
        let pid = child.id().with_context(|| format!("{name} ended at once"))?;
        let (signals, to_send) = mpsc::channel(16);
        let (has_ended, ended) = watch::channel(false);
        tokio::spawn(attend(name.clone(), pid, child, to_send, has_ended, self.exits_in.clone()));
        let condition = Condition::Running;
        self.all.insert(name, Process { spec, pid: Some(pid), condition, signals, ended });
        Ok(())
    }

    /// The pid of a process that runs, and what became of it.
    pub fn look(&self, name: &str) -> (Option<u32>, Condition) {
        self.all
            .get(name)
            .map_or((None, Condition::Stopped), |process| (process.pid, process.condition.clone()))
    }

    /// Waits for the next process that ends unasked.
    pub async fn next_death(&mut self) -> Death {
        loop {
            let Some(exit) = self.exits.recv().await else { std::future::pending().await };
            if let Some(death) = self.died(&exit) {
                return death;
            }
        }
    }

    /// Ends processes as a crash would, all at once. Ones that do not run are passed over.
    pub async fn kill(&mut self, names: &[String]) -> anyhow::Result<()> {
        self.signal(names, Signal::KILL).await;
        self.await_end(names, END).await;
        match self.running(names).first() {
            None => Ok(()),
            Some(name) => bail!("{name} has not ended although it was sent SIGKILL"),
        }
    }

    /// Asks processes to stop, then ends those that have not within five seconds.
    pub async fn stop(&mut self, names: &[String]) -> anyhow::Result<()> {
        // A frozen process does not see that it should stop.
        self.signal(names, Signal::CONT).await;
        self.signal(names, Signal::TERM).await;
        self.await_end(names, GRACE).await;
        self.kill(names).await
    }

    /// Freezes processes.
    pub async fn pause(&mut self, names: &[String]) -> anyhow::Result<()> {
        self.freeze(names, Signal::STOP, Condition::Paused).await
    }

    /// Lets frozen processes go on.
    pub async fn resume(&mut self, names: &[String]) -> anyhow::Result<()> {
        self.freeze(names, Signal::CONT, Condition::Running).await
    }

    /// Stops those that run, then starts all again.
    pub async fn restart(&mut self, names: &[String]) -> anyhow::Result<()> {
        self.stop(names).await?;
        for name in names {
            let process = self.all.get(name).with_context(|| format!("no process {name}"))?;
            self.start(process.spec.clone()).await?;
        }
        Ok(())
    }

    async fn freeze(
        &mut self,
        names: &[String],
        signal: Signal,
        then: Condition,
    ) -> anyhow::Result<()> {
        if let Some(name) = names.iter().find(|name| self.look(name).0.is_none()) {
            bail!("{name} does not run: start it with `doug demo restart {name}`");
        }
        self.signal(names, signal).await;
        for name in names {
            if let Some(process) = self.all.get_mut(name) {
                process.condition = then.clone();
            }
        }
        Ok(())
    }

    async fn signal(&self, names: &[String], signal: Signal) {
        for process in names.iter().filter_map(|name| self.all.get(name)) {
            // Fails only where the process has ended.
            let _ = process.signals.send(signal).await;
        }
    }

    async fn await_end(&mut self, names: &[String], within: Duration) {
        let deadline = Instant::now() + within;
        for name in names {
            let Some(process) = self.all.get_mut(name) else { continue };
            if process.pid.is_none() {
                continue;
            }
            if timeout_at(deadline, process.ended.wait_for(|ended| *ended)).await.is_ok() {
                process.pid = None;
                process.condition = Condition::Stopped;
            }
        }
    }

    fn running(&self, names: &[String]) -> Vec<String> {
        names.iter().filter(|name| self.look(name).0.is_some()).cloned().collect()
    }

    /// Notes an end. None if it was asked for.
    fn died(&mut self, exit: &Exit) -> Option<Death> {
        let process = self.all.get_mut(&exit.name)?;
        if process.pid != Some(exit.pid) {
            return None;
        }
        let how = match &exit.status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        process.pid = None;
        process.condition = Condition::Died(how.clone());
        let last_lines = last_lines(&process.spec.log);
        Some(Death { name: exit.name.clone(), how, last_lines })
    }
}

/// Owns a child until it has been waited for: only so can a signal never reach
/// another process that was given the pid of one that ended.
async fn attend(
    name: String,
    pid: u32,
    mut child: Child,
    mut signals: mpsc::Receiver<Signal>,
    ended: watch::Sender<bool>,
    exits: mpsc::Sender<Exit>,
) {
    // Waiting would close it, and the child ends with its standard input.
    let _input = child.stdin.take();
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            Some(signal) = signals.recv() => send(&child, signal),
        }
    };
    signals.close();
    let _ = ended.send(true);
    let _ = exits.send(Exit { name, pid, status }).await;
}

fn send(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    if let Some(pid) = pid {
        // Fails only where the process has ended, which `wait` reports.
        let _ = kill_process(pid, signal);
    }
}

fn command(spec: &Spec) -> anyhow::Result<Command> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&spec.log);
    let log = log.with_context(|| format!("opening {}", spec.log.display()))?;
    let mut command = Command::new(std::env::current_exe().context("finding this program")?);
    command
        .args(&spec.arguments)
        .env(child::PARENT, std::process::id().to_string())
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C in the terminal is for the demo, which then stops the others in order.
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

/// The end of a log, for whoever has to find out why its process died.
pub fn last_lines(log: &std::path::Path) -> String {
    const LINES: usize = 10;
    const BYTES: usize = 8 << 10;
    let text = std::fs::read(log).unwrap_or_default();
    let end = String::from_utf8_lossy(&text[text.len().saturating_sub(BYTES)..]).into_owned();
    let lines: Vec<&str> = end.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_its_last_ten_lines_are_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text: String = (1..=30).map(|line| format!("line {line}\n")).collect();
        std::fs::write(file.path(), text).unwrap();
        let shown = last_lines(file.path());
        assert!(shown.starts_with("line 21\n") && shown.ends_with("line 30"), "{shown}");
    }
}
