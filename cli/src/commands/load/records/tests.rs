//! What is read of files, and what is refused.

use super::*;
use crate::commands::entries::{json_line, text_line};
use doug_proto::v1::ScanEntry;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn read(layout: &Layout, file: &[u8]) -> Vec<Result<(u64, String, String), String>> {
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    layout
        .records(file)
        .map(|record| match record {
            Ok(record) => Ok((record.line, text(record.key), text(record.value))),
            Err(bad) => Err(format!("{}: {}", bad.line, bad.message)),
        })
        .collect()
}

fn ok(line: u64, key: &str, value: &str) -> Result<(u64, String, String), String> {
    Ok((line, key.into(), value.into()))
}

fn layout(format: Format, delimiter: Option<&str>, key: usize, value: Option<usize>) -> Layout {
    let columns = Columns { delimiter, key, value, ..Default::default() };
    Layout::new(format, columns, Encoding::Text).unwrap()
}

#[test]
fn the_value_of_a_csv_record_is_its_whole_line() {
    let file = b"0041;LATIN CAPITAL LETTER A;Lu\r\n0042;B;Lu\n\n\n0043;C;Lu";
    assert_eq!(
        read(&layout(Format::Csv, Some(";"), 1, None), file),
        [
            ok(1, "0041", "0041;LATIN CAPITAL LETTER A;Lu"),
            ok(2, "0042", "0042;B;Lu"),
            ok(5, "0043", "0043;C;Lu"),
        ]
    );
}

#[test]
fn quotes_are_taken_off_columns_and_kept_in_lines() {
    let file = b"\"a,\"\"1\"\"\",\"two\nlines\"\nb,2\n";
    assert_eq!(
        read(&layout(Format::Csv, None, 1, Some(2)), file),
        [ok(1, "a,\"1\"", "two\nlines"), ok(3, "b", "2")]
    );
    let whole = read(&layout(Format::Csv, None, 1, None), file);
    assert_eq!(whole[0], ok(1, "a,\"1\"", "\"a,\"\"1\"\"\",\"two\nlines\""));
}

#[test]
fn a_header_is_no_record() {
    let columns = Columns { key: 1, header: true, ..Default::default() };
    let layout = Layout::new(Format::Csv, columns, Encoding::Text).unwrap();
    assert_eq!(read(&layout, b"key,value\na,1\n"), [ok(2, "a", "a,1")]);
}

#[test]
fn tsv_has_no_quotes() {
    let layout = layout(Format::Tsv, None, 2, Some(1));
    assert_eq!(read(&layout, b"\"x\ty\nz\t\"w\n"), [ok(1, "y", "\"x"), ok(2, "\"w", "z")]);
}

#[test]
fn a_line_without_the_column_is_bad_and_the_next_is_not() {
    let records = read(&layout(Format::Csv, None, 3, None), b"a,b\nc,d,e\n");
    assert!(records[0].as_ref().unwrap_err().contains("1: it has 2 columns"), "{records:?}");
    assert_eq!(records[1], ok(2, "e", "c,d,e"));
}

#[test]
fn a_quote_never_closed_ends_the_reading_instead_of_filling_memory() {
    let mut file = b"a,\"".to_vec();
    file.resize(20 << 20, b'x');
    let layout = layout(Format::Csv, None, 1, None);
    let bad = layout.records(&file[..]).next().unwrap().unwrap_err();
    assert!(bad.fatal && bad.message.contains("quote not closed"), "{bad:?}");
}

#[test]
fn a_line_is_a_key_and_its_number_the_value() {
    let layout = layout(Format::Lines, None, 1, None);
    assert_eq!(
        read(&layout, b"one\n\nthree\r\nfour"),
        [ok(1, "one", "1"), ok(3, "three", "3"), ok(4, "four", "4"),]
    );
}

#[test]
fn json_lines_carry_bytes_that_are_not_text() {
    let layout = layout(Format::Jsonl, None, 1, None);
    let file = br#"{"keyBase64":"/w==","value":"v","revision":7}"#;
    let record = layout.records(&file[..]).next().unwrap().unwrap();
    assert_eq!((&record.key[..], &record.value[..]), (&b"\xff"[..], &b"v"[..]));
}

#[test]
fn json_lines_without_key_or_value_are_bad() {
    let records = read(&layout(Format::Jsonl, None, 1, None), b"{\"key\":\"a\"}\n[]\n{\"key\":\n");
    assert!(records[0].as_ref().unwrap_err().contains("\"valueBase64\""), "{records:?}");
    assert!(records[1].as_ref().unwrap_err().contains("column 1: it is not a JSON object"));
    let said = records[2].as_ref().unwrap_err();
    assert!(said.contains("column 7: it is not a JSON object: EOF"), "{said}");
    assert!(!said.contains("line 1"), "the line is that of the file: {said}");
}

