//! Durations as Kubernetes writes them: `10m`, `1h30m`.

use std::time::Duration;

/// Reads hours, minutes and seconds. None: it is no such text.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0_u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        let factor = match rest[digits..].chars().next()? {
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(factor)?)?;
        rest = &rest[digits + 1..];
    }
    (!text.is_empty()).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_minutes_and_seconds_add_up() {
        assert_eq!(parse_duration("1h30m5s"), Some(Duration::from_secs(5_405)));
        for text in ["", "10", "m", "10ms", "1.5h", "-1m"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
