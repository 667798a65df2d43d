//! Processes that never outlive the benchmark, and what they cost.

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A process that is killed when the value is dropped, and by the kernel when
/// this program dies without dropping anything.
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts a program, its output going to `log`. To be called by the main
    /// thread only: the kernel ends the child with the thread that started it.
    pub fn start(name: &str, log: &Path, program: &Path, args: &[String]) -> anyhow::Result<Self> {
        let output = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let child = Command::new(std::env::current_exe()?)
            .arg("child")
            .arg(std::process::id().to_string())
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child })
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Says so, with the end of its log, if it has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(8)..].join("\n");
        bail!("{} ended ({status}); its last lines:\n{end}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes this process `command`, tied to `parent`: the signal requested here outlives the exec.
pub fn become_child(parent: i32, command: &[String]) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if Pid::as_raw(rustix::process::getppid()) != parent {
        bail!("the benchmark (pid {parent}) has gone");
    }
    let (program, args) = command.split_first().context("no program was given")?;
    let error = Command::new(program).args(args).exec();
    Err(error).with_context(|| format!("running {program}"))
}

/// What processes have used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time.
    pub time: Duration,
    /// Context switches of their threads, voluntary and not.
    pub switches: u64,
}

impl Usage {
    /// Of all of these.
    pub fn of(pids: impl IntoIterator<Item = u32>) -> Self {
        let mut all = Self::default();
        for pid in pids {
            // USER_HZ is 100 on every Linux that Rust runs on.
            all.time += Duration::from_millis(ticks(pid).unwrap_or(0) * 10);
            all.switches += switches(pid).unwrap_or(0);
        }
        all
    }

    /// What was used since, the given share of it. Threads that have ended since take their
    /// switches with them.
    pub fn since(self, before: Self, share: f64) -> Self {
        let switches = self.switches.saturating_sub(before.switches) as f64 * share;
        Self {
            time: self.time.saturating_sub(before.time).mul_f64(share),
            switches: switches as u64,
        }
    }
}

fn switches(pid: u32) -> Option<u64> {
    let mut total = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // A thread may end while it is looked at.
        let status = std::fs::read_to_string(task.ok()?.path().join("status")).unwrap_or_default();
        let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
        total += counts.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum::<u64>();
    }
    Some(total)
}

fn ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// Hands out free ports of the loopback interface, none twice, below the range
/// that outgoing connections take theirs from.
pub struct Ports(std::ops::Range<u16>);

impl Ports {
    /// Begins somewhere else in each process.
    pub fn new() -> Self {
        Self(20_000 + (std::process::id() % 8_000) as u16..32_000)
    }

    /// So many ports.
    pub fn take(&mut self, count: usize) -> anyhow::Result<Vec<u16>> {
        let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        let ports: Vec<u16> = self.0.by_ref().filter(free).take(count).collect();
        if ports.len() < count {
            bail!("fewer than {count} free ports are left below 32000: stop other programs");
        }
        Ok(ports)
    }
}
