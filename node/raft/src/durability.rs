//! What waits for the disk. A vote or an acknowledgement that left before its record is durable
//! would be a promise that a power loss breaks (paper, figure 2: "updated on stable storage before
//! responding").

use std::collections::VecDeque;

use crate::ids::{ReplicaId, Ticket};
use crate::membership::Membership;
use crate::message::{Message, Verdict};

/// Something to be done once every record issued before it is durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Held {
    Message {
        to: ReplicaId,
        message: Message,
    },
    /// The candidate's vote for itself.
    OwnVote,
    /// The vote for itself of a replica that begins its group anew, with this membership.
    Recovery(Box<Membership>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Durability {
    issued: Ticket,
    durable: Ticket,
    held: VecDeque<(Ticket, Held)>,
}

impl Durability {
    pub(crate) fn next_ticket(&mut self) -> Ticket {
        self.issued.0 += 1;
        self.issued
    }

    pub(crate) fn is_durable(&self, ticket: Ticket) -> bool {
        ticket <= self.durable
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.durable == self.issued
    }

    /// Keeps `held` until all records issued so far are durable; hands it back if they are.
    #[must_use]
    pub(crate) fn hold(&mut self, held: Held) -> Option<Held> {
        if self.is_settled() {
            return Some(held);
        }
        self.held.push_back((self.issued, held));
        None
    }

    /// What may be done now. Of several acknowledgements to one leader only the last, which says
    /// the most, is kept.
    pub(crate) fn persisted(&mut self, ticket: Ticket) -> Vec<Held> {
        assert!(
            ticket <= self.issued,
            "ticket {ticket} is called durable, but only {} were issued",
            self.issued
        );
        self.durable = self.durable.max(ticket);
        let mut released: Vec<Held> = Vec::new();
        while self.held.front().is_some_and(|(waits_for, _)| *waits_for <= self.durable) {
            let (_, held) = self.held.pop_front().expect("it was just seen");
            if released.last().is_some_and(|last| supersedes(&held, last)) {
                released.pop();
            }
            released.push(held);
        }
        released
    }

    /// A new term makes every promise of the old one void: none needs to be sent any more.
    pub(crate) fn forget_held(&mut self) {
        self.held.clear();
    }
}

fn supersedes(new: &Held, old: &Held) -> bool {
    match (accepted(new), accepted(old)) {
        (Some((to, matched)), Some((old_to, old_matched))) => {
            to == old_to && matched >= old_matched
        }
        _ => false,
    }
}

fn accepted(held: &Held) -> Option<(ReplicaId, u64)> {
    match held {
        Held::Message {
            to,
            message: Message::AppendResponse { verdict: Verdict::Accepted { matched }, .. },
        } => Some((*to, *matched)),
        _ => None,
    }
}
