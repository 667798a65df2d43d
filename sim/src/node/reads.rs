//! A process's clients: what they ask, reads served from views, errors translated.

use super::death::Death;
use super::process::Process;
use crate::context::Context;
use crate::events::{Ask, NodeEvent, Refusal, Request};
use crate::history::{Answer, Freshness};
use crate::mutants::Mutant;
use crate::time::micros;
use bytes::Bytes;
use doug_node::apply::{ReplicaData, execute};
use doug_node::host::{Event, ReadKind, ReadyRead};
use doug_node::serving::serves;
use doug_node::work::RequestId;
use doug_proto::error::Fault;
use doug_proto::v1;
use doug_raft::{Clock, Stamp};
use doug_storage::tree::{ReadError, ScanRange};
use prost::Message as _;
use std::sync::Arc;

/// What a request asked, as far as its answer needs it.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Write,
    Get(u64, Bytes),
    Scan(u64, bool),
    Transact(u64, Box<v1::TransactRequest>),
}

impl Process {
    pub(super) fn take_request(&mut self, request: Request, cx: &mut Context) {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        let Request { from, partition, ask, timeout } = request;
        let deadline = self.clock.local(cx.now).after(timeout);
        let (asked, freshness) = match ask {
            Ask::Write(command) => {
                if self.is_full() && self.refuses(partition, &command) {
                    let refusal = Refusal {
                        not_executed: true,
                        leader: None,
                        expired: false,
                        not_here: false,
                    };
                    return cx.reply(self.index, from, Err(refusal));
                }
                self.requests.insert(id, (from, Asked::Write));
                let seen = Stamp(0);
                let event = Event::Write { request: id, partition, command, seen, deadline };
                return self.post(self.host_of(partition), event, cx);
            }
            Ask::Transact(request) => {
                (Asked::Transact(partition, request), Freshness::Linearizable)
            }
            Ask::Get(key, freshness) => (Asked::Get(partition, key), freshness),
            Ask::Scan { freshness, reverse } => (Asked::Scan(partition, reverse), freshness),
        };
        self.requests.insert(id, (from, asked));
        let kind = match mutate(freshness, cx.plan.mutant) {
            Freshness::Linearizable => ReadKind::Linearizable,
            Freshness::Bounded(max_lag) => ReadKind::Bounded { max_lag },
            Freshness::Session(index) => ReadKind::Applied { index },
            Freshness::Eventual => {
                let delay = cx.random.duration_below(micros(300));
                return self.schedule(delay, NodeEvent::Serve(id, None), cx);
            }
        };
        let event = Event::Read { request: id, partition, kind, deadline };
        self.post(self.host_of(partition), event, cx);
    }

    /// Whether there is no room for a write.
    fn refuses(&self, partition: u64, command: &[u8]) -> bool {
        let command = v1::Command::decode(command).ok().and_then(|command| command.command);
        match command {
            Some(v1::command::Command::Write(write)) => {
                self.admit_write(partition, &write).is_err()
            }
            _ => false,
        }
    }

    /// `ready`: what a host has proven for the read.
    pub(super) fn serve(
        &mut self,
        request: RequestId,
        ready: Option<ReadyRead>,
        cx: &mut Context,
    ) -> Result<(), Death> {
        if self.serve_operation(request, ready, cx)? {
            return Ok(());
        }
        let Some((from, asked)) = self.requests.remove(&request) else {
            return Ok(());
        };
        let answer = match asked {
            Asked::Write => return Ok(()),
            Asked::Get(partition, key) => {
                let held = self.readable(partition, ready, cx)?;
                held.map(|held| (held.key(), get(&held, &key)))
            }
            Asked::Transact(partition, request) => {
                let held = self.readable(partition, ready, cx)?;
                held.map(|held| (held.key(), transact(&held, &request)))
            }
            Asked::Scan(partition, reverse) => {
                let held = self.readable(partition, ready, cx)?;
                held.map(|held| (held.key(), scan(&held, reverse)))
            }
        };
        let gone = Refusal { not_executed: true, leader: None, expired: false, not_here: true };
        match answer {
            Some((_, Ok(answer))) => cx.reply(self.index, from, Ok(answer)),
            // Another replica can read what this one cannot.
            Some((_, Err(ReadError::Storage(error)))) if error.is_out_of_descriptors() => {
                cx.coverage.hit("read without a descriptor");
                cx.reply(self.index, from, Err(gone));
            }
            Some((key, Err(ReadError::Storage(error)))) => {
                self.leave_if_damaged(key, error, cx)?;
                cx.reply(self.index, from, Err(gone));
            }
            Some((_, Err(error))) => return Err(unreadable(&error)),
            None => cx.reply(self.index, from, Err(gone)),
        }
        Ok(())
    }

