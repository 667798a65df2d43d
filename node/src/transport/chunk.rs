//! The checksum of a snapshot's chunk.

use doug_proto::v1;

/// CRC-32 over each entry's key length and key, value length and value, and
/// revision; lengths as 32-bit, revisions as 64-bit little-endian numbers.
pub fn checksum(entries: &[v1::ScanEntry]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for entry in entries {
        hasher.update(&(entry.key.len() as u32).to_le_bytes());
        hasher.update(&entry.key);
        hasher.update(&(entry.value.len() as u32).to_le_bytes());
        hasher.update(&entry.value);
        hasher.update(&entry.revision.to_le_bytes());
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_from_key_to_value_changes_the_checksum() {
        let entry = |key: &'static [u8], value: &'static [u8]| v1::ScanEntry {
            key: key.into(),
            value: value.into(),
            revision: 1,
        };
        assert_ne!(checksum(&[entry(b"ab", b"c")]), checksum(&[entry(b"a", b"bc")]));
    }
}
