//! Keys and values are bytes; this is how they become text and back.
//!
//! - `text`: the argument's bytes as they stand. Output that is one value is
//!   raw, except what would act on a terminal; output with several fields a line
//!   is `escaped`, or a newline in a key could forge a line.
//! - `escaped`: printable text with `\\`, `\n`, `\r`, `\t` and `\xNN`; exact.
//! - `hex`, `base64`: exact, for programs.
//!
//! JSON does not depend on the encoding: `{"key": …}` where the bytes are
//! UTF-8, `{"keyBase64": …}` where they are not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::ValueEnum;
use serde_json::{Map, Value};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Encoding {
    /// The bytes of the argument as they stand
    Text,
    /// Text with \\, \n, \r, \t and \xNN
    Escaped,
    /// Two hexadecimal digits a byte
    Hex,
    /// Standard base64 with padding
    Base64,
}

impl Encoding {
    /// The bytes that an argument means.
    pub fn decode(self, argument: &OsStr) -> Result<Bytes, String> {
        let raw = argument.as_bytes();
        match self {
            Encoding::Text => Ok(Bytes::copy_from_slice(raw)),
            Encoding::Escaped => unescape(raw).map_err(|_| bad_escape(raw)),
            Encoding::Hex => from_hex(raw),
            Encoding::Base64 => STANDARD
                .decode(raw)
                .map(Bytes::from)
                .map_err(|error| format!("{argument:?} is not base64: {error}")),
        }
    }

    /// A key or value in a sentence: as [`show`](Self::show), but no longer than a line.
    pub fn quote(self, bytes: &[u8]) -> String {
        let shown = self.show(bytes);
        match shown.char_indices().nth(QUOTED) {
            None => shown,
            Some((end, _)) => format!("{}… ({} bytes)", &shown[..end], bytes.len()),
        }
    }

    /// Reads back a field that [`show`](Self::show) wrote.
    ///
    /// # Errors
    /// What is wrong, and at which byte of the field.
    pub fn read_field(self, field: &[u8]) -> Result<Bytes, String> {
        match self {
            Encoding::Text | Encoding::Escaped => unescape(field).map_err(|at| {
                format!("a wrong escape at byte {at}: after a backslash stands \\, n, r, t or xNN")
            }),
            Encoding::Hex | Encoding::Base64 => self.decode(OsStr::from_bytes(field)),
        }
    }

    /// One field of a line, or a value on a terminal.
    pub fn show(self, bytes: &[u8]) -> String {
        match self {
            Encoding::Text | Encoding::Escaped => escape(bytes),
            Encoding::Hex => to_hex(bytes),
            Encoding::Base64 => STANDARD.encode(bytes),
        }
    }
}

/// Characters of a key that a sentence quotes.
const QUOTED: usize = 64;

/// Adds `name`, or `nameBase64` where the bytes are not UTF-8.
pub fn insert_json(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), Value::from(text)),
        Err(_) => object.insert(format!("{name}Base64"), Value::from(STANDARD.encode(bytes))),
    };
}

/// Reads what [`insert_json`] wrote; `None` where neither name is there.
pub fn from_json(object: &Map<String, Value>, name: &str) -> Result<Option<Bytes>, String> {
    let encoded_name = format!("{name}Base64");
    match (object.get(name), object.get(&encoded_name)) {
        (Some(_), Some(_)) => Err(format!("give {name:?} or {encoded_name:?}, not both")),
        (Some(Value::String(text)), None) => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
        (None, Some(Value::String(text))) => STANDARD
            .decode(text)
            .map(|bytes| Some(bytes.into()))
            .map_err(|error| format!("{encoded_name:?} is not base64: {error}")),
        (None, None) => Ok(None),
        _ => Err(format!("{name:?} must be a string")),
    }
}

/// Whether the bytes are text that cannot act on a terminal.
pub fn is_plain_text(bytes: &[u8]) -> bool {
    let plain = |c: char| !c.is_control() || c == '\n' || c == '\t';
    std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(plain))
}

/// Lower-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads hexadecimal digits of either case.
pub fn from_hex(digits: &[u8]) -> Result<Bytes, String> {
    let wrong = || {
        let shown = String::from_utf8_lossy(digits);
        format!("{shown:?} is not hexadecimal: write two digits 0-9 a-f for each byte")
    };
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(wrong());
    }
    let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    pairs.map(|pair| byte(pair).ok_or_else(wrong)).collect()
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).map(|digit| digit as u8)
}

