//! Intervals of keys, as flags.

use crate::encoding::Encoding;
use crate::exit::usage;
use bytes::Bytes;
use doug_client::Range;
use std::ffi::OsString;

/// Which keys; all of them by default.
#[derive(clap::Args, Clone)]
#[group(skip)]
pub struct Args {
    /// Only keys that start with this
    #[arg(long, conflicts_with_all = ["from", "to"], allow_hyphen_values = true)]
    prefix: Option<OsString>,
    /// First key, inclusive
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    from: Option<OsString>,
    /// Last key, exclusive
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    to: Option<OsString>,
}

impl Args {
    /// The interval.
    ///
    /// # Errors
    /// A bound that is not in the encoding, or bounds the wrong way round.
    pub fn range(&self, encoding: Encoding) -> anyhow::Result<Range> {
        let decode = |argument: &Option<OsString>| match argument {
            Some(argument) => encoding.decode(argument).map_err(usage),
            None => Ok(Bytes::new()),
        };
        if self.prefix.is_some() {
            return Ok(Range::prefix(decode(&self.prefix)?));
        }
        let (from, to) = (decode(&self.from)?, decode(&self.to)?);
        if !to.is_empty() && to <= from {
            return Err(usage(
                "--to does not come after --from, so no key is between: keys are ordered by their \
                 bytes; for the greatest first add --reverse and keep --from the lesser",
            ));
        }
        Ok(Range::between(from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: &str, to: &str) -> anyhow::Result<Range> {
        let args = Args { prefix: None, from: Some(from.into()), to: Some(to.into()) };
        args.range(Encoding::Text)
    }

    #[test]
    fn bounds_the_wrong_way_round_are_wrong_usage() {
        assert_eq!(range("a", "b").unwrap(), Range::between("a", "b"));
        let error = range("b", "a").unwrap_err();
        assert_eq!(crate::exit::of_error(&error), crate::exit::Exit::Usage);
    }

    #[test]
    fn bounds_are_read_in_the_encoding() {
        let args = Args { prefix: Some("00ff".into()), from: None, to: None };
        assert_eq!(args.range(Encoding::Hex).unwrap(), Range::prefix(&b"\x00\xff"[..]));
    }
}
