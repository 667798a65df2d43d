//! Probes and metrics.

use super::status::state;
use crate::engine::shared::Shared;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use doug_proto::v1::NodeState;
use std::sync::Arc;

/// A host that has not turned for this long, in microseconds, is stuck.
const STUCK: u64 = 10_000_000;

/// The node's HTTP pages.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/startupz", get(started))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shared)
}

/// The servers start only once the log is replayed.
async fn started() -> &'static str {
    "started\n"
}

/// Alive means that every host turns; never that there is a quorum, or a
/// partition in trouble would have its last nodes killed.
async fn live(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    let now = shared.clock.now();
    let stuck = shared.hosts.iter().any(|host| now.since(host.turned()) > STUCK);
    if stuck {
        return (StatusCode::SERVICE_UNAVAILABLE, "a host has not turned for 10 seconds\n");
    }
    (StatusCode::OK, "alive\n")
}

/// Ready means that every replica has caught up once since the start.
async fn ready(State(shared): State<Arc<Shared>>) -> (StatusCode, &'static str) {
    let unready = StatusCode::SERVICE_UNAVAILABLE;
    if shared.is_stopping() {
        return (unready, "stopping\n");
    }
    match state(&shared) {
        NodeState::Ready => (StatusCode::OK, "ready\n"),
        NodeState::Empty => (unready, "empty: waiting for `doug create`\n"),
        _ => (unready, "a replica has not caught up with its leader yet\n"),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Result<String, StatusCode> {
    shared.metrics.render(&shared).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
