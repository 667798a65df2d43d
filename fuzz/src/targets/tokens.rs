//! The opaque tokens that clients hand back.

use doug_proto::ids::DatabaseId;
use doug_proto::map::KeyspaceId;
use doug_proto::token::{ScanToken, SessionToken};

/// A session token and a page token.
pub fn tokens(data: &[u8]) {
    if let Ok(token) = SessionToken::from_bytes(data) {
        let again = SessionToken::from_bytes(&token.to_bytes());
        assert_eq!(again.as_ref(), Ok(&token), "given and handed back it is another");
        let mut merged = token.clone();
        merged.merge(&token);
        for place in &token.places {
            assert!(merged.revision(place.partition) >= token.revision(place.partition));
        }
    }
    let read =
        |data: &[u8]| ScanToken::from_bytes(data, DatabaseId::from_bits(0xdb), KeyspaceId::DEFAULT);
    if let Ok(token) = read(data) {
        let again = read(&token.to_bytes());
        assert_eq!(again.as_ref(), Ok(&token), "given and handed back it is another");
    }
}
