//! The partition's state machine: a deterministic function of the log.

use super::history::{Floor, Kept};
use super::recent::Change;
use super::sessions::{SessionAdmission, Sessions};
use super::{expiry, session_keys, transaction};
use crate::levels::{FEATURE_LEVEL, KNOWN_LEVEL, LEAST_LEVEL};
use bytes::Bytes;
use doug_proto::error::Fault;
use doug_proto::ids::DatabaseId;
use doug_proto::map::Partition;
use doug_proto::routing::Routing;
use doug_proto::transaction::{Touched, touched};
use doug_proto::v1::{self, command, transact_operation::Operation};
use doug_raft::{Batch, BatchKind, BatchTime, Clock, Membership, Stamp};
use doug_storage::StorageError;
use doug_storage::simulation::{Bug, has_bug};
use doug_storage::table::{Slot, TimedBatch};
use doug_storage::tree::{KeyClass, Op, ReadError, Tree, View};
use prost::Message;
use std::time::Duration;

/// The format of state blocks this program writes, and the newest that it reads.
pub const STATE_FORMAT_VERSION: u32 = 1;

/// Bytes of a state block at most, beside the bounds of its partition, which are keys.
const STATE_BYTES: usize = 4 << 10;

/// A partition's replicated state beside its keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    database: DatabaseId,
    routing: Routing,
    descriptor: Partition,
    sessions: Sessions,
    feature_level: u32,
    history: Kept,
    /// Of the last batch applied.
    time: BatchTime,
    /// When the first entry of the index of expiries is due: what its tree says, no state of its
    /// own.
    next_expiry: Option<Clock>,
    /// See [`Self::take_lateness`].
    lateness: Vec<Duration>,
}

impl Machine {
    /// The state of a new partition.
    pub fn new(database: DatabaseId, routing: Routing, descriptor: Partition) -> Self {
        Self {
            database,
            routing,
            sessions: Sessions::new(descriptor.id),
            descriptor,
            feature_level: LEAST_LEVEL,
            history: Kept::default(),
            time: BatchTime::default(),
            next_expiry: None,
            lateness: Vec::new(),
        }
    }

    /// When a key may be due next, if any ever will: then an [`v1::ExpireCommand`] is wanted.
    pub fn next_expiry(&self) -> Option<Clock> {
        self.next_expiry
    }

    /// How late the keys were that have expired since this was asked last.
    pub fn take_lateness(&mut self) -> Vec<Duration> {
        std::mem::take(&mut self.lateness)
    }

    /// What the log may hold: see [`FEATURE_LEVEL`].
    pub fn feature_level(&self) -> u32 {
        self.feature_level
    }

    /// How far back the partition can be read.
    pub fn history(&self) -> &Kept {
        &self.history
    }

    /// Clock and stamp of the last batch applied; both 0 before the first.
    pub fn time(&self) -> BatchTime {
        self.time
    }

    /// The database the partition is of.
    pub fn database(&self) -> DatabaseId {
        self.database
    }

    /// The partition's descriptor.
    pub fn descriptor(&self) -> &Partition {
        &self.descriptor
    }

    /// The client sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// See [`Sessions::freeze`].
    pub fn freeze_sessions(&mut self) -> Vec<Op> {
        self.sessions.freeze()
    }

    /// The state block that is stored with each flush and sent with each snapshot: small,
    /// for it is written with every one of them.
    pub fn encode(&self) -> Bytes {
        let block = self.state().encode_to_vec();
        assert!(block.len() <= self.most(), "a state block of {} bytes", block.len());
        block.into()
    }

    fn state(&self) -> v1::PartitionState {
        v1::PartitionState {
            format_version: STATE_FORMAT_VERSION,
            database: self.database.to_string(),
            routing: Some(self.routing.to_wire()),
            descriptor: Some(self.descriptor.to_wire()),
            feature_level: self.feature_level,
            clock: self.time.clock.0,
            stamp: self.time.stamp.0,
            history: self.history.options.map(|(generation, history)| v1::SetHistoryCommand {
                generation,
                history: Some(history.to_wire()),
            }),
            floor: Some(self.history.floor.to_wire()),
        }
    }

