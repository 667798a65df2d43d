//! Numbers that are incremented: the decimal text of a signed 64-bit number, so that people and
//! other programs read and write the same keys.

use bytes::Bytes;

/// The number that a value is: digits, with a minus in front if it is negative.
pub(super) fn read(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    if text.starts_with('+') { None } else { text.parse().ok() }
}

/// The value of a number.
pub(super) fn written(number: i64) -> Bytes {
    number.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_all_else_is_none() {
        for number in [0, 1, -1, i64::MIN, i64::MAX] {
            assert_eq!(read(&written(number)), Some(number));
        }
        assert_eq!(read(b"007"), Some(7));
        for other in ["", "-", "+1", " 1", "1\n", "1.0", "0x1", "9223372036854775808", "\u{663}"] {
            assert_eq!(read(other.as_bytes()), None, "{other:?}");
        }
        assert_eq!(read(b"\xff"), None);
    }
}
