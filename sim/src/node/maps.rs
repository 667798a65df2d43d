//! A process's map: merged and kept durably, told to others when there is news, and asked
//! for once a second.

use super::death::Death;
use super::maintenance::Task;
use super::process::Process;
use crate::context::Context;
use crate::events::{MapTalk, NodeEvent};
use crate::time::{millis, seconds};
use doug_node::membership::MapUpdate;
use doug_proto::ids::NodeId;
use doug_proto::map::{Partition, PartitionMap};
use doug_proto::v1;
use doug_storage::StorageError;
use std::sync::Arc;
use std::time::Duration;

/// Pause between two questions.
pub(super) const QUESTION: Duration = seconds(1);

impl Process {
    /// Takes in a descriptor that a replica here has applied, or that a leader has sent.
    pub(super) fn publish(
        &mut self,
        descriptor: &Partition,
        cx: &mut Context,
    ) -> Result<(), Death> {
        let Some(known) = self.map.clone() else { return Ok(()) };
        match self.held.publish(&known, descriptor) {
            Some(update) => self.replace_map(update, cx),
            None => Ok(()),
        }
    }

    /// Takes in a descriptor that came with a snapshot.
    pub fn publish_soon(&mut self, descriptor: Arc<Partition>, cx: &mut Context) {
        self.enqueue(Task::Publish(descriptor), cx);
    }

    /// Takes in entries of another's map.
    fn merge_changes(&mut self, talk: &MapTalk, cx: &mut Context) -> Result<(), Death> {
        let (Some(known), Some(changes)) = (self.map.clone(), &talk.changes) else {
            return Ok(());
        };
        if changes.partitions.len() < known.partitions.len() {
            cx.coverage.hit("part of a map told");
        }
        match self.held.merge_changes(&known, changes, &talk.summary) {
            Ok(update) => update.map_or(Ok(()), |update| self.replace_map(update, cx)),
            // What came before was lost on the way: the next question brings all of it.
            Err(_) => {
                cx.coverage.hit("part of a map refused: it needs others");
                Ok(())
            }
        }
    }

    /// Takes in another's map.
    pub(super) fn merge_map(
        &mut self,
        heard: &PartitionMap,
        cx: &mut Context,
    ) -> Result<(), Death> {
        let Some(known) = self.map.clone() else { return Ok(()) };
        let merged = self.held.merge(&known, heard).map_err(StorageError::Refused)?;
        merged.map_or(Ok(()), |update| self.replace_map(update, cx))
    }

    pub(super) fn replace_map(&mut self, update: MapUpdate, cx: &mut Context) -> Result<(), Death> {
        let MapUpdate { map, news } = update;
        let changes = self.map.as_ref().map_or_else(Vec::new, |known| map.stored_changes(known));
        self.store.change_map(changes)?;
        cx.checks.map_stored(self.id, &map)?;
        cx.coverage.hit("map stored");
        self.hold_map(Arc::new(map));
        if news {
            self.tell_map_soon(cx);
        }
        self.remove_left_out(cx);
        Ok(())
    }

    /// The map from now on.
    pub(super) fn hold_map(&mut self, map: Arc<PartitionMap>) {
        self.digest = None;
        self.map_is_new = true;
        self.map = Some(map);
    }

    /// The map's digest, 0 without one. It is asked for again and again, but not of every map.
    fn digest(&mut self) -> u64 {
        let map = self.map.as_ref();
        *self.digest.get_or_insert_with(|| map.map_or(0, |map| map.digest()))
    }

    /// What changes while the map is being told is told in one piece.
    pub(super) fn tell_map_soon(&mut self, cx: &mut Context) {
        if !self.tells_map {
            self.tells_map = true;
            let delay = cx.random.duration_below(millis(2));
            self.schedule(delay, NodeEvent::TellMap, cx);
        }
    }

    pub(super) fn tell_map(&mut self, cx: &mut Context) {
        self.tells_map = false;
        let Some(map) = self.map.clone() else { return };
        let changes = match self.told_last.replace(map.clone()) {
            Some(last) => map.changed_since(&last),
            None => map.to_wire(),
        };
        let changes = Arc::new(changes);
        for to in self.others(&map) {
            let talk = self.talk(to, &map, Some(changes.clone()), true);
            cx.send_map(self.index, talk);
        }
    }

    pub(super) fn ask_map(&mut self, cx: &mut Context) {
        self.schedule(QUESTION, NodeEvent::AskMap, cx);
        let Some(map) = self.map.clone() else { return };
        let others = self.others(&map);
        if others.is_empty() {
            return;
        }
        self.map_turn = self.map_turn.wrapping_add(1);
        let to = others[self.map_turn % others.len()];
        let talk = self.talk(to, &map, None, true);
        cx.send_map(self.index, talk);
    }

    pub(super) fn hear_map(&mut self, talk: MapTalk, cx: &mut Context) -> Result<(), Death> {
        // The same map says nothing new.
        let differs = talk.digest != self.digest();
        if differs {
            self.merge_changes(&talk, cx)?;
        }
        // Whoever was asked and knows less hears the rest at once: nobody else may ever ask
        // a node that only its own map lists.
        let asks = !talk.asks;
        let Some(map) = self.map.clone() else { return Ok(()) };
        if self.digest() != talk.digest {
            let changes = Arc::new(map.differing_from(&talk.summary));
            let answer = self.talk(talk.from, &map, Some(changes), asks);
            cx.send_map(self.index, answer);
        }
        Ok(())
    }

    fn talk(
        &mut self,
        to: NodeId,
        map: &PartitionMap,
        changes: Option<Arc<v1::PartitionMap>>,
        asks: bool,
    ) -> MapTalk {
        let (from, digest) = (self.id, self.digest());
        MapTalk { from, to, digest, summary: Arc::new(map.summary()), changes, asks }
    }

    fn others(&self, map: &PartitionMap) -> Vec<NodeId> {
        map.nodes.iter().map(|node| node.id).filter(|id| *id != self.id).collect()
    }
}