    /// Bytes that its state block may have.
    fn most(&self) -> usize {
        STATE_BYTES + self.descriptor.start.len() + self.descriptor.end.len()
    }

    /// Reads a state block; the sessions that belong to it are read from `tables`.
    ///
    /// # Errors
    /// Damaged tables, naming file and offset; a block or sessions that are none, or of a
    /// newer format.
    pub fn restore(block: &[u8], tables: &View) -> Result<Self, StorageError> {
        let mut machine =
            Self::decode(block).map_err(|fault| StorageError::Refused(fault.message))?;
        machine.sessions = Sessions::read(machine.descriptor.id, tables)?;
        if !has_bug(Bug::ExpiryForgottenByStart) {
            machine.next_expiry = expiry::first(tables).map_err(session_keys::storage_error)?;
        }
        Ok(machine)
    }

    /// Reads a state block alone, without any session.
    ///
    /// # Errors
    /// A block that is none, too long for one, or of a newer format.
    pub fn decode(block: &[u8]) -> Result<Self, Fault> {
        let state = v1::PartitionState::decode(block).map_err(|e| {
            Fault::invalid(format!("the partition's state block is unreadable: {e}"))
        })?;
        if state.format_version != STATE_FORMAT_VERSION {
            return Err(Fault::invalid(format!(
                "the partition's state block has format version {}, and this program knows version \
                 {STATE_FORMAT_VERSION}: run the program that wrote it, or a newer one",
                state.format_version
            )));
        }
        let feature_level = state.feature_level;
        if feature_level < LEAST_LEVEL {
            return Err(Fault::invalid("the partition's state block says no feature level"));
        }
        if feature_level > KNOWN_LEVEL {
            return Err(Fault::invalid(format!(
                "the partition is at feature level {feature_level}, and this program supports \
                 {FEATURE_LEVEL}: run a newer one on this node"
            )));
        }
        let descriptor = Partition::from_wire(&state.descriptor.unwrap_or_default())?;
        let floor = Floor::from_wire(state.floor.unwrap_or_default());
        let mut history = Kept { options: None, floor };
        if let Some(options) = &state.history {
            history.set(options);
        }
        let machine = Self {
            database: state.database.parse().map_err(|e| Fault::invalid(format!("{e}")))?,
            routing: Routing::from_wire(state.routing.as_ref())?,
            sessions: Sessions::new(descriptor.id),
            descriptor,
            feature_level,
            history,
            time: BatchTime { clock: Clock(state.clock), stamp: Stamp(state.stamp) },
            next_expiry: None,
            lateness: Vec::new(),
        };
        let (len, most) = (machine.state().encoded_len(), machine.most());
        if len > most {
            return Err(Fault::limit("bytes of the partition's state block", most, len));
        }
        Ok(machine)
    }

    /// Applies one batch: an outcome of each command is added to `outcomes`, none for a no-op;
    /// and what it has changed to `changed`.
    /// Panics if it is not later than the one before.
    ///
    /// # Errors
    /// What the tree reports when a condition cannot be read. The command changed nothing, and
    /// those before it have their outcomes: the batch may go on there once it can be read. A
    /// replica that skipped the command would differ from others.
    pub fn apply(
        &mut self,
        tree: &mut Tree,
        batch: &Batch,
        outcomes: &mut Vec<v1::Outcome>,
        mut changed: Option<&mut Vec<Change>>,
    ) -> Result<(), ApplyError> {
        assert!(
            batch.time.may_follow(self.time),
            "partition {}: {batch} of {:?} was committed after {:?}",
            self.descriptor.id,
            batch.time,
            self.time
        );
        match batch.kind {
            BatchKind::Noop => tree.apply(batch.last(), &[]),
            BatchKind::Configuration | BatchKind::Recovery => {
                self.descriptor = descriptor_in(batch)?;
                tree.apply(batch.last(), &[]);
            }
            BatchKind::Commands => {
                let commands = (batch.base..).zip(batch.commands());
                let BatchTime { clock, stamp } = batch.time;
                let is_bug = has_bug(Bug::ExpiryByStamp);
                let clock = if is_bug { Clock(stamp.milliseconds()) } else { clock };
                for (index, bytes) in commands.skip(outcomes.len()) {
                    let note = |ops: &[Op]| {
                        let stamp = batch.time.stamp.0;
                        if let Some(changed) = &mut changed {
                            let keys = ops.iter().filter(|op| op.class == KeyClass::User);
                            changed.extend(keys.map(|op| Change::of(op, index, stamp)));
                        }
                    };
                    outcomes.push(self.command(tree, (index, clock), bytes, note)?);
                }
            }
        }
        self.time = batch.time;
        let BatchTime { clock, stamp } = batch.time;
        tree.end_batch(TimedBatch { last: batch.last(), stamp: stamp.0, clock: clock.0 });
        Ok(())
    }

