//! A node's threads: each is watched, and none may end before the node stops.

use crate::engine::clock::Clock;
use crate::watchdog::{Heartbeat, Watchdog};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A host waits for nothing and nobody: it only computes.
pub const HOST_PATIENCE: Duration = Duration::from_secs(10);
/// Other threads wait for the disk, of which a single write may take long.
pub const DISK_PATIENCE: Duration = Duration::from_secs(30);

/// The threads that run.
#[derive(Debug)]
pub struct Threads {
    watchdog: Arc<Watchdog>,
    clock: Clock,
    handles: Vec<JoinHandle<()>>,
    ended: CancellationToken,
}

/// What a thread says of itself at every pass of its loop.
#[derive(Debug)]
pub struct Pulse {
    heartbeat: Heartbeat,
    clock: Clock,
}

impl Pulse {
    /// The thread came round.
    pub fn beat(&self) {
        self.heartbeat.beat(self.clock.now());
    }
}

impl Threads {
    /// None yet.
    pub fn new(watchdog: Arc<Watchdog>, clock: Clock) -> Self {
        Self { watchdog, clock, handles: Vec::new(), ended: CancellationToken::new() }
    }

    /// Starts a thread, which is stuck once it is silent for longer than `patience`.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub fn spawn(
        &mut self,
        name: &str,
        patience: Duration,
        work: impl FnOnce(Pulse) + Send + 'static,
    ) -> io::Result<()> {
        let heartbeat = self.watchdog.watch(name, patience, self.clock.now());
        let pulse = Pulse { heartbeat, clock: self.clock };
        let ended = self.ended.clone().drop_guard();
        let run = move || {
            // Dropped however the work ends: by a panic, too.
            let _ended = ended;
            work(pulse);
        };
        self.handles.push(std::thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    /// Waits until a thread has ended. Before the node stops that is a bug: the rest of
    /// it must not go on, half dead.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Waits until all have ended.
    pub fn join(self) {
        for thread in self.handles {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_panics_is_noticed_at_once_and_named() {
        let watchdog = Arc::new(Watchdog::default());
        let clock = Clock::start();
        let mut threads = Threads::new(watchdog.clone(), clock);
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let waits = move |pulse: Pulse| {
            pulse.beat();
            let _ = stopped.recv();
        };
        threads.spawn("host-0", HOST_PATIENCE, waits).unwrap();
        let panics = |_: Pulse| std::panic::resume_unwind(Box::new("a bug"));
        threads.spawn("apply", DISK_PATIENCE, panics).unwrap();
        tokio::time::timeout(Duration::from_secs(10), threads.ended()).await.expect("it ended");
        let complaint = loop {
            if let Some(complaint) = watchdog.complaint(clock.now()) {
                break complaint;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(complaint.to_string(), "thread apply has ended");
        drop(stop);
        threads.join();
    }
}
