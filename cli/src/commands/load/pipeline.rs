//! Records through a bounded number of operations at once.
//!
//! Two operations on one key are never under way together: the second would
//! race the first, and the last record of a key would not always win.

use super::progress::Progress;
use super::reader::Receiver;
use super::records::Record;
use anyhow::anyhow;
use bytes::Bytes;
use doug_client::Fault;
use futures::stream::{FuturesUnordered, StreamExt};
use rustc_hash::FxHashSet;
use std::future::Future;

/// No more records are begun while those under way have so many bytes.
const BYTES_UNDER_WAY: usize = 32 << 20;
/// Failed records are described up to this many, then only counted.
const MOST_SAID: u64 = 10;

/// What all uses of the pipeline share.
pub struct Pipeline {
    /// Where records come from.
    pub records: Receiver,
    /// Most operations under way.
    pub concurrency: usize,
    /// Most records that may fail.
    pub max_errors: u64,
    /// Shows how far it is.
    pub progress: Progress,
}

/// How it went.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records whose operation ended well.
    pub done: u64,
    /// Records that were bad or whose operation failed.
    pub failed: u64,
    /// Bytes of the file read so far.
    end: u64,
}

/// One operation that has ended.
pub struct Ended<T> {
    /// The record.
    pub record: Record,
    /// What came of it.
    pub result: Result<T, Fault>,
}

impl Pipeline {
    /// Runs `operation` on every record and `done` on each good result.
    ///
    /// # Errors
    /// More failed records than allowed, with the last one's reason; or the
    /// first error of `done`.
    pub async fn run<T, F: Future<Output = Ended<T>>>(
        mut self,
        operation: impl Fn(Record) -> F,
        mut done: impl FnMut(Record, T) -> anyhow::Result<()>,
    ) -> anyhow::Result<Counts> {
        let mut counts = Counts::default();
        let mut running = FuturesUnordered::new();
        let mut busy: FxHashSet<Bytes> = FxHashSet::default();
        let mut bytes = 0;
        let mut waiting: Option<Record> = None;
        let mut reading = true;
        while reading || waiting.is_some() || !running.is_empty() {
            if let Some(record) = waiting.take_if(|record| !busy.contains(&record.key)) {
                busy.insert(record.key.clone());
                bytes += record.bytes();
                running.push(operation(record));
            }
            let few = running.len() < self.concurrency && bytes < BYTES_UNDER_WAY;
            let room = waiting.is_none() && few;
            tokio::select! {
                biased;
                Some(ended) = running.next(), if !running.is_empty() => {
                    busy.remove(&ended.record.key);
                    bytes -= ended.record.bytes();
                    self.end(ended, &mut counts, &mut done)?;
                }
                next = self.records.recv(), if reading && room => match next {
                    None => reading = false,
                    Some(Ok(record)) => waiting = Some(record),
                    Some(Err(bad)) => {
                        let error = anyhow!("line {}: {}", bad.line, bad.message);
                        self.fail(&mut counts, error, bad.fatal)?;
                    }
                },
            }
        }
        Ok(counts)
    }

    fn end<T>(
        &self,
        ended: Ended<T>,
        counts: &mut Counts,
        done: &mut impl FnMut(Record, T) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Ended { record, result } = ended;
        match result {
            Ok(answer) => {
                counts.done += 1;
                counts.end = counts.end.max(record.end);
                self.progress.update(counts.done, counts.end);
                done(record, answer)
            }
            Err(fault) => {
                let line = record.line;
                self.fail(counts, anyhow::Error::from(fault).context(format!("line {line}")), false)
            }
        }
    }

    fn fail(&self, counts: &mut Counts, error: anyhow::Error, fatal: bool) -> anyhow::Result<()> {
        counts.failed += 1;
        if fatal || counts.failed > self.max_errors {
            let (done, failed) = (counts.done, counts.failed);
            return Err(error.context(format!(
                "stopped after {done} records done and {failed} failed (--max-errors {})",
                self.max_errors
            )));
        }
        if counts.failed <= MOST_SAID {
            self.progress.say(&format!("{error:#}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    fn pipeline(keys: &[&'static str], concurrency: usize, max_errors: u64) -> Pipeline {
        let records = keys.iter().zip(1..).map(|(key, line)| {
            let (key, value) = (Bytes::from_static(key.as_bytes()), Bytes::from(line.to_string()));
            Ok(Record { line, end: line, key, value })
        });
        let records = Receiver::of(records.collect());
        let progress = Progress::new(None, false);
        Pipeline { records, concurrency, max_errors, progress }
    }

    #[tokio::test]
    async fn records_of_one_key_follow_each_other_and_the_last_one_wins() {
        let active = RefCell::new(Vec::<Bytes>::new());
        let last = RefCell::new(std::collections::BTreeMap::new());
        let operation = |record: Record| {
            let active = &active;
            assert!(!active.borrow().contains(&record.key), "two at once on {:?}", record.key);
            active.borrow_mut().push(record.key.clone());
            async move {
                // The first of two would take longer than the second.
                for _ in 0..10 - record.line.min(9) {
                    tokio::task::yield_now().await;
                }
                active.borrow_mut().retain(|key| *key != record.key);
                Ended { record, result: Ok(()) }
            }
        };
        let counts = pipeline(&["a", "b", "a", "c", "a", "b"], 4, 0)
            .run(operation, |record, ()| {
                last.borrow_mut().insert(record.key, record.line);
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!((counts.done, counts.failed), (6, 0));
        let last: Vec<u64> = last.into_inner().into_values().collect();
        assert_eq!(last, [5, 6, 4]);
    }

    #[tokio::test]
    async fn no_more_operations_run_at_once_than_allowed() {
        let (now, most) = (Cell::new(0), Cell::new(0));
        let operation = |record: Record| {
            let (now, most) = (&now, &most);
            async move {
                now.set(now.get() + 1);
                most.set(most.get().max(now.get()));
                tokio::task::yield_now().await;
                now.set(now.get() - 1);
                Ended { record, result: Ok(()) }
            }
        };
        let keys = ["a", "b", "c", "d", "e", "f", "g"];
        pipeline(&keys, 3, 0).run(operation, |_, ()| Ok(())).await.unwrap();
        assert_eq!(most.get(), 3);
    }

    #[tokio::test]
    async fn it_stops_at_the_first_failure_beyond_those_allowed() {
        let fail = |record: Record| async move {
            Ended::<()> { record, result: Err(Fault::unavailable("no leader")) }
        };
        let counts = pipeline(&["a", "b"], 1, 2).run(fail, |_, ()| Ok(())).await.unwrap();
        assert_eq!(counts.failed, 2);
        let error = pipeline(&["a", "b", "c"], 1, 2).run(fail, |_, ()| Ok(())).await.unwrap_err();
        assert_eq!(crate::exit::of_error(&error), crate::exit::Exit::Unavailable);
        assert!(format!("{error:#}").contains("line 3"), "{error:#}");
    }
}
