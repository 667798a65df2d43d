//! Taking work from a queue until the node stops.

use super::Pulse;
use crate::engine::Engine;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// How soon a thread without work notices that the node stops.
const IDLE: Duration = Duration::from_millis(100);

/// The next piece of work; none once the node stops and nothing waits. A queue
/// does not end by itself, since whoever serves it also holds its sender.
pub fn next<T>(queue: &Receiver<T>, engine: &Engine, pulse: &Pulse) -> Option<T> {
    loop {
        pulse.beat();
        match queue.recv_timeout(IDLE) {
            Ok(work) => return Some(work),
            Err(RecvTimeoutError::Timeout) if !engine.is_stopping() => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        }
    }
}
