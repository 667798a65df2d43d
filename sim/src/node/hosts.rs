//! A process's hosts: their mail, their turns, and where their effects go.

use super::death::Death;
use super::maintenance::Task;
use super::process::Process;
use super::reads::refusal;
use crate::calls::{Call, Caller};
use crate::checks::Violation;
use crate::context::{Context, WantedSnapshot};
use crate::events::{Arrival, Hello, NodeEvent};
use crate::time::micros;
use crate::wall_clocks::WallClocks;
use doug_node::host::wire::Route;
use doug_node::host::{Effects, Event, ReadyRead, Replayed, Reply, RoleChange, split};
use doug_node::work::{ApplyWork, RequestId, Sequence};
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::map::{Member, Partition};
use doug_proto::v1::{self, command::Command};
use doug_raft::{Batch, Membership, ReplicaId, Role};
use doug_storage::ReplicaKey;
use doug_storage::log::Record;
use prost::Message as _;

/// Replicas are compared whenever one applies past a multiple of this index.
const SAMPLE: u64 = 256;

impl Process {
    /// Puts an event into a host's mail.
    pub fn post(&mut self, host: usize, event: Event, cx: &mut Context) {
        let slot = &mut self.hosts[host];
        slot.mail.push(event.lane(), event);
        if !slot.turn_due {
            slot.turn_due = true;
            let delay = cx.random.duration_below(micros(120));
            self.schedule(delay, NodeEvent::Turn(host), cx);
        }
    }

    /// Something came over the network.
    ///
    /// # Errors
    /// What ends the process.
    pub fn arrive(&mut self, arrival: Arrival, cx: &mut Context) -> Result<(), Death> {
        match arrival {
            // What the hello at the opening of a stream is for.
            Arrival::Turn { to, .. } | Arrival::Call { to, .. } if to != self.id => {
                cx.coverage.hit("stream for another node refused");
            }
            Arrival::Map(talk) if talk.to != self.id => {}
            Arrival::Call { caller, call, .. } => {
                let delay = cx.random.duration_below(micros(300));
                self.schedule(delay, NodeEvent::Call(caller, call), cx);
            }
            Arrival::Map(talk) => {
                let delay = cx.random.duration_below(micros(300));
                self.schedule(delay, NodeEvent::HearMap(talk), cx);
            }
            Arrival::Turn { from, hello, turn, .. } => {
                self.greeted(from, hello, cx);
                for (host, turn) in split(turn, self.hosts.len()) {
                    self.hear(host, Event::Turn { from, turn }, cx)?;
                }
            }
            Arrival::Request(request) => self.take_request(request, cx),
            Arrival::Refused { peer } => {
                self.hellos.remove(&peer);
                for host in 0..self.hosts.len() {
                    self.post(host, Event::Suspect { node: peer }, cx);
                }
            }
        }
        Ok(())
    }

    /// A peer's message reaches a host: one that waits for mail often takes it at once.
    fn hear(&mut self, host: usize, event: Event, cx: &mut Context) -> Result<(), Death> {
        if self.hosts[host].turn_due || !cx.random.chance(700) || self.waits_for_log(cx) {
            self.post(host, event, cx);
            return Ok(());
        }
        self.hosts[host].mail.push(event.lane(), event);
        self.turn(host, cx)
    }

    /// A stream is opened: both say hello. What is under way on the streams of an earlier
    /// process was opened before.
    fn greeted(&mut self, from: NodeId, hello: Hello, cx: &mut Context) {
        let Hello { level, incarnation, life, asks } = hello;
        let known = self.hellos.get(&from).is_some_and(|known| known.life >= life);
        if !known {
            self.hellos.insert(from, hello);
            self.post_all(&Event::Supports { node: from, level }, cx);
            self.post_all(&Event::Hello { node: from, incarnation }, cx);
        }
        if known && !asks {
            return;
        }
        cx.send_turn((self.index, self.id, self.hello), from, v1::PeerTurn::default());
    }

    /// Tells every host something.
    pub fn post_all(&mut self, event: &Event, cx: &mut Context) {
        for host in 0..self.hosts.len() {
            self.post(host, event.clone(), cx);
        }
    }

    pub(super) fn turn(&mut self, host: usize, cx: &mut Context) -> Result<(), Death> {
        let now = self.clock.local(cx.now);
        let slot = &mut self.hosts[host];
        slot.turn_due = false;
        let mut mail = std::mem::take(&mut slot.spare);
        slot.mail.take_turn(&mut mail);
        for event in mail.drain(..) {
            slot.host.step(now, event);
        }
        slot.spare = mail;
        let effects = slot.host.take_effects(now);
        if !slot.mail.is_empty() {
            slot.turn_due = true;
            self.schedule(cx.random.duration_below(micros(120)), NodeEvent::Turn(host), cx);
        }
        self.carry_out(host, effects, cx)
    }

