//! "No replica goes back": whatever the consistency, a replica never serves an older
//! state than one it has served before, in an earlier process either.

use super::Violation;
use doug_proto::ids::NodeId;
use doug_storage::ReplicaKey;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct NeverBack {
    served: BTreeMap<(NodeId, ReplicaKey), u64>,
}

impl NeverBack {
    /// A replica serves what it holds at this revision.
    pub(super) fn serves(
        &mut self,
        node: NodeId,
        replica: ReplicaKey,
        revision: u64,
    ) -> Result<(), Violation> {
        let before = self.served.entry((node, replica)).or_default();
        if revision < *before {
            let what = format!(
                "replica {replica} on node {node} serves revision {revision}, and had served \
                 {before}"
            );
            return Err(Violation::new("no replica goes back", what));
        }
        *before = revision;
        Ok(())
    }

    /// It heard no leader in time, and serves what its log knew committed.
    pub(super) fn forget(&mut self, node: NodeId, replica: ReplicaKey) {
        self.served.remove(&(node, replica));
    }
}
