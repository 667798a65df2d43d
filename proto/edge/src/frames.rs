//! Which of the bytes that a connection reads are those of HTTP/2's DATA frames (RFC 9113,
//! section 4.1): the only ones that wait for whoever reads a call's body.

/// What a client sends first (RFC 9113, section 3.4).
const PREFACE: usize = 24;
/// Length of a payload (24 bits), type, flags, stream.
const HEADER: usize = 9;
const DATA: u8 = 0;

/// Where in the frames of a connection its next byte lies.
#[derive(Debug)]
pub(crate) struct DataFrames {
    /// Bytes that are passed over, or, of a DATA frame, counted.
    left: usize,
    data: bool,
    header: [u8; HEADER],
    header_bytes: usize,
}

impl DataFrames {
    pub(crate) fn new() -> Self {
        Self { left: PREFACE, data: false, header: [0; HEADER], header_bytes: 0 }
    }

    /// How many of the next `bytes` are payload of DATA frames.
    pub(crate) fn count(&mut self, mut bytes: &[u8]) -> usize {
        let mut counted = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                counted += if self.data { passed } else { 0 };
                self.left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            let taken = (HEADER - self.header_bytes).min(bytes.len());
            self.header[self.header_bytes..][..taken].copy_from_slice(&bytes[..taken]);
            self.header_bytes += taken;
            bytes = &bytes[taken..];
            if self.header_bytes == HEADER {
                let [high, middle, low, kind, ..] = self.header;
                self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
                self.data = kind == DATA;
                self.header_bytes = 0;
            }
        }
        counted
    }
}

/// Where in the messages of a call (gRPC over HTTP/2, "Length-Prefixed-Message") its next byte lies.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// Bytes that the message needs yet, once its prefix is whole.
    left: usize,
    prefix: [u8; Self::PREFIX],
    prefix_bytes: usize,
    /// Bytes of the message that is not whole.
    partial: usize,
    whole: bool,
}

impl Messages {
    /// Whether it is compressed, and its length in four bytes.
    const PREFIX: usize = 5;

    /// Takes the next bytes. How many of all belong to a message that is not whole yet.
    pub(crate) fn partial(&mut self, mut bytes: &[u8]) -> usize {
        while !bytes.is_empty() {
            let taken = if self.prefix_bytes < Self::PREFIX {
                let taken = (Self::PREFIX - self.prefix_bytes).min(bytes.len());
                self.prefix[self.prefix_bytes..][..taken].copy_from_slice(&bytes[..taken]);
                self.prefix_bytes += taken;
                if self.prefix_bytes == Self::PREFIX {
                    let [_, length @ ..] = self.prefix;
                    self.left = u32::from_be_bytes(length) as usize;
                }
                taken
            } else {
                let taken = self.left.min(bytes.len());
                self.left -= taken;
                taken
            };
            self.partial += taken;
            bytes = &bytes[taken..];
            if self.prefix_bytes == Self::PREFIX && self.left == 0 {
                *self = Self { whole: true, ..Self::default() };
            }
        }
        self.partial
    }

    /// Whether any message was whole.
    pub(crate) fn any_whole(&self) -> bool {
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let [_, length @ ..] = u32::try_from(payload).unwrap().to_be_bytes();
        let header = [&length[..], &[kind, 0, 0, 0, 0, 1]].concat();
        [header, vec![0xAB; payload]].concat()
    }

    fn message(bytes: usize) -> Vec<u8> {
        let length = u32::try_from(bytes).unwrap().to_be_bytes();
        [&[0][..], &length, &vec![0xCD; bytes]].concat()
    }

    proptest! {
        #[test]
        fn payloads_of_data_frames_are_counted_however_they_are_cut(
            frames in prop::collection::vec((0_u8..10, 0_usize..300), 0..20),
            cut in 1_usize..64,
        ) {
            let sent: Vec<u8> = std::iter::once(vec![0; PREFACE])
                .chain(frames.iter().map(|(kind, payload)| frame(*kind, *payload)))
                .flatten()
                .collect();
            let mut reader = DataFrames::new();
            let counted: usize = sent.chunks(cut).map(|piece| reader.count(piece)).sum();
            let data = frames.iter().filter(|(kind, _)| *kind == DATA);
            prop_assert_eq!(counted, data.map(|(_, payload)| payload).sum::<usize>());
        }

        #[test]
        fn what_is_not_whole_is_what_came_since_the_last_whole_message(
            messages in prop::collection::vec(0_usize..300, 1..10),
            cut in 1_usize..64,
        ) {
            let ends: Vec<usize> = messages
                .iter()
                .scan(0, |end, bytes| { *end += bytes + Messages::PREFIX; Some(*end) })
                .collect();
            let sent: Vec<u8> = messages.iter().flat_map(|bytes| message(*bytes)).collect();
            let (mut reader, mut at) = (Messages::default(), 0);
            for piece in sent.chunks(cut) {
                at += piece.len();
                let begun = ends.iter().rev().find(|end| **end <= at).copied();
                prop_assert_eq!(reader.partial(piece), at - begun.unwrap_or(0));
                prop_assert_eq!(reader.any_whole(), begun.is_some());
            }
        }
    }
}
