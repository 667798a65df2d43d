//! A partition's history given up by hand, up to a revision.

use crate::apply::{Floor, ReplicaData};
use crate::engine::Engine;
use crate::engine::removal::leave_if_damaged;
use crate::host::{Event, Reply};
use crate::work::encode_command;
use doug_proto::error::Fault;
use doug_proto::v1::{self, command};
use doug_raft::Stamp;
use doug_storage::tree::ReadError;
use std::sync::Arc;
use std::time::Duration;

/// Raises the floor of a partition that is led from here; returns the floor once that is applied.
///
/// # Errors
/// A partition that is not here or not led from here, or a revision that it has not come to.
pub async fn compact(
    engine: &Arc<Engine>,
    request: &v1::CompactRequest,
    timeout: Duration,
) -> Result<Floor, Fault> {
    let (partition, revision) = (request.partition, request.revision);
    let map = engine.maps.required()?;
    if map.partition(partition).is_none() {
        return Err(Fault::invalid(format!("the database has no partition {partition}")));
    }
    let held = engine.partition(partition);
    let wanted = match &held {
        Some(held) => floor_at(engine, held.clone(), revision).await?,
        // Its host says who leads.
        None => Floor::default(),
    };
    let present = held.as_ref().map_or(Floor::default(), |held| held.history().floor);
    if engine.leads(partition) && wanted.revision <= present.revision {
        return Ok(present);
    }
    let raise = v1::RaiseFloorCommand { floor: Some(wanted.to_wire()) };
    let raise = command::Command::RaiseFloor(raise);
    let command = encode_command(&v1::Command { command: Some(raise) });
    let deadline = engine.clock.after(timeout);
    let host = crate::host::host_of(partition, engine.hosts.len());
    let reply = engine.ask(host, timeout, |request| Event::Write {
        request,
        partition,
        command,
        seen: Stamp(0),
        deadline,
    });
    match reply.await.map_err(|fault| engine.with_leader_address(fault))? {
        Reply::Applied => Ok(held.map_or(wanted, |held| held.history().floor)),
        _ => Err(Fault::unknown("the host answered with something else: a bug")),
    }
}

/// The floor that leaves `revision` readable: at the end of the newest batch up to there.
async fn floor_at(
    engine: &Arc<Engine>,
    held: Arc<ReplicaData>,
    revision: u64,
) -> Result<Floor, Fault> {
    let (key, view) = (held.key(), held.reader().view());
    if revision > view.revision() {
        return Err(Fault::invalid(format!(
            "partition {} has come to revision {} only, so revision {revision} cannot be the \
             oldest one that it keeps",
            key.partition,
            view.revision()
        )));
    }
    let looked = tokio::task::spawn_blocking(move || view.batch_at(revision)).await;
    let unreadable = |why: String| Fault::unavailable(format!("this replica cannot read: {why}"));
    match looked.map_err(|error| unreadable(error.to_string()))? {
        Ok(batch) => Ok(batch.map_or_else(Floor::default, |batch| Floor {
            revision: batch.last,
            stamp: batch.stamp,
        })),
        // Damage costs the replica, whoever meets it.
        Err(ReadError::Storage(error)) => {
            let why = error.to_string();
            leave_if_damaged(engine, key, error).map_err(|error| unreadable(error.to_string()))?;
            Err(unreadable(why))
        }
        Err(error) => Err(unreadable(error.to_string())),
    }
}
