//! Writing every record.

use super::gaps::Gaps;
use super::pipeline::{Ended, Pipeline};
use super::records::Record;
use doug_client::{Client, Fault, If};
use std::cell::Cell;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;

/// Before a record is tried again; the client has waited and retried already.
const PAUSE: Duration = Duration::from_millis(20);

/// How a load went.
#[derive(Debug)]
pub struct Written {
    /// Records acknowledged.
    pub records: u64,
    /// Records that were bad or could not be written.
    pub failed: u64,
    /// How long all of it took.
    pub took: Duration,
    /// Writes tried again because nobody could serve them in time.
    pub retries: u64,
    /// Writes tried again because their outcome was unknown.
    pub unknown: u64,
    /// The longest time between two acknowledged writes.
    pub longest_gap: Duration,
    /// When it began, from the start.
    pub longest_gap_at: Duration,
}

/// Writes every record.
///
/// # Errors
/// More failed records than allowed.
pub async fn run(
    pipeline: Pipeline,
    client: &Client,
    retry_for: Duration,
) -> anyhow::Result<Written> {
    let start = Instant::now();
    let mut gaps = Gaps::new(start);
    let tries = Tries::default();
    let counts = pipeline
        .run(
            |record| write(client, record, retry_for, &tries),
            |_, ()| {
                gaps.acknowledged(Instant::now());
                Ok(())
            },
        )
        .await?;
    let (longest_gap, longest_gap_at) = gaps.longest();
    Ok(Written {
        records: counts.done,
        failed: counts.failed,
        took: start.elapsed(),
        retries: tries.again.get(),
        unknown: tries.unknown.get(),
        longest_gap,
        longest_gap_at,
    })
}

#[derive(Default)]
struct Tries {
    again: Cell<u64>,
    unknown: Cell<u64>,
}

async fn write(client: &Client, record: Record, retry_for: Duration, tries: &Tries) -> Ended<()> {
    let give_up = Instant::now() + retry_for;
    loop {
        let put = client.put(record.key.clone(), record.value.clone(), If::Always).await;
        let fault = match put {
            Ok(_) => return Ended { record, result: Ok(()) },
            Err(fault) => fault,
        };
        if !worth_retrying(&fault) || Instant::now() >= give_up {
            return Ended { record, result: Err(fault) };
        }
        let counter = if fault.is_outcome_unknown() { &tries.unknown } else { &tries.again };
        counter.set(counter.get() + 1);
        tracing::debug!("line {}: {fault}; writing it again", record.line);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Unknown too: the same value under the same key once more is harmless, because
/// no other record with that key is under way.
fn worth_retrying(fault: &Fault) -> bool {
    let later = [Code::Unavailable, Code::ResourceExhausted, Code::DeadlineExceeded];
    fault.is_outcome_unknown() || later.contains(&fault.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_never_succeed_is_not_tried_again() {
        assert!(!worth_retrying(&Fault::limit("key bytes", 4096, 5000)));
        assert!(worth_retrying(&Fault::unavailable("no leader")));
        assert!(worth_retrying(&Fault::exhausted("full")));
        assert!(worth_retrying(&Fault::unknown("connection lost")));
    }
}
