//! Quotes of a CSV record that are not where they may be. The parser takes any text; but a
//! quote never closed swallows the records that follow, and those would be lost in silence.

/// Says what is wrong with the quotes of a record that begins on line `line`.
pub fn misplaced(record: &[u8], delimiter: u8, line: u64) -> Option<String> {
    let place = |at: usize| {
        let before = &record[..at];
        let ends = before.iter().filter(|byte| **byte == b'\n').count() as u64;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        format!("line {}, column {column}", line + ends)
    };
    let mut state = State::Start;
    for (at, byte) in record.iter().enumerate() {
        state = match (state, *byte) {
            (State::Start, b'"') => State::Quoted(at),
            (State::Closed(opened), b'"') => State::Quoted(opened),
            (State::Quoted(opened), b'"') => State::Closed(opened),
            (State::Quoted(opened), _) => State::Quoted(opened),
            (_, byte) if byte == delimiter => State::Start,
            (State::Closed(opened), _) => {
                return Some(format!(
                    "the quote at {} is closed, and text follows at {}: was another one before it \
                     not closed? {REMEDY}",
                    place(opened),
                    place(at)
                ));
            }
            (State::Start | State::Text, _) => State::Text,
        };
    }
    match state {
        State::Quoted(opened) => {
            Some(format!("the quote at {} is never closed. {REMEDY}", place(opened)))
        }
        _ => None,
    }
}

const REMEDY: &str = "For columns without quotes use --format tsv --raw --delimiter";

#[derive(Clone, Copy)]
enum State {
    /// A field begins.
    Start,
    /// In a field without quotes; one in the middle of it is text.
    Text,
    /// In a field whose quote was opened there.
    Quoted(usize),
    /// After what closes it, or doubles a quote.
    Closed(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_where_they_may_be_are_nothing_wrong() {
        for record in
            ["a,b", "\"a\",\"b\"", "\"a,\"\"1\"\"\",\"two\nlines\"", "5\" disk,6\"", "\"\","]
        {
            assert_eq!(misplaced(record.as_bytes(), b',', 1), None, "{record}");
        }
    }

    #[test]
    fn a_quote_never_closed_and_text_behind_one_are_named_by_line_and_column() {
        let open = misplaced(b"a,\"b\nc,d", b',', 7).unwrap();
        assert!(open.contains("the quote at line 7, column 3 is never closed"), "{open}");
        let behind = misplaced(b"\"a,1\nb,2\n\"c,3", b',', 7).unwrap();
        assert!(
            behind.contains("line 7, column 1 is closed, and text follows at line 9, column 2")
        );
    }
}
