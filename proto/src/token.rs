//! Opaque tokens: versioned vectors of {keyspace, partition, generation, revision}
//! of one database.

use crate::error::Fault;
use crate::ids::DatabaseId;
use crate::map::{KeyspaceId, Partition};
use bytes::Bytes;
use prost::Message;
use tonic::Code;

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
    /// Id of its keyspace.
    #[prost(uint64, tag = "4")]
    pub keyspace: u64,
}

impl Place {
    /// A revision of a partition.
    pub fn new(partition: &Partition, revision: u64) -> Self {
        let Partition { id, generation, keyspace, .. } = *partition;
        Self { partition: id, generation, revision, keyspace: keyspace.number() }
    }
}

/// What a session has seen: for each partition, up to which revision.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SessionToken {
    #[prost(uint32, tag = "1")]
    version: u32,
    /// At most one per partition.
    #[prost(message, repeated, tag = "2")]
    pub places: Vec<Place>,
    /// The 48 bits of the id of the database.
    #[prost(fixed64, tag = "3")]
    database: u64,
    /// The greatest stamp seen, of whichever partition.
    #[prost(fixed64, tag = "4")]
    pub stamp: u64,
}

impl SessionToken {
    /// The token of one answer.
    pub fn of(database: DatabaseId, place: Place, stamp: u64) -> Self {
        Self { version: VERSION, places: vec![place], database: database.bits(), stamp }
    }

    /// What a write needs of a session: its greatest stamp alone.
    pub fn stamp_alone(&self) -> Self {
        Self { places: Vec::new(), ..self.clone() }
    }

    /// The opaque bytes.
    pub fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
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

    /// Reads the opaque bytes that a client of `database` sent.
    ///
    /// # Errors
    /// As [`SessionToken::from_bytes`]; `INVALID_ARGUMENT` for the token of another
    /// database, whose revisions mean nothing in this one.
    pub fn of_database(bytes: &[u8], database: DatabaseId) -> Result<Self, Fault> {
        let token = Self::from_bytes(bytes)?;
        if !token.is_empty() {
            check_database("session token", token.database, database)?;
        }
        Ok(token)
    }

    /// Whether it has seen nothing yet.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty() && self.stamp == 0
    }

    /// The revision the token has seen of `partition`; 0 if none.
    pub fn revision(&self, partition: u64) -> u64 {
        let place = self.places.iter().find(|place| place.partition == partition);
        place.map_or(0, |place| place.revision)
    }

    /// Adds what `other` has seen. What was seen of another database means nothing
    /// from then on.
    pub fn merge(&mut self, other: &SessionToken) {
        if other.is_empty() {
            return;
        }
        if self.version != other.version || self.database != other.database {
            self.clone_from(other);
            return;
        }
        self.stamp = self.stamp.max(other.stamp);
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
    /// The 48 bits of the id of the database.
    #[prost(fixed64, tag = "5")]
    database: u64,
    /// Id of the keyspace that is scanned.
    #[prost(uint64, tag = "6")]
    keyspace: u64,
}

impl ScanToken {
    /// The token of a scan of one keyspace that has returned nothing yet.
    pub fn new(database: DatabaseId, keyspace: KeyspaceId) -> Self {
        Self {
            version: VERSION,
            database: database.bits(),
            keyspace: keyspace.number(),
            ..Default::default()
        }
    }

    /// The token of the same scan once it has returned `last_key`.
    #[must_use]
    pub fn after(&self, last_key: Bytes, places: Vec<Place>, done: Vec<u64>) -> Self {
        Self { last_key, places, done, ..*self }
    }

