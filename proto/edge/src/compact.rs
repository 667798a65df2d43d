//! Answers that own just their bytes. What was decoded from a message, or read
//! from a block, is a slice of it and keeps all of it in memory.

use bytes::{Bytes, BytesMut};
use doug_proto::v1::{ScanEntry, stream_answer::Answer};

/// The same answer, with its keys and values in memory of their own.
pub(crate) fn answer(mut answer: Answer) -> Answer {
    match &mut answer {
        Answer::Get(get) => get.value = Bytes::copy_from_slice(&get.value),
        Answer::Scan(scan) => entries(&mut scan.entries),
        Answer::Transact(transact) => {
            use doug_proto::v1::operation_answer::Answer;
            for answer in transact.answers.iter_mut().filter_map(|one| one.answer.as_mut()) {
                match answer {
                    Answer::Get(get) => get.value = Bytes::copy_from_slice(&get.value),
                    Answer::Scan(scan) => entries(&mut scan.entries),
                    _ => {}
                }
            }
        }
        Answer::Watch(watch) => {
            for event in &mut watch.events {
                event.key = Bytes::copy_from_slice(&event.key);
                event.value = Bytes::copy_from_slice(&event.value);
            }
        }
        _ => {}
    }
    answer
}

/// One piece of memory for a page, not two for each of its entries.
fn entries(entries: &mut [ScanEntry]) {
    let bytes = entries.iter().map(|entry| entry.key.len() + entry.value.len());
    let mut page = BytesMut::with_capacity(bytes.sum());
    for entry in entries {
        for part in [&mut entry.key, &mut entry.value] {
            page.extend_from_slice(part);
            *part = page.split().freeze();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doug_proto::v1::{GetResponse, ScanResponse};

    #[test]
    fn a_small_value_lets_go_of_the_message_it_came_in() {
        let message = Bytes::from(vec![b'm'; 1 << 20]);
        let get = GetResponse { value: message.slice(..3), ..Default::default() };
        let Answer::Get(get) = answer(Answer::Get(get)) else { unreachable!("it was a get") };
        assert_eq!(&get.value[..], b"mmm");
        assert!(message.is_unique(), "nothing refers to the message any more");
    }

    #[test]
    fn a_page_keeps_its_entries() {
        let entry = |key: &'static str, value: &'static str| ScanEntry {
            key: key.into(),
            value: value.into(),
            revision: 1,
        };
        let entries = vec![entry("a", "one"), entry("b", ""), entry("c", "three")];
        let scan = ScanResponse { entries: entries.clone(), ..Default::default() };
        assert_eq!(answer(Answer::Scan(scan.clone())), Answer::Scan(scan));
    }
}