    /// A replica that holds anything yet, and that must not wait for its replay. `ready`:
    /// what a host has proven, and of which replica.
    fn readable(
        &self,
        partition: u64,
        ready: Option<ReadyRead>,
        cx: &mut Context,
    ) -> Result<Option<Arc<ReplicaData>>, Death> {
        let held = self.partitions.get(&partition).filter(|p| p.descriptor().generation > 0);
        let Some(held) = held else { return Ok(None) };
        if ready.is_some_and(|ready| serves(held.key(), ready.replica).is_err()) {
            return Ok(None);
        }
        let proven = ready.is_some_and(|ready| ready.staleness.is_some());
        let may = self.may_serve(held, proven, cx)?;
        Ok(may.then(|| held.clone()))
    }

    /// Whether a replica may serve what it holds.
    ///
    /// # Errors
    /// It would go back behind what it has served.
    pub(super) fn may_serve(
        &self,
        held: &ReplicaData,
        fresh: bool,
        cx: &mut Context,
    ) -> Result<bool, Death> {
        if !fresh && !held.serves() && cx.plan.mutant != Mutant::ReadBeforeReplay {
            cx.coverage.hit("read refused: the replica has just started");
            return Ok(false);
        }
        // What was damaged without a sign is not the replica's fault.
        if !cx.losses.was_damaged(self.id) {
            cx.checks.serves(self.id, held.key(), held.reader().view().revision())?;
        }
        Ok(true)
    }
}

/// How fresh a read is with a bug in.
fn mutate(asked: Freshness, mutant: Mutant) -> Freshness {
    match (mutant, asked) {
        (Mutant::ReadWithoutRound, Freshness::Linearizable)
        | (Mutant::TokenIgnored, Freshness::Session(_))
        | (Mutant::LagIgnored, Freshness::Bounded(_)) => Freshness::Eventual,
        _ => asked,
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Death {
    let what = format!("a read failed: {error}");
    crate::checks::Violation::new("reads succeed", what).into()
}

fn get(partition: &ReplicaData, key: &[u8]) -> Result<Answer, ReadError> {
    let view = partition.reader().view();
    let found = view.get(key, None)?;
    let found = found.map(|found| (found.value, found.revision));
    Ok(Answer::Got { revision: view.revision(), found })
}

fn transact(partition: &ReplicaData, request: &v1::TransactRequest) -> Result<Answer, ReadError> {
    let view = partition.reader().view();
    let (outcome, _nothing) = execute(&view, (view.revision(), Clock(0)), request.into())?;
    Ok(Answer::Transacted(Box::new(outcome)))
}

fn scan(partition: &ReplicaData, reverse: bool) -> Result<Answer, ReadError> {
    let view = partition.reader().view();
    let range = ScanRange { reverse, ..ScanRange::all() };
    let scan = view.scan(range, None)?;
    let entries = scan.map(|entry| {
        let entry = entry?;
        Ok((entry.key, entry.value, entry.revision))
    });
    let entries = entries.collect::<Result<_, ReadError>>()?;
    Ok(Answer::Scanned { revision: view.revision(), entries })
}

/// What an outcome tells its client.
pub(super) fn written(outcome: &v1::Outcome) -> Result<Answer, Refusal> {
    if outcome.session_expired {
        let (leader, not_here) = (None, false);
        return Err(Refusal { not_executed: false, leader, expired: true, not_here });
    }
    if outcome.wrong_partition {
        let (leader, not_here) = (None, true);
        return Err(Refusal { not_executed: true, leader, expired: false, not_here });
    }
    let is_transaction =
        !outcome.answers.is_empty() || outcome.answers_dropped || outcome.obstacle.is_some();
    if is_transaction {
        return Ok(Answer::Transacted(Box::new(outcome.clone())));
    }
    Ok(Answer::Written {
        revision: outcome.revision,
        met: outcome.conditions_met,
        existed: outcome.existed,
        current: outcome.current_revision,
    })
}

/// What an error tells its client.
pub(super) fn refusal(fault: &Fault) -> Refusal {
    let leader = fault.leader_hint().and_then(|hint| hint.leader_node.parse().ok());
    let not_here = leader.is_none();
    Refusal { not_executed: fault.is_not_executed(), leader, expired: false, not_here }
}
