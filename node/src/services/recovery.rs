//! A partition that begins anew from the replica here, because its quorum is lost for good.

use super::creation::another_database;
use crate::engine::Engine;
use crate::host::{Event, Reply, host_of};
use crate::membership::RecoveryOrder;
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Partition as Descriptor, RECOVERED_BY_BYTES};
use doug_proto::v1;
use std::time::Duration;

/// Has the host begin the partition anew; returns the descriptor once that is committed.
///
/// # Errors
/// A call that is not for this database, a partition that is led or has moved on, or one that can
/// still decide.
pub async fn recover(
    engine: &Engine,
    request: v1::RecoverRequest,
    timeout: Duration,
) -> Result<Descriptor, Fault> {
    let map = engine.maps.required()?;
    if request.database != map.database.to_string() {
        return Err(another_database(map.database));
    }
    let partition = request.partition;
    let order = Box::new(order(request, engine.clock.wall().0)?);
    tracing::warn!(
        partition, by = order.by, lost = ?order.lost, replica = order.replica,
        "asked to begin a partition anew from the replica here: its quorum is lost for good"
    );
    let deadline = engine.clock.after(timeout);
    let host = host_of(partition, engine.hosts.len());
    let reply =
        engine.ask(host, timeout, |request| Event::Recover { request, order, deadline }).await;
    match reply {
        Ok(Reply::Recovered(descriptor)) => {
            tracing::warn!(partition, "a partition has begun anew from the replica here");
            Ok(*descriptor)
        }
        Ok(_) => Err(Fault::unknown("the host answered with something else: a bug")),
        Err(fault) => {
            tracing::warn!(partition, why = %fault, "a partition was not begun anew");
            Err(fault)
        }
    }
}

fn order(request: v1::RecoverRequest, at_milliseconds: u64) -> Result<RecoveryOrder, Fault> {
    if request.by.is_empty() || request.by.len() > RECOVERED_BY_BYTES {
        return Err(Fault::invalid(format!(
            "say who asks, for the record, in 1 to {RECOVERED_BY_BYTES} bytes"
        )));
    }
    let node = |id: &String| -> Result<NodeId, Fault> {
        id.parse().map_err(|error| Fault::invalid(format!("{error}")))
    };
    Ok(RecoveryOrder {
        partition: request.partition,
        replica: request.replica,
        generation: request.generation,
        end: (request.last_term, request.last_index),
        committed: request.committed,
        lost: request.lost.iter().map(node).collect::<Result<_, _>>()?,
        discarded: request.discarded,
        by: request.by,
        at_milliseconds,
    })
}
