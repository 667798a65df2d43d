//! The threads that speak to other nodes.

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};

const PEER_THREADS: usize = 2;

/// Threads of their own for what nodes say to each other: however many clients wait for
/// the others, heartbeats, votes and acknowledgements do not wait with them.
pub(super) struct PeerRuntime(Option<Runtime>);

impl PeerRuntime {
    pub(super) fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(PEER_THREADS)
            .thread_name("peers")
            .enable_all()
            .build()
            .context("cannot start the threads that speak to other nodes")?;
        Ok(Self(Some(runtime)))
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("it is taken only when dropped")
    }

    pub(super) fn handle(&self) -> Handle {
        self.runtime().handle().clone()
    }

    /// Waits for connections there.
    pub(super) fn adopt(&self, listener: TcpListener) -> Result<TcpListener> {
        let _there = self.runtime().enter();
        let listener = listener.into_std().and_then(TcpListener::from_std);
        listener.context("cannot hand the Raft port over")
    }
}

impl Drop for PeerRuntime {
    fn drop(&mut self) {
        // To wait for it is not allowed where this ends.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
