//! What ends an operation that waits for others to do something, once the facade stops.

use crate::router::Router;
use doug_proto::error::Fault;
use doug_proto::v1::stream_answer::Answer;
use doug_proto::v1::stream_operation::Operation;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Carries one operation out. A watch, which may wait for half a minute, waits no longer than until
/// `stop`: whoever watches goes on elsewhere, where it was.
pub(super) async fn execute(
    router: &Router,
    operation: Operation,
    bytes: usize,
    timeout: Duration,
    stop: &CancellationToken,
) -> Result<Answer, Fault> {
    let waits = matches!(operation, Operation::Watch(_));
    let executing = router.execute(operation, bytes, timeout);
    tokio::select! {
        biased;
        answer = executing => answer,
        () = stop.cancelled(), if waits => {
            Err(Fault::unavailable("this facade stops: go on with the watch at another one"))
        }
    }
}
