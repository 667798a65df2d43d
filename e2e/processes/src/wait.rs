//! Waiting for what must come to pass.

use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Tries until there is something, and returns it.
///
/// # Panics
/// When there is nothing `within` that time: `what` was awaited in vain.
pub async fn until<T, F>(what: &str, within: Duration, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {within:?}");
        sleep(Duration::from_millis(20)).await;
    }
}
