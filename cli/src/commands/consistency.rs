//! `--consistency`: how fresh a read must be.

use crate::encoding;
use crate::units;
use bytes::Bytes;
use clap_complete::{ArgValueCandidates, CompletionCandidate};
use doug_client::Read;
use std::time::Duration;

/// The option, the same for every command that reads.
#[derive(clap::Args, Clone)]
#[group(skip)]
pub struct Args {
    /// linearizable, session:TOKEN, bounded:MILLISECONDS or eventual
    #[arg(
        long,
        value_name = "HOW",
        default_value = "linearizable",
        value_parser = parse,
        add = ArgValueCandidates::new(forms)
    )]
    consistency: Read,
}

/// How a value may begin.
fn forms() -> Vec<CompletionCandidate> {
    ["linearizable", "session:", "bounded:", "eventual"].map(CompletionCandidate::new).into()
}

impl Args {
    /// How fresh.
    pub fn read(&self) -> Read {
        self.consistency.clone()
    }
}

fn parse(text: &str) -> Result<Read, String> {
    let (kind, argument) = match text.split_once(':') {
        Some((kind, argument)) => (kind, Some(argument)),
        None => (text, None),
    };
    match (kind, argument) {
        ("linearizable", None) => Ok(Read::Linearizable),
        ("eventual", None) => Ok(Read::Eventual),
        ("session", Some(token)) => session_token(token).map(Read::Session),
        ("bounded", Some(lag)) => {
            let lag = lag.parse().map_err(|_| {
                format!("{lag:?} is not a number of milliseconds: write for instance bounded:500")
            })?;
            let lag = Duration::from_millis(lag);
            if lag > units::LONGEST {
                return Err(format!("{text} is too long: at most a year"));
            }
            Ok(Read::Bounded(lag))
        }
        _ => Err(format!(
            "{text:?} is no consistency: write linearizable, session:TOKEN (TOKEN as \
             `doug get -v` or `doug put -v` printed it), bounded:MILLISECONDS or eventual"
        )),
    }
}

/// Reads a session token, or that of a watch.
///
/// # Errors
/// A sentence: it is none.
pub fn session_token(hex: &str) -> Result<Bytes, String> {
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
        assert_eq!(parse("linearizable"), Ok(Read::Linearizable));
        assert_eq!(parse("eventual"), Ok(Read::Eventual));
        assert_eq!(parse("session:0aff"), Ok(Read::Session(Bytes::from_static(b"\x0a\xff"))));
        assert_eq!(parse("bounded:250"), Ok(Read::Bounded(Duration::from_millis(250))));
    }

    #[test]
    fn a_missing_or_superfluous_argument_is_refused() {
        for text in ["session", "session:", "session:xyz", "bounded", "bounded:soon", "eventual:1"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
