//! What the file has of each minute: one pass over the texts of every trade, so that its account is exact.

use rusqlite::Row;

use super::questions::{Answer, Look, Series, id, text};
use crate::store::minutes::{Minute, MinuteSums, Part};
use crate::trade::{Price, TradeTime, is_decimal_text};

impl Look<'_> {
    /// The minutes of each series from `since` up to `until`.
    pub(super) fn minutes(&self, since: TradeTime, until: TradeTime) -> Answer<Vec<Minute>> {
        let within = self.bounds.within(since, Some(until));
        let all = self.each_series(|series| self.minutes_of(series, within).map(Some))?;
        Ok(all.into_iter().flatten().collect())
    }

    fn minutes_of(&self, series: &Series, within: (i64, i64)) -> Answer<Vec<Minute>> {
        let mut sums = MinuteSums::default();
        self.each_row(series, within, |row| {
            let Some(part) = part(row)? else {
                self.pass_over(1);
                return Ok(());
            };
            sums.add(TradeTime::from_ms(row.get(0)?)?, part);
            Ok(())
        })?;
        Ok(sums.finish(&series.0, &series.1))
    }
}

/// What a minute adds up of a row; `None` if it is no trade.
fn part<'r>(row: &'r Row<'_>) -> rusqlite::Result<Option<Part<'r>>> {
    let (price, quantity) = (std::str::from_utf8(text(row, 2)?).ok(), text(row, 3)?);
    let (Some(id), Some(price)) = (id(row)?, price.and_then(|price| Price::new(price).ok())) else { return Ok(None) };
    let buyer_is_maker = row.get(4)?;
    Ok(is_decimal_text(quantity).then_some(Part { id, price, quantity, buyer_is_maker }))
}