    pub(super) fn tick(&mut self, host: usize, cx: &mut Context) -> Result<(), Death> {
        let now = self.clock.local(cx.now);
        let slot = &mut self.hosts[host];
        slot.host.step(now, Event::Tick { wall: cx.wall_clocks.show(self.index, cx.now) });
        let effects = slot.host.take_effects(now);
        self.schedule(self.tick, NodeEvent::Tick(host), cx);
        if host == 0 {
            self.look_after_watches(cx);
        }
        self.carry_out(host, effects, cx)
    }

    fn carry_out(&mut self, host: usize, effects: Effects, cx: &mut Context) -> Result<(), Death> {
        // Most turns have one or two of all these; the loops over the others would cost as much.
        let Effects { records, turns, apply, ready, replies, .. } = effects;
        if !effects.roles.is_empty() {
            self.change_roles(host, effects.roles, cx)?;
        }
        if !turns.is_empty() {
            self.send_turns(turns, cx)?;
        }
        if !records.is_empty() {
            self.check_proposals(host, &records, cx)?;
            for (sequence, record) in records {
                self.records.push(host, sequence, record);
            }
            self.begin_sync(cx)?;
        }
        if !apply.is_empty() {
            self.take_work(host, apply, cx)?;
        }
        if !ready.is_empty() {
            self.serve_soon(ready, cx);
        }
        if !replies.is_empty() {
            self.hand_replies_on(replies, cx);
        }
        for (replica, replayed) in effects.replayed {
            if replayed == Replayed::AsFarAsKnown {
                cx.coverage.hit("served without a leader's word");
                cx.checks.may_go_back(self.id, replica);
            }
            if let Some(partition) = self.partition(replica) {
                partition.note_serves();
            }
        }
        if effects.dropped_appends > 0 {
            cx.coverage.add("append not taken in: the disk is behind", effects.dropped_appends);
        }
        for (cause, count) in effects.unquiesces {
            cx.coverage.add(&format!("unquiesced: {cause}"), count);
        }
        for (replica, index) in effects.floors {
            cx.trace.detail(cx.now, || {
                format!("{} needs nothing of {replica} up to {index}", self.name)
            });
            self.reader.set_floor(replica, index);
        }
        if !effects.flush.is_empty() {
            // What is flushed makes room.
            self.full_log = self.full_log.filter(|until| cx.now < *until);
        }
        for replica in effects.flush {
            cx.coverage.hit("flush to free the log");
            self.enqueue(Task::Flush(replica), cx);
        }
        for fetch in effects.fetch {
            cx.trace.detail(cx.now, || format!("{} wants {fetch:?} back", self.name));
            cx.coverage.hit("batches read back from the log");
            self.enqueue(Task::Fetch { host, fetch }, cx);
        }
        for replica in effects.repaired {
            cx.coverage.hit("ambiguous tail repaired");
            self.enqueue(Task::TailRepaired(replica), cx);
        }
        for wanted in effects.creations {
            let node = wanted.member.node;
            cx.coverage.hit("replica wanted by a leader");
            cx.call(self.index, node, Caller::Node, Call::CreateReplica(Box::new(wanted)));
        }
        for snapshot in effects.snapshots {
            let (node, life) = (self.index, self.life);
            cx.wanted_snapshots.push(WantedSnapshot { node, life, host, snapshot });
        }
        Ok(())
    }

    fn send_turns(
        &mut self,
        turns: Vec<(NodeId, v1::PeerTurn)>,
        cx: &mut Context,
    ) -> Result<(), Death> {
        for (to, turn) in turns {
            for route in routes(&turn) {
                cx.checks.speaks(self.id, route)?;
            }
            cx.checks.sends(self.id, &turn)?;
            // An empty turn opens a stream for the sake of the hello; it says the time all the
            // same.
            let asks = turn == v1::PeerTurn { clock: turn.clock, ..v1::PeerTurn::default() };
            let hello = Hello { asks, ..self.hello };
            cx.send_turn((self.index, self.id, hello), to, turn);
        }
        Ok(())
    }

    fn take_work(
        &mut self,
        host: usize,
        apply: Vec<ApplyWork>,
        cx: &mut Context,
    ) -> Result<(), Death> {
        for work in apply {
            let raft = self.hosts[host].host.raft(work.replica.partition);
            if let Some(leader) = raft.filter(|raft| raft.role() == Role::Leader) {
                cx.checks.commits(leader)?;
            }
            for (before, now) in
                cx.checks.committed(&self.name, &work, WallClocks::bound(cx.now))?
            {
                crate::goals::tell_step(&before, &now, cx);
            }
            for work in cut(work) {
                self.to_apply.push(work.replica, work);
            }
        }
        self.apply_soon(cx);
        Ok(())
    }

    fn serve_soon(&mut self, ready: Vec<ReadyRead>, cx: &mut Context) {
        for ready in ready {
            let delay = cx.random.duration_below(micros(300));
            self.schedule(delay, NodeEvent::Serve(ready.request, Some(ready)), cx);
        }
    }

