//! The columns of the table: which there are, how wide they are, and which are left out where there is no room.

/// Between two columns.
pub(super) const GAP: u16 = 2;
/// Cells of the line of prices, at least; without so many there is none.
const LINE_MIN: u16 = 10;

/// A column, in the order in which they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    Exchange,
    Symbol,
    Price,
    Change,
    Rate,
    Age,
    Spread,
    Missing,
    /// The price over time; takes what is left.
    Line,
}

impl Column {
    /// Without the exchange, which stands first where there are several: the first of these are the last to be left out.
    const BY_IMPORTANCE: [Self; 8] =
        [Self::Symbol, Self::Price, Self::Age, Self::Rate, Self::Missing, Self::Line, Self::Spread, Self::Change];

    /// What stands above it; the line says itself how long it is.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Symbol => "symbol",
            Self::Price => "price",
            Self::Change => "1 min",
            Self::Rate => "trades/s",
            Self::Age => "age",
            Self::Spread => "high-low",
            Self::Missing => "missing",
            Self::Line => "",
        }
    }

    /// Whether it holds numbers, which stand at the right.
    pub(super) fn is_number(self) -> bool {
        !matches!(self, Self::Exchange | Self::Symbol | Self::Line)
    }
}

/// The columns that fit `width`, in order, each with its own; `wanted` gives how wide one has to be.
pub(super) fn fitting(width: u16, has_exchanges: bool, wanted: impl Fn(Column) -> u16) -> Vec<(Column, u16)> {
    let exchange = has_exchanges.then_some(Column::Exchange);
    let mut left = width;
    let mut columns = Vec::new();
    for column in exchange.into_iter().chain(Column::BY_IMPORTANCE) {
        let gap = if columns.is_empty() { 0 } else { GAP };
        let wanted = if column == Column::Line { LINE_MIN } else { wanted(column) };
        // The symbol is shown in any case, however little of it.
        let taken = if column == Column::Symbol { wanted.min(left.saturating_sub(gap)) } else { wanted };
        if left >= gap + taken {
            left -= gap + taken;
            columns.push((column, taken));
        }
    }
    columns.sort();
    if let Some((Column::Line, cells)) = columns.last_mut() {
        *cells += left;
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(column: Column) -> u16 {
        match column {
            Column::Price => 10,
            Column::Line => unreachable!(),
            _ => 7,
        }
    }

    #[test]
    fn what_matters_least_is_left_out_first_and_the_line_takes_what_is_left() {
        let names = |width| fitting(width, false, wanted).into_iter().map(|(column, _)| column).collect::<Vec<_>>();
        use Column::{Age, Change, Line, Missing, Price, Rate, Spread, Symbol};
        assert_eq!(names(200), [Symbol, Price, Change, Rate, Age, Spread, Missing, Line]);
        assert_eq!(fitting(200, false, wanted).last(), Some(&(Line, 200 - 10 - 6 * 7 - 7 * 2)));
        let without_change = names(70);
        assert!(!without_change.contains(&Change) && without_change.contains(&Spread));
        assert!(!names(60).contains(&Spread) && names(60).contains(&Line));
        assert_eq!(names(20), [Symbol, Price]);
    }

    #[test]
    fn no_row_is_wider_than_the_screen() {
        for width in 0..250 {
            for has_exchanges in [false, true] {
                let columns = fitting(width, has_exchanges, wanted);
                let gaps = GAP * u16::try_from(columns.len().saturating_sub(1)).unwrap();
                let all = columns.iter().map(|(_, width)| width).sum::<u16>() + gaps;
                assert!(all <= width, "{columns:?} in {width}");
            }
        }
    }
}
