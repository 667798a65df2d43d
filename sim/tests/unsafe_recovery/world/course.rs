//! The course of a world: it lives, loses three nodes, has them back, and heals.

use super::{MILLISECOND, NEVER, NODES, SECOND, World, id};
use doug_node::host::{Event, Host};
use doug_proto::map::Goal;

impl World {
    /// Clients write while nodes crash and links fail.
    pub fn live(&mut self) -> Result<(), String> {
        self.run(8 * SECOND)
    }

    /// Three nodes go down, one after the other, in the middle of writes. A last cut lets the
    /// survivors' logs end in different places.
    pub fn lose_three(&mut self) -> Result<(), String> {
        let mut nodes: Vec<usize> = (0..NODES).collect();
        self.random.shuffle(&mut nodes);
        let (lost, survivors) = nodes.split_at(3);
        // One survivor falls behind, or both: then what the lost acknowledge is nowhere else.
        let behind = &survivors[..*self.random.pick(&[0, 1, 2, 2])];
        for one in behind {
            let others = (0..NODES).filter(|other| other != one);
            self.cut.extend(others.flat_map(|other| [(*one, other), (other, *one)]));
        }
        let pause = self.random.duration_between(SECOND, 2 * SECOND);
        self.run(pause)?;
        self.faults = false;
        self.lost = lost.iter().copied().collect();
        for node in lost.iter().copied() {
            self.crash(node);
            let pause = self.random.duration_between(MILLISECOND, 300 * MILLISECOND);
            self.run(pause)?;
        }
        self.cut.clear();
        for node in survivors.iter().copied() {
            if self.hosts[node].is_none() {
                self.start(node);
            }
        }
        self.run(9 * SECOND)
    }

    /// The lost volumes are there again. For a while they hear only each other.
    pub fn lost_return(&mut self) -> Result<(), String> {
        let lost: Vec<usize> = self.lost.iter().copied().collect();
        let survivors: Vec<usize> = (0..NODES).filter(|node| !self.lost.contains(node)).collect();
        if self.random.chance(500) {
            let pairs = lost.iter().flat_map(|l| survivors.iter().map(move |s| (*l, *s)));
            self.cut = pairs.flat_map(|(l, s)| [(l, s), (s, l)]).collect();
        }
        for node in &lost {
            self.start(*node);
        }
        let pause = self.random.duration_between(200 * MILLISECOND, 3 * SECOND);
        self.run(pause)?;
        for (partition, descriptor) in self.newest() {
            let of_lost = |host: &Host| {
                let raft = host.raft(partition);
                raft.is_some_and(|raft| {
                    descriptor.is_of_lost_group(raft.id().0) && raft.leader() == Some(raft.id())
                })
            };
            let leads = self.hosts.iter().flatten().any(of_lost);
            self.told.old_leaders += usize::from(leads);
        }
        self.cut.clear();
        Ok(())
    }

    /// All hear of all, and each partition grows to all nodes again.
    pub fn heal(&mut self) -> Result<(), String> {
        self.run(3 * SECOND)?;
        for (partition, descriptor) in self.newest() {
            if descriptor.recoveries.is_empty() {
                continue;
            }
            let goal = Goal {
                nodes: (0..NODES).map(id).collect(),
                cluster: descriptor.cluster.clone(),
                discarded: Vec::new(),
            };
            let leader = self.leader(partition, &descriptor);
            let leader =
                leader.ok_or_else(|| format!("nobody leads the new group of {partition}"))?;
            let (request, generation) = (self.request(), 0);
            let deadline = NEVER;
            let event = Event::ChangeMembers { request, partition, goal, generation, deadline };
            self.step(leader, event)?;
        }
        self.run(6 * SECOND)
    }
}
