//! A gRPC channel over whatever the dialer opens.

use crate::builder::Settings;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint, Uri};

/// Windows wide enough that a page of a scan or a burst of answers never waits
/// for a window update.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// A peer whose machine is gone without a word is found by these pings, even
/// when nothing is asked of it.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_PATIENCE: Duration = Duration::from_secs(3);

/// Opens one, or says in a sentence why not.
pub(crate) async fn open_channel(address: &str, settings: &Settings) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| format!("{address} is not an address: give host:port ({error})"))?
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE)
        .connect_timeout(settings.connect_timeout);
    let dialer = settings.dialer.clone();
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
