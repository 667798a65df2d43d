//! What a partition must be after each command, worked out a second time and
//! differently: from the committed batches alone, with every version kept.

mod transactions;

use self::transactions::{Versions, held_at};
use bytes::Bytes;
use doug_client::Range;
use doug_node::apply::{DUE_BYTES, DUE_ENTRIES};
use doug_proto::limits::{KEPT_ANSWER_BYTES, SESSION_ANSWER_BYTES, SESSION_BYTES, SESSION_WINDOW};
use doug_proto::v1::transact_operation::Operation;
use doug_proto::v1::{self, command};
use doug_raft::{Batch, BatchKind};
use prost::Message;
use std::collections::BTreeMap;

/// The committed log of one partition and what follows from it.
#[derive(Debug, Default)]
pub struct Reference {
    batches: Vec<Batch>,
    last: u64,
    versions: Versions,
    /// What is to expire, by time and key, with the revision that said so.
    expiries: BTreeMap<(u64, Bytes), u64>,
    sessions: BTreeMap<u64, SessionRecord>,
    /// Of every session what it was after each command that changed it; nothing once evicted.
    session_versions: BTreeMap<u64, Vec<(u64, Option<v1::SessionState>)>>,
    outcomes: BTreeMap<u64, v1::Outcome>,
    history: Option<v1::SetHistoryCommand>,
    /// The floors that were in force, each from its command on.
    floors: Vec<(u64, v1::HistoryFloor)>,
}

#[derive(Debug, Default)]
struct SessionRecord {
    lowest: u64,
    /// The last command that named it.
    used: u64,
    answered: BTreeMap<u64, v1::Outcome>,
}

/// Bytes of the answers of an outcome.
fn answer_bytes(outcome: &v1::Outcome) -> usize {
    outcome.answers.iter().map(Message::encoded_len).sum()
}

impl SessionRecord {
    fn answer_bytes(&self) -> usize {
        self.answered.values().map(answer_bytes).sum()
    }

    /// What is kept of an outcome (docs/guarantees.md).
    fn kept(&self, outcome: &v1::Outcome) -> v1::Outcome {
        let bytes = answer_bytes(outcome);
        let mut kept = outcome.clone();
        if bytes > KEPT_ANSWER_BYTES || self.answer_bytes() + bytes > SESSION_ANSWER_BYTES {
            kept.answers.clear();
            kept.answers_dropped = true;
        }
        kept
    }

    fn state(&self, id: u64) -> v1::SessionState {
        let outcome = |(sequence, outcome): (&u64, &v1::Outcome)| v1::SessionOutcome {
            sequence: *sequence,
            outcome: Some(outcome.clone()),
        };
        v1::SessionState {
            id,
            lowest_unanswered: self.lowest,
            outcomes: self.answered.iter().map(outcome).collect(),
            last_used: self.used,
        }
    }
}

/// How a batch relates to what is committed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It is committed already, or is the next one.
    Fits,
    /// Something else is committed at its place.
    Contradicts,
    /// What comes before it was never seen committed.
    LeavesGap,
}

impl Reference {
    /// Last index committed.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The committed batch that holds `index`.
    pub fn batch_at(&self, index: u64) -> Option<&Batch> {
        let after = self.batches.partition_point(|batch| batch.base <= index);
        let batch = self.batches.get(after.checked_sub(1)?)?;
        (index <= batch.last()).then_some(batch)
    }

    /// The committed batches, in order.
    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// Takes a batch that some node says is committed.
    pub fn commit(&mut self, batch: &Batch) -> Relation {
        if batch.base <= self.last {
            let known = self.batch_at(batch.base);
            let same = known.is_some_and(|known| known.encoded == batch.encoded);
            return if same { Relation::Fits } else { Relation::Contradicts };
        }
        if batch.base != self.last + 1 {
            return Relation::LeavesGap;
        }
        self.batches.push(batch.clone());
        if batch.kind == BatchKind::Commands {
            for (index, bytes) in (batch.base..).zip(batch.commands()) {
                self.apply((index, batch.time.clock.0), bytes);
            }
        }
        self.last = batch.last();
        Relation::Fits
    }

    /// Applies commands that no batch holds, from `index` on.
    #[cfg(test)]
    pub(crate) fn commit_commands(&mut self, index: u64, commands: &[Bytes]) {
        for (index, command) in (index..).zip(commands) {
            self.apply((index, 0), command.clone());
            self.last = index;
        }
    }

