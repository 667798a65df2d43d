//! `WatchMap`: the map, then what changes of it.

use crate::map_source::MapReceiver;
use doug_proto::map::MapTeller;
use doug_proto::v1::{WatchMapRequest, WatchMapResponse};
use futures::stream::{Stream, StreamExt, unfold};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// What was asked for of the map, then what changes of that.
pub fn maps(
    map: MapReceiver,
    request: WatchMapRequest,
    stop: CancellationToken,
) -> impl Stream<Item = Result<WatchMapResponse, Status>> {
    let teller = MapTeller::new(request);
    let newer = unfold((map, teller, true), |(mut map, mut teller, mut first)| async move {
        loop {
            // The value there at the start counts as a change, too.
            if !first && map.changed().await.is_err() {
                return None;
            }
            first = false;
            let now = map.borrow_and_update().clone();
            if let Some(answer) = now.and_then(|now| teller.tell(&now)) {
                return Some((Ok(answer), (map, teller, false)));
            }
        }
    });
    newer.take_until(async move { stop.cancelled().await })
}
