//! The ports of a node, and what is served on each.

use super::peer_runtime::PeerRuntime;
use crate::config::Config;
use crate::engine::Engine;
use crate::services::{AdminService, DougService, http};
use crate::transport::{self, RaftService};
use anyhow::{Context, Result};
use doug_edge::grpc::{self, EdgeLayer};
use doug_edge::incoming::Incoming;
use doug_edge::received::Received;
use doug_edge::{ConnectionLimits, descriptors, stall};
use doug_proto::v1::FILE_DESCRIPTOR_SET;
use doug_proto::v1::admin_server::AdminServer;
use doug_proto::v1::doug_server::DougServer;
use doug_proto::v1::raft_server::RaftServer;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;

pub(super) struct Listeners {
    doug: TcpListener,
    raft: TcpListener,
    admin: TcpListener,
    http: TcpListener,
}

impl Listeners {
    /// Binds before the data is touched, so that a taken port is the only news.
    pub(super) async fn bind(config: &Config) -> Result<Self> {
        let ports = config.ports;
        Ok(Self {
            doug: listen(config, ports.doug, "--doug-port").await?,
            raft: listen(config, ports.raft, "--raft-port").await?,
            admin: listen(config, ports.admin, "--admin-port").await?,
            http: listen(config, ports.http, "--http-port").await?,
        })
    }

    pub(super) fn serve(
        self,
        engine: &Arc<Engine>,
        stop: &CancellationToken,
        peers: &PeerRuntime,
    ) -> Result<tokio::task::JoinSet<Result<()>>> {
        let mut servers = tokio::task::JoinSet::new();
        let access = engine.config.access.clone().checked();
        let answers = &engine.answers;
        let limits =
            ConnectionLimits::of(descriptors::limit()).with_clients(engine.config.max_connections);
        let received = &engine.received;
        let incoming = |listener, whose, limit, received: &Received| {
            Incoming::new(listener, whose, limit, answers.clone(), received.clone())
        };
        let watching = stall::watch(answers.clone(), received.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(watching));
        // What nodes send each other is bounded by whoever sends it, and goes before all else.
        let of_peers = Received::new(usize::MAX);
        let doug = DougServer::new(DougService::new(engine.clone()))
            .max_decoding_message_size(doug_proto::limits::MESSAGE_BYTES)
            .max_encoding_message_size(usize::MAX);
        let raft = RaftServer::new(RaftService::new(engine.clone()))
            .max_decoding_message_size(transport::MESSAGE_BYTES)
            .max_encoding_message_size(transport::MESSAGE_BYTES);
        let admin = AdminServer::new(AdminService::new(engine.clone()))
            .max_decoding_message_size(transport::MESSAGE_BYTES)
            .max_encoding_message_size(transport::MESSAGE_BYTES);
        let (reporter, health) = tonic_health::server::health_reporter();
        servers.spawn(async move {
            reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
            std::future::pending().await
        });
        let wait = |stop: &CancellationToken| stop.clone().cancelled_owned();
        let serving = grpc::for_clients()
            .layer(EdgeLayer)
            .add_service(doug)
            .add_service(health)
            .add_services_of_reflection()
            .serve_with_incoming_shutdown(
                incoming(self.doug, "client", limits.clients, received),
                wait(stop),
            );
        servers.spawn(async move { serving.await.context("the Doug server failed") });
        let serving = grpc::for_peers()
            .layer(EdgeLayer)
            .add_service(InterceptedService::new(raft, access.clone()))
            .serve_with_incoming_shutdown(
                incoming(peers.adopt(self.raft)?, "peer", limits.peers, &of_peers),
                wait(stop),
            );
        let serving = async move { serving.await.context("the Raft server failed") };
        servers.spawn_on(serving, &peers.handle());
        let serving = grpc::for_peers()
            .layer(EdgeLayer)
            .add_service(InterceptedService::new(admin, access))
            .add_services_of_reflection()
            .serve_with_incoming_shutdown(
                incoming(self.admin, "admin", limits.admin, received),
                wait(stop),
            );
        servers.spawn(async move { serving.await.context("the Admin server failed") });
        let pages = axum::serve(
            incoming(self.http, "HTTP", limits.http, received),
            http::router(engine.clone()),
        )
        .with_graceful_shutdown(wait(stop));
        servers.spawn(async move { pages.await.context("the HTTP server failed") });
        Ok(servers)
    }
}

async fn listen(config: &Config, port: u16, option: &str) -> Result<TcpListener> {
    let address = SocketAddr::new(config.listen, port);
    doug_edge::listen(address).await.with_context(|| {
        format!(
            "cannot listen on {address}: if another process has that port, stop it, \
             or choose another one with {option}"
        )
    })
}

trait WithReflection {
    fn add_services_of_reflection(self) -> Self;
}

impl<L> WithReflection for tonic::transport::server::Router<L> {
    /// Both versions, because many tools (older grpcurl too) only know v1alpha.
    fn add_services_of_reflection(self) -> Self {
        let builder = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let valid = "the descriptors were compiled into the program";
        self.add_service(builder().build_v1().expect(valid))
            .add_service(builder().build_v1alpha().expect(valid))
    }
}
