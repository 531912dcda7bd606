//! The three questions, asked with the bundled Flux files.

use super::Influx;
use crate::store::{HighLow, Scope, StoreError, StoredTrade};
use crate::trade::TradeTime;

impl Influx {
    pub(super) async fn ask_latest(&self, _scope: &Scope) -> Result<Vec<StoredTrade>, StoreError> {
        Ok(Vec::new())
    }
    pub(super) async fn ask_price_at(
        &self,
        _scope: &Scope,
        _time: TradeTime,
        _as_of: bool,
    ) -> Result<Vec<StoredTrade>, StoreError> {
        Ok(Vec::new())
    }
    pub(super) async fn ask_high_low(&self, _scope: &Scope, _time: TradeTime) -> Result<Vec<HighLow>, StoreError> {
        Ok(Vec::new())
    }
}
