//! The operator: whoever calls Admin from outside. It lets empty nodes join, has members
//! replaced whose volumes are lost, and requests the goals that faults ask for.

use crate::calls::{Call, Caller, Said};
use crate::context::Context;
use crate::events::Event;
use crate::random::Random;
use crate::time::millis;
use doug_proto::ids::NodeId;
use doug_proto::map::{Goal, Node, Partition, PartitionMap};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What happens at the operator.
#[derive(Debug)]
pub enum OperatorEvent {
    /// It looks at the database.
    Look,
    /// A call is answered.
    Answer {
        /// Its number.
        number: u64,
        /// The node that answers.
        node: usize,
        /// The answer.
        said: Box<Said>,
    },
}

/// A goal is requested at most so often.
const TRIES: u32 = 8;
/// Answers that are still waited for.
const CALLS: usize = 256;

/// A goal that was requested for a partition, until its leader has taken it up.
#[derive(Clone, Debug)]
struct Requested {
    goal: Goal,
    /// Whether it names the generation of the descriptor known here, and is refused in any other.
    exact: bool,
    tries: u32,
}

/// What a call was about.
#[derive(Clone, Copy, Debug)]
enum About {
    Map,
    Joining(usize, NodeId),
    Goal(u64),
    Other,
}

/// The operator.
#[derive(Debug)]
pub struct Operator {
    random: Random,
    map: Arc<PartitionMap>,
    /// Nodes that are in no database yet.
    empty: BTreeSet<usize>,
    requested: BTreeMap<u64, Requested>,
    leaders: BTreeMap<u64, NodeId>,
    calls: BTreeMap<u64, About>,
    next_call: u64,
}

impl Operator {
    /// One that has just created the database.
    pub fn begin(cx: &mut Context) -> Self {
        let spares = (0..cx.database.nodes()).filter(|node| !cx.database.is_founder(*node));
        let operator = Self {
            random: Random::for_purpose(cx.plan.seed, 6),
            map: cx.database.map.clone(),
            empty: spares.collect(),
            requested: BTreeMap::new(),
            leaders: BTreeMap::new(),
            calls: BTreeMap::new(),
            next_call: 0,
        };
        cx.after(millis(500), Event::Operator(OperatorEvent::Look));
        operator
    }

    /// The map as far as it is known here.
    pub fn map(&self) -> &PartitionMap {
        &self.map
    }

    /// A node came up with an empty volume.
    pub fn is_empty(&mut self, node: usize) {
        self.empty.insert(node);
    }

    /// What it has not done yet, if anything.
    pub fn is_busy(&self) -> Option<String> {
        let goal = self.requested.keys().next();
        let goal = goal.map(|partition| format!("partition {partition} is to be given a goal"));
        goal.or_else(|| self.empty.first().map(|node| format!("node {node} has not joined")))
    }

    /// Requests a goal for a partition until its leader has taken it up, in place of any that was
    /// requested before.
    pub fn request(&mut self, partition: u64, goal: Goal, cx: &mut Context) {
        let exact = self.random.chance(300);
        self.requested.insert(partition, Requested { goal, exact, tries: 0 });
        self.pursue(partition, cx);
    }

    /// Something happens to it.
    pub fn handle(&mut self, event: OperatorEvent, cx: &mut Context) {
        match event {
            OperatorEvent::Look => self.look(cx),
            OperatorEvent::Answer { number, node, said } => {
                if let Some(about) = self.calls.remove(&number) {
                    self.answered(about, node, *said, cx);
                }
            }
        }
    }

    fn look(&mut self, cx: &mut Context) {
        let pause = self.random.duration_between(millis(200), millis(700));
        cx.after(pause, Event::Operator(OperatorEvent::Look));
        let node = self.random.below(cx.database.nodes() as u64) as usize;
        self.call(About::Map, cx.database.entry(node).id, Call::Map, cx);
        for node in self.empty.clone() {
            self.let_join(node, cx);
        }
        for partition in cx.database.partitions() {
            self.pursue(partition, cx);
        }
    }

    fn call(&mut self, about: About, to: NodeId, call: Call, cx: &mut Context) {
        self.next_call += 1;
        self.calls.insert(self.next_call, about);
        while self.calls.len() > CALLS {
            self.calls.pop_first();
        }
        cx.call(cx.operator_place(), to, Caller::Operator(self.next_call), call);
    }

