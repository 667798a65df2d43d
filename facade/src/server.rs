//! Puts the facade together and runs it.

use crate::admission::Admission;
use crate::front::unary::Front;
use crate::http::{Pages, router as http_router};
use crate::metrics::Metrics;
use crate::router::Router;
use crate::{Config, health};
use anyhow::{Context, bail};
use doug_proto::limits;
use doug_proto::v1::{FILE_DESCRIPTOR_SET, doug_server::DougServer};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// How long operations under way may take to end once told to stop.
const GRACE: Duration = Duration::from_secs(10);
/// Pipelined streams stall on HTTP/2's default windows of 64 KiB.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Runs a facade until `shutdown` ends; operations under way then get ten
/// seconds to end.
///
/// # Errors
/// A port that is taken, a budget that is too small, or a server that failed.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    if config.memory_budget < 2 * limits::REQUEST_BYTES {
        let least = 2 * limits::REQUEST_BYTES;
        bail!("the memory budget is {} bytes; give at least {least}", config.memory_budget);
    }
    let doug = listen(config.listen, "--listen").await?;
    let http = listen(config.http, "--http").await?;
    let stop = CancellationToken::new();
    let map = config.map.source().start();
    let metrics = Arc::new(Metrics::new());
    let admission = Admission::new(config.memory_budget);
    let router = Router::new(map.clone(), admission.clone(), metrics.clone()).await?;
    let pages = Pages { metrics: metrics.clone(), admission, map: map.clone() };

    let serving = tokio::spawn(serve_http(http, pages, stop.clone()));
    let reporter = tokio::spawn(health::report(map, metrics));
    let front = tokio::spawn(serve_doug(doug, Front::new(Arc::new(router), stop.clone())));
    tracing::info!(listen = %config.listen, http = %config.http, "facade started");

    let mut front = front;
    tokio::select! {
        () = shutdown => {}
        ended = &mut front => return ended.context("the facade's server panicked")?,
    }
    stop.cancel();
    if tokio::time::timeout(GRACE, front).await.is_err() {
        tracing::warn!("some clients kept their calls open; stopping without them");
    }
    reporter.abort();
    serving.abort();
    Ok(())
}

/// Binds before anything else starts, so that a taken port is the first and
/// only thing said.
async fn listen(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address}: if another process has that port (a facade, a node or a \
             demo already running?), stop it, or choose another address with {option}"
        )
    })
}

async fn serve_doug(listener: TcpListener, front: Front) -> anyhow::Result<()> {
    let stop = front.stop();
    let (reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(health::publish(front.map(), reporter));
    let doug = DougServer::new(front)
        .accept_compressed(CompressionEncoding::Gzip)
        // Room above the limit, so that our error says which one it is.
        .max_decoding_message_size(limits::MESSAGE_BYTES)
        .max_encoding_message_size(usize::MAX);
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .add_service(doug)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            async move { stop.cancelled().await },
        )
        .await
        .context("the facade's server failed")
}

/// Both versions, because many tools (older grpcurl too) only know v1alpha.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

async fn serve_http(listener: TcpListener, pages: Pages, stop: CancellationToken) {
    let served = axum::serve(listener, http_router(pages))
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await;
    if let Err(error) = served {
        tracing::error!("the HTTP server failed: {error}");
    }
}
