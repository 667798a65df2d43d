//! gRPC over whatever the dialer opens.

use super::peer::{FirstBytes, is_no_grpc};
use super::{Maps, OpenError, Requests, Responses, Transport};
use crate::dial::{Dial, Tcp};
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::v1::{WatchMapRequest, doug_client::DougClient};
use futures::future::BoxFuture;
use futures::stream::{StreamExt, TryStreamExt};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};

/// Windows wide enough that a page of a scan or a burst of answers never waits
/// for a window update.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// A peer whose machine is gone without a word is found by these pings, even
/// when nothing is asked of it.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_PATIENCE: Duration = Duration::from_secs(2);

/// gRPC: a channel for each stream and each watch.
#[derive(Clone)]
pub struct Grpc {
    pub(crate) dialer: Arc<dyn Dial>,
    pub(crate) connect_timeout: Duration,
}

impl Default for Grpc {
    fn default() -> Self {
        Self { dialer: Arc::new(Tcp), connect_timeout: Duration::from_secs(2) }
    }
}

impl Transport for Grpc {
    fn open(
        &self,
        address: String,
        requests: Requests,
    ) -> BoxFuture<'static, Result<Responses, OpenError>> {
        let this = self.clone();
        Box::pin(async move {
            let (channel, first) = this.channel(&address).await?;
            let mut client = DougClient::new(channel)
                .max_decoding_message_size(limits::MESSAGE_BYTES)
                .max_encoding_message_size(limits::MESSAGE_BYTES);
            let answers = match client.stream(requests).await {
                Ok(response) if is_no_grpc(response.metadata()) => {
                    return Err(plain_http(&address));
                }
                Ok(response) => response.into_inner(),
                Err(status) => return Err(refused(&address, &status, &first)),
            };
            Ok(answers.map_err(|status| describe(&status)).boxed())
        })
    }

    fn watch_map(
        &self,
        address: String,
        request: WatchMapRequest,
    ) -> BoxFuture<'static, Result<Maps, OpenError>> {
        let this = self.clone();
        Box::pin(async move {
            let (channel, first) = this.channel(&address).await?;
            let mut client =
                DougClient::new(channel).max_decoding_message_size(limits::MESSAGE_BYTES);
            let maps = client.watch_map(request).await;
            let maps = maps.map_err(|status| refused(&address, &status, &first))?;
            if is_no_grpc(maps.metadata()) {
                return Err(plain_http(&address));
            }
            let maps = maps.into_inner();
            Ok(maps.map_err(|status| describe(&status)).boxed())
        })
    }
}

impl Grpc {
    /// Opens a channel, and hears what the server says first.
    async fn channel(&self, address: &str) -> Result<(Channel, FirstBytes), OpenError> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| {
                let why = format!("{address} is not an address: give host:port ({error})");
                OpenError::Mistaken(why)
            })?
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_PATIENCE)
            .connect_timeout(self.connect_timeout);
        let dialer = self.dialer.clone();
        let target = address.to_owned();
        let first = FirstBytes::default();
        let listening = first.clone();
        let connector = tower::service_fn(move |_: Uri| {
            let (dialing, listening) = (dialer.dial(target.clone()), listening.clone());
            async move { dialing.await.map(|io| TokioIo::new(listening.listen(io))) }
        });
        let channel = endpoint.connect_with_connector(connector).await;
        Ok((channel.map_err(|error| unreachable(address, &error))?, first))
    }
}

/// Why no connection came to be.
fn unreachable(address: &str, error: &(dyn Error + 'static)) -> OpenError {
    let cause = innermost(error);
    let why = format!("{address} cannot be reached: {cause}");
    match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => OpenError::Refused(why),
        Some(io::ErrorKind::NotFound) => OpenError::Mistaken(why),
        _ => OpenError::Unread(why),
    }
}

/// Why the server took no call.
fn refused(address: &str, status: &Status, first: &FirstBytes) -> OpenError {
    if let Some(protocol) = first.other_protocol() {
        let why = format!(
            "{address} speaks {protocol} and is no facade or node: give the port where one serves \
             clients (7400)"
        );
        return OpenError::Mistaken(why);
    }
    if status.code() == Code::Unimplemented {
        let why = format!(
            "{address} serves no clients: it speaks gRPC, and may be the Raft or admin port of a \
             node (7401, 7402); give the port for clients (7400)"
        );
        return OpenError::Mistaken(why);
    }
    // Before the first answer our servers have read nothing when they promise so.
    let unread = Fault::from_status(status).is_not_executed();
    let why = format!("{address} did not take the stream up: {}", describe(status));
    if unread { OpenError::Unread(why) } else { OpenError::Broken(why) }
}

fn plain_http(address: &str) -> OpenError {
    OpenError::Mistaken(format!(
        "{address} serves no clients: it speaks HTTP without gRPC, as the port for probes and \
         metrics does (7403); give the port for clients (7400)"
    ))
}

/// The innermost error: "transport error" says nothing at 3 a.m.
fn innermost<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

/// What a status says; for one that the transport made, its root cause.
pub(crate) fn describe(status: &Status) -> String {
    match status.source() {
        Some(source) => innermost(source).to_string(),
        None => status.message().to_owned(),
    }
}
