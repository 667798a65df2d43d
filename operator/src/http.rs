//! Probes and metrics over HTTP.

use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    /// Of the whole operator.
    pub metrics: Arc<Metrics>,
    /// Whether the API server has answered once. Waiting for the lease is no
    /// reason to be unready: another operator works.
    pub connected: Arc<AtomicBool>,
}

/// `/livez`, `/readyz` and `/metrics`.
pub fn router(pages: Pages) -> Router {
    Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(pages)
}

async fn ready(State(pages): State<Pages>) -> impl IntoResponse {
    if pages.connected.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the API server has not answered yet\n")
    }
}

async fn metrics(State(pages): State<Pages>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], pages.metrics.encode())
}