    fn command(
        &mut self,
        tree: &mut Tree,
        (index, clock): (u64, Clock),
        bytes: Bytes,
        note: impl FnOnce(&[Op]),
    ) -> Result<v1::Outcome, ApplyError> {
        let command =
            v1::Command::decode(bytes).map_err(|error| ApplyError::Unreadable { index, error })?;
        match command.command {
            Some(command::Command::Register(_)) => {
                self.sessions.register(index);
                tree.apply(index, &[]);
                Ok(v1::Outcome { revision: index, conditions_met: true, ..Default::default() })
            }
            Some(command::Command::Write(write)) => self.write(tree, (index, clock), write, note),
            Some(command::Command::Expire(_)) => self.expire(tree, (index, clock), note),
            Some(command::Command::RaiseFeatureLevel(raise)) if raise.level <= KNOWN_LEVEL => {
                self.feature_level = self.feature_level.max(raise.level);
                tree.apply(index, &[]);
                Ok(v1::Outcome { revision: index, conditions_met: true, ..Default::default() })
            }
            Some(command::Command::SetHistory(set)) => {
                self.history.set(&set);
                tree.apply(index, &[]);
                Ok(v1::Outcome { revision: index, conditions_met: true, ..Default::default() })
            }
            Some(command::Command::Close(_)) => {
                tree.apply(index, &[]);
                Ok(v1::Outcome { revision: index, conditions_met: true, ..Default::default() })
            }
            Some(command::Command::RaiseFloor(raise)) => {
                self.history.raise(&raise, index);
                tree.apply(index, &[]);
                tree.raise_floor(self.history.floor.revision);
                Ok(v1::Outcome { revision: index, conditions_met: true, ..Default::default() })
            }
            // A newer leader must not send it before every member knows it.
            Some(command::Command::RaiseFeatureLevel(_)) | None => {
                Err(ApplyError::Unknown { index })
            }
        }
    }

    fn expire(
        &mut self,
        tree: &mut Tree,
        (index, clock): (u64, Clock),
        note: impl FnOnce(&[Op]),
    ) -> Result<v1::Outcome, ApplyError> {
        let expired = match self.next_expiry.filter(|first| *first <= clock) {
            Some(first) => Some(
                expiry::expire(&tree.view(), first, clock)
                    .map_err(|error| ApplyError::Read { index, error })?,
            ),
            None => None,
        };
        tree.apply(index, expired.as_ref().map_or(&[], |expired| &expired.changes));
        if let Some(expired) = expired {
            note(&expired.changes);
            self.next_expiry = expired.next;
            self.lateness.extend(expired.lateness);
        }
        Ok(v1::Outcome { revision: index, conditions_met: true, ..Default::default() })
    }

    /// Applies what a write changes, and notes which keys will expire.
    fn change(&mut self, tree: &mut Tree, index: u64, changes: &[Op]) {
        let expiries = changes.iter().filter_map(|change| match &change.slot {
            Slot::Value { attributes, .. } => attributes.expiry,
            Slot::Tombstone { .. } => None,
        });
        let soonest = expiries.map(|expiry| Clock(expiry.0)).min();
        self.next_expiry = self.next_expiry.into_iter().chain(soonest).min();
        tree.apply(index, changes);
    }

