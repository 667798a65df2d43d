//! Probes and metrics over HTTP.

use crate::admission::RequestAdmission;
use crate::map_source::MapReceiver;
use crate::metrics::{HeldBytes, Metrics};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use doug_edge::answers::Answers;
use doug_edge::received::Received;
use std::sync::Arc;

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    /// Of the whole facade.
    pub metrics: Arc<Metrics>,
    /// Its bytes under way are shown as a metric.
    pub admission: RequestAdmission,
    /// So are the bytes that clients have not read.
    pub answers: Answers,
    /// And those that they sent and that cannot be worked on yet.
    pub received: Received,
    /// Ready means that there is a map.
    pub map: MapReceiver,
}

/// `/livez`, `/readyz` and `/metrics`.
pub fn router(pages: Pages) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(pages)
}

/// Ready needs a map, never healthy clusters: a facade taken out of service
/// because one cluster is down would take the others' keys with it.
async fn ready(State(pages): State<Pages>) -> impl IntoResponse {
    match &*pages.map.borrow() {
        Some(map) => (StatusCode::OK, format!("ready: partition map of epoch {}\n", map.epoch)),
        None => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: no partition map yet; see the log for why\n".to_owned(),
        ),
    }
}

async fn metrics(State(pages): State<Pages>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let held = HeldBytes {
        in_flight: pages.admission.used(),
        answers: pages.answers.used(),
        received: pages.received.used(),
    };
    ([(header::CONTENT_TYPE, kind)], pages.metrics.encode(held))
}
