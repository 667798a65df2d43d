//! What time brings: elections, heartbeats, quiescing, deadlines, and the balance of leaders.

use super::Host;
use super::effects::Effects;
use super::faults::{not_proposed, outcome_unknown, read_expired, transfer_expired};
use super::quiesce::Candidacy;
use super::replica::{AwaitedTransfer, Replica};
use doug_raft::Time;
use std::time::Duration;

/// A pause between ticks longer than the election timeout divided by this means
/// that the process did not run: on an overloaded machine all would campaign
/// whenever they run again, and none would win.
const STALL: u32 = 3;

/// Pause between looks at the spread of the leaders.
const BALANCE_INTERVAL: Duration = Duration::from_millis(500);

impl Host {
    pub(super) fn tick(&mut self, now: Time) {
        let pause = now.since(self.last_tick);
        let stalled = self.last_tick != Time(0) && pause > self.config.election_timeout / STALL;
        self.last_tick = now;
        if stalled {
            self.liveness.compensate_pause(now, pause);
        }
        self.tick_liveness(now);
        let (mut due, mut campaigning, mut idle) = (Vec::new(), 0, Vec::new());
        // A node may hold thousands of replicas, nearly all of which are quiesced.
        for partition in &self.ticking {
            let Some(replica) = self.replicas.get_mut(partition) else { continue };
            if replica.snapshot.is_none() {
                if stalled {
                    replica.raft.compensate_pause(now, pause);
                }
                self.clocks.show_to(now, replica);
                if replica.raft.campaign_due(now) {
                    due.push(Candidacy::of(replica))
                } else {
                    replica.raft.tick(now)
                }
                campaigning += usize::from(replica.raft.is_campaigning(now));
            }
            if self.config.quiesce_after.is_some_and(|after| replica.may_quiesce(now, after)) {
                idle.push(*partition);
            }
            expire(now, replica, &mut self.effects);
            // Most of the others have nothing to do either.
            if !replica.is_idle() {
                self.dirty.insert(*partition);
            }
        }
        self.let_campaign(now, due, campaigning);
        self.propose_expiry(now);
        self.quiesce_idle(now, idle);
        self.move_members(now);
        if now >= self.next_balance {
            self.next_balance = now.after(BALANCE_INTERVAL);
            self.balance(now);
        }
    }
}

/// Ends the requests whose time is over.
fn expire(now: Time, replica: &mut Replica, effects: &mut Effects) {
    let partition = replica.key.partition;
    for request in replica.queue.expire(now) {
        effects.replies.push((request, Err(not_proposed(partition))));
    }
    let committed = replica.applying.expire(now);
    for request in replica.pending.expire(now).into_iter().chain(committed) {
        effects.replies.push((request, Err(outcome_unknown(partition))));
    }
    for request in replica.reads.expire(now) {
        effects.replies.push((request, Err(read_expired(replica))));
    }
    let raft = &replica.raft;
    let over = |transfer: &mut AwaitedTransfer| transfer.deadline <= now || transfer.given_up(raft);
    if let Some(transfer) = replica.transfer.take_if(over) {
        effects.replies.push((transfer.request, Err(transfer_expired(partition))));
    }
}
