//! A bare server of DougDB's unary messages: what gRPC costs before a database does anything. It
//! answers at once, with messages of the same sizes, and keeps nothing.

use crate::child::{Ports, Process};
use anyhow::Context;
use bytes::Bytes;
use doug_client::v1;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

const PATIENCE: Duration = Duration::from_secs(20);

/// The server's process.
pub struct Echo {
    /// The only one.
    pub process: Process,
    /// Where it listens.
    pub address: String,
}

impl Echo {
    /// Starts one whose values have so many bytes.
    pub fn start(folder: &Path, value_bytes: usize, ports: &mut Ports) -> anyhow::Result<Self> {
        let address = format!("127.0.0.1:{}", ports.take(1)?[0]);
        let args = ["echo".to_owned(), address.clone(), value_bytes.to_string()];
        let program = std::env::current_exe()?;
        let process = Process::start("echo", &folder.join("echo.log"), &program, &args)?;
        Ok(Self { process, address })
    }

    /// Waits until it listens.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = TcpStream::connect(&self.address).await {
            if Instant::now() > deadline {
                return Err(error).context("the echo does not listen");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

/// Serves until the process is killed.
pub fn serve(listen: SocketAddr, value_bytes: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let service = EchoService { value: vec![0x5a; value_bytes].into() };
    let server = tonic::transport::Server::builder().tcp_nodelay(true).add_service(service);
    Ok(runtime.block_on(server.serve(listen))?)
}

#[derive(Clone)]
struct EchoService {
    value: Bytes,
}

impl NamedService for EchoService {
    const NAME: &'static str = "dougdb.v1.Doug";
}

impl Service<http::Request<Body>> for EchoService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let get = Get { value: self.value.clone() };
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/dougdb.v1.Doug/Put" => Grpc::new(ProstCodec::default()).unary(Put, request).await,
                "/dougdb.v1.Doug/Get" => Grpc::new(ProstCodec::default()).unary(get, request).await,
                _ => Status::unimplemented("the echo knows puts and gets").into_http(),
            })
        })
    }
}

struct Put;

impl UnaryService<v1::PutRequest> for Put {
    type Response = v1::PutResponse;
    type Future = Ready<Result<Response<v1::PutResponse>, Status>>;

    fn call(&mut self, _: Request<v1::PutRequest>) -> Self::Future {
        let answer =
            v1::PutResponse { header: Some(header()), condition_met: true, ..Default::default() };
        ready(Ok(Response::new(answer)))
    }
}

struct Get {
    value: Bytes,
}

impl UnaryService<v1::GetRequest> for Get {
    type Response = v1::GetResponse;
    type Future = Ready<Result<Response<v1::GetResponse>, Status>>;

    fn call(&mut self, _: Request<v1::GetRequest>) -> Self::Future {
        let answer = v1::GetResponse {
            header: Some(header()),
            found: true,
            value: self.value.clone(),
            value_revision: 1_000_000,
            ..Default::default()
        };
        ready(Ok(Response::new(answer)))
    }
}

/// As large as a node's.
fn header() -> v1::ResponseHeader {
    v1::ResponseHeader {
        partition: 8,
        generation: 1,
        revision: 1_000_000,
        session_token: Bytes::from_static(&[0x5a; 32]),
        served_by: "0123456789ab".to_owned(),
        leader: true,
        ..Default::default()
    }
}
