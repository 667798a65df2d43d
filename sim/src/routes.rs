//! Where a client sends its requests: by the map it knows, and to the leaders it heard of.

use crate::calls::{Call, Caller};
use crate::context::Context;
use crate::random::Random;
use crate::time::{SimTime, millis};
use doug_proto::map::PartitionMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Pause between two questions for the map.
const PAUSE: Duration = millis(20);

/// What a client knows of who holds what.
#[derive(Debug)]
pub struct Routes {
    map: Arc<PartitionMap>,
    leaders: BTreeMap<u64, usize>,
    asked: Option<SimTime>,
}

impl Routes {
    /// As the database began.
    pub fn new(cx: &Context) -> Self {
        Self { map: cx.database.map.clone(), leaders: BTreeMap::new(), asked: None }
    }

    /// The leader of a partition, as far as is known.
    pub fn leader(&self, partition: u64) -> Option<usize> {
        self.leaders.get(&partition).copied()
    }

    /// A node said who leads, or led.
    pub fn leads(&mut self, partition: u64, node: usize) {
        self.leaders.insert(partition, node);
    }

    /// Whoever led may not any longer.
    pub fn forget_leader(&mut self, partition: u64) {
        self.leaders.remove(&partition);
    }

    /// The nodes that hold a partition.
    pub fn holders(&self, partition: u64, cx: &Context) -> Vec<usize> {
        let members = self.map.partition(partition).into_iter().flat_map(|held| held.members());
        members.filter_map(|member| cx.database.index_of(member.node)).collect()
    }

    /// Takes in a map that a node told.
    pub fn learn(&mut self, heard: &PartitionMap, cx: &mut Context) {
        if let Some(merged) = self.map.merge(heard) {
            cx.coverage.hit("client learned a newer map");
            self.map = Arc::new(merged);
        }
    }

    /// Asks one of the nodes for its map, unless that was done just now.
    pub fn ask(&mut self, client: usize, random: &mut Random, cx: &mut Context) {
        if self.asked.is_some_and(|at| cx.now < at + PAUSE) {
            return;
        }
        self.asked = Some(cx.now);
        let node = random.pick(&self.map.nodes).id;
        let Some(index) = cx.database.index_of(node) else { return };
        // Whoever listens at the node's address answers.
        let to = cx.database.entry(index).id;
        cx.call(cx.client_place(client), to, Caller::Client(client), Call::Map);
    }
}
