//! A page of the exchange's history, row by row: a row that is no trade does not hide those behind it.

pub use crate::binance::rest::{BadRow, Page, Row};

impl Row {
    /// Its id, if that can be read.
    pub fn id(&self) -> Option<u64> {
        match self {
            Self::Trade(trade) => Some(trade.id.get()),
            Self::Bad(row) => row.id,
        }
    }
}

impl Page {
    /// The id of its first row; where that cannot be read, as the first readable one has it.
    pub(super) fn first_id(&self) -> Option<u64> {
        let (at, id) = self.rows.iter().enumerate().find_map(|(at, row)| Some((at, row.id()?)))?;
        id.checked_sub(at as u64)
    }

    /// Its rows from the first one, whose id is `first`, up to its own first gap. A row without a readable id has
    /// the one between its neighbours.
    pub(super) fn run_from(self, first: u64) -> Vec<Row> {
        let mut run: Vec<Row> = Vec::with_capacity(self.rows.len());
        for (row, expected) in self.rows.into_iter().zip(first..) {
            match row {
                Row::Bad(bad) if bad.id.is_none() => run.push(Row::Bad(BadRow { id: Some(expected), ..bad })),
                row if row.id() == Some(expected) => run.push(row),
                _ => break,
            }
        }
        run
    }

    /// Its newest rows without a gap between them.
    pub(super) fn newest_run(self) -> Vec<Row> {
        let mut rows = self.rows;
        let follows = |pair: &[Row]| matches!((pair[0].id(), pair[1].id()), (Some(one), Some(next)) if one + 1 == next);
        let begin = rows.windows(2).rposition(|pair| !follows(pair)).map_or(0, |at| at + 1);
        rows.split_off(begin)
    }
}
