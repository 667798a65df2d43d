//! Opaque tokens: versioned vectors of {partition, generation, revision}.

use crate::error::Fault;
use bytes::Bytes;
use prost::Message;

const VERSION: u32 = 1;

/// One partition's place in a token.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Place {
    /// Partition id.
    #[prost(uint64, tag = "1")]
    pub partition: u64,
    /// Generation of its descriptor.
    #[prost(uint64, tag = "2")]
    pub generation: u64,
    /// Revision reached there.
    #[prost(uint64, tag = "3")]
    pub revision: u64,
}

/// What a session has seen: for each partition, up to which revision.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SessionToken {
    #[prost(uint32, tag = "1")]
    version: u32,
    /// At most one per partition.
    #[prost(message, repeated, tag = "2")]
    pub places: Vec<Place>,
}

impl SessionToken {
    /// The token of one answer.
    pub fn of(partition: u64, generation: u64, revision: u64) -> Self {
        Self { version: VERSION, places: vec![Place { partition, generation, revision }] }
    }

    /// The opaque bytes.
    pub fn to_bytes(&self) -> Bytes {
        Self { version: VERSION, places: self.places.clone() }.encode_to_vec().into()
    }

    /// Reads the opaque bytes. No bytes are the token of a session that has seen
    /// nothing yet.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for bytes that are no token, or one of a newer version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let token = Self::decode(bytes)
            .map_err(|_| Fault::invalid("the session token is not one this database gave"))?;
        check_version("session token", token.version)?;
        Ok(token)
    }

    /// The revision the token has seen of `partition`; 0 if none.
    pub fn revision(&self, partition: u64) -> u64 {
        let place = self.places.iter().find(|place| place.partition == partition);
        place.map_or(0, |place| place.revision)
    }

    /// Adds what `other` has seen.
    pub fn merge(&mut self, other: &SessionToken) {
        for place in &other.places {
            match self.places.iter_mut().find(|p| p.partition == place.partition) {
                Some(known) if known.revision < place.revision => *known = *place,
                Some(_) => {}
                None => self.places.push(*place),
            }
        }
    }
}

/// Where a scan goes on: the last key returned, and each partition's snapshot.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ScanToken {
    #[prost(uint32, tag = "1")]
    version: u32,
    /// The last key returned: the next page starts after it.
    #[prost(bytes = "bytes", tag = "2")]
    pub last_key: Bytes,
    /// Each partition's snapshot; a partition not listed is done or not begun.
    #[prost(message, repeated, tag = "3")]
    pub places: Vec<Place>,
    /// Partitions with nothing left to return.
    #[prost(uint64, repeated, tag = "4")]
    pub done: Vec<u64>,
}

impl ScanToken {
    /// A token that goes on after `last_key`.
    pub fn new(last_key: Bytes, places: Vec<Place>, done: Vec<u64>) -> Self {
        Self { version: VERSION, last_key, places, done }
    }

    /// The opaque bytes.
    pub fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// Reads the opaque bytes.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for bytes that are no token, or one of a newer version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        let token = Self::decode(bytes)
            .map_err(|_| Fault::invalid("the page token is not one this database gave"))?;
        check_version("page token", token.version)?;
        Ok(token)
    }
}

fn check_version(what: &str, version: u32) -> Result<(), Fault> {
    if version == VERSION {
        return Ok(());
    }
    Err(Fault::invalid(format!(
        "the {what} has version {version}, and this program knows version {VERSION}: \
         it is damaged, or from a newer program"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_tokens_keep_the_greatest_revision_of_each_partition() {
        let mut token = SessionToken::of(1, 1, 10);
        token.merge(&SessionToken::of(2, 1, 5));
        token.merge(&SessionToken::of(1, 1, 7));
        token.merge(&SessionToken::of(1, 1, 12));
        let read = SessionToken::from_bytes(&token.to_bytes()).unwrap();
        assert_eq!((read.revision(1), read.revision(2), read.revision(3)), (12, 5, 0));
    }

    #[test]
    fn an_empty_session_token_has_seen_nothing() {
        let token = SessionToken::from_bytes(b"").unwrap();
        assert!(token.places.is_empty());
        assert_eq!(token.revision(1), 0);
    }

    #[test]
    fn bytes_that_are_no_token_are_refused() {
        assert!(SessionToken::from_bytes(b"hello").is_err());
        assert!(ScanToken::from_bytes(&[8, 9]).unwrap_err().to_string().contains("newer"));
    }
}