fn escape(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => shown.push_str("\\\\"),
                '\n' => shown.push_str("\\n"),
                '\r' => shown.push_str("\\r"),
                '\t' => shown.push_str("\\t"),
                // At the head of a file it would be taken for a mark of its encoding.
                '\u{feff}' => escape_bytes(&mut shown, "\u{feff}".as_bytes()),
                // Controls would act on the terminal.
                control if control.is_control() => {
                    let mut buffer = [0; 4];
                    escape_bytes(&mut shown, control.encode_utf8(&mut buffer).as_bytes());
                }
                printable => shown.push(printable),
            }
        }
        escape_bytes(&mut shown, chunk.invalid());
    }
    shown
}

fn escape_bytes(shown: &mut String, bytes: &[u8]) {
    for byte in bytes {
        shown.push_str(&format!("\\x{byte:02x}"));
    }
}

/// The bytes, or where the wrong escape begins, from 1.
fn unescape(text: &[u8]) -> Result<Bytes, usize> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        if first != b'\\' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let (byte, length) = match after.first() {
            Some(b'\\') => (b'\\', 1),
            Some(b'n') => (b'\n', 1),
            Some(b'r') => (b'\r', 1),
            Some(b't') => (b'\t', 1),
            Some(b'x') => match after.get(1..3).map(from_hex) {
                Some(Ok(byte)) => (byte[0], 3),
                _ => return Err(text.len() - after.len()),
            },
            _ => return Err(text.len() - after.len()),
        };
        bytes.push(byte);
        rest = &after[length..];
    }
    Ok(bytes.into())
}

fn bad_escape(text: &[u8]) -> String {
    let shown = String::from_utf8_lossy(text);
    format!(r"{shown} has a wrong escape: after a backslash stands \, n, r, t or xNN")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWKWARD: &[u8] = b"a\\b\tc\nd\re\x00\x1b[31m\xff\xc3\xa9\xc2\x85\xf0\x9f\xa6\x8a\xe2\x82";

    #[test]
    fn every_exact_encoding_gives_the_bytes_back() {
        let all: Vec<u8> = (0..=255).collect();
        for bytes in [AWKWARD, &all, b"", b"plain", "größe".as_bytes()] {
            for encoding in [Encoding::Escaped, Encoding::Hex, Encoding::Base64] {
                let shown = encoding.show(bytes);
                assert_eq!(encoding.decode(OsStr::new(&shown)).unwrap(), bytes, "{shown}");
            }
        }
    }

    #[test]
    fn text_is_the_bytes_of_the_argument_even_where_they_are_not_utf8() {
        let argument = OsStr::from_bytes(b"a\\x41\xff");
        assert_eq!(&Encoding::Text.decode(argument).unwrap()[..], b"a\\x41\xff");
    }

    #[test]
    fn escaped_text_stays_on_its_line_and_cannot_act_on_the_terminal() {
        let shown = Encoding::Text.show(AWKWARD);
        assert_eq!(shown, r"a\\b\tc\nd\re\x00\x1b[31m\xffé\xc2\x85🦊\xe2\x82");
    }

    #[test]
    fn a_sentence_quotes_no_more_than_a_line_of_a_key() {
        assert_eq!(Encoding::Text.quote(b"a\tb"), "a\\tb");
        let long = "ü".repeat(2_000);
        let quoted = Encoding::Text.quote(long.as_bytes());
        assert_eq!(quoted, format!("{}… (4000 bytes)", "ü".repeat(64)));
    }

    #[test]
    fn wrong_encodings_are_refused_with_what_would_be_right() {
        let refused = |encoding: Encoding, text| encoding.decode(OsStr::new(text)).unwrap_err();
        assert!(refused(Encoding::Hex, "abc").contains("two digits"));
        assert!(refused(Encoding::Hex, "+f").contains("not hexadecimal"));
        assert!(refused(Encoding::Base64, "a").contains("not base64"));
        for text in ["\\", "\\q", "\\x", "\\x1", "\\xzz"] {
            assert!(refused(Encoding::Escaped, text).contains("wrong escape"), "{text}");
        }
    }

    #[test]
    fn json_names_say_whether_the_bytes_are_utf8() {
        for bytes in ["größe".as_bytes(), b"", b"\xff\x00"] {
            let mut object = Map::new();
            insert_json(&mut object, "key", bytes);
            assert_eq!(from_json(&object, "key").unwrap().unwrap(), bytes);
        }
        let mut object = Map::new();
        insert_json(&mut object, "key", b"\xff");
        assert_eq!(Value::from(object).to_string(), r#"{"keyBase64":"/w=="}"#);
    }
}
