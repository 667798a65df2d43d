//! gRPC health and the map's epoch as a metric, both following the map.

use crate::front::unary::Front;
use crate::map_source::MapReceiver;
use crate::metrics::Metrics;
use doug_proto::v1::doug_server::DougServer;
use std::sync::Arc;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Serving from the first map on; never again not, because without news the
/// last map stays good.
pub async fn publish(mut map: MapReceiver, reporter: HealthReporter) {
    reporter.set_service_status("", ServingStatus::NotServing).await;
    reporter.set_not_serving::<DougServer<Front>>().await;
    if map.wait_for(Option::is_some).await.is_ok() {
        reporter.set_service_status("", ServingStatus::Serving).await;
        reporter.set_serving::<DougServer<Front>>().await;
    }
}

/// Keeps the metric at the epoch of the map in use.
pub async fn report(mut map: MapReceiver, metrics: Arc<Metrics>) {
    loop {
        let epoch = map.borrow_and_update().as_ref().map_or(0, |map| map.epoch);
        metrics.set_map_epoch(epoch);
        if map.changed().await.is_err() {
            return;
        }
    }
}
