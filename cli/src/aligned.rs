//! Entries in columns below a head: `-o table`.

/// Rows that are held back until it is known how wide columns are to be. A scan may be larger
/// than memory: what comes later is as wide as these, or stands out.
const MEASURED: usize = 100;

/// Rows on their way out.
#[derive(Debug)]
pub struct Aligned {
    rows: Vec<Vec<String>>,
    /// Once they are known.
    widths: Option<Vec<usize>>,
    /// Of the terminal: beyond it rows are cut.
    columns: Option<usize>,
}

impl Aligned {
    /// Nothing but the head.
    pub fn new(head: &[&str], columns: Option<usize>) -> Self {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        Self { rows: vec![head], widths: None, columns }
    }

    /// Takes a row; gives the lines that can be written now.
    pub fn add(&mut self, row: Vec<String>) -> Vec<String> {
        self.rows.push(row);
        if self.widths.is_none() && self.rows.len() <= MEASURED {
            return Vec::new();
        }
        self.rest()
    }

    /// Gives the lines of all rows that were not written yet.
    pub fn rest(&mut self) -> Vec<String> {
        let rows = std::mem::take(&mut self.rows);
        let widths = self.widths.get_or_insert_with(|| widths(&rows));
        rows.iter().map(|row| line(row, widths, self.columns)).collect()
    }
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    (0..columns).map(width).collect()
}

fn line(row: &[String], widths: &[usize], columns: Option<usize>) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    let line = cells.collect::<Vec<_>>().join("  ");
    let line = line.trim_end();
    match columns {
        Some(columns) if line.chars().count() > columns => {
            line.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, value: &str) -> Vec<String> {
        vec![key.into(), "7".into(), value.into()]
    }

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let mut table = Aligned::new(&["KEY", "REVISION", "VALUE"], None);
        assert!(table.add(row("greeting", "hello")).is_empty());
        let lines = ["KEY       REVISION  VALUE", "greeting  7         hello"];
        assert_eq!(table.rest(), lines);
        assert!(table.rest().is_empty());
    }

    #[test]
    fn on_a_terminal_a_row_is_one_line() {
        let mut table = Aligned::new(&["KEY", "REVISION", "VALUE"], Some(20));
        table.add(row("k", "a value that is longer"));
        let lines = ["KEY  REVISION  VALUE", "k    7         a va…"];
        assert_eq!(table.rest(), lines);
    }

    #[test]
    fn what_is_larger_than_memory_is_written_as_it_comes() {
        let mut table = Aligned::new(&["KEY", "REVISION", "VALUE"], None);
        let mut add = |number: usize| table.add(row("k", &number.to_string())).len();
        let written: Vec<usize> = (0..102).map(&mut add).collect();
        assert_eq!(written[98..], [0, 101, 1, 1]);
        assert!(table.rows.is_empty());
    }
}