    fn write(
        &mut self,
        tree: &mut Tree,
        (index, clock): (u64, Clock),
        write: v1::WriteCommand,
        note: impl FnOnce(&[Op]),
    ) -> Result<v1::Outcome, ApplyError> {
        if let Some(session) = &write.session {
            // Admitted twice if the batch went on here: the second time changes nothing.
            match self.sessions.admit(index, session) {
                SessionAdmission::Fresh => {}
                SessionAdmission::Repeated(outcome) => {
                    let twice = if has_bug(Bug::IncrementedByRetry) {
                        increments_alone(self.decide(tree, (index, clock), &write)?.1, &write)
                    } else {
                        Vec::new()
                    };
                    self.change(tree, index, &twice);
                    return Ok(outcome);
                }
                SessionAdmission::Expired => {
                    tree.apply(index, &[]);
                    return Ok(v1::Outcome { session_expired: true, ..Default::default() });
                }
            }
        }
        let (outcome, operations) = self.decide(tree, (index, clock), &write)?;
        self.change(tree, index, &operations);
        note(&operations);
        if let Some(session) = &write.session {
            self.sessions.record(session, &outcome);
        }
        Ok(outcome)
    }

    fn decide(
        &self,
        tree: &Tree,
        (index, clock): (u64, Clock),
        write: &v1::WriteCommand,
    ) -> Result<(v1::Outcome, Vec<Op>), ApplyError> {
        // A newer leader must not send it before every member knows it.
        if write.then.iter().chain(&write.otherwise).any(|one| one.operation.is_none()) {
            return Err(ApplyError::Unknown { index });
        }
        if !self.inside(write) {
            let outcome =
                v1::Outcome { revision: index, wrong_partition: true, ..Default::default() };
            return Ok((outcome, Vec::new()));
        }
        transaction::execute(&tree.view(), (index, clock), write.into())
            .map_err(|error| ApplyError::Read { index, error })
    }

    /// Only what is outside the interval is refused, never a merely older
    /// generation, so that a change of members fails no write in flight.
    fn inside(&self, write: &v1::WriteCommand) -> bool {
        touched(&write.conditions, &write.then, &write.otherwise).all(|touched| match touched {
            Touched::Key(key) => self.descriptor.contains(&self.routing.point(key)),
            Touched::Range(range) => self.descriptor.contains_range(&self.routing, range),
        })
    }
}

/// Of a write's changes those to keys that it increments: what [`Bug::IncrementedByRetry`] does
/// once more.
fn increments_alone(mut changes: Vec<Op>, write: &v1::WriteCommand) -> Vec<Op> {
    let operations = write.then.iter().chain(&write.otherwise);
    let incremented: Vec<_> = operations
        .filter_map(|one| match &one.operation {
            Some(Operation::Increment(increment)) => Some(&increment.key),
            _ => None,
        })
        .collect();
    changes.retain(|change| incremented.contains(&&change.key));
    changes
}

/// The descriptor that came with a change of members.
fn descriptor_in(batch: &Batch) -> Result<Partition, ApplyError> {
    let index = batch.base;
    let malformed = |what: String| ApplyError::Descriptor { index, what };
    let command = batch.commands().next().ok_or(ApplyError::Unknown { index })?;
    let membership = Membership::decode(&command).map_err(|error| malformed(error.to_string()))?;
    Partition::decode(&membership.context).map_err(|fault| malformed(fault.message))
}

/// Why a committed command could not be applied. The replica must wait until it can be,
/// or stop: going on without it would let replicas differ.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The log holds bytes that are no command.
    #[error(
        "the command at index {index} is unreadable ({error}): run a program as new as the one \
         that wrote it"
    )]
    Unreadable {
        /// Its index.
        index: u64,
        /// What is wrong.
        error: prost::DecodeError,
    },
    /// The log holds a kind of command this program does not know.
    #[error(
        "the command at index {index} is of a kind this program does not know: run a newer one"
    )]
    Unknown {
        /// Its index.
        index: u64,
    },
    /// A change of members carries no descriptor that can be read.
    #[error("the change of members at index {index} is unreadable ({what}): run a newer program")]
    Descriptor {
        /// Its index.
        index: u64,
        /// What is wrong.
        what: String,
    },
    /// The tree could not read what a condition is about.
    #[error("the command at index {index} could not read its key: {error}")]
    Read {
        /// Its index.
        index: u64,
        /// What is wrong.
        error: ReadError,
    },
}

impl ApplyError {
    /// Whether it passes by itself: the command may be applied once reads have given their
    /// descriptors back.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Read { error: ReadError::Storage(error), .. }
            if error.is_out_of_descriptors())
    }
}
