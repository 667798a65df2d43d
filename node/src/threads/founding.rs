//! The creation document is written into the catalog by whoever leads it first.

use crate::catalog;
use crate::engine::Engine;
use crate::engine::requests::{Asked, Sink};
use crate::host::Event;
use crate::serving;
use doug_proto::error::Fault;
use doug_raft::Stamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Pause between looks.
const LOOK: Duration = Duration::from_secs(1);
/// How long a write of the document may take before it is looked for again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Has the document written once this node leads the catalog without it, until it has
/// seen it there or stops.
pub async fn write_creation(engine: Arc<Engine>) {
    while !engine.is_stopping() {
        match written(&engine).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(fault) => {
                tracing::warn!(why = fault.message, "the catalog has no creation document yet");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether this node's replica of the catalog has the document.
async fn written(engine: &Arc<Engine>) -> Result<bool, Fault> {
    let Some(creation) = engine.store.creation() else { return Ok(false) };
    let Some(replica) = engine.partition(catalog::PARTITION) else { return Ok(false) };
    let leads = replica.leads();
    let write = tokio::task::spawn_blocking(move || catalog::creation_write(&replica, &creation));
    let write = write.await.map_err(|error| Fault::unavailable(error.to_string()))?;
    let Some(command) = write.map_err(|error| Fault::unavailable(format!("{error:?}")))? else {
        return Ok(true);
    };
    if !leads {
        return Ok(false);
    }
    let (sender, answered) = oneshot::channel();
    let permit = engine.requests.admit(command.len())?;
    let deadline = engine.clock.after(PATIENCE);
    let partition = catalog::PARTITION;
    let asked = Asked::Operation(serving::Asked::Put);
    engine.submit(partition, asked, Some(Sink::Unary(sender)), permit, |request| Event::Write {
        request,
        partition,
        command,
        seen: Stamp(0),
        deadline,
    });
    // Whatever came of it is seen at the next look.
    drop(tokio::time::timeout(PATIENCE, answered).await);
    Ok(false)
}