    fn apply(&mut self, (index, clock): (u64, u64), bytes: Bytes) {
        let command = v1::Command::decode(bytes).expect("the simulator's clients encoded it");
        let outcome = match command.command {
            Some(command::Command::Register(_)) => {
                let session = SessionRecord { lowest: 1, used: index, ..Default::default() };
                self.sessions.insert(index, session);
                self.session_changed(index, index);
                v1::Outcome { revision: index, conditions_met: true, ..Default::default() }
            }
            Some(command::Command::Write(write)) => self.write((index, clock), &write),
            Some(command::Command::SetHistory(set)) => {
                if self.history.as_ref().is_none_or(|known| known.generation < set.generation) {
                    self.history = Some(set);
                }
                v1::Outcome { revision: index, conditions_met: true, ..Default::default() }
            }
            Some(command::Command::Close(_)) => {
                v1::Outcome { revision: index, conditions_met: true, ..Default::default() }
            }
            Some(command::Command::RaiseFloor(raise)) => {
                let floor = raise.floor.expect("a leader says which");
                if floor.revision > self.floor().revision && floor.revision < index {
                    self.floors.push((index, floor));
                }
                v1::Outcome { revision: index, conditions_met: true, ..Default::default() }
            }
            Some(command::Command::Expire(_)) => {
                self.expire(index, clock);
                v1::Outcome { revision: index, conditions_met: true, ..Default::default() }
            }
            Some(command::Command::RaiseFeatureLevel(_)) => {
                v1::Outcome { revision: index, conditions_met: true, ..Default::default() }
            }
            None => {
                unreachable!("neither the simulator's clients nor its hosts send anything else")
            }
        };
        self.outcomes.insert(index, outcome);
    }

    /// Notes what a session is after the command at `index`, and evicts those that this
    /// leaves no room for (docs/guarantees.md).
    fn session_changed(&mut self, id: u64, index: u64) {
        let state = self.sessions.get(&id).map(|session| session.state(id));
        self.session_versions.entry(id).or_default().push((index, state));
        let cost =
            |session: &SessionRecord| 192 + 64 * session.answered.len() + session.answer_bytes();
        while self.sessions.values().map(cost).sum::<usize>() > SESSION_BYTES {
            let by_use = self.sessions.iter().min_by_key(|(_, session)| session.used);
            let Some((&evicted, _)) = by_use else { return };
            self.sessions.remove(&evicted);
            self.session_versions.entry(evicted).or_default().push((index, None));
        }
    }

    /// The sessions after the command at `revision`, by id.
    pub fn sessions_at(&self, revision: u64) -> Vec<v1::SessionState> {
        let at = |versions: &Vec<(u64, Option<v1::SessionState>)>| {
            let after = versions.partition_point(|(at, _)| *at <= revision);
            versions.get(after.checked_sub(1)?)?.1.clone()
        };
        self.session_versions.values().filter_map(at).collect()
    }

    /// Ends what is due, the earliest first.
    fn expire(&mut self, index: u64, clock: u64) {
        let due = self.expiries.keys().take_while(|(expiry, _)| *expiry <= clock);
        let due: Vec<_> = due.take(DUE_ENTRIES).cloned().collect();
        let mut bytes = 0;
        for (expiry, key) in due {
            if bytes >= DUE_BYTES {
                break;
            }
            let named = self.expiries.remove(&(expiry, key.clone()));
            let held = held_at(&self.versions, &key, u64::MAX);
            bytes += held.map_or(0, |(_, held)| held.value.len());
            if held.map(|(at, _)| at) == named {
                self.versions.entry(key).or_default().push((index, None));
            }
        }
    }

    /// When the first key is due of those that are to expire, in milliseconds since 1970.
    pub fn next_expiry(&self) -> Option<u64> {
        self.expiries.keys().next().map(|(expiry, _)| *expiry)
    }

    fn write(&mut self, (index, clock): (u64, u64), write: &v1::WriteCommand) -> v1::Outcome {
        let Some(claim) = write.session else { return self.execute((index, clock), write) };
        let expired = v1::Outcome { session_expired: true, ..Default::default() };
        let Some(session) = self.sessions.get_mut(&claim.id) else { return expired };
        session.used = index;
        let least = claim.lowest_unanswered.min(claim.sequence);
        session.lowest = session.lowest.max(least);
        let lowest = session.lowest;
        session.answered.retain(|sequence, _| *sequence >= lowest);
        let answered = session.answered.get(&claim.sequence).cloned();
        let outcome = match answered {
            Some(outcome) => outcome,
            None if claim.sequence < lowest => expired,
            None => {
                let outcome = self.execute((index, clock), write);
                let session = self.sessions.entry(claim.id).or_default();
                let kept = session.kept(&outcome);
                session.answered.insert(claim.sequence, kept);
                let greatest = session.answered.keys().next_back().copied().unwrap_or_default();
                session.lowest = session.lowest.max((greatest + 1).saturating_sub(SESSION_WINDOW));
                session.answered = session.answered.split_off(&session.lowest);
                outcome
            }
        };
        self.session_changed(claim.id, index);
        outcome
    }