    fn hand_replies_on(
        &mut self,
        replies: Vec<(RequestId, Result<Reply, Fault>)>,
        cx: &mut Context,
    ) {
        for (request, reply) in replies {
            if let Some(word) = self.snapshots.get_mut(&request) {
                *word = Some(reply.is_ok());
            } else if self.controlled(request, &reply, cx) {
            } else if let Err(fault) = reply
                && !self.refuse_operation(request, &fault, cx)
                && let Some((request, _)) = self.requests.remove(&request)
            {
                cx.reply(self.index, request, Err(refusal(&fault)));
            }
        }
    }

    fn check_proposals(
        &self,
        host: usize,
        records: &[(Sequence, Record)],
        cx: &mut Context,
    ) -> Result<(), Death> {
        for (_, record) in records {
            if let Record::Batch { replica, data, .. } = record
                && let Some(raft) = self.hosts[host].host.raft(replica.partition)
            {
                let batch = Batch::decode(data.clone()).expect("this node has encoded it");
                if batch.kind.is_membership() {
                    cx.checks.proposed(raft, &batch)?;
                }
                if cx.plan.upgrades && raft.role() == Role::Leader && batch.term == raft.term() {
                    self.check_levels(replica.partition, &batch, cx)?;
                }
            }
        }
        Ok(())
    }

    /// A leader has put this into its log.
    fn check_levels(
        &self,
        partition: u64,
        batch: &Batch,
        cx: &mut Context,
    ) -> Result<(), Violation> {
        let known = cx.checks.descriptor(partition).or(cx.database.map.partition(partition));
        let Some(descriptor) = known.cloned() else { return Ok(()) };
        for bytes in batch.commands() {
            if batch.kind.is_membership() {
                let next = Membership::decode(&bytes).ok();
                let next = next.and_then(|next| Partition::decode(&next.context).ok());
                let learners = next.into_iter().flat_map(|next| next.learners);
                for learner in
                    learners.filter(|learner| descriptor.member(learner.replica).is_none())
                {
                    let node = learner.node;
                    let known =
                        if node == self.id { Some(&self.hello) } else { self.hellos.get(&node) };
                    let known = known.map(|hello| hello.level);
                    cx.checks.versions.takes_in(&self.name, (partition, node), known)?;
                }
            } else if let Ok(v1::Command { command: Some(Command::RaiseFeatureLevel(raise)) }) =
                v1::Command::decode(bytes)
            {
                cx.coverage.hit("feature level raised");
                // A replica that has left its group for good will never apply what follows.
                let takes_part = |member: &Member| {
                    let key = ReplicaKey { partition, replica: member.replica };
                    !cx.losses.is_fenced(member.node, key)
                };
                let members = descriptor.members().filter(takes_part).map(|member| member.node);
                let members: Vec<_> = members.collect();
                cx.checks.versions.raises(&self.name, (partition, raise.level), members)?;
            }
        }
        Ok(())
    }

    fn change_roles(
        &mut self,
        host: usize,
        changes: Vec<RoleChange>,
        cx: &mut Context,
    ) -> Result<(), Death> {
        for change in changes.into_iter().filter(|change| change.leads) {
            self.leads(host, change, cx)?;
        }
        Ok(())
    }

    fn leads(
        &mut self,
        host: usize,
        RoleChange { replica, term, .. }: RoleChange,
        cx: &mut Context,
    ) -> Result<(), Death> {
        cx.coverage.hit("election won");
        cx.trace.tell(
            cx.now,
            &format!("{} leads partition {} in term {term}", self.name, replica.partition),
        );
        let raft = self.hosts[host].host.raft(replica.partition);
        if let Some(raft) = raft.filter(|raft| raft.role() == Role::Leader && raft.term() == term) {
            cx.checks.leads(replica.partition, term, raft)?;
        }
        Ok(())
    }
}

/// Who speaks to whom in a turn.
fn routes(turn: &v1::PeerTurn) -> impl Iterator<Item = Route> {
    let route = |partition, from, to| Route { partition, from: ReplicaId(from), to: ReplicaId(to) };
    let beats = turn.heartbeats.iter();
    let beats = beats.map(move |b| route(b.partition, b.from_replica, b.to_replica));
    let answers = turn.heartbeat_answers.iter();
    let answers = answers.map(move |a| route(a.partition, a.from_replica, a.to_replica));
    let messages = turn.messages.iter();
    let messages = messages.map(move |m| route(m.partition, m.from_replica, m.to_replica));
    beats.chain(answers).chain(messages)
}

/// Cuts work behind each batch at which replicas are compared, so that all stop there.
fn cut(work: ApplyWork) -> Vec<ApplyWork> {
    let mut pieces = Vec::new();
    let mut batches = Vec::new();
    for apply in work.batches {
        let sampled = is_sample(apply.batch.base, apply.batch.last());
        batches.push(apply);
        if sampled {
            let batches = std::mem::take(&mut batches);
            pieces.push(ApplyWork { replica: work.replica, batches });
        }
    }
    if !batches.is_empty() {
        pieces.push(ApplyWork { replica: work.replica, batches });
    }
    pieces
}

/// Whether replicas are compared behind a batch.
pub(super) fn is_sample(base: u64, last: u64) -> bool {
    (base - 1) / SAMPLE != last / SAMPLE
}
