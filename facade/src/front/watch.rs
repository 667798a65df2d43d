//! `WatchMap`: the map, then again each time it changes.

use crate::map_source::MapReceiver;
use doug_proto::v1::WatchMapResponse;
use futures::stream::{Stream, StreamExt, unfold};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// The map once its epoch is greater than `after`, and each later one.
pub fn maps(
    map: MapReceiver,
    after: u64,
    stop: CancellationToken,
) -> impl Stream<Item = Result<WatchMapResponse, Status>> {
    let newer = unfold((map, after, true), |(mut map, after, mut first)| async move {
        loop {
            // The value there at the start counts as a change, too.
            if !first && map.changed().await.is_err() {
                return None;
            }
            first = false;
            let now = map.borrow_and_update().clone();
            if let Some(now) = now.filter(|now| now.epoch > after) {
                let answer = WatchMapResponse { map: Some(now.to_wire()) };
                return Some((Ok(answer), (map, now.epoch, false)));
            }
        }
    });
    newer.take_until(async move { stop.cancelled().await })
}
