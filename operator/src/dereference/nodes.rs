//! Asking nodes and facades. By the addresses of their pods, which are right at
//! once, where a name may lag behind.

use super::{Observed, counts_as_ready};
use crate::build::is_facade;
use crate::validate::{Database, Place};
use doug_client::admin::Admin;
use doug_client::{Fault, PartitionMap, v1};
use doug_proto::access::AccessToken;
use doug_proto::address::host_port;
use doug_proto::ids::NodeId;
use doug_proto::limits;
use doug_proto::v1::doug_client::DougClient;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};

/// A node that takes longer for one answer is silent.
const PATIENCE: Duration = Duration::from_secs(3);
/// Nodes asked at the same time.
const AT_ONCE: usize = 32;

/// What opens Raft and Admin streams.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

/// What a node says of itself.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The database it is a member of; empty: its volume is empty.
    pub database: String,
    /// Who it is, and how, replica by replica.
    pub status: v1::NodeStatus,
    /// Its partition map; none while it is empty.
    pub map: Option<PartitionMap>,
}

impl Answer {
    /// The node's id.
    pub fn node(&self) -> Option<NodeId> {
        self.status.id.parse().ok()
    }
}

/// What a facade says of itself.
#[derive(Clone, Debug, Default)]
pub struct FacadeAnswer {
    /// The map that it serves by.
    pub map: Option<PartitionMap>,
    /// Whether Kubernetes counts its pod as ready.
    pub ready: bool,
}

/// An admin client for a pod.
///
/// # Errors
/// A sentence, if the pod has no address yet.
pub fn admin(pod: &Pod, token: Option<&Token>) -> Result<Admin, Fault> {
    let address = address(pod, 7402)
        .ok_or_else(|| Fault::unavailable(format!("pod {} has no address yet", pod.name_any())))?;
    let admin = Admin::with_timeout(&address, PATIENCE)?;
    match token {
        Some(Token(token)) => Ok(admin.with_token(AccessToken::parse(token)?)),
        None => Ok(admin),
    }
}

fn address(pod: &Pod, port: u16) -> Option<String> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Running") {
        return None;
    }
    Some(host_port(status.pod_ip.as_deref()?, port))
}

/// Asks every node and every facade at once.
pub async fn ask(database: &Database, token: Option<&Token>, observed: &mut Observed) {
    let pod = |place: Place| (observed.pods.get(&database.pod_name(&place)).cloned(), place);
    let nodes: Vec<(Option<Pod>, Place)> = observed.places(database).into_iter().map(pod).collect();
    let facades: Vec<Pod> = observed.pods.values().filter(|pod| is_facade(pod)).cloned().collect();
    let nodes = nodes
        .into_iter()
        .map(|(pod, place)| async move { (ask_node(pod.as_ref(), token).await, place) });
    let answers: Vec<(Result<Answer, String>, Place)> =
        futures::stream::iter(nodes).buffer_unordered(AT_ONCE).collect().await;
    let facades = facades.into_iter().map(|pod| async move { ask_facade(&pod).await });
    let facades: Vec<FacadeAnswer> =
        futures::stream::iter(facades).buffer_unordered(AT_ONCE).collect().await;
    for (answer, place) in answers {
        match answer {
            Ok(answer) => drop(observed.answers.insert(place, answer)),
            Err(why) => {
                let refused = observed.refused.get(&database.set_name(&place.cluster));
                let why = match (observed.pod(database, &place), refused) {
                    (None, Some(refusal)) => format!("its pod is refused: {refusal}"),
                    _ => why,
                };
                observed.silent.insert(place, why);
            }
        }
    }
    observed.facades = facades;
}

/// All in one call: what it knows is from one moment, and with many databases calls count.
async fn ask_node(pod: Option<&Pod>, token: Option<&Token>) -> Result<Answer, String> {
    let pod = pod.ok_or("it has no pod")?;
    if address(pod, 7402).is_none() {
        return Err("its pod does not run".to_owned());
    }
    let described = async { admin(pod, token)?.describe(true).await };
    answer(described.await.map_err(|fault| fault.message)?)
}

/// A node that becomes a member just then may have its map before it says so.
fn answer(described: v1::DescribeResponse) -> Result<Answer, String> {
    let v1::DescribeResponse { status, database, map, .. } = described;
    let status = status.ok_or("it does not say how it is")?;
    let map = match (database.as_str(), map) {
        ("", _) => None,
        (_, Some(map)) => Some(PartitionMap::from_wire(&map).map_err(|fault| fault.message)?),
        (_, None) => return Err("it sends no partition map".to_owned()),
    };
    Ok(Answer { database, status, map })
}

async fn ask_facade(pod: &Pod) -> FacadeAnswer {
    let map = async {
        let mut client = connect(&address(pod, 7400)?).ok()?;
        first_map(&mut client).await.ok()
    };
    FacadeAnswer { map: map.await, ready: counts_as_ready(pod) }
}

/// The map a server has now: the first message of the stream of its maps.
async fn first_map(client: &mut DougClient<Channel>) -> Result<PartitionMap, String> {
    let request = with_deadline(v1::WatchMapRequest::default());
    let answer = tokio::time::timeout(PATIENCE, async {
        let mut maps = client.watch_map(request).await?.into_inner();
        maps.message().await
    });
    let message = answer.await.map_err(|_| "it sends no partition map")?;
    let message = message.map_err(|status| status.message().to_owned())?;
    let wire = message.and_then(|message| message.map).ok_or("it sends no partition map")?;
    PartitionMap::from_wire(&wire).map_err(|fault| fault.message)
}

fn with_deadline<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

fn connect(address: &str) -> Result<DougClient<Channel>, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| format!("{address} is no address: {error}"))?
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE);
    Ok(DougClient::new(endpoint.connect_lazy()).max_decoding_message_size(limits::MESSAGE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{first_map, member};

    fn described(database: &str, map: Option<&PartitionMap>) -> v1::DescribeResponse {
        v1::DescribeResponse {
            node: None,
            status: Some(member(0, &first_map(), true).status),
            database: database.to_owned(),
            map: map.map(PartitionMap::to_wire),
        }
    }

    #[test]
    fn one_description_says_all_that_is_asked_of_a_node() {
        let map = first_map();
        let told = answer(described(&map.database.to_string(), Some(&map))).unwrap();
        assert_eq!(told.node().unwrap(), map.nodes[0].id);
        assert_eq!((told.database, told.map), (map.database.to_string(), Some(map)));
        assert!(!told.status.replicas.is_empty());
    }

    #[test]
    fn a_volume_is_empty_until_its_node_says_that_it_is_a_member() {
        let told = answer(described("", Some(&first_map()))).unwrap();
        assert_eq!((told.database.as_str(), told.map), ("", None));
        assert!(answer(described("0000000000db", None)).is_err(), "a member has a map");
    }
}