#[test]
fn columns_of_formats_without_columns_are_wrong_usage() {
    let is_wrong = |format, delimiter, key, raw| {
        let columns = Columns { delimiter, key, raw, ..Default::default() };
        Layout::new(format, columns, Encoding::Text).is_err()
    };
    assert!(is_wrong(Format::Lines, Some(";"), 1, false));
    assert!(is_wrong(Format::Jsonl, None, 2, false));
    assert!(is_wrong(Format::Csv, Some(";;"), 1, false));
    assert!(is_wrong(Format::Csv, Some("\""), 1, false));
    assert!(is_wrong(Format::Csv, None, 1, true));
    assert!(!is_wrong(Format::Csv, Some("\\t"), 1, false));
}

#[test]
fn a_quote_that_swallows_the_next_lines_ends_the_reading_with_its_place() {
    let layout = layout(Format::Csv, None, 1, None);
    let records = read(&layout, b"a,1\nb,\"2\nc,3\nd,4\n");
    assert_eq!(records[0], ok(1, "a", "a,1"));
    let error = records[1].as_ref().unwrap_err();
    assert!(error.contains("the quote at line 2, column 3 is never closed"), "{error}");
    let records = read(&layout, b"\"a,1\nb,2\n\"c,3\nd,4\n");
    let error = records[0].as_ref().unwrap_err();
    assert!(error.contains("text follows at line 3, column 2"), "{error}");
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_record() {
    for format in [Format::Csv, Format::Tsv, Format::Lines] {
        let read = read(&layout(format, None, 1, None), b"\xef\xbb\xbfkey\n");
        assert_eq!(read[0].as_ref().unwrap().1, "key", "{format:?}");
    }
    let file = b"\xef\xbb\xbf{\"key\": \"k\", \"value\": \"v\"}\n";
    assert_eq!(read(&layout(Format::Jsonl, None, 1, None), file), [ok(1, "k", "v")]);
    for format in [Format::Csv, Format::Tsv, Format::Lines, Format::Jsonl] {
        let utf_16 = read(&layout(format, None, 1, None), b"\xff\xfek\0\n\0");
        assert!(utf_16[0].as_ref().unwrap_err().contains("UTF-16"), "{format:?}");
    }
}

#[test]
fn a_carriage_return_alone_is_data_and_before_a_line_feed_it_is_none() {
    let file = b"a,x\ry\r\n\r\nb,\"z\"\r\nc,w\r\r\n";
    let csv = read(&layout(Format::Csv, None, 1, Some(2)), file);
    assert_eq!(csv, [ok(1, "a", "x\ry"), ok(3, "b", "z"), ok(4, "c", "w\r")]);
    let tsv = read(&layout(Format::Tsv, Some(","), 1, Some(2)), b"a,x\ry\r\n\r\nc,w\r\r\n");
    assert_eq!(tsv, [ok(1, "a", "x\ry"), ok(3, "c", "w\r")]);
}

#[test]
fn a_line_without_end_ends_the_reading_instead_of_filling_memory() {
    for format in [Format::Tsv, Format::Lines, Format::Jsonl] {
        let file = std::io::BufReader::new(std::io::repeat(b'x'));
        let bad = layout(format, None, 1, None).records(file).next().unwrap().unwrap_err();
        assert!(bad.fatal && bad.message.contains("longer than"), "{bad:?}");
    }
}

#[test]
fn what_is_beyond_a_limit_is_bad_before_it_waits_to_be_written() {
    let file = [&vec![b'k'; KEY_BYTES + 1][..], b"\nshort\n"].concat();
    let records = read(&layout(Format::Lines, None, 1, None), &file);
    assert!(records[0].as_ref().unwrap_err().contains("4096 are allowed"), "{records:?}");
    assert_eq!(records[1], ok(2, "short", "2"));
}

#[test]
fn columns_of_tsv_are_escaped_unless_they_are_raw() {
    let file = b"a\\tb\tC:\\new\n";
    let escaped = read(&layout(Format::Tsv, None, 1, Some(2)), file);
    assert_eq!(escaped, [ok(1, "a\tb", "C:\new")]);
    let columns = Columns { key: 1, value: Some(2), raw: true, ..Default::default() };
    let raw = Layout::new(Format::Tsv, columns, Encoding::Text).unwrap();
    assert_eq!(read(&raw, file), [ok(1, "a\\tb", "C:\\new")]);
    let wrong = read(&layout(Format::Tsv, None, 1, Some(2)), b"a\tC:\\home\n");
    let error = wrong[0].as_ref().unwrap_err();
    assert!(error.contains("column 2: a wrong escape at byte 3"), "{error}");
}

fn entries() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    // Bytes that mean something in one of the formats, more often than others.
    let byte = prop_oneof![
        any::<u8>(),
        proptest::sample::select(b"\\\"\t\n\r,xn{}\xef\xbb\xbf\xff\xfe\0".to_vec())
    ];
    let bytes = |least| proptest::collection::vec(byte.clone(), least..12);
    proptest::collection::vec((bytes(1), bytes(0)), 0..6)
}