    fn execute(&mut self, (index, clock): (u64, u64), write: &v1::WriteCommand) -> v1::Outcome {
        let conditions = &write.conditions;
        let mut outcome = transactions::choose(&self.versions, u64::MAX, index, conditions);
        let list = if outcome.conditions_met { &write.then } else { &write.otherwise };
        transactions::carry_out(&mut self.versions, (index, clock), list, &mut outcome);
        self.note_expiries(index, list);
        if !write.answers {
            outcome.existed = transactions::deleted_one(&outcome.answers);
            outcome.answers.clear();
        }
        outcome
    }

    /// Notes which keys the command at `index` has given an expiry.
    fn note_expiries(&mut self, index: u64, list: &[v1::TransactOperation]) {
        for one in list {
            let key = match &one.operation {
                Some(Operation::Put(put)) => &put.key,
                Some(Operation::Increment(increment)) => &increment.key,
                _ => continue,
            };
            if let Some((at, held)) = held_at(&self.versions, key, u64::MAX)
                && at == index
                && held.expiry > 0
            {
                self.expiries.insert((held.expiry, key.clone()), index);
            }
        }
    }

    /// What a transaction that changes nothing must answer after the command at `revision`.
    pub fn read(&self, revision: u64, asked: &v1::TransactRequest) -> v1::Outcome {
        let mut outcome =
            transactions::choose(&self.versions, revision, revision, &asked.conditions);
        let list = if outcome.conditions_met { &asked.then } else { &asked.otherwise };
        let mut copy = transactions::upto(&self.versions, revision);
        transactions::carry_out(&mut copy, (revision, 0), list, &mut outcome);
        outcome
    }

    /// The value of a key after the command at `revision`, and the revision that wrote it.
    pub fn at(&self, key: &[u8], revision: u64) -> Option<(u64, &Bytes)> {
        transactions::at(&self.versions, key, revision)
    }

    /// All keys with their values after the command at `revision`.
    pub fn all(&self, revision: u64) -> impl Iterator<Item = (&Bytes, &Bytes, u64)> {
        self.versions
            .keys()
            .filter_map(move |key| self.at(key, revision).map(|(at, value)| (key, value, at)))
    }

    /// What was changed in a range after one revision and up to another: revision, key, and the
    /// value unless it was deleted; by revision, and of one revision by key. Of several changes of
    /// a key by one command the last counts, and a delete of what is missing is none.
    pub fn changes(
        &self,
        range: &Range,
        after: u64,
        through: u64,
    ) -> Vec<(u64, &Bytes, Option<&Bytes>)> {
        let inside =
            |key: &Bytes| *key >= range.start && (range.end.is_empty() || *key < range.end);
        let mut changes = Vec::new();
        for (key, versions) in self.versions.iter().filter(|(key, _)| inside(key)) {
            let first = versions.partition_point(|(at, _)| *at <= after);
            for (number, (at, value)) in versions.iter().enumerate().skip(first) {
                if *at > through {
                    break;
                }
                let is_last = versions.get(number + 1).is_none_or(|(next, _)| next != at);
                let was_there = self.at(key, at - 1).is_some();
                if is_last && (value.is_some() || was_there) {
                    changes.push((*at, key, value.as_ref().map(|held| &held.value)));
                }
            }
        }
        changes.sort_unstable_by_key(|(at, key, _)| (*at, *key));
        changes
    }

    /// Every value ever written, with its revision; once for a command of several keys.
    pub fn values(&self) -> impl Iterator<Item = (&Bytes, u64)> {
        let versions = self.versions.values().flatten();
        versions.filter_map(|(at, value)| value.as_ref().map(|held| (&held.value, *at)))
    }

    /// The floor that was committed last.
    pub fn floor(&self) -> v1::HistoryFloor {
        self.floors.last().map_or(v1::HistoryFloor::default(), |(_, floor)| *floor)
    }

    /// Whether a floor was committed. A replica that was sent tables in which others had collected
    /// more than its state says knows no stamp of theirs: then whether one was that high, so that
    /// what lies below was given up by a command.
    pub fn was_floor(&self, floor: v1::HistoryFloor) -> bool {
        self.floors.iter().any(|(_, known)| match floor.stamp {
            0 => known.revision >= floor.revision,
            _ => *known == floor,
        })
    }

    /// The floor that the command at `index` brought, if it raised it.
    pub fn floor_raised_at(&self, index: u64) -> Option<v1::HistoryFloor> {
        let found = self.floors.binary_search_by_key(&index, |(at, _)| *at).ok()?;
        Some(self.floors[found].1)
    }

    /// The options of history in force.
    pub fn history(&self) -> v1::History {
        self.history.and_then(|set| set.history).unwrap_or_default()
    }

    /// What the command at `index` must have answered.
    pub fn outcome(&self, index: u64) -> Option<&v1::Outcome> {
        self.outcomes.get(&index)
    }
}
