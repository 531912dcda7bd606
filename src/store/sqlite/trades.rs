//! The trades themselves, a page at a time: a reader that is slow holds no look open, so that a capture's log does not grow.

use std::ops::ControlFlow;

use rusqlite::params;
use tokio::task::{block_in_place, yield_now};

use super::Sqlite;
use super::questions::{Answer, COLUMNS, Look, Series};
use crate::store::{Bounds, OnTrade, Scope, StoreError, StoredTrade};
use crate::trade::TradeTime;

/// Rows of a page; some 130 bytes each.
const PAGE_ROWS: usize = 5_000;

/// Behind which key, (T, id), the next page begins.
type Key = (i64, i64);

/// A page of a series.
struct Page {
    trades: Vec<StoredTrade>,
    /// The last key in it, if another page may follow.
    last: Option<Key>,
}

impl Sqlite {
    pub(super) async fn read_trades(
        &self,
        scope: &Scope,
        since: TradeTime,
        until: Option<TradeTime>,
        on_trade: OnTrade<'_>,
    ) -> Result<(), StoreError> {
        let bounds = Bounds::at((self.clock)());
        let (begin, end) = bounds.within(since, until);
        let all =
            block_in_place(|| self.look(scope, bounds, |look| look.each_series(|series| Ok(Some(series.clone())))))?;
        for series in all {
            // Behind everything that is older.
            let mut after = Some((begin - 1, i64::MAX));
            while let Some(key) = after {
                let handed: Result<_, StoreError> = block_in_place(|| {
                    let page = self.look(scope, bounds, |look| look.page(&series, key, end))?;
                    Ok(page.trades.into_iter().try_for_each(&mut *on_trade).map_continue(|()| page.last))
                });
                match handed? {
                    ControlFlow::Continue(last) => after = last,
                    ControlFlow::Break(()) => return Ok(()),
                }
                // Here it can be cancelled.
                yield_now().await;
            }
        }
        Ok(())
    }
}

impl Look<'_> {
    /// The trades of a series behind a key and before a time, at most [`PAGE_ROWS`].
    fn page(&self, series: &Series, (time, id): Key, end: i64) -> Answer<Page> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM trade WHERE exchange = ?1 AND symbol = ?2 AND (time, trade_id) > (?3, ?4) \
             AND time < ?5 ORDER BY time, trade_id LIMIT ?6"
        ))?;
        let (exchange, symbol) = (series.0.as_str(), series.1.as_str());
        let mut rows = statement.query(params![exchange, symbol, time, id, end, PAGE_ROWS])?;
        let (mut trades, mut count, mut last) = (Vec::new(), 0, None);
        while let Some(row) = rows.next()? {
            count += 1;
            last = Some((row.get(0)?, row.get(1)?));
            match self.stored_trade(row, series)? {
                Some(trade) => trades.push(trade),
                None => self.pass_over(1),
            }
        }
        Ok(Page { trades, last: last.filter(|_| count == PAGE_ROWS) })
    }
}
