//! A database as whoever steers it sees it: calls that only a partition's leader
//! can carry out find it by themselves.

use super::survey::Survey;
use super::{Admin, TIMEOUT};
use doug_proto::access::AccessToken;
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Cluster, Goal, Node, Partition, PartitionMap};
use doug_proto::v1::HistoryFloor;
use futures::stream::StreamExt;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tonic::Code;

/// Nodes asked at the same time.
const AT_ONCE: usize = 32;
/// A node that has not said how it is by then is listed as unreachable.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two looks for a leader.
const PAUSE: Duration = Duration::from_millis(200);

/// What whoever looks at a partition wants of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// They are as they should be, or on their way there.
    Keep,
    /// They are to be these.
    Reach(Goal),
    /// The goal there is is not to be pursued any longer.
    GiveUp,
}

/// A database, steered through the admin services of its nodes. They must be
/// reachable under the addresses of its map.
pub struct Steering {
    map: Mutex<Arc<PartitionMap>>,
    admins: Mutex<BTreeMap<String, Admin>>,
    timeout: Duration,
    access: AccessToken,
}

impl Steering {
    /// The database of this map. `timeout` is how long it takes to give a call up,
    /// all its attempts included.
    pub fn new(map: PartitionMap, timeout: Duration, access: AccessToken) -> Self {
        Self { map: Mutex::new(Arc::new(map)), admins: Mutex::default(), timeout, access }
    }

    /// The database that the node with this admin address (`host:port`) belongs to.
    ///
    /// # Errors
    /// It does not answer, asks for another token, or is empty.
    pub async fn from_node(
        address: &str,
        timeout: Duration,
        access: AccessToken,
    ) -> Result<Self, Fault> {
        let admin = Admin::with_timeout(address, timeout)?.with_token(access.clone());
        let described = admin.describe(true).await?;
        let Some(map) = described.map else {
            return Err(Fault::unavailable(format!(
                "the node at {address} is empty and belongs to no database yet: give the admin \
                 address of a member"
            )));
        };
        Ok(Self::new(PartitionMap::from_wire(&map)?, timeout, access))
    }

    /// The map as it was last heard.
    pub fn map(&self) -> Arc<PartitionMap> {
        self.map.lock().clone()
    }

    /// The admin service of a node of the map.
    ///
    /// # Errors
    /// The map does not list it.
    pub fn admin(&self, node: NodeId) -> Result<Admin, Fault> {
        let map = self.map();
        let entry = map
            .node(node)
            .ok_or_else(|| Fault::invalid(format!("the map does not list node {node}")))?;
        self.admin_at(&entry.admin_address())
    }

    /// The admin service at an address, listed or not.
    ///
    /// # Errors
    /// An address that is none.
    pub fn admin_at(&self, address: &str) -> Result<Admin, Fault> {
        let mut admins = self.admins.lock();
        if let Some(admin) = admins.get(address) {
            return Ok(admin.clone());
        }
        let timeout = self.timeout.min(TIMEOUT);
        let admin = Admin::with_timeout(address, timeout)?.with_token(self.access.clone());
        admins.insert(address.to_owned(), admin.clone());
        Ok(admin)
    }

    /// Asks every node how it is.
    ///
    /// # Errors
    /// Not one answers: what the first said.
    pub async fn survey(&self) -> Result<Survey, Fault> {
        let known = self.map();
        let asked = known.present().map(|node| async {
            let answer = async { self.admin(node.id)?.describe(true).await };
            let late = |_| Fault::unavailable(format!("it did not answer within {PATIENCE:?}"));
            let answer = tokio::time::timeout(PATIENCE, answer).await.map_err(late).flatten();
            (node.id, answer.and_then(|answer| own_answer(node.id, answer)))
        });
        let asked: Vec<_> = asked.collect();
        let answers: Vec<_> =
            futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        let mut nodes = BTreeMap::new();
        for (id, answer) in answers {
            let told = answer.map(|answer| {
                let heard = answer.map.as_ref().map(PartitionMap::from_wire);
                if let Some(Ok(heard)) = heard {
                    self.learn(&heard);
                }
                answer.status.unwrap_or_default()
            });
            nodes.insert(id, told);
        }
        if let Some(Err(fault)) = nodes.values().next()
            && nodes.values().all(Result::is_err)
        {
            let mut fault = fault.clone();
            fault.message = format!("no node answers: {}", fault.message);
            return Err(fault);
        }
        Ok(Survey { map: self.map(), nodes })
    }

