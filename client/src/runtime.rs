//! Where a client lives: what tells it the time, lets it wait, and runs its
//! tasks. On tokio unless told otherwise; the simulator brings its own.

use futures::future::BoxFuture;
use std::pin::pin;
use std::sync::Arc;
use tokio::time::Instant;

/// Time and tasks. Nothing else in a client reads a clock or starts a task, so
/// that one which is driven from a schedule does the same every time.
///
/// Only what is rare goes through it boxed: the task of a stream, the wait
/// before a retry. An operation that succeeds at once asks for the time alone.
pub trait Runtime: Send + Sync + 'static {
    /// The time.
    fn now(&self) -> Instant;

    /// Completes at `at`, or at once if that has passed.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()>;

    /// Runs a task beside its caller until it ends.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// Tokio: whichever of its runtimes the caller is on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

impl Runtime for Tokio {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(at))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}

/// What `future` gives, or nothing if it does not by `deadline`.
pub(crate) async fn before<F: Future>(
    runtime: &Arc<dyn Runtime>,
    deadline: Instant,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    tokio::select! {
        biased;
        output = &mut future => Some(output),
        () = runtime.sleep_until(deadline) => None,
    }
}
