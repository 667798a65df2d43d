//! When to give up: gRPC's own header for unary calls, a field in streams.

use crate::error::Fault;
use crate::limits::DEFAULT_TIMEOUT_MILLISECONDS;
use std::time::Duration;
use tonic::metadata::MetadataMap;

/// Most that is left of a deadline for the answer's way back.
const MOST_MARGIN: Duration = Duration::from_millis(20);

/// How long a unary call may take. A little less than the client said: the
/// transport ends the call at that very moment, without our details, and the
/// client would not learn whether its write may have been applied.
///
/// # Errors
/// `INVALID_ARGUMENT` for a `grpc-timeout` that is none.
pub fn of(metadata: &MetadataMap) -> Result<Duration, Fault> {
    let Some(header) = metadata.get("grpc-timeout") else { return Ok(in_stream(0)) };
    let timeout = header.to_str().ok().and_then(parse).ok_or_else(|| {
        Fault::invalid("grpc-timeout is not a timeout: write up to 8 digits and one of HMSmun")
    })?;
    Ok(timeout - (timeout / 10).min(MOST_MARGIN))
}

/// How long an operation in a stream may take; 0 means the default.
pub fn in_stream(timeout_milliseconds: u32) -> Duration {
    let milliseconds = match timeout_milliseconds {
        0 => DEFAULT_TIMEOUT_MILLISECONDS,
        given => given,
    };
    Duration::from_millis(milliseconds.into())
}

fn parse(header: &str) -> Option<Duration> {
    let (last, unit) = header.char_indices().last()?;
    let number = &header[..last];
    if number.len() > 8 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(number * 3600)),
        'M' => Some(Duration::from_secs(number * 60)),
        'S' => Some(Duration::from_secs(number)),
        'm' => Some(Duration::from_millis(number)),
        'u' => Some(Duration::from_micros(number)),
        'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_header(header: &str) -> Result<Duration, Fault> {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", header.parse().unwrap());
        of(&metadata)
    }

    #[test]
    fn the_answer_comes_a_little_before_the_clients_deadline() {
        assert_eq!(of_header("100m").unwrap(), Duration::from_millis(90));
        assert_eq!(of_header("10S").unwrap(), Duration::from_millis(9_980));
        assert_eq!(of_header("99999999H").unwrap().as_secs(), 99_999_999 * 3600 - 1);
    }

    #[test]
    fn without_a_deadline_there_is_a_default() {
        assert_eq!(of(&MetadataMap::new()).unwrap(), Duration::from_secs(5));
        assert_eq!(in_stream(0), Duration::from_secs(5));
        assert_eq!(in_stream(70), Duration::from_millis(70));
    }

    #[test]
    fn what_is_no_timeout_is_refused() {
        for header in ["", "5", "S", "123456789S", "-1S", "5s", "5 S"] {
            assert!(of_header(header).is_err(), "{header}");
        }
    }
}