proptest! {
    #[test]
    fn what_dump_writes_load_reads_back_equal(entries in entries()) {
        let dumped = entries.iter().map(|(key, value)| ScanEntry {
            key: key.clone().into(), value: value.clone().into(), revision: 7,
        });
        let dumped: Vec<ScanEntry> = dumped.collect();
        let file = |line: &dyn Fn(&ScanEntry) -> String| {
            dumped.iter().map(|entry| line(entry) + "\n").collect::<String>()
        };
        let loaded = |layout: Layout, file: String| {
            let records = layout.records(file.as_bytes());
            let entry = |record: Record| (record.key.to_vec(), record.value.to_vec());
            records.map(|record| entry(record.unwrap())).collect::<Vec<_>>()
        };
        let jsonl = file(&|entry| json_line(false, entry));
        prop_assert_eq!(&loaded(layout(Format::Jsonl, None, 1, None), jsonl), &entries);
        for encoding in [Encoding::Text, Encoding::Escaped, Encoding::Hex, Encoding::Base64] {
            let tsv = file(&|entry| text_line(encoding, false, entry));
            let columns = Columns { key: 1, value: Some(2), ..Default::default() };
            let layout = Layout::new(Format::Tsv, columns, encoding).unwrap();
            prop_assert_eq!(&loaded(layout, tsv), &entries);
        }
    }

    #[test]
    fn a_file_that_is_read_without_complaint_is_read_whole_and_dumped_and_read_again_equal(
        file in files()
    ) {
        for (format, value, raw) in WHOLE_LINES.into_iter().chain(COLUMNS) {
            let columns = Columns { key: 1, value, raw, ..Default::default() };
            let layout = Layout::new(format, columns, Encoding::Text).unwrap();
            let records: Result<Vec<Record>, _> = layout.records(&file[..]).collect();
            // Exit status 1, with line and column.
            let Ok(records) = records else { continue };
            if WHOLE_LINES.contains(&(format, value, raw)) {
                let line = |record: &Record| match format {
                    Format::Lines => record.key.to_vec(),
                    _ => record.value.to_vec(),
                };
                let lines: Vec<_> = records.iter().map(line).collect();
                prop_assert_eq!(left_out(&file, &lines), Ok(()), "{:?} {:?}", format, raw);
            }
            // The last of several with one key wins.
            let there: BTreeMap<Bytes, Bytes> =
                records.into_iter().map(|record| (record.key, record.value)).collect();
            for (format, has_columns) in [(Format::Jsonl, false), (Format::Tsv, true)] {
                prop_assert_eq!(&dumped_and_read_again(&there, format, has_columns), &there);
            }
        }
    }
}

/// Formats with a column of the value, and whether columns are raw: here a record's value, or
/// its key, is a whole line as it stands in the file.
const WHOLE_LINES: [(Format, Option<usize>, bool); 4] = [
    (Format::Csv, None, false),
    (Format::Tsv, None, false),
    (Format::Tsv, None, true),
    (Format::Lines, None, false),
];
/// And here it is not.
const COLUMNS: [(Format, Option<usize>, bool); 4] = [
    (Format::Csv, Some(2), false),
    (Format::Tsv, Some(2), false),
    (Format::Tsv, Some(2), true),
    (Format::Jsonl, None, false),
];

/// Files of pieces that mean something in one of the formats, and of any bytes.
fn files() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 20] = [
        b"a",
        b"b",
        b",",
        b"\t",
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\"",
        b"\"\"",
        b"\\",
        b"\\t",
        b"\\x41",
        b" ",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"{\"key\":\"k\",\"value\":\"v\"}\n",
        b"{\"keyBase64\":\"/w==\",\"value\":\"\"}\n",
        b"k\tv\n",
    ];
    let piece = prop_oneof![
        8 => proptest::sample::select(pieces.to_vec()).prop_map(<[u8]>::to_vec),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Whether a file holds these lines, in their order, and nothing between them but ends of lines
/// and, at its head, a byte order mark; else where something was left out.
fn left_out(file: &[u8], lines: &[Vec<u8>]) -> Result<(), String> {
    let mut rest = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    for line in lines {
        rest = without_line_ends(rest);
        rest = rest
            .strip_prefix(&line[..])
            .ok_or_else(|| format!("{line:?} is not at byte {}", file.len() - rest.len()))?;
    }
    match without_line_ends(rest) {
        [] => Ok(()),
        left => Err(format!("{left:?} is in no record")),
    }
}

fn without_line_ends(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\n").or_else(|| bytes.strip_prefix(b"\r\n")) {
        bytes = rest;
    }
    bytes
}

fn dumped_and_read_again(
    there: &BTreeMap<Bytes, Bytes>,
    format: Format,
    has_columns: bool,
) -> BTreeMap<Bytes, Bytes> {
    let entry = |(key, value): (&Bytes, &Bytes)| {
        let entry = ScanEntry { key: key.clone(), value: value.clone(), revision: 7 };
        match format {
            Format::Jsonl => json_line(false, &entry) + "\n",
            _ => text_line(Encoding::Text, false, &entry) + "\n",
        }
    };
    let dumped: String = there.iter().map(entry).collect();
    let layout = layout(format, None, 1, has_columns.then_some(2));
    let read = layout.records(dumped.as_bytes()).map(|record| record.unwrap());
    read.map(|record| (record.key, record.value)).collect()
}
