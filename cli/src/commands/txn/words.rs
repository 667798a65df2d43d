//! A line of a script, taken apart into words.

use crate::encoding::Encoding;
use bytes::Bytes;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// A word. One that stood in quotation marks is never a keyword.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    bytes: Vec<u8>,
    quoted: bool,
}

impl Word {
    /// Whether it is this keyword.
    pub fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.bytes == keyword.as_bytes()
    }

    /// As a keyword or number; `None` if it was quoted, or is no text.
    pub fn plain(&self) -> Option<&str> {
        if self.quoted { None } else { std::str::from_utf8(&self.bytes).ok() }
    }

    /// The key or value that it means.
    pub fn decode(&self, encoding: Encoding) -> Result<Bytes, String> {
        encoding.decode(OsStr::from_bytes(&self.bytes))
    }

    /// For a message.
    pub fn shown(&self) -> String {
        format!("{:?}", String::from_utf8_lossy(&self.bytes))
    }
}

/// The words of a line, up to a word that begins with `#`. In quotation marks a word may hold
/// anything; there `\"`, `\\`, `\n`, `\r`, `\t` and `\xNN` stand for a byte each.
///
/// # Errors
/// A quotation that does not end, goes on without a space, or holds a wrong escape.
pub fn words(line: &[u8]) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while let Some(&first) = rest.first() {
        if first == b'#' {
            break;
        }
        if first == b'"' {
            let (bytes, after) = quoted(&rest[1..])?;
            if after.first().is_some_and(|next| !next.is_ascii_whitespace()) {
                return Err("after a quotation mark that ends a word stands a space".to_owned());
            }
            words.push(Word { bytes, quoted: true });
            rest = after.trim_ascii_start();
            continue;
        }
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        words.push(Word { bytes: rest[..end].to_vec(), quoted: false });
        rest = rest[end..].trim_ascii_start();
    }
    Ok(words)
}

/// What stands up to the closing mark, and what follows it.
fn quoted(text: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'"' => return Ok((bytes, rest)),
            b'\\' => {
                let taken = if rest.first() == Some(&b'x') { 3 } else { 1 };
                let escape = rest.get(..taken).ok_or("a quotation does not end")?;
                let byte = match escape {
                    b"\"" => b'"',
                    _ => {
                        let whole = [b"\\", escape].concat();
                        let read = Encoding::Escaped.decode(OsStr::from_bytes(&whole))?;
                        read[0]
                    }
                };
                bytes.push(byte);
                rest = &rest[taken..];
            }
            other => bytes.push(other),
        }
    }
    Err("a quotation does not end: close it with \"".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<(String, bool)> {
        let words = words(line.as_bytes()).unwrap();
        let one = |word: Word| (String::from_utf8_lossy(&word.bytes).into_owned(), word.quoted);
        words.into_iter().map(one).collect()
    }

    #[test]
    fn words_stand_between_spaces_or_in_quotation_marks() {
        let plain = |text: &str| (text.to_owned(), false);
        let quoted = |text: &str| (text.to_owned(), true);
        assert_eq!(read("  put a\tb # rest"), [plain("put"), plain("a"), plain("b")]);
        assert_eq!(
            read(r#"put "all" "two words""#),
            [plain("put"), quoted("all"), quoted("two words")]
        );
        assert_eq!(read(r#""" "a\"\\\n\x41#""#), [quoted(""), quoted("a\"\\\nA#")]);
        assert_eq!(read("a#b"), [plain("a#b")]);
        assert_eq!(read("# only"), []);
    }

    #[test]
    fn what_is_wrong_with_a_quotation_is_said() {
        let wrong = |line: &str| words(line.as_bytes()).unwrap_err();
        assert!(wrong("\"open").contains("does not end"));
        assert!(wrong("\"open\\").contains("does not end"));
        assert!(wrong("\"a\"b").contains("a space"));
        assert!(wrong("\"\\q\"").contains("wrong escape"));
    }
}
