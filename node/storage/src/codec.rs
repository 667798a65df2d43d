//! How every format of this crate writes numbers and byte strings, with every bound checked.
//!
//! Log and manifest have envelopes of fixed size, so that a search beyond damage can read
//! them anywhere: these use [`u32_at`], [`u64_at`] and [`salted_checksum`]. What an envelope
//! holds, and all of tables and descriptions, is written with varints.
//!
//! Decoding runs over bytes that may be anything: it answers [`Malformed`], it
//! never panics and never reserves more memory than the input could fill.

/// Why bytes could not be decoded; the caller adds file and offset.
pub(crate) type Malformed = &'static str;

/// Appends `value` as LEB128: seven bits a byte, least significant first.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A little-endian `u32`; the caller has checked the bounds.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// A little-endian `u64`; the caller has checked the bounds.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// CRC-32 of a salt and `bytes`: what was written under another salt does not match.
pub(crate) fn salted_checksum(salt: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// Appends a varint length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Walks over untrusted bytes.
#[derive(Clone, Copy)]
pub(crate) struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Starts at `at`, which may lie beyond the end: then everything is malformed.
    pub(crate) fn starting_at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// How far the decoder came.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(len).ok_or("a length overflows")?;
        let slice = self.bytes.get(self.at..end).ok_or("it ends too early")?;
        self.at = end;
        Ok(slice)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        let low = u64::from(self.u32()?);
        Ok(low | u64::from(self.u32()?) << 32)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                return Err("a varint overflows 64 bits");
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a varint is longer than ten bytes")
    }

    /// A varint that must fit memory addressing.
    pub(crate) fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.varint()?).map_err(|_| "a length overflows")
    }

    /// A varint length and that many bytes.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.length()?;
        self.take(len)
    }

    /// Nothing may be left: trailing bytes are as wrong as missing ones.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.at == self.bytes.len() { Ok(()) } else { Err("bytes are left over at its end") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_of_every_width_come_back() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                let mut decoder = Decoder::new(&out);
                assert_eq!(decoder.varint(), Ok(value));
                assert_eq!(decoder.finish(), Ok(()));
            }
        }
    }

    #[test]
    fn a_varint_beyond_64_bits_is_malformed() {
        let mut bytes = vec![0xff; 9];
        bytes.push(2);
        assert!(Decoder::new(&bytes).varint().is_err());
        assert!(Decoder::new(&[0xff; 12]).varint().is_err());
    }

    #[test]
    fn a_length_beyond_the_input_is_malformed() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u64::MAX);
        assert!(Decoder::new(&bytes).bytes().is_err());
    }
}
