//! `--consistency`: how fresh a read must be.

use crate::encoding;
use bytes::Bytes;
use doug_proto::v1::{Consistency, ReadOptions};

/// How fresh a read must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness(ReadOptions);

/// The option, the same for every command that reads.
#[derive(clap::Args, Clone)]
pub struct Args {
    /// linearizable, session:TOKEN, bounded:MILLISECONDS or eventual
    #[arg(long, value_name = "HOW", default_value = "linearizable", value_parser = parse)]
    consistency: Freshness,
}

impl Args {
    /// What goes into the request.
    pub fn options(&self) -> ReadOptions {
        self.consistency.0.clone()
    }
}

fn parse(text: &str) -> Result<Freshness, String> {
    let (kind, argument) = match text.split_once(':') {
        Some((kind, argument)) => (kind, Some(argument)),
        None => (text, None),
    };
    let mut options = ReadOptions::default();
    let consistency = match (kind, argument) {
        ("linearizable", None) => Consistency::Linearizable,
        ("eventual", None) => Consistency::Eventual,
        ("session", Some(token)) => {
            options.session_token = session_token(token)?;
            Consistency::Session
        }
        ("bounded", Some(lag)) => {
            options.max_lag_milliseconds = lag.parse().map_err(|_| {
                format!("{lag:?} is not a number of milliseconds: write for instance bounded:500")
            })?;
            Consistency::Bounded
        }
        _ => {
            return Err(format!(
                "{text:?} is no consistency: write linearizable, session:TOKEN (TOKEN as \
                 `doug get -v` or `doug put -v` printed it), bounded:MILLISECONDS or eventual"
            ));
        }
    };
    options.consistency = consistency.into();
    Ok(Freshness(options))
}

fn session_token(hex: &str) -> Result<Bytes, String> {
    match encoding::from_hex(hex.as_bytes()) {
        Ok(token) if !token.is_empty() => Ok(token),
        _ => Err(format!(
            "{hex:?} is not a session token: give the hexadecimal one of `doug put -v` or `get -v`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_consistency_is_read_with_its_argument() {
        let read = |text| parse(text).unwrap().0;
        assert_eq!(read("linearizable").consistency(), Consistency::Linearizable);
        assert_eq!(read("eventual").consistency(), Consistency::Eventual);
        let session = read("session:0aff");
        assert_eq!(session.consistency(), Consistency::Session);
        assert_eq!(&session.session_token[..], [0x0a, 0xff]);
        let bounded = read("bounded:250");
        assert_eq!(bounded.consistency(), Consistency::Bounded);
        assert_eq!(bounded.max_lag_milliseconds, 250);
    }

    #[test]
    fn a_missing_or_superfluous_argument_is_refused() {
        for text in ["session", "session:", "session:xyz", "bounded", "bounded:soon", "eventual:1"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
