//! Tables for people: as wide as their terminal, if that is one.

use std::env;
use std::io::{self, Write};

use chrono::{DateTime, Local, SecondsFormat, TimeZone};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;
use terminal_size::terminal_size_of;

use super::printable;
use crate::trade::TradeTime;

/// What a column takes beside its content, and a table beside its columns.
const COLUMN_BORDER: usize = 3;
const TABLE_BORDER: usize = 1;
/// Rows of a long table that are laid out together.
const ROWS_AT_ONCE: usize = 1_000;
/// The exchange, which is most often the same in all rows.
const EXCHANGE: &str = "exchange";

/// Something that can be a row of a table.
pub(in crate::cli) trait TableRow: Serialize {
    /// The table's columns.
    fn columns(&self) -> Vec<Column>;
    /// The values, in the order of the columns.
    fn cells(&self, zone: Zone) -> Vec<String>;
}

/// A column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Column {
    name: &'static str,
    is_number: bool,
    /// Where there is no room for all, those with the lowest rank are shown.
    rank: u8,
}

impl Column {
    /// One of words.
    pub(in crate::cli) const fn text(name: &'static str, rank: u8) -> Self {
        Self { name, is_number: false, rank }
    }

    /// One of numbers.
    pub(in crate::cli) const fn number(name: &'static str, rank: u8) -> Self {
        Self { name, is_number: true, rank }
    }
}

/// In which zone times are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::cli) enum Zone {
    #[default]
    Utc,
    /// Where this host is.
    Local,
}

impl Zone {
    /// A time as RFC 3339.
    pub(in crate::cli) fn time(self, time: TradeTime) -> String {
        match self {
            Self::Utc => time.to_string(),
            Self::Local => in_zone(time, &Local),
        }
    }
}

fn in_zone<Z: TimeZone<Offset: std::fmt::Display>>(time: TradeTime, zone: &Z) -> String {
    let utc = DateTime::from_timestamp_millis(time.ms()).unwrap_or_default();
    utc.with_timezone(zone).to_rfc3339_opts(SecondsFormat::Millis, false)
}

/// Columns that a table may take: those of the terminal, or those that `watch` and the like say; `None` for a file or a pipe.
pub(super) fn width() -> Option<u16> {
    let asked = || env::var("COLUMNS").ok()?.trim().parse().ok().filter(|width| *width > 0);
    terminal_size_of(io::stdout()).map(|(width, _)| width.0).or_else(asked)
}

/// Writes a table; where it is wider than `width`, the columns that matter least are left out.
pub(super) fn write<R: TableRow>(out: &mut impl Write, rows: &[R], zone: Zone, width: Option<u16>) -> io::Result<()> {
    write_part(out, rows, zone, width, None).map(drop)
}

/// Writes a table, or more rows of one that looks so; gives how it looks.
fn write_part<R: TableRow>(
    out: &mut impl Write,
    rows: &[R],
    zone: Zone,
    width: Option<u16>,
    before: Option<Layout>,
) -> io::Result<Option<Layout>> {
    let Some(first) = rows.first() else { return Ok(before) };
    let columns = first.columns();
    let cells: Vec<Vec<_>> =
        rows.iter().map(|row| row.cells(zone).iter().map(|cell| printable(cell)).collect()).collect();
    let shown = match &before {
        Some(layout) => layout.shown.clone(),
        None => width.map_or_else(|| (0..columns.len()).collect(), |width| fitting(&columns, &cells, width.into())),
    };
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    if before.is_none() {
        table.set_header(shown.iter().map(|at| columns[*at].name));
    }
    table.add_rows(cells.iter().map(|row| shown.iter().map(|at| row[*at].as_str()).collect::<Vec<_>>()));
    for (place, at) in shown.iter().enumerate() {
        let Some(column) = table.column_mut(place) else { continue };
        if columns[*at].is_number {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if let Some(before) = before.as_ref().and_then(|layout| layout.widths.get(place)) {
            let padding = column.padding_width();
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(before + padding)));
        }
    }
    if let Some(width) = width {
        // Where what matters most is too wide by itself, its cells are folded.
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    writeln!(out, "{table}")?;
    let wide = table.column_max_content_widths();
    let before = before.map(|layout| layout.widths).unwrap_or_else(|| vec![0; wide.len()]);
    Ok(Some(Layout { shown, widths: wide.into_iter().zip(before).map(|(now, before)| now.max(before)).collect() }))
}

/// A table of any length. Its columns are as wide as the first rows want them, and wider where later ones do.
#[derive(Debug)]
pub(in crate::cli) struct LongTable<R> {
    zone: Zone,
    width: Option<u16>,
    rows: Vec<R>,
    layout: Option<Layout>,
}