    /// The opaque bytes.
    pub fn to_bytes(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    /// Reads the opaque bytes that a client sent with a scan of this keyspace.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for bytes that are no token, one of a newer version, or one
    /// of another database or keyspace.
    pub fn from_bytes(
        bytes: &[u8],
        database: DatabaseId,
        keyspace: KeyspaceId,
    ) -> Result<Self, Fault> {
        let token = Self::decode(bytes)
            .map_err(|_| Fault::invalid("the page token is not one this database gave"))?;
        check_version("page token", token.version)?;
        check_database("page token", token.database, database)?;
        if token.keyspace != keyspace.number() {
            return Err(refused(format!(
                "the page token is of a scan of keyspace {}, and this is one of keyspace \
                 {keyspace}: begin the scan again without it",
                token.keyspace
            )));
        }
        Ok(token)
    }
}

/// Nothing was executed, and the same bytes will never be right here.
fn refused(message: String) -> Fault {
    Fault::new(Code::InvalidArgument, message).not_executed()
}

fn check_database(what: &str, of: u64, here: DatabaseId) -> Result<(), Fault> {
    if of == here.bits() {
        return Ok(());
    }
    Err(refused(format!(
        "the {what} is of database {}, and this one is {here}: its revisions mean nothing here, \
         so begin without it",
        DatabaseId::from_bits(of)
    )))
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

    const HERE: u64 = 0xdb;

    fn token(partition: u64, revision: u64) -> SessionToken {
        let place = Place { partition, generation: 1, revision, keyspace: 1 };
        SessionToken::of(DatabaseId::from_bits(HERE), place, revision + 50)
    }

    fn scan() -> ScanToken {
        ScanToken::new(DatabaseId::from_bits(HERE), KeyspaceId::DEFAULT)
    }

    #[test]
    fn merged_tokens_keep_the_greatest_revision_of_each_partition_and_the_greatest_stamp() {
        let mut merged = SessionToken::default();
        for (partition, revision) in [(1, 10), (2, 5), (1, 7), (1, 12)] {
            merged.merge(&token(partition, revision));
        }
        let read = SessionToken::from_bytes(&merged.to_bytes()).unwrap();
        assert_eq!((read.revision(1), read.revision(2), read.revision(3)), (12, 5, 0));
        assert_eq!(read.stamp, 62);
        assert_eq!((read.stamp_alone().stamp, read.stamp_alone().places), (62, Vec::new()));
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
        let (here, default) = (DatabaseId::from_bits(HERE), KeyspaceId::DEFAULT);
        let error = ScanToken::from_bytes(&[8, 9], here, default).unwrap_err();
        assert!(error.to_string().contains("newer"));
    }

    #[test]
    fn a_token_of_another_database_is_refused_and_both_are_named() {
        let there = DatabaseId::from_bits(7);
        let session = SessionToken::of_database(&token(1, 10).to_bytes(), there).unwrap_err();
        let bytes = scan().to_bytes();
        let page = ScanToken::from_bytes(&bytes, there, KeyspaceId::DEFAULT).unwrap_err();
        for fault in [session, page] {
            let named = ["0000000000db", "000000000007"];
            assert!(named.iter().all(|id| fault.message.contains(id)), "{fault}");
            assert!(fault.is_not_executed());
        }
        let here = DatabaseId::from_bits(HERE);
        assert!(SessionToken::of_database(b"", here).unwrap().is_empty(), "it has seen nothing");
        assert_eq!(SessionToken::of_database(&token(1, 10).to_bytes(), here), Ok(token(1, 10)));
    }

    #[test]
    fn a_scan_goes_on_in_the_keyspace_it_began_in() {
        let (here, bytes) = (DatabaseId::from_bits(HERE), scan().to_bytes());
        assert_eq!(ScanToken::from_bytes(&bytes, here, KeyspaceId::DEFAULT), Ok(scan()));
        let fault = ScanToken::from_bytes(&bytes, here, KeyspaceId::SYSTEM).unwrap_err();
        assert!(fault.message.contains("of a scan of keyspace 1"), "{fault}");
    }

    #[test]
    fn what_was_seen_of_another_database_is_forgotten() {
        let mut seen = token(1, 10);
        let place = Place { partition: 2, generation: 1, revision: 3, keyspace: 1 };
        seen.merge(&SessionToken::of(DatabaseId::from_bits(7), place, 0));
        seen.merge(&SessionToken::default());
        assert_eq!((seen.revision(1), seen.revision(2)), (0, 3));
    }
}