    /// Has the members of a partition changed as `intent` decides from its
    /// descriptor, which may be asked again should that change meanwhile. Returns the
    /// descriptor as committed.
    ///
    /// # Errors
    /// What `intent` or the leader refuses; no leader in time.
    pub async fn steer(
        &self,
        partition: u64,
        intent: impl Fn(&Partition) -> Result<Intent, Fault>,
    ) -> Result<Partition, Fault> {
        let decide = async |leader: NodeId, descriptor: Partition| {
            let goal = match intent(&descriptor)? {
                Intent::Keep => return Ok(descriptor),
                Intent::Reach(goal) if descriptor.goal.as_ref() == Some(&goal) => {
                    return Ok(descriptor);
                }
                Intent::GiveUp if descriptor.goal.is_none() => return Ok(descriptor),
                Intent::Reach(goal) => Some(goal),
                Intent::GiveUp => None,
            };
            let admin = self.admin(leader)?;
            admin.change_members(leader, partition, goal.as_ref(), descriptor.generation).await
        };
        self.at_leader(partition, decide).await
    }

    /// Hands the leadership of a partition to a node, or to the most caught-up other
    /// voter. Returns who leads then.
    ///
    /// It is tried again while there is time, where nobody took over or another node than the
    /// named one: its group may hand the leadership over for reasons of its own (to its preferred
    /// voter, say), and to lead twice is to lead.
    ///
    /// # Errors
    /// What the leader refuses; no leader in time.
    pub async fn transfer_leader(
        &self,
        partition: u64,
        to: Option<NodeId>,
    ) -> Result<NodeId, Fault> {
        let transfer = async |leader: NodeId, _: Partition| {
            if to == Some(leader) {
                return Ok(leader);
            }
            let answer = self.admin(leader)?.transfer_leader(leader, partition, to).await?;
            let leads =
                answer.leader.parse().map_err(|error| Fault::unknown(format!("{error}")))?;
            if to.is_none_or(|to| to == leads) {
                return Ok(leads);
            }
            Err(Fault::unavailable(format!(
                "node {leads} took over partition {partition}, not the one that was named"
            )))
        };
        self.at_leader(partition, transfer).await
    }

    /// Raises the floor of a partition's history to `revision`, the oldest that is to stay
    /// readable. Returns the floor there is then: a higher one stays.
    ///
    /// # Errors
    /// What the leader refuses; no leader in time.
    pub async fn compact(&self, partition: u64, revision: u64) -> Result<HistoryFloor, Fault> {
        let raise = async |leader: NodeId, _: Partition| {
            self.admin(leader)?.compact(leader, partition, revision).await
        };
        self.at_leader(partition, raise).await
    }

