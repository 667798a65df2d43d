//! What is shown again and again, on a terminal in place: `status --watch`, `top`.

use doug_streams::out;
use std::time::Duration;
use tokio::time::sleep;

/// No database is asked more often.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// Shows `text`: on a terminal over what stood there, else below it.
pub fn show(text: &str) {
    match out::size() {
        Some((rows, columns)) => doug_streams::out!("{}", frame(text, rows, columns)),
        None => doug_streams::outln!("{text}\n"),
    }
}

/// `text` for a terminal of so many columns: rows of tables are cut, sentences go on in the next
/// line.
pub fn fit(text: &str, columns: Option<usize>) -> String {
    let Some(columns) = columns else { return text.to_owned() };
    text.lines().flat_map(|line| fitted(line, columns)).collect::<Vec<_>>().join("\n")
}

/// Waits for the next look.
pub async fn pause(interval: Duration) {
    sleep(interval.max(LEAST_INTERVAL)).await;
}

/// What draws `text` over what a terminal of that size shows, without a moment of emptiness: from
/// the top, each line to its end, and then nothing. What has no room is counted, not scrolled.
fn frame(text: &str, rows: usize, columns: usize) -> String {
    let lines: Vec<String> = text.lines().flat_map(|line| fitted(line, columns)).collect();
    // The last row stays free: a line's end there would scroll.
    let room = rows.saturating_sub(1).max(1);
    let shown = if lines.len() > room { room - 1 } else { lines.len() };
    let more = (lines.len() > room).then(|| format!("… {} lines more", lines.len() - shown));
    let mut frame = String::from("\x1b[H");
    for line in lines[..shown].iter().chain(more.as_ref()) {
        frame.extend(line.chars().take(columns));
        frame.push_str("\x1b[K\n");
    }
    frame.push_str("\x1b[J");
    frame
}

/// A row of a table, which begins with a blank, is cut: its columns would be lost. A sentence goes
/// on in the next line.
fn fitted(line: &str, columns: usize) -> Vec<String> {
    if line.starts_with(' ') {
        return vec![line.chars().take(columns).collect()];
    }
    let mut lines = vec![String::new()];
    let mut wide = 0;
    for word in line.split(' ') {
        let width = word.chars().count();
        if wide > 0 && wide + 1 + width > columns {
            lines.push(String::new());
            wide = 0;
        }
        if let Some(last) = lines.last_mut() {
            if wide > 0 {
                last.push(' ');
                wide += 1;
            }
            last.push_str(word);
            wide += width;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a frame, without what steers the terminal.
    fn lines(text: &str, rows: usize, columns: usize) -> Vec<String> {
        let frame = frame(text, rows, columns);
        let frame = frame.strip_prefix("\x1b[H").unwrap().strip_suffix("\x1b[J").unwrap();
        let lines = frame.split_terminator('\n');
        lines.map(|line| line.strip_suffix("\x1b[K").unwrap().to_owned()).collect()
    }

    #[test]
    fn what_fits_is_shown_whole_and_what_does_not_is_counted() {
        assert_eq!(lines("a\nb\nc", 4, 80), ["a", "b", "c"]);
        assert_eq!(lines("a\nb\nc", 3, 80), ["a", "… 2 lines more"]);
        assert!(lines("", 1, 1).is_empty());
    }

    #[test]
    fn what_is_shown_once_fits_as_well_and_in_a_file_stays_as_it_is() {
        assert_eq!(fit("abc def\n ghi jkl", Some(5)), "abc\ndef\n ghi ");
        assert_eq!(fit("abc def\n ghi jkl", None), "abc def\n ghi jkl");
    }

    #[test]
    fn rows_of_tables_are_cut_and_sentences_go_on_in_the_next_line() {
        assert_eq!(lines(" abc def", 4, 6), [" abc d"]);
        assert_eq!(lines("abc def ghi", 4, 7), ["abc def", "ghi"]);
        assert_eq!(lines("abcdefghi", 4, 7), ["abcdefg"]);
    }
}
