//! "One leader a term": no term of a partition has two.

use super::Violation;
use doug_raft::{ReplicaId, Term};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Leaders {
    seen: BTreeMap<(u64, Term), ReplicaId>,
}

impl Leaders {
    pub(super) fn leads(
        &mut self,
        partition: u64,
        term: Term,
        replica: ReplicaId,
    ) -> Result<(), Violation> {
        let known = *self.seen.entry((partition, term)).or_insert(replica);
        if known == replica {
            return Ok(());
        }
        let what =
            format!("partition {partition}: replicas {known} and {replica} lead term {term}");
        Err(Violation::new("one leader a term", what))
    }
}
