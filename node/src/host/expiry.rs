//! Keys that expire: whoever leads proposes that those which are due by the clock are deleted.

use super::Host;
use super::replica::Replica;
use crate::work::encode_command;
use doug_proto::v1::{self, command};
use doug_raft::{Clock, Index, Term, Time};
use doug_storage::ReplicaKey;
use doug_storage::simulation::{Bug, has_bug};
use std::collections::BTreeSet;

/// When keys of the partitions here are due, as far as their replicas have applied.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    due: BTreeSet<(Clock, u64)>,
}

/// What a replica knows of the keys that expire.
#[derive(Debug, Default)]
pub(super) struct ReplicaExpiry {
    /// When the next one may be due, as of what is applied.
    next: Option<Clock>,
    /// The last command that was proposed for it, until that is applied: there is one at a time.
    proposed: Option<(Term, Index)>,
}

impl ReplicaExpiry {
    /// Whether a command is wanted at `clock`.
    fn is_wanted(&self, clock: Clock, term: Term) -> bool {
        let under_way = self.proposed.is_some_and(|(then, _)| then == term);
        self.next.is_some_and(|next| next <= clock) && !under_way
    }
}

impl Host {
    /// What a replica's tree says, once everything up to `index` is applied.
    pub(super) fn note_expiry(&mut self, key: ReplicaKey, index: Index, next: Option<Clock>) {
        let Some(replica) = self.replicas.get_mut(&key.partition).filter(|r| r.key == key) else {
            return;
        };
        let expiry = &mut replica.expiry;
        expiry.proposed = expiry.proposed.filter(|(_, at)| *at > index);
        if expiry.next == next {
            return;
        }
        if let Some(before) = expiry.next {
            self.expiries.due.remove(&(before, key.partition));
        }
        expiry.next = next;
        self.expiries.due.extend(next.map(|next| (next, key.partition)));
    }

    /// Proposes that keys expire, wherever one is due in a partition that is led from here and
    /// whose leader has not proposed it yet. A quiesced partition unquiesces for it.
    pub(super) fn propose_expiry(&mut self, now: Time) {
        // What is due by a partition's clock is due by one of those that nodes show: a clock is the
        // median of some, or has stood still since it was one of theirs, and goes on with them.
        let latest = self.clocks.latest(now);
        let mut gone = Vec::new();
        for entry @ (_, partition) in self.expiries.due.range(..=(latest, u64::MAX)) {
            match self.replicas.get_mut(partition) {
                Some(replica) if replica.expiry.next == Some(entry.0) => {
                    self.clocks.show_to(now, replica);
                    if propose(now, replica) {
                        self.dirty.insert(*partition);
                    }
                }
                // The replica was let go of, and perhaps another one made.
                _ => gone.push(*entry),
            }
        }
        for entry in gone {
            self.expiries.due.remove(&entry);
        }
    }
}

/// Whether anything happened.
fn propose(now: Time, replica: &mut Replica) -> bool {
    let term = replica.raft.term();
    if has_bug(Bug::ExpirySleptThrough) && replica.raft.is_quiesced() {
        return false;
    }
    if !replica.leads() || !replica.expiry.is_wanted(replica.raft.clock(now), term) {
        return false;
    }
    let command = v1::Command { command: Some(command::Command::Expire(v1::ExpireCommand {})) };
    let proposed = replica.raft.propose(now, &[encode_command(&command)]);
    if let Ok(at) = proposed {
        replica.expiry.proposed = Some((at.term, at.base));
    }
    proposed.is_ok()
}
