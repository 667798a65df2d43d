//! Plain unary calls straight to one node or facade, without a client's retries.

use doug_proto::error::Fault;
use doug_proto::limits;
use doug_proto::v1::doug_client::DougClient;
use doug_proto::v1::{self, ReplicaRole};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

/// One server.
#[derive(Clone, Debug)]
pub struct Node(DougClient<Channel>);

impl Node {
    /// The server at `host:port` or a URL of it. Connects with the first call.
    ///
    /// # Panics
    /// When the address is none.
    pub fn at(address: &str) -> Self {
        let url = format!("http://{}", address.trim_start_matches("http://"));
        let channel = Endpoint::from_shared(url).expect("an address").connect_lazy();
        Self(DougClient::new(channel).max_decoding_message_size(limits::MESSAGE_BYTES))
    }

    /// Reads a key.
    ///
    /// # Errors
    /// As the server answers, or none by the deadline.
    pub async fn get(
        &self,
        key: &str,
        consistency: v1::Consistency,
        deadline: Duration,
    ) -> Result<v1::GetResponse, Fault> {
        let read = v1::ReadOptions { consistency: consistency as i32, ..Default::default() };
        let (key, read) = (key.to_owned().into(), Some(read));
        let request = v1::GetRequest { key, read, ..Default::default() };
        answer(self.0.clone().get(within(deadline, request)).await)
    }

    /// Writes a key, as a foreign client would: without a session.
    ///
    /// # Errors
    /// As the server answers, or none by the deadline.
    pub async fn put(
        &self,
        key: &str,
        value: &str,
        deadline: Duration,
    ) -> Result<v1::PutResponse, Fault> {
        let request = v1::PutRequest {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            ..Default::default()
        };
        answer(self.0.clone().put(within(deadline, request)).await)
    }

    /// Reads a page of a scan.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn scan(&self, request: v1::ScanRequest) -> Result<v1::ScanResponse, Fault> {
        answer(self.0.clone().scan(within(Duration::from_secs(20), request)).await)
    }

    /// The state of every node, as a facade knows it; of itself, from a node.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn status(&self) -> Result<v1::StatusResponse, Fault> {
        let page = |request| {
            let mut client = self.0.clone();
            async move { answer(client.status(within(Duration::from_secs(5), request)).await) }
        };
        doug_proto::status::whole(false, page).await
    }
}

fn within<T>(deadline: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

fn answer<T>(result: Result<Response<T>, Status>) -> Result<T, Fault> {
    result.map(Response::into_inner).map_err(|status| Fault::from_status(&status))
}

/// The name and term of whoever leads a partition: of those that believe they
/// do, the one of the greatest term.
pub fn leader(status: &v1::StatusResponse, partition: u64) -> Option<(String, u64)> {
    let replicas = status
        .nodes
        .iter()
        .flat_map(|node| node.replicas.iter().map(move |replica| (node, replica)));
    let leaders = replicas.filter(|(_, replica)| {
        replica.partition == partition && replica.role() == ReplicaRole::Leader
    });
    let newest = leaders.max_by_key(|(_, replica)| replica.term);
    newest.map(|(node, replica)| (node.name.clone(), replica.term))
}
