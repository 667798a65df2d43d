//! How time passes: ticks, clients, faults, and what hosts want done.

use super::{Happening, MILLISECOND, NEVER, NODES, PARTITIONS, SECOND, TICK, World, id, index};
use bytes::Bytes;
use doug_node::host::{Effects, Event};
use doug_node::membership::{WantedReplica, is_left_out};
use doug_node::work::ApplyWork;
use doug_proto::map::Partition;
use doug_raft::{Clock, Membership, Stamp};
use doug_storage::ReplicaKey;
use std::time::Duration;

impl World {
    pub(super) fn run(&mut self, duration: Duration) -> Result<(), String> {
        let end = self.now.after(duration);
        while let Some(((at, _), _)) = self.agenda.first_key_value() {
            if *at > end {
                break;
            }
            let ((at, _), what) = self.agenda.pop_first().expect("it was just seen");
            self.now = at;
            self.happen(what)?;
        }
        self.now = end;
        Ok(())
    }

    fn happen(&mut self, what: Happening) -> Result<(), String> {
        match what {
            Happening::Tick => {
                self.later(TICK, Happening::Tick);
                self.trouble();
                self.tell_maps();
                for node in 0..NODES {
                    self.step(node, Event::Tick { wall: Clock(self.now.0 / 1_000) })?;
                }
                self.write()
            }
            Happening::Durable { node, life, records } => {
                if self.lives[node] != life || self.hosts[node].is_none() {
                    return Ok(());
                }
                records.iter().for_each(|(_, record)| self.disks[node].write(record));
                let upto = records.last().expect("never empty").0;
                self.step(node, Event::Persisted { upto, passed: Vec::new() })
            }
            Happening::Turn { from, to, turn } => {
                if self.cut.contains(&(from, to)) {
                    return Ok(());
                }
                self.step(to, Event::Turn { from: id(from), turn })
            }
            Happening::Map { to, descriptor } => self.hear(to, &descriptor),
            Happening::Create { to, wanted } => self.create(to, &wanted),
            Happening::Restart { node } => {
                if self.hosts[node].is_none() && !self.lost.contains(&node) {
                    self.start(node);
                }
                Ok(())
            }
        }
    }

    /// Nodes crash, and links fail, while all is still there.
    fn trouble(&mut self) {
        if !self.faults {
            return;
        }
        if self.random.chance(6) {
            let node = self.random.below(NODES as u64) as usize;
            self.crash(node);
            let pause = self.random.duration_between(10 * MILLISECOND, SECOND);
            self.later(pause, Happening::Restart { node });
        }
        if self.random.chance(10) {
            let (one, other) = (self.random.below(NODES as u64), self.random.below(NODES as u64));
            self.cut.insert((one as usize, other as usize));
        }
        if self.random.chance(60) {
            self.cut.pop_first();
        }
    }

    /// Each node tells another, now and then, what its map says.
    fn tell_maps(&mut self) {
        for node in 0..NODES {
            if self.hosts[node].is_some() && self.random.chance(30) {
                let to = self.random.below(NODES as u64) as usize;
                if self.hosts[to].is_some() && !self.cut.contains(&(node, to)) {
                    for descriptor in self.maps[node].clone().into_values() {
                        let pause = self.random.duration_between(MILLISECOND, 20 * MILLISECOND);
                        self.later(pause, Happening::Map { to, descriptor });
                    }
                }
            }
        }
    }

    /// A write to whoever believes that it leads.
    fn write(&mut self) -> Result<(), String> {
        for partition in 1..=PARTITIONS {
            for node in 0..NODES {
                let raft = self.hosts[node].as_ref().and_then(|host| host.raft(partition));
                if raft.is_some_and(|raft| raft.leader() == Some(raft.id()))
                    && self.random.chance(500)
                {
                    let request = self.request();
                    let command = Bytes::from(format!("write {}", request.0));
                    self.writes.insert(request, command.clone());
                    let (seen, deadline) = (Stamp(0), NEVER);
                    let event = Event::Write { request, partition, command, seen, deadline };
                    self.step(node, event)?;
                }
            }
        }
        Ok(())
    }