    /// The members hear of the node, and the node is told that it is one.
    fn let_join(&mut self, index: usize, cx: &mut Context) {
        let epoch = self.map.epoch + 1;
        let entry = Node { version: epoch, ..cx.database.entry(index).clone() };
        let mut map = PartitionMap::clone(&self.map);
        if map.node(entry.id).is_none() {
            map.epoch = epoch;
            map.nodes.push(entry.clone());
            let present = self.map.nodes.iter().map(|node| node.id);
            let present: Vec<_> = present.filter(|id| cx.database.is_present(*id)).collect();
            if !present.is_empty() {
                let to = *self.random.pick(&present);
                let (nodes, clusters) = (vec![entry.clone()], Vec::new());
                let call = Call::UpdateAddresses { epoch, nodes, clusters };
                self.call(About::Other, to, call, cx);
            }
        }
        self.call(About::Joining(index, entry.id), entry.id, Call::Join(Arc::new(map)), cx);
    }

    /// Asks for what a partition needs: successors of lost members first.
    fn pursue(&mut self, partition: u64, cx: &mut Context) {
        let map = self.map.clone();
        let Some(descriptor) = map.partition(partition) else { return };
        let (goal, generation) = match self.repair(descriptor, cx) {
            Some(goal) => {
                cx.coverage.hit("successor of a lost volume asked for");
                (goal, descriptor.generation)
            }
            None => {
                let Some(requested) = self.requested.get_mut(&partition) else { return };
                requested.tries += 1;
                let generation = if requested.exact { descriptor.generation } else { 0 };
                let goal = requested.goal.clone();
                if requested.tries >= TRIES {
                    self.requested.remove(&partition);
                    cx.coverage.hit("goal never taken up");
                }
                (goal, generation)
            }
        };
        cx.losses.asked(cx.now, partition, goal.clone());
        let members: Vec<NodeId> = descriptor.members().map(|member| member.node).collect();
        // Whoever led may be gone, or cut off.
        let known = self.leaders.get(&partition).copied().filter(|_| self.random.chance(700));
        let to = known.unwrap_or_else(|| *self.random.pick(&members));
        let call = Call::ChangeMembers { partition, goal, generation };
        self.call(About::Goal(partition), to, call, cx);
    }

    /// The goal with the successors of nodes whose volumes are lost, if it names any.
    fn repair(&self, descriptor: &Partition, cx: &Context) -> Option<Goal> {
        let goal = descriptor.goal.clone().unwrap_or_else(|| Goal {
            nodes: descriptor.voters.iter().map(|voter| voter.node).collect(),
            cluster: descriptor.cluster.clone(),
            discarded: Vec::new(),
        });
        let present = |id: &NodeId| {
            if cx.losses.has_lost_volume(*id) {
                cx.database.index_of(*id).map(|index| cx.database.entry(index).id)
            } else {
                Some(*id)
            }
        };
        let nodes: Vec<NodeId> = goal.nodes.iter().filter_map(present).collect();
        let all_joined = nodes.iter().all(|node| self.map.node(*node).is_some());
        (nodes != goal.nodes && all_joined).then_some(Goal { nodes, ..goal })
    }

    fn answered(&mut self, about: About, node: usize, said: Said, cx: &mut Context) {
        match (about, said) {
            (_, Said::Map(map)) => {
                if let Some(merged) = self.map.merge(&map) {
                    self.map = Arc::new(merged);
                }
            }
            (About::Joining(index, id), Said::Done) => {
                if cx.database.entry(index).id == id {
                    self.empty.remove(&index);
                }
            }
            (About::Goal(partition), Said::Goal(descriptor)) => {
                self.leaders.insert(partition, cx.database.entry(node).id);
                // Without a goal, the one requested is reached already, or was to be given up.
                let taken_up = |requested: &Requested| {
                    descriptor.goal.as_ref().is_none_or(|goal| *goal == requested.goal)
                };
                if self.requested.get(&partition).is_some_and(taken_up) {
                    self.requested.remove(&partition);
                }
            }
            (About::Goal(partition), Said::Refused { leader, why }) => {
                cx.trace.detail(cx.now, || format!("the operator is refused: {why}"));
                match leader {
                    Some(leader) => {
                        let known = self.leaders.insert(partition, leader);
                        if known != Some(leader) {
                            self.pursue(partition, cx);
                        }
                    }
                    None => {
                        self.leaders.remove(&partition);
                    }
                }
            }
            (About::Map | About::Other | About::Joining(..) | About::Goal(_), _) => {}
        }
    }
}
