//! Instants as people write and read them: RFC 3339, in UTC.

/// The instant so many milliseconds after 1970 began: `2026-11-30T12:59:00.250Z`.
#[must_use]
pub fn show(milliseconds: u64) -> String {
    let (days, of_day) = (milliseconds / 86_400_000, milliseconds % 86_400_000);
    let (year, month, day) = date(days);
    let (seconds, rest) = (of_day / 1_000, of_day % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:03}Z")
}

/// Milliseconds since 1970 of an instant in RFC 3339: a date, `T` or a space, a time with or
/// without parts of a second, and `Z` or an offset. None for anything else, or before 1970.
#[must_use]
pub fn read(text: &str) -> Option<u64> {
    let (date_text, rest) = (text.get(..10)?, text.get(11..)?);
    matches!(text.as_bytes()[10], b'T' | b't' | b' ').then_some(())?;
    let [year, month, day] = numbers::<3>(date_text, '-', &[4, 2, 2])?;
    let zone = rest.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = rest.split_at(zone);
    let (time, fraction) = time.split_once('.').map_or((time, None), |(t, f)| (t, Some(f)));
    let [hour, minute, second] = numbers::<3>(time, ':', &[2, 2, 2])?;
    let valid = (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let milliseconds = fraction.map_or(Some(0), thousandths)?;
    let of_day = ((hour * 60 + minute) * 60 + second) * 1_000 + milliseconds;
    let local = days_since_1970(year, month, day)? * 86_400_000 + of_day;
    let offset = match zone.split_at(1) {
        ("Z" | "z", "") => 0,
        (sign, offset) => {
            let [hours, minutes] = numbers::<2>(offset, ':', &[2, 2])?;
            let offset = i64::try_from((hours * 60 + minutes) * 60_000).ok()?;
            if sign == "+" { -offset } else { offset }
        }
    };
    valid.then(|| local.checked_add_signed(offset)).flatten()
}

/// Numbers of just so many digits, with the separator between them.
fn numbers<const N: usize>(text: &str, separator: char, digits: &[usize; N]) -> Option<[u64; N]> {
    let mut parts = text.split(separator);
    let mut read = [0; N];
    for (place, digits) in read.iter_mut().zip(digits) {
        let part = parts.next()?;
        let is_number = part.len() == *digits && part.bytes().all(|byte| byte.is_ascii_digit());
        *place = is_number.then(|| part.parse().ok()).flatten()?;
    }
    parts.next().is_none().then_some(read)
}

/// The first three digits of a fraction of a second.
fn thousandths(fraction: &str) -> Option<u64> {
    let is_number = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| format!("{fraction:0<3}")[..3].parse().ok()).flatten()
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_of_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let years: u64 = (1970..year).map(days_of_year).sum();
    let months: u64 = (1..month).map(|month| days_of(year, month)).sum();
    (year >= 1970 && day > 0).then(|| years + months + day - 1)
}

/// Year, month and day, so many days after 1970 began.
fn date(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    while days >= days_of_year(year) && year < 9_999 {
        days -= days_of_year(year);
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days >= days_of(year, month) {
        days -= days_of(year, month);
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        for milliseconds in [0, 951_782_400_000, 1_796_000_339_250, 4_102_444_799_999] {
            assert_eq!(read(&show(milliseconds)), Some(milliseconds));
        }
        assert_eq!(show(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(show(1_796_043_599_007), "2026-11-30T12:59:59.007Z");
    }

    #[test]
    fn offsets_and_fractions_are_understood() {
        let noon = read("2026-11-30T12:00:00Z");
        assert!(noon.is_some());
        assert_eq!(read("2026-11-30 13:30:00+01:30"), noon);
        assert_eq!(read("2026-11-30t04:00:00-08:00"), noon);
        assert_eq!(read("2026-11-30T12:00:00.5Z"), noon.map(|noon| noon + 500));
        assert_eq!(read("2026-11-30T12:00:00.123456Z"), noon.map(|noon| noon + 123));
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "10m",
            "2026-11-30",
            "2026-11-30T12:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-11-30T24:00:00Z",
            "2026-11-30T12:00:00.Z",
            "1969-12-31T23:59:59Z",
            "2026-11-30T12:00Z",
            "20é6-11-30T12:00:00Z",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