    /// Makes the empty node at this admin address a member of the database, and tells
    /// the others; on a member it changes nothing. Returns its entry, in `cluster`
    /// and named `name` where it was configured without.
    ///
    /// # Errors
    /// It does not answer, or belongs to another database or cluster.
    pub async fn join(&self, address: &str, cluster: &str, name: &str) -> Result<Node, Fault> {
        let admin = self.admin_at(address)?;
        let described = admin.describe(false).await?;
        let wire = described.node.as_ref();
        let entry = Node::from_wire(wire.ok_or_else(|| Fault::unknown("it says nothing"))?)?;
        let map = self.map();
        if !described.database.is_empty() && described.database != map.database.to_string() {
            return Err(Fault::invalid(format!(
                "the node at {address} ({}) belongs to database {}, not to {}: give it an empty \
                 volume",
                entry.id, described.database, map.database
            )));
        }
        if !entry.cluster.is_empty() && entry.cluster != cluster {
            return Err(Fault::invalid(format!(
                "the node at {address} is configured for cluster {:?}, not for {cluster:?}: start \
                 it with --cluster {cluster}",
                entry.cluster
            )));
        }
        if let Some(known) = map.node(entry.id).filter(|known| !known.is_removed()) {
            return Ok(known.clone());
        }
        let name = if entry.name.is_empty() { name.to_owned() } else { entry.name.clone() };
        let version = map.epoch + 1;
        let entry = Node { cluster: cluster.to_owned(), name, version, ..entry };
        let mut grown = PartitionMap::clone(&map);
        grown.nodes.retain(|node| node.id != entry.id || node.is_removed());
        if grown.node(entry.id).is_none() {
            grown.nodes.push(entry.clone());
        }
        grown.epoch = version;
        admin.join(entry.id, &grown).await?;
        self.learn(&grown);
        self.tell(version, std::slice::from_ref(&entry), &[]).await?;
        Ok(entry)
    }

    /// Declares how many nodes a cluster is to have; a cluster that has so many already
    /// is left as it is.
    ///
    /// # Errors
    /// No node answers.
    pub async fn declare(&self, cluster: &str, nodes: u32) -> Result<(), Fault> {
        let map = self.map();
        let known = map.cluster(cluster);
        if known.is_some_and(|known| known.nodes == nodes) {
            return Ok(());
        }
        let version = map.epoch + 1;
        let declared = Cluster { name: cluster.to_owned(), nodes, version };
        self.tell(version, &[], std::slice::from_ref(&declared)).await
    }

    /// Takes a node that holds nothing any more out of the map, for good. On one that is
    /// gone it changes nothing.
    ///
    /// # Errors
    /// It is needed still; nobody answers.
    pub async fn remove_node(&self, node: NodeId) -> Result<(), Fault> {
        let remove = async |to: NodeId| self.admin(to)?.remove_node(to, node).await;
        let deadline = Instant::now() + self.timeout;
        loop {
            let result = self.anyone(Some(node), remove).await;
            // Whoever asks next is to see it gone.
            let survey = self.survey().await?;
            if survey.map.node(node).is_none_or(Node::is_removed) {
                return Ok(());
            }
            let Err(fault) = result else { return Ok(()) };
            // Each node judges by its own map, and a leader's newest descriptor reaches the
            // others a moment later: where several partitions have just left the node, no map
            // may have all of it yet. A refusal stands once the leaders say the same.
            let needed = survey.descriptors().any(|partition| concerns(&partition, node));
            let again = !needed && (passes(&fault) || fault.is_not_executed());
            if !again || Instant::now() + PAUSE >= deadline {
                return Err(fault);
            }
            sleep(PAUSE).await;
        }
    }

    /// Every other node that answers hears of entries: a leader must know whom it takes
    /// in.
    async fn tell(&self, version: u64, nodes: &[Node], clusters: &[Cluster]) -> Result<(), Fault> {
        let map = self.map();
        let others = map.present().filter(|node| nodes.iter().all(|entry| entry.id != node.id));
        let calls = others.map(|node| async {
            let call = async {
                self.admin(node.id)?.update_addresses(node.id, version, nodes, clusters).await
            };
            let late = |_| Fault::unavailable(format!("it did not answer within {PATIENCE:?}"));
            tokio::time::timeout(PATIENCE, call).await.map_err(late).flatten()
        });
        let calls: Vec<_> = calls.collect();
        let told: Vec<_> = futures::stream::iter(calls).buffer_unordered(AT_ONCE).collect().await;
        match told.iter().find_map(|told| told.as_ref().err()) {
            Some(fault) if told.iter().all(Result::is_err) => Err(fault.clone()),
            _ => Ok(()),
        }
    }

