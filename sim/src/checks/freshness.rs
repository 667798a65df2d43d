//! "Reads as fresh as promised": linearizable ones see all that anybody was told
//! before they began; session reads their token; bounded ones all that was told
//! before their lag; and any that claims a staleness all that was told before it.

use super::Violation;
use crate::history::{ANY_SERVER, Action, Answer, Freshness as Asked, Operation};
use crate::time::SimTime;
use std::collections::{BTreeMap, BTreeSet};

/// What clients were told, by partition: times and the greatest revision told by then.
#[derive(Debug, Default)]
pub(super) struct Freshness {
    told: BTreeMap<u64, Vec<(SimTime, u64)>>,
    /// Nodes whose clocks stood still or went back: they cannot tell how long ago anything was.
    untimely: BTreeSet<usize>,
}

const NAME: &str = "reads as fresh as promised";

/// How much faster or slower a node's clock may run, of a thousand.
const DRIFT: u32 = 20;

fn revision(answer: &Answer) -> u64 {
    match answer {
        Answer::Registered(revision)
        | Answer::Written { revision, .. }
        | Answer::Got { revision, .. }
        | Answer::Scanned { revision, .. } => *revision,
        Answer::Transacted(outcome) => outcome.revision,
    }
}

impl Freshness {
    /// Bounded reads that this node serves promise nothing any longer.
    pub(super) fn distrust(&mut self, node: usize) {
        self.untimely.insert(node);
    }

    fn is_untimely(&self, server: usize) -> bool {
        self.untimely.contains(&server) || (server == ANY_SERVER && !self.untimely.is_empty())
    }

    /// A client was told this.
    pub(super) fn note(&mut self, partition: u64, at: SimTime, answer: &Answer) {
        let told = self.told.entry(partition).or_default();
        let greatest = told.last().map_or(0, |(_, revision)| *revision);
        if revision(answer) > greatest {
            told.push((at, revision(answer)));
        }
    }

    /// The greatest revision told strictly before `at`.
    fn floor(&self, partition: u64, at: SimTime) -> u64 {
        let Some(told) = self.told.get(&partition) else { return 0 };
        let after = told.partition_point(|(time, _)| *time < at);
        after.checked_sub(1).map_or(0, |last| told[last].1)
    }

    pub(super) fn check(&self, operation: &Operation, answer: &Answer) -> Result<(), Violation> {
        let partition = operation.partition;
        let (least, promise) = match &operation.action {
            Action::Get { freshness, .. } | Action::Scan { freshness, .. } => match freshness {
                Asked::Linearizable => (self.floor(partition, operation.asked), "linearizable"),
                Asked::Session(revision) => (*revision, "session"),
                Asked::Bounded(_) if self.is_untimely(operation.server) => return Ok(()),
                Asked::Bounded(lag) => {
                    let since = operation.asked.before(*lag + *lag * DRIFT / 1_000);
                    (self.floor(partition, since), "bounded")
                }
                Asked::Eventual => return Ok(()),
            },
            Action::Transact(_) if !operation.action.writes() => {
                (self.floor(partition, operation.asked), "linearizable")
            }
            Action::Past { .. } => return Ok(()),
            // A repeated outcome is as old as its first try, which is not older than this.
            Action::Register | Action::Put { .. } | Action::Delete { .. } | Action::Transact(_) => {
                (self.floor(partition, operation.asked) + 1, "write")
            }
        };
        if revision(answer) >= least {
            return self.check_claim(operation, answer);
        }
        let what = format!(
            "partition {partition}: a {promise} operation of client {} asked at {} s answers of \
             revision {}, but must know {least}",
            operation.client,
            operation.asked,
            revision(answer)
        );
        Err(Violation::new(NAME, what))
    }

    /// What the answer itself says of its staleness holds too, whatever was asked for.
    fn check_claim(&self, operation: &Operation, answer: &Answer) -> Result<(), Violation> {
        let Some(claim) = operation.staleness else { return Ok(()) };
        if self.is_untimely(operation.server) {
            return Ok(());
        }
        let since = operation.asked.before(claim + claim * DRIFT / 1_000);
        let least = self.floor(operation.partition, since);
        if revision(answer) >= least {
            return Ok(());
        }
        let what = format!(
            "partition {}: an answer to client {}, which asked at {} s, claims to be at most \
             {claim:?} \
             stale and is of revision {}, but must know {least} for that",
            operation.partition,
            operation.client,
            operation.asked,
            revision(answer)
        );
        Err(Violation::new(NAME, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::micros;
    use std::time::Duration;

    fn session_read(asked: SimTime, staleness: Option<Duration>) -> Operation {
        Operation {
            client: 0,
            partition: 1,
            action: Action::Get { key: bytes::Bytes::new(), freshness: Asked::Session(1) },
            asked,
            answered: None,
            staleness,
            server: 0,
            tries: 1,
        }
    }

    #[test]
    fn a_staleness_that_is_claimed_has_to_hold() {
        let mut freshness = Freshness::default();
        freshness.note(1, SimTime::from_micros(1_000), &Answer::Registered(7));
        let old = Answer::Got { revision: 3, found: None };
        let check =
            |claim| freshness.check(&session_read(SimTime::from_micros(3_000), claim), &old);
        assert!(check(None).is_ok(), "its token asked for no more");
        assert!(check(Some(micros(2_000))).is_ok(), "that far back nothing was told");
        assert!(check(Some(Duration::ZERO)).is_err());
        assert!(check(Some(micros(1_000))).is_err());
    }
}
