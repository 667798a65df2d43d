//! Probes and metrics.

use super::status::state;
use crate::engine::Engine;
use crate::watchdog::Watchdog;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use doug_proto::v1::NodeState;
use doug_raft::Time;
use std::sync::Arc;

/// The node's HTTP pages.
pub fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/startupz", get(started))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(engine)
}

/// The servers start only once the log is replayed.
async fn started() -> &'static str {
    "started\n"
}

/// Alive means that every thread gets on with its work; never that there is a quorum,
/// or a partition in trouble would have its last nodes killed.
async fn live(State(engine): State<Arc<Engine>>) -> (StatusCode, String) {
    liveness(&engine.watchdog, engine.clock.now())
}

fn liveness(watchdog: &Watchdog, now: Time) -> (StatusCode, String) {
    match watchdog.complaint(now) {
        Some(complaint) => (StatusCode::SERVICE_UNAVAILABLE, format!("{complaint}\n")),
        None => (StatusCode::OK, "alive\n".to_owned()),
    }
}

/// Ready means that every replica has caught up once since the start.
async fn ready(State(engine): State<Arc<Engine>>) -> (StatusCode, &'static str) {
    let unready = StatusCode::SERVICE_UNAVAILABLE;
    if engine.is_stopping() {
        return (unready, "stopping\n");
    }
    match state(&engine) {
        NodeState::Ready => (StatusCode::OK, "ready\n"),
        NodeState::Empty => (unready, "empty: waiting for `doug create`\n"),
        NodeState::Removed => (
            unready,
            "removed: the database has taken this node out for good, and its volume is of no use \
             any more; stop it, and start one with an empty volume\n",
        ),
        _ => (unready, "a replica has not caught up with its leader yet\n"),
    }
}

async fn metrics(State(engine): State<Arc<Engine>>) -> Result<String, StatusCode> {
    engine.metrics.render(&engine.measured()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::{DISK_PATIENCE, HOST_PATIENCE};

    #[test]
    fn a_stuck_thread_of_any_kind_fails_the_liveness_probe() {
        let watchdog = Watchdog::default();
        let start = Time(1_000_000);
        let host = watchdog.watch("host-0", HOST_PATIENCE, start);
        let log = watchdog.watch("log", DISK_PATIENCE, start);
        let later = start.after(DISK_PATIENCE);
        host.beat(later);
        log.beat(later);
        assert_eq!(liveness(&watchdog, later).0, StatusCode::OK);
        let stuck = Time(later.after(DISK_PATIENCE).0 + 1);
        host.beat(stuck);
        let (status, why) = liveness(&watchdog, stuck);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(why.contains("thread log"), "{why}");
    }
}