    /// The first node's answer that is one, or a refusal.
    async fn anyone<T>(
        &self,
        except: Option<NodeId>,
        call: impl AsyncFn(NodeId) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let survey = self.survey().await?;
        let mut result = Err(Fault::unavailable("no other node answers"));
        for (id, told) in &survey.nodes {
            if told.is_err() || Some(*id) == except {
                continue;
            }
            result = call(*id).await;
            match &result {
                Err(fault) if !fault.is_not_executed() => {}
                _ => return result,
            }
        }
        result
    }

    /// Calls whoever leads the partition, until it answers something else than that it
    /// does not. A call that may have been carried out is made again only after a look
    /// at what became of it.
    async fn at_leader<T>(
        &self,
        partition: u64,
        call: impl AsyncFn(NodeId, Partition) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let deadline = Instant::now() + self.timeout;
        let mut seen = None;
        loop {
            let survey = self.survey().await?;
            let fault = match survey.leader(partition) {
                None if survey.map.partition(partition).is_none() => {
                    return Err(no_such_partition(&survey.map, partition));
                }
                None => no_leader(&survey, partition),
                Some((leader, replica)) => {
                    let generation = replica.descriptor.as_ref().map(|d| d.generation);
                    let wire = replica.descriptor.as_ref();
                    let Some(descriptor) = wire.map(Partition::from_wire).transpose()? else {
                        return Err(Fault::unknown("the leader says nothing of its partition"));
                    };
                    match call(leader, descriptor).await {
                        Ok(answer) => return Ok(answer),
                        Err(fault) if passes(&fault) => fault,
                        // Somebody else changed it between the look and the call.
                        Err(fault) if fault.code == Code::FailedPrecondition => {
                            if seen.replace(generation) == Some(generation) {
                                return Err(fault);
                            }
                            fault
                        }
                        Err(fault) => return Err(fault),
                    }
                }
            };
            if Instant::now() + PAUSE >= deadline {
                return Err(fault);
            }
            sleep(PAUSE).await;
        }
    }

    fn learn(&self, heard: &PartitionMap) {
        let mut map = self.map.lock();
        if heard.database == map.database
            && let Some(merged) = map.merge(heard)
        {
            *map = Arc::new(merged);
        }
    }
}

/// Whether a node holds a replica of a partition, or is to.
fn concerns(partition: &Partition, node: NodeId) -> bool {
    let wanted = partition.goal.iter().flat_map(|goal| &goal.nodes).copied();
    partition.members().map(|member| member.node).chain(wanted).any(|id| id == node)
}

/// Whether the same call may succeed a moment later.
fn passes(fault: &Fault) -> bool {
    matches!(fault.code, Code::Unavailable | Code::DeadlineExceeded | Code::Unknown)
}

/// An address may have changed hands.
fn own_answer(
    id: NodeId,
    answer: doug_proto::v1::DescribeResponse,
) -> Result<doug_proto::v1::DescribeResponse, Fault> {
    let said = answer.node.as_ref().map(|node| node.id.as_str()).unwrap_or_default();
    if said == id.to_string() {
        return Ok(answer);
    }
    Err(Fault::unavailable(format!("another node, {said}, answers at its address")))
}

fn no_such_partition(map: &PartitionMap, partition: u64) -> Fault {
    let ids = map.partitions.iter().map(|partition| partition.id);
    let (least, most) = (ids.clone().min().unwrap_or(0), ids.max().unwrap_or(0));
    Fault::invalid(format!("there is no partition {partition}: there are {least} to {most}"))
}

fn no_leader(survey: &Survey, partition: u64) -> Fault {
    let members = survey.map.partition(partition).into_iter().flat_map(|p| p.members());
    let silent: Vec<String> = members
        .filter(|member| survey.nodes.get(&member.node).is_none_or(Result::is_err))
        .map(|member| {
            survey.map.node(member.node).map_or(member.node.to_string(), |n| n.name.clone())
        })
        .collect();
    let why = if silent.is_empty() {
        "an election should end within a second".to_owned()
    } else {
        format!("these of its nodes do not answer: {}", silent.join(", "))
    };
    Fault::unavailable(format!(
        "partition {partition} has no leader, and only a leader changes anything: {why}"
    ))
}
