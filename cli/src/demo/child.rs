//! What a process of a demo does first, so that it never outlives the demo.

use anyhow::Context;
use rustix::process::{Pid, Signal};
use std::io::Read;

/// Names the demo's pid to the processes that it starts.
pub const PARENT: &str = "DOUG_PARENT_PID";

/// Ties this process to the demo that started it; does nothing without
/// [`PARENT`]. To be called by a thread that lives as long as the process: the
/// kernel forgets the wish with the thread.
///
/// # Errors
/// When the parent has already gone, or the system refuses.
pub fn die_with_parent() -> anyhow::Result<()> {
    let Ok(parent) = std::env::var(PARENT) else { return Ok(()) };
    let parent: i32 = parent.parse().with_context(|| format!("{PARENT}={parent} is not a pid"))?;
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .context("asking to be ended with the demo")?;
    // A parent that died before the wish was noted sends no signal any more.
    if Pid::as_raw(rustix::process::getppid()) != parent {
        anyhow::bail!("the demo that started this process (pid {parent}) has gone");
    }
    end_with_standard_input()
}

/// The demo holds the other end of the pipe and never writes: its end is the
/// demo's, on systems without a death signal too.
fn end_with_standard_input() -> anyhow::Result<()> {
    let watch = || {
        let mut byte = [0];
        while matches!(std::io::stdin().read(&mut byte), Ok(1)) {}
        doug_streams::exit(1);
    };
    std::thread::Builder::new().name("doug-demo-parent".into()).spawn(watch)?;
    Ok(())
}
