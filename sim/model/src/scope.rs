//! How much of each event a check allows: the product of these is what makes it finite.

use crate::actions::Action;
use crate::state::State;
use doug_raft::{Configuration, ReplicaId};
use stateright::{Model, Property};
use std::collections::BTreeSet;

/// The limits of one check.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Voters at the start.
    pub voters: BTreeSet<ReplicaId>,
    /// The memberships to go through, one change each.
    pub path: Vec<Configuration>,
    /// Campaigns, of all replicas together.
    pub campaigns: u8,
    /// Writes, of all clients together.
    pub writes: u8,
    /// Reads, likewise.
    pub reads: u8,
    /// Crashes, of all replicas together.
    pub crashes: u8,
    /// Quiesce proposals of all leaders together.
    pub quiesces: u8,
    /// Whether records become durable some time after they are written, not at once.
    pub slow_disks: bool,
}

fn ids<const N: usize>(ids: [u64; N]) -> BTreeSet<ReplicaId> {
    ids.map(ReplicaId).into()
}

impl Scope {
    /// Three replicas that elect, write and read.
    #[must_use]
    pub fn three() -> Scope {
        Scope {
            voters: ids([1, 2, 3]),
            path: Vec::new(),
            campaigns: 2,
            writes: 1,
            reads: 0,
            crashes: 0,
            quiesces: 0,
            slow_disks: false,
        }
    }

    /// Replica 1 is replaced by replica 3 in a group of two: one learner, a joint configuration,
    /// and out of it.
    #[must_use]
    pub fn replacement() -> Scope {
        let learner = Configuration { learners: ids([3]), ..Configuration::of_voters(ids([1, 2])) };
        let joint =
            Configuration { outgoing: ids([1, 2]), ..Configuration::of_voters(ids([2, 3])) };
        Scope {
            voters: ids([1, 2]),
            path: vec![learner, joint, Configuration::of_voters(ids([2, 3]))],
            writes: 0,
            ..Scope::three()
        }
    }

    /// Everyone who ever belongs to the group.
    pub(crate) fn members(&self) -> BTreeSet<ReplicaId> {
        let later = self.path.iter().flat_map(Configuration::members);
        self.voters.iter().copied().chain(later).collect()
    }
}

/// A group of replicas within a [`Scope`], for the checker.
#[derive(Clone, Debug)]
pub struct GroupModel(pub Scope);

impl Model for GroupModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.0)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        state.actions(&self.0, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.act(&self.0, action);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::<Self>::always("no promise is broken", |_, state| {
                state.history.violation.is_none()
            }),
            // A model in which nothing happens breaks no promise either.
            Property::<Self>::sometimes("everything proposed is committed", |model, state| {
                state.everything_is_committed(&model.0)
            }),
        ];
        if self.0.quiesces > 0 {
            properties
                .push(Property::<Self>::sometimes("a whole group is quiesced", |_, state| {
                    state.all_quiesced()
                }));
        }
        if self.0.campaigns > 1 {
            properties.push(Property::<Self>::sometimes("a second leader commits", |_, state| {
                state.a_second_leader_commits()
            }));
        }
        properties
    }
}
