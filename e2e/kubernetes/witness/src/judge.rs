//! What the answers promised, compared with what is there.

use crate::history::{Act, Fresh, History, Outcome, RegisterOperation};
use doug_client::{Client, Read};
use doug_linearizability::{Operation, Verdict};
use futures::StreamExt;
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Reads under way at once.
const READS: usize = 32;
/// How long a key may take to be read back: the database may be recovering still.
const PATIENCE: Duration = Duration::from_secs(120);
/// Configurations that the search for an order may visit per key.
const BUDGET: usize = 5_000_000;
/// Examples of each kind in a report.
const EXAMPLES: usize = 5;

/// The verdict, for a test to insist on.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Operations asked.
    pub operations: u64,
    /// Fresh writes that were acknowledged.
    pub acknowledged: usize,
    /// Fresh writes of which nobody knows what became.
    pub unknown: usize,
    /// Fresh writes that never will be applied.
    pub not_executed: usize,
    /// Writes whose own earlier attempt had been applied and was applied as something new.
    pub applied_twice: usize,
    /// Requests that ended in any error.
    pub failed: usize,
    /// Some of them.
    pub failures: Vec<String>,
    /// Acknowledged, and not there.
    pub lost: Vec<String>,
    /// Promised never to be applied, and there.
    pub undead: Vec<String>,
    /// Keys whose history was put into an order that explains every answer.
    pub linearizable: usize,
    /// Keys for which there is no such order, or none was found in time.
    pub not_linearizable: Vec<String>,
    /// The longest time that one client went without a success.
    pub longest_gap_milliseconds: u128,
}

/// Reads everything back and judges the history.
pub async fn judge(client: &Client, history: &History) -> Report {
    let count = |outcome| history.fresh.iter().filter(|one| one.outcome == outcome).count();
    let (lost, undead) = read_back(client, &history.fresh).await;
    let (linearizable, not_linearizable) = order(&history.shared);
    let failures = history.failures.iter().take(EXAMPLES);
    Report {
        operations: history.operations,
        acknowledged: count(Outcome::Acknowledged),
        unknown: count(Outcome::Unknown),
        not_executed: count(Outcome::NotExecuted),
        applied_twice: count(Outcome::Refused),
        failed: history.failures.len(),
        failures: failures.map(|(at, what)| format!("after {at:.1?}: {what}")).collect(),
        lost,
        undead,
        linearizable,
        not_linearizable,
        longest_gap_milliseconds: history.longest_gap.as_millis(),
    }
}

/// Which acknowledged keys are not there, and which are there although that was excluded.
async fn read_back(client: &Client, fresh: &[Fresh]) -> (Vec<String>, Vec<String>) {
    let reads =
        futures::stream::iter(fresh).map(|one| async move { (one, found(client, one).await) });
    let (mut lost, mut undead) = (Vec::new(), Vec::new());
    let mut reads = reads.buffer_unordered(READS);
    while let Some((one, found)) = reads.next().await {
        let wrong = match one.outcome {
            Outcome::Acknowledged if !found => &mut lost,
            Outcome::NotExecuted if found => &mut undead,
            _ => continue,
        };
        if wrong.len() < EXAMPLES {
            wrong.push(format!("{:?}", one.key));
        }
    }
    (lost, undead)
}

/// Whether the key is there with its value. A key that cannot be read at all counts as lost.
async fn found(client: &Client, one: &Fresh) -> bool {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match client.get(one.key.clone(), Read::Linearizable).await {
            Ok(got) => return got.found && got.value == one.key,
            Err(_) if Instant::now() < give_up => sleep(Duration::from_millis(200)).await,
            Err(_) => return false,
        }
    }
}

/// How many shared keys' histories are linearizable, and which are not.
fn order(shared: &[RegisterOperation]) -> (usize, Vec<String>) {
    let registers = shared.iter().map(|one| one.register + 1).max().unwrap_or(0);
    let mut right = 0;
    let mut wrong = Vec::new();
    for register in 0..registers {
        let of_it = shared.iter().filter(|one| one.register == register);
        let operations: Vec<_> = of_it.map(operation).collect();
        match doug_linearizability::check(&operations, BUDGET) {
            Verdict::Linearizable => right += 1,
            verdict => wrong.push(format!("shared/{register}: {verdict:?}, {operations:?}")),
        }
    }
    wrong.truncate(EXAMPLES);
    (right, wrong)
}

fn operation(one: &RegisterOperation) -> Operation {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let act = match one.act {
        Act::Write(number) => doug_linearizability::Act::Write(Some(number)),
        Act::Read(number) => doug_linearizability::Act::Read(number),
    };
    Operation { call: nanoseconds(one.asked), answer: one.answered.map(nanoseconds), act }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(asked: u64, answered: Option<u64>, act: Act) -> RegisterOperation {
        let at = Duration::from_millis;
        RegisterOperation { register: 0, asked: at(asked), answered: answered.map(at), act }
    }

    #[test]
    fn a_read_that_misses_an_answered_write_is_found() {
        let history = [shared(0, Some(1), Act::Write(7)), shared(2, Some(3), Act::Read(None))];
        let (right, wrong) = order(&history);
        assert_eq!((right, wrong.len()), (0, 1));
    }

    #[test]
    fn an_unknown_write_may_show_or_not() {
        let write = shared(0, None, Act::Write(7));
        for seen in [None, Some(7)] {
            let history = [write.clone(), shared(2, Some(3), Act::Read(seen))];
            assert_eq!(order(&history).0, 1);
        }
    }
}
