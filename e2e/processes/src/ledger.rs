//! What was acknowledged, and must therefore be found.

use bytes::Bytes;
use doug_client::{Client, Read};
use futures::StreamExt;
use std::collections::BTreeMap;

/// Reads under way at once.
const READS: usize = 256;

/// Keys and the values they must have.
pub type Ledger = BTreeMap<Bytes, Bytes>;

/// Reads every key of the ledger and insists on its value.
///
/// # Panics
/// With the first keys that differ.
pub async fn insist(client: &Client, ledger: &Ledger, read: Read) {
    let reads = futures::stream::iter(ledger).map(|(key, value)| {
        let read = read.clone();
        async move {
            let answer = client.get(key.clone(), read).await;
            let answer = answer.unwrap_or_else(|error| panic!("reading {key:?}: {error}"));
            let right = answer.found && answer.value == *value;
            (!right).then(|| (key.clone(), answer.found.then_some(answer.value)))
        }
    });
    let different = reads.buffer_unordered(READS).filter_map(std::future::ready);
    let different: Vec<_> = different.collect().await;
    let some = &different[..different.len().min(5)];
    let (wrong, all) = (different.len(), ledger.len());
    assert!(different.is_empty(), "{wrong} of {all} differ, for instance {some:?}");
}