/// How the first rows of a table look.
#[derive(Debug)]
struct Layout {
    shown: Vec<usize>,
    widths: Vec<u16>,
}

impl<R: TableRow> LongTable<R> {
    /// One into a file, or on standard output.
    pub(in crate::cli) fn new(zone: Zone, is_file: bool) -> Self {
        Self { zone, width: if is_file { None } else { width() }, rows: Vec::new(), layout: None }
    }

    /// Adds a row.
    pub(in crate::cli) fn add(&mut self, row: R, out: &mut impl Write) -> io::Result<()> {
        self.rows.push(row);
        if self.rows.len() == ROWS_AT_ONCE { self.finish(out) } else { Ok(()) }
    }

    /// Writes the rows that are held.
    pub(in crate::cli) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        let layout = write_part(out, &self.rows, self.zone, self.width, self.layout.take())?;
        self.layout = layout;
        self.rows.clear();
        Ok(())
    }
}

/// The columns for which there is room, the one that matters most in any case.
fn fitting(columns: &[Column], cells: &[Vec<String>], width: usize) -> Vec<usize> {
    let values = |at: usize| cells.iter().filter_map(move |row| row.get(at));
    let wanted = |at: usize| {
        let lines = values(at).flat_map(|value| value.lines()).map(|line| line.chars().count());
        lines.max().unwrap_or(0).max(columns[at].name.len()) + COLUMN_BORDER
    };
    let tells_apart =
        |at: usize| columns[at].name == EXCHANGE && values(at).any(|value| Some(value) != values(at).next());
    let mut by_rank: Vec<_> = (0..columns.len()).collect();
    by_rank.sort_by_key(|at| if tells_apart(*at) { 0 } else { columns[*at].rank });
    let mut left = width.saturating_sub(TABLE_BORDER);
    let mut shown = Vec::new();
    for at in by_rank {
        if shown.is_empty() || wanted(at) <= left {
            left = left.saturating_sub(wanted(at));
            shown.push(at);
        }
    }
    shown.sort_unstable();
    shown
}

#[cfg(test)]
mod tests {
    use chrono::FixedOffset;

    use super::*;

    #[derive(Serialize)]
    struct Row([&'static str; 4]);

    impl TableRow for Row {
        fn columns(&self) -> Vec<Column> {
            vec![
                Column::text(EXCHANGE, 3),
                Column::text("symbol", 0),
                Column::number("price", 1),
                Column::text("age", 2),
            ]
        }

        fn cells(&self, _zone: Zone) -> Vec<String> {
            self.0.map(str::to_owned).to_vec()
        }
    }

    fn written(rows: &[Row], width: Option<u16>) -> String {
        let mut out = Vec::new();
        write(&mut out, rows, Zone::Utc, width).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn heading(rows: &[Row], width: u16) -> Vec<String> {
        let table = written(rows, Some(width));
        let heading = table.lines().next().unwrap();
        heading.split('|').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
    }

    const ROW: Row = Row(["binance", "BTCUSDT", "85950.41000000", "1.5s\n2.5s"]);

    #[test]
    fn columns_that_matter_least_are_left_out_where_there_is_no_room() {
        let whole = written(&[ROW], None);
        let width = u16::try_from(whole.lines().next().unwrap().len()).unwrap();
        assert_eq!(written(&[ROW], Some(width)), whole);
        assert_eq!(heading(&[ROW], width - 1), ["symbol", "price", "age"]);
        assert_eq!(heading(&[ROW], 30), ["symbol", "price"]);
        assert_eq!(heading(&[ROW], 20), ["symbol", "age"], "what has room is shown");
        for width in 20..120 {
            let table = written(&[ROW], Some(width));
            assert!(table.lines().all(|line| line.chars().count() <= width.into()), "{width}: {table}");
        }
    }

    #[test]
    fn an_exchange_stays_where_it_tells_rows_apart() {
        let other = Row(["practice", "BTCUSDT", "1", "1s"]);
        assert_eq!(heading(&[ROW, other], 40), [EXCHANGE, "symbol", "price"]);
    }

    #[test]
    fn what_matters_most_is_folded_where_it_is_too_wide() {
        let wide = Row(["binance", "one two three four five six", "1", "1s"]);
        let table = written(&[wide], Some(16));
        assert!(table.lines().count() > 3 && table.lines().all(|line| line.chars().count() <= 16), "{table}");
    }

    #[test]
    fn a_local_time_has_its_offset() {
        let time = TradeTime::from_ms(1_767_268_800_123).unwrap();
        assert_eq!(Zone::Utc.time(time), "2026-01-01T12:00:00.123Z");
        let zone = FixedOffset::east_opt(5 * 3_600 + 1_800).unwrap();
        assert_eq!(in_zone(time, &zone), "2026-01-01T17:30:00.123+05:30");
    }
}
