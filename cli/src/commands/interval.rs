//! Intervals of keys, as flags.

use crate::encoding::Encoding;
use crate::exit::usage;
use bytes::Bytes;
use std::ffi::OsString;

/// Which keys; all of them by default.
#[derive(clap::Args, Clone)]
pub struct Args {
    /// Only keys that start with this
    #[arg(long, conflicts_with_all = ["from", "to"])]
    prefix: Option<OsString>,
    /// First key, inclusive
    #[arg(long, value_name = "KEY")]
    from: Option<OsString>,
    /// Last key, exclusive
    #[arg(long, value_name = "KEY")]
    to: Option<OsString>,
}

impl Args {
    /// Start, inclusive, and end, exclusive; empty means unbounded.
    pub fn bounds(&self, encoding: Encoding) -> anyhow::Result<(Bytes, Bytes)> {
        let decode = |argument: &Option<OsString>| match argument {
            Some(argument) => encoding.decode(argument).map_err(usage),
            None => Ok(Bytes::new()),
        };
        if self.prefix.is_some() {
            let prefix = decode(&self.prefix)?;
            let end = successor(&prefix);
            return Ok((prefix, end));
        }
        Ok((decode(&self.from)?, decode(&self.to)?))
    }
}

/// The least key greater than every key with this prefix; empty if there is none.
fn successor(prefix: &[u8]) -> Bytes {
    let Some(last) = prefix.iter().rposition(|byte| *byte != 0xff) else {
        return Bytes::new();
    };
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    end.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_key_without_it() {
        assert_eq!(&successor(b"ab")[..], b"ac");
        assert_eq!(&successor(b"a\xff\xff")[..], b"b");
    }

    #[test]
    fn a_prefix_of_greatest_bytes_has_no_end() {
        assert!(successor(b"\xff\xff").is_empty());
        assert!(successor(b"").is_empty());
    }
}
