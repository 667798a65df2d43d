//! What errors quote: keys, values, names and texts of others, cut to a length
//! that a person reads and that fits into the headers of an answer.

/// Most bytes that are shown of what is quoted.
const QUOTED: usize = 64;

/// A key or value in quotation marks: all of it, or its beginning and its length.
pub fn bytes(bytes: &[u8]) -> String {
    if bytes.len() <= QUOTED {
        return shown(bytes);
    }
    let whole = |end: usize| std::str::from_utf8(&bytes[..end]).is_ok();
    // A character that the cut would split is left out.
    let end = (QUOTED - 3..=QUOTED).rev().find(|end| whole(*end)).unwrap_or(QUOTED);
    format!("{}… ({} bytes)", shown(&bytes[..end]), bytes.len())
}

fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("\"{}\"", bytes.escape_ascii()),
    }
}

/// A text that somebody else gave, quoted like a key.
pub fn text(text: &str) -> String {
    bytes(text.as_bytes())
}

/// A sentence that somebody else said, for the middle of our own: at most `most`
/// bytes as they are sent in a header, with the length of what was left out.
pub(crate) fn cut(sentence: &str, most: usize) -> String {
    if header_bytes(sentence) <= most {
        return sentence.to_owned();
    }
    let mut end = 0;
    let mut left = most.saturating_sub(header_bytes(&ending(sentence.len())));
    for (place, character) in sentence.char_indices() {
        let next = place + character.len_utf8();
        let Some(rest) = left.checked_sub(header_bytes(&sentence[place..next])) else { break };
        (end, left) = (next, rest);
    }
    format!("{}{}", &sentence[..end], ending(sentence.len() - end))
}

fn ending(bytes: usize) -> String {
    format!("... ({bytes} more bytes)")
}

/// How long a text becomes in `grpc-message`, where most that is no letter or digit
/// is written as three characters.
pub(crate) fn header_bytes(text: &str) -> usize {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>`?{}%".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { 1 } else { 3 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_short_key_is_quoted_whole_and_a_long_one_with_its_length() {
        assert_eq!(bytes(b"planet"), "\"planet\"");
        assert_eq!(bytes(b"\xff\x00"), "\"\\xff\\x00\"");
        let long = bytes(&[b'k'; 4096]);
        assert!(long.starts_with("\"kkk") && long.ends_with("… (4096 bytes)"), "{long}");
        assert!(text(&"ö".repeat(100)).starts_with("\"öö"));
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_short_whatever_it_is(given in prop::collection::vec(any::<u8>(), 0..5_000)) {
            prop_assert!(bytes(&given).len() <= 12 * QUOTED + 32);
        }

        #[test]
        fn what_is_cut_fits_and_begins_alike(given in ".{0,500}", most in 64_usize..400) {
            let cut = cut(&given, most);
            prop_assert!(header_bytes(&cut) <= most);
            prop_assert!(cut == given || cut.contains("more bytes"));
        }
    }
}