    fn hear(&mut self, node: usize, descriptor: &Partition) -> Result<(), String> {
        let known = self.maps[node].get(&descriptor.id).map_or(0, |known| known.generation);
        if self.hosts[node].is_none() || descriptor.generation <= known {
            return Ok(());
        }
        self.maps[node].insert(descriptor.id, descriptor.clone());
        let held = self.disks[node].replicas.get(&descriptor.id).map(|stored| stored.replica);
        let Some(replica) = held.filter(|replica| is_left_out(descriptor, *replica)) else {
            return Ok(());
        };
        let key = ReplicaKey { partition: descriptor.id, replica };
        let request = self.request();
        self.step(node, Event::Remove { request, replica: key })?;
        self.disks[node].remove(key);
        Ok(())
    }

    fn create(&mut self, node: usize, wanted: &WantedReplica) -> Result<(), String> {
        let key = ReplicaKey { partition: wanted.descriptor.id, replica: wanted.member.replica };
        self.hear(node, &wanted.descriptor)?;
        let disk = &mut self.disks[node];
        let gone = disk.tombstones.contains(&(key.partition, key.replica));
        if self.hosts[node].is_none() || gone || disk.replicas.contains_key(&key.partition) {
            return Ok(());
        }
        let first = wanted.descriptor.before_joining();
        disk.create(key, first.clone());
        let (descriptor, seed) = (Box::new(first), self.random.next());
        self.step(node, Event::Create { replica: key, descriptor, seed })
    }

    pub(super) fn step(&mut self, node: usize, event: Event) -> Result<(), String> {
        let now = self.now;
        let Some(host) = &mut self.hosts[node] else { return Ok(()) };
        host.step(now, event);
        loop {
            let Some(host) = &mut self.hosts[node] else { return Ok(()) };
            let effects = host.take_effects(now);
            if effects.is_empty() {
                return Ok(());
            }
            self.carry_out(node, effects)?;
        }
    }

    fn carry_out(&mut self, node: usize, effects: Effects) -> Result<(), String> {
        self.replies.extend(effects.replies);
        self.served.extend(effects.ready.iter().map(|read| read.request));
        if !effects.records.is_empty() {
            let (life, records) = (self.lives[node], effects.records);
            // In order: the log is written from one end.
            let pause = 2 * MILLISECOND;
            self.later(pause, Happening::Durable { node, life, records });
        }
        for (to, turn) in effects.turns {
            let lost = self.faults && self.random.chance(30);
            let pause = self.random.duration_between(MILLISECOND / 5, 8 * MILLISECOND);
            if !lost {
                self.later(pause, Happening::Turn { from: node, to: index(to), turn });
            }
        }
        for wanted in effects.creations {
            let to = index(wanted.member.node);
            let pause = self.random.duration_between(MILLISECOND, 20 * MILLISECOND);
            if !self.cut.contains(&(node, to)) {
                self.later(pause, Happening::Create { to, wanted: Box::new(wanted) });
            }
        }
        for work in effects.apply {
            self.apply(node, work)?;
        }
        Ok(())
    }

    fn apply(&mut self, node: usize, work: ApplyWork) -> Result<(), String> {
        let key = work.replica;
        let begun = self.ledgers[&key.partition].begun.is_some();
        let newest = self.newest().remove(&key.partition).expect("of every partition");
        // Until the new group's first descriptor is known, its one replica is the only one here.
        let of_lost = begun && newest.is_of_lost_group(key.replica);
        let mut last = 0;
        for apply in &work.batches {
            let batch = &apply.batch;
            last = batch.last();
            let ledger = self.ledgers.get_mut(&key.partition).expect("of every partition");
            if !of_lost {
                ledger.applied(batch)?;
                for (request, at) in apply.waiting.iter().zip(batch.base..) {
                    let command = self.writes.remove(request).expect("a write of these clients");
                    ledger.acknowledged(at, command);
                }
            }
            if batch.kind.is_membership() {
                let command = batch.commands().next().expect("one command");
                let membership = Membership::decode(&command).expect("readable");
                let descriptor = Partition::decode(&membership.context).expect("readable");
                for to in 0..NODES {
                    let pause = self.random.duration_between(MILLISECOND, 20 * MILLISECOND);
                    if to == node {
                        self.later(
                            Duration::ZERO,
                            Happening::Map { to, descriptor: descriptor.clone() },
                        );
                    } else if !self.cut.contains(&(node, to)) {
                        self.later(pause, Happening::Map { to, descriptor: descriptor.clone() });
                    }
                }
            }
        }
        let (replica, index, feature_level) = (key, last, 1);
        let (wanted, next_expiry) = (None, None);
        let event = Event::Applied { replica, index, feature_level, wanted, next_expiry };
        self.step(node, event)
    }
}
