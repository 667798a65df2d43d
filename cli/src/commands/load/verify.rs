//! Reading every record back and comparing.

use super::Args;
use super::pipeline::{Ended, Pipeline};
use super::records::Record;
use bytes::Bytes;
use doug_client::{Client, Fault, Read};
use doug_proto::v1::GetResponse;
use rustc_hash::FxHashMap;
use std::time::Duration;
use tokio::time::Instant;
use tonic::Code;

const PAUSE: Duration = Duration::from_millis(20);
/// With more differences than this the file is not what was loaded.
const MOST_DIFFERENCES: usize = 100_000;

/// How a verification went.
#[derive(Debug, Default)]
pub struct Differences {
    /// Records read back.
    pub records: u64,
    /// Records that were bad or could not be read.
    pub failed: u64,
    /// How long all of it took.
    pub took: Duration,
    /// Answers given by followers.
    pub from_followers: u64,
    /// What differs, by line.
    pub differing: Vec<Difference>,
}

/// A record that is not in the database as it is in the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// Line of the record.
    pub line: u64,
    /// Its key.
    pub key: Bytes,
    /// What the file says.
    pub expected: Bytes,
    /// What the database says; nothing if the key is missing.
    pub found: Option<Bytes>,
}

/// Reads and compares every record.
///
/// # Errors
/// More unreadable records than allowed, or differences without end.
pub async fn run(
    pipeline: Pipeline,
    client: &Client,
    read: Read,
    args: &Args,
) -> anyhow::Result<Differences> {
    let start = Instant::now();
    let mut comparison = Comparison::default();
    let retry_for = args.retry_for;
    let counts = pipeline
        .run(
            |record| fetch(client, record, read.clone(), retry_for),
            |record, answer| comparison.compare(record, answer),
        )
        .await?;
    Ok(Differences {
        records: counts.done,
        failed: counts.failed,
        took: start.elapsed(),
        from_followers: comparison.from_followers,
        differing: comparison.into_differing(),
    })
}

async fn fetch(
    client: &Client,
    record: Record,
    read: Read,
    retry_for: Duration,
) -> Ended<GetResponse> {
    let give_up = Instant::now() + retry_for;
    loop {
        let result = client.get(record.key.clone(), read.clone()).await;
        match result {
            Err(fault) if worth_retrying(&fault) && Instant::now() < give_up => {
                tokio::time::sleep(PAUSE).await;
            }
            result => return Ended { record, result },
        }
    }
}

fn worth_retrying(fault: &Fault) -> bool {
    [Code::Unavailable, Code::ResourceExhausted, Code::DeadlineExceeded].contains(&fault.code)
}

/// A later record with the same key replaces what an earlier one expects, so a
/// difference counts only once no later record of its key agrees. The pipeline
/// hands records of one key over in order.
#[derive(Default)]
struct Comparison {
    from_followers: u64,
    differing: FxHashMap<Bytes, Difference>,
}

impl Comparison {
    fn compare(&mut self, record: Record, answer: GetResponse) -> anyhow::Result<()> {
        let Record { line, key, value: expected, .. } = record;
        self.from_followers += u64::from(answer.header.is_some_and(|header| !header.leader));
        if answer.found && answer.value == expected {
            self.differing.remove(&key);
            return Ok(());
        }
        let found = answer.found.then_some(answer.value);
        self.differing.insert(key.clone(), Difference { line, key, expected, found });
        if self.differing.len() > MOST_DIFFERENCES {
            anyhow::bail!(
                "more than {MOST_DIFFERENCES} records differ: was this file loaded into this \
                 database, with the same --format and columns?"
            );
        }
        Ok(())
    }

    fn into_differing(self) -> Vec<Difference> {
        let mut differing: Vec<_> = self.differing.into_values().collect();
        differing.sort_by_key(|difference| difference.line);
        differing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(
        comparison: &mut Comparison,
        line: u64,
        expected: &'static str,
        found: &'static str,
    ) {
        let (key, value) = (Bytes::from_static(b"k"), Bytes::from_static(expected.as_bytes()));
        let value_found = Bytes::from_static(found.as_bytes());
        let answer = GetResponse { found: true, value: value_found, ..Default::default() };
        comparison.compare(Record { line, end: 0, key, value }, answer).unwrap();
    }

    #[test]
    fn only_the_last_record_of_a_key_must_agree() {
        let mut comparison = Comparison::default();
        compare(&mut comparison, 1, "old", "new");
        compare(&mut comparison, 2, "new", "new");
        assert_eq!(comparison.into_differing(), []);
    }

    #[test]
    fn a_last_record_that_disagrees_is_a_difference_though_an_earlier_one_agreed() {
        let mut comparison = Comparison::default();
        compare(&mut comparison, 1, "old", "old");
        compare(&mut comparison, 2, "new", "old");
        assert_eq!(comparison.into_differing()[0].line, 2);
    }

    #[test]
    fn a_missing_key_differs_even_from_an_empty_value() {
        let mut comparison = Comparison::default();
        let record = Record { line: 1, end: 0, key: "k".into(), value: Bytes::new() };
        comparison.compare(record, GetResponse::default()).unwrap();
        assert_eq!(comparison.into_differing()[0].found, None);
    }
}
