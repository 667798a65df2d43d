//! How long a question takes to each process, there and back.

use crate::commands::status::View;
use doug_proto::v1::WatchMapRequest;
use doug_proto::v1::doug_client::DougClient;
use futures::future::join_all;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tonic::transport::{Channel, Endpoint};

/// Who has not answered by then is shown as silent.
const PATIENCE: Duration = Duration::from_secs(1);
/// Questions asked of each, one after the other; the fastest counts. The first one warms up what
/// it passes, and any may meet a process that was not running at that moment.
const QUESTIONS: usize = 3;

/// Of one process.
#[derive(Debug, PartialEq, Eq)]
pub struct RoundTrip {
    /// An endpoint, or a node by its name.
    pub to: String,
    /// None where it does not answer from here: behind a port-forward nodes do not.
    pub took: Option<Duration>,
}

/// Measures each endpoint, and each node of the map.
pub async fn measure(endpoints: &[String], view: Option<&View>) -> Vec<RoundTrip> {
    let endpoints = endpoints.iter().map(|url| (url.clone(), url.clone()));
    let nodes = view.into_iter().flat_map(|view| &view.nodes);
    let nodes = nodes.map(|node| (node.name.clone(), node.address.clone()));
    let measured = endpoints.chain(nodes).map(|(to, address)| async move {
        RoundTrip { to, took: timeout(PATIENCE, fastest(&address)).await.ok().flatten() }
    });
    join_all(measured).await
}

/// The connection is made before: only the question counts.
async fn fastest(address: &str) -> Option<Duration> {
    let address = address.trim();
    let url = if address.contains("://") { address.into() } else { format!("http://{address}") };
    let channel = Endpoint::from_shared(url).ok()?.tcp_nodelay(true).connect().await.ok()?;
    let most = doug_proto::limits::MESSAGE_BYTES;
    let mut client = DougClient::new(channel).max_decoding_message_size(most);
    let mut fastest = None;
    for _ in 0..QUESTIONS {
        let took = ask(&mut client).await?;
        fastest = Some(fastest.map_or(took, |before: Duration| before.min(took)));
    }
    fastest
}

/// Asks for the partition map, which everybody knows by heart: no other process and no disk is
/// part of the answer.
async fn ask(client: &mut DougClient<Channel>) -> Option<Duration> {
    let begun = Instant::now();
    let mut maps = client.watch_map(WatchMapRequest::default()).await.ok()?.into_inner();
    maps.message().await.ok()??;
    Some(begun.elapsed())
}

/// One line.
pub fn render(measured: &[RoundTrip]) -> String {
    let each = measured.iter().map(|RoundTrip { to, took }| match took {
        Some(took) => format!("{to} {:.1} ms", took.as_secs_f64() * 1e3),
        None => format!("{to} silent"),
    });
    format!("round trips from here: {}", each.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_shown_in_milliseconds_and_who_is_silent_as_such() {
        let to = |to: &str, took| RoundTrip { to: to.into(), took };
        let measured = [to("http://f:1", Some(Duration::from_micros(1_250))), to("a-0", None)];
        assert_eq!(render(&measured), "round trips from here: http://f:1 1.2 ms, a-0 silent");
    }

    #[tokio::test]
    async fn who_takes_connections_and_says_nothing_is_silent() {
        let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = mute.local_addr().unwrap().to_string();
        let measured = measure(std::slice::from_ref(&address), None).await;
        assert_eq!(measured, [RoundTrip { to: address, took: None }]);
    }
}
