//! gRPC over whatever the dialer opens.

use super::{Maps, OpenError, Requests, Responses, Transport};
use crate::dial::{Dial, Tcp};
use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::v1::{WatchMapRequest, doug_client::DougClient};
use futures::future::BoxFuture;
use futures::stream::{StreamExt, TryStreamExt};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint, Uri};

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
            let channel = this.channel(&address).await.map_err(OpenError::Unread)?;
            let mut client = DougClient::new(channel)
                .max_decoding_message_size(limits::MESSAGE_BYTES)
                .max_encoding_message_size(limits::MESSAGE_BYTES);
            let answers = match client.stream(requests).await {
                Ok(response) => response.into_inner(),
                Err(status) => {
                    let fault = Fault::from_status(&status);
                    let why = format!("{address} refused the stream: {}", fault.message);
                    // Before the first answer our servers have read nothing when they promise so.
                    let unread = fault.is_not_executed();
                    return Err(if unread { OpenError::Unread } else { OpenError::Broken }(why));
                }
            };
            Ok(answers.map_err(|status| describe(&status)).boxed())
        })
    }

    fn watch_map(
        &self,
        address: String,
        request: WatchMapRequest,
    ) -> BoxFuture<'static, Result<Maps, String>> {
        let this = self.clone();
        Box::pin(async move {
            let mut client = DougClient::new(this.channel(&address).await?)
                .max_decoding_message_size(limits::MESSAGE_BYTES);
            let maps = client.watch_map(request).await;
            let maps = maps.map_err(|status| describe(&status))?.into_inner();
            Ok(maps.map_err(|status| describe(&status)).boxed())
        })
    }
}

impl Grpc {
    /// Opens a channel, or says in a sentence why not.
    async fn channel(&self, address: &str) -> Result<Channel, String> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| format!("{address} is not an address: give host:port ({error})"))?
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_PATIENCE)
            .connect_timeout(self.connect_timeout);
        let dialer = self.dialer.clone();
        let target = address.to_owned();
        let connector = tower::service_fn(move |_: Uri| {
            let dialing = dialer.dial(target.clone());
            async move { dialing.await.map(TokioIo::new) }
        });
        endpoint
            .connect_with_connector(connector)
            .await
            .map_err(|error| format!("{address} cannot be reached: {}", root_cause(&error)))
    }
}

/// The innermost error: "transport error" says nothing at 3 a.m.
fn root_cause(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// What a status says; for one that the transport made, its root cause.
pub(crate) fn describe(status: &tonic::Status) -> String {
    match status.source() {
        Some(source) => root_cause(source),
        None => status.message().to_owned(),
    }
}
