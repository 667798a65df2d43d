//! Puts the facade together and runs it.

use crate::admission::RequestAdmission;
use crate::config::Config;
use crate::front::unary::Front;
use crate::health;
use crate::http::{Pages, router as http_router};
use crate::metrics::Metrics;
use crate::router::Router;
use anyhow::{Context, ensure};
use doug_edge::answers::Answers;
use doug_edge::grpc::{self, EdgeLayer};
use doug_edge::incoming::Incoming;
use doug_edge::received::Received;
use doug_edge::{ConnectionLimits, descriptors, stall};
use doug_proto::limits;
use doug_proto::v1::{FILE_DESCRIPTOR_SET, doug_server::DougServer};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;

/// How long operations under way may take to end once told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Runs a facade until `shutdown` ends; operations under way then get ten
/// seconds to end.
///
/// # Errors
/// A port that is taken, a budget that is too small, or a server that failed.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    Facade::bind(config).await?.run(shutdown).await
}

/// A facade that has its ports and does not serve yet.
pub struct Facade {
    doug: TcpListener,
    http: TcpListener,
    config: Config,
}

impl Facade {
    /// Takes the ports; port 0 means any free one.
    ///
    /// # Errors
    /// A port that is taken, or a budget that is too small.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        let (budget, least) = (config.memory_budget as u64, limits::FACADE_MEMORY_BYTES);
        ensure!(budget >= least, "the memory budget is {budget} bytes; give at least {least}");
        let doug = listen(config.listen, "--listen").await?;
        let http = listen(config.http, "--http").await?;
        Ok(Self { doug, http, config })
    }

    /// Where clients connect.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.doug.local_addr()?)
    }

    /// Where probes and metrics are.
    ///
    /// # Errors
    /// The system does not say.
    pub fn http_address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.http.local_addr()?)
    }

    /// Serves until `shutdown` ends; operations under way then get ten seconds
    /// to end.
    ///
    /// # Errors
    /// A server that failed.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let (address, http_address) = (self.address()?, self.http_address()?);
        let stop = CancellationToken::new();
        let _stop_all = stop.clone().drop_guard();
        let map = self.config.map.source().start();
        let metrics = Arc::new(Metrics::new());
        let budget = self.config.memory_budget;
        let (admission, answers) =
            (RequestAdmission::new(budget / 8 * 3), Answers::new(budget / 2));
        // One request that comes in pieces has room, and another one.
        let received = Received::new((budget / 8).max(limits::MESSAGE_BYTES + (1 << 20)));
        let router = Router::new(map.clone(), admission.clone(), metrics.clone()).await?;
        let pages = Pages {
            metrics: metrics.clone(),
            admission,
            answers: answers.clone(),
            received: received.clone(),
            map: map.clone(),
        };
        let connections =
            ConnectionLimits::of(descriptors::limit()).with_clients(self.config.max_connections);
        let http =
            Incoming::new(self.http, "HTTP", connections.http, answers.clone(), received.clone());
        let doug = Incoming::new(
            self.doug,
            "client",
            connections.clients,
            answers.clone(),
            received.clone(),
        );

        let watching = stop.clone().run_until_cancelled_owned(stall::watch(answers, received));
        tokio::spawn(watching);
        tokio::spawn(serve_http(http, pages, stop.clone()));
        tokio::spawn(health::report(map, metrics));
        let front = Front::new(Arc::new(router), stop.clone());
        let mut serving = tokio::spawn(serve_doug(doug, front));
        tracing::info!("facade serves on {address}, probes and metrics on {http_address}");
        tokio::select! {
            () = shutdown => {}
            ended = &mut serving => return ended.context("the facade's server panicked")?,
        }
        stop.cancel();
        match tokio::time::timeout(GRACE, &mut serving).await {
            Ok(ended) => ended.context("the facade's server panicked")?,
            Err(_) => {
                tracing::warn!("some clients kept their calls open; stopping without them");
                serving.abort();
                Ok(())
            }
        }
    }
}

/// Binds before anything else starts, so that a taken port is the first and
/// only thing said.
async fn listen(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    doug_edge::listen(address).await.with_context(|| {
        format!(
            "cannot listen on {address}: if another process has that port (a facade, a node or a \
             demo already running?), stop it, or choose another address with {option}"
        )
    })
}

async fn serve_doug(incoming: Incoming<TcpListener>, front: Front) -> anyhow::Result<()> {
    let stop = front.stop();
    let (reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(health::publish(front.map(), reporter));
    let doug = DougServer::new(front)
        .accept_compressed(CompressionEncoding::Gzip)
        // Room above the limit, so that our error says which one it is.
        .max_decoding_message_size(limits::MESSAGE_BYTES)
        .max_encoding_message_size(usize::MAX);
    grpc::for_clients()
        .layer(EdgeLayer)
        .add_service(doug)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .serve_with_incoming_shutdown(incoming, async move { stop.cancelled().await })
        .await
        .context("the facade's server failed")
}

/// Both versions, because many tools (older grpcurl too) only know v1alpha.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

async fn serve_http(listener: Incoming<TcpListener>, pages: Pages, stop: CancellationToken) {
    let served = axum::serve(listener, http_router(pages))
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await;
    if let Err(error) = served {
        tracing::error!("the HTTP server failed: {error}");
    }
}
