//! Tables that fit: where a terminal is narrow, the columns that matter least are left out.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

/// A column of a [`Grid`].
#[derive(Clone, Debug)]
pub struct Column {
    name: String,
    alignment: CellAlignment,
    /// Those of the highest rank are left out first; those of rank 0 never are.
    rank: u8,
}

impl Column {
    /// One of words, which begin one below the other.
    pub fn words(name: impl Into<String>) -> Self {
        Self { name: name.into(), alignment: CellAlignment::Left, rank: 0 }
    }

    /// One of numbers, which end one below the other.
    pub fn numbers(name: impl Into<String>) -> Self {
        Self { alignment: CellAlignment::Right, ..Self::words(name) }
    }

    /// It may be left out, before those of a lower rank.
    pub fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }
}

/// A table without lines, each row of which begins with a blank.
#[derive(Clone, Debug)]
pub struct Grid {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// One without rows.
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row, a cell for each column.
    pub fn add(&mut self, row: Vec<String>) {
        assert_eq!(row.len(), self.columns.len(), "a cell for each column");
        self.rows.push(row);
    }

    /// The table, as wide as `width` if leaving columns out can do that.
    pub fn render(&self, width: Option<usize>) -> String {
        let mut most = u8::MAX;
        loop {
            let text = self.of_rank(most);
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            let ranks = self.columns.iter().map(|column| column.rank);
            let next = ranks.filter(|rank| *rank > 0 && *rank <= most).max();
            match (width, next) {
                (Some(width), Some(rank)) if widest > width => most = rank - 1,
                _ => return text,
            }
        }
    }

    /// The table with the columns up to a rank.
    fn of_rank(&self, most: u8) -> String {
        let kept = |index: usize| self.columns[index].rank <= most;
        let mut table = Table::new();
        table.load_style(NOTHING);
        let columns: Vec<&Column> =
            self.columns.iter().filter(|column| column.rank <= most).collect();
        table.set_header(columns.iter().map(|column| &column.name));
        for row in &self.rows {
            let cells = row.iter().enumerate().filter(|(index, _)| kept(*index));
            table.add_row(cells.map(|(_, cell)| cell));
        }
        for (column, of_table) in columns.iter().zip(table.column_iter_mut()) {
            of_table.set_cell_alignment(column.alignment);
        }
        let text = table.to_string();
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Grid {
        let columns = vec![
            Column::words("name"),
            Column::words("where").rank(1),
            Column::numbers("size"),
            Column::numbers("age").rank(2),
        ];
        let mut grid = Grid::new(columns);
        for row in [["a", "here", "7", "12 s"], ["bcdef", "there", "1234567", "3 m"]] {
            grid.add(row.map(str::to_owned).into());
        }
        grid
    }

    #[test]
    fn words_begin_and_numbers_end_one_below_the_other() {
        let lines = [
            " name   where     size   age",
            " a      here         7  12 s",
            " bcdef  there  1234567   3 m",
        ];
        assert_eq!(sample().render(None), lines.join("\n"));
        assert_eq!(sample().render(Some(28)), lines.join("\n"));
    }

    #[test]
    fn what_matters_least_is_left_out_first_and_what_matters_never() {
        let heads = |width| sample().render(Some(width)).lines().next().map(str::to_owned);
        assert_eq!(heads(27).as_deref(), Some(" name   where     size"));
        assert_eq!(heads(21).as_deref(), Some(" name      size"));
        assert_eq!(heads(3).as_deref(), Some(" name      size"));
    }
}
