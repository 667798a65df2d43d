//! Sizes and durations as people write them: `64MiB`, `500ms`.

use std::time::Duration;

const SIZES: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("B", 1),
];

/// Reads a size in bytes: `64MiB`, `64Mi`, `1024`, `1024B`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "" => Some(1),
        unit => SIZES.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor),
    };
    let wrong = || format!("{text:?} is not a size: write for instance 64MiB, 512KiB or 1GiB");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor.ok_or_else(wrong)?).ok_or_else(|| format!("{text} is too large"))
}

/// Longer is a mistake, and clocks cannot count that far.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Reads a duration: `500ms`, `5s`, `2m`, `1h`; at most a year.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is not a duration: write for instance 500ms, 5s, 2m or 1h");
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let too_long = || format!("{text} is too long: at most a year, 8760h");
    let duration = Duration::try_from_secs_f64(number * factor).map_err(|_| too_long())?;
    if duration > LONGEST { Err(too_long()) } else { Ok(duration) }
}

/// Writes a time, in milliseconds since 1970, as RFC 3339 does, to the second.
pub fn show_time(milliseconds: u64) -> String {
    let (days, second) = (milliseconds / 86_400_000, milliseconds / 1_000 % 86_400);
    // Years begin in March here, so that the day which not every year has is their last one
    // (H. Hinnant, "chrono-compatible low-level date algorithms").
    let since = days + 719_468;
    let (era, of_era) = (since / 146_097, since % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Writes milliseconds for people: `850 ms`, `12 s`, `5 m`, `3 h`, `2 d`.
pub fn show_milliseconds(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} m", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Writes bytes for people: `850 B`, `1.5 MiB`, `12 GiB`.
pub fn show_size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut size, mut unit) = (bytes as f64, "B");
    for next in units {
        // What would be rounded to a thousand and more is one of the next.
        if size < 999.5 {
            break;
        }
        (size, unit) = (size / 1024.0, next);
    }
    if unit == "B" || size >= 9.95 {
        format!("{size:.0} {unit}")
    } else {
        format!("{size:.1} {unit}")
    }
}

/// Writes how many for people, a second or altogether: `0`, `0.4`, `17`, `999`, `9.9k`, `123k`,
/// `4.5M`.
pub fn show_count(count: f64) -> String {
    let (mut shown, mut unit) = (count, "");
    for next in ["k", "M", "G", "T"] {
        // What would be rounded to a thousand and more is one of the next.
        if shown < 999.5 {
            break;
        }
        (shown, unit) = (shown / 1000.0, next);
    }
    let whole = shown >= 9.95 || unit.is_empty() && shown.fract() == 0.0;
    if whole { format!("{shown:.0}{unit}") } else { format!("{shown:.1}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_does() {
        let written = [0, 951_782_399_999, 951_782_400_000, 1_796_045_400_000].map(show_time);
        let expected = [
            "1970-01-01T00:00:00Z",
            "2000-02-28T23:59:59Z",
            "2000-02-29T00:00:00Z",
            "2026-11-30T13:30:00Z",
        ];
        assert_eq!(written, expected);
    }

    #[test]
    fn sizes_are_binary_units_or_bytes() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("64Mi"), Ok(64 << 20));
        assert_eq!(parse_size("17"), Ok(17));
        assert_eq!(parse_size("1 GiB"), Ok(1 << 30));
    }

    #[test]
    fn what_is_no_size_is_refused_with_an_example() {
        for text in ["", "MiB", "64MB", "-1", "99999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert!(parse_size("64MB").unwrap_err().contains("64MiB"));
    }

    #[test]
    fn sizes_are_shown_with_two_or_three_digits() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (10 << 10, "10 KiB"),
            (1_023 << 20, "1.0 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(show_size(bytes), shown);
        }
    }

    #[test]
    fn counts_are_shown_with_two_or_three_digits() {
        for (count, shown) in [
            (0.0, "0"),
            (0.04, "0.0"),
            (0.4, "0.4"),
            (7.0, "7"),
            (999.4, "999"),
            (999.6, "1.0k"),
            (9_876.0, "9.9k"),
            (123_456.0, "123k"),
            (4.5e6, "4.5M"),
        ] {
            assert_eq!(show_count(count), shown);
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["5", "", "s", "-1s", "5 seconds", "1..2s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_beyond_reason_are_refused_as_such() {
        assert_eq!(parse_duration("8760h"), Ok(LONGEST));
        let huge = format!("{}s", "9".repeat(400));
        for text in ["8761h", "9999999999999999999s", &huge] {
            assert!(parse_duration(text).unwrap_err().contains("at most a year"), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_in_the_unit_that_fits() {
        assert_eq!(show_milliseconds(850), "850 ms");
        assert_eq!(show_milliseconds(61_000), "61 s");
        assert_eq!(show_milliseconds(86_400_000), "24 h");
    }
}
