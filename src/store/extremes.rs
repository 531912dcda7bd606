//! The trades with the highest and the lowest price of a stretch.

use super::StoredTrade;
use crate::trade::{TradeId, compare_texts};

/// The highest and the lowest so far; of the same prices the trade with the lower id.
#[derive(Debug, Default)]
pub struct Extremes(Option<(StoredTrade, StoredTrade)>);

impl Extremes {
    /// Takes a trade, of which `stored` gives all. It is asked only for an extreme: a minute may have ten thousand trades. They may
    /// come in the order of time, which is not that of ids.
    ///
    /// # Errors
    ///
    /// Those of `stored`.
    pub fn add<E>(
        &mut self,
        id: TradeId,
        price: &[u8],
        stored: impl Fn() -> Result<Option<StoredTrade>, E>,
    ) -> Result<(), E> {
        let Some((high, low)) = &mut self.0 else {
            self.0 = stored()?.map(|trade| (trade.clone(), trade));
            return Ok(());
        };
        if compare_texts(price, high.trade.price.as_bytes()).then(high.trade.id.cmp(&id)).is_gt() {
            *high = stored()?.unwrap_or_else(|| high.clone());
        }
        if compare_texts(price, low.trade.price.as_bytes()).then(id.cmp(&low.trade.id)).is_lt() {
            *low = stored()?.unwrap_or_else(|| low.clone());
        }
        Ok(())
    }

    /// The highest and the lowest; none of no trade.
    pub fn found(self) -> Option<(StoredTrade, StoredTrade)> {
        self.0
    }
}
