//! What `doug recover` does with the survivors, and what is judged at the end.

use super::{NEVER, NODES, PARTITIONS, SECOND, World, id, index};
use crate::checker::Begun;
use crate::told::{Bug, Told};
use doug_client::admin::{Assessment, Loss, Survey, assess};
use doug_node::host::{Event, ReadKind, Reply};
use doug_node::membership::RecoveryOrder;
use doug_node::work::RequestId;
use doug_proto::error::Fault;
use doug_proto::ids::{DatabaseId, NodeId};
use doug_proto::map::{Node, Partition, PartitionMap, Ports};
use doug_proto::v1::NodeStatus;
use std::collections::BTreeSet;
use std::sync::Arc;

impl World {
    /// What `doug recover` does.
    pub fn begin_anew(&mut self) -> Result<(), String> {
        for partition in 1..=PARTITIONS {
            match assess(&self.survey(), partition) {
                Assessment::Decides => self.told.untouched += 1,
                Assessment::Gone => {}
                Assessment::Lost(loss) => self.recover(&loss)?,
            }
        }
        self.run(3 * SECOND)
    }

    fn recover(&mut self, loss: &Loss) -> Result<(), String> {
        let partition = loss.descriptor.id;
        let worst = self.bug == Some(Bug::WorstSurvivor);
        let chosen = if worst { loss.survivors().last() } else { loss.survivors().first() };
        let chosen = chosen.expect("a survivor").clone();
        let ends = loss.survivors().iter().map(|s| (s.last_term, s.last_index));
        self.told.survivors_differed += usize::from(ends.collect::<BTreeSet<_>>().len() > 1);
        let log_on = |node: NodeId| self.disks[index(node)].replicas[&partition].log.clone();
        let survivors = loss.survivors().iter().map(|survivor| log_on(survivor.node)).collect();
        let log = log_on(chosen.node);
        let begun = Begun { survivors, kept: chosen.last_index };
        let ledger = self.ledgers.get_mut(&partition).expect("of every partition");
        ledger.begin_anew(begun, &log);
        let waits = self.token_read(index(chosen.node), partition, chosen.last_index + 3);
        let order = RecoveryOrder {
            partition,
            replica: chosen.replica,
            generation: loss.descriptor.generation,
            end: (chosen.last_term, chosen.last_index),
            committed: loss.committed().min(chosen.last_index),
            lost: loss.lost.clone(),
            discarded: loss.discarded.clone(),
            by: "the simulator".to_owned(),
            at_milliseconds: 1,
        };
        let request = self.request();
        let event = Event::Recover { request, order: Box::new(order), deadline: NEVER };
        self.step(index(chosen.node), event)?;
        self.run(SECOND)?;
        match self.replies.get(&request) {
            Some(Ok(Reply::Recovered(_))) => {}
            other => return Err(format!("partition {partition} did not begin anew: {other:?}")),
        }
        if !matches!(self.replies.get(&waits), Some(Err(fault)) if fault.is_not_executed()) {
            return Err(format!("partition {partition}: a read of what is lost goes on waiting"));
        }
        Ok(())
    }

    fn survey(&self) -> Survey {
        let entry = |node: usize| Node {
            id: id(node),
            name: format!("a-{node}"),
            cluster: "a".into(),
            address: format!("a-{node}"),
            ports: Ports::default(),
            version: 1,
        };
        let map = PartitionMap {
            nodes: (0..NODES).map(entry).collect(),
            partitions: self.newest().into_values().collect(),
            ..PartitionMap::empty(DatabaseId::from_bits(1))
        };
        let told = |node: usize| match &self.hosts[node] {
            None => Err(Fault::unavailable("it is lost")),
            Some(host) => Ok(NodeStatus { replicas: host.status(self.now), ..Default::default() }),
        };
        Survey {
            map: Arc::new(map),
            nodes: (0..NODES).map(|node| (id(node), told(node))).collect(),
        }
    }

    pub fn judge(&mut self) -> Result<Told, String> {
        for (partition, descriptor) in self.newest() {
            if !descriptor.is_at_rest() {
                return Err(format!("partition {partition} is not at rest: {descriptor:?}"));
            }
            let held = |node: usize| self.disks[node].replicas.get(&partition).map(|s| s.replica);
            let old = (0..NODES).filter_map(held).find(|id| descriptor.member(*id).is_none());
            if let Some(old) = old {
                return Err(format!("replica {old} of partition {partition} is still there"));
            }
            let leader = self.leader(partition, &descriptor);
            let leader = leader.ok_or_else(|| format!("nobody leads partition {partition}"))?;
            self.check_tokens(partition, leader, &descriptor)?;
            let ledger = &self.ledgers[&partition];
            self.told.lost +=
                ledger.judge().map_err(|what| format!("partition {partition}: {what}"))?;
            self.told.acknowledged += ledger.acknowledgements();
        }
        Ok(self.told.clone())
    }

    /// Whoever has seen what is lost is told so; nobody else is.
    fn check_tokens(
        &mut self,
        partition: u64,
        leader: usize,
        descriptor: &Partition,
    ) -> Result<(), String> {
        let seen = self.ledgers[&partition].greatest_acknowledged_before();
        let last = descriptor.recoveries.last();
        for index in [seen, 1].into_iter().filter(|index| *index > 0) {
            let request = self.token_read(leader, partition, index);
            let expected = last.is_some_and(|last| last.committed < index);
            let refused = matches!(self.replies.get(&request), Some(Err(_)));
            self.told.refused_tokens += usize::from(refused);
            if expected != refused || refused == self.served.contains(&request) {
                return Err(format!("partition {partition}: a token of {index} was not judged so"));
            }
        }
        Ok(())
    }

    fn token_read(&mut self, node: usize, partition: u64, index: u64) -> RequestId {
        let request = self.request();
        let kind = ReadKind::Applied { index };
        let event = Event::Read { request, partition, kind, deadline: NEVER };
        self.step(node, event).expect("a read breaks no promise");
        request
    }
}
