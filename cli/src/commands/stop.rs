//! When a role should stop: SIGTERM, or SIGINT from a terminal.

use anyhow::Context;
use std::future::Future;
use tokio::signal::unix::{SignalKind, signal as on};

/// Ends with the first of the two signals. Registered at once, so that none
/// that arrives during the start is lost.
///
/// # Errors
/// The system refuses signal handlers.
pub fn signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = on(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = on(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!("{name}: stopping");
    })
}
